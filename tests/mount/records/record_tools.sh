#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# record_tools.sh - records/ with the programs for which it is made: any record is found by its number or its
# time, and cut out of stream or payload/ byte for byte.  The records hold newlines, zero bytes, nothing, a megabyte.
# shellcheck disable=SC2094 # reads and appends to one file, which is what it is for
. "$(dirname "$0")/../lib/lib.sh"

# works WHAT COMMANDS [WANTED]: a shell in the mount prints that, and says nothing.
works() {
	local output status
	output=$(cd "$m" && T=$tmp bash -c "$2" 2>&1)
	status=$?
	[ "$status" -eq 0 ] || output="status $status: $output"
	is "$1" "$output" "${3-}"
}

# have PROGRAM WHAT: whether it is installed; else a SKIP.
have() {
	command -v "$1" >/dev/null && return
	skip "$2" "no $1"
	return 1
}

# first_from FILE TIME: how many lines are before the first one of that time or later.  (docs/USE.md)
first_from() {
	local low=0 high middle time
	high=$(($(stat -c %s "$1") / 90))
	while ((low < high)); do
		middle=$(((low + high) / 2))
		read -r _ time _ < <(dd if="$1" bs=90 skip="$middle" count=1 status=none)
		if [[ $time < $2 ]]; then low=$((middle + 1)); else high=$middle; fi
	done
	echo "$low"
}

# line_of SEQ: by the number alone, wherever it is: the list whose first line is not behind it, then a step.
line_of() {
	local file first wanted
	for file in "$m"/records/*; do
		[ -s "$file" ] || continue
		read -r first _ <"$file"
		((10#$first <= $1)) || break
		wanted=$file
	done
	read -r first _ <"$wanted"
	dd if="$wanted" bs=90 skip=$(($1 - 10#$first)) count=1 status=none
}

# from_stream OFFSET LENGTH, from_payload SEGMENT OFFSET LENGTH: the record's bytes.
from_stream() {
	local begin
	begin=$(getfattr --only-values -n user.chronfs.begin "$m/stream" 2>/dev/null)
	tail -c "+$(($1 - begin + 1))" "$m/stream" | head -c "$2"
}
dd_stream() {
	local begin
	begin=$(getfattr --only-values -n user.chronfs.begin "$m/stream" 2>/dev/null)
	dd if="$m/stream" bs=64K iflag=skip_bytes,count_bytes skip=$(($1 - begin)) count="$2" status=none
}
from_payload() {
	local base
	read -r _ _ base _ <"$m/records/$1"
	tail -c "+$(($2 - base + 1))" "$m/payload/$1" | head -c "$3"
}

# check_all WHAT [STEP]: each record, or each STEPth; what was appended is in $tmp/wanted/SEQ.
check_all() {
	local what=$1 step=${2-1} bad=() file seq time offset length type got
	for file in "$m"/records/*; do
		while read -r seq time offset length type; do
			seq=$((10#$seq))
			((seq % step == 0)) || continue
			[ -e "$tmp/wanted/$seq" ] || bad+=("$seq is none of ours")
			for got in "from_stream $offset $length" "dd_stream $offset $length" \
				"from_payload ${file##*/} $offset $length"; do
				$got | cmp -s - "$tmp/wanted/$seq" || bad+=("$seq: $got")
			done
			[ "$type" = 1 ] || bad+=("$seq: type $type")
		done <"$file"
	done
	is "$what" "${bad[*]-}" ""
}

# Records of every kind, the largest of which are whole writes of 1,044,480 bytes.
mkdir "$tmp/wanted"
count=0
append() { # the file's bytes, in one write
	cp "$1" "$tmp/wanted/$count"
	dd if="$1" of="$m/append" bs=1044480 conv=notrunc status=none
	count=$((count + 1))
}
start_mount -o segment_size=2M
python3 "$lib/material.py" binary 1044480 records >"$tmp/largest"
for round in 1 2 3 4 5; do
	printf 'a line\n' >"$tmp/one" && append "$tmp/one"
	printf '\n\n\n' >"$tmp/one" && append "$tmp/one"
	printf 'zero\0bytes\0\0' >"$tmp/one" && append "$tmp/one"
	printf '\0' >"$tmp/one" && append "$tmp/one"
	head -c "$((round * 1000))" "$tmp/largest" >"$tmp/one" && append "$tmp/one"
	append "$tmp/largest"
	printf '%s' "without a newline, round $round" >"$tmp/one" && append "$tmp/one"
