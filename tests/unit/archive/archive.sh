#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# archive.sh - chronq archive: each sealed segment once, in order, and none skipped; prints TAP
# shellcheck disable=SC1083,SC2016,SC2317 # {} and the variables are for the command; functions are called by others
# shellcheck source=tests/unit/cli/cli_lib.sh
. "$(dirname "$0")/../cli/cli_lib.sh"
pid= # of what runs in the background
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT

chronq() {
	"$CHRONQ" "$@"
}
# As chronq, in a process of its own in the background.
begin() {
	# what runs in the background has SIGINT ignored
	env --default-signal=INT "$CHRONQ" "$@" &
	pid=$!
}
# until_true COMMAND...: waits for it.
until_true() {
	local i
	for ((i = 0; i < patience * 50; i++)); do
		"$@" && return 0
		sleep 0.02
	done
	echo "not true after $patience s: $*"
	return 1
}
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; } 2>/dev/null
# segment_is QUEUE ID: of the next record for the reader.
segment_is() { chronq readers --json "$1" | grep -q "^{\"name\":\"archive\",\"segment\":$2,"; }
names() { seq -f '%09.0f.q' "$1" "$2"; }

# 31 records in each of the segments 0 to 5, 14 in segment 6; the queue's name has a blank.
seq 200 | chronq append -s 4096 'a queue' || exit 1
ln -s 'a queue' q
real=$(realpath q)

# ---- what the command gets ----

everything() {
	exits 0 chronq archive q -- sh -c 'echo "$CHRONQ_SEGMENT|$0|$CHRONQ_QUEUE|$CHRONQ_FIRST_SEQ-$CHRONQ_NEXT_SEQ|$(cat)"' <<<input || return
	for i in 0 1 2 3 4 5; do
		echo "$real/00000000$i.q|$real/00000000$i.q|$real|$((i * 31))-$((i * 31 + 31))|"
	done | diff - exit.out && [ ! -s exit.err ] && segment_is q 6
}
ok "each sealed segment, in order: path, queue and numbers; standard input is empty" everything
nothing_more() { exits 0 chronq archive q -- false && [ ! -s exit.err ] && segment_is q 6; }
ok "and not again" nothing_more
words() {
	exits 0 chronq archive --reader words q -- printf '[%s]' '{}' 'to {/} {/}.gz' '{x}' 'a b' '' '{}{/}' || return
	for i in 0 1 2 3 4 5; do
		printf '[%s]' "$real/00000000$i.q" "to 00000000$i.q 00000000$i.q.gz" '{x}' 'a b' '' "$real/00000000$i.q00000000$i.q"
	done | diff - exit.out
}
ok "{} and {/} in the command's words, blanks in them" words
own_words() { exits 0 chronq archive --reader own q -- echo --follow -- -h x && grep -c "^--follow -- -h x $real/" exit.out | grep -qx 6; }
ok "the command's words are its own" own_words
copies() {
	mkdir to && exits 0 chronq archive -r copies q -- cp -t to && (cd to && ls -- *.q) | diff - <(names 0 5) &&
		exits 0 chronq cat to && diff exit.out <(seq 186) && exits 0 chronq verify to
}
ok "the copies are a queue that can be read" copies
unchanged() {
	mkdir sums || return
	exits 0 chronq archive -r sums q -- sh -c 'sha256sum <"$0" >"sums/$1"' '{}' '{/}' && seq 201 300 | chronq append q &&
		exits 0 chronq verify q && exits 0 chronq repair q || return
	for file in sums/*; do
		sha256sum <"q/${file#sums/}" | cmp - "$file" || return
	done
}
ok "nothing changes a segment that was given out" unchanged

# ---- which segments ----

rolled() {
	segment_is q 6 && exits 0 chronq archive q -- echo && grep -c . exit.out | grep -qx 3 && segment_is q 9 &&
		chronq roll q >out && exits 0 chronq archive q -- echo {/} && [ "$(cat exit.out)" = 000000009.q ] && segment_is q 10
}
ok "a segment comes when it is sealed" rolled
at_the_end() {
	echo new | chronq append q && chronq readers --set archive latest q 2>out && chronq roll q >out &&
		exits 0 chronq archive q -- echo && [ ! -s exit.out ] && segment_is q 11
}
ok "a reader that was set behind a segment does not get it" at_the_end
in_the_middle() {
	chronq readers --set archive 40 q 2>out && exits 0 chronq archive q -- echo {/} &&
		diff exit.out <(names 1 10)
}
ok "one that was set into a segment gets all of it" in_the_middle
empty() {
	echo one | chronq append none && mkdir empty && exits 0 chronq archive none -- false && exits 0 chronq archive empty -- false &&
		[ ! -s exit.err ]
}
ok "a queue without a sealed segment" empty
without_control() {
	cp -R 'a queue' bare && rm -r bare/control.meta bare/readers && exits 0 chronq archive bare -- echo {/} &&
		diff exit.out <(names 0 10)
}
ok "a queue without control.meta" without_control
foreign() {
	cp -R "$GOLDEN/v2-small" v2 && cp -R "$GOLDEN/v1-small" v1 && chmod -R u+w v1 v2 || return
	for i in v1 v2; do
		exits 0 chronq archive $i -- echo {/} && chronq ls $i | awk '$2 == "sealed" { print $1 ".q" }' | head -c -1 >"$i.ls" || return
		cat exit.out "$i.ls"
	done
}
ok "queues of chronicle-rs" foreign
placeholder() {
	cp -R 'a queue' holed && rm -r holed/readers holed/00000000[23].q && chronq repair --accept-loss holed >out &&
		exits 0 chronq archive holed -- sh -c 'echo "${0##*/} $CHRONQ_FIRST_SEQ $CHRONQ_NEXT_SEQ"' &&
		sed -n 3,4p exit.out | diff - <(printf '00000000%d.q 62 62\n' 2 3) && has_lines exit.out 11
}
ok "a placeholder is given out, too, without a record" placeholder

