#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cycle.sh - mount in the background, append, unmount, fifty times, each mount right after the last
. "$(dirname "$0")/../lib/lib.sh"

rounds=50

# mount_next: a mount waits for the last one's end, for a second; when a disk takes longer over that, the
# next try waits on.  A mount that says "in use" at once has not waited.
mount_next() {
	local end=$((SECONDS + patience)) begun
	while begun=$(date +%s%N) && ! "$CHRONFS" "$q" "$m" -o segment_size=64K 2>"$log"; do
		grep -q 'in use' "$log" && [ $(($(date +%s%N) - begun)) -ge 900000000 ] &&
			[ "$SECONDS" -lt "$end" ] || return
	done
}

status=0
mounts+=("$m")
for ((i = 0; i < rounds && status == 0; i++)); do
	mount_next &&
		echo "round $i" >>"$m/append" &&
		read -r daemon _ <"$q/writer.lock" &&
		umount "$m" || status=1
done
is "$rounds times" "$status" 0
[ "$status" -eq 0 ] || note "round $i: $(cat "$log")"
ended # the last one; it was no child of ours: no status
start_mount
is "all are there" "$("$CHRONQ" cat "$q" | md5sum)" \
	"$(for ((i = 0; i < rounds; i++)); do echo "round $i"; done | md5sum)"
stop_mount
ok "no temporary file is left" no_temp_files
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
