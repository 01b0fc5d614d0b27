# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# tap.sh - the cases of a test in shell, each a TAP line; sourced, never run.
# A signal that is ignored when the test begins, as SIGHUP under nohup, would be ignored by all that it starts.
[ -n "${SIGNALS_SET-}" ] || SIGNALS_SET=yes exec env --default-signal=HUP,INT,TERM bash "$0" "$@"

# Seconds after which something that a test waits for has hung: far more than ten times what any takes.
patience=300
cases=0
failures=0

pass() {
	cases=$((cases + 1))
	echo "ok $cases - $*"
}

fail() {
	cases=$((cases + 1))
	failures=$((failures + 1))
	echo "not ok $cases - $*"
}

skip() { # DESCRIPTION REASON
	cases=$((cases + 1))
	echo "ok $cases - $1 # SKIP $2"
}

note() {
	local line
	while IFS= read -r line; do echo "# $line"; done <<<"$*"
}

# check DESCRIPTION STATUS [OUTPUT]: passes if the status is 0; otherwise shows the output.
check() {
	if [ "$2" -eq 0 ]; then
		pass "$1"
	else
		fail "$1"
		[ -z "${3-}" ] || note "$3"
	fi
}

# ok DESCRIPTION COMMAND...: passes if the command succeeds.
ok() {
	local what=$1 output status
	shift
	output=$("$@" 2>&1)
	status=$?
	check "$what" "$status" "$* gave status $status: $output"
}

# finish: ends the test; the exit status is 0 if all cases have passed.
finish() {
	echo "1..$cases"
	[ "$failures" -eq 0 ]
	exit
}
