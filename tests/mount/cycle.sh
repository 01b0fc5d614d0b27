#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# cycle.sh - mount in the background, append, unmount, fifty times, each mount right after the last
. "$(dirname "$0")/lib.sh"

rounds=50
status=0
mounts+=("$m")
for ((i = 0; i < rounds && status == 0; i++)); do
	"$CHRONFS" "$q" "$m" -o segment_size=64K 2>"$log" &&
		echo "round $i" >>"$m/append" &&
		umount "$m" || status=1
done
is "$rounds times" "$status" 0
[ "$status" -eq 0 ] || note "round $i: $(cat "$log")"
start_mount # waits for the last one's end
is "all are there" "$("$CHRONQ" cat "$q" | md5sum)" \
	"$(for ((i = 0; i < rounds; i++)); do echo "round $i"; done | md5sum)"
stop_mount
ok "no temporary file is left" no_temp_files
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
