#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# transfer.sh - chronq export and import: both ways exact, restarts, wrong input; prints TAP
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"

# made FILE: lines of all kinds of payloads, with times in no order and all types.
made() {
	python3 - >"$1" <<'PY'
import base64, json, random
random.seed(7)
payloads = [b"", b"\n", b"text\n", "caf\u00e9 \u20ac \U0001f600".encode(), b"\0", b"a\0b\n", bytes(range(256)),
            b"\"\\/\b\f\n\r\t\x01\x1f\x7f", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"x" * 1000000, random.randbytes(1000000),
            b"\x01" * 100000, "\u2028\ufeff\uffff".encode()]
payloads += [random.randbytes(random.randrange(300)) for _ in range(300)]
payloads += [b"line %d\n" % n for n in range(3000)]
types = [1, 0, 0xFFFE, 7] + [random.randrange(0xFFFF) for _ in range(50)]
times = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, 10**18] + [random.randrange(2**64) for _ in range(300)]
stream = 0
for seq, payload in enumerate(payloads):
    # what export writes is compared byte for byte: compact, the keys in this order, no ASCII escapes but those needed
    time = times[seq % len(times)]
    record = {"seq": seq, "time_ns": time if time < 2**63 else str(time), "type": types[seq % len(types)],
              "length": len(payload), "stream_offset": stream}
    try:
        record["payload"] = payload.decode()
    except UnicodeDecodeError:
        record["payload_base64"] = base64.b64encode(payload).decode()
    stream += len(payload)
    print(json.dumps(record, separators=(",", ":"), ensure_ascii=False))
PY
}

# the same records, whatever the escapes
same_records() {
	python3 - "$1" "$2" <<'PY'
import json, sys
one, other = ([json.loads(line) for line in open(name, "rb")] for name in sys.argv[1:])
sys.exit(one != other or len(one) == 0)
PY
}

# ---- round trips ----

