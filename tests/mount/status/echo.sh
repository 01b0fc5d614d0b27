#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# echo.sh - what an `echo x >> append` costs in requests, and which files share a node of the kernel
#
# The daemon prints every request (-d).
. "$(dirname "$0")/../lib/lib.sh"

echoes=100
releases=0 # so many files were closed
requests=0

# requests_of FILE: how many requests each of so many echoes makes, rounded up.
requests_of() {
	local before after
	before=$(grep -ac 'opcode: ' "$log")
	releases=$((releases + echoes))
	for ((i = 0; i < echoes; i++)); do echo x >>"$m/$1" || return 1; done
	wait_for released
	after=$(grep -ac 'opcode: ' "$log")
	requests=$(((after - before + echoes - 1) / echoes))
}

# shellcheck disable=SC2317 # called by wait_for
released() { [ "$(grep -ac 'opcode: RELEASE ' "$log")" -eq "$releases" ]; }

start_mount -d
# Once a second the kernel asks for the name and for the root's attributes: part of one more request.
for case in 'append 4' 'append.lines 6'; do
	# On a busy machine an open may come before the last file's RELEASE: one of several rounds counts.
	for _ in 1 2 3 4 5 6; do
		requests_of "${case% *}"
		[ "$requests" -gt "${case#* }" ] || break
	done
	ok "an echo into ${case% *} makes at most ${case#* } requests ($requests)" [ "$requests" -le "${case#* }" ]
done
: >"$log" # what comes is read by the helper
cases_of python3 "$here/nodes.py" "$m" "$log"
stop_mount
finish
