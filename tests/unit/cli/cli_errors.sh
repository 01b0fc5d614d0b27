#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cli_errors.sh - chronq where something is wrong; prints TAP
#
# Damaged queues, outputs that cannot be written, wrong values; and, in builds with planted faults, each
# command with each of its system calls failing.

# A queue is opened and synced more than a thousand times: in memory, if possible.
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"

# shows DESCRIPTION CODE TEXT COMMAND...: the command exits with this code, and prints this text.
shows() {
	local what=$1 wanted=$2 text=$3 code
	shift 3
	"$@" >out 2>err </dev/null
	code=$?
	[ "$code" -eq "$wanted" ] && cat out err | grep -qF -- "$text"
	check "$what" $? "exit code $code, not $wanted, or not said: $text
$(cat out err | head -n 10 | cut -c 1-100)"
}

# Twelve segments of about ten records each.
seq -f 'record %03g '"$(printf 'x%.0s' {1..270})" 0 119 >lines
"$CHRONQ" append -s 4096 q <lines || exit 1

# copy NAME: a queue to be damaged.
copy() { rm -rf "$1" && cp -R q "$1"; }
# poke FILE OFFSET: overwrites four bytes.
poke() { printf 'XXXX' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# ---- damage ----

copy middle && poke middle/000000002.q 700
shows "cat steps over a damaged record" 1 "damaged" "$CHRONQ" cat middle
shows "the rest is there" 1 "record 119" "$CHRONQ" cat middle
shows "tail, too" 1 "record 119" "$CHRONQ" tail -n 500 middle
one_left_out() {
	exits 1 "$CHRONQ" cat middle && cmp exit.out <(sed 22d lines) &&
		[ "$(cat exit.err)" = "chronq: damaged at segment 000000002 offset 448: record 21 is left out" ] &&
		exits 1 "$CHRONQ" tail -n 500 middle && cmp exit.out <(sed 22d lines)
}
ok "only the record with the damaged payload is left out" one_left_out
copy foreign && poke foreign/000000002.q 0
shows "cat steps over a segment whose header is damaged" 1 "does not belong to this queue" "$CHRONQ" cat foreign
shows "the rest of the queue is there" 1 "record 119" "$CHRONQ" cat foreign
shows "tail of it, too" 1 "record 000" "$CHRONQ" tail -n 500 foreign
copy foreign && poke foreign/000000000.q 0
shows "it is the first one" 1 "record 119" "$CHRONQ" cat foreign
shows "cat of a range behind it" 0 "record 100" "$CHRONQ" cat -s 100 middle
shows "cat of a range around it" 1 "record 060" "$CHRONQ" cat -s 15-60 middle
shows "ls" 0 "000000002" "$CHRONQ" ls middle
shows "info" 0 "newest record    119" "$CHRONQ" info middle
copy header && poke header/000000001.q 0
shows "ls of a file that is no segment" 1 "damaged" "$CHRONQ" ls header
copy newest
for file in newest/*.q; do poke "$file" 4; done
shows "ls, no file being a segment" 1 "damaged" "$CHRONQ" ls newest
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
copy gone && rm gone/000000005.q
shows "a segment is missing: tail" 1 "(so far: 1 segments, 10 records)" "$CHRONQ" tail -n 500 gone
shows "cat of a range that begins in it" 1 "no record 55; the next one is 60" "$CHRONQ" cat -s 55- gone
copy far && cp far/000000000.q far/999999999.q
shows "a file has the last name that a segment can have: cat" 0 "record 119" timeout "$patience" "$CHRONQ" cat far
shows "tail" 0 "record 119" timeout "$patience" "$CHRONQ" tail far
copy hidden && poke hidden/000000002.q 448
shows "cat of a range whose beginning a damaged record hides" 3 "Input/output error" "$CHRONQ" cat -s 25- hidden
last_twenty() {
	copy summary && poke summary/000000010.q 700 && exits 1 "$CHRONQ" tail -n 20 summary &&
		cmp exit.out <(sed -n '100,101p;103,120p' lines)
}
ok "tail -n 20 where summaries promise more than can be read" last_twenty
copy first && poke first/000000000.q 200
shows "the oldest record is damaged: info" 1 "records          damaged" "$CHRONQ" info first
placeholder() {
	copy gap && rm gap/000000001.q && exits 0 "$CHRONQ" repair -a gap && rm gap/00000000[02].*
}
ok "the oldest segment is a placeholder" placeholder
shows "and one is missing behind it: info" 1 "records          damaged" "$CHRONQ" info gap
copy last && poke last/000000011.q 1000
shows "damage in the newest segment: ls" 1 "000000011  damaged" "$CHRONQ" ls last
shows "info" 1 "newest record    111" "$CHRONQ" info last
shows "cat" 1 "record 111" "$CHRONQ" cat last
shows "append" 3 "the queue is damaged (see chronq verify)" "$CHRONQ" append last
# tail -f waits at the damage until it is repaired, writes one message, and continues
waits_at_damage() {
	local pid r
	"$CHRONQ" tail -f -n 5 last >waits.out 2>waits.err &
	pid=$!
	until grep -q damaged waits.err; do kill -0 "$pid" || return 1; done
	until [ "$(awk '/^voluntary/ { print $2 }' "/proc/$pid/status")" -gt 3 ]; do :; done
	exits 0 "$CHRONQ" repair -a last && echo more | "$CHRONQ" append last
	until grep -q more waits.out; do kill -0 "$pid" || return 1; done
	kill -TERM "$pid"
	wait "$pid"
	r=$?
	[ "$r" -eq 1 ] && [ "$(wc -l <waits.err)" -eq 1 ] &&
		cmp waits.out <(sed -n 108,112p lines && echo more)
}
ok "tail -f waits at damage" waits_at_damage
damaged_until() { # it ends when the time has passed, although no record can come behind the damage
	copy last && poke last/000000011.q 1000 &&
		exits 1 timeout "$patience" "$CHRONQ" tail -f -n 1 -U "@$(($(date +%s) + 2))" last && [ "$(wc -l <exit.err)" = 1 ] &&
		cmp exit.out <(sed -n 112p lines)
}
ok "tail -f --until, at damage" damaged_until
unsealed_newest() { # as chronicle-rs writes it: its header has no stream_base
	copy unknown && dd if=/dev/zero of=unknown/000000011.q bs=1 seek=16 count=48 conv=notrunc status=none &&
		exits 0 "$CHRONQ" info unknown && grep -q '^newest record    119' exit.out &&
		! grep -q '^payload' exit.out
}
ok "info shows no number of bytes that is unknown" unsealed_newest
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
yes x | head -n 5000 | "$CHRONQ" append -s 1M short-lines
shows "many records" 3 "No space left on device" full "$CHRONQ" cat --json short-lines
shows "tail -f" 3 "No space left on device" full timeout "$patience" "$CHRONQ" tail -f q
shows "tail of much" 3 "No space left on device" full "$CHRONQ" tail -n 20000 large

# ---- input ----

from_directory() { "$CHRONQ" append q <.; }
shows "input that cannot be read" 3 "standard input: Is a directory" from_directory
closed() { "$CHRONQ" append q <&-; }
shows "no input" 3 "standard input: " closed
head -c 3000000 /dev/zero | tr '\0' x >long-line && echo >>long-line
huge() { "$CHRONQ" append -s 64K huge <long-line; }
shows "a line larger than every buffer is split" 0 "split lines of more than 65408 bytes: 1" huge
# shellcheck disable=SC2016 # for that sh
shows "nothing of it is lost" 0 "3000000" sh -c '"$1" cat huge | tr -d "\n" | wc -c' sh "$CHRONQ"
head -c 900000 /dev/zero | tr '\0' x | "$CHRONQ" append -s 1M larger
shows "a line that is larger than the buffer and fits into a record" 0 '"length":900000,' "$CHRONQ" cat --json larger
# tiny DIR BYTES: an empty queue of one segment of this size.
tiny() {
	mkdir "$1" && printf '0GES\2\0\0\0' >"$1/000000000.q" && truncate -s "$2" "$1/000000000.q"
}
tiny 128 128 && tiny 192 192
for input in abc 'abc\n' '\n' 'abc\nabc'; do
	# shellcheck disable=SC2016 # for that sh
	shows "records that can hold no byte: $input" 3 "no record can hold a byte" \
		timeout -s KILL "$patience" sh -c 'printf "$2" | "$1" append 128' sh "$CHRONQ" "$input"
done
shows "no input for them" 1 "nothing to append" "$CHRONQ" append 128
shows "there is none" 0 "records          none" "$CHRONQ" info 128
shows "nor any damage" 0 "damage 0" "$CHRONQ" verify 128
seventy() { { head -c 69 long-line && echo; } | timeout -s KILL "$patience" "$CHRONQ" append 192; }
shows "records of 64 bytes" 0 "split lines of more than 64 bytes: 1" seventy
ok "all of the line is there" cmp <("$CHRONQ" cat 192) <(head -c 69 long-line && echo)
# There is no memory for the whole line: the part that was read is appended nevertheless.  RLIMIT_DATA does not
# count mapped segments; a sanitizer does not start under it.
no_memory() {
	(ulimit -d 24000 && head -c 6000000 /dev/zero | tr '\0' x | "$CHRONQ" append -s 8M no-memory)
}
read_before() {
	local read
	read=$("$CHRONQ" cat no-memory | wc -c)
	[ "$read" -gt 1000000 ] && cmp <("$CHRONQ" cat no-memory) <(head -c "$read" /dev/zero | tr '\0' x)
}
if (unset ASAN_OPTIONS UBSAN_OPTIONS && ulimit -d 24000 && "$CHRONQ" --version) >/dev/null 2>&1; then
	shows "a line larger than memory" 3 "standard input: Cannot allocate memory" no_memory
	ok "what was read of it is there" read_before
fi
# A segment with the last id.
echo x | "$CHRONQ" append -s 4096 ids && rm ids/*.meta ids/000000001.q && mv ids/000000000.q ids/999999999.q
printf '\377\311\232\073' | dd of=ids/999999999.q bs=1 seek=8 conv=notrunc status=none
many() { seq 2000 | "$CHRONQ" append ids; }
shows "segment ids are used up, and how many records are in" 3 "records appended: 30" many
shows "the records that fitted are there" 0 "damage 0" "$CHRONQ" verify ids
ok "in order" cmp <("$CHRONQ" cat ids) <(echo x && seq 30)
pieces() { { seq 511 && head -c 200000 long-line; } >pieces-lines && "$CHRONQ" append ids <pieces-lines; }
shows "a line of many pieces" 3 "are used up" pieces
for size in 1 x 0 4096x 4KB 5T 99999999999G -1; do
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

# Each call fails with EIO; open also with ENOENT and EMFILE.
failing="open:2 open:24"
for call in open_dir open stat stat_at pread seek_data list next_name map lseek mkdir create_new \
	allocate pwrite sync_data sync_dir rename_noreplace rename unlink populate lock set_times; do
	failing="$failing $call:5"
done
skips="0 1 2 3 5 8 11 13"

# each COMMAND...: each call fails at several times.  The command ends by itself, and prints the reason if it
# does not succeed; the queue keeps all records.
each() {
	local failure skip code bad=0 runs=0 failed=0
	for failure in $failing; do
		for skip in $skips; do
			CHRONQ_FAIL=$failure:$skip:1 timeout "$patience" "$@" >out 2>err <one
			code=$?
			runs=$((runs + 1))
			[ "$code" -ne 0 ] || continue
			failed=$((failed + 1))
			if { [ "$code" -ne 1 ] || [ ! -s out ]; } && { [ "$code" -ne 3 ] || [ ! -s err ]; }; then
				echo "# $failure:$skip: exit code $code, said: $(head -n 1 err)"
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
	each "$@"
	check "$what" $?
}
echo one >one
if [ "${PLANTED_FAULTS-}" = yes ]; then # only such a build has calls that fail
	for command in info ls cat "tail -n 100" verify; do
		# shellcheck disable=SC2086 # words
		each_case "$command, with failing calls" "$CHRONQ" $command q
	done
	failing="open:24 open:5 list:5 next_name:5 open_dir:5" skips="$(seq 2 3 30)" \
		each_case "tail from the beginning, with failing calls" "$CHRONQ" tail -n 500 q
	# From some sync on all syncs fail: a message says how many records are appended, and how many of them may not be
	# on the disk.
	unsynced() {
		local skip count last runs=0
		for skip in 0 1 2 3 4 5 6; do
			rm -rf unsynced
			seq 600 | CHRONQ_FAIL=sync_data:5:$skip:-1 exits 3 "$CHRONQ" append --sync -s 1M unsynced
			count=$(sed -n 's/.*records appended: \([0-9]*\).*/\1/p' exit.err)
			last=$(sed -n 's/.*; the last \([0-9]*\) of them may not.*/\1/p' exit.err)
			[ "${count:-0}" -gt 0 ] && [ "${last:-0}" -gt 0 ] || continue
			[ "$last" -le "$count" ] && cmp <("$CHRONQ" cat unsynced) <(seq "$count") || return 1
			runs=$((runs + 1))
		done
		echo "$runs runs"
		[ "$runs" -ge 2 ]
	}
	ok "append --sync says how many records are in when a sync fails" unsynced
	copy appended
	each_case "append, with failing calls" "$CHRONQ" append appended
	shows "all that was there before is there" 0 "record 119" "$CHRONQ" cat -s 0-119 appended
	shows "and it is sound" 0 "damage 0" "$CHRONQ" verify appended
	unmappable() { CHRONQ_FAIL=map:19:0:-1 "$CHRONQ" cat q; }
	shows "the file system cannot map files, as a mount" 3 "(of a mount, name the queue that is mounted)" unmappable
	vanished() { # one line is the heading
		CHRONQ_FAIL=open:2:2:1 exits 0 "$CHRONQ" ls q &&
			[ "$(wc -l <exit.out)" -eq "$(find q -name '*.q' | wc -l)" ]
	}
	ok "ls leaves out a segment that is deleted meanwhile" vanished
	failing="open:24 stat_at:5 next_name:5 list:5" skips="$(seq 0 12)" \
		each_case "ls where a segment is missing, with failing calls" "$CHRONQ" ls gone
	# No room for a new queue: the message says what helps.
	for error in 28:"No space left on device" 122:"Disk quota exceeded" 27:"File too large"; do
		no_room() { CHRONQ_FAIL=allocate:${error%%:*}:0:-1 "$CHRONQ" append no-room <one; }
		shows "no room for a new queue: ${error#*:}" 3 "can have smaller segments" no_room
		shows "the reason, too" 3 "${error#*:}" no_room
	done
	# A writer is held in its close: the next one writes a message, waits, and then appends.
	closing() {
		local first second r=0
		rm -rf closing hold.reached hold.go && mkfifo hold.reached hold.go
		CHRONQ_HOLD=close.drained:hold "$CHRONQ" append closing <one &
		first=$!
		: <hold.reached # returns when the place is reached
		exits 0 "$CHRONQ" info closing && grep -q "^writer           closing, process $first\$" exit.out || r=1
		echo two | "$CHRONQ" append closing 2>second.err &
		second=$!
		until grep -q "process $first is closing the queue; waiting for it" second.err; do
			kill -0 "$second" || break
		done
		: >hold.go
		wait "$first" && wait "$second" && [ "$r" -eq 0 ] || return 1
		grep -q "is closing the queue" second.err && cmp <("$CHRONQ" cat closing) <(printf 'one\ntwo\n')
	}
	ok "a writer waits for one that is closing" closing
	killed() { CHRONQ_KILL=roll.moved "$CHRONQ" append -s 4096 killed <lines; }
	killed 2>/dev/null
	shows "ls of a segment that was begun and has no record" 0 "000000001  active               -" \
		"$CHRONQ" ls killed
	nothing_opens() { CHRONQ_FAIL=open:5:13:-1 "$CHRONQ" info q; }
	shows "info, no segment being readable" 1 "" nothing_opens
fi
finish
