#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools_read.sh - ordinary tools that read: what they show is what there is, and they do not complain
. "$(dirname "$0")/tools_lib.sh"

# Three sealed segments, a live one, one prepared; 900 records in all.
start_mount -o segment_size=64K,allow_trim
for ((i = 0; i < 900; i++)); do printf 'record %d %0*d\n' "$i" $((i % 300)) 0; done >"$tmp/ref"
works "the reference goes in" 'while read -r line; do echo "$line"; done < $T/ref >> append.lines'
ok "segments 0 to 4" wait_for [ -e "$q/000000004.q" ]
is "and no more" "$(ls "$m/segments" | wc -l)" 5
bytes=$(stat -c %s "$tmp/ref")
live=000000003
# What a tool reads elsewhere, it has to read here: the same line in a copy of the mount's files.
mkdir "$tmp/copy" "$tmp/copy/segments"
cp "$tmp/ref" "$tmp/copy/stream"
cp "$q"/*.q "$tmp/copy/segments"

# as_copy DESCRIPTION TEXT: it gives what it gives in the copy.
as_copy() {
	local wanted
	wanted=$(cd "$tmp/copy" && bash -c "$2")
	works "$1" "$2" "$wanted"
}

works "cat" 'cat stream | cmp - $T/ref'
works "cat of all payload files" 'cat payload/* | cmp - stream'
works "cat -A, cat of several" 'cat -A stream stream | wc -l' 1800
works "cat of a sink" 'cat append append.lines ctl' ''
as_copy "head" 'head stream; head -n 3 stream; head -n -890 stream'
as_copy "head -c" 'head -c 1000 stream; head -c -50000 stream | md5sum'
as_copy "tail" 'tail stream; tail -n 3 stream; tail -n +890 stream'
as_copy "tail -c" 'tail -c 1000 stream; tail -c +50000 stream | md5sum'
as_copy "tac, nl, rev, fold" 'tac stream | md5sum
	nl stream | md5sum
	rev stream | md5sum
	fold stream | md5sum'
as_copy "wc" 'wc stream; wc -c stream; wc -l <stream; wc -L stream'
as_copy "sort" 'sort stream | md5sum; sort -k2nr stream | head -n 3; sort -c -k2n stream'
as_copy "uniq, cut, paste, join" 'uniq -c stream | md5sum
	cut -c1-9 stream | md5sum
	paste stream stream | md5sum
	join stream stream | md5sum'
as_copy "grep" 'grep -c . stream; grep -n "record 89" stream; grep -m 1 -A 1 "record 6" stream'
as_copy "grep -a of segments" 'grep -ac "record 1" segments/000000000.q segments/000000003.q'
works "grep -r over the whole mount" 'grep -rlaF "record 899 " . | sort' \
	$'./payload/'$live$'\n./segments/'$live$'.q\n./stream'
as_copy "sed" 'sed -n 5p stream; sed "s/record/line/;3q" stream'
for awk in gawk mawk "busybox awk"; do
	have "${awk%% *}" "$awk" && as_copy "$awk" "$awk '{ n += length } END { print NR, n }' stream"
done
as_copy "od, base64, cksum" 'od -c stream | md5sum
	base64 stream | md5sum
	cksum stream
	sum stream
	b2sum stream'
as_copy "hexdump" 'hexdump -C segments/000000000.q | head -n 20
	hexdump -C stream | md5sum
	hexdump -n 64 -s 1000 stream'
as_copy "md5sum of segments" 'cd segments && md5sum *'
as_copy "strings" 'strings -n 8 segments/000000001.q | md5sum'
as_copy "split" 'split -b 1000 --filter="md5sum" stream
	split -n l/3 --filter="md5sum" stream
	split -n 7 --filter="md5sum" stream'
as_copy "dd skip=" 'for i in 0 1 7 50
	do dd if=stream bs=1000 skip=$i count=2 status=none
	done | md5sum'
as_copy "dd iflag=" 'for f in direct nonblock sync nocache skip_bytes,count_bytes fullblock
	do dd if=stream bs=4096 skip=2 count=3 iflag=$f status=none | md5sum
	done'
as_copy "gzip" 'gzip -c stream | gunzip | md5sum; gzip < segments/000000000.q | zcat | md5sum'
as_copy "read in a shell" 'n=0; while read -r a b c; do n=$((n + b)); done < stream; echo $n'
as_copy "mapfile" 'mapfile -t a < stream; echo "${#a[@]} ${a[5]}"'
as_copy "diff" 'diff stream stream && echo same; head -n 899 stream | diff - stream | head -c 20'
have busybox "busybox" && as_copy "busybox" 'busybox cat stream | busybox md5sum
	busybox wc stream
	busybox tail -n 3 stream
	busybox grep -c 1 stream'
as_copy "less, not on a terminal" 'less stream | md5sum'
works "cmp" 'cmp stream $T/ref'
works "cmp says where" \
	'head -c 5000 stream | tr c C | cmp - stream || echo so' $'- stream differ: char 3, line 1\nso'
works "cp" 'cp stream $T/out.1
	cp --sparse=auto stream $T/out.2
	cp --sparse=always --reflink=auto stream $T/out.3
	cp --sparse=auto payload/000000000 $T/out.4
	cat $T/out.1 $T/out.2 $T/out.3 | md5sum' \
	"$(cat "$tmp/ref" "$tmp/ref" "$tmp/ref" | md5sum)"
works "cp --sparse=auto of a payload file" 'cmp payload/000000000 $T/out.4'
works "cp of segments, with holes" 'for s in segments/*
	do cp --sparse=auto $s $T/out
	cmp $s $T/out
	done'
works "cat of a payload file, of a segment" 'cmp payload/000000001 <(cat payload/000000001)
	cmp segments/000000001.q $T/queue/000000001.q'
vim=$(command -v vim || command -v vim.tiny || echo vim)
have "$vim" "vim" && works "vim -R" \
	"printf '3p\n\$p\nw! $tmp/written\nq\n' | HOME=$tmp $vim -R -u NONE -i NONE -n -es stream; cmp $tmp/written stream" \
	"$(sed -n '3p;$p' "$tmp/ref")"
works "python" "python3 -c 'import json; print(sum(1 for _ in open(\"stream\")), json.load(open(\"stats.json\"))[\"position\"][\"next_seq\"])'" "900 900"

# ---- names and attributes ----

works "ls" 'ls' $'append\nappend.lines\nctl\nmetrics\npayload\nreaders\nrecords\nsegments\nstats.json\nstream'
works "ls -l" 'ls -l stream append ctl | tr -s " " | cut -d" " -f1-5,9' \
	$'-rw-r--r-- 1 root root 0 append\n--w------- 1 root root 0 ctl\n-r--r--r-- 1 root root '"$bytes"' stream'
works "ls -l of a directory" 'ls -l payload | tail -n 1 | tr -s " " | cut -d" " -f1-5,9' \
	"-r--r--r-- 1 root root 0 000000004"
works "ls -la, -lR, -i, -s, -lt, -Z" 'ls -la >/dev/null
	ls -lR >/dev/null
	ls -i
	ls -s >/dev/null
	ls -lt
	ls -Z >/dev/null
	ls -l --time-style=full-iso --color=always'
works "find" 'find . | sort | md5sum' \
	"$( (cd "$m" && echo . && printf './%s\n' append append.lines ctl metrics payload readers records segments stats.json stream &&
		for i in 0 1 2 3 4; do printf './payload/00000000%s\n./records/00000000%s\n./segments/00000000%s.q\n' $i $i $i; done) | sort | md5sum)"
works "find -type, -name, -size" 'find . -type d | wc -l
	find . -name "*.q" -size 128 | wc -l
	find . -empty | sort' \
	$'5\n5\n./append\n./append.lines\n./ctl\n./payload/000000004\n./readers\n./records/000000004'
works "find -newer" 'find segments -newer segments/000000001.q -name "00000000[0-3].q" | sort' \
	$'segments/000000002.q\nsegments/000000003.q'
works "find -exec, -ls, -printf" 'find segments -name "*0.q" -exec cat {} + | wc -c
	find . -ls >/dev/null
	find . -printf "%p %s %T@ %i\n" >/dev/null' 65536
works "stat" 'stat -c "%n %s %F %a" stream payload/000000004' \
	"stream $bytes regular file 444"$'\npayload/000000004 0 regular empty file 444'
works "stat as it comes, stat -f" 'stat * >/dev/null; stat -f . >/dev/null; stat -f -c %t .' 65735546
is "du: the real blocks" "$(cd "$m" && du -s --block-size=512 segments | cut -f1)" \
	"$(stat -c %b "$q"/*.q | awk '{ n += $1 } END { print n }')"
works "du --apparent-size" \
	'du -b stream segments/000000000.q' "$bytes"$'\tstream\n65536\tsegments/000000000.q'
works "du -a" 'du -a >/dev/null; du -h stream append >/dev/null'
works "df" 'df . | tail -n 1 | tr -s " " | cut -d" " -f1,6
	df -i . >/dev/null
	df --output=size stream >/dev/null' "$q $m"
works "getfattr -d" 'getfattr -d segments/000000000.q | grep -E "sealed|records|first_seq"' \
	"$(printf 'user.chronfs.%s\n' 'first_seq="0"' "records=\"$(wc -l <"$m/payload/000000000")\"" 'sealed="1"')"
works "getfattr -d of all" 'getfattr -d -m - append stream ctl . segments/* payload/* records/* >/dev/null'
have lsattr "lsattr" && works "lsattr" \
	'lsattr append segments/000000000.q stream | tr -d -' $'a append\ni segments/000000000.q\n stream'
works "test -r, -w, -x, -s, -nt" \
	'[ -r stream ] && [ -s stream ] && [ ! -x stream ] && [ ! -s append ] && [ segments/000000002.q -nt segments/000000001.q ]'
works "file descriptors" 'exec 3<stream
	readlink /proc/self/fd/3
	head -c 8 <&3' "$m/stream"$'\nrecord 0'
works "realpath, basename" 'realpath stream; cd segments; pwd' "$m/stream"$'\n'"$m/segments"

# ---- copies of all of it ----

works "cp -r" 'cp -r . $T/all; cmp $T/all/stream stream; ls $T/all/segments | wc -l' 5
works "cp -a" 'cp -a . $T/all.a
	cmp $T/all.a/stream stream
	stat -c "%a %Y" $T/all.a/segments/000000000.q' \
	"444 $(stat -c %Y "$m/segments/000000000.q")"
works "diff -r of two reads" 'rm -r $T/all/stats.json $T/all/metrics
	cp -r . $T/again
	rm $T/again/stats.json $T/again/metrics
	diff -r $T/all $T/again'
works "diff -r with the backing files" 'diff -r segments $T/copy/segments'
works "tar" 'tar -cf $T/all.tar segments payload records stream; tar -df $T/all.tar'
works "tar of the whole mount" 'tar -C .. --exclude=stats.json --exclude=metrics -cf $T/all.tar mnt
	tar -tf $T/all.tar | wc -l' 24
have rsync "rsync" && {
	works "rsync -a out of the mount" 'rsync -a segments payload records stream $T/rsync/
	diff -r segments $T/rsync/segments
	cmp stream $T/rsync/stream'
	works "rsync -a again: nothing has changed" 'rsync -ai segments payload records stream $T/rsync/' ''
	works "rsync -ac: nor have the bytes" 'rsync -aci segments payload records stream $T/rsync/' ''
}
works "rm of the oldest, with allow_trim" 'rm -f segments/000000000.q
	ls segments | head -n 1' 000000001.q
works "cat goes on with the rest" 'cat payload/* | cmp - stream
	tail -n 1 stream' "$(tail -n 1 "$tmp/ref")"
fusermount3 -u "$m" || fail "fusermount3 -u"
await_daemon "fusermount3 -u"
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
