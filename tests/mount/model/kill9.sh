#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kill9.sh - 200 times SIGKILL for the daemon: nothing acknowledged is lost, numbering goes on
. "$(dirname "$0")/../lib/lib.sh"

mounts+=("$m")
cases_of python3 "$here/crash.py" kill "${ROUNDS:-200}" "$q" "$m"
ok "the queue is sound" "$CHRONQ" verify "$q"
start_mount
ok "a mount after all that leaves no temporary file" no_temp_files
stop_mount
finish
