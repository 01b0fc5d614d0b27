#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# sigterm.sh - SIGTERM under load: clean exit, nothing acknowledged lost, no temporary file left
. "$(dirname "$0")/../lib/lib.sh"

mounts+=("$m")
cases_of python3 "$here/crash.py" term "${ROUNDS:-25}" "$q" "$m"
ok "the queue is sound" "$CHRONQ" verify "$q"
for signal in TERM INT HUP; do
	start_mount
	echo "$signal" >>"$m/append"
	kill -"$signal" "$daemon"
	await_daemon "SIG$signal"
	is "SIG$signal: the record is there" "$("$CHRONQ" tail -n 1 "$q")" "$signal"
	ok "SIG$signal: no temporary file is left" no_temp_files
done
finish
