#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# readers.sh - chronq cat --reader, tail --reader and readers, as users call them; prints TAP
. "$(dirname "$0")/cli_lib.sh"

chronq() {
	"$CHRONQ" "$@"
}

numbers() { seq -f 'record %06.0f' "$1" "$2"; }

# A queue of small segments with the records 0 to 999.
numbers 0 999 | chronq append -s 64K q || exit 1

# next_is NAME SEQ: what the list says.
next_is() {
	exits 0 chronq readers --json q && grep -q "^{\"name\":\"$1\",.*\"next_seq\":$2," exit.out
}

# held PID: returns when the process has the reader.
held() {
	local i
	for ((i = 0; i < patience * 20; i++)); do
		chronq readers --json q | grep -q "\"in_use\":true,\"pid\":$1}" && return 0
		sleep 0.05
	done
	return 1
}

# ---- cat and tail ----

goes_on() {
	chronq cat --reader a q | cmp - <(numbers 0 999) && next_is a 1000 &&
		[ "$(chronq cat --reader a q | wc -c)" = 0 ] &&
		numbers 1000 1009 | chronq append q &&
		chronq tail --reader a q | cmp - <(numbers 1000 1009) &&
		[ "$(chronq tail --reader a q | wc -c)" = 0 ] && next_is a 1010
}
ok "a reader begins with the oldest record, and goes on where it was" goes_on
selected() {
	chronq cat --reader b --grep '9$' q | cmp - <(numbers 0 1009 | grep '9$') &&
		next_is b 1010 && [ "$(chronq cat --reader b q | wc -c)" = 0 ]
}
ok "what a selection leaves out is passed, too" selected
until_then() {
	local at
	chronq readers --set c 500 q || return
	sleep 0.01 # another time for the next records
	at=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
	numbers 1010 1019 | chronq append q &&
		chronq cat --reader c --until "$at" q | cmp - <(numbers 500 1009) && next_is c 1010 &&
		chronq tail -f --reader c --until "$at" q >out && [ ! -s out ] && next_is c 1010 &&
		chronq cat --reader c q | cmp - <(numbers 1010 1019)
}
ok "--until: the first record behind it is not passed" until_then
at_the_end() {
	chronq cat --reader d --commit=end q | cmp - <(numbers 0 1019) && next_is d 1020 &&
		chronq readers --set d 0 q && chronq cat --reader d --commit=batch q >/dev/null &&
		next_is d 1020
}
ok "--commit" at_the_end
full() {
	chronq readers --set e 10 q || return
	# exits has files of its own: so the output is given in the command
	exits 3 bash -c '"$CHRONQ" cat --reader e q >/dev/full' &&
		grep -q 'standard output: No space left' exit.err && next_is e 10 &&
		exits 3 bash -c '"$CHRONQ" tail --reader e --commit=end q >/dev/full' && next_is e 10
}
ok "a full disk: nothing is committed" full
closed() {
	chronq readers --set f 0 q && yes 'a line that is long enough to fill a pipe' | head -n 20000 | chronq append q &&
		[ "$(chronq cat --reader f q | head -n 1)" = 'record 000000' ] &&
		exits 0 chronq readers --json q || return
	[ "$(chronq cat --reader f q | grep -c '^record')" -ge 0 ] &&
		[ "$(chronq readers --json q | grep -c '"name":"f"')" = 1 ]
}
ok "a closed output" closed
stopped() {
	local pid signal
	local -rA when=([TERM]=batch [INT]=end)
	chronq readers --set g latest q || return
	for signal in TERM INT; do
		"$CHRONQ" tail -f --reader g "--commit=${when[$signal]}" q >out.$signal &
		pid=$!
		held "$pid" && echo "for $signal" | chronq append q || return
		until grep -q "for $signal" out.$signal; do sleep 0.01; done
		kill -s "$signal" "$pid" && wait "$pid" || return
		[ "$(cat out.$signal)" = "for $signal" ] || return
	done
	[ "$(chronq cat --reader g q | wc -c)" = 0 ]
}
ok "SIGTERM and SIGINT: written, committed, ended" stopped
damage() {
	cp -R q broken && printf wrong | dd of=broken/000000000.q bs=1 seek=$((64 + 5 * 128 + 64)) \
		conv=notrunc status=none
	exits 1 chronq cat --reader h broken && grep -q 'record 5 is left out' exit.err &&
		cmp <(head -n 10 exit.out) <(numbers 0 10 | grep -v 000005) &&
		exits 0 chronq cat --reader h broken && [ ! -s exit.out ] &&
		chronq readers --set h 3 broken && rm broken/000000000.q && : >out &&
		exits 0 chronq readers broken && grep -q 'reader h: records before its next one are gone' exit.err &&
		exits 0 chronq readers --json broken && grep -q '"name":"h",.*"missing":true,' exit.out &&
		exits 1 chronq cat --reader h broken && grep -q 'records are missing' exit.err &&
		exits 0 chronq cat --reader h broken
}
hidden() {
	cp -R q hidden && chronq readers --set h 5 hidden || return
	printf 'no header' | dd of=hidden/000000000.q bs=1 seek=$((64 + 5 * 128)) conv=notrunc status=none
	exits 0 chronq readers hidden && grep -q '^h  *-  *000000000  *704  *-  ' exit.out &&
		exits 0 chronq readers --json hidden && grep '"name":"h"' exit.out | grep -vq '_seq\|lag_records'
}
ok "damage and gaps are told of as by cat, and passed" damage
ok "damage hides where a reader is" hidden
never_seen() { # a position as a program that writes no time leaves it
	mkdir -p seen && cp -R q/. seen && python3 - seen/readers/x.meta <<'PY' &&
import struct, sys, zlib
slot = struct.pack("<QQQQ", 0, 64, 0, 1)
open(sys.argv[1], "wb").write((slot + struct.pack("<II", zlib.crc32(slot), 0)).ljust(80, b"\0"))
PY
		exits 0 chronq readers seen && grep -q '^x  *0 000000000  *64 .* -  *-$' exit.out
}
ok "a reader that was never seen" never_seen