# ---- what is not there ----

gone() {
	cp -R 'a queue' g && rm -r g/readers g/00000000[34].q && exits 1 chronq archive g -- echo {/} &&
		diff exit.out <(names 0 2 && names 5 10) && cat exit.err &&
		grep -qx 'chronq: g: missing: the segments 000000003 to 000000004 are gone, and not archived' exit.err &&
		exits 0 chronq archive g -- false
}
ok "segments that are gone are told of, and passed" gone
gone_first() {
	cp -R 'a queue' g1 && chronq readers --set archive 0 g1 2>out && rm g1/00000000[01].q &&
		exits 1 chronq archive g1 -- echo {/} && diff exit.out <(names 2 10) &&
		grep -q 'the segments 000000000 to 000000001 are gone' exit.err
}
ok "so is the one at which the reader is" gone_first
behind_its_back() {
	cp -R 'a queue' b && rm -r b/readers || return
	exits 1 chronq archive b -- sh -c 'case $0 in *4.q) rm "$0"; exit 5 ;; *6.q) rm "$0" ;; esac; echo "${0##*/}"' &&
		diff exit.out <(names 0 3 && names 5 10) &&
		[ "$(cat exit.err)" = "chronq: b: missing: the segments 000000004 to 000000004 are gone, and not archived" ]
}
ok "a segment that is deleted before the command has read it" behind_its_back
damaged() {
	cp -R 'a queue' h && rm -r h/readers && printf 'no header' | dd of=h/000000002.q conv=notrunc status=none &&
		exits 3 chronq archive h -- echo {/} && diff exit.out <(names 0 1) &&
		grep -q 'segment 000000002 cannot be read: the queue is damaged (see chronq verify)' exit.err &&
		exits 3 chronq archive h -- echo {/} && diff exit.out <(names 1 1) &&
		chronq readers --set archive oldest h 2>out && rm h/00000000[01].q && exits 3 chronq archive h -- echo {/} &&
		chronq repair --accept-loss h >out && exits 1 chronq archive h -- echo {/} && diff exit.out <(names 3 10)
}
ok "one that is damaged ends it, until a repair" damaged
first_damaged() {
	cp -R 'a queue' h1 && chronq readers --set archive 70 h1 2>out && truncate -s 10 h1/000000002.q &&
		exits 3 chronq archive h1 -- false && grep -q 'segment 000000002 cannot be read' exit.err
}
ok "also if it is the first" first_damaged
durable() {
	cp -R 'a queue' old && rm -r old/readers || return
	seq 1000 | chronq append old && cp q/durable.meta old/durable.meta && exits 1 chronq archive old -- echo {/} &&
		grep -q 'is left for the next run$' exit.err && head -n 10 exit.out | diff - <(names 0 9) &&
		! grep -qx 000000012.q exit.out && echo more | chronq append old && exits 0 chronq archive old -- echo {/} &&
		grep -qx 000000012.q exit.out
}
ok "a segment that may not be on the disk is not given out" durable
synced_soon() {
	local i
	cp -R 'a queue' soon && rm -r soon/readers && cp -R soon later && seq 1000 | chronq append soon &&
		mv soon/durable.meta right && cp later/durable.meta soon && mkfifo holder_ends || return
	# flock stays: a lock of a process that has ended is not seen in a container
	flock soon/writer.lock sh -c ': >locked && read -r _ <holder_ends' &
	i=$!
	until_true [ -e locked ] && begin archive soon -- sh -c 'echo "${0##*/}" >>soon.out' && until_true has_lines soon.out 10 &&
		mv right soon/durable.meta && wait "$pid" && [ "$(wc -l <soon.out)" -gt 30 ]
	set -- $?
	echo >holder_ends
	wait "$i"
	return "$1"
}
ok "it comes when a writer has flushed it" synced_soon

