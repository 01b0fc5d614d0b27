#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# record_lists.sh - records/: a line for each record of each segment; at rest, while it grows, after trims,
# on a read-only mount, after a kill, of queues by chronicle-rs
. "$(dirname "$0")/../lib/lib.sh"

xattr() { getfattr --only-values -n "user.chronfs.$1" "$2" 2>/dev/null; }
lists() { cases_of python3 "$here/lists.py" "$1" "$q" "$m" "${@:2}"; }

start_mount -o segment_size=64K
seq 1 3000 >"$tmp/lines"
cat "$tmp/lines" >"$m/append.lines"
ok "the next segment is prepared" wait_for spare_is_there
newest=$(ls "$m/records" | tail -n 1)
is "named as the segments" "$(ls "$m/records")" "$(ls "$m/segments" | cut -d. -f1)"
is "a line for each record" "$(cat "$m"/records/* | wc -l)" 3000
lists whole
is "the prepared one is empty" "$(stat -c '%s %b' "$m/records/$newest")" "0 0"
is "mode, links, blocks" "$(stat -c '%a %h %b' "$m/records/000000000")" \
	"444 1 $((($(stat -c %s "$m/records/000000000") + 511) / 512))"
is "the size is 90 for each record" "$(stat -c %s "$m/records/000000001")" \
	"$((90 * $(xattr records "$m/records/000000001")))"
is "times are the segment's" "$(cd "$m/records" && stat -c '%n %.9Y %.9Z' 0*)" \
	"$(cd "$m/segments" && stat -c '%n %.9Y %.9Z' 0* | sed 's/\.q//')"
is "so in ls -l" "$(cd "$m/records" && ls -l --time-style=full-iso 0* | awk '{ print $6, $7, $9 }')" \
	"$(cd "$m/segments" && ls -l --time-style=full-iso 0* | awk '{ sub(/\.q/, ""); print $6, $7, $9 }')"
is "sizes of a listing and of a lookup" "$(find "$m/records" -type f -printf '%f %s\n' | sort)" \
	"$(cd "$m/records" && stat -c '%n %s' ./* | sed 's|^\./||')"
for name in 000000000.q 0 00000000 0000000000 00000000x 999999999; do
	refused "$name is not there" "No such file" stat "$m/records/$name"
done
is "they say what their segments say" "$(getfattr -d "$m/records/000000001" 2>&1 | grep =)" \
	"$(getfattr -d "$m/segments/000000001.q" 2>&1 | grep =)"
lists cache
lists grows
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# The same queue on a read-only mount, beside another process that appends.
start_mount -o ro
lists whole
lists beside "$CHRONQ"
stop_mount "the read-only mount"

# The daemon is killed, and the queue mounted again: what was in the queue is there, and grows on.
start_mount
echo "before the kill" >>"$m/append"
cp -r "$m/records" "$tmp/before"
kill -9 "$daemon"
ended
refused "without a daemon" "not connected" cat "$m/records/000000000"
start_mount -o recover
ok "after a kill the lines are the same" diff -r "$tmp/before" "$m/records"
echo "after it" >>"$m/append"
lists whole
stop_mount "after the kill"

# Trims, by hand and by retention.
q=$tmp/trimmed
start_mount -o segment_size=64K,allow_trim
cat "$tmp/lines" >"$m/append.lines"
cp "$m/records/000000000" "$tmp/old"
exec 7<"$m/records/000000000"
ok "the oldest is deleted" rm -f "$m/segments/000000000.q"
ok "its list goes, too" wait_for not stat "$m/records/000000000"
is "an open list still has its attributes" "$(stat -Lc '%s %h' /dev/fd/7)" "$(stat -c %s "$tmp/old") 0"
cat <&7 >"$tmp/got" 2>"$tmp/error"
if [ -s "$tmp/error" ]; then
	ok "an open list says that its segment is gone" grep -q "No data available" "$tmp/error"
else
	ok "an open list is still read" cmp "$tmp/got" "$tmp/old"
fi
exec 7<&-
lists whole "$tmp/old"
stop_mount "the trimmed queue"

q=$tmp/kept
start_mount -o segment_size=64K,retain_segments=4
lists retained
stop_mount "the queue with retention"

# By chronicle-rs: nothing tells how many records there are, and no record says where it begins in the stream.
for queue in v1-small v2-small v2-reopened v2-mixed v2-killed; do
	cp -a "${GOLDEN:?}/$queue" "$tmp/$queue"
	q=$tmp/$queue
	start_mount -o ro
	is "$queue: sizes of a listing" "$(ls -l "$m/records" | awk '{ sum += $5 } END { print sum }')" \
		"$((90 * $("$CHRONQ" cat --json "$q" | wc -l)))"
	lists whole
	stop_mount "$queue"
	start_mount
	echo "by chronfs" >>"$m/append"
	lists whole
	stop_mount "$queue, continued"
done
finish
