#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# backing.sh - a queue on each file system that is supported, and on two that are not known: rolls,
# a foreign file under the next name, a full disk, a kill, recovery
# shellcheck disable=SC2317 # most functions are called by ok, does and wait_for
. "$(dirname "$0")/../lib/namespace.sh"
. "$(dirname "$0")/../lib/lib.sh"
need_namespace

block=50000 # bytes of a record; five to a segment
size=256K
disk=$tmp/disk
q=$disk/queue
mkdir "$disk"
mounts+=("$disk" "$tmp/upper")
python3 "$lib/material.py" binary $((200 * block)) backing >"$tmp/material"
acked=0 # records written since the queue is there: as many blocks of the material

# does DESCRIPTION COMMAND...: as ok, for commands that change variables.
does() {
	local what=$1
	shift
	if "$@"; then
		pass "$what"
	else
		fail "$what"
		note "$* failed: $(tail -n 3 "$tmp/said")"
	fi
}

# append COUNT [FLAG]: the next records; fails, with dd's words in $tmp/said, when one is refused.
append() {
	local status written
	dd if="$tmp/material" of="$m/append" bs="$block" skip="$acked" count="$1" conv="notrunc${2+,$2}" \
		2>"$tmp/said"
	status=$?
	written=$(sed -n 's/^\([0-9]*\)+0 records out$/\1/p' "$tmp/said")
	acked=$((acked + ${written:-0}))
	return "$status"
}

# append_until TEXT: one by one, each made durable, until one is refused with these words.
append_until() {
	local before=$acked
	while append 1 fsync; do [ $((acked - before)) -lt 100 ] || return 1; done
	grep -q "$1" "$tmp/said"
}

