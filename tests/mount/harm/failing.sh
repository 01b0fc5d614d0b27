#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: failing.sh [PART...]
#
# failing.sh - a mount whose disk fails: at its start, at its end, in a flush that others wait for, and
# when the disk's quota is used up; each PART is a function, and a case of its name ends it
#
# Needs a build with -Dplanted_faults=true, in which system calls fail on demand.

# shellcheck disable=SC2317 # functions that are called by their names
. "$(dirname "$0")/../lib/lib.sh"

mounts+=("$m")
number() { python3 -c 'import errno, sys; print(getattr(errno, sys.argv[1]))' "$1"; }

# fails CALL ERRNO TEXT: every such call of a start fails so.
fails() {
	gives 3 "chronfs: $q: $3" "$1 gives $2" \
		env CHRONQ_FAIL="$1:$(number "$2"):0:-1" "$CHRONFS" "$q" "$m"
	rm -rf "$q"
}

# start_failing CALL:ERRNO[:SKIP[:COUNT]] [ARGUMENT...]: a mount in which these calls fail.
start_failing() {
	local call=${1%%:*} rest=${1#*:}
	local skip=${rest#*:}
	shift
	CHRONQ_FAIL=$call:$(number "${rest%%:*}"):$skip
	export CHRONQ_FAIL
	start_mount "$@"
	unset CHRONQ_FAIL
}

# syncs_of_start: how many files are synced before a new queue is mounted, which all have to succeed.
syncs_of_start() {
	local n
	for ((n = 0; n < 9; n++)); do
		CHRONQ_FAIL=sync_data:5:$n "$CHRONFS" "$tmp/counted" "$m" -o segment_size=64K \
			2>/dev/null && break
		rm -rf "$tmp/counted"
	done
	read -r daemon _ <"$tmp/counted/writer.lock"
	umount "$m"
	ended # it was no child of ours: no status
	rm -rf "$tmp/counted"
	echo "$n"
}

# end_failed: a mount that could not flush everything.
end_failed() {
	umount "$m"
	ended
	is "a flush that fails at the end: exit status" $? 7
	ok "and is said" grep -qF "chronfs: $q: not everything could be flushed: Input/output error" "$log"
}

starts() {
	fails allocate ENOSPC "no room for the first segment"
	fails create_new EDQUOT "no room for the first segment"
	fails allocate EOPNOTSUPP "the file system lacks what a queue needs"
	fails list EIO "Input/output error"
	ok "nothing is mounted" not is_mounted "$m"
}

end() {
	start_failing "sync_data:EIO:$(syncs_of_start):-1" -o segment_size=64K
	echo lost >>"$m/append"
	end_failed
	start_mount
	is "the record is there all the same" "$(cat "$m/stream")" lost
	stop_mount
}

waiters() {
	start_failing "sync_data:EIO:$(syncs_of_start):1" -o segment_size=64K
	cases_of python3 "$here/failing.py" waiters "$q" "$m"
	end_failed
	is "it is said once, when it happens" "$(grep -c 'sync failed: Input/output error' "$log")" 1
	start_mount
	ok "mounted again it takes records" bash -c 'echo anew >"$1"' sh "$m/append"
	ok "and makes them durable" sync "$m/append"
	# A write that was to be durable and was told EIO is appended all the same: only its end is not known.
	ok "what could be read before is there, and nothing else" \
		grep -qxE '(before){40}(durable){0,10}anew' "$m/stream"
	stop_mount
	ok "the queue is sound" "$CHRONQ" verify "$q"
}

quota() {
	start_failing allocate:EDQUOT:2:100 -o segment_size=4K
	cases_of python3 "$here/failing.py" quota "$q" "$m"
	stop_mount
	ok "the queue is sound" "$CHRONQ" verify "$q"
}

parts=("$@")
[ $# -gt 0 ] || parts=(starts end waiters quota)
for part in "${parts[@]}"; do
	q=$tmp/$part
	before=$failures
	"$part"
	if [ "$failures" -eq "$before" ]; then pass "$part"; else fail "$part"; fi
done
finish
