#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# replica.sh - a replica is mounted read-only alone, until it is promoted
. "$(dirname "$0")/../lib/lib.sh"

seq 100 | "$CHRONQ" append -s 4096 "$q"
"$here/../../support/programs/make_replica.py" "$q" || exit 1
before=$(ls -la --full-time "$q" && md5sum "$q"/*)
refused "a mount is refused, and says what to do" \
	"the queue is a replica (-o ro reads it; chronq promote makes it an ordinary queue)" "$CHRONFS" "$q" "$m"
is "it has changed nothing" "$(ls -la --full-time "$q" && md5sum "$q"/*)" "$before"

start_mount -o ro
is "a read-only mount reads it" "$(cat "$m/stream")" "$(seq 100)"
ok "it is promoted beside that" "$CHRONQ" promote "$q"
stop_mount
start_mount
ok "then an ordinary mount writes to it" eval 'echo 101 >>"$m/append"'
is "behind its last record" "$(cat "$m/stream")" "$(seq 101)"
refused "which keeps a promotion out" "has the queue" "$CHRONQ" promote "$q"
stop_mount
finish
