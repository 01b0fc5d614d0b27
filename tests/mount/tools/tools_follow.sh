#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools_follow.sh - ordinary tools that watch a file grow, or read while others write
. "$(dirname "$0")/tools_lib.sh"

declare -A followers=() # process ids by name
# shellcheck disable=SC2317 # called by trap
end_followers() { # a follower ends by itself only where a test is about that
	local status=$? pid
	for pid in "${followers[@]}"; do kill -- "-$pid" 2>/dev/null; done
	(exit "$status")
	cleanup
}
trap end_followers EXIT

# follow NAME TEXT: runs it in the background, in a process group of its own, its output in $tmp/NAME.
follow() {
	(cd "$m" && exec setsid $sh -c "exec $2") >"$tmp/$1" 2>"$tmp/$1.err" </dev/null &
	followers[$1]=$!
}

# shellcheck disable=SC2317 # called by ok
# sees NAME TEXT: its output has TEXT before long.  Says when it took more than the contract's second.
sees() {
	local begin=${EPOCHREALTIME/./} end
	wait_for grep -qF -- "$2" "$tmp/$1" || return 1
	end=${EPOCHREALTIME/./}
	[ $((end - begin)) -le 1500000 ] || note "$1: $(((end - begin) / 1000)) ms"
}

# shellcheck disable=SC2317 # called by ok
# silent NAME: it has no complaints, as of a file truncated, replaced or become inaccessible.
silent() { [ ! -s "$tmp/$1.err" ]; }

# stop NAME: ends it, and it had nothing to say.
stop() {
	kill -- "-${followers[$1]}"
	wait "${followers[$1]}" 2>/dev/null
	unset "followers[$1]"
	ok "$1: no complaint" silent "$1"
}

start_mount -o segment_size=64K,retain_segments=8
seq 100 >"$tmp/hundred"
works "a hundred lines" 'cat $T/hundred > append.lines'

follow tail.f "tail -f stream"
follow tail.F "tail -F stream"
follow tail.n "tail -n +1 -f stream"
follow tail.c "tail -c +1 -F stream"
follow tail.two "tail -f stream payload/000000000"
follow tail.payload "tail -c +1 -f payload/000000000"
have busybox "busybox tail -f" && follow busybox "busybox tail -f stream"
follow python "python3 -uc '
import sys, time
with open(\"stream\") as file:
    while True:
        sys.stdout.write(file.readline())
'"
follow pipe "tail -n 1 -f stream | grep --line-buffered new"
running="tail.f tail.F tail.n tail.c tail.two tail.payload python"
have busybox "busybox" && running+=" busybox"
for name in tail.f tail.F tail.n tail.c tail.two busybox python; do
	[[ $running == *$name* ]] || continue
	ok "$name: what was there" sees "$name" 100
done
for ((i = 1; i <= 3; i++)); do
	echo "new line $i" >>"$m/append"
	for name in $running pipe; do ok "$name: line $i appears" sees "$name" "new line $i"; done
done
is "tail -f: nothing twice, nothing else" "$(cat "$tmp/tail.f")" \
	"$(seq 91 100 && printf 'new line %s\n' 1 2 3)"
is "tail -c +1 -F: all of it" "$(cat "$tmp/tail.c")" "$(cat "$m/stream")"

# A partial line appears when it is committed, which is at close at the latest.
(
	printf 'half '
	exec sleep 300
) >>"$m/append.lines" &
half=$!
ok "half a line is written" wait_for grep -qx 'chronfs_open_line_bytes 5' "$m/metrics"
echo 'meanwhile' >>"$m/append"
ok "another's record comes through" sees tail.f meanwhile
kill "$half" 2>/dev/null
wait "$half" 2>/dev/null
ok "a line left half appears when its writer has died" sees tail.f 'half '
echo >>"$m/append"

# Across rolls and trims, nothing is lost or said to be truncated; all of it in the order written.
# Retention keeps 8 segments; the writer is never more than 4 ahead of the slowest follower, which looks once
# a second.
lines=6000
seq -f 'roll %.0f' "$lines" >"$tmp/rolls"
# shellcheck disable=SC2317 # called by wait_for
all_see() {
	local name
	for name in $running; do
		[ "$name" = tail.payload ] || grep -qxF -- "$1" "$tmp/$name" || return 1
	done
}
n=0
while IFS= read -r line; do
	echo "$line"
	[ $((++n % 500)) -ne 0 ] || [ "$n" -lt 2000 ] || wait_for all_see "roll $((n - 1500))" || break
done <"$tmp/rolls" >>"$m/append"
for name in tail.f tail.F tail.n tail.c python; do
	ok "$name: the last line" sees "$name" "roll $lines"
	ok "$name: every line, in order" cmp <(grep '^roll' "$tmp/$name") "$tmp/rolls"
done
ok "the first segments are gone" wait_for not [ -e "$m/segments/000000000.q" ]
for name in $running; do [ "$name" = python ] || stop "$name"; done
# neither of the two says anything when it is ended but of that
for name in python pipe; do
	kill -- "-${followers[$name]}"
	wait "${followers[$name]}" 2>/dev/null
	unset "followers[$name]"
done

# --pid: it ends with the process, and shows all that was there then.
sleep 300 &
other=$!
follow tail.pid "tail -n 1 --pid=$other -f stream"
pid=${followers[tail.pid]}
echo "last words" >>"$m/append"
ok "tail --pid: the line" sees tail.pid "last words"
kill "$other"
wait "$other" 2>/dev/null
ok "tail --pid: ends" wait_for not kill -0 "$pid"
ok "tail --pid: no complaint" silent tail.pid
follow tail.sed "timeout $patience tail -n 1 -f stream | sed -u 2q"
pid=${followers[tail.sed]}
ok "tail -f | sed q: what was there" sees tail.sed "last words"
echo "second" >>"$m/append"
ok "tail -f | sed q" sees tail.sed second
echo "third" >>"$m/append" # tail sees that its pipe has no reader any more
ok "tail -f | sed q: ends" wait_for not kill -0 "$pid"

cases_of python3 "$here/less.py" "$m"

stop_mount

# While a process writes, sealed files stay as they are: tar sees no change.  Without retention,
# which may take them before tar comes by.
start_mount -o segment_size=64K
write_on() { while [ ! -e "$tmp/stop" ]; do cat "$tmp/hundred"; done >>"$m/append.lines"; }
write_on &
writer=$!
for ((round = 0; round < 5; round++)); do
	# the newest of the sealed ones
	files=()
	for name in $(ls "$m/segments" | tail -n 4 | head -n 2); do
		files+=("segments/$name" "payload/${name%.q}")
	done
	works "tar of sealed files while somebody writes" "tar -cf \$T/tar ${files[*]}"
done
touch "$tmp/stop"
wait "$writer"
is "the writer has written all the time" $? 0
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