all_there() { cmp "$m/stream" <(head -c $((acked * block)) "$tmp/material"); }
all_in_place() {
	local flags
	flags=$(lsattr "$q"/*.q "$q/control.meta") && ! grep -v '^[^ ]*C' <<<"$flags"
}

# fill: foreign files take what is free, large ones first.
fill() {
	local size
	for ((size = 512 << 20; size >= 64 << 10; size /= 2)); do
		fallocate -l "$size" "$disk/foreign.$size" 2>/dev/null
	done
	dd if=/dev/zero of="$disk/foreign" bs=512 2>/dev/null
	true
}

# kill_mount: the daemon is killed, which leaves a mount that answers nothing.
kill_mount() {
	kill -9 "$daemon"
	{ wait "$daemon"; } 2>/dev/null
	daemon=
	umount -l "$m"
}

# foreign_next: a foreign file under the name behind the segment that is made ahead, which has to be
# there before: else that name would be the writer's own by the time that the file is written.
foreign_next() {
	local current
	current=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["position"]["segment"])' \
		"$m/stats.json") || return
	wait_for [ -e "$q/$(printf '%09d.q' $((current + 1)))" ] || return
	next=$q/$(printf '%09d.q' $((current + 2)))
	(set -C && echo "somebody else's" >"$next") 2>"$tmp/said"
}

# The kernel's list of locks may have another device number than stat(2).
reader_is_named() {
	local status
	"$CHRONQ" tail -f --reader r "$q" >/dev/null &
	helper=$!
	wait_for grep -q "^pid *$helper\$" "$m/readers/r"
	status=$?
	kill "$helper"
	wait "$helper"
	helper=
	"$CHRONQ" readers --delete r "$q" || status=1
	return "$status"
}

# A queue from beginning to end on what is mounted at $disk.
life() { # NAME
	local name=$1 next sum
	acked=0
	start_mount -o segment_size=$size
	does "$name: appends and rolls" append 28
	does "$name: and syncs" append 1 fsync
	ok "$name: all of it is there" all_there
	[ "$name" != btrfs ] || ok "btrfs: what is mapped is written in place" all_in_place
	ok "$name: the process that has a named reader is found" reader_is_named
	does "$name: the next segment is there, the name behind it is not" foreign_next
	sum=$(stat -c '%i %s %Y' "$next" && cksum <"$next")
	does "$name: a foreign file under the next name stops the roll" append_until "Bad message"
	is "$name: it is not replaced" "$(stat -c '%i %s %Y' "$next" && cksum <"$next")" "$sum"
	rm "$next"
	does "$name: when it is gone, appends go on" wait_for append 1
	ok "$name: all of it is there" all_there

	fill
	does "$name: a full disk: no space" append_until "No space left on device"
	ok "$name: all of it can be read" all_there
	rm "$disk"/foreign*
	sync -f "$disk"
	does "$name: appends go on when there is room" wait_for append 10
	ok "$name: all of it is there" all_there
	kill_mount
	start_mount
	ok "$name: all of it is there after a kill" all_there
	does "$name: and appends go on" append 6 fsync
	stop_mount "$name: umount"
	ok "$name: the queue is sound" "$CHRONQ" verify "$q"
	ok "$name: nothing half-made is left" no_temp_files
}

# on NAME MIB MKFS...: life on a new file system in a file of that size.
on() {
	local name=$1 mib=$2
	shift 2
	if ! command -v "$1" >/dev/null; then
		skip "$name" "no $1 here"
		return
	fi
	truncate -s "${mib}M" "$tmp/image"
	if ! "$@" "$tmp/image" >/dev/null 2>&1; then
		fail "$name: $*"
	elif ! mount -o loop "$tmp/image" "$disk" 2>"$tmp/said"; then
		skip "$name" "cannot be mounted here: $(cat "$tmp/said")"
	else
		life "$name"
		ok "$name: nothing keeps it busy" umount "$disk"
	fi
	rm "$tmp/image"
}

on ext4 48 mkfs.ext4 -q -m 0
on xfs 300 mkfs.xfs -q
on btrfs 114 mkfs.btrfs -q
mount -t tmpfs -o size=24m tmpfs "$disk"
life tmpfs
ok "tmpfs: nothing keeps it busy" umount "$disk"

# Not known, but with all that is needed: it is tried at each start.
mkdir "$tmp/below" "$tmp/upper" "$tmp/inside"
mount -t tmpfs -o size=24m tmpfs "$tmp/upper"
mkdir "$tmp/upper/changes" "$tmp/upper/work"
if mount -t overlay -o "lowerdir=$tmp/below,upperdir=$tmp/upper/changes,workdir=$tmp/upper/work" \
	overlay "$disk" 2>"$tmp/said"; then
	life overlay
	# An existing queue with its next segment made, for which nothing has to be renamed at first.
	if strace -o /dev/null true 2>/dev/null; then
		gives 3 "the file system lacks what a queue needs" "no RENAME_NOREPLACE" \
			env ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" \
			strace -f -o /dev/null -e inject=renameat2:error=EINVAL "$CHRONFS" "$q" "$m"
	else
		skip "no RENAME_NOREPLACE" "strace cannot trace here"
	fi
	ok "nothing half-made is left" no_temp_files
	ok "the queue is sound" "$CHRONQ" verify "$q"
	cp -a "$q" "$tmp/copy"
	umount "$disk"
else
	skip "overlay" "cannot be mounted here: $(cat "$tmp/said")"
fi
umount "$tmp/upper"

# ramfs allocates nothing ahead.
mount -t ramfs ramfs "$disk"
gives 3 "the file system lacks what a queue needs" "a new queue on ramfs" "$CHRONFS" "$q" "$m"
if [ -d "$tmp/copy" ]; then
	rm -rf "$q"
	cp -a "$tmp/copy" "$q"
	gives 3 "the file system lacks what a queue needs" "a queue copied to ramfs" "$CHRONFS" "$q" "$m"
	ok "its segments are as they were" diff -r "$tmp/copy" "$q" -x '*.meta' -x writer.lock
	start_mount -o ro
	ok "it can be read" all_there
	stop_mount
fi
umount "$disk"
ok "nothing is mounted" not is_mounted "$m"
finish
