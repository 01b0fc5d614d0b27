#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# full.sh - a full queue: errors, waiting for room, the order of service, signals
. "$(dirname "$0")/../lib/lib.sh"

small=segment_size=4K,max_bytes=16K

start_mount -o $small,line_timeout=0
cases_of python3 "$here/full.py" error "$m" "$q"
ok "a file is closed with an open line when the queue is full" python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.write(fd, b"x" * 3000)
try:
    os.close(fd)
except OSError:
    pass' "$m/append.lines"
stop_mount
ok "what is lost at the end is said" \
	grep -q '3000 bytes that were written without a newline are lost: Disk quota exceeded' "$log"
ok "the queue is sound" "$CHRONQ" verify "$q"

# So long a limit that no waiting write fails on a busy machine.
q=$tmp/block
start_mount -o $small,full=block=150000,line_timeout=0
cases_of python3 "$here/full.py" block "$m" "$q"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/timeout
start_mount -o $small,full=block=300
cases_of python3 "$here/full.py" timeout "$m" "$q"
stop_mount

q=$tmp/reader
start_mount -o $small,full=block=150000,retain_segments=1
cases_of python3 "$here/full.py" reader "$m" "$q"
stop_mount

# The end of the mount answers a waiting write.
q=$tmp/end
start_mount -o $small,full=block
blocked() {
	for _ in 1 2 3 4 5; do head -c 3000 /dev/zero; done | dd bs=3000 iflag=fullblock of="$m/append" status=none
}
blocked 2>"$tmp/said" &
pid=$!
ok "a writer waits" wait_for grep -q '"writes": *1' "$m/stats.json"
kill "$daemon"
await_daemon "SIGTERM with a waiting writer"
wait "$pid"
is "the writer was told" "$(grep -c 'quota exceeded' "$tmp/said")" 1
is "what was acknowledged is there" "$("$CHRONQ" cat --json "$q" | wc -l)" 4
finish
