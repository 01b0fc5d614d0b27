#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools_append.sh - ordinary tools that write: which records they make, and that they do not complain
. "$(dirname "$0")/tools_lib.sh"

start_mount -o segment_size=1M
seq 5 >"$tmp/five"
seq 20000 >"$tmp/lines"
head -c 300000 /dev/urandom >"$tmp/binary"
five='"1\n" "2\n" "3\n" "4\n" "5\n"'

for sh in bash dash "busybox sh"; do
	have "${sh%% *}" "$sh" || continue
	appends "$sh: echo >" 'echo one > append' '"one\n"'
	appends "$sh: echo >>" 'echo one >> append' '"one\n"'
	appends "$sh: echo -n >" 'echo -n one > append.lines' '"one"'
	appends "$sh: two commands, one file" '{ echo one; echo two; } > append' '"one\n" "two\n"'
	appends "$sh: echo of two lines >> append.lines" 'echo "one
two" >> append.lines' '"one\n" "two\n"'
	appends "$sh: printf >" "printf '%s-%d\n' one 2 > append" '"one-2\n"'
	appends "$sh: printf of lines >> append.lines" "printf '%s\n' one two > append.lines" \
		'"one\n" "two\n"'
	appends "$sh: a loop" 'for i in 1 2 3; do echo $i; done >> append' '"1\n" "2\n" "3\n"'
	appends "$sh: a here-document" 'cat > append.lines <<END
one
two
END' '"one\n" "two\n"'
	appends "$sh: an open descriptor" \
		'exec 3>>append.lines; echo one >&3; date >/dev/null; echo two >&3' \
		'"one\n" "two\n"'
	appends "$sh: >|" 'set -C; echo one >| append' '"one\n"'
	appends "$sh: nothing" ': > append; : >> append.lines' ''
	appends "$sh: in the background" 'echo one >> append & wait' '"one\n"'
done
sh=bash
appends "bash: &>" 'echo one &>> append' '"one\n"'
appends "bash: read-write" 'echo one 1<> append' '"one\n"'

appends "cat f >" 'cat $T/five > append' '"1\n2\n3\n4\n5\n"'
appends "cat f >>" 'cat $T/five >> append' '"1\n2\n3\n4\n5\n"'
appends "cat f > append.lines" 'cat $T/five > append.lines' "$five"
appends_file "cat of a binary file" 'cat $T/binary > append' "$tmp/binary"
appends_file "cat of a binary file > append.lines" 'cat $T/binary > append.lines' "$tmp/binary"
appends_file "cat of many lines" 'cat $T/lines >> append.lines' "$tmp/lines"
is "cat of many lines: a record for each" "$(wc -l <"$tmp/appended")" 20000
appends "tee" 'echo one | tee append > /dev/null' '"one\n"'
appends "tee -a" 'echo one | tee -a append > /dev/null' '"one\n"'
appends "tee to both" 'echo one | tee append append.lines > /dev/null' '"one\n" "one\n"'
appends "cp f append" 'cp $T/five append' '"1\n2\n3\n4\n5\n"'
appends "cp f append.lines" 'cp $T/five append.lines' "$five"
appends_file "cp of a binary file" 'cp $T/binary append' "$tmp/binary"
appends_file "cp --sparse=always" 'cp --sparse=always $T/binary append.lines' "$tmp/binary"

appends "dd" 'dd if=$T/five of=append status=none' '"1\n2\n3\n4\n5\n"'
appends "dd bs=4" 'dd if=$T/five of=append bs=4 status=none' '"1\n2\n" "3\n4\n" "5\n"'
appends "dd bs=4 oflag=append conv=notrunc" \
	'dd if=$T/five of=append bs=4 oflag=append conv=notrunc status=none' '"1\n2\n" "3\n4\n" "5\n"'
for flag in dsync sync direct nonblock noctty noatime; do
	appends "dd oflag=$flag" "dd if=\$T/five of=append bs=64 oflag=$flag status=none" \
		'"1\n2\n3\n4\n5\n"'
