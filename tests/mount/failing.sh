#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# failing.sh - starts and ends of a mount whose disk fails: exit status and message of each
#
# Needs a build with -Dplanted_faults=true, in which system calls fail on demand.
. "$(dirname "$0")/lib.sh"

mounts+=("$m")
number() { python3 -c 'import errno, sys; print(getattr(errno, sys.argv[1]))' "$1"; }

# fails CALL ERRNO TEXT: every such call of a start fails so.
fails() {
	gives 3 "chronfs: $q: $3" "$1 gives $2" \
		env CHRONQ_FAIL="$1:$(number "$2"):0:-1" "$CHRONFS" "$q" "$m"
	rm -rf "$q"
}
fails allocate ENOSPC "no room for the first segment"
fails create_new EDQUOT "no room for the first segment"
fails allocate EOPNOTSUPP "the file system lacks what a queue needs"
fails list EIO "Input/output error"
ok "nothing is mounted" not is_mounted "$m"

CHRONQ_FAIL=sync_data:$(number EIO):0:-1
export CHRONQ_FAIL
start_mount
unset CHRONQ_FAIL
echo lost >>"$m/append"
umount "$m"
timeout 60 tail --pid="$daemon" -f /dev/null
wait "$daemon"
is "a flush that fails at the end: exit status" $? 7
daemon=
ok "and is said" grep -qF "chronfs: $q: not everything could be flushed: Input/output error" "$log"
start_mount
is "the record is there all the same" "$(cat "$m/stream")" lost
stop_mount
finish
