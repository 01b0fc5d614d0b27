# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# one.sh - what the tests with one server share; sourced, never run.
#
# A test works in a directory of its own, $tmp.  At its end, however it ends, the processes that it has started and the
# directory go.  Needs NATS_SERVER, and the programs to test.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../support/programs/tap.sh
. "$here/../support/programs/tap.sh"
: "${NATS_SERVER:?names the program nats-server}"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/chronq-ship-test.XXXXXX") || exit 1
started=() # process ids

# shellcheck disable=SC2317 # called by trap
cleanup() {
	local status=$? process
	trap - EXIT
	trap '' INT TERM HUP
	for process in "${started[@]-}"; do
		[ -n "$process" ] || continue
		kill -KILL "$process" 2>/dev/null
		wait "$process" 2>/dev/null
	done
	rm -rf --one-file-system "$tmp"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

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

# within SECONDS COMMAND...: waits until it succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.02
	done
}

# start_server [ARGUMENT...]: a server with JetStream; $server is its process id, $url its address.  It keeps its port and
# its store when it is started again.
port=-1
start_server() {
	rm -f "$tmp"/*.ports
	"$NATS_SERVER" -a 127.0.0.1 -p "$port" --ports_file_dir "$tmp" -js -sd "$tmp/store" "$@" >>"$tmp/server.log" 2>&1 &
	server=$!
	started+=("$server")
	within "$patience" has_port || exit 1
	url=nats://127.0.0.1:$port
}

has_port() {
	port=$(grep -oE '127\.0\.0\.1:[0-9]+' "$tmp"/*.ports 2>/dev/null | head -n 1 | cut -d: -f2)
	[ -n "$port" ] || { port=-1 && false; }
}

# stop_server [SIGNAL]
stop_server() {
	kill "-${1-TERM}" "$server"
	wait "$server" 2>/dev/null
}
