#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: hostile.sh [PART...]
#
# hostile.sh - hostile users: what they may reach, and how much of the daemon they may hold, however strange
# their requests are; each PART is a function here or of hostile.py, and a case of its name ends it
#
# FUZZ_SEED=N repeats a run of the part `fuzz`, FUZZ_SECONDS=N lengthens it.
. "$(dirname "$0")/../lib/lib.sh"

parts=("$@")
[ $# -gt 0 ] || parts=(escaped access open_files open_dirs open_segments locks open_line_bound waiting orphans flood fuzz)

# options PART: what the mount of this part is made with.
options() {
	case $1 in
	open_files) echo segment_size=4K,max_open=200 ;;
	open_segments) echo segment_size=4K ;;
	open_line_bound) echo segment_size=4M,line_timeout=0 ;;
	orphans) echo segment_size=64K,max_bytes=1M,line_timeout=0 ;;
	waiting) echo segment_size=4K,max_bytes=16K,full=block ;;
	*) echo segment_size=64K,allow_trim ;;
	esac
}

program=$CHRONFS
printf '#!/bin/sh\nulimit -n 120 && exec "%s" "$@"\n' "$program" >"$tmp/few_descriptors"
chmod +x "$tmp/few_descriptors"

# escaped: names in messages neither begin a line of their own nor command a terminal.
escaped() {
	local name=$'queue\nchronfs: forged\x1b[2J\x7f\xc2\x9b1m\xc3\xa4'
	mkdir "$tmp/$name"
	touch "$tmp/$name/file"
	"$CHRONFS" "$tmp/$name" "$m" 2>"$tmp/said"
	is "what may not be mounted is refused" $? 3
	is "in one line" "$(wc -l <"$tmp/said")" 1
	is "with its name, in which control characters are numbers" "$(cat "$tmp/said")" \
		"chronfs: $tmp/queue\\x0achronfs: forged\\x1b[2J\\x7f\\xc2\\x9b1mä: the directory holds files, but no queue"
	# The command line: paths, values, options that only libfuse or getopt know, the program's own name.
	local esc=$'\x1b[31m\n' helper="$tmp/"$'\x1b[31m/mount.chronfs'
	mkdir "${helper%/*}" && ln -s "$(readlink -f "$CHRONFS")" "$helper"
	for given in "no/$esc $m" "q no/$esc" "q $m -o full=$esc" "q $m -o sync=$esc" "q $m -o $esc" "q $m -$esc" \
		"q $m -o spares=$esc" "q $m $esc" "q $m -o remount,$esc" "--help" "q $m -d -o $esc"; do
		IFS=' ' read -r -d '' -a given <<<"$given"
		given=("${given[@]/%$'\n'/}")
		"$CHRONFS" "${given[@]}" >"$tmp/said" 2>&1
		ok "nothing raw is said of ${given[*]@Q}" not grep -q '[[:cntrl:]]' "$tmp/said"
		"$helper" "${given[@]}" >"$tmp/said" 2>&1
		ok "nor by mount(8)'s helper" not grep -q '[[:cntrl:]]' "$tmp/said"
	done
	"$helper" "q" "$m" -t "$esc" >"$tmp/said" 2>&1
	ok "nor of a type" not grep -q '[[:cntrl:]]' "$tmp/said"
	"$helper" "q" "$m" -N "$esc" >"$tmp/said" 2>&1
	ok "nor of a namespace" not grep -q '[[:cntrl:]]' "$tmp/said"
	is "in one line, too" "$(wc -l <"$tmp/said")" 1
}

# mounted PART: hostile.py's, on a mount of its own.
mounted() {
	q=$tmp/$1
	CHRONFS=$program
	[ "$1" != open_segments ] || CHRONFS=$tmp/few_descriptors
	start_mount -o "allow_other,$(options "$1")"
	cases_of python3 "$here/hostile.py" "$1" "$q" "$m"
	stop_mount "$1"
	ok "$1: the queue is sound" "$CHRONQ" verify "$q"
	ok "$1: nothing was said" [ ! -s "$log" ]
}

for part in "${parts[@]}"; do
	before=$failures
	if [ "$part" = escaped ]; then escaped; else mounted "$part"; fi
	if [ "$failures" -eq "$before" ]; then pass "$part"; else fail "$part"; fi
done
finish
