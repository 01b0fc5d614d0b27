#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# append.sh - the sink: ordinary tools append, truncation means nothing, the limit is exact
. "$(dirname "$0")/../lib/lib.sh"

payloads() { "$CHRONQ" cat "$q"; }

start_mount
is "append is an empty file" "$(stat -c '%F %a %s %h %o' "$m/append")" \
	"regular empty file 644 0 1 65536"
is "ls shows all views" "$(ls "$m" | tr '\n' ' ')" \
	"append append.lines ctl metrics payload readers records segments stats.json stream "
for view in $(ls "$m"); do
	ok "chronfs.1 has $view" grep -qE "(^|[^a-z_-])${view//./\\.}([^a-z_.]|$)" "$here/../../../docs/chronfs.1"
done
before=$(stat -c '%i %X %Y %Z' "$m/append")

echo hello >>"$m/append"
is "echo >>" "$(payloads)" hello
is "the record is in the segment file" \
	"$(strings -n 5 "$m/segments/000000000.q" | grep -c '^hello$')" 1
echo again >"$m/append"
is "echo > truncates nothing" "$(payloads)" $'hello\nagain'
echo tee | tee "$m/append" >/dev/null
echo more | tee -a "$m/append" >/dev/null
is "tee and tee -a" "$(payloads | tail -n 2)" $'tee\nmore'
seq 1 5 >"$tmp/five"
cat "$tmp/five" >"$m/append"
is "cat file >" "$(payloads | tail -n 5)" "$(seq 1 5)"
ok "cp file append" cp "$tmp/five" "$m/append"
ok "dd bs=3, oflag=dsync" dd if="$tmp/five" of="$m/append" bs=3 oflag=dsync conv=notrunc status=none
is "dd makes a record per block" \
	"$("$CHRONQ" tail -n 1 "$q" | wc -c)" 1
ok "dd conv=fsync" dd if="$tmp/five" of="$m/append" bs=64 conv=fsync,notrunc status=none
ok "sync FILE" sync "$m/append"
ok "truncate -s 0" truncate -s 0 "$m/append"
refused "truncate -s 1" "Operation not permitted" truncate -s 1 "$m/append"
ok "touch" touch "$m/append"
is "reading gives end of file" "$(cat "$m/append" "$m/append" | wc -c)" 0
is "inode number and times stay" "$(stat -c '%i %X %Y %Z' "$m/append")" "$before"
cases_of python3 "$here/sink.py" "$m" 1044480
stop_mount

# With small segments the segment is the limit: its size less 128 bytes.
q=$tmp/small
start_mount -o segment_size=4K
cases_of python3 "$here/sink.py" "$m" 3968
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/always
start_mount -o sync=always,segment_size=64K
for i in 1 2 3 4 5; do echo "line $i" >>"$m/append" || break; done
is "sync=always" "$("$CHRONQ" cat "$q" | tail -n 1)" "line 5"
cases_of python3 "$here/sink.py" "$m" 65408
stop_mount

q=$tmp/interval
start_mount -o sync=interval=20
echo x >>"$m/append"
stop_mount "sync=interval"
finish