done
is "several segments hold them" "$(find "$m/records" -size +0 | wc -l)" 3
check_all "each record, cut out by its line"
for seq in 0 5 6 12 20 33 34; do
	read -r number _ offset length _ < <(line_of "$seq")
	ok "record $seq, found by its number" cmp <(from_stream "$offset" "$length") "$tmp/wanted/$seq"
	is "record $seq: that is its number" "$((10#$number))" "$seq"
done

# The unsealed list is read, and not mapped.
live=$(find "$m/records" -size +0 | sort | tail -n 1)
have look "look" && {
	refused "look on an unsealed list: it would have to map it" "No such device" look 0000 "$live"
	echo roll >"$m/ctl"
	is "look finds a number" "$(look "$(printf %020d 26) " "$m/records/000000001" | wc -l)" 1
	is "look: that line" "$(look "$(printf %020d 26) " "$m/records/000000001")" "$(line_of 26)"
	is "look finds none that is not there" "$(look "$(printf %020d 99) " "$m/records/000000001")" ""
	live=$(find "$m/records" -size +0 | sort | tail -n 1)
	is "look, of the list that was live" "$(look "$(printf %020d 34) " "$live")" "$(line_of 34)"
}
# By time: the record that was appended at a time that we choose, and those around it.
for seq in 3 18 19 26 33; do
	file=$(grep -l "^$(printf %020d "$seq") " "$m"/records/*)
	time=$(line_of "$seq" | cut -d' ' -f2)
	found=$(first_from "$file" "$time")
	is "record $seq, found by its time" "$(tail -c "+$((found * 90 + 1))" "$file" | head -n 1)" "$(line_of "$seq")"
done
is "before the first" "$(first_from "$m/records/000000001" 1970-01-01)" 0
is "behind the last" "$(first_from "$m/records/000000001" 2500)" "$(wc -l <"$m/records/000000001")"

# After a trim the stream begins later; the lines stay what they are.
before=$(cat "$m/records/000000001")
echo "trim $((10#$(head -c 20 "$m/records/000000001")))" >"$m/ctl"
ok "the first segment is trimmed" [ ! -e "$m/segments/000000000.q" ]
ok "and its list" wait_for [ ! -e "$m/records/000000000" ]
is "the lines of the others are the same" "$(cat "$m/records/000000001")" "$before"
check_all "each record that is left, cut out by its line"

# Everyday programs.
seq 1000 1999 >"$tmp/lines"
cat "$tmp/lines" >"$m/append.lines"
live=$(cd "$m" && find records -size +0 | sort | tail -n 1)
export live
works "wc -l counts records" 'cat records/* | wc -l' "$((count - 10#$(head -c 20 "$m/records/000000001") + 1000))"
works "tail -n, tail -c" 'tail -n 1 $live | cmp - <(tail -c 90 $live); tail -n 1 $live | awk "{ print \$1 + 0 }"' \
	"$((count + 999))"
works "head, sed" 'head -n 3 $live | tail -n 1 | cmp - <(sed -n 3p $live)'
works "awk: the large ones" 'awk "\$4 > 100000 { print \$1 + 0 }" records/*' $'19\n26\n33'
works "awk: sums" 'awk "{ n += \$4 } END { print n }" $live' \
	"$(stat -c %s "$m/payload/${live#*/}")"
works "cut by columns and by fields" 'head -n 1 $live | cut -c1-20; head -n 1 $live | cut -d" " -f1' \
	"$(for _ in 1 2; do printf '%020d\n' "$(head -c 20 "$m/$live" | sed 's/^0*//')"; done)"
