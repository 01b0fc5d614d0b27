#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hidden.sh - a segment being prepared is not seen in the mount, and is seen when it is published
#
# Needs a build with -Dplanted_faults=true: the worker is held just before it publishes.
. "$(dirname "$0")/../lib/lib.sh"

mkfifo "$tmp/hold.reached" "$tmp/hold.go"
listing() { ls "$m/segments"; }
# Of segments: the index of the one that was left may be on its way, too.
temp_names() { find "$q" -name '*.q.tmp' -printf '%f\n'; }

fill() { for ((i = 0; i < 17; i++)); do printf '%4000s' "$1" >"$m/append"; done; }

# The first spare is made before the mount is there; with one left by an earlier mount, the next is
# made by the worker, after a roll.
start_mount -o segment_size=64K
stop_mount
export CHRONQ_HOLD=prepare.before_publish:$tmp/hold
start_mount
unset CHRONQ_HOLD
fill a
timeout "$patience" cat "$tmp/hold.reached" # ends when the worker is at the place
temp=$(temp_names)
is "a segment is being prepared" "$temp" 000000002.q.tmp
is "it is not listed" "$(listing)" $'000000000.q\n000000001.q'
refused "nor found under its temporary name" "No such file" stat "$m/segments/$temp"
refused "nor under its final one" "No such file" stat "$m/segments/000000002.q"
printf meanwhile >>"$m/append"
is "the writer goes on meanwhile" "$("$CHRONQ" tail -n 1 "$q")" meanwhile

: >"$tmp/hold.go" # lets the worker go on
ok "it is published" wait_for [ -e "$q/000000002.q" ]
is "and found at once" "$(stat -c %s "$m/segments/000000002.q")" 65536
is "and listed" "$(listing)" $'000000000.q\n000000001.q\n000000002.q'
is "the temporary name is gone" "$(temp_names)" ""
stop_mount
finish
