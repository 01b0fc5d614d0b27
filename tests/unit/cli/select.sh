#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# select.sh - chronq cat and tail with selections and formats; trim by time; prints TAP
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"
export TZ=UTC0

# Record i of 200 has the second i after 2026-11-30 10:00:00, and type i % 5.  Segments of 31 records.
line() { printf '{"seq":%d,"time_ns":"%s","type":%d,"payload":"record %d\\n"}\n' "$1" "$2" "$3" "$1"; }
for i in {0..199}; do line "$i" $(((1796032800 + i) * 1000000000)) $((i % 5)); done >lines
"$CHRONQ" import -s 4096 q <lines || exit 1
records() { seq -f 'record %g' "$@"; }

# writes DESCRIPTION EXPECTED COMMAND...: it succeeds with this output, a file or text, and says nothing
writes() {
	local what=$1 expected=$2
	shift 2
	"$CHRONQ" "$@" >out 2>err
	local code=$?
	[ $code -eq 0 ] && [ ! -s err ] && cmp -s out <(if [ -n "$expected" ]; then printf '%s\n' "$expected"; fi)
	check "$what" $? "exit code $code: $(head -n 5 err) $(head -n 5 out)"
}
# refuses DESCRIPTION TEXT COMMAND...
refuses() {
	local what=$1 text=$2
	shift 2
	exits 2 "$CHRONQ" "$@" && grep -qF -- "$text" exit.err && [ ! -s exit.out ]
	check "$what" $? "$(cat exit.err)"
}

# ---- times ----

writes "--since" "$(records 100 199)" cat --since "2026-11-30 10:01:40" q
writes "--until, and that second" "$(records 0 100)" cat --until "2026-11-30 10:01:40" q
writes "and not what follows it" "$(records 0 99)" cat --until "2026-11-30 10:01:39.999" q
writes "both" "$(records 60 65)" cat -S 2026-11-30T10:01:00Z -U 2026-11-30T10:01:05Z q
writes "the same time" "record 60" cat -S @1796032860 -U @1796032860 q
writes "another zone" "$(records 198 199)" cat -S "2026-11-30 11:03:18 +01:00" q
writes "since a time in the future" "" cat --since +1000y q
mkdir nothing
writes "since a time in a queue without segments" "" cat -S @0 nothing
writes "until one" "$(records 0 199)" cat --until +1000y q
writes "until the past" "" cat --until "2026-11-30 09:59:59" q
writes "since the past" "$(records 0 199)" cat --since @0 q
writes "with a range: both count" "$(records 60 70)" cat -s 50-70 -S "2026-11-30 10:01:00" q
refuses "--until before --since" "--until is before --since" cat -S 2026-11-30 -U 2026-11-29 q
refuses "1969" "a time before 1970" cat -S 1969-12-31 q
refuses "the year 3000" "after 2554" cat -U 3000-01-01 q
refuses "no time" "not a time: soon (as \"10 min ago\", 10:00," tail -S soon q
writes "tail --since: all" "$(records 150 199)" tail -S "2026-11-30 10:02:30" q
writes "tail --since -n" "$(records 197 199)" tail -S "2026-11-30 10:02:30" -n 3 q
writes "tail --until: the last ten before it" "$(records 91 100)" tail -U "2026-11-30 10:01:40" q
writes "tail of both, fewer than -n" "$(records 98 100)" tail -S "2026-11-30 10:01:38" -U "2026-11-30 10:01:40" -n 50 q
writes "tail -n 0" "" tail -S @0 -n 0 q
writes "tail of more than any queue has" "$(records 0 199)" tail -n 18446744073709551614 q
refuses "tail: --until before --since" "--until is before --since" tail -S 2026-11-30 -U 2026-11-29 q
refuses "tail: --commit alone" "--commit is for --reader" tail --commit end q
refuses "tail: another --commit" "not batch or end: often" tail --reader x --commit often q
ends() { timeout "$patience" "$CHRONQ" tail -f -S "2026-11-30 10:03:18" -U "2026-11-30 10:03:30" q; }
ok "tail -f --until in the past ends at once" cmp <(ends) <(records 198 199)
until_soon() { # it ends by itself, with all that came before that time
	local pid end since
	cp -R q soon && since=$(date +%s) && end=$((since + 4))
	timeout "$patience" "$CHRONQ" tail -f -S "@$since" -U "@$end" soon >soon.out &
	pid=$!
	while [ "$(date +%s)" -lt $((end - 1)) ]; do date +%N | "$CHRONQ" append soon || return 1; done
	wait "$pid" && [ "$(date +%s)" -ge "$end" ] && cmp soon.out <("$CHRONQ" cat -S "@$since" -U "@$end" soon)
}
ok "tail -f --until ends when the time has passed" until_soon

