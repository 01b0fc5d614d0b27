#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# refused.sh - an open or a repair that is refused changes nothing; prints TAP
#
# Each case puts an obstacle into a queue on which recovery and repair have much to do: temp files, bytes
# behind the last record, an unsealed segment, a false control.meta.  The obstacle must be found before any
# of that is done: afterwards all files and all times are the same.

# Some thousand files are made: in memory, if possible.
[ -w /dev/shm ] && base=/dev/shm
. "$(dirname "$0")/cli_lib.sh"
: "${CHRONFS:?names the mount program}"

seq 1001 1200 >lines
"$CHRONQ" append -s 4096 q <lines || exit 1
# poke FILE OFFSET TEXT
poke() { printf '%s' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
unseal() { dd if=/dev/zero of="$1" bs=1 seek=12 count=52 conv=notrunc status=none; }
much_to_do() {
	touch 000000009.q.tmp 000000003.idx.tmp
	poke 000000006.q 3000 residue
	poke control.meta 256 XXXX
	unseal 000000004.q
}

# refused DESCRIPTION TEXT OBSTACLE COMMAND...: each command fails with this text, and changes nothing.
# COMMAND is a word list; the queue is its last argument.
refused() {
	local what=$1 text=$2 obstacle=$3 command before bad=
	shift 3
	rm -rf d && cp -R q d && (cd d && much_to_do && "$obstacle") || bad="the case cannot be made"
	before=$(snapshot d)
	for command in "$@"; do
		# shellcheck disable=SC2086 # words
		if $command </dev/null >out 2>err; then
			bad="$command succeeds"
		elif ! cat out err | grep -qF -- "$text"; then
			bad="$command does not say: $text"
		elif [ "$before" != "$(snapshot d)" ]; then
			bad="$command changes something"
		fi
		[ -z "$bad" ] || break
	done
	[ -z "$bad" ]
	check "$what" $? "$bad
$(cat out err | head -n 10 | cut -c 1-200)
$(diff <(echo "$before") <(snapshot d) | head -n 10)"
}

mkdir m
chronq() { "$CHRONQ" "$@"; } # a path with blanks is no word list
append() { echo more | "$CHRONQ" append "$@"; }
# chronfs must fail before it uses the mount point; if it does mount, that is undone.
chronfs_at() {
	local queue=$1 code
	shift
	timeout -s KILL "$patience" "$CHRONFS" -f "$queue" m "$@"
	code=$?
	[ "$code" -eq 137 ] || return "$code"
	umount -l m
}
everything=("append d" "append -t d" "chronq repair d" "chronq repair -n d" "chronq repair -a d" "chronfs_at d")

# ---- names of the queue that are no files ----

name=
link() { rm -f "$name" && ln -s elsewhere "$name"; }
link_to_file() { mv "$name" ../elsewhere && ln -s ../elsewhere "$name"; }
fifo() { rm -f "$name" && mkfifo "$name"; }
directory() { rm -f "$name" && mkdir "$name"; }
a_socket() { rm -f "$name" && python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$name"; }
for name in index.meta durable.meta identity.meta writer.lock; do
	refused "$name is a link to nothing" "$name is a symbolic link" link "${everything[@]}"
	refused "$name is a link to a file" "$name is a symbolic link" link_to_file "${everything[@]}"
	refused "$name is a FIFO" "$name is a FIFO" fifo "${everything[@]}"
	refused "$name is a socket" "$name is a socket" a_socket "${everything[@]}"
	refused "$name is a directory" "$name is a directory" directory "${everything[@]}"
done
for name in control.meta control.tmp identity.tmp 000000007.q.tmp 000000007.q.new.tmp 000000004.idx.tmp; do
	refused "$name is a directory" "$name is a directory" directory "${everything[@]}"
done
for name in 000000004.idx 000000006.idx 000000002.idx; do
	refused "repair: $name is a directory" "$name is a directory" directory \
		"chronq repair d" "chronq repair -n d" "chronq repair -a d"
done
of_a_gap() { directory && rm 000000002.q; }
name=000000002.idx
refused "repair: $name is a directory, its segment gone" "$name is a directory" of_a_gap "chronq repair -a d"

# ---- files that must not be written ----

second_name() { ln "$name" ../second; }
for_everybody() { chmod 666 "$name"; }
for name in control.meta index.meta durable.meta writer.lock 000000006.q; do
	rm -f second
	refused "$name has a second name" "second name" second_name "${everything[@]}"
	refused "everybody may write to $name" "everybody may write to it" for_everybody \
		"append d" "chronq repair d" "chronfs_at d"
done
rm -f second
name=000000004.q
refused "repair: $name has a second name" "second name" second_name "chronq repair d" "chronq repair -a d"

# ---- queues that are not opened ----

loss() { poke 000000006.q 640 X; }
replica() { make_replica .; }
refused "a replica" "is a replica" replica "append d" "chronfs_at d"
damaged_identity() { poke identity.meta 9 XXXX; }
refused "the identity is damaged" "identity.meta is damaged" damaged_identity "append d" "chronq repair d" "chronfs_at d"
refused "promote: the identity is damaged" "identity.meta is damaged" damaged_identity "chronq promote d"
refused "promote: no replica" "is no replica" true "chronq promote d"
refused "durable records are damaged" "missing or damaged" loss "append d" "chronq repair d" "chronfs_at d"
gone() { rm 000000006.q; }
refused "a durable segment is gone" "missing or damaged" gone "append d" "chronq repair d" "chronfs_at d"
newer() { poke 000000006.q 4 $'\003'; }
refused "a newer version" "too new" newer "${everything[@]}"
other_size() { :; }
refused "another size of segments" "segment_size cannot be 8192" other_size "append -s 8192 d" "chronfs_at d -o segment_size=8192"
many_gone() {
	local name=123456789.q
	rm durable.meta && cp 000000006.q "$name" && printf '\025\315\133\007' | dd of="$name" bs=1 seek=8 conv=notrunc status=none
}
refused "repair: too many segments are missing" "more than 10000 segments are missing" many_gone "chronq repair -a d" "chronq repair -n d"

# A sealed segment with the last id.
used_up() {
	local name=999999999.q
	rm ./*.q ./*.idx durable.meta && cp ../q/000000005.q "$name" &&
		printf '\377\311\232\073' | dd of="$name" bs=1 seek=8 conv=notrunc status=none
}
refused "the last segment id is sealed" "the segment ids are used up: 999999999.q is sealed" used_up "${everything[@]}"
nothing_behind() {
	rm -rf d && cp -R q d && (cd d && used_up) && exits 3 "$CHRONQ" repair -n d && ! grep 1000000000 exit.out exit.err
}
ok "no segment is made behind it" nothing_behind

# ---- no name is left for setting bytes aside ----

# taken NAME: other files have all names that bytes of 000000006.q could get.
taken() {
	local n
	printf 'other bytes' | dd of=../other bs=1 seek=3000 status=none
	tee "$1" "$1".{2..999} <../other >/dev/null && rm ../other
}
no_broken() { taken 000000006.q.broken; }
refused "nothing more of the end can be set aside" "move 000000006.q.broken" no_broken \
	"append d" "chronq repair d" "chronq repair -n d" "chronfs_at d"
no_corrupt() { taken 000000002.q.corrupt && poke 000000002.q 640 X; }
refused "no segment more can be set aside" "move 000000002.q.corrupt" no_corrupt "chronq repair -a d"

# ---- no obstacles ----

# carries_on OBSTACLE: repair and append work, and nothing is left to repair.
carries_on() {
	rm -rf d && cp -R q d && (cd d && much_to_do && "$1") && exits 0 "$CHRONQ" repair d && exits 0 append d &&
		exits 0 "$CHRONQ" repair d && exits 0 "$CHRONQ" verify d && "$CHRONQ" cat d | cmp - <(cat lines && echo more)
}
ok "without an obstacle" carries_on true
for name in 000000006.q.broken; do
	for obstacle in link fifo directory a_socket; do ok "$name: $obstacle" carries_on "$obstacle"; done
done
name=control.meta
for obstacle in link fifo a_socket; do ok "$name: $obstacle" carries_on "$obstacle"; done
finish
