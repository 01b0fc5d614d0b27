# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# lib.sh - what the tests on a real mount share; sourced, never run.
#
# A test is one script, its cases are TAP lines.  It works in a directory of its own, $tmp, with a
# queue $q and a mount point $m.  At its end, however it ends, its mounts, its daemons and the directory go.
# It needs CHRONFS and CHRONQ, the programs to test, which may be sanitizer builds: when a mount ends,
# its exit status and what it wrote to stderr are cases, too.
#
# Run one alone:  CHRONFS=build/fs/chronfs CHRONQ=build/core/cli/chronq tests/mount/append/append.sh
# Exit status: 0 all passed, 1 not, 77 skipped (0 under meson, which takes it from the TAP plan).
set -u
export LC_ALL=C

# shellcheck disable=SC2034 # for the tests, as are $tmp, $q, $m
here=$(cd "$(dirname "$0")" && pwd)
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH=$lib PYTHONDONTWRITEBYTECODE=1 # writes nothing into the source tree
# shellcheck source=../../support/programs/tap.sh
. "$lib/../../support/programs/tap.sh"
helper=  # the process id of what cases_of runs
daemon=  # the process id of the mount that start_mount started
mounts=() # mount points in use

skip_all() {
	echo "1..0 # SKIP $*"
	[ -n "${MESON_TEST_ITERATION-}" ] && exit 0
	exit 77
}

: "${CHRONFS:?names the program to test}" "${CHRONQ:?names the command-line tool}"
if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then skip_all "/dev/fuse cannot be opened here"; fi
[ "$(id -u)" -eq 0 ] || skip_all "mounts as root (users are tested from there)"

# Without a blank, for the tables of mounts; the tests that are about blanks make names of their own.
[[ ${TMPDIR-} != *[[:space:]]* ]] || TMPDIR=/tmp
tmp=$(mktemp -d "${TMPDIR:-/tmp}/chronfs-test.XXXXXX") || exit 1
chmod 755 "$tmp"
q=$tmp/queue
m=$tmp/mnt
log=$tmp/daemon.log
mkdir "$m"

# shellcheck disable=SC2317 # called by trap
cleanup() {
	local status=$? dir children=()
	trap - EXIT
	trap '' INT TERM HUP
	IFS=$' \t\n' # a read interrupted by a signal leaves its own
	if [ -n "$helper" ] && kill "$helper" 2>/dev/null; then
		wait "$helper" # it ends what it has started
	fi
	for dir in "${mounts[@]-}"; do
		[ -n "$dir" ] && is_mounted "$dir" && umount -l "$dir"
	done
	if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
		# without -f the one that mounts is a child, for which this one waits
		read -ra children <"/proc/$daemon/task/$daemon/children"
		kill -9 "$daemon" "${children[@]}"
		wait "$daemon" 2>/dev/null
	fi
	rm -rf --one-file-system "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# ---- cases; more are in tap.sh ----

# is DESCRIPTION GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1"
		note "got:    $2"
		note "wanted: $3"
	fi
}

# refused DESCRIPTION TEXT COMMAND...: passes if the command fails and says TEXT.
refused() {
	local what=$1 text=$2 output
	shift 2
	if output=$("$@" 2>&1); then
		fail "$what"
		note "$* succeeded: $output"
	elif [[ $output == *"$text"* ]]; then
		pass "$what"
	else
		fail "$what"
		note "$* said: $output"
	fi
}

# gives STATUS TEXT DESCRIPTION COMMAND...: two cases: it ends with this status, and says this.
gives() {
	local wanted=$1 text=$2 what=$3 output status
	shift 3
	output=$(timeout "$patience" "$@" 2>&1)
	status=$?
	is "$what: exit status" "$status" "$wanted"
	if [[ $output == *"$text"* ]]; then
		pass "$what: says \"$text\""
	else
		fail "$what: says \"$text\""
		note "$output"
	fi
}

# cases_of COMMAND...: takes over the "ok - ..." and "not ok - ..." lines that a helper prints.
cases_of() {
	local line status
	"$@" >"$tmp/helper" 2>&1 <&0 &
	helper=$!
	wait "$helper"
	status=$?
	helper=
	while IFS= read -r line; do
		case $line in
		"ok - "*) pass "${line#ok - }" ;;
		"not ok - "*) fail "${line#not ok - }" ;;
		*) note "$line" ;;
		esac
	done <"$tmp/helper"
	[ "$status" -eq 0 ] || fail "$* ended with status $status"
}

# ---- users ----

# An ordinary user, for commands: "${user[@]}" COMMAND...
user=(setpriv --reuid=65534 --regid=65534 --clear-groups)

# users_can_run: from here on $CHRONFS is a program that users reach, too.  Where the one to test is in a
# directory that is closed to them (a source tree in /root), it is a copy.
users_can_run() {
	"${user[@]}" test -x "$CHRONFS" || {
		cp "$CHRONFS" "$tmp/chronfs" && CHRONFS=$tmp/chronfs
	}
}

# ---- mounts ----

is_mounted() {
	local dir
	while read -r _ dir _; do
		printf -v dir %b "$dir" # \040 and the like
		[ "$dir" = "$1" ] && return 0
	done </proc/mounts
	return 1
}

# wait_for COMMAND...: until it succeeds, for $patience at most.
wait_for() {
	local end=$((SECONDS + patience))
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.02
	done
}

# start_mount [ARGUMENT...]: mounts $q at $m and returns when the mount answers.
start_mount() {
	: >"$log"
	"$CHRONFS" "$q" "$m" -f "$@" >"$log" 2>&1 &
	daemon=$!
	mounts+=("$m")
	wait_for mount_answers_or_died
	if ! is_mounted "$m"; then
		fail "mount $*"
		note "$(cat "$log")"
		finish
	fi
}

# shellcheck disable=SC2317 # called by wait_for
mount_answers_or_died() {
	kill -0 "$daemon" 2>/dev/null || return 0
	is_mounted "$m" && [ -d "$m/segments" ]
}

# ended: waits until the daemon has ended, by itself or, after $patience, by SIGKILL; its exit status.
# tail looks once a second, if not told otherwise.
ended() {
	local pid=$daemon
	timeout "$patience" tail -s 0.01 --pid="$pid" -f /dev/null || kill -9 "$pid"
	daemon=
	wait "$pid" 2>/dev/null
}

# The daemon has to end by itself; its status has to be 0, its messages none of a sanitizer.
await_daemon() {
	local what=$1
	ended
	is "$what: the daemon ends with 0" $? 0
	check_log "$what"
	ok "$what: nothing is mounted any more" not is_mounted "$m"
}

check_log() {
	if grep -qE 'Sanitizer|runtime error' "$log"; then
		fail "$1: nothing from a sanitizer"
		note "$(cat "$log")"
	fi
}

stop_mount() { # [DESCRIPTION]
	if ! umount "$m"; then
		fail "${1:-umount}"
		finish
	fi
	await_daemon "${1:-umount}"
}

not() { ! "$@"; }

# no_temp_files: nothing half-made is left in the queue.
no_temp_files() {
	local left
	left=$(find "$q" -name '*.tmp')
	[ -z "$left" ] || {
		echo "left: $left"
		return 1
	}
}

# spare_is_there: the writer has its next segment; until it rolls again no file comes to the queue.
spare_is_there() {
	local current
	current=$(grep -oP '"segment": \K[0-9]+' "$m/stats.json") &&
		[ -e "$q/$(printf '%09d.q' $((current + 1)))" ]
}