# The clock was set back twice: in the middle of a segment, and by an hour between two.
for i in {0..399}; do
	at=$((1796032800 + i))
	[ "$i" -ge 50 ] && at=$((at - 20))
	[ "$i" -ge 186 ] && at=$((at - 100))
	line "$i" $((at * 1000000000)) 1
done >back.json
"$CHRONQ" import -s 4096 back <back.json
sed 's/.*"time_ns":"\([0-9]*\)000000000".*"payload":"\(.*\)\\n"}/\1 \2/' back.json >back.text
# by_hand A B: the records of these seconds
by_hand() { awk -v a=$((1796032800 + $1)) -v b=$((1796032800 + $2)) '$1 >= a && $1 <= b { print $2, $3 }' back.text; }
set_back() {
	local a b
	for a in 0 25 35 49 60 100 165 166 200 290; do
		for b in 0 10 49 80 165 300; do
			[ "$a" -le "$b" ] || continue
			"$CHRONQ" cat -S @$((1796032800 + a)) -U @$((1796032800 + b)) back | cmp - <(by_hand $a $b) || return 1
			"$CHRONQ" tail -n 7 -S @$((1796032800 + a)) -U @$((1796032800 + b)) back |
				cmp - <(by_hand $a $b | tail -n 7) || return 1
		done
		"$CHRONQ" tail -n 40 -U @$((1796032800 + a)) back | cmp - <(by_hand 0 $a | tail -n 40) || return 1
	done
}
ok "the clock was set back: all records of the time, no others" set_back
early() { # damage shows what is read
	cp -R q early && printf XXXX | dd of=early/000000004.q bs=1 seek=640 conv=notrunc status=none &&
		exits 1 "$CHRONQ" cat early && exits 0 "$CHRONQ" cat -U "2026-11-30 10:01:00" early && cmp exit.out <(records 0 60) &&
		exits 0 "$CHRONQ" cat -S "2026-11-30 10:02:40" early && cmp exit.out <(records 160 199)
}
ok "segments outside of the time are not read" early
no_index() { rm -f early/*.idx && exits 0 "$CHRONQ" cat -S "2026-11-30 10:02:40" q && cmp exit.out <(records 160 199); }
ok "nor missed without indexes" no_index
ok "chronicle-rs's queue from its middle on" exits 0 "$CHRONQ" cat -S 2020-01-01 "$GOLDEN/v2-mixed"
ok "chronicle-rs's queue" cmp <("$CHRONQ" cat -S 2020-01-01 -U 2040-01-01 "$GOLDEN/v2-reopened") <("$CHRONQ" cat "$GOLDEN/v2-reopened")

# ---- types, patterns ----

of_types() { for i in {0..199}; do case $((i % 5)) in $1) echo "record $i" ;; esac; done; }
writes "--type" "$(of_types 3)" cat --type 3 q
writes "--type 0" "$(of_types 0)" cat -t 0 q
writes "a list" "$(of_types '[13]')" cat -t 1,3 q
writes "twice" "$(of_types '[13]')" cat -t 1 -t 3 q
writes "a range" "$(of_types '[0234]')" cat -t 2-4,0 q
writes "none of a type" "" cat -t 65534 q
writes "tail --type" "$(of_types 3 | tail -n 30)" tail -n 30 -t 3 q
writes "tail of a rare one" "record 3" tail -t 3 -g '^record 3$' q
for types in x 1x 1, ,1 3-1 65535 -1 1-65535 99999999999999999999 1--2 ''; do
	refuses "no type: $types" "not a record type" cat --type="$types" q
done
writes "--grep" "$(records 0 199 | grep 7)" cat --grep 7 q
writes "of both ends of the line" "record 7" cat -g '^record 7$' q
writes "alternatives, no case" "$(records 0 199 | grep -E '11|5$')" cat -g '(?i)RECORD.*(11|5$)' q
writes "none" "" cat -g nothing q
writes "tail --grep" "$(records 0 199 | grep 7 | tail -n 3)" tail -n 3 -g 7 q
writes "tail --grep of the oldest" "record 1" tail -n 3 -g '^record 1$' q
writes "all together" "record 67" cat -g 7 -t 2 -S "2026-11-30 10:01:00" -U "2026-11-30 10:01:10" -s 0-100 q
refuses "no pattern" "not a regular expression: (: at character 1: missing closing parenthesis" cat -g '(' q
refuses "two patterns" "more than one --grep" cat -g a -g b q
binary() {
	printf '%s\n' '{"payload":"a\u0000b"}' '{"payload_base64":"/wBiAP8="}' '{"payload":"\u0000"}' '{"payload":""}' \
		'{"payload":"one\ntwo\n"}' '{"payload":"caf\u00e9"}' | "$CHRONQ" import -r -s 4096 bin &&
		[ "$("$CHRONQ" cat --format %s -g 'b' bin)" = $'0\n1' ] && [ "$("$CHRONQ" cat --format %s -g '\x00' bin)" = $'0\n1\n2' ] &&
		[ "$("$CHRONQ" cat --format %s -g '^$' bin)" = 3 ] && [ "$("$CHRONQ" cat --format %s -g '^two$' bin)" = 4 ] &&
		[ "$("$CHRONQ" cat --format %s -g '^caf.$' bin)" = 5 ] && [ "$("$CHRONQ" cat --format %s -g '\xff' bin)" = "" ]
}
ok "zero bytes, no UTF-8, several lines, nothing" binary
slow() {
	{ printf '{"payload":"'; head -c 3000 /dev/zero | tr '\0' a; printf '"}\n{"payload":"b"}\n'; } |
		"$CHRONQ" import -r -s 4096 slow || return 1
	exits 1 "$CHRONQ" cat -g '^(a+)+$(?<!a)|b' slow && [ "$(cat exit.out)" = b ] &&
		grep -q 'record 0 is left out: --grep takes too long' exit.err &&
		exits 1 "$CHRONQ" tail -g '^(a+)+$(?<!a)|b' slow && [ "$(cat exit.out)" = b ]
}
ok "a pattern that takes too long leaves the record out" slow
long_match() {
	{ printf '{"payload":"\\"'; head -c 50000 /dev/zero | tr '\0' a; printf '\\""}\n'; } | "$CHRONQ" import -r long || return 1
	[ "$("$CHRONQ" cat --format %s -g '^"(?:[^"\\]|\\.)*"$' long)" = 0 ] && [ "$("$CHRONQ" tail --format %s -g '^(\w|")+$' long)" = 0 ] &&
		[ "$("$CHRONQ" cat --format %s -g '^(?:[^"\\]|\\.)*$' long)" = "" ]
}
ok "a pattern that needs much memory for a long payload" long_match

# ---- formats ----

writes "--format" "7 2026-11-30T10:00:07.000000000Z record 7" cat -s 7 --format '%s %t %p' q
writes "all fields" "7 1796032807000000000 2 9 63 000000000 1 7265636f726420370a cmVjb3JkIDcK 100%" \
	cat -s 7 -F '%s %n %y %l %o %g %e %x %b 100%%' q
writes "escapes" $'7\t\\\n7' cat -s 7 -F '%s\t\\\n%s' q
exact() { "$CHRONQ" cat -F '%p\c' q | cmp - <("$CHRONQ" cat q) && "$CHRONQ" cat -s 1-3 -F '%s\0\c' q | cmp - <(printf '1\0002\0003\000'); }
ok "\\c: no newline" exact
writes "of tail" "198:record 198
199:record 199" tail -n 2 -F '%s:%p' q
writes "text at the end" $'7:\n8:' cat -s 7-8 -F '%s:' q
writes "an empty format" $'\n' cat -s 1-2 -F '' q
large() {
	head -c 100000 /dev/urandom >random && python3 -c '
import base64, json; print(json.dumps({"payload_base64": base64.b64encode(open("random", "rb").read()).decode()}))' |
		"$CHRONQ" import -r -s 1M large && "$CHRONQ" cat -F %b large | base64 -d | cmp - random &&
		"$CHRONQ" cat -F %x large | tr -d '\n' | cmp - <(od -An -v -tx1 random | tr -d ' \n')
}
ok "hex and base64 of a large payload" large
no_stream() { "$CHRONQ" cat -s 0 -F '%o %e' "$GOLDEN/v2-small" | cmp - <(echo "- -"); }
ok "what chronicle-rs does not write" no_stream
for format in %q % 'x%' '\q' '\' 'a\cb'; do refuses "no format: $format" "--format: " cat -F "$format" q; done
refuses "with --json" "--json and --format exclude each other" tail -j -F %s q
writes "a format and a full selection" "" cat -g x -F %s q
full() { "$CHRONQ" "$@" >/dev/full; }
ok "a full disk" exits 3 full cat -F '%s %x %b' q
ok "a full disk in the middle of a record" exits 3 full cat -F '%x %x %x %s' large
json_selected() { "$CHRONQ" cat -j -t 3 q | python3 -c '
import json, sys
assert [json.loads(line)["seq"] for line in sys.stdin] == list(range(3, 200, 5))'; }
ok "--json of a selection" json_selected

# ---- trim and roll ----

trims() { # EXPECTED ARGUMENT...
	local expected=$1
	shift
	exits 0 "$CHRONQ" trim "$@" && [ "$(cat exit.out)" = "$expected" ]
}
by_seq() {
	cp -R q t && trims "no segment deleted" --before 30 t && trims "deleted: segments 000000000 to 000000000" -b 31 t &&
		trims "deleted: segments 000000001 to 000000002" -b 93 t && "$CHRONQ" cat t | cmp - <(records 93 199) &&
		trims "deleted: segments 000000003 to 000000005" -b 18446744073709551615 t && "$CHRONQ" cat t | cmp - <(records 186 199) &&
		exits 0 "$CHRONQ" verify t
}
ok "trim by sequence number" by_seq
by_time() {
	rm -r t && cp -R q t && trims "no segment deleted" -b "2026-11-30 10:00:30" t &&
		trims "deleted: segments 000000000 to 000000000" -b "2026-11-30 10:00:31" t &&
		trims "deleted: segments 000000001 to 000000005" -b now t && "$CHRONQ" cat t | cmp - <(records 186 199)
}
ok "trim by time" by_time
back_trim() { # segment 1 has a time of up to 10:00:49, later ones earlier times
	trims "deleted: segments 000000000 to 000000000" -b "2026-11-30 10:00:40" back &&
		[ "$("$CHRONQ" cat --until "2026-11-30 10:00:39" back | wc -l)" -gt 0 ]
}
ok "the clock was set back: nothing of the time is deleted" back_trim
rolls() {
	exits 0 "$CHRONQ" roll t && [ "$(cat exit.out)" = "segment 000000006 is sealed" ] && exits 0 "$CHRONQ" roll t &&
		[ "$(cat exit.out)" = "nothing to roll: segment 000000007 has no record" ] &&
		trims "deleted: segments 000000006 to 000000006" -b now t && [ -z "$("$CHRONQ" cat t)" ] &&
		echo next | "$CHRONQ" append t && [ "$("$CHRONQ" cat -s 200 t)" = next ]
}
ok "roll ends a segment, which can then be trimmed" rolls
kept() {
	rm -r t && cp -R q t && mkdir t/readers && python3 - <<'PY' &&
import struct, zlib
slot = struct.pack("<QQQQ", 1, 64, 0, 1)
open("t/readers/joe.meta", "wb").write((slot + struct.pack("<II", zlib.crc32(slot), 0)).ljust(80, b"\0"))
PY
		exits 1 "$CHRONQ" trim -b 100 t && [ "$(cat exit.out)" = "deleted: segments 000000000 to 000000000" ] &&
		grep -q 'the named reader joe has still to read segment 000000001' exit.err &&
		exits 1 "$CHRONQ" trim -b 100 t && [ "$(cat exit.out)" = "no segment deleted" ]
}
ok "a named reader keeps segments, and is named" kept
others() { # only those that need the segment are named
	exits 0 "$CHRONQ" readers --set far latest t && exits 1 "$CHRONQ" trim -b 100 t && grep -q 'reader joe has' exit.err &&
		! grep -q far exit.err
}
ok "readers behind it are not" others
trusted() {
	rm -r t && cp -R q t && chmod 666 t/control.meta && exits 3 "$CHRONQ" trim -b 40 t && exits 3 "$CHRONQ" roll t &&
		trims "deleted: segments 000000000 to 000000000" --trust-files -b 40 t && exits 0 "$CHRONQ" roll -t t
}
ok "--trust-files" trusted
residue() { # of a write that a crash ended: the recovery's notice is not repeated
	local used
	rm -r t && cp -R q t && used=$("$CHRONQ" ls t | awk '$2 == "active" { print $6 }') &&
		printf XXXX | dd of=t/000000006.q bs=1 seek=$((used + 16)) conv=notrunc status=none &&
		exits 0 "$CHRONQ" roll t && [ ! -s exit.err ] && [ -e t/000000006.q.broken ] && cmp <("$CHRONQ" cat t) <("$CHRONQ" cat q)
}
ok "roll behind an unfinished write" residue
no_summary() {
	rm -r t && cp -R "$GOLDEN/v2-mixed" t && chmod -R u+w t && exits 0 "$CHRONQ" trim -b 2000-01-01 t &&
		grep -q 'no segment deleted' exit.out && cmp <("$CHRONQ" cat t) <("$CHRONQ" cat "$GOLDEN/v2-mixed")
}
ok "trim by time of chronicle-rs's queue" no_summary
busy() {
	exits 3 flock t/writer.lock "$CHRONQ" trim -b 1 t && grep -q 'process [0-9]* has the queue, and serves no mount' exit.err &&
		grep -q 'echo trim 1 > MOUNT/ctl' exit.err && exits 3 flock t/writer.lock "$CHRONQ" roll t &&
		grep -q 'echo roll > MOUNT/ctl' exit.err && : >t/writer.lock && exits 3 flock t/writer.lock "$CHRONQ" roll t &&
		grep -q 'another process has the queue' exit.err
}
ok "another writer has the queue" busy
none() {
	mkdir empty && exits 1 "$CHRONQ" roll empty && exits 1 "$CHRONQ" trim -b 1 empty && [ -z "$(ls empty)" ] &&
		exits 3 "$CHRONQ" roll none && exits 3 "$CHRONQ" trim -b 1 none && [ ! -e none ]
}
ok "no queue: none is made" none
refuses "trim without a limit" "--before is missing" trim q
refuses "a limit that is none" "not a time: x (as \"10 min ago\"" trim -b x q
refuses "an empty one" "not a time: " trim -b '' q
refuses "too large a number" "not a sequence number" trim -b 99999999999999999999 q
refuses "no directory" "no queue directory given" trim -b 1
refuses "roll without one" "no queue directory given" roll
refuses "roll has no limit" "unknown option: -b" roll -b 1 q
damaged_oldest() {
	rm -r t && cp -R q t && printf XXXX | dd of=t/000000000.q bs=1 seek=0 conv=notrunc status=none &&
		printf XXXX | dd of=t/000000001.q bs=1 seek=0 conv=notrunc status=none && exits 3 "$CHRONQ" trim -b 100 t &&
		grep -q 'damaged' exit.err
}
ok "a damaged segment that does not say what it holds" damaged_oldest

# failing CALL...: each of these calls fails at several times.  A command ends by itself, with a reason if it does not
# succeed.
failing() {
	local call skip command code runs=0
	for call in "$@"; do
		for skip in 0 1 2 3 4 6 9; do
			rm -rf t && cp -R q t
			for command in "cat -S @1796032900 t" "cat -U @1796032860 t" "tail -n 5 -g 7 t" "tail -S @1796032900 t" \
				"trim -b 40 t" "trim -b @1796032900 t" "roll t"; do
				# shellcheck disable=SC2086 # words
				CHRONQ_FAIL=$call:$skip:1 timeout "$patience" "$CHRONQ" $command >out 2>err
				code=$?
				[ $code -eq 0 ] && continue
				runs=$((runs + 1))
				{ [ $code -eq 1 ] || [ $code -eq 3 ]; } && [ -s err ] || {
					echo "$call:$skip $command: $code"
					return 1
				}
			done
		done
	done
	[ $runs -gt 5 ]
}
# one_fails CALL:ERROR LAST COMMAND...: each of the first calls fails once; afterwards the queue is as if the command had
# not been given, or had succeeded: what it holds is an end of what it held.
one_fails() {
	local call=$1 last=$2 skip code runs=0
	shift 2
	for ((skip = 0; skip <= last; skip++)); do
		rm -rf t && cp -R q t
		CHRONQ_FAIL=$call:$skip:1 timeout "$patience" "$CHRONQ" "$@" >out 2>err
		code=$?
		"$CHRONQ" cat q | tail -n "$("$CHRONQ" cat t | wc -l)" | cmp - <("$CHRONQ" cat t) || return 1
		[ $code -eq 0 ] && continue
		runs=$((runs + 1))
		[ $code -eq 3 ] && grep -q '^chronq: ' err || {
			echo "$call:$skip $*: $code: $(cat err)"
			return 1
		}
	done
	[ $runs -gt 0 ]
}
if [ "${PLANTED_FAULTS-}" = yes ]; then
	ok "trim by time: each open fails" one_fails open:24 70 trim -b @1796032900 t
	ok "trim by time: each read fails" one_fails pread:5 40 trim -b @1796032900 t
	ok "roll: each open fails" one_fails open:24 50 roll t
	ok "roll: each sync fails" one_fails sync_data:5 9 roll t
	ok "cat --since: each open fails" one_fails open:24 40 cat -S @1796032900 t
	ok "tail: each open fails" one_fails open:24 50 tail -n 100 -t 3 t
	ok "tail: each listing fails" one_fails list:5 12 tail -n 100 -t 3 t
	ok "with failing calls" failing open:5 open:24 list:5 pread:5 open_dir:5 stat:5 map:12
fi
finish
