#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: beneath.sh [PART...]
#
# beneath.sh - root damages, deletes, replaces the queue's files beneath a live mount: what is not
# touched reads on, what is gives errors and never other bytes, the daemon lives and ends in order
#
# Each PART is a mount of its own; beneath.py knows what it does and what has to come of it.
. "$(dirname "$0")/../lib/lib.sh"

parts=("$@")
if [ $# -eq 0 ]; then
	parts=(
		sealed_emptied sealed_halved sealed_longer sealed_deleted sealed_replaced sealed_overwritten
		sealed_unreadable live_emptied live_halved live_deleted live_replaced next_emptied next_deleted
		control_deleted readers_deleted directory_moved directory_immutable directory_deleted live_size
	)
	# an atomic store that faults is more than ThreadSanitizer can do
	grep -qa __tsan_init "$CHRONFS" || parts+=(control_emptied)
fi

# end_mount PART: 0 when all could be flushed, 7 when the daemon had to say that it could not.
end_mount() {
	local wanted=0 status
	case $1 in live_emptied | live_halved | live_deleted | live_replaced | next_emptied | directory_deleted) wanted=7 ;; esac
	umount "$m" || fail "$1: umount"
	ended
	status=$?
	is "$1: the daemon ends with $wanted" "$status" "$wanted"
	check_log "$1"
	[ "$wanted" -eq 0 ] || ok "$1: and says why" grep -q 'not everything could be flushed' "$log"
}

# A root who is refused what the modes forbid, as any user is.
program=$CHRONFS
printf '#!/bin/sh\nexec setpriv --bounding-set=-dac_override,-dac_read_search "%s" "$@"\n' "$program" >"$tmp/plain"
chmod +x "$tmp/plain"

for part in "${parts[@]}"; do
	q=$tmp/$part
	before=$failures
	CHRONFS=$program
	[ "$part" != sealed_unreadable ] || CHRONFS=$tmp/plain
	start_mount -o segment_size=8K
	cases_of python3 "$here/beneath.py" "$part" "$q" "$m"
	end_mount "$part"
	if [ "$failures" -eq "$before" ]; then pass "$part"; else fail "$part"; note "$(cat "$log")"; fi
done
finish
