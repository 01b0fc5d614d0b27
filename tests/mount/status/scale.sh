#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# scale.sh - a queue of many segments: what a mount of it costs, and what looking at it does
#
# SEGMENTS=100000 tests/mount/status/scale.sh  takes that many; else it is as many as are quick enough for every
# run.  Times are notes for people; the bounds of the cases are far away, for slow machines.
. "$(dirname "$0")/../lib/lib.sh"

unset MALLOC_PERTURB_ # which touches memory that the daemon never uses
: "${MKQUEUE:?names the program that makes queues}"
small=$tmp/small
large=$tmp/large
sanitized= # if it is a sanitizer build: how many segments
if grep -qaE '__(asan|tsan)_init' "$CHRONFS"; then sanitized=2000; fi
segments=${SEGMENTS:-${sanitized:-10000}}
bound=$((120 + segments / 1000)) # seconds for anything that looks at all segments

now_us() { echo "${EPOCHREALTIME/./}"; }
ms() { echo "$(($1 / 1000)).$(($1 % 1000 / 100)) ms"; }

# timed SECONDS WHAT COMMAND...: a case; what the command prints is in $tmp/out.
timed() {
	local most=$1 what=$2 start span
	shift 2
	start=$(now_us)
	"$@" >"$tmp/out" 2>"$tmp/err" || note "$* gave status $?: $(cat "$tmp/err")"
	span=$(($(now_us) - start))
	note "$what: $(ms "$span")"
	if [ "$span" -gt $((most * 1000000)) ]; then fail "$what within $most s"; else pass "$what within $most s"; fi
}

sum() { awk '{ s += $1 } END { printf "%d\n", s }' "$@"; }

timed 120 "making a queue of $segments segments" "$MKQUEUE" "$large" "$segments"
"$MKQUEUE" "$small" 10
find "$large" -name '*.q' -printf '%f\n' | sort >"$tmp/names"
bytes=$(awk -v n="$segments" 'BEGIN { for (i = 0; i < n; i++) s += length("record " i "\n"); print s }')

# ---- mounting ----

# mount_span QUEUE: microseconds until the mount answers, the best of five.
mount_span() {
	local best=0 start span try
	for try in 1 2 3 4 5; do
		start=$(now_us)
		"$CHRONFS" "$1" "$m" >"$log" 2>&1 || echo "mount $try of $1: $(cat "$log")" >&2
		span=$(($(now_us) - start))
		umount "$m" && flock -w "$patience" "$1/writer.lock" true # which its daemon holds to the end
		if [ "$best" -eq 0 ] || [ "$span" -lt "$best" ]; then best=$span; fi
	done
	echo "$best"
}

mounts+=("$m")
# One look at each name of the directory, half of which are indexes, is all that may come on top.  A machine that
# does something else is asked again.
for _ in 1 2 3 4 5 6 7 8; do
	of_small=$(mount_span "$small")
	of_large=$(mount_span "$large")
	note "mounting 10 segments: $(ms "$of_small"), $segments: $(ms "$of_large")"
	most=$((2 * of_small + segments * 10 + 100000))
	[ "$of_large" -gt "$most" ] || break
done
ok "mounting many segments takes little longer than mounting few" [ "$of_large" -le "$most" ]

# ---- looking ----

anonymous_kib() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$daemon/status"; }

# what a person does to look around
look_around() {
	ls -l "$m" "$m/segments" "$m/payload" "$m/records"
	tail -c 100 "$m/stream"
}

q=$small
start_mount
look_around >/dev/null
few=$(anonymous_kib)
stop_mount "the small queue"

q=$large
start_mount
at_first=$(anonymous_kib)
timed "$bound" "ls segments" ls "$m/segments"
ok "ls shows every segment" cmp "$tmp/out" "$tmp/names"
timed "$bound" "ls -l segments" ls -l "$m/segments"
is "ls -l shows every segment" "$(grep -c '\.q$' "$tmp/out")" "$(wc -l <"$tmp/names")"
timed "$bound" "find segments" find "$m/segments" -type f -size -2
is "find's sizes and blocks are the files'" \
	"$(find "$m/segments" -type f -printf '%f %s %b %T@\n' | sort | head -n "$segments" | md5sum)" \
	"$(find "$q" -name '*.q' -printf '%f %s %b %T@\n' | sort | head -n "$segments" | md5sum)"
timed "$bound" "stat of each" sh -c "cd '$m/segments' && xargs stat -c %i <'$tmp/names'"
is "each has an inode number of its own" "$(sort -u "$tmp/out" | wc -l)" "$(wc -l <"$tmp/names")"
timed "$bound" "du" du -sk "$m/segments"
is "du tells the real blocks" "$(cut -f1 "$tmp/out")" \
	"$(find "$q" -name '*.q' -printf '%b\n' | awk '{ s += $1 } END { print s / 2 }')"
timed "$bound" "ls payload" ls "$m/payload"
ok "ls shows every payload" cmp "$tmp/out" <(sed 's/\.q$//' "$tmp/names")
timed "$bound" "ls -l payload" find "$m/payload" -type f -printf '%s\n'
is "the payloads' sizes" "$(sum "$tmp/out")" "$bytes"
timed "$bound" "ls -l records" find "$m/records" -type f -printf '%s\n'
is "the lists of records' sizes" "$(sum "$tmp/out")" $((90 * segments))
timed "$bound" "the last line of the list of one in the middle" \
	tail -n 1 "$m/records/$(printf %09d $((segments / 2)))"
is "it is of that segment's record" "$(awk '{ print $1 + 0 }' "$tmp/out")" "$((segments / 2))"
is "stream holds all of them" "$(stat -c %s "$m/stream")" "$bytes"
timed "$bound" "the end of stream" tail -n 1 "$m/stream"
is "the last record" "$(cat "$tmp/out")" "record $((segments - 1))"
timed "$bound" "the beginning of stream" head -n 1 "$m/stream"
is "the first record" "$(cat "$tmp/out")" "record 0"
timed "$bound" "cat payload of one in the middle" cat "$m/payload/$(printf %09d $((segments / 2)))"
is "it is that segment's" "$(cat "$tmp/out")" "record $((segments / 2))"
look_around >/dev/null
many=$(anonymous_kib)
note "anonymous memory: $few KiB with 10 segments; with $segments $at_first KiB mounted," \
	"$many KiB looked at; $(((many - few) * 1024 / segments)) bytes a segment"
if [ -z "$sanitized" ]; then # which has memory of its own
	# the allocator keeps some of what listings took, however many segments there are
	ok "at most 100 bytes of memory for each segment" \
		[ $(((many - few) * 1024)) -le $((segments * 100 + 524288)) ]
fi
cases_of python3 "$here/opens.py" "$q" find "$m/segments" -size -2
stop_mount "the large queue"

# ---- while segments come and go ----

start_mount -o "retain_segments=$segments"
cases_of python3 "$lib/scan.py" "$m" segments "$segments" 8192
cases_of python3 "$lib/scan.py" "$m" payload "$segments" 8192
cases_of python3 "$lib/scan.py" "$m" records "$segments" 8192
stop_mount "the moving queue"
timed "$bound" "chronq verify" "$CHRONQ" verify "$q"
ok "the queue is sound" grep -q 'damage 0' "$tmp/out"
finish