no_end() {
	cp -R 'a queue' cut && rm -r cut/readers && exits 3 chronq archive --follow cut -- sh -c 'cd "$CHRONQ_QUEUE" && ls *.q | tail -n +2 | xargs rm' &&
		grep -q 'segment 000000001 cannot be read: No such file' exit.err
}
ok "all others are deleted meanwhile" no_end

# ---- commands that fail ----

fails() {
	chronq readers --set archive oldest q 2>out
	exits 1 chronq archive q -- sh -c 'case $0 in *2.q) exit 7 ;; esac; echo "${0##*/}"' &&
		diff exit.out <(names 0 1) && segment_is q 2 &&
		grep -qx "chronq: sh: the command has failed with $real/000000002.q: exit code 7" exit.err &&
		exits 1 chronq archive q -- sh -c 'kill -KILL $$' && grep -q '2.q: killed by signal 9$' exit.err &&
		exits 0 chronq archive q -- echo {/} && diff exit.out <(names 2 10)
}
ok "a command that fails ends it; the next run begins with that segment" fails
no_program() {
	chronq readers --set archive 40 q 2>out && exits 3 chronq archive q -- ./nowhere &&
		grep -qx 'chronq: cannot run ./nowhere: No such file or directory' exit.err && segment_is q 1 &&
		exits 3 chronq archive -f q -- "$tmp" && grep -q 'Permission denied' exit.err
}
ok "a program that cannot be run" no_program
deleted() {
	exits 3 chronq archive -r deleted q -- rm q/readers/deleted.meta -- &&
		grep -q "reader deleted: cannot commit: the reader's file was removed or replaced" exit.err
}
ok "a reader that is deleted meanwhile" deleted

# ---- two at a time, signs of life, signals, kills ----