works "sort: they are in order, in any locale" 'for l in C C.UTF-8 en_US.UTF-8; do
	cat records/* | LC_ALL=$l sort -c
	cat records/* | LC_ALL=$l sort -c -k1,1
	cat records/* | LC_ALL=$l sort -c -k2,2
	cat records/* | LC_ALL=$l sort -c -k3,3n
	done'
works "sort -m of two lists by time" 'sort -m -k2,2 records/000000001 $live | cmp - <(cat records/000000001 $live)'
works "sort -m the other way round" 'sort -m -k2,2 $live records/000000001 | cmp - <(cat records/000000001 $live)'
works "grep by time" 'grep -c " $(date -u +%Y)-" $live' "$(wc -l <"$m/$live")"
works "grep by number" 'grep -h "^$(printf %020d 26) " records/* | awk "{ print \$4 }"' 1044480
works "dd skip= in lines" 'dd if=$live bs=90 skip=5 count=2 status=none | cmp - <(sed -n 6,7p $live)'
works "join with another table by number" 'head -n 2 $live | cut -d" " -f1 | sed "s/$/ mine/" | join - $live | grep -c mine' 2
works "read of the shell, and its arithmetic" 'read -r s t o l y <$live; echo $((10#$s >= 0 && o >= 0 && l + y > 0))' 1
works "sh, which takes leading zeros for octal: offset, length and type have none" \
	'sh -c "while read -r s t o l y; do : \$((o + l + y)); done <$live"'
works "python: map, and bisect" 'python3 -c "
import mmap
with open(\"records/000000001\", \"rb\") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
    low, high = 0, len(lines) // 90
    while low < high:
        middle = (low + high) // 2
        if int(lines[middle * 90:middle * 90 + 20]) < 26:
            low = middle + 1
        else:
            high = middle
    print(int(lines[low * 90:low * 90 + 20]))
"' 26
works "cp, cmp, diff" 'cp -r records $T/copy; diff -r records $T/copy; cmp $live $T/copy/${live#*/}'
works "tar" 'tar -cf $T/records.tar records; tar -df $T/records.tar'
have rsync "rsync" && works "rsync, and again: nothing has changed" 'rsync -a records/ $T/rsync
	rsync -ai records/ $T/rsync
	rsync -aci records/ $T/rsync
	diff -r records $T/rsync'
have less "less" && works "less, from its end" 'less +G $live | cmp - $live'

# tail -f and tail -F, from one list to the next.
tail -n 1 -f "$m/$live" >"$tmp/tail" 2>&1 &
helper=$!
ok "tail -f begins at the last line" wait_for grep -q "^$(printf %020d $((count + 999))) " "$tmp/tail"
echo "one more" >>"$m/append"
ok "tail -f shows a new line" wait_for grep -q "^$(printf %020d $((count + 1000))) " "$tmp/tail"
kill "$helper"
wait "$helper" 2>/dev/null
helper=
is "and nothing else" "$(wc -lc <"$tmp/tail" | tr -s ' ' | sed 's/^ //')" "2 180"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# Empty records, of a queue that chronicle-rs began and chronfs continues.
cp -a "${GOLDEN:?}/v2-mixed" "$tmp/mixed"
q=$tmp/mixed
rm -r "$tmp/wanted" && mkdir "$tmp/wanted"
count=0
while IFS= read -r line; do
	printf '%s' "$line" >"$tmp/wanted/$count"
	count=$((count + 1))
done <"$GOLDEN/mixed.txt"
start_mount
printf 'by\0chronfs\n' >"$tmp/one" && append "$tmp/one"
ok "some are empty" grep -qE ' {10}0     1$' "$m/records/000000000"
is "all are listed" "$(cat "$m"/records/* | wc -l)" "$count"
check_all "chronicle-rs's records and ours, cut out by their lines" 12
stop_mount "the mixed queue"
finish
