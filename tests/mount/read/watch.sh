#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# watch.sh - inotify: which changes fire events on the mount, and which do not
#
# One inotifywait watches everything.  A file made in a directory of its own marks the end of each
# step: events come in order, so that what is not there before the mark has not come at all.
. "$(dirname "$0")/../lib/lib.sh"
command -v inotifywait >/dev/null || skip_all "needs inotifywait"

events=$tmp/events
: >"$events"
watcher=
marks=0
mkdir "$tmp/mark"

# shellcheck disable=SC2317 # called by trap
end_watcher() {
	local status=$?
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
	(exit "$status")
	cleanup
}
trap end_watcher EXIT

watch() { # PATH...
	: >"$tmp/watches"
	inotifywait -m --format '%w %e %f' "$tmp/mark" "$@" >>"$events" 2>"$tmp/watches" &
	watcher=$!
	if ! wait_for grep -q 'Watches established' "$tmp/watches"; then
		fail "inotifywait $*"
		note "$(cat "$tmp/watches")"
		finish
	fi
}

unwatch() {
	kill "$watcher"
	wait "$watcher" 2>/dev/null
	watcher=
}

# fires DESCRIPTION WANTED COMMAND...: the events between the last mark and the next, one after the
# other.  Equal ones that follow each other count once: the kernel merges those not read yet.
fires() {
	local what=$1 wanted=$2
	shift 2
	"$@" || fail "$what: $*"
	mark
	is "$what" "$between" "$wanted"
}

# mark: the events since the last mark go to $between, without the mount point's path, and without
# those of watches on sinks: an open file may have another inode than the watch.
mark() {
	marks=$((marks + 1))
	: >"$tmp/mark/$marks"
	wait_for grep -q "CLOSE_WRITE,CLOSE $marks\$" "$events" || fail "the mark $marks"
	between=$(sed -n "\\|^$tmp/mark/ CLOSE_WRITE,CLOSE $((marks - 1))\$|,\$p" "$events" |
		grep -v -e "^$tmp/mark/" -e "^$m/append " -e "^$m/append.lines " | sed "s|^$m/||; s|^$q/|queue/|; s|  *| |g; s|^ ||; s| \$||" | uniq |
		paste -sd';' | sed 's/;/; /g')
}

append() { echo "$1" >>"$m/append"; }
roll() { append "$1" && echo roll >>"$m/ctl"; }
oldest() { ls "$m/segments" | head -n 1; }
# roll_past SEGMENT: until retention has deleted it.
roll_past() {
	for i in 1 2 3 4; do roll "$i"; done
	wait_for not [ -e "$q/$1" ]
}
# shellcheck disable=SC2317 # called by wait_for
at_rest() { # of two segments to be kept the current one is the newer
	local current
	current=$(sed -n 's/^chronfs_segment //p' "$m/metrics")
	[ "$(oldest)" = "$(printf '%09d.q' $((current - 1)))" ]
}

start_mount -o segment_size=64K,allow_trim
roll first
roll second
append third
wait_for [ -e "$m/segments/000000003.q" ]
live=000000002
watch "$m" "$m/segments" "$m/payload" "$m/records" "$m/append" "$m/append.lines" "$m/stream" "$m/stats.json" \
	"$m/segments/000000001.q" "$m/segments/$live.q" "$m/payload/$live" "$m/records/$live"
: >"$tmp/mark/0"

# What clients do to files of this mount: events of the directory that the file is in.
append_events="OPEN append; MODIFY append; CLOSE_WRITE,CLOSE append"
fires "echo >> append" "$append_events" append a
fires "echo > append (O_TRUNC is a MODIFY of its own, merged with the other)" "$append_events" sh -c 'echo b >"$1"' sh "$m/append"
fires "echo >> append.lines" "${append_events//append/append.lines}" \
	sh -c 'echo c >>"$1"' sh "$m/append.lines"
fires "touch append" "OPEN append; ATTRIB append; CLOSE_WRITE,CLOSE append" touch "$m/append"
fires "ctl" "${append_events//append/ctl}" sh -c 'echo sync >>"$1"' sh "$m/ctl"
fires "a refused write changes nothing" "OPEN append; CLOSE_WRITE,CLOSE append" \
	not sh -c 'head -c 70000 /dev/zero | dd of="$1" bs=70000 iflag=fullblock conv=notrunc 2>/dev/null' \
	sh "$m/append"
