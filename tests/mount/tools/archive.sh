#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# archive.sh - chronq archive beside a mount whose retention deletes segments: it keeps those that are not archived
# shellcheck disable=SC2317 # called by others
. "$(dirname "$0")/../lib/lib.sh"

# until_true COMMAND...: waits for it.
until_true() {
	local i
	for ((i = 0; i < patience * 20; i++)); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}
oldest() { (cd "$q" && printf '%s\n' *.q | head -n 1); }
oldest_is() { [ "$(oldest)" = "$1" ]; }
# Three records fill a segment.
fill() { for ((i = 0; i < 3 * $1; i++)); do printf '%20000s' $((++written)) >"$m/append"; done; }
written=0

start_mount -o segment_size=64K,retain_segments=2,reader_ttl=3s
fill 2
mkdir "$tmp/to"
mkfifo "$tmp/go"
# A command ends when a line comes through the pipe; it writes the name first.
"$CHRONQ" archive --follow "$q" -- sh -c 'cp "$0" "$1" && echo "${0##*/}" >>"$1.names" && read -r line <"$2"' {} "$tmp/to" "$tmp/go" &
helper=$! # ends with the test
given() { grep -q "$1" "$tmp/to.names"; } 2>/dev/null
ok "the first segment is given out" until_true given 000000000.q
fill 8
# Longer than the reader may be silent: its signs of life count.
seen=$("$CHRONQ" readers --json "$q")
sleep 4
is "retention keeps it, and all behind it, while the command runs" "$(oldest)" 000000000.q
isnt_seen() { [ "$("$CHRONQ" readers --json "$q")" != "$seen" ]; }
ok "the reader gives signs of life" until_true isnt_seen
echo >"$tmp/go"
ok "the next one is given out when the command has ended" until_true given 000000001.q
fill 1
ok "and the first one goes" until_true oldest_is 000000001.q
kill -TERM "$helper"
wait "$helper"
is "SIGTERM: exit status" $? 0
helper=
is "the copy is the segment" "$("$CHRONQ" cat "$tmp/to" | head -c 20000 | tr -d ' ')" 1
fill 4
ok "a reader that no process uses is silent: retention goes on" until_true eval 'fill 1; ! oldest_is 000000001.q'
gives 1 "are gone, and not archived" "then segments are missing" "$CHRONQ" archive "$q" -- true
gives 3 "of a mount, name the queue that is mounted" "the mount's directory" "$CHRONQ" archive "$m" -- true
stop_mount
finish