# ---- in use ----

in_use() {
	held "$1" && exits 3 chronq cat --reader i q && grep -q "reader i is in use by process $1\$" exit.err &&
		exits 3 chronq readers --set i 5 q && grep -q "in use by process $1\$" exit.err &&
		exits 3 chronq readers --delete i q && grep -q "in use by process $1\$" exit.err &&
		exits 0 chronq readers q && grep -q "^i .* $1\$" exit.out
}
free_again() {
	exits 0 chronq readers --delete i q && exits 3 chronq readers --delete i q &&
		grep -q 'q: no reader i$' exit.err && exits 0 chronq readers q && ! grep -q '^i ' exit.out
}
"$CHRONQ" tail -f --reader i q >/dev/null &
holder=$!
ok "a reader in use: the process is named" in_use "$holder"
kill -KILL "$holder"
wait "$holder" 2>/dev/null
ok "and free again when it is killed" free_again

# ---- readers ----

places() {
	exits 0 chronq readers --set k oldest q && grep -q 'reader k: the next record is 0$' exit.err && next_is k 0 &&
		exits 0 chronq readers --set k 700 q && next_is k 700 &&
		exits 0 chronq readers --set k latest q && grep -q 'when it is appended$' exit.err &&
		chronq readers --json q | grep '"name":"k"' | grep -q '"lag_records":0,' &&
		exits 0 chronq readers --set k '1 hour ago' q && next_is k 0 &&
		exits 0 chronq readers q --set k 1 && next_is k 1 &&
		exits 2 chronq readers --set k nonsense q && grep -q 'not a sequence number.* nonsense: not a time (as "10 min ago"' exit.err &&
		exits 2 chronq readers --set k && exits 2 chronq readers --set ../k 1 q &&
		grep -q 'not the name of a reader: ../k (at most 64 letters, digits, .*)$' exit.err &&
		exits 2 chronq readers --json --delete k q && exits 3 chronq readers nowhere &&
		exits 2 chronq readers && grep -q 'no queue directory given' exit.err &&
		exits 2 chronq readers --nonsense q && exits 0 chronq readers --help &&
		exits 3 chronq readers --set k 1 nowhere && next_is k 1
}
ok "--set" places
nobody() {
	chronq append empty </dev/null
	mkdir -p none && exits 0 chronq readers none && [ "$(wc -l <exit.out)" = 1 ] &&
		exits 0 chronq readers --json none && [ ! -s exit.out ]
}
ok "a queue without readers" nobody
wrong() {
	exits 2 chronq cat --reader a --seq 1 q && exits 2 chronq tail --reader a -n 1 q &&
		exits 2 chronq cat --commit end q && exits 2 chronq cat --reader a --commit often q &&
		exits 2 chronq tail --reader .a q && exits 3 chronq cat --reader a nowhere
}
ok "usage errors" wrong

# ---- kill -9 ----

# Reads with a reader that is killed again and again, at any moment, while records are appended: none is skipped, and
# what is repeated was not committed.  Each run has its own output, of which the last line may be a part.
killed() {
	local i pid sink
	numbers 0 99999 | chronq append k && mkfifo pipe || return
	(for ((i = 100; i < 200; i++)); do numbers $((i * 1000)) $((i * 1000 + 999)); done) | chronq append k &
	for ((i = 0; i < 60; i++)); do
		if ((i % 2)); then
			"$CHRONQ" cat --reader r k >"out.$i" &
			pid=$! sink=
		else
			# The one that begins late finds a pipe into which chronq could not write all.  Descriptor 9
			# lets both open the pipe at once: one that is killed before that would leave the other waiting.
			exec 9<>pipe
			{
				((i % 4)) || sleep 0.25
				cat
			} <pipe 9>&- >"out.$i" &
			sink=$!
			"$CHRONQ" tail -f --reader r k >pipe 9>&- &
			pid=$!
			exec 9>&-
		fi
		sleep "0.0$((RANDOM % 100 + 100))"
		kill -KILL "$pid"
		wait "$pid" ${sink:+"$sink"}
	done
	wait
	chronq cat --reader r k >"out.$i" || return
	for ((i = 0; i <= 60; i++)); do
		# a last line without a newline is a part
		sed '$ { /^record [0-9]\{6\}$/!d }' "out.$i"
	done | awk '
		$2 + 0 > next_one { print "skipped: " next_one " to " $2; bad = 1; exit }
		$2 + 0 == next_one { next_one++ }
		END { if (!bad && next_one != 200000) { print "ends at " next_one; bad = 1 } exit bad }'
}
ok "kill -9 at any moment skips no record" killed 2>/dev/null

finish