# The command ends when a line comes through the pipe.
mkfifo pipe
seen() { chronq readers --json q | sed -n 's/^{"name":"archive",.*"last_seen_ns":\([0-9]*\),.*/\1/p'; }
seen_after() { [ "$(seen)" -gt "$1" ]; }
two() {
	local at
	begin archive q -- sh -c 'echo >>started; read -r line <pipe' &&
		until_true has_lines started 1 && exits 3 chronq archive q -- true &&
		grep -qx "chronq: q: reader archive is in use by process $pid" exit.err && exits 0 chronq archive -r other q -- true || return
	at=$(seen)
	until_true seen_after "$at" && at=$(seen) && until_true seen_after "$at" && segment_is q 1
}
ok "one at a time has the reader, and gives signs of life while its command runs" two
terminated() {
	kill -TERM "$pid" && wait "$pid" && segment_is q 1 && [ "$(wc -l <started)" = 1 ] && exits 0 chronq archive q -- true
}
ok "SIGTERM reaches the command, and ends it: nothing is committed, exit code 0" terminated
finished() {
	chronq readers --set archive 40 q 2>out && rm started && begin archive q -- bash -c 'trap "exit 0" INT
		echo >>started; read -r line <>pipe' && until_true has_lines started 1 && kill -INT "$pid" && wait "$pid" &&
		segment_is q 2 && [ "$(wc -l <started)" = 1 ]
}
ok "a command that succeeds all the same: committed, and the last one" finished
ignored() {
	rm started
	env --ignore-signal=HUP "$CHRONQ" archive q -- sh -c 'echo >>started; read -r line <pipe' &
	pid=$!
	until_true has_lines started 1 && kill -HUP "$pid" && echo >pipe && until_true has_lines started 2 &&
		kill -TERM "$pid" && wait "$pid" && segment_is q 3
}
ok "a signal that is ignored at the beginning stays ignored" ignored
killed() {
	rm started && begin archive q -- bash -c 'trap "echo told >>started; exit 1" TERM; echo >>started; read -r line <>pipe' &&
		until_true has_lines started 1 && kill -KILL "$pid" && ! wait "$pid" 2>/dev/null && until_true grep -q told started &&
		segment_is q 3 && exits 0 chronq archive q -- echo {/} && diff exit.out <(names 3 10)
}
ok "kill -9: the command gets SIGTERM, and the next run has the segment again" killed
killed_often() {
	local i
	seq 3000 | chronq append -s 4096 k && exec 8>>k.out || return
	for ((i = 0; i < 40; i++)); do
		"$CHRONQ" archive k -- sh -c 'echo "${0##*/}" >>k.out' &
		pid=$!
		sleep "0.0$((RANDOM % 70 + 10))"
		kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	# a command that outlives its chronq ends behind what it wrote
	until_true chronq archive k -- sh -c 'echo "${0##*/}" >>k.out' && sort -u k.out | diff - <(names 0 95)
}
ok "kill -9 at any moment skips no segment" killed_often 2>/dev/null

# ---- --follow ----

follows() {
	seq 100 | chronq append -s 4096 f && begin archive --follow f -- sh -c 'echo "${0##*/}" >>f.out' && until_true has_lines f.out 3 &&
		seq 200 | chronq append f && until_true has_lines f.out 9 && chronq roll f >out && until_true has_lines f.out 10 &&
		kill -TERM "$pid" && wait "$pid" && diff f.out <(names 0 9)
}
ok "--follow: what is sealed later" follows
again() {
	begin archive -f -r again f -- sh -c 'echo >>tries; has=$(wc -l <tries); [ "$has" -ge 3 ] && echo "${0##*/}" >>again.out' 2>again.err &&
		until_true has_lines again.out 10 && kill -INT "$pid" && wait "$pid" &&
		diff again.out <(names 0 9) && has_lines tries 12 &&
		sed 's/.*: exit code/exit code/' again.err | diff - <(printf 'exit code 1; next try in %d s\n' 1 2)
}
ok "--follow: a command that fails is run again, after a pause that grows" again
from_nothing() {
	mkdir later_queue && begin archive -f later_queue -- sh -c 'echo "${0##*/}" >>nothing.out' &&
		seq 100 | chronq append -s 4096 later_queue && until_true has_lines nothing.out 3 && kill -TERM "$pid" && wait "$pid" &&
		begin archive -f empty -- true && until_true grep -qx chronq "/proc/$pid/comm" && kill -TERM "$pid" &&
		exits 0 ls -A empty && [ ! -s exit.out ] || return
	wait "$pid" # which was signalled before it took signals, or after
	true
}
ok "--follow: a queue that is made later" from_nothing
stopped_in_pause() {
	begin archive -f -r pause f -- false 2>pause.err && until_true has_lines pause.err 1 && kill -TERM "$pid" &&
		wait "$pid" && ! chronq readers f | grep -q '^pause .* [0-9]*$'
}
ok "--follow: a signal in the pause" stopped_in_pause

usage() {
	exits 0 chronq archive --help && grep -q '^Usage: chronq archive .* DIR -- COMMAND' exit.out && exits 0 chronq help archive &&
		exits 2 chronq archive q && grep -q 'no command given: it comes behind --$' exit.err && exits 2 chronq archive q -- &&
		exits 2 chronq archive -- true && grep -q 'no queue directory given' exit.err && exits 2 chronq archive q cp -- true &&
		exits 2 chronq archive --nothing q -- true && exits 2 chronq archive -r .x q -- true && exits 3 chronq archive nowhere -- true &&
		exits 3 chronq archive to/000000000.q -- true && mkdir files && : >files/file && exits 3 chronq archive files -- true &&
		grep -q 'of a mount, name the queue' exit.err
}
ok "usage" usage
finish
