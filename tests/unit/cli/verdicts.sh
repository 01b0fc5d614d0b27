#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# verdicts.sh - verify, cat, tail, ls and repair on the same queues, sound and damaged; prints TAP
#
# Each case is a queue and what has happened to it.  All commands give the same verdict: all records are there
# (exit 0), or some are damaged or missing (exit 1), and the same end of the queue.  Bytes without a commit
# word, as a killed writer leaves them, are no damage.  A record that has its commit word and fails a check is
# damage, wherever it is.  Neither depends on control.meta or on writer.lock.

# A queue is copied some hundred times: in memory, if possible.
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"

# 31 records in each of the segments 0 to 2, 7 in segment 3; record N of a segment is at 64 + 128 * N.
seq 1001 1100 >lines
"$CHRONQ" append -s 4096 q <lines || exit 1
poke() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# refused_later DESCRIPTION: a repair of a copy of d that somebody has locked, which waits a second for the lock;
# all of these wait at the same time.  refused_by_now looks at what came of them.
later=()
refused_later() {
	local copy=later${#later[@]}
	later+=("$1")
	cp -R d "$copy"
	(
		exec 9<>"$copy/writer.lock" && flock 9
		"$CHRONQ" repair -n "$copy" 9>&- >"$copy.out" 2>&1
		echo $? >"$copy.status"
	) &
}
refused_by_now() {
	local i
	wait
	for i in "${!later[@]}"; do
		[ "$(cat "later$i.status")" -eq 3 ]
		check "${later[i]}: a repair is refused" $? "$(cat "later$i.out")"
	done
}

# judged DESCRIPTION RECORDS VERDICT LS REPAIR STEP...: each STEP is done in a copy of the queue.
# VERDICT: exit code of verify, cat and tail; LS: of ls; REPAIR: of a dry run.  RECORDS: how many cat prints.
judged() {
	local what=$1 records=$2 verdict=$3 ls=$4 repair=$5 step bad= locked=no
	shift 5
	rm -rf d && cp -R q d
	for step in "$@"; do
		if [ "$step" = locked ]; then
			# by a process that is no writer
			exec 9<>d/writer.lock && flock 9
			locked=yes
		else
			(cd d && $step) || bad="cannot be made: $step"
		fi
	done
	exits "$verdict" "$CHRONQ" verify d >out || bad="verify: $(cat out)"
	exits "$verdict" "$CHRONQ" cat d >out || bad="cat: $(cat out)"
	[ "$(wc -l <exit.out)" -eq "$records" ] || bad="cat gives $(wc -l <exit.out) records, not $records"
	exits "$verdict" "$CHRONQ" tail -n 1000 d >out || bad="tail: $(cat out)"
	exits "$ls" "$CHRONQ" ls d >out || bad="ls: $(cat out)"
	exec 9>&-
	if [ "$locked" = yes ]; then
		refused_later "$what"
	else
		exits "$repair" "$CHRONQ" repair -n d >out || bad="repair: $(cat out)"
	fi
	[ -z "$bad" ]
	check "$what" $? "$(head -n 12 <<<"$bad")"
}

# ---- steps ----

last=000000003.q
end=$((64 + 7 * 128)) # of the records
half_a_record() { poke $last $((end + 4)) '\1\0\0\0half of a header'; }
half_a_payload() { poke $last $((end + 64)) 'half of a payload'; }
torn_payload() { poke $last $((64 + 6 * 128 + 64)) X; }
torn_header() { poke $last $((64 + 6 * 128 + 9)) X; }
committed() { poke $last "$end" '\050\0\0\0'; }
wrong_length() { poke $last $((64 + 6 * 128)) '\377\377\0\0'; }
uncommitted() { poke $last $((64 + 3 * 128)) '\0\0\0\0'; } # records behind it
sealed_payload() { poke 000000001.q $((64 + 9 * 128 + 64)) X; }
gap() { rm 000000001.q; }
no_control() { rm control.meta; }
stale_control() { poke control.meta 256 '\300\0\0\0'; } # at record 1
ahead_control() { poke control.meta 256 '\300\017\0\0'; }
no_marks() { rm durable.meta index.meta; }
lock_fifo() { rm writer.lock && mkfifo writer.lock; }
lock_link() { rm writer.lock && ln -s nowhere writer.lock; }
lock_gone() { rm writer.lock; }

for state in "" no_control stale_control "no_control no_marks" "no_control lock_gone" "no_control no_marks lock_fifo" \
	"no_control no_marks lock_link" "stale_control no_marks lock_fifo" "stale_control no_marks locked" \
	"no_control no_marks locked" locked; do
	# a repair has something to do, or is refused, unless the queue is the same as before
	sound=1 any=1
	[ -z "$state" ] && sound=0
	case $state in *lock_[fl]i* | *locked*) sound=3 any=3 ;; esac
	at="${state:-at rest}"
	# shellcheck disable=SC2086 # words
	{
		case $state in
		*lock_[fl]i*) ;; # which verify alone calls damage
		*)
			judged "$at: all is there" 100 0 0 $sound $state
			judged "$at: half a header" 100 0 0 $any $state half_a_record
			judged "$at: half a payload" 100 0 0 $any $state half_a_payload
			;;
		esac
		judged "$at: a damaged payload" 99 1 1 $any $state torn_payload
		judged "$at: a damaged header" 99 1 1 $any $state torn_header
		judged "$at: a commit word before nothing" 100 1 1 $any $state committed
		judged "$at: a commit word before half a record" 100 1 1 $any $state half_a_record committed
		judged "$at: a length that leads out of the segment" 99 1 1 $any $state wrong_length
	}
done
judged "a sealed segment, which ls does not read" 99 1 0 1 sealed_payload
sealed_header() { poke 000000001.q $((64 + 9 * 128 + 9)) X; }
judged "the same, and the header is damaged" 78 1 0 1 sealed_header
middle_payload() { poke $last $((64 + 3 * 128 + 64)) X; }
judged "records behind a damaged one, where the next writer ends the queue" 96 1 1 1 middle_payload
judged "a missing segment" 69 1 1 1 gap
judged "a missing segment, no control.meta" 69 1 1 1 gap no_control
unsealed() { dd if=/dev/zero of=000000001.q bs=1 seek=12 count=52 conv=notrunc status=none; }
judged "records behind an unsealed segment, no control.meta" 62 1 0 1 unsealed no_control
refused_by_now
finish
