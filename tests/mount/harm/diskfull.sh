#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# diskfull.sh - a disk that is full, and what else the daemon may run out of: descriptors, file size
#
# On an ext4 of its own, in a loop device; errors.sh has a tmpfs that is full, failing.sh quotas.
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace
program=$CHRONFS

# with_limit OPTION VALUE: from now on the daemon starts with this limit of ulimit(1).
with_limit() {
	printf '#!/bin/sh\nulimit %s %s && exec "%s" "$@"\n' "$1" "$2" "$program" >"$tmp/limited"
	chmod +x "$tmp/limited"
	CHRONFS=$tmp/limited
}

# ---- a disk ----

mkdir "$tmp/disk"
# shellcheck disable=SC2317 # called by if
make_disk() {
	truncate -s 8M "$tmp/image" && mkfs.ext4 -q -m 0 "$tmp/image" &&
		mount -o loop "$tmp/image" "$tmp/disk"
}
if make_disk 2>"$tmp/said"; then
	mounts+=("$tmp/disk")
	q=$tmp/disk/queue
	head -c 3M /dev/zero >"$tmp/disk/ballast"
	start_mount -o segment_size=256K,allow_trim
	cases_of python3 "$here/diskfull.py" full "$q" "$m"
	stop_mount "full"
	ok "full: the queue is sound" "$CHRONQ" verify "$q"

	# A new mount has all of it, too; a write waits for room as before.
	start_mount
	cases_of python3 "$here/diskfull.py" again "$q" "$m"
	stop_mount "again"
	ok "again: the queue is sound" "$CHRONQ" verify "$q"

	start_mount
	cases_of python3 "$here/diskfull.py" killed "$q" "$m"
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null
	daemon=
	umount -l "$m"
	start_mount
	cases_of python3 "$here/diskfull.py" room "$q" "$m"
	stop_mount "room"
	ok "room: the queue is sound" "$CHRONQ" verify "$q"
	umount "$tmp/disk"
else
	skip "a full ext4" "$(head -n 1 "$tmp/said")"
fi

# ---- a small disk: what is said names the numbers, and what sets them ----

if mount -t tmpfs -o size=64M tmpfs "$tmp/disk" 2>"$tmp/said"; then
	mounts+=("$tmp/disk")
	q=$tmp/disk/queue
	free="a segment file takes 128 MiB \\(segment_size\\), [0-9]+ [MK]iB are free"
	"$program" "$q" "$m" >"$tmp/said" 2>&1
	is "128 MiB on a disk of 64: exit status" $? 3
	ok "it says how much is needed, and how much there is" grep -qE "^chronfs: $q: .*$free" "$tmp/said"
	ok "and what sets it" grep -q "^chronfs: $q: no room for the first segment (.*segment_size=)" "$tmp/said"
	"$CHRONQ" append "$q" <<<x >"$tmp/said" 2>&1
	is "chronq append: exit status" $? 3
	ok "it says so, too" grep -qE "^chronq: .*$free" "$tmp/said"
	ok "and names its option" grep -q -- --segment-size "$tmp/said"
	q=$tmp/disk/half
	start_mount -o segment_size=40M
	ok "no room for the second segment: the mount says so" wait_for \
		grep -qE "next segment not prepared: .*takes 40 MiB \(segment_size\), [0-9]+ [MK]iB are free" "$log"
	stop_mount "half"
	umount "$tmp/disk"
else
	skip "a small disk" "$(head -n 1 "$tmp/said")"
fi

# ---- the largest file that the daemon may have (RLIMIT_FSIZE) ----

q=$tmp/size
with_limit -f 100 # KiB, or half of them, by the shell
gives 3 "chronfs: $q: File too large" "no segment may be so large" "$CHRONFS" "$q" "$m" -o segment_size=1M
rm -rf "$q"
CHRONFS=$program
start_mount -o segment_size=1M
echo first >>"$m/append"
stop_mount
rm "$q/000000001.q"
with_limit -f 100
start_mount
cases_of python3 "$here/diskfull.py" size "$q" "$m"
stop_mount "size"
ok "size: the queue is sound" "$CHRONQ" verify "$q"

# ---- descriptors (RLIMIT_NOFILE) ----

# Whatever is too few, it says so and ends, or mounts and works.
for limit in 8 14 16 20; do
	q=$tmp/nofile.$limit
	with_limit -n "$limit"
	timeout "$patience" "$CHRONFS" "$q" "$m" -o segment_size=4K 2>"$tmp/said"
	status=$?
	mounts+=("$m")
	if is_mounted "$m"; then
		for ((i = 0; i < 9; i++)); do head -c 3900 /dev/zero >"$m/append"; done 2>"$tmp/said"
		{ written=$(wc -c <"$m/stream"); } 2>"$tmp/said" || written=0
		ok "$limit descriptors: what can be appended is there, whole ($written)" [ $((written % 3900)) -eq 0 ]
		read -r daemon _ <"$q/writer.lock"
		umount "$m"
		ended # its parent was another: no status
		CHRONFS=$program
		ok "$limit descriptors: the queue is sound" "$CHRONQ" verify "$q"
	else
		case $status in 3 | 4 | 5) pass "$limit descriptors: status $status" ;; *) fail "$limit descriptors: status $status" ;; esac
		ok "$limit descriptors: it says why" grep -q chronfs "$tmp/said"
	fi
done
finish
