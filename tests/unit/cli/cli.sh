#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cli.sh - chronq, as users call it; prints TAP
. "$(dirname "$0")/cli_lib.sh"

chronq() {
	"$CHRONQ" "$@"
}

# ---- queues of chronicle-rs ----

golden() {
	local queue=$GOLDEN/$1 text=$GOLDEN/$2
	# its records have no newline: cat writes nothing between them, tail a newline behind each
	chronq cat "$queue" | cmp - <(tr -d '\n' <"$text") &&
		chronq tail -n 1000000 "$queue" | cmp - "$text" &&
		chronq tail -n 7 "$queue" | cmp - <(tail -n 7 "$text") &&
		chronq tail "$queue" | cmp - <(tail "$text") &&
		exits 0 chronq verify "$queue" && grep -q ' damage 0, notes '"$3"'$' exit.out &&
		exits 0 chronq info "$queue" && exits 0 chronq ls "$queue"
}
cp -R "$GOLDEN" golden-before && chmod -R u+w golden-before
before=$(snapshot "$GOLDEN/v2-small")
ok "golden v1-small" golden v1-small small.txt 0
ok "golden v2-small" golden v2-small small.txt 0
ok "golden v2-reader" golden v2-reader small.txt 0
ok "golden v2-reopened: the restart is a note" golden v2-reopened small.txt 1
ok "golden v2-mixed" golden v2-mixed mixed.txt 0
ok "golden v2-killed" golden v2-killed v2-killed.txt 0
quiet() { exits 0 chronq verify -q "$GOLDEN/v2-reopened" && [ ! -s exit.out ]; }
ok "verify -q leaves notes out" quiet
readers() {
	local -r at='segment 000000001, offset 1216, 0 bytes behind, last seen 2'
	exits 0 chronq info "$GOLDEN/v2-reader" && grep -q "^reader           alpha: $at" exit.out &&
		exits 0 chronq info "$GOLDEN/v2-small" && ! grep -q '^reader' exit.out &&
		cp -R "$GOLDEN/v2-reader" behind && chmod -R u+w behind &&
		exits 0 chronq append behind <<<x && exits 0 chronq info behind &&
		grep -q '^reader           alpha: .* 1216, [1-9][0-9]* bytes behind' exit.out &&
		rm -r behind/readers && : >behind/readers && exits 0 chronq info behind &&
		grep -q '^readers          unknown: Not a directory$' exit.out
}
ok "info shows the named readers" readers
unknown() {
	local -r at='segment 000000000, offset 64'
	cp -R "$GOLDEN/v2-reader" old && chmod -R u+w old && : >old/writer.lock &&
		printf '\0\0\0\0\0\0\0\0\100\0\0\0\0\0\0\0' >old/readers/older.meta &&
		dd if=/dev/zero of=old/control.meta bs=1 seek=264 count=8 conv=notrunc status=none &&
		exits 0 chronq info old && grep -q '^last written     never$' exit.out &&
		grep -q '^writer           none$' exit.out &&
		grep -q "^reader           older: $at, [1-9][0-9]* bytes behind\$" exit.out &&
		rm old/control.meta && exits 0 chronq info old &&
		grep -q "^reader           older: $at\$" exit.out &&
		grep -q '^position         unknown' exit.out
}
ok "info says what is unknown" unknown
nothing_lost() {
	exits 0 chronq cat --json "$GOLDEN/v2-mixed" &&
		[ "$(grep -c '"length":0,"payload":""}$' exit.out)" = 37 ]
}
ok "an empty record counts" nothing_lost
ok "reading has changed nothing" diff -r "$GOLDEN" golden-before
ok "nor touched the directory" test "$before" = "$(snapshot "$GOLDEN/v2-small")"

# ---- append and cat ----

