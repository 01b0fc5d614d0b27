#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# lines.sh - append.lines: one line, one record, however its bytes come
. "$(dirname "$0")/../lib/lib.sh"

start_mount -o segment_size=1M
is "append.lines is an empty file" "$(stat -c '%F %a %s %h %o' "$m/append.lines")" \
	"regular empty file 644 0 1 65536"
cases_of python3 "$here/lines.py" "$m" "$q" 1044480
cases_of python3 "$here/wake.py" "$m" "$q"

# line_timeout is far away, so nothing has to be done about a line that is open for a moment.
ok "writes that leave a line open wake no other thread" python3 -c 'import os, sys
path, task = sys.argv[1], "/proc/%s/task/" % sys.argv[2]
[background] = [t for t in os.listdir(task) if open(task + t + "/comm").read() == "chronfs-bg\n"]
def sleeps():
    status = open(task + background + "/status").read()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
fd = os.open(path, os.O_WRONLY)
os.write(fd, b"open")
before = sleeps()
for _ in range(2000):
    os.write(fd, b"\nopen")
sys.exit(sleeps() - before > 100)' "$m/append.lines" "$daemon"

seq 1 100000 >"$tmp/text"
head -c 3000000 /dev/urandom >"$tmp/binary"
for f in text binary; do
	ok "cat $f" sh -c 'cat "$1" >"$2"' sh "$tmp/$f" "$m/append.lines"
done
is "all bytes came back" "$("$CHRONQ" cat "$q" | tail -c "$(cat "$tmp/text" "$tmp/binary" | wc -c)" | md5sum)" \
	"$(cat "$tmp/text" "$tmp/binary" | md5sum)"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# Small segments are the limit, and roll all the time.
q=$tmp/small
start_mount -o segment_size=4K
cases_of python3 "$here/lines.py" "$m" "$q" 3968
stop_mount

# Segments of 128 bytes: no record can hold a byte.  Neither write ever ends in half.
q=$tmp/tiny
mkdir "$q" && printf '0GES\2\0\0\0' >"$q/000000000.q" && truncate -s 128 "$q/000000000.q"
start_mount
for file in append append.lines; do
	for input in 'a\n' a '\n'; do
		refused "$file of records without room: $input" "Message too long" \
			timeout "$patience" sh -c 'printf "$2" | dd of="$1" conv=notrunc' sh "$m/$file" "$input"
	done
done
is "nothing was appended" "$("$CHRONQ" cat "$q" | wc -c; "$CHRONQ" cat --json "$q")" 0
stop_mount

q=$tmp/timeout
start_mount -o line_timeout=1
cases_of python3 "$here/lines.py" "$m" "$q" 1044480 timeout
stop_mount

q=$tmp/always
start_mount -o sync=always,line_timeout=0
exec 8>>"$m/append.lines"
printf 'one\ntwo' >&8
is "sync=always: each write ends with a record" "$("$CHRONQ" cat "$q" | wc -c)" 7
exec 8>&-
stop_mount

# The end of the mount commits what is open.
for end in "kill" "umount -l"; do
	q=$tmp/${end%% *}
	start_mount -o line_timeout=0
	what=$m
	[ "$end" = kill ] && what=$daemon
	# shellcheck disable=SC2086 # the end may be two words
	ok "files are open at the end by $end" python3 -c 'import os, subprocess, sys, time
path, end = sys.argv[1] + "/append.lines", sys.argv[2:]
fds = [os.open(path, os.O_WRONLY) for _ in range(3)]
os.write(fds[0], b"a line\nopen")
os.write(fds[1], b"open, too")
subprocess.run(end, check=True)
if end[0] == "umount":  # a lazy one: the files live on until they are closed
    os.write(fds[1], b", and on")
    sys.exit()
while os.path.ismount(sys.argv[1]):
    time.sleep(0.01)' "$m" $end "$what"
	await_daemon "$end"
	is "$end: the open lines are records" "$("$CHRONQ" tail "$q" | sort | tr '\n' '|')" \
		"$([ "$end" = kill ] && echo 'a line|open|open, too|' || echo 'a line|open|open, too, and on|')"
done
finish
