#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# stat.sh - chronq stat, and the line of progress on a terminal; prints TAP
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"

seq 1 1000 | "$CHRONQ" append -s 4096 q || exit 1

# ---- stat ----

# field NAME FILE LINE: a member of a JSON line
field() { python3 -c '
import json, sys
print(json.loads(open(sys.argv[2]).readlines()[int(sys.argv[3])]).get(sys.argv[1]))' "$@"; }
once() {
	exits 0 "$CHRONQ" stat q && grep -q '^records         1000, from 0; the next one is 1000$' exit.out &&
		grep -q '^payload         3893 bytes, at 0 to 3893$' exit.out && grep -q '^durable         below record 1000$' exit.out &&
		grep -q '^segments        3[34], ' exit.out && grep -q '^writer          none$' exit.out &&
		grep -q '^readers         0; ' exit.out
}
ok "the state, once" once
once_json() {
	exits 0 "$CHRONQ" stat -j q && [ "$(field next_seq exit.out 0)" = 1000 ] && [ "$(field first_seq exit.out 0)" = 0 ] &&
		[ "$(field stream_end exit.out 0)" = 3893 ] && [ "$(field durable_seq exit.out 0)" = 1000 ] &&
		[ "$(field appends exit.out 0)" = None ] && [ "$(field readers exit.out 0)" = '[]' ]
}
ok "as JSON" once_json
# Another process appends between two lines of a stat that looks every 0.1 s, until a line has counted.
rates() {
	local pid line
	"$CHRONQ" stat -i 0.1 -j q >rates.out &
	pid=$!
	until [ -s rates.out ]; do kill -0 "$pid" || return 1; done
	seq 1001 1100 | "$CHRONQ" append --sync q || return 1
	until tail -n 1 rates.out | grep -q '"next_seq":1100,'; do kill -0 "$pid" || return 1; done
	kill -s "$1" "$pid" && wait "$pid" || return 1
	python3 - rates.out <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
total = {key: sum(line[key] for line in lines) for key in ("appends", "payload_bytes", "rolls", "syncs")}
assert total["appends"] == 100 and total["payload_bytes"] == 500 and total["rolls"] in (3, 4), total
assert total["syncs"] >= 1, total
assert all(line["interval_ns"] > 0 for line in lines)
sys.exit(lines[-1]["durable_seq"] != 1100)
PY
}
cp -R q q1
ok "appends, bytes, rolls and syncs are counted; SIGINT ends it" rates INT
rm -r q && mv q1 q
ok "SIGTERM ends it" rates TERM
table() {
	exits 0 "$CHRONQ" stat -i 0.1 -c 3 q && [ "$(wc -l <exit.out)" = 4 ] && [ "$(grep -c appends/s exit.out)" = 1 ] &&
		[ "$(awk 'NR > 1 { print $1, $2, $3, $4, $5, $8, $9 }' exit.out | sort -u)" = "0 0 0 0 0 0 0" ]
}
ok "a line each interval" table
pages() { # ROWS LINES WHERE...: so many lines on a terminal of so many rows; where the headings are
	python3 - "$CHRONQ" "$@" <<'PY'
import fcntl, os, pty, struct, subprocess, sys, termios
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", int(sys.argv[2]), 100, 0, 0))
tool = subprocess.Popen([sys.argv[1], "stat", "-i", "0.1", "-c", sys.argv[3], "q"], stdout=theirs)
os.close(theirs)
text = b""
while True:
    try:
        piece = os.read(ours, 4096)
    except OSError:
        break
    if not piece:
        break
    text += piece
assert tool.wait() == 0
lines = text.decode().splitlines()
headings = [n for n, line in enumerate(lines) if "appends/s" in line]
sys.exit(headings != [int(n) for n in sys.argv[4:]] or len(lines) != int(sys.argv[3]) + len(headings))
PY
}
ok "the heading comes on each screen" pages 8 10 0 7
ok "on a terminal that does not say its size, each 22 lines" pages 0 24 0 23
lags() {
	cp -R "$GOLDEN/v2-reader" lag && chmod -R u+w lag && seq 100 | "$CHRONQ" append lag && exits 0 "$CHRONQ" stat lag &&
		grep -q '^readers         1; the last one is [1-9][0-9]* bytes behind$' exit.out && exits 0 "$CHRONQ" stat -j lag &&
		field readers exit.out 0 | grep -q "'name': 'alpha', 'lag_bytes': [1-9]" && exits 0 "$CHRONQ" stat -i 0.1 -c 1 lag &&
		[ "$(awk 'NR == 2 { print $8, ($9 != "0") }' exit.out)" = "1 1" ]
}
ok "readers and their lag" lags
nearer() { # the reader that is farthest behind counts, wherever it is in the list
	local name
	for name in a b c; do exits 0 "$CHRONQ" readers --set $name latest lag || return 1; done
	exits 0 "$CHRONQ" stat lag && grep -q '^readers         4; the last one is [1-9][0-9]* bytes behind$' exit.out
}
ok "readers at the end beside it" nearer
few() { # less than ten records in some intervals: with a fraction
	local pid
	"$CHRONQ" stat -i 0.3 q >few.out &
	pid=$!
	until grep -q '^ *[0-9]\.[0-9] ' few.out; do
		kill -0 "$pid" && echo one | "$CHRONQ" append q || return 1
		sleep 0.2
	done
	kill "$pid" && wait "$pid"
}
cp -R q q1
ok "few records in a second" few
rm -r q && mv q1 q
long_intervals() {
	exits 0 "$CHRONQ" stat -i 0.7 -c 1 -j q && [ "$(field interval_ns exit.out 0)" -ge 700000000 ] &&
		exits 2 "$CHRONQ" stat -i 86400.5 q && exits 2 "$CHRONQ" stat -i 86400.1 q
}
ok "an interval has its length" long_intervals
# Files of the queue go while it is watched: what is unknown then is a "-", the rest is shown.
goes() { # OPTION SHOWN PATTERN FILE: a line with the first pattern comes, then the file goes, then one with the other
	local pid
	cp -R q going
	# shellcheck disable=SC2086 # none, or one
	"$CHRONQ" stat -i 0.1 $1 going >going.out &
	pid=$!
	until tail -n 1 going.out | grep -q "$2"; do kill -0 "$pid" || return 1; done
	# shellcheck disable=SC2086 # several
	(cd going && rm $4)
	until tail -n 1 going.out | grep -q "$3"; do kill -0 "$pid" || return 1; done
	kill "$pid" && wait "$pid" && rm -r going
}
ok "control.meta goes" goes "" '^ *0  *0  *0  *0  *0 ' '^ *0  *0  *-  *-  *0 ' control.meta
ok "durable.meta goes" goes "" '^ *0  *0  *0  *0  *0 ' '^ *0  *0  *0  *0  *- ' durable.meta
ok "all segments go" goes "" '^ *0  *0  *0  *0  *0 ' '^ *-  *-  *0  *0  *-  *0 ' '*.q'
ok "as JSON: control.meta" goes -j '"rolls":0' '"interval_ns":[0-9]*,"appends"' control.meta
ok "as JSON: all segments" goes -j '"appends":0' '"syncs":0,.*"segments":0' '*.q'
foreign() { # what chronicle-rs does not write
	exits 0 "$CHRONQ" stat "$GOLDEN/v2-small" && grep -q '^records         unknown$' exit.out && grep -q '^durable         unknown$' exit.out &&
		exits 0 "$CHRONQ" stat -i 0.1 -c 1 "$GOLDEN/v2-small" && [ "$(awk 'NR == 2 { print $1, $2, $3, $5 }' exit.out)" = "- - 0 -" ] &&
		exits 0 "$CHRONQ" stat -j "$GOLDEN/v2-small" && [ "$(field next_seq exit.out 0)" = None ]
}
ok "a queue of chronicle-rs" foreign
empty() {
	mkdir empty && exits 0 "$CHRONQ" stat empty && exits 0 "$CHRONQ" stat -i 0.1 -c 1 empty &&
		[ "$(awk 'NR == 2 { print $1, $2, $3, $4, $5, $6 }' exit.out)" = "- - - - - 0" ] && exits 0 "$CHRONQ" stat -j empty &&
		exits 0 "$CHRONQ" stat -j -i 0.1 -c 1 empty && [ -z "$(ls empty)" ]
}
ok "an empty directory" empty
written() {
	local pid
	mkfifo pipe
	"$CHRONQ" append -s 4096 busy <pipe &
	pid=$!
	exec 9>pipe
	echo one >&9
	until "$CHRONQ" stat busy 2>/dev/null | grep -q "^writer          process $pid\$"; do kill -0 "$pid" || return 1; done
	exits 0 "$CHRONQ" stat -j busy && [ "$(field writer_pid exit.out 0)" = "$pid" ]
	local r=$?
	exec 9>&-
	wait "$pid" && : >busy/writer.lock && exits 0 flock busy/writer.lock "$CHRONQ" stat busy && grep -q '^writer          running$' exit.out && return $r
}
ok "the writer" written
closed_pipe() {
	local codes
	timeout "$patience" "$CHRONQ" stat -i 0.1 q | head -n 2 >/dev/null
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" -eq 0 ]
}
ok "a closed output ends it" closed_pipe
full() { timeout "$patience" "$CHRONQ" stat "$@" q >/dev/full; }
ok "a full disk" exits 3 full
ok "in the first line, too" exits 3 full -i 0.1
usage() {
	local value
	for value in 0 0.05 x 1x 1.x 86401 -1 ''; do exits 2 "$CHRONQ" stat -i "$value" q || return 1; done
	for value in 0 x 1x -1 ''; do exits 2 "$CHRONQ" stat -i 1 -c "$value" q || return 1; done
	exits 2 "$CHRONQ" stat -c 1 q && grep -q -- '--count needs --interval' exit.err && exits 2 "$CHRONQ" stat && exits 3 "$CHRONQ" stat none
}
ok "wrong values" usage
if [ "${PLANTED_FAULTS-}" = yes ]; then
	failing() {
		local skip runs=0
		for skip in 0 1 2 3 4 6 8; do
			CHRONQ_FAIL=list:5:$skip:1 "$CHRONQ" stat -i 0.1 -c 2 q >out 2>err && continue
			[ $? -eq 3 ] && [ -s err ] || return 1
			runs=$((runs + 1))
		done
		[ $runs -gt 0 ]
	}
	ok "with failing calls" failing
	fails_once() {
		CHRONQ_FAIL=list:5:0:1 exits 3 "$CHRONQ" stat "$@" q && grep -q '^chronq: q: Input/output error' exit.err &&
			[ ! -s exit.out ]
	}
	ok "the state once" fails_once
	ok "the state once, as JSON" fails_once -j
fi

# ---- progress ----

# on_terminal FILE COLUMNS COMMAND...: stderr is a terminal; what it shows goes to FILE.  stdout stays.
on_terminal() {
	python3 - "$@" <<'PY'
import fcntl, os, pty, struct, subprocess, sys, termios
name, columns, *command = sys.argv[1:]
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(columns), 0, 0))
source = open(os.environ["SOURCE"], "rb") if "SOURCE" in os.environ else subprocess.DEVNULL
tool = subprocess.Popen(command, stdin=source, stderr=theirs)
os.close(theirs)
with open(name, "wb", buffering=0) as to:
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        to.write(piece)
sys.exit(tool.wait())
PY
}
# Lines of progress in FILE, without what removes them.
shown() { tr '\r' '\n' <"$1" | sed 's/\x1b\[K//' | grep "$2"; }
# The last thing is that the line is removed.
removed() { [ "$(tail -c 4 "$1" | od -An -c | tr -d ' ')" = '\r033[K' ]; }