seq 1 3000 >lines
printf '\n\nlast line without newline' >>lines
appended() {
	exits 0 chronq append --segment-size 64K q <lines && chronq cat q | cmp - lines &&
		exits 0 chronq verify q && exits 0 "$FORMAT_CHECK" q
}
ok "append and cat give the input back" appended
ok "one record per line" test "$(chronq cat --json q | wc -l)" = 3003
again() {
	exits 0 chronq append q <lines && chronq cat q | cmp - <(cat lines lines)
}
ok "a second append continues" again
long_line() {
	{
		head -c 20000 /dev/zero | tr '\0' x
		echo
		head -c 3968 /dev/zero | tr '\0' y
		head -c 3967 /dev/zero | tr '\0' z
		echo
	} >long
	exits 0 chronq append -s 4096 long-q <long && grep -q 'split lines of more than 3968' exit.err &&
		chronq cat long-q | cmp - long &&
		# 5 x 3968 + 161 with its newline; 3968 + 3968 with its newline
		[ "$(chronq cat --json long-q | wc -l)" = 8 ]
}
ok "a line over the limit is split, nothing lost" long_line
exact_line() {
	{
		head -c 3967 /dev/zero | tr '\0' x
		echo
	} >exact
	exits 0 chronq append -s 4096 exact-q <exact && [ ! -s exit.err ] &&
		[ "$(chronq cat --json exact-q | wc -l)" = 1 ]
}
ok "a line of exactly the limit is one record" exact_line
no_line() {
	exits 1 chronq append q </dev/null && grep -q 'nothing to append' exit.err
}
ok "nothing to append: exit code 1" no_line
ok "append --sync" exits 0 chronq append --sync q </etc/hostname
other_size() {
	exits 2 chronq append -s 1M q <lines && exits 2 chronq append -s 1000 new-q <lines
}
ok "a wrong segment size is refused" other_size
terminated() {
	mkfifo pipe
	printf 'first\nsecond without newline' >two # which the shell would write line by line
	"$CHRONQ" append -s 4096 term-q <pipe &
	local pid=$!
	exec 9>pipe
	cat two >&9
	until chronq cat term-q 2>/dev/null | grep -q first; do :; done
	rm pipe
	kill -s "$1" "$pid" && wait "$pid" && exec 9>&- && [ "$(chronq cat term-q)" = "first
second without newline" ]
}
for signal in TERM INT HUP; do
	ok "SIG$signal ends the input, with nothing lost" terminated $signal
	rm -rf term-q
done
nohup_append() {
	mkfifo pipe
	(trap '' HUP && exec "$CHRONQ" append -s 4096 term-q) <pipe &
	local pid=$!
	exec 9>pipe
	rm pipe
	echo first >&9
	until chronq cat term-q 2>/dev/null | grep -q first; do :; done
	kill -s HUP "$pid" && echo second >&9 && exec 9>&- && wait "$pid" &&
		[ "$(chronq cat term-q)" = $'first\nsecond' ]
}
ok "SIGHUP where it is ignored, as by nohup, ends nothing" nohup_append
second_writer() {
	mkfifo hold
	"$CHRONQ" append -s 4096 busy-q <hold &
	local pid=$!
	exec 9>hold
	echo first >&9
	until chronq info busy-q 2>/dev/null | grep -q "running, process $pid"; do :; done
	exits 3 chronq append busy-q <lines
	local r=$?
	exec 9>&-
	wait "$pid" && grep -q "$pid" exit.err && return $r
}
ok "a second writer learns which process has the queue" second_writer

# ---- ranges and JSON ----

ok "--seq A" test "$(chronq cat --seq 41 q)" = 42
ok "--seq A-B" test "$(chronq cat -s 2990-2993 q)" = "$(seq 2991 2994)"
from() {
	chronq cat -s 3002- q | cmp - <(printf 'last line without newline'; cat lines /etc/hostname)
}
ok "--seq A-" from
ranges() {
	exits 1 chronq cat -s 999999 q && exits 2 chronq cat -s 5-4 q && exits 2 chronq cat -s x q &&
		exits 2 chronq cat -s 99999999999999999999 q && exits 2 chronq cat -s 1-2-3 q
}
ok "wrong ranges" ranges
json() {
	printf 'caf\xc3\xa9 "x"\\\t\x01\0\n\xff\xfe\n' | chronq append json-q &&
		chronq cat --json json-q >json.out && python3 - json.out <<'PY'
import base64, json, sys
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [list(row) for row in rows] == [
    ["seq", "time_ns", "type", "length", "payload"],
    ["seq", "time_ns", "type", "length", "payload_base64"]], rows
text = "caf\u00e9 \"x\"\\\t\x01\0\n"
assert rows[0]["payload"] == text and rows[0]["length"] == len(text.encode()), rows
assert base64.b64decode(rows[1]["payload_base64"]) == b"\xff\xfe\n" and rows[1]["seq"] == 1, rows
assert rows[0]["type"] == 1 and rows[0]["time_ns"] > 10**18, rows
PY
}
ok "--json" json

# ---- tail -f ----

followed() {
	local pid
	"$CHRONQ" tail -f -n 2 follow-q >followed &
	pid=$!
	until [ "$(wc -l <followed)" -ge 2 ]; do kill -0 "$pid" || return 1; done
	seq 11 500 | chronq append follow-q
	until [ "$(wc -l <followed)" -ge 492 ]; do kill -0 "$pid" || return 1; done
	kill -INT "$pid" && wait "$pid" && cmp followed <(seq 9 500)
}
seq 1 10 | chronq append -s 4096 follow-q
followed_term() {
	local pid # its output shows that it runs: then signals are sent
	"$CHRONQ" tail -f -n 1 follow-q >ended &
	pid=$!
	until [ -s ended ]; do kill -0 "$pid" || return 1; done
	kill -TERM "$pid" && wait "$pid" && [ "$(cat ended)" = 500 ]
}
ok "tail -f prints new records, over rolls; SIGINT ends it" followed
ok "SIGTERM ends tail -f" followed_term
follow_pipe() {
	local codes
	timeout "$patience" "$CHRONQ" tail -f follow-q | head -n 1
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" -eq 0 ]
}
ok "tail -f ends when its output is closed" follow_pipe
ok "the last 0 records" test -z "$(chronq tail -n 0 follow-q)"
pipe_closed() {
	local codes
	chronq cat "$GOLDEN/v2-killed" | head -c 8 >first
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" -eq 0 ] && [ "$(cat first)" = "record 1" ]
}
ok "cat into a closed pipe is no error" pipe_closed
# The output of tail -f is full: one signal ends it behind a record, once there is room for that; several end it at
# once.  Then: the other end of a socket is closed.
blocked() {
	chronq append -s 1M blocked-q <<<first && python3 - "$CHRONQ" <<'PY'
import os, select, signal, socket, subprocess, sys, time
program = sys.argv[1]
LINE = b"a line, of which there are enough to fill a buffer\n"
def follow():
    end, full = os.pipe()
    tail = subprocess.Popen([program, "tail", "-f", "-n", "1", "blocked-q"], stdout=full,
                            stderr=subprocess.PIPE)
    tail.stdout = open(end, "rb", buffering=0)
    assert tail.stdout.read(1000)
    tail.send_signal(signal.SIGSTOP)  # so that it finds all of them at once
    subprocess.run([program, "append", "blocked-q"], input=LINE * 20000, check=True)
    tail.send_signal(signal.SIGCONT)
    while select.select([], [full], [], 0)[1]:
        assert tail.poll() is None
    os.close(full)
    return tail
tail = follow()
tail.send_signal(signal.SIGTERM)
while any(line.startswith(("SigPnd", "ShdPnd")) and int(line.split()[1], 16)
          for line in open(f"/proc/{tail.pid}/status")):
    pass
out, err = tail.communicate()
assert (tail.returncode, err) == (0, b""), (tail.returncode, err)
assert out.endswith(LINE) and len(out) < 20000 * len(LINE), len(out)
tail = follow()
while tail.poll() is None:
    tail.send_signal(signal.SIGTERM)
    time.sleep(0.01)
assert (tail.returncode, tail.stderr.read()) == (0, b""), tail.returncode
ours, theirs = socket.socketpair()
tail = subprocess.Popen([program, "tail", "-f", "-n", "1", "blocked-q"], stdout=theirs)
theirs.close()
assert ours.recv(1)
ours.close()
assert tail.wait(300) == 0
PY
}
ok "a signal ends tail -f although its output is full; so does a closed socket" blocked
full_disk() {
	chronq cat q >/dev/full
	[ $? -eq 3 ]
}
ok "a full disk is an error" full_disk

# ---- damage ----

damage() {
	cp -R q bad && printf X | dd of=bad/000000000.q bs=1 seek=128 conv=notrunc status=none
	exits 1 chronq verify bad && grep -q '^damage: segment 000000000 offset 64: ' exit.out &&
		exits 1 chronq verify -q bad && [ "$(wc -l <exit.out)" = 1 ] &&
		exits 1 chronq cat bad && grep -q damaged exit.err
}
ok "damage: a line, exit code 1" damage
gap() {
	rm bad/000000000.q && mv bad/000000001.q aside && cp q/000000000.q bad/
	exits 1 chronq cat bad && grep -q 'records are missing' exit.err &&
		exits 1 chronq verify bad && grep -q '^damage: segment 000000001' exit.out
}
ok "a missing segment: a message, exit code 1" gap
names() {
	mkdir -p q/readers && : >"q/readers/$(printf 'a\033[31m.meta')"
	exits 0 chronq verify q && grep -q 'no reader .* name of a\\x1b\[31m.meta' exit.out
}
ok "names are escaped" names

# Messages quote arguments in printable form; UTF-8 stays as it is.
given() {
	local esc=$'\033[31m'
	exits 3 chronq info "$esc-ü-"$'\xff' && grep -qF 'chronq: \x1b[31m-ü-\xff: No such file' exit.err &&
		exits 2 chronq "$esc" && grep -qF 'no such command: \x1b[31m' exit.err &&
		exits 2 chronq info "--$esc" q && grep -qF 'unknown option: --\x1b[31m' exit.err &&
		exits 2 chronq info -$'\033' q && grep -qF 'unknown option: -\x1b' exit.err &&
		exits 2 chronq tail --follow="$esc" q && grep -qF 'takes no value: --follow=\x1b[31m' exit.err &&
		exits 2 chronq tail -n && grep -qF 'needs a value: -n' exit.err &&
		exits 2 chronq tail -n "$esc" q && grep -qF 'not a number of records: \x1b[31m' exit.err &&
		exits 2 chronq append -s "$esc" q && grep -qF 'not a size: \x1b[31m' exit.err &&
		exits 2 chronq cat q "$esc" && grep -qF 'more than one operand: \x1b[31m' exit.err
}
ok "arguments are escaped" given

# ---- usage ----

usage() {
	local command
	for command in info ls cat tail append verify; do
		exits 0 chronq $command --help && grep -q "^Usage: chronq $command " exit.out &&
			exits 2 chronq $command && exits 2 chronq $command q q &&
			exits 2 chronq $command --nonsense q || return 1
	done
	for command in --help -h help; do
		exits 0 chronq $command && grep -q '^Usage: chronq COMMAND ' exit.out || return 1
	done
	for command in append cat export import info ls promote readers repair roll stat tail trim verify; do
		exits 0 chronq $command --help && mv exit.out expected && exits 0 chronq help $command &&
			cmp expected exit.out || return 1
	done
	exits 2 chronq && grep -q '^Usage: chronq COMMAND ' exit.err &&
		exits 2 chronq nonsense && grep -q "no such command: nonsense" exit.err &&
		grep -q "^Try 'chronq --help'" exit.err &&
		exits 2 chronq help nonsense && grep -q 'no such command: nonsense' exit.err &&
		exits 0 chronq --version && grep -q '^chronq [0-9]' exit.out
}
ok "help and usage errors" usage
no_queue() {
	local command
	mkdir foreign && : >foreign/file
	for command in info ls cat tail verify append; do
		exits 3 chronq $command foreign </dev/null || return 1
		[ $command = append ] || exits 3 chronq $command none || return 1
	done
	[ "$(ls foreign)" = file ]
}
ok "no queue: exit code 3" no_queue
empty() {
	mkdir empty && exits 0 chronq cat empty && exits 0 chronq info empty && exits 0 chronq ls empty &&
		exits 0 chronq tail empty && [ -z "$(ls empty)" ]
}
ok "an empty directory is an empty queue" empty
locked() {
	# a writer in its recovery: it has the lock, and has not written its text
	cp -R exact-q locked && : >locked/writer.lock &&
		exits 0 flock locked/writer.lock "$CHRONQ" info locked
	if grep -q 'FLOCK.*:'"$(stat -c %i locked/writer.lock)"' ' <(flock locked/writer.lock cat /proc/locks); then
		grep -q '^writer           running' exit.out
	fi
}
ok "info of a writer without a text in writer.lock" locked
ending() {
	python3 - "$CHRONQ" <<'PY'
import ctypes, fcntl, os, select, subprocess, sys, time

# a writer that releases the lock when writer.lock has been opened twice
libc = ctypes.CDLL(None, use_errno=True)
OPENED = 0x20

def run(command):
    """Its exit code, and for how long it had to wait."""
    lock = os.open("ending/writer.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    events = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(events, b"ending/writer.lock", OPENED) < 0:
        sys.exit("inotify: " + os.strerror(ctypes.get_errno()))
    begin = time.monotonic()
    with open("late", "rb") as late, subprocess.Popen([sys.argv[1], *command], stdin=late) as chronq:
        looks = 0
        while looks < 2 and chronq.poll() is None:
            if select.select([events], [], [], 0.1)[0]:
                looks += 1
                os.read(events, 16) # one event, as it names no file
        os.close(lock)
        waited = time.monotonic() - begin
    os.close(events)
    return chronq.returncode, waited

for command in ("append", "ending"), ("repair", "ending"):
    for _ in range(20):
        code, waited = run(command)
        if code == 0 or waited < 0.9:
            break  # else this process was delayed for as long as chronq waits
    if code != 0:
        sys.exit(f"{command}: exit code {code}")
PY
}
busy() {
	exits 3 flock ending/writer.lock "$CHRONQ" append ending <<<never &&
		grep -q 'another writer has the queue (a mount: append through it, or unmount it first)' exit.err &&
		exits 3 flock ending/writer.lock "$CHRONQ" repair ending &&
		chronq cat ending | cmp - <(cat lines; echo late)
}
nothing_made() {
	exits 1 "$CHRONQ" append brand-new </dev/null && [ ! -e brand-new ] &&
		mkdir brand-new && exits 1 "$CHRONQ" append brand-new </dev/null && rmdir brand-new
}
ok "append without input makes no queue" nothing_made
chronq append -s 1M ending <<<first
chronq cat ending >lines
echo late >late
ok "append and repair wait for a writer that is ending" ending
ok "and not for one that stays" busy

finish
