# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# cli_lib.sh - functions that the tests of chronq share; sourced, never run.
#
# The tests need CHRONQ (the program), GOLDEN (queues of chronicle-rs) and FORMAT_CHECK (the second
# implementation of the format), and print TAP.  Each works in a directory of its own, below $TMPDIR or else
# $base, which is removed however the test ends.
set -u
export LC_ALL=C

: "${CHRONQ:?names the program to test}" "${GOLDEN:?names the golden queues}"
: "${FORMAT_CHECK:?names the checker of the format}"
# shellcheck source=tests/support/programs/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../support/programs/tap.sh"
tmp=$(mktemp -d "${TMPDIR:-${base:-/tmp}}/chronq-test.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
cd "$tmp" || exit 1

# ok DESCRIPTION COMMAND...: the command must succeed.  It runs in this shell; its output is in `out` and `err`.
ok() {
	local name=$1
	shift
	"$@" >out 2>err
	check "$name" $? "$(cat out err | head -n 20)"
}

# exits CODE COMMAND...: the output is in exit.out and exit.err.
exits() {
	local expected=$1 code
	shift
	"$@" >exit.out 2>exit.err
	code=$?
	[ "$code" -eq "$expected" ] && return 0
	echo "exit code $code, not $expected:"
	cat exit.out exit.err
	return 1
}

# make_replica DIR: marks a queue as a replica of queue 0102...10, as docs/format.md says.
make_replica() { "$(dirname "$FORMAT_CHECK")/make_replica.py" "$1"; }

# Contents, names, modes, inodes and times of a directory.
snapshot() {
	(cd "$1" && find . -type f -exec sha256sum {} + | sort)
	(cd "$1" && find . -printf '%p %m %s %T@ %C@ %i\n' | sort)
}