round_trip() {
	made lines && exits 0 "$CHRONQ" import -s 2M q <lines && "$CHRONQ" export q >out1 && same_records lines out1 &&
		exits 0 "$CHRONQ" import -s 4M q2 <out1 && "$CHRONQ" export q2 | cmp - out1 &&
		exits 0 "$CHRONQ" verify q && exits 0 "$CHRONQ" verify q2 && exits 0 "$FORMAT_CHECK" q
}
ok "all payloads, types and times come back" round_trip
ok "cat writes the payloads" cmp <("$CHRONQ" cat q) <(python3 -c '
import base64, json, sys
for line in open("lines"):
    record = json.loads(line)
    sys.stdout.buffer.write(record["payload"].encode() if "payload" in record
                            else base64.b64decode(record["payload_base64"]))')
trimmed() {
	cp -R q old && exits 0 "$CHRONQ" trim --before 500 old && "$CHRONQ" export old >out1 &&
		! head -n 1 out1 | grep -q '"seq":0,' && exits 0 "$CHRONQ" import -s 2M old2 <out1 &&
		"$CHRONQ" export old2 | cmp - out1 && exits 0 "$CHRONQ" verify old2
}
ok "a queue whose first records are deleted" trimmed
chronicle() {
	"$CHRONQ" export "$GOLDEN/v2-mixed" >out1 && exits 0 "$CHRONQ" import mixed -s 64K <out1 &&
		"$CHRONQ" cat mixed | cmp - <("$CHRONQ" cat "$GOLDEN/v2-mixed") &&
		cmp <("$CHRONQ" cat --json mixed) <("$CHRONQ" cat --json "$GOLDEN/v2-mixed") &&
		"$CHRONQ" export "$GOLDEN/v2-reopened" >out1 && exits 1 "$CHRONQ" import again -s 64K <out1 &&
		grep -q "record 0 is in the queue already, and is another one there\|record 0 comes where" exit.err &&
		exits 0 "$CHRONQ" import --renumber again2 -s 64K <out1 &&
		"$CHRONQ" cat again2 | cmp - <("$CHRONQ" cat "$GOLDEN/v2-reopened")
}
ok "queues of chronicle-rs" chronicle
plain() {
	"$CHRONQ" cat --json q >out1 && exits 1 "$CHRONQ" import -s 2M plain <out1 &&
		grep -q "standard input: line 4: not JSON: too big" exit.err &&
		"$CHRONQ" cat --json plain | cmp - <(head -n 3 out1)
}
ok "cat --json can be imported; a time that only export keeps is refused, not altered" plain

# ---- into a queue that has records ----

seq 1 200 | "$CHRONQ" append -s 4096 n && "$CHRONQ" export n >n.json
again() {
	before=$("$CHRONQ" export n | sha256sum) && exits 0 "$CHRONQ" import n <n.json &&
		grep -q '200 of the records were there already' exit.err && [ "$before" = "$("$CHRONQ" export n | sha256sum)" ]
}
ok "a second import changes nothing" again
part() {
	exits 0 "$CHRONQ" import -s 4096 p < <(head -n 77 n.json) && exits 0 "$CHRONQ" import p <n.json &&
		grep -q '77 of the records' exit.err && "$CHRONQ" export p | cmp - n.json
}
ok "a part is continued" part
other() {
	seq 5 300 | "$CHRONQ" append -s 4096 o && before=$("$CHRONQ" export o | sha256sum) && exits 1 "$CHRONQ" import o <n.json &&
		grep -q 'line 1: record 0 is in the queue already, and is another one there' exit.err &&
		[ "$before" = "$("$CHRONQ" export o | sha256sum)" ]
}
ok "records of another queue are refused" other
same_but() { # SED: only this differs in the line of record 3
	sed "4$1" n.json >other.json && ! cmp -s n.json other.json && exits 1 "$CHRONQ" import n <other.json &&
		grep -q 'line 4: record 3 is in the queue already, and is another one there' exit.err
}
ok "one that differs in its time" same_but 's/"time_ns":1/"time_ns":2/'
ok "in its type" same_but 's/"type":1/"type":2/'
ok "in its payload" same_but 's/4\\n"/5\\n"/'
ok "in its length" same_but 's/"length":2,\(.*\)4\\n"/"length":3,\144\\n"/'
ok "in its stream offset" same_but 's/"stream_offset":6/"stream_offset":7/'
gap() {
	exits 1 "$CHRONQ" import -s 4096 g < <(sed 50,59d n.json) &&
		grep -q 'line 50: record 59 comes where the queue.s next number is 49: others are missing' exit.err &&
		grep -q 'records imported: 49' exit.err && "$CHRONQ" export g | cmp - <(head -n 49 n.json) &&
		exits 1 "$CHRONQ" import g < <(tail -n 10 n.json) && exits 0 "$CHRONQ" import g <n.json &&
		"$CHRONQ" export g | cmp - n.json
}
ok "a gap is refused, what is before it stays, and the whole is taken later" gap
renumbered() {
	exits 0 "$CHRONQ" import --renumber g < <(sed 50,59d n.json) && [ "$("$CHRONQ" cat g | wc -l)" = 390 ] &&
		exits 0 "$CHRONQ" verify g && "$CHRONQ" tail -n 1 --format '%s %n' g |
		cmp - <(echo "389 $(tail -n 1 n.json | grep -o '"time_ns":[0-9]*' | cut -d: -f2)")
}
ok "--renumber appends them, with their times" renumbered
brief() {
	printf '%s\n' '{"payload":"one"}' '{"type":5,"payload_base64":"dHdv"}' '{"seq":"7","payload":"","time_ns":"3"}' |
		exits 0 "$CHRONQ" import -r -s 4096 b && "$CHRONQ" cat --format '%s %y %l %p' b |
		cmp - <(printf '0 1 3 one\n1 5 3 two\n2 1 0 \n') && [ "$("$CHRONQ" cat -s 2 --format %n b)" = 3 ] &&
		[ "$("$CHRONQ" cat -s 0 --since -1h b)" = one ]
}
ok "--renumber needs the payload alone" brief
stream() {
	sed '1,2d' n.json >later && exits 0 "$CHRONQ" import -s 4096 l <later && "$CHRONQ" export l | cmp - later &&
		sed 's/"stream_offset":4/"stream_offset":5/' n.json >wrong && exits 1 "$CHRONQ" import -s 4096 w <wrong &&
		grep -q 'line 3: stream_offset is 5, and the queue is at 4' exit.err &&
		exits 1 "$CHRONQ" import -s 4096 w2 < <(sed 's/"stream_offset":0/"stream_offset":5/' n.json) && [ ! -e w2 ]
}
ok "stream offsets are kept, and must fit" stream
gone() {
	exits 0 "$CHRONQ" trim --before 100 p && exits 1 "$CHRONQ" import p <n.json &&
		grep -q "record 0 is below the queue's next number, 200, and not in the queue any more" exit.err
}
ok "deleted records cannot be compared" gone
all_gone() {
	exits 0 "$CHRONQ" roll p && exits 0 "$CHRONQ" trim --before now p && [ -z "$("$CHRONQ" cat p)" ] &&
		exits 1 "$CHRONQ" import p < <(tail -n 1 n.json) &&
		grep -q "record 199 is below the queue's next number, 200, and not in the queue any more" exit.err
}
ok "nor where none is left" all_gone
spots() { # each is compared, wherever it is
	exits 0 "$CHRONQ" import n < <(sed -n '3p;4p;90p;91p' n.json && sed -n 20p n.json) &&
		grep -q '5 of the records were there' exit.err
}
ok "records here and there are compared" spots
no_offset() {
	exits 0 "$CHRONQ" import n < <(sed 's/"stream_offset":[0-9]*,//' n.json) && grep -q '200 of the records' exit.err &&
		cp -R "$GOLDEN/v2-small" small && chmod -R u+w small && "$CHRONQ" export small >small.json &&
		exits 0 "$CHRONQ" import small < <(sed 's/"length"/"stream_offset":0,"length"/' small.json) &&
		grep -q 'were there already' exit.err && cmp <("$CHRONQ" export small) small.json
}
ok "stream offsets that one of the two lacks are not compared" no_offset
residue() { # of a write that a crash ended: the recovery's notice is not repeated
	local id used
	cp -R n residue && read -r id used < <("$CHRONQ" ls n | awk '$2 == "active" { print $1, $6 }') &&
		printf XXXX | dd of="residue/$id.q" bs=1 seek=$((used + 16)) conv=notrunc status=none &&
		exits 0 "$CHRONQ" import residue <n.json && [ "$(wc -l <exit.err)" = 1 ] && ls residue/*.broken
}
ok "behind an unfinished write" residue

# ---- input that is wrong ----

# wrong DESCRIPTION TEXT LINE: the line is refused as the third one; nothing of it is appended.
wrong() {
	rm -rf x
	{ head -n 2 n.json && printf '%b\n' "$3" && tail -n +4 n.json; } >input
	exits 1 "$CHRONQ" import -s 4096 x <input && grep -qF "chronq: standard input: line 3: $2" exit.err &&
		grep -q 'records imported: 2' exit.err && "$CHRONQ" export x | cmp - <(head -n 2 n.json)
	check "refused: $1" $? "$(cat exit.out exit.err | cut -c 1-300)"
}
head='"seq":2,"time_ns":5'
wrong "an empty line" "not JSON: " ''
wrong "no JSON" "not JSON: " 'x'
wrong "half of it" "not JSON: " "{$head,\"payload\":\"x\""
wrong "more behind it" "not JSON: " "{$head,\"payload\":\"x\"} {}"
wrong "no object" "not a JSON object" '[1]'
wrong "a number" "not a JSON object" '1'
wrong "a key twice" "not JSON: " "{$head,\"seq\":2,\"payload\":\"x\"}"
wrong "an unknown key" "colour: there is no such member" "{$head,\"colour\":1,\"payload\":\"x\"}"
wrong "no payload" "payload is missing" "{$head}"
wrong "two payloads" "payload_base64: there is another payload" "{$head,\"payload\":\"x\",\"payload_base64\":\"\"}"
wrong "a payload that is no string" "payload is not a string" "{$head,\"payload\":7}"
wrong "base64 that is no string" "payload_base64 is not a string" "{$head,\"payload_base64\":null}"
wrong "base64 with other characters" "payload_base64 is not base64" "{$head,\"payload_base64\":\"a*==\"}"
wrong "base64 that is cut off" "payload_base64 is not base64" "{$head,\"payload_base64\":\"abc\"}"
wrong "another length" "length is not that of the payload" "{$head,\"length\":2,\"payload\":\"x\"}"
wrong "a length that is no number" "length is not a number from 0 on" "{$head,\"length\":\"x\",\"payload\":\"x\"}"
wrong "no seq" "seq is missing" '{"time_ns":5,"payload":"x"}'
wrong "no time" "time_ns is missing" '{"seq":2,"payload":"x"}'
wrong "a negative number" "seq is not a number from 0 on" '{"seq":-2,"time_ns":5,"payload":"x"}'
wrong "a fraction" "seq is not a number from 0 on" '{"seq":2.0,"time_ns":5,"payload":"x"}'
wrong "a number with a blank" "time_ns is not a number from 0 on" '{"seq":2,"time_ns":" 5","payload":"x"}'
wrong "a number with more behind it" "time_ns is not a number from 0 on" '{"seq":2,"time_ns":"5 ","payload":"x"}'
wrong "too large a number" "time_ns is not a number from 0 on" '{"seq":2,"time_ns":"18446744073709551616","payload":"x"}'
wrong "a type that there is not" "type is too large" "{$head,\"type\":65535,\"payload\":\"x\"}"
wrong "a type that is no number" "type is not a number from 0 on" "{$head,\"type\":true,\"payload\":\"x\"}"
wrong "a stream offset that is none" "stream_offset is not a number" "{$head,\"stream_offset\":[],\"payload\":\"x\"}"
wrong "text that is no UTF-8" "not JSON: " "{$head,\"payload\":\"\\xff\"}"
wrong "a zero byte" "not JSON: " "{$head,\"payload\":\"x\"}\\0"
wrong "deep nesting" "not JSON: " "$(printf '[%.0s' {1..5000})"
# Damaged lines: each is taken or refused with its line number; the program never ends in another way.
fuzzed() {
	python3 - "$CHRONQ" <<'PY'
import random, subprocess, sys, shutil
random.seed(3)
lines = open("n.json", "rb").read().splitlines()[:5]
refused = 0
for n in range(400):
    text = bytearray(b"\n".join(lines) + b"\n")
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(text))
        if random.random() < 0.5:
            text[at] = random.choice(b'{}[]",:\\0\n\xff\x00e9-.tfn')
        else:
            del text[at:at + random.randrange(1, 20)]
    shutil.rmtree("z", ignore_errors=True)
    run = subprocess.run([sys.argv[1], "import", "-s", "4096", "z"], input=bytes(text), capture_output=True, timeout=300)
    if run.returncode == 1:
        refused += 1
        assert b"standard input: line " in run.stderr or b"nothing to import" in run.stderr, (text, run.stderr)
    assert run.returncode in (0, 1), (bytes(text), run)
print(refused)
sys.exit(refused < 100)
PY
}
ok "damaged input is refused cleanly" fuzzed
no_begin() {
	exits 1 "$CHRONQ" import -s 4096 y <<<'{"seq":"9223372036854775808","time_ns":1,"payload":"x"}' &&
		grep -q 'line 1: no queue can begin with such a seq' exit.err && [ ! -e y ]
}
ok "no queue begins so far on" no_begin
nothing() { exits 1 "$CHRONQ" import y </dev/null && grep -q 'nothing to import' exit.err && [ ! -e y ]; }
ok "nothing to import makes no queue" nothing
from_directory() { exits 3 "$CHRONQ" import y <. && grep -q 'standard input: Is a directory' exit.err; }
ok "input that cannot be read" from_directory
no_input() { exits 3 "$CHRONQ" import y <&- && grep -q 'standard input: Bad file descriptor' exit.err && [ ! -e y ]; }
ok "no input" no_input
renumbered_part() { # another run would append them a second time: the message does not advise it
	{ head -n 3 n.json && echo x; } | exits 1 "$CHRONQ" import -r -s 4096 r3 && grep -q 'records imported: 3$' exit.err
}
ok "--renumber of lines of which one is wrong" renumbered_part
# There is no memory for the line.  A sanitizer does not start under RLIMIT_DATA.
no_memory() {
	{ head -n 2 n.json && head -c 30000000 /dev/zero | tr '\0' x; } |
		exits 3 bash -c 'ulimit -d 24000 && exec "$CHRONQ" import -s 4096 mem' &&
		grep -q 'standard input: Cannot allocate memory' exit.err && grep -q 'records imported: 2;' exit.err &&
		cmp <("$CHRONQ" export mem) <(head -n 2 n.json)
}
if (unset ASAN_OPTIONS UBSAN_OPTIONS && ulimit -d 24000 && "$CHRONQ" --version) >/dev/null 2>&1; then
	ok "a line larger than memory" no_memory
fi
trusted() {
	cp -R n trusted && chmod 666 trusted/control.meta && exits 3 "$CHRONQ" import trusted <n.json &&
		exits 0 "$CHRONQ" import --trust-files trusted <n.json
}
ok "--trust-files" trusted
too_large() {
	exits 3 "$CHRONQ" import -s 4096 s <<<"{\"seq\":0,\"time_ns\":1,\"payload\":\"$(printf '%5000s')\"}" &&
		grep -q 'a record is larger than 3968 bytes (--segment-size' exit.err
}
ok "a record that is too large for the segments" too_large
sizes() {
	local size
	for size in x 0 1000; do exits 2 "$CHRONQ" import -s "$size" sizes <n.json || return 1; done
	exits 2 "$CHRONQ" import -s 8192 n <n.json && exits 2 "$CHRONQ" import && exits 2 "$CHRONQ" export &&
		exits 3 "$CHRONQ" export none && [ ! -e sizes ]
}
ok "wrong sizes and operands" sizes

# ---- interruptions ----

no_newline() { printf '%s' "$(head -n 3 n.json)" | exits 0 "$CHRONQ" import -s 4096 e && [ "$("$CHRONQ" cat e)" = $'1\n2\n3' ]; }
ok "a last line without a newline" no_newline
slowly() { # what has come is appended while more is awaited
	local pid
	mkfifo pipe
	"$CHRONQ" import -s 4096 f <pipe 2>f.err &
	pid=$!
	exec 9>pipe
	rm pipe
	head -n 30 n.json >&9
	until [ "$("$CHRONQ" cat f 2>/dev/null | wc -l)" -ge 30 ]; do kill -0 "$pid" || return 1; done
	kill -s "$1" "$pid"
	wait "$pid" 2>/dev/null
	[ $? -eq "$2" ] && exec 9>&- && { [ "$1" = KILL ] || grep -q 'records imported: 30' f.err; } &&
		exits 0 "$CHRONQ" import f <n.json && "$CHRONQ" export f | cmp - n.json && rm -rf f
}
ok "SIGTERM: what came is there, the next run continues" slowly TERM 1
ok "SIGINT" slowly INT 1
ok "SIGKILL" slowly KILL 137
# caught PID: the signals that end an input (SIGHUP, SIGINT, SIGTERM) are caught.
caught() { (((0x$(awk '/^SigCgt/ { print $2 }' "/proc/$1/status") & 0x4003) == 0x4003)); }
before_all() { # a signal comes before the first line
	local pid
	mkfifo pipe
	"$CHRONQ" import -s 4096 never <pipe 2>f.err &
	pid=$!
	exec 9>pipe
	rm pipe
	until caught "$pid"; do kill -0 "$pid" || return 1; done
	kill -TERM "$pid"
	wait "$pid" 2>/dev/null
	[ $? -eq 1 ] && exec 9>&- && grep -q 'interrupted' f.err && grep -q 'records imported: 0' f.err && [ ! -e never ]
}
ok "SIGTERM before the first line" before_all
killed() { # in the middle of much
	local pid n
	"$CHRONQ" import -s 2M k <lines &
	pid=$!
	until [ "$("$CHRONQ" tail -n 1 --format %s k 2>/dev/null || echo 0)" -gt "$1" ] 2>/dev/null; do
		kill -0 "$pid" 2>/dev/null || break
	done
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	n=$("$CHRONQ" export k 2>/dev/null | wc -l)
	"$CHRONQ" export k | cmp - <("$CHRONQ" export q | head -n "$n") && exits 0 "$CHRONQ" import k <lines &&
		"$CHRONQ" export k | cmp - <("$CHRONQ" export q) && rm -rf k
}
for n in 5 100 1500; do ok "killed near record $n: a beginning is there, the next run continues" killed $n; done

# ---- output ----

full() { "$CHRONQ" export q >/dev/full; }
ok "a full disk" exits 3 full
closed() {
	local codes
	"$CHRONQ" export q | head -n 1 >first
	codes=("${PIPESTATUS[@]}")
	[ "${codes[0]}" -eq 0 ] && cmp first <("$CHRONQ" export q | sed 1q)
}
ok "a closed pipe is no error" closed
damaged() {
	cp -R n bad && printf X | dd of=bad/000000001.q bs=1 seek=128 conv=notrunc status=none &&
		exits 1 "$CHRONQ" export bad && grep -q 'record 31 is left out' exit.err && [ "$(wc -l <exit.out)" = 199 ]
}
ok "damage: what is left out is said" damaged
if [ "${PLANTED_FAULTS-}" = yes ]; then
	disk_full() {
		CHRONQ_FAIL=allocate:28:2:-1 exits 3 "$CHRONQ" import -s 4096 d <n.json && grep -q 'No space left' exit.err &&
			n=$(sed -n 's/.*records imported: \([0-9]*\);.*/\1/p' exit.err) && [ "$n" -gt 0 ] && [ "$n" -lt 200 ] &&
			"$CHRONQ" export d | cmp - <(head -n "$n" n.json) && exits 0 "$CHRONQ" import d <n.json &&
			"$CHRONQ" export d | cmp - n.json
	}
	ok "a disk that gets full: what fitted is there, the next run continues" disk_full
	# What has come is to be appended while more is awaited, and cannot be.
	full_while_waiting() {
		local pid
		mkfifo pipe
		CHRONQ_FAIL=allocate:28:1:-1 "$CHRONQ" import -s 4096 waits <pipe 2>f.err &
		pid=$!
		exec 9>pipe
		rm pipe
		head -n 60 n.json >&9
		wait "$pid" 2>/dev/null # ends, although the pipe is open
		[ $? -eq 3 ] && exec 9>&- && grep -q 'No space left' f.err && exits 0 "$CHRONQ" import waits <n.json &&
			"$CHRONQ" export waits | cmp - n.json
	}
	ok "a disk that gets full while more input is awaited" full_while_waiting
	# The sync of the close fails: the records may not be on the disk, and another run says what is there.
	close_fails() {
		CHRONQ_FAIL=sync_data:5:0:-1 exits 3 "$CHRONQ" import -s 1M unsynced <n.json && grep -q 'Input/output error' exit.err &&
			exits 0 "$CHRONQ" import unsynced <n.json && "$CHRONQ" export unsynced | cmp - n.json
	}
	ok "a sync that fails at the end" close_fails
	failing() {
		local call skip code runs=0
		for call in open:5 open_dir:5 stat:5 pread:5 map:12 pwrite:5 list:5 create_new:28 lock:5; do
			for skip in 0 1 2 3 5 8; do
				rm -rf fail && cp -R n fail
				CHRONQ_FAIL=$call:$skip:1 timeout "$patience" "$CHRONQ" import fail <n.json >out 2>err
				code=$?
				[ $code -eq 0 ] && continue
				runs=$((runs + 1))
				[ $code -eq 3 ] && [ -s err ] || [ $code -eq 1 ] || { echo "$call:$skip: $code"; return 1; }
				exits 0 "$CHRONQ" import fail <n.json || return 1
			done
		done
		echo "$runs failed"
		[ $runs -gt 5 ]
	}
	ok "with failing calls" failing
fi
finish
