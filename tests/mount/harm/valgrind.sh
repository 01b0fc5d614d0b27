#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# valgrind.sh - a daemon under valgrind's memcheck while clients write, read, sync, wait, lock, trim
. "$(dirname "$0")/../lib/lib.sh"
command -v valgrind >/dev/null || skip_all "no valgrind here"

# What start_mount runs: the program under valgrind, whose report makes the exit status 99.
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$here/../../support/programs/valgrind.sh" "$CHRONFS" >"$tmp/chronfs"
chmod +x "$tmp/chronfs"
CHRONFS=$tmp/chronfs
export VALGRIND_LOG=$tmp/report.%p

# shellcheck disable=SC2317 # called by ok
no_report() { ! cat "$tmp"/report.* | grep .; }

# shellcheck disable=SC2317 # called by ok
all_read() { cmp "$tmp/read" <(sort "$tmp/first" "$tmp/second" "$tmp/third"); }

start_mount -o segment_size=64K,allow_trim
python3 "$lib/material.py" text 200000 one | head -n 1500 >"$tmp/first"
python3 "$lib/material.py" text 200000 two | head -n 1500 >"$tmp/second"
python3 "$lib/material.py" text 20000 three | head -n 40 >"$tmp/third"
tail -c +1 -f "$m/stream" >"$tmp/followed" &
follower=$!

pids=()
dd if="$tmp/first" of="$m/append.lines" bs=1000 conv=notrunc status=none &
pids+=($!)
dd if="$tmp/second" of="$m/append.lines" bs=7000 conv=notrunc,fsync status=none &
pids+=($!)
while IFS= read -r line; do printf '%s\n' "$line" >>"$m/append"; done <"$tmp/third" &
pids+=($!)
for _ in 1 2; do
	cat "$m/stream" "$m/stats.json" "$m/metrics" >/dev/null
	ls -lR "$m" >/dev/null
	cat "$m"/segments/* "$m"/payload/* "$m"/records/* >/dev/null
	getfattr -d -m - "$m"/segments/* >/dev/null 2>&1
done
for pid in "${pids[@]}"; do
	wait "$pid"
	is "a writer ends well" $? 0
done
sort "$m/stream" >"$tmp/read"
ok "every line is there" all_read
ok "a follower gets all of it" wait_for cmp "$m/stream" "$tmp/followed"
kill "$follower"
wait "$follower" 2>/dev/null
ok "a lock is taken" flock -n "$m/append" true
ok "an unlink trims" rm "$m/segments/$(find "$m/segments" -name '*.q' -printf '%f\n' | sort | head -n 1)"
ok "a command trims" sh -c 'echo "trim 2" >"$1"' sh "$m/ctl"
ok "another is refused" not sh -c 'echo "trim all" >"$1"' sh "$m/ctl"
stop_mount
ok "nothing from valgrind" no_report

# A full queue: a waiting writer is served, a waiting writer that is killed ends.
q=$tmp/full
start_mount -o segment_size=4K,max_bytes=16K,full=block,line_timeout=1
(
	printf 'no end'
	exec sleep 300
) >"$m/append.lines" &
open=$!
ok "an open line becomes a record" wait_for grep -q "no end" "$m/stream"
kill "$open"
wait "$open" 2>/dev/null
fill() { for _ in 1 2 3 4 5 6; do head -c 3000 /dev/zero; done | dd bs=3000 iflag=fullblock of="$m/append" status=none; }
fill &
waiting=$!
ok "a writer waits" wait_for grep -q '"writes": *1' "$m/stats.json"
head -c 3000 /dev/zero >"$m/append" &
victim=$!
ok "and another" wait_for grep -q '"writes": *2' "$m/stats.json"
kill -9 "$victim"
{ wait "$victim"; } 2>/dev/null
ok "room is made" sh -c 'echo "trim 4" >"$1"' sh "$m/ctl"
ok "it is served" wait_for not kill -0 "$waiting"
wait "$waiting"
is "and ends well" $? 0
stop_mount
ok "nothing from valgrind" no_report

start_mount -o ro
ok "read-only: what is there" [ "$(wc -c <"$m/stream")" -gt 0 ]
stop_mount "read-only"
ok "nothing from valgrind" no_report
finish
