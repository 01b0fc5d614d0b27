#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: progress.sh
#
# progress.sh - a mount whose recovery takes long: what it says meanwhile, to people and to a service
# manager, and how a signal ends it.  Recovery is held in its middle (CHRONQ_HOLD).
. "$(dirname "$0")/../lib/lib.sh"
[ "${PLANTED_FAULTS-}" = yes ] || skip_all "this build has no test points"

# shellcheck disable=SC2317 # called by wait_for
unlocked() { flock -n "$q/writer.lock" true; }
# shellcheck disable=SC2317 # called by wait_for
told() { grep -qF "$1" "$tmp/told"; }

# A service manager: what it is sent, a line for each.
python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.bind(sys.argv[1])
    with open(sys.argv[2], "ab", buffering=0) as to:
        while True:
            to.write(manager.recv(65536).replace(b"\n", b" ") + b"\n")
' "$tmp/manager" "$tmp/told" &
manager=$!
helper=$manager # for cleanup
wait_for [ -e "$tmp/told" ]
export NOTIFY_SOCKET=$tmp/manager

# crash: a queue of several segments whose daemon was killed.
crash() {
	start_mount -o segment_size=64K
	for i in {1..40}; do printf '%4000s' "$i" >"$m/append"; done
	kill -9 "$daemon"
	ended
	umount "$m"
}

# held_mount [ARGUMENT...]: a mount that stays in the middle of its recovery.
held_mount() {
	mkfifo "$tmp/hold.reached" "$tmp/hold.go"
	mounts=("$m")
	CHRONQ_HOLD=recover.reading:$tmp/hold "$CHRONFS" "$q" "$m" "$@" 2>"$log" &
	daemon=$!
	timeout "$patience" cat "$tmp/hold.reached" >/dev/null || fail "recovery is held"
}
let_go() {
	timeout "$patience" bash -c ': >"$1"' bash "$tmp/hold.go" || fail "recovery goes on"
	rm "$tmp/hold.reached" "$tmp/hold.go"
}

crash
ok "READY=1 when it answers" told READY=1
: >"$tmp/told"

for signal in TERM INT HUP; do
	held_mount -f
	ok "$signal: the queue is locked" not unlocked
	kill -s "$signal" "$daemon"
	let_go
	ended
	is "$signal: exit status" $? 13
	ok "$signal: it says so" grep -qF "chronfs: $q: stopped by a signal; nothing was changed" "$log"
	ok "$signal: the queue is unlocked" unlocked
	ok "$signal: nothing is mounted" not is_mounted "$m"
done
held_mount
kill "$daemon" # the parent, which waits for the daemon
read -r child <"/proc/$daemon/task/$daemon/children"
# shellcheck disable=SC2317 # called by wait_for
handed_on() { grep -qE '^ShdPnd:.*[4-7c-f]...$' "/proc/$child/status"; } # SIGTERM is bit 14
ok "the parent hands the signal on" wait_for handed_on
let_go
ended
is "in the background: exit status" $? 13
ok "in the background: it says so" grep -qF "stopped by a signal" "$log"
ok "in the background: the queue is unlocked" unlocked
ok "no READY=1 without a mount" not told READY=1

# The command-line tool: a line on a terminal, which it removes; nothing elsewhere.
cat >"$tmp/terminal.py" <<'END'
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["sh", "-c", 'stty cols 300; exec "$@"', "sh", *sys.argv[1:]])))
END
for way in terminal file; do
	mkfifo "$tmp/hold.reached" "$tmp/hold.go"
	how=()
	[ $way = file ] || how=(python3 "$tmp/terminal.py")
	CHRONQ_HOLD=recover.reading:$tmp/hold "${how[@]}" "$CHRONQ" repair -n "$q" >"$tmp/said" 2>&1 </dev/null &
	tool=$!
	daemon=$tool # for cleanup
	timeout "$patience" cat "$tmp/hold.reached" >/dev/null || fail "repair is held"
	sleep 2
	let_go
	wait "$tool"
	status=$?
	daemon=
	is "$way: chronq repair -n" "$status" 1
	lines=$(tr '\r' '\n' <"$tmp/said" | grep -cE "^chronq: $q: reading, 0 of [0-9]+ segments, [0-9]+ %")
	if [ $way = file ]; then
		is "file: no line of progress" "$lines" 0
	else
		ok "terminal: a line of progress" [ "$lines" -ge 1 ] # a slow machine has more of them
		# shellcheck disable=SC2317 # called by ok
		removed() { tr '\r' '\n' <"$tmp/said" | grep -A 1 -E '[0-9] %' | grep -q $'^\033\\[K'; }
		ok "terminal: which is removed" removed
	fi
done

# A mount on a terminal: a line that is removed before the messages of the recovery.
mkfifo "$tmp/hold.reached" "$tmp/hold.go"
mounts=("$m")
CHRONQ_HOLD=recover.reading:$tmp/hold python3 "$tmp/terminal.py" "$CHRONFS" "$q" "$m" >"$tmp/said" 2>&1 </dev/null &
tool=$!
daemon=$tool # for cleanup
timeout "$patience" cat "$tmp/hold.reached" >/dev/null || fail "recovery is held"
sleep 2
let_go
wait "$tool"
is "terminal: chronfs" $? 0
daemon=
# shellcheck disable=SC2317 # called by ok
mount_line() {
	tr '\r' '\n' <"$tmp/said" | grep -A 1 -E '^chronfs: recovery: 0 of [0-9]+ segments, [0-9]+ %' | grep -q $'^\033\\[K'
}
ok "terminal: a line of progress, which is removed" mount_line
umount "$m"
ok "it is unmounted" wait_for unlocked
crash

# A line in five seconds goes to a log, more time is asked for, and then it is mounted.
held_mount -f
sleep 6 # as long as the disk would take
let_go
ok "in the end it is mounted" wait_for is_mounted "$m"
ok "a line for the log" wait_for grep -qE "chronfs: $q: recovery: 0 of [0-9]+ segments, [0-9]+ %" "$log"
ok "more time is asked for" wait_for told EXTEND_TIMEOUT_USEC=
ok "READY=1" wait_for told READY=1
is "all records are there" "$("$CHRONQ" cat "$q" | wc -c)" 320000
stop_mount
ok "STOPPING=1" wait_for told STOPPING=1
kill "$manager"
wait "$manager" 2>/dev/null
finish