fires "reading stats.json: a watch on the file sees it, too" \
	"OPEN stats.json; stats.json OPEN; ACCESS stats.json; stats.json ACCESS; CLOSE_NOWRITE,CLOSE stats.json; stats.json CLOSE_NOWRITE,CLOSE" \
	sh -c 'head -c 10 "$1" >/dev/null' sh "$m/stats.json"
fires "reading a segment, too" \
	"segments/ OPEN 000000001.q; segments/000000001.q OPEN; segments/ ACCESS 000000001.q; segments/000000001.q ACCESS; segments/ CLOSE_NOWRITE,CLOSE 000000001.q; segments/000000001.q CLOSE_NOWRITE,CLOSE" \
	sh -c 'head -c 10 "$1" >/dev/null' sh "$m/segments/000000001.q"

# What happens in the queue: nothing.  A watch on the file that grows sees nothing either.
written=$(stat -c %s "$m/stream")
exec 5>>"$m/append"
mark
fires "a write through a file that is open" "MODIFY append" sh -c 'echo growing >&5'
ok "while stream has grown" [ "$(stat -c %s "$m/stream")" -gt "$written" ]
exec 5>&-
mark
fires "sealing a segment, and publishing the next" "${append_events//append/ctl}" \
	sh -c 'echo roll >>"$1"' sh "$m/ctl"
ok "while there is a new one" wait_for [ -e "$q/000000004.q" ]
fires "publishing shows nowhere, also later" "" true
fires "trim by ctl" "${append_events//append/ctl}" sh -c 'echo trim 1 >>"$1"' sh "$m/ctl"
ok "while one is gone" not [ -e "$q/000000000.q" ]
fires "a trimmed file, when its name is asked for" "" not [ -e "$m/segments/000000000.q" ]

# unlink(2) is done by the kernel, so it tells.
fires "rm of a segment: the directory, and the file itself" \
	"segments/000000001.q ATTRIB; segments/000000001.q DELETE_SELF; segments/ DELETE 000000001.q" \
	rm -f "$m/segments/000000001.q"
unwatch
cases_of python3 - "$m" "$m/append" <<'PYTHON' # inotifywait does not show this one
import ctypes, os, struct, subprocess, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init1(os.O_CLOEXEC)
watches = {libc.inotify_add_watch(fd, path.encode(), 0xfff) for path in sys.argv[1:]}
subprocess.run(["umount", sys.argv[1]], check=True)
told, ended = set(), set()
while ended != watches:
    data = os.read(fd, 4096)
    while data:
        watch, mask, _, length = struct.unpack_from("iIII", data)
        if mask & 0x2000:  # IN_UNMOUNT
            told.add(watch)
        if mask & 0x8000:  # IN_IGNORED
            ended.add(watch)
        data = data[16 + length:]
print("ok" if told == watches else "not ok", "- an unmount is told to every watch, and ends it")
PYTHON
await_daemon "unmount of what is watched"

# Retention, and changes that another mount or process makes.
start_mount -o segment_size=64K,retain_segments=2
mkdir "$tmp/second"
"$CHRONFS" "$q" "$tmp/second" -f -o ro >"$tmp/second.log" 2>&1 &
second=$!
mounts+=("$tmp/second")
ok "a read-only mount beside it" wait_for [ -e "$tmp/second/stream" ]
ok "retention is at rest" wait_for at_rest
oldest=$(oldest)
watch "$tmp/second" "$tmp/second/segments" "$tmp/second/stream" "$m/segments"
: >"$tmp/mark/0"
before=$(stat -c %s "$tmp/second/stream")
mark
fires "retention" "" roll_past "$oldest"
fires "what another mount appends and deletes" "" [ "$(stat -c %s "$tmp/second/stream")" -ne "$before" ]
unwatch

# The queue's own directory is on an ordinary file system.
ok "at rest again" wait_for at_rest
oldest=$(oldest)
watch "$q"
# shellcheck disable=SC2317 # called by wait_for
append_unseen() {
	append "no event below either: the file is mapped"
	mark
	[ -z "$between" ]
}
# What the rolls before it have left to do (the next segment, indexes) may come at any time, but it ends.
# In this shell, which counts the marks.
wait_for append_unseen
check "appending shows nothing in the queue's directory" $?
roll_past "$oldest"
ok "publishing does" wait_for grep -qE "^$q/ MOVED_TO 0[0-9]{8}\.q\$" "$events"
ok "retention does" wait_for grep -q "^$q/ DELETE $oldest\$" "$events"
unwatch
ok "unmount of the second" umount "$tmp/second"
wait "$second"
is "its exit status" $? 0
stop_mount
finish
