#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cli_errors.sh - the command-line tool chronq where something is wrong; prints TAP
#
# What is damaged, what cannot be written to, values that are none; and, in builds with planted
# faults, each command with each of its system calls failing.
. "$(dirname "$0")/cli_lib.sh"

# shows DESCRIPTION CODE TEXT COMMAND...: it ends with this code, and what it prints has this text.
shows() {
	local what=$1 wanted=$2 text=$3 code
	shift 3
	cases=$((cases + 1))
	"$@" >out 2>err </dev/null
	code=$?
	if [ "$code" -eq "$wanted" ] && cat out err | grep -qF -- "$text"; then
		echo "ok $cases - $what"
	else
		echo "not ok $cases - $what"
		echo "# exit code $code, not $wanted, or not said: $text"
		cat out err | head -n 10 | cut -c 1-100 | sed 's/^/# /'
	fi
}

# Twelve segments of ten records each or so.
seq -f 'record %03g '"$(printf 'x%.0s' {1..270})" 0 119 >lines
"$CHRONQ" append -s 4096 q <lines || exit 1

# copy NAME: a queue to be damaged.
copy() { rm -rf "$1" && cp -R q "$1"; }
# poke FILE OFFSET: other bytes there.
poke() { printf 'XXXX' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# ---- damage ----

copy middle && poke middle/000000002.q 700
shows "cat steps over a damaged record" 1 "damaged" "$CHRONQ" cat middle
shows "the rest is there" 1 "record 119" "$CHRONQ" cat middle
shows "tail, too" 1 "record 119" "$CHRONQ" tail -n 500 middle
copy foreign && poke foreign/000000002.q 0
shows "cat steps over a segment whose header is damaged" 1 "not one of this queue" "$CHRONQ" cat foreign
shows "the rest of the queue is there" 1 "record 119" "$CHRONQ" cat foreign
shows "tail of it, too" 1 "record 000" "$CHRONQ" tail -n 500 foreign
copy foreign && poke foreign/000000000.q 0
shows "it is the first one" 1 "record 119" "$CHRONQ" cat foreign
shows "cat of a range behind it" 0 "record 100" "$CHRONQ" cat -s 100 middle
shows "cat of a range around it" 1 "record 060" "$CHRONQ" cat -s 15-60 middle
shows "ls" 0 "000000002" "$CHRONQ" ls middle
shows "info" 0 "newest record    119" "$CHRONQ" info middle
copy header && poke header/000000001.q 0
shows "ls of a segment that is none" 1 "damaged" "$CHRONQ" ls header
copy newest
for file in newest/*.q; do poke "$file" 4; done
shows "ls, none of them being one" 1 "damaged" "$CHRONQ" ls newest
shows "info" 1 "" "$CHRONQ" info newest
copy short && truncate -s 100 short/000000003.q
shows "cat of a segment that was cut short" 1 "record 119" "$CHRONQ" cat short
shows "ls" 1 "damaged" "$CHRONQ" ls short
copy version
for file in version/*.q; do printf '\003' | dd of="$file" bs=1 seek=4 conv=notrunc status=none; done
shows "a newer version: append" 3 "newer" "$CHRONQ" append version
shows "verify" 1 "version" "$CHRONQ" verify version
copy nothing && rm nothing/control.meta
shows "without control.meta: info" 0 "newest record    119" "$CHRONQ" info nothing
shows "cat" 0 "record 119" "$CHRONQ" cat nothing
shows "tail with more records than there are" 0 "record 000" "$CHRONQ" tail -n 1000 q
shows "tail of a queue without summaries" 0 "9" "$CHRONQ" tail -n 3 "$GOLDEN/v2-small"

# ---- output that is full ----

full() { "$@" >/dev/full; }
for command in cat "cat --json" tail "tail -n 400 --json"; do
	# shellcheck disable=SC2086 # words
	shows "$command to a full disk" 3 "standard output: No space left on device" full "$CHRONQ" $command q
done
yes 'a long line, of which there are enough to fill a buffer' | head -n 20000 | "$CHRONQ" append -s 1M large
shows "cat of much to a full disk" 3 "No space left on device" full "$CHRONQ" cat large
shows "as JSON" 3 "No space left on device" full "$CHRONQ" cat --json large
shows "tail of much" 3 "No space left on device" full "$CHRONQ" tail -n 20000 large

# ---- input ----

from_directory() { "$CHRONQ" append q <.; }
shows "input that cannot be read" 3 "standard input: Is a directory" from_directory
closed() { "$CHRONQ" append q <&-; }
shows "no input" 3 "standard input: " closed
huge() { head -c 3000000 /dev/zero | tr '\0' x | "$CHRONQ" append -s 64K huge; }
shows "a line larger than every buffer is split" 0 "split lines" huge
# shellcheck disable=SC2016 # for that sh
shows "nothing of it is lost" 0 "3000000" sh -c '"$1" cat huge | tr -d "\n" | wc -c' sh "$CHRONQ"
for size in 1 x 0 4096x 5T 99999999999G -1; do
	shows "no segment size: $size" 2 "" "$CHRONQ" append -s "$size" new
done
for number in x 1x -1 99999999999999999999; do
	shows "no number of records: $number" 2 "not a number" "$CHRONQ" tail -n "$number" q
done
for range in 1x 1- -1 1-x 2-1 1,2; do
	case $range in
	1-) shows "a range: $range" 0 "record 001" "$CHRONQ" cat -s "$range" q ;;
	*) shows "no range: $range" 2 "" "$CHRONQ" cat -s "$range" q ;;
	esac
done

# ---- failing calls ----

# each COMMAND...: with each call failing for the first to the sixth time, it ends by itself, says why
# if it does not succeed, and leaves a queue that holds all that was in it.
each() {
	local call skip code bad=0 runs=0 failed=0
	for call in open_dir open stat stat_at pread seek_data list next_name map lseek mkdir create_new \
		allocate pwrite sync_data sync_dir rename_noreplace rename unlink populate lock set_times; do
		for skip in 0 1 2 3 5 8 13; do
			CHRONQ_FAIL=$call:5:$skip:1 timeout 20 "$@" >out 2>err <one
			code=$?
			runs=$((runs + 1))
			[ "$code" -ne 0 ] || continue
			failed=$((failed + 1))
			if { [ "$code" -ne 1 ] || [ ! -s out ]; } && { [ "$code" -ne 3 ] || [ ! -s err ]; }; then
				echo "# $call:5:$skip: exit code $code, said: $(head -n 1 err)"
				bad=$((bad + 1))
			fi
		done
	done
	echo "# $* : $runs runs, $failed failed"
	[ "$bad" -eq 0 ] && [ "$failed" -gt 0 ]
}
# each_case DESCRIPTION COMMAND...
each_case() {
	local what=$1
	shift
	cases=$((cases + 1))
	if each "$@"; then echo "ok $cases - $what"; else echo "not ok $cases - $what"; fi
}
echo one >one
if CHRONQ_FAIL=open_dir:5 "$CHRONQ" ls q >/dev/null 2>&1; then
	cases=$((cases + 1))
	echo "ok $cases - failing calls # SKIP this build has none"
else
	for command in info ls cat "tail -n 100" verify; do
		# shellcheck disable=SC2086 # words
		each_case "$command, with failing calls" "$CHRONQ" $command q
	done
	copy appended
	each_case "append, with failing calls" "$CHRONQ" append appended
	shows "all that was there before is there" 0 "record 119" "$CHRONQ" cat -s 0-119 appended
	shows "and it is sound" 0 "damage 0" "$CHRONQ" verify appended
fi
echo "1..$cases"
