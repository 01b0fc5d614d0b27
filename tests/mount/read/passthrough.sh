#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# passthrough.sh - segment files that the kernel reads by itself, where it can; the same bytes where not

. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
users_have_fuse || note "/dev/fuse is not for users here"

passes() { grep -q '"passthrough": true' "$m/stats.json"; }
same() { diff -r "$m/segments" "$q" 2>&1 | grep -v '^Only in'; }

fill() { seq 1 2000 >"$m/append.lines"; }

start_mount -o segment_size=64K
fill
is "segments are the files" "$(same)" ""
if passes; then
	pass "the kernel reads them by itself"
	cases_of timeout "$patience" python3 "$here/passthrough.py" "$m" "$q" "$daemon"
	ok "nothing is complained of" [ ! -s "$log" ]
else
	version=$("$CHRONFS" -V | sed 's/.*libfuse //')
	why="libfuse $version, Linux $(uname -r): needs 3.17, 6.9 and CAP_SYS_ADMIN"
	if [ "$(printf '%s\n3.17\n6.9\n' "$version" | sort -V | head -n 1)" = 3.17 ] &&
		[ "$(printf '%s\n6.9\n' "$(uname -r)" | sort -V | head -n 1)" = 6.9 ] &&
		[ "$(findmnt -n -o FSTYPE -T "$q")" != overlay ]; then
		fail "the kernel reads them by itself"
		note "$why; $(cat "$log")"
	else
		skip "the kernel reads them by itself" "$why"
	fi
fi
stop_mount

# Switched off; the bytes are the same.
start_mount -o passthrough=off
ok "passthrough=off: it is" not passes
is "passthrough=off: segments are the files" "$(same)" ""
ok "passthrough=off: nothing is said" [ ! -s "$log" ]
stop_mount "passthrough=off"
refused "passthrough=often" "passthrough" "$CHRONFS" "$q" "$m" -o passthrough=often

# A queue on a file system that is stacked on another: the kernel does not do it.
what="a queue on overlayfs"
mkdir "$tmp/lower" "$tmp/upper" "$tmp/work" "$tmp/over"
mount -t tmpfs tmpfs "$tmp/upper" 2>/dev/null && mounts+=("$tmp/upper")
mkdir -p "$tmp/upper/data" "$tmp/upper/work"
if mount -t overlay overlay -o "lowerdir=$tmp/lower,upperdir=$tmp/upper/data,workdir=$tmp/upper/work" "$tmp/over" 2>/dev/null; then
	mounts=("$tmp/over" "${mounts[@]}")
	on_disk=$q
	q=$tmp/over/queue
	start_mount -o segment_size=64K
	fill
	is "$what: read through the daemon" "$(same)" ""
	ok "$what: the kernel does not" not passes
	ok "$what: one line at most says so" [ "$(wc -l <"$log")" -le 1 ]
	stop_mount "$what"
	umount "$tmp/over"
	q=$on_disk
else
	skip "$what" "no overlayfs here"
fi

# A daemon without the right to it.
what="without CAP_SYS_ADMIN"
if command -v fusermount3 >/dev/null && [ -u "$(command -v fusermount3)" ] && users_have_fuse; then
	users_can_run
	q=$tmp/user/queue
	mkdir "$tmp/user"
	chown 65534:65534 "$tmp/user" "$m"
	mounts+=("$m")
	: >"$log"
	chmod 666 "$log"
	"${user[@]}" "$CHRONFS" "$q" "$m" -f -o segment_size=64K >"$log" 2>&1 &
	daemon=$!
	wait_for is_mounted "$m"
	# shellcheck disable=SC2016 # for that shell
	"${user[@]}" sh -c 'seq 1 2000 >"$1/append.lines"; cat "$1"/segments/000000000.q' sh "$m" >"$tmp/got"
	is "$what: the daemon reads" "$(md5sum <"$tmp/got")" "$(md5sum <"$q/000000000.q")"
	ok "$what: not the kernel" not "${user[@]}" grep -q '"passthrough": true' "$m/stats.json"
	ok "$what: one line at most says so" [ "$(wc -l <"$log")" -le 1 ]
	umount "$m"
	await_daemon "$what"
else
	skip "$what" "no fusermount3 or no /dev/fuse for users here"
fi
finish
