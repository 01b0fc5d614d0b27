#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: strace.sh SUBJECT
#
# Traces the system calls of strace_subject.c and checks those on segments.  A final name is
# `NNNNNNNNN.q`.  Output: TAP.
set -u
shopt -s lastpipe
subject=$1
unset CMOCKA_MESSAGE_OUTPUT
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
log=$tmp/log
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "$0")/../../support/programs/tap.sh"

if ! strace -o /dev/null true 2>/dev/null; then
	echo "1..0 # SKIP strace cannot trace here"
	exit 0
fi
# none DESCRIPTION: there are no lines on standard input.
none() {
	local lines
	lines=$(cat)
	[ -z "$lines" ]
	check "$1" $? "$(head -5 <<<"$lines")"
}
# some DESCRIPTION: there is a line on standard input.
some() {
	[ -n "$(cat)" ]
	check "$1" $?
}

timeout 500 strace -f -y -qq -o "$log" "$subject" "$tmp/queue" >&2
echo $? | grep -vx 0 | none "the traced program succeeds"

final='"[0-9]{9}\.q"'
grep -E 'O_TRUNC' "$log" | none "nothing is opened with O_TRUNC"
grep -E 'truncate\(.*[0-9]{9}\.q' "$log" | none "no segment is truncated"
grep -E "(open|openat|openat2|creat)\(.*$final.*O_CREAT" "$log" |
	none "nothing is created under a final name"
grep -E "openat\(.*$final, O_RDWR" "$log" | some "writers open segments for writing"
reader=$(awk '/"MARK-reader"/ { print $1; exit }' "$log")
grep -E "^${reader:-none} .*$final.*O_(RDWR|WRONLY)" "$log" | none "a reader does not"
grep -E "^${reader:-none} .*openat\(.*$final, O_RDONLY" "$log" | some "it opens them for reading"
grep -E "(rename|renameat|renameat2|link|linkat)\(.*$final" "$log" | grep -v RENAME_NOREPLACE |
	none "segments get their names by RENAME_NOREPLACE alone"
# The appending thread, from one mark to the next: it only wakes other threads.
calls=$(awk '/"MARK-roll-begin"/ { inside[$1] = 1; rolls++; next }
	/"MARK-roll-end"/ { delete inside[$1]; next }
	/<\.\.\. faccessat2? resumed>/ { next } # the end of a mark
	inside[$1] && !/ (futex|clock_gettime)\(/ && !/<\.\.\. (futex|clock_gettime) resumed>/
	END { if (rolls != 5) print "rolls:", rolls }' "$log")
printf '%s' "$calls" | none "a roll with a ready segment makes no call on a file"
grep -E 'fdatasync\(' "$log" | some "segments are synced"
finish
