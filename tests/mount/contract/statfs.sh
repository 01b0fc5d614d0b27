#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# statfs.sh - df: the file system below, or the cap where the queue has one, from empty to full
. "$(dirname "$0")/../lib/lib.sh"

# df_of FIELD...: in bytes, of the mount.
df_of() { df -B1 --output="$1" "$m" | tail -n 1 | tr -d ' '; }
# shellcheck disable=SC2317 # called by wait_for, as is the next
used_is() { [ "$(df_of used)" -eq "$1" ]; }
# shellcheck disable=SC2317
same_below() { [ "$(stat -f -c '%S %b %c' "$m")" = "$(stat -f -c '%S %b %c' "$q")" ]; }
# shellcheck disable=SC2317
free_as_below() {
	local difference
	difference=$(($(df_of avail) - $(stat -f -c '%a * %S' "$q")))
	[ "${difference#-}" -lt $((1 << 28)) ]
}
# shellcheck disable=SC2317
used_is_files() { used_is $((65536 * $(find "$q" -name '*.q' | wc -l))); }

start_mount -o segment_size=64K
# What is free, and on some file systems how many files there can be, changes while others use it.
ok "no cap: size, blocks and files of the file system below" wait_for same_below
ok "no cap: about what is free there" wait_for free_as_below
is "no cap: the name and the type" "$(df --output=source,fstype "$m" | tail -n 1 | tr -s ' ')" \
	"$q fuse.chronfs"
stop_mount

# 64 segments.
q=$tmp/capped
cap=$((4 << 20))
start_mount -o segment_size=64K,max_bytes=4M
is "a cap: the size is the cap" "$(df_of size)" "$cap"
ok "the next segment is prepared" wait_for spare_is_there
ok "used is what the segment files take" used_is_files
is "the rest is there to be used" "$(df_of avail)" $((cap - $(df_of used)))
ok "an empty queue uses little" [ "$(df_of used)" -le $((2 * 65536)) ]
yes "a line of some length to fill the queue with" | head -c 60000 >"$tmp/record"
appended=0
last=$(df_of avail)
falling=yes
while cat "$tmp/record" >"$m/append" 2>"$tmp/said"; do
	appended=$((appended + 1))
	now=$(df_of avail)
	[ "$now" -le "$last" ] || falling=no
	last=$now
	[ "$appended" -lt 100 ] || break
done
ok "full: it says so" grep -q 'quota exceeded' "$tmp/said"
is "one record for each segment" "$appended" 64
is "what is free has only become less" "$falling" yes
is "full: nothing is free" "$(df_of avail)" 0
is "full: all is used" "$(df_of used) $(df_of pcent)" "$cap 100%"
ok "the files keep to the cap" used_is_files
echo "trim 32" >"$m/ctl"
ok "half of it deleted: free again but for one that is prepared" wait_for used_is $((33 * 65536))
is "the rest can be used" "$(df_of avail)" $((31 * 65536))
ok "and is" sh -c 'cat "$1" >"$2"' sh "$tmp/record" "$m/append"
stop_mount

# A read-only mount does not know of a cap.
start_mount -o ro
is "read-only: the file system below" "$(stat -f -c '%S %b' "$m")" "$(stat -f -c '%S %b' "$q")"
stop_mount

# A cap that the disk does not have room for.
q=$tmp/large
start_mount -o segment_size=64K,max_bytes=1000000G
ok "a cap beyond the disk: what is free on the disk" wait_for free_as_below
stop_mount
finish
