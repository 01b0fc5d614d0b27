#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# errors.sh - the contract's table of errno: full, out of space, blocked, trimmed, damaged
#
# How EROFS, EPERM, EACCES, EMSGSIZE and EBUSY come about is in contract.sh, EBADMSG and
# EPROTONOSUPPORT in life.sh.
. "$(dirname "$0")/../lib/lib.sh"

errors() { cases_of python3 "$here/errors.py" "$1" "$q" "$m"; }

q=$tmp/full
start_mount -o segment_size=4K,max_bytes=40K,allow_trim
errors full
stop_mount
ok "full: the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/blocking
start_mount -o segment_size=4K,max_bytes=40K,allow_trim,full=block=1000
errors blocking
stop_mount
# The full queue again, with so long a limit that no waiting write fails on a busy machine.
start_mount -o segment_size=4K,max_bytes=40K,allow_trim,full=block=150000
errors waiting
stop_mount
ok "blocking: the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/trimmed
start_mount -o segment_size=4K
errors trimmed
stop_mount

q=$tmp/damaged
start_mount -o segment_size=4K
for ((i = 0; i < 9; i++)); do printf '%900s' "record $i" >>"$m/append"; done
wait_for [ -e "$q/000000001.idx" ]
errors damaged
stop_mount
ok "damaged: mended, the queue is sound" "$CHRONQ" verify "$q"

start_mount -o segment_size=4K
errors header
stop_mount
ok "header: mended, the queue is sound" "$CHRONQ" verify "$q"

what="a disk without room"
mkdir "$tmp/disk"
if mount -t tmpfs -o size=64K chronfs-test "$tmp/disk" 2>/dev/null; then
	mounts+=("$tmp/disk")
	q=$tmp/disk/queue
	head -c 8192 /dev/zero >"$tmp/disk/ballast"
	start_mount -o segment_size=4K,allow_trim
	errors nospace
	stop_mount
	ok "nospace: the queue is sound" "$CHRONQ" verify "$q"
	umount "$tmp/disk"
else
	skip "$what" "no tmpfs can be mounted here"
fi
finish
