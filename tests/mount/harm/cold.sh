#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cold.sh - a disk that answers no read of a sealed segment for as long as the test wants: readers
# wait for it, and nobody who appends does
. "$(dirname "$0")/../lib/lib.sh"
: "${SLOW_DISK:?names the program that is the disk}"

backing=$tmp/backing
held=$tmp/held
mkdir "$backing" "$held" "$tmp/disk" "$tmp/wanted" "$tmp/got"

# The queue, and what is read of it.
q=$backing/queue
start_mount -o segment_size=1M
python3 "$lib/material.py" binary 6500000 cold >"$tmp/material"
dd if="$tmp/material" of="$m/append" bs=65000 status=none || fail "the queue is filled"
cp -r "$m/payload" "$m/records" "$m/stream" "$tmp/wanted"
stop_mount "the queue is made"
cp -r "$q" "$tmp/wanted/segments"

# A disk on which nothing is cached yet.
start_disk() {
	"$SLOW_DISK" "$backing" "$tmp/disk" "$held" 2>"$tmp/disk.log" &
	disk=$!
	mounts+=("$tmp/disk")
	wait_for [ -d "$tmp/disk/queue" ] || {
		fail "the disk is mounted"
		note "$(cat "$tmp/disk.log")"
		finish
	}
	q=$tmp/disk/queue
}
stop_disk() {
	ok "the disk is not in use" umount "$tmp/disk"
	wait "$disk"
}

for part in waiting ending; do
	start_disk
	start_mount
	cases_of python3 "$here/cold.py" "$part" "$tmp" "$m" "$daemon"
	if [ "$part" = waiting ]; then
		stop_mount "umount after cold reads"
	else
		await_daemon "a signal during cold reads"
	fi
	stop_disk
	rm -f "$held"/*
done
ok "the queue is sound" "$CHRONQ" verify "$backing/queue"
finish
