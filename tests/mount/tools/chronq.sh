#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# chronq.sh - chronq trim and roll on a queue that a mount has: its ctl does it, or a message says what to do
. "$(dirname "$0")/../lib/lib.sh"

m="$tmp/a mount" # the table of mounts escapes the blank
mkdir "$m"
start_mount -o segment_size=64K,allow_other
for i in {1..60}; do printf '%4000s' "$i" >"$m/append"; done
segments() { find "$q" -name '*.q' | wc -l; }

is "roll" "$("$CHRONQ" roll "$q")" "segment 000000003 is sealed"
is "roll of an empty segment" "$("$CHRONQ" roll "$q")" "nothing to roll: segment 000000004 has no record"
is "trim by number" "$("$CHRONQ" trim --before 20 "$q")" "deleted: segments 000000000 to 000000000"
is "trim of nothing" "$("$CHRONQ" trim --before 20 "$q")" "no segment deleted"
mkdir "$q/readers"
python3 - "$q/readers/joe.meta" <<'PY'
import struct, sys, zlib
slot = struct.pack("<QQQQ", 2, 64, 0, 1)
open(sys.argv[1], "wb").write((slot + struct.pack("<II", zlib.crc32(slot), 0)).ljust(80, b"\0"))
PY
gives 1 "the named reader joe has still to read segment 000000002" "trim up to a named reader" "$CHRONQ" trim --before now "$q"
gives 1 "no segment deleted" "trim that it holds back" "$CHRONQ" trim --before now "$q"
rm "$q/readers/joe.meta"
is "trim by time" "$("$CHRONQ" trim --before now "$q")" "deleted: segments 000000002 to 000000003"
is "the mount appends" "$(printf more >"$m/append" && "$CHRONQ" cat "$q")" more

# Another queue's mount comes later in the table of mounts.
first=("$q" "$m" "$daemon")
q=$tmp/second m=$tmp/second-mount
mkdir "$q" "$m"
start_mount -o segment_size=64K
printf one >"$m/append"
is "roll beside another queue's mount" "$("$CHRONQ" roll "$q")" "segment 000000000 is sealed"
stop_mount
q=${first[0]} m=${first[1]} daemon=${first[2]}
is "that one has the same segments" "$("$CHRONQ" roll "$q")" "segment 000000004 is sealed"

nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
chmod -R a+rX "$q"
gives 3 "has the queue, and $m/ctl: Permission denied" "a user who may not write to ctl" "${nobody[@]}" "$CHRONQ" roll "$q"
gives 3 "serves no mount that can be read here; if it serves one: echo trim 7 > MOUNT/ctl" \
	"a mount in another namespace" unshare --mount sh -c 'umount -l "$1" && shift && exec "$@"' sh "$m" "$CHRONQ" trim -b 7 "$q"
install -m 600 /dev/null "$tmp/closed"
gives 3 "serves no mount that can be read here" "a table of mounts that cannot be read" \
	unshare --mount sh -c 'mount --bind "$1" /proc/$$/mountinfo && shift && exec "$@"' sh "$tmp/closed" \
	"${nobody[@]}" "$CHRONQ" roll "$q"
stop_mount
is "without the mount" "$("$CHRONQ" roll "$q")" "nothing to roll: segment 000000005 has no record"
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