# Input that takes longer than a second, whatever the machine: the second half comes when the first has been shown.
slow_import() { # COLUMNS
	local pid
	rm -rf slow terminal && mkfifo pipe2 && "$CHRONQ" export q >q.json || return 1
	SOURCE=pipe2 on_terminal terminal "$1" "$CHRONQ" import -s 4096 slow &
	pid=$!
	exec 8>pipe2
	rm pipe2
	n=0
	until [ -s terminal ]; do
		n=$((n + 1))
		sed -n ${n}p q.json >&8 || return 1
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.02
	done
	sed "1,${n}d" q.json >&8
	exec 8>&-
	wait "$pid" && "$CHRONQ" export slow | cmp - q.json
}
ok "an import that takes longer than a second" slow_import 100
ok "shows its progress" shown terminal '^chronq: slow: importing, [0-9]* bytes, [0-9]* bytes/s$'
ok "and removes it" removed terminal
ok "on a narrow terminal" slow_import 40
ok "it shows the figures alone" shown terminal '^[0-9]* bytes, [0-9]* bytes/s$'
# When output has come, more than a second passes, and then the rest is taken: its lines are counted in the file out.
late_count() { head -c 1 >first && sleep 1.2 && wc -l >out; }
# A reader that comes late: cat waits for it, and more than fits into buffers is left then.
late_reader() {
	yes 'a line' | head -n 300000 | "$CHRONQ" append -s 1M late && rm -f terminal &&
		on_terminal terminal 100 "$CHRONQ" "$1" late | late_count && [ "$(cat out)" = 300000 ] && rm -r late
}
ok "cat to a pipe" late_reader cat
ok "shows its progress" shown terminal '^chronq: late: reading, [0-9]* %, [0-9]* [KMa-zB]*/s, [0-9]* [a-z]* left$'
ok "and removes it" removed terminal
# unusual COLUMNS FILE: progress on such a terminal, without this file of the queue
unusual() {
	yes 'a line' | head -n 300000 | "$CHRONQ" append -s 1M late && rm -f terminal "late/$2" &&
		on_terminal terminal "$1" "$CHRONQ" cat late | late_count && [ "$(cat out)" = 300000 ] && rm -r late &&
		shown terminal '^chronq: late: reading, [0-9]* %, '
}
ok "without control.meta" unusual 100 control.meta
ok "on a terminal that does not say its width" unusual 0 none
at_the_end() { # nothing is left to read, so there is no share of it
	exits 0 "$CHRONQ" readers --set r latest q && on_terminal terminal 100 "$CHRONQ" cat --reader r q >out && [ ! -s out ] &&
		[ ! -s terminal ]
}
ok "a reader at the end" at_the_end
quiet() { # records on a terminal: no progress between them, however long it takes
	yes 'a line' | head -n 100000 | "$CHRONQ" append -s 1M shown || return 1
	python3 - "$CHRONQ" <<'PY'
import os, pty, subprocess, sys, time
wanted = subprocess.run([sys.argv[1], "cat", "shown"], stdout=subprocess.PIPE).stdout
ours, theirs = pty.openpty()
tool = subprocess.Popen([sys.argv[1], "cat", "shown"], stdout=theirs, stderr=theirs)
os.close(theirs)
time.sleep(1.2)
text = b""
while True:
    try:
        piece = os.read(ours, 4096)
    except OSError:
        break
    if not piece:
        break
    text += piece
sys.exit(tool.wait() != 0 or text.replace(b"\r\n", b"\n") != wanted)
PY
}
ok "none between records on a terminal" quiet
ok "export" late_reader export
ok "shows its progress" shown terminal '^chronq: late: exporting, [0-9]* %, [0-9]* [KMa-zB]*/s, [0-9]* [a-z]* left$'
quick() { on_terminal terminal 100 "$CHRONQ" verify q >out && [ ! -s terminal ]; }
ok "what is quick shows none" quick
if [ "${PLANTED_FAULTS-}" = yes ]; then
	# Held in the middle for longer than a second.
	held() { # TERMINAL COMMAND...
		local pid to=$1
		shift
		rm -f hold.reached hold.go terminal && mkfifo hold.reached hold.go
		if [ "$to" = yes ]; then
			CHRONQ_HOLD=recover.reading:hold on_terminal terminal 200 "$@" >out &
		else
			CHRONQ_HOLD=recover.reading:hold "$@" >out 2>terminal &
		fi
		pid=$!
		: <hold.reached
		sleep 1.5
		: >hold.go
		wait "$pid"
	}
	unknown_end() { # how much there is to read cannot be found out: the records come nevertheless
		local skip runs=0
		for skip in 0 1 2 3 4 5; do
			CHRONQ_FAIL=list:5:$skip:1 on_terminal terminal 100 "$CHRONQ" cat q >out || { [ $? -eq 3 ] && continue; }
			cmp out <("$CHRONQ" cat q) || return 1
			runs=$((runs + 1))
		done
		[ $runs -gt 0 ]
	}
	ok "cat, its end being unknown" unknown_end
	ok "repair" held yes "$CHRONQ" repair q
	ok "shows percent and segments" shown terminal '^chronq: q: reading, [0-9]* of [0-9]* segments, [0-9]* %'
	ok "and removes it" removed terminal
	nothing() { held no "$CHRONQ" repair q && [ ! -s terminal ]; }
	ok "nothing where stderr is no terminal" nothing
fi
finish