done
for conv in fsync fdatasync notrunc nocreat notrunc,fsync; do
	appends "dd conv=$conv" "dd if=\$T/five of=append bs=64 conv=$conv status=none" \
		'"1\n2\n3\n4\n5\n"'
done
appends "dd seek=10 conv=notrunc" 'dd if=$T/five of=append bs=64 seek=10 conv=notrunc status=none' \
	'"1\n2\n3\n4\n5\n"'
appends "dd of lines" 'dd if=$T/five of=append.lines bs=3 status=none' "$five"
works "dd of the largest record" 'dd if=/dev/zero of=append bs=1044480 count=1 status=none'
appended
is "dd of the largest record: is one" "$(wc -l <"$tmp/appended")" 1

have busybox "busybox's tools" && {
	appends "busybox cat" 'busybox cat $T/five > append' '"1\n2\n3\n4\n5\n"'
	appends "busybox cp" 'busybox cp $T/five append' '"1\n2\n3\n4\n5\n"'
	appends "busybox tee" 'busybox tee -a append.lines < $T/five > /dev/null' "$five"
	appends "busybox dd" 'busybox dd if=$T/five of=append bs=4 status=none' '"1\n2\n" "3\n4\n" "5\n"'
}
for awk in gawk mawk "busybox awk"; do
	have "${awk%% *}" "$awk" || continue
	appends "$awk: print >" "$awk 'BEGIN { print \"one\" > \"append\" }'" '"one\n"'
	appends "$awk: print >>" "$awk 'BEGIN { print \"one\" >> \"append\" }'" '"one\n"'
	appends "$awk: printf to append.lines" \
		"$awk 'BEGIN { printf \"%s\\n%d\\n\", \"one\", 2 > \"append.lines\" }'" '"one\n" "2\n"'
	appends_file "$awk: more than its buffer" \
		"$awk '{ print > \"append.lines\" }' \$T/lines" "$tmp/lines"
	is "$awk: a record for each line" "$(wc -l <"$tmp/appended")" 20000
	appends "$awk: fflush" \
		"$awk 'BEGIN { print 1 > \"append\"; fflush(\"append\"); print 2 > \"append\" }'" \
		'"1\n" "2\n"'
done
appends "sed w" "sed -n 'w append.lines' \$T/five" "$five"
appends "sort -o" 'sort -o append.lines $T/five' "$five"
appends_file "split --filter" "split -l 3000 --filter='cat >> append' \$T/lines" "$tmp/lines"
is "split --filter: a record for each part of at most a pipe's size" \
	"$([ "$(wc -l <"$tmp/appended")" -ge 7 ] && echo yes)" yes
appends "split --filter of lines" "split -n l/2 --filter='cat >> append.lines' \$T/five" "$five"
appends "perl" "perl -e 'open F, \">>\", \"append\" or die; print F \"one\"; close F or die'" '"one"'
appends "xargs" "seq 3 | xargs -I{} sh -c 'echo {} >> append'" '"1\n" "2\n" "3\n"'
appends "time and env in front" 'env -i /bin/sh -c "echo one >> append"' '"one\n"'

appends "sync FILE" 'echo one > append; sync append' '"one\n"'
appends "sync -d, sync -f" 'sync -d append append.lines stream; sync -f append' ''
appends "flock" 'flock append -c "echo one >> append"' '"one\n"'
appends "flock on a descriptor" '(flock 9; echo one >&9) 9>> append.lines' '"one\n"'
run 'exec 9>>append; flock 9; flock -n append echo locked'
is "flock -n on what is locked" $? 1
appends "truncate -s 0, touch" \
	'truncate -s 0 append; touch append append.lines; touch -d @1 append' ''
appends "chmod, chown to what it is" 'chmod 644 append; chmod u=rw,go=r append; chown root append' ''
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
