#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# places.sh - the daemon is killed at every named place in the library: nothing acknowledged is lost
#
# For builds with -Dplanted_faults=true.  ROUNDS changes how many (200), SEED repeats a run.
if [ -z "${TMPDIR-}" ] && [ -w /dev/shm ]; then
	export TMPDIR=/dev/shm # what survives a kill does so in memory as well
fi
. "$(dirname "$0")/../lib/lib.sh"

mounts+=("$m")
mapfile -t places < <(grep -rhoP 'cq_point\("\K[^"]+' "$here/../../../core" --include='*.c' | sort -u)
cases_of python3 "$here/crash.py" places "${ROUNDS:-200}" "$q" "$m" "${places[@]}"
ok "the queue is sound" "$CHRONQ" verify "$q"
start_mount
ok "a mount after all that leaves no temporary file" no_temp_files
stop_mount
finish
