# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tools_lib.sh - lib.sh, and what the tests of ordinary tools share; sourced, never run.
#
# A tool is run as a person at a shell would run it: a line of text, in the mount's directory, by the
# shell $sh.  The line finds the test's directory in $T.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/lib.sh"

sh=bash
export T=$tmp

# run TEXT: its status; what it says goes to $tmp/out and $tmp/err.
run() {
	# $sh may be two words: busybox sh
	# shellcheck disable=SC2086
	(cd "$m" && exec timeout "$patience" $sh -c "$1") >"$tmp/out" 2>"$tmp/err" </dev/null
}

complain() { # TEXT STATUS
	note "$1: status $2"
	note "$(head -c 1000 "$tmp/err")"
}

# works DESCRIPTION TEXT [WANTED]: it succeeds, has nothing to say on stderr, and WANTED on stdout.
works() {
	local status
	run "$2"
	status=$?
	if [ "$status" -ne 0 ] || [ -s "$tmp/err" ]; then
		fail "$1"
		complain "$2" "$status"
	elif [ $# -gt 2 ] && [ "$(<"$tmp/out")" != "$3" ]; then
		fail "$1"
		note "got:    $(head -c 1000 "$tmp/out")"
		note "wanted: $3"
	else
		pass "$1"
	fi
}

# says DESCRIPTION STATUS TEXT COMMAND-TEXT: it ends with STATUS, and TEXT is in what it says.
says() {
	local status
	run "$4"
	status=$?
	if [ "$status" -eq "$2" ] && grep -qF -- "$3" "$tmp/err"; then
		pass "$1"
	else
		fail "$1"
		complain "$4" "$status"
	fi
}

seen=0 # records that appended() has shown

# appended: the records appended since it was asked last, as JSON strings, one a line.
appended() {
	"$CHRONQ" cat --json --seq "$seen-" "$q" 2>/dev/null |
		sed -E 's/.*"payload(_base64)?"://; s/\}$//' >"$tmp/appended"
	seen=$((seen + $(wc -l <"$tmp/appended")))
}

# appends DESCRIPTION TEXT WANTED: as works(); and the records are then WANTED, JSON strings with a
# blank between them.
appends() {
	local before=$failures
	works "$1" "$2"
	appended
	[ "$failures" -eq "$before" ] || return 1
	if [ "$(tr '\n' ' ' <"$tmp/appended")" != "$3${3:+ }" ]; then
		failures=$((failures + 1))
		echo "not ok $((cases += 1)) - $1: the records"
		note "got:    $(head -c 1000 "$tmp/appended" | tr '\n' ' ')"
		note "wanted: $3"
	fi
}

# appends_file DESCRIPTION TEXT FILE: the same for records whose bytes in all are the file's.
appends_file() {
	local before=$failures from=$seen
	works "$1" "$2"
	appended
	[ "$failures" -eq "$before" ] || return 1
	"$CHRONQ" cat --seq "$from-" "$q" >"$tmp/bytes"
	ok "$1: the bytes" cmp "$tmp/bytes" "$3"
}

# have TOOL DESCRIPTION: whether it is installed; if not, the case is skipped.
have() {
	command -v "$1" >/dev/null && return
	skip "$2" "no $1 here"
	return 1
}
