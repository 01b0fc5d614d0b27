#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# stream.sh - stream: all live payloads, one growing file
. "$(dirname "$0")/../lib/lib.sh"

# With large segments through the page cache; small ones with retention are read past it.
for size in 1M 64K; do
	q=$tmp/$size
	start_mount -o segment_size=$size,retain_segments=4
	cases_of timeout "$patience" python3 "$here/stream.py" "$m" "$size"
	stop_mount "segments of $size"
done

# Ordinary tools, before and after records come.
q=$tmp/tools
start_mount -o segment_size=64K
seq 1 40000 >"$tmp/lines"
cat "$tmp/lines" >"$m/append.lines"
ok "it is what was appended" cmp "$tmp/lines" "$m/stream"
is "wc" "$(wc -lc <"$m/stream")" "$(wc -lc <"$tmp/lines")"
is "head" "$(head -n 3 "$m/stream")" "$(seq 1 3)"
is "tail" "$(tail -n 2 "$m/stream")" "$(seq 39999 40000)"
is "tail -c" "$(tail -c 11 "$m/stream")" "$(tail -c 11 "$tmp/lines")"
different=0
for skip in 0 1 4095 4096 65535 65536 100000 150001 228893 228894 300000; do
	for bs in 1 17 5000; do
		dd if="$m/stream" bs=$bs skip="$skip" count=3 iflag=skip_bytes status=none >"$tmp/got"
		dd if="$tmp/lines" bs=$bs skip="$skip" count=3 iflag=skip_bytes status=none | cmp -s - "$tmp/got" ||
			different=$((different + 1))
	done
done 2>/dev/null
is "dd at any offset" "$different" 0
is "lsattr and getfattr of an open file's name" "$(exec 7<"$m/stream"
	lsattr "$m/stream" 2>&1 | tr -s ' -' '--')" "-$m/stream"
ok "cp --sparse" cp --sparse=auto "$m/stream" "$tmp/copy"
ok "makes a true copy" cmp "$tmp/copy" "$tmp/lines"

# Programs that ask before each read whether there is something to read.
cases_of timeout "$patience" python3 "$here/pollread.py" "$m"
for tool in "pv -q $m/stream" "socat -u OPEN:$m/stream,rdonly STDOUT" "busybox cat $m/stream"; do
	if command -v "${tool%% *}" >/dev/null; then
		# shellcheck disable=SC2086 # words of a command
		timeout "$patience" $tool >"$tmp/got"
		is "${tool%% *}: ends by itself" $? 0
		ok "${tool%% *}: all of stream" cmp "$tmp/got" "$tmp/lines"
	else
		skip "${tool%% *}" "no ${tool%% *} here"
	fi
done

# Followers.
tail -n +1 -f -s 0.05 "$m/stream" >"$tmp/followed" 2>"$tmp/followed.err" &
one=$!
tail -c +1 -F -s 0.05 "$m/stream" >"$tmp/followed2" 2>>"$tmp/followed.err" &
two=$!
echo "one more" | tee -a "$tmp/lines" >"$m/append"
ok "tail -f shows what comes" wait_for cmp "$tmp/lines" "$tmp/followed"
ok "tail -F, too" wait_for cmp "$tmp/lines" "$tmp/followed2"
kill "$one" "$two"
wait "$one" "$two" 2>/dev/null
is "and they complain of nothing" "$(cat "$tmp/followed.err")" ""
stop_mount

# Following while segments go.
q=$tmp/trimmed
start_mount -o segment_size=64K,retain_segments=2
echo start >"$m/append"
tail -n +1 -f -s 0.05 "$m/stream" >"$tmp/followed" 2>"$tmp/followed.err" &
one=$!
echo start >"$tmp/lines"
ok "tail -f has begun" wait_for cmp "$tmp/lines" "$tmp/followed"
for round in 1 2 3 4 5 6 7 8 9; do
	seq "$round"00000 "$round"00250 | tee -a "$tmp/lines" >"$m/append.lines"
	wait_for cmp "$tmp/lines" "$tmp/followed" || break
done
ok "across trims tail -f shows every line, $round rounds" cmp "$tmp/lines" "$tmp/followed"
is "and does not say that the file was truncated" "$(cat "$tmp/followed.err")" ""
ok "segments have gone" wait_for not [ -e "$m/segments/000000000.q" ]
kill "$one"
wait "$one" 2>/dev/null
stop_mount

q=$tmp/followed-queue
start_mount
cases_of timeout "$patience" python3 "$here/followers.py" "$m" 12 4
stop_mount
finish
