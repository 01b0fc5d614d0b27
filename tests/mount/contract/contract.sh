#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# contract.sh - the contract of the mount row by row: operation x kind of file x flags, for root and
# for an ordinary user, on a writing mount, on a read-only one, and on one that allows trimming
. "$(dirname "$0")/../lib/lib.sh"

# What to try, if not all: TABLES="open names" tests/mount/contract/contract.sh
read -ra tables <<<"${TABLES:-open data meta names write}"

# shellcheck disable=SC2317 # called by ok
# Segments 0 and 1 are sealed, 2 holds records, 3 is prepared; nothing is left to be done behind that, which
# would change what metrics says, or come to a name that contract_names.py gives to a file of its own.
fill() {
	local i
	for ((i = 0; i < 9; i++)); do printf '%4000s\n' "record $i" >>"$m/append"; done
	wait_for [ -e "$q/000000003.q" ] && wait_for [ -e "$q/000000000.idx" ] &&
		wait_for [ -e "$q/000000001.idx" ] && sync "$m/append"
}

start_mount -o segment_size=16K,allow_other
ok "a queue of sealed, live and prepared segments" fill
cases_of python3 "$here/contract.py" rw "$q" "$m" "${tables[@]}"
for i in 1 2 3 4; do echo "$i" >>"$m/append"; done # so that each file has a hundred bytes in any case
stop_mount

start_mount -o ro,allow_other
cases_of python3 "$here/contract.py" ro "$q" "$m" "${tables[@]}"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

start_mount -o allow_trim,allow_other
cases_of python3 "$here/contract.py" trim "$q" "$m" trim
stop_mount
ok "and so it is after trimming" "$CHRONQ" verify "$q"
finish
