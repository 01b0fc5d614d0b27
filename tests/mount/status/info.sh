#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# info.sh - stats.json and metrics: their form, and that they say what is so
. "$(dirname "$0")/../lib/lib.sh"

q="$tmp/a \"queue\"" # its name has to be escaped
start_mount -o segment_size=64K,retain_segments=100
cases_of python3 "$here/info.py" "$m" "$q"

ok "cp of stats.json" cp "$m/stats.json" "$tmp/copy"
ok "which is complete" python3 -m json.tool "$tmp/copy" "$tmp/pretty"
ok "cp of metrics" cp "$m/metrics" "$tmp/metrics"
is "which is complete, too" "$(tail -n 1 "$tmp/metrics")" "$(tail -n 1 "$m/metrics")"
is "their mode and owner" "$(stat -c '%a %U' "$m/stats.json" "$m/metrics" | tr '\n' ' ')" \
	"444 root 444 root "
refused "they cannot be written" "Operation not permitted" dd if=/dev/null of="$m/stats.json" \
	conv=notrunc status=none
ok "du counts them" [ "$(du -k "$m/stats.json" | cut -f1)" -gt 0 ]

mkdir "$tmp/second"
"$CHRONFS" "$q" "$tmp/second" -f -o ro >"$tmp/second.log" 2>&1 &
second=$!
mounts+=("$tmp/second")
ok "a read-only mount beside it" wait_for [ -e "$tmp/second/stats.json" ]
cases_of python3 "$here/info.py" "$m" "$q" "$tmp/second"
ok "its unmount" umount "$tmp/second"
wait "$second"
is "its exit status" $? 0
is "it had nothing to say" "$(cat "$tmp/second.log")" ""
stop_mount

# A write that waits for room.
q=$tmp/full
start_mount -o segment_size=64K,max_bytes=128K,full=block
record() { dd if=/dev/zero of="$m/append" bs=60000 count=1 conv=notrunc status=none; }
record && record
record &
client=$!
ok "a write that waits is shown" wait_for grep -qx 'chronfs_waiting_writes 1' "$m/metrics"
ok "with its bytes" grep -qx 'chronfs_waiting_bytes 60000' "$m/metrics"
echo "trim 1" >"$m/ctl"
wait "$client"
is "it goes on when there is room" $? 0
is "and is counted" "$(grep -E '^chronfs_(waiting|waited_writes|deleted)' "$m/metrics" | tr '\n' ' ')" \
	"chronfs_deleted_segments_total 1 chronfs_waiting_writes 0 chronfs_waiting_bytes 0 chronfs_waited_writes_total 1 "
stop_mount

# Without any writer, and without a single segment.
q="$tmp/a \"queue\""
start_mount -o ro
ok "stats.json without a writer" python3 -m json.tool "$m/stats.json" "$tmp/pretty"
ok "the segments are counted" grep -q '"count": ' "$tmp/pretty"
stop_mount
q=$tmp/nothing
mkdir "$q"
start_mount -o ro
ok "stats.json of an empty queue" python3 -m json.tool "$m/stats.json" "$tmp/pretty"
ok "which has no position" not grep -q position "$tmp/pretty"
ok "metrics of an empty queue" grep -q '^chronfs_read_only 1$' "$m/metrics"
stop_mount
finish
