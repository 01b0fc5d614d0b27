#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# shippers.sh - programs that remember inode and offset lose no record when stream is trimmed
. "$(dirname "$0")/../lib/lib.sh"

# Long enough that what is trimmed and what is read do not meet in one page.
format="line %.0f $(printf '%0100d' 0)"

# write_some FIRST LAST: a record each, and a new segment.
write_some() {
	seq -f "$format" "$1" "$2" >>"$m/append.lines"
	echo roll >"$m/ctl"
}

# look_at NAME COMMAND...: one run, its output behind what it has shown before.
look_at() {
	local name=$1
	shift
	timeout "$patience" "$@" >>"$tmp/$name" 2>>"$tmp/$name.err" || fail "$name: status $?"
}

# A program of the same habit: the same inode, not cut: it goes on; else it begins again.
cat >"$tmp/remember.py" <<'PYTHON'
import json, os, sys
path, state = sys.argv[1:]
inode, offset = json.load(open(state)) if os.path.exists(state) else (0, 0)
with open(path, "rb") as file:
    st = os.fstat(file.fileno())
    if st.st_ino == inode and offset <= st.st_size:
        file.seek(offset)
    data = file.read()
    sys.stdout.buffer.write(data)
    json.dump((st.st_ino, file.tell()), open(state, "w"))
PYTHON

names=(remember)
if command -v logtail2 >/dev/null; then
	names+=(logtail2)
else
	skip "logtail2" "not here"
fi
look() { # each looks once
	look_at remember python3 "$tmp/remember.py" "$m/stream" "$tmp/state"
	! command -v logtail2 >/dev/null || look_at logtail2 logtail2 -f "$m/stream" -o "$tmp/offset"
}

start_mount -o segment_size=64K,allow_trim
for ((i = 0; i < 10; i++)); do write_some $((i * 100 + 1)) $((i * 100 + 100)); done
look
first=$(stat -c %i "$m/stream")
tail -n +1 -F -s 0.05 "$m/stream" >"$tmp/tail" 2>"$tmp/tail.err" &
tail=$!
seq -f "$format" 1000 >"$tmp/lines"
ok "tail -F shows what there is" wait_for cmp "$tmp/lines" "$tmp/tail"
for name in "${names[@]}"; do ok "$name: at first, everything" cmp "$tmp/lines" "$tmp/$name"; done

# More is trimmed than comes, then less; each time it ends at an offset that was there before, or is.
last=1000
for round in 1 2 3 4; do
	echo "trim $((last - 200))" >"$m/ctl"
	for ((i = 0; i < round; i++)); do write_some $((last + 1)) $((last += 200)); done
	look
	seq -f "$format" "$last" >"$tmp/lines" # what tail has not read yet must not be trimmed
	ok "tail -F: every line, once, $round trims" wait_for cmp "$tmp/lines" "$tmp/tail"
done
for name in "${names[@]}"; do
	is "$name: not one record is missing" "$(sort -u "$tmp/$name" | wc -l)" "$last"
	ok "$name: none is altered" cmp <(sort -u "$tmp/$name") <(sort "$tmp/lines")
done
is "tail -F: no complaint" "$(<"$tmp/tail.err")" ""
kill "$tail"
wait "$tail" 2>/dev/null
second=$(stat -c %i "$m/stream")
ok "the inode number is another one" [ "$first" != "$second" ]

# It goes by the position of byte 0, so it is the same after the mount.
stop_mount
start_mount -o segment_size=64K,allow_trim
is "mounted again: the same beginning, the same inode number" "$(stat -c %i "$m/stream")" "$second"
write_some $((last + 1)) $((last += 100))
look
for name in "${names[@]}"; do
	is "$name: goes on where it was" "$(tail -n 100 "$tmp/$name")" "$(seq -f "$format" $((last - 99)) "$last")"
	is "$name: with what is new only" "$(tail -n 101 "$tmp/$name" | head -n 1)" "$(seq -f "$format" $((last - 100)) $((last - 100)))"
done
stop_mount "the second mount"
finish
