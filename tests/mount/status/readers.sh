#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# readers.sh - readers/ on a mount: a file for each named reader, with its position and lag
. "$(dirname "$0")/../lib/lib.sh"

field() { awk -v key="$2" '$1 == key { print $2 }' "$m/readers/$1"; } # NAME KEY
set_reader() { "$CHRONQ" readers --set "$1" "$2" "$q" 2>/dev/null; }
many() { seq -f 'record %.0f' "$1" "$2" >>"$m/append.lines"; }

start_mount -o segment_size=64K
is "without readers" "$(ls "$m/readers")" ""
many 0 999
ok "readers are made" set_reader later latest
ok "and another" set_reader first 0
is "a file for each" "$(ls "$m/readers" | tr '\n' ' ')" "first later "
is "the next record" "$(field first next_seq) $(field later next_seq)" "0 1000"
is "the lag in records" "$(field first lag_records) $(field later lag_records)" "1000 0"
many 1000 1009
is "which grows with an append" "$(field first lag_records) $(field later lag_records)" "1010 10"
is "the place" "$(field first segment) $(field first offset)" "000000000 64"
is "the lag in bytes, as stats.json has it" "$(field first lag_bytes)" \
	"$(python3 -c 'import json, sys
print(next(r["lag_bytes"] for r in json.load(sys.stdin)["readers"]["listed"] if r["name"] == "first"))' <"$m/stats.json")"
# shellcheck disable=SC2317 # called by ok
waited() { awk '$1 == "lag_seconds" { exit !($2 > 0 && $2 < 3600) }' "$m/readers/first"; }
ok "how long the next record has waited" waited
ok "last_seen is a time of today or yesterday" grep -qE "^last_seen +($(date -u +%F)|$(date -u -d yesterday +%F))T" \
	"$m/readers/first"
is "the sizes are those of the texts" "$(cat "$m/readers/"* | wc -c)" \
	"$(($(stat -c %s "$m/readers/first") + $(stat -c %s "$m/readers/later")))"
is "ls -l" "$(stat -c '%F %a %u' "$m/readers" "$m/readers/first" | tr '\n' ' ')" \
	"directory 555 0 regular file 444 0 "

# ---- in use ----

is "nobody uses it" "$(field first in_use) $(field first pid)" "no -"
exec 7<"$m/readers/first"
"$CHRONQ" tail -f --reader first "$q" >"$tmp/tail.out" &
tail=$!
# shellcheck disable=SC2317 # called by wait_for
is_used() { [ "$(field first pid)" = "$tail" ] && [ "$(field first lag_records)" = 0 ]; }
ok "then a process does, and has read all" wait_for is_used
is "the open file shows what was there at its open" "$(awk '$1 == "lag_records" || $1 == "pid" { print $2 }' <&7 |
	tr '\n' ' ')" "1010 - "
exec 7<&-
refused "a reader in use is not deleted" "in use by process $tail" "$CHRONQ" readers --delete first "$q"
kill "$tail"
wait "$tail"
is "no longer" "$(field first in_use)" "no"
is "it was given each record once" "$(md5sum <"$tmp/tail.out")" "$(seq -f 'record %.0f' 0 1009 | md5sum)"

# ---- read-only, appearing, disappearing ----

refused "it cannot be written" "Operation not permitted" dd if=/dev/null of="$m/readers/first" conv=notrunc status=none
refused "nor deleted" "Operation not permitted" rm -f "$m/readers/first"
refused "nothing can be made" "Operation not permitted" mkdir "$m/readers/x"
refused "no other name is there" "No such file" stat "$m/readers/none" "$m/readers/.." "$m/readers/first.meta"
exec 7<"$m/readers/later"
ok "a reader is deleted" "$CHRONQ" readers --delete later "$q"
is "its file is gone" "$(ls "$m/readers")" "first"
refused "at once" "No such file" cat "$m/readers/later"
is "who had it open reads on" "$(wc -l <&7)" 10
exec 7<&-
ok "trimmed beneath the reader" set_reader first 0
cp "$q/readers/first.meta" "$tmp/first.meta"
ok "by its own leave" set_reader first latest
echo "trim 1010" >"$m/ctl"
cp "$tmp/first.meta" "$q/readers/first.meta"
is "records before the next one are missing" "$(field first missing)" "yes"
ok "which is then the oldest" test "$(field first next_seq)" -gt 0
stop_mount

start_mount -o ro
is "a read-only mount has them, too" "$(ls "$m/readers")" "first"
is "with the lag" "$(field first lag_records)" "$((1010 - $(field first next_seq)))"
before=$(find "$q" -printf '%P %T@ %C@\n' | sort)
cat "$m/readers/first" >/dev/null
is "and changes nothing" "$(find "$q" -printf '%P %T@ %C@\n' | sort)" "$before"
ok "at the oldest" "$CHRONQ" readers --set hidden oldest "$q"
segment=$(field hidden segment)
printf 'no header' | dd of="$q/$segment.q" bs=1 seek="$(field hidden offset)" conv=notrunc status=none
is "damage hides the number, and how long it waits" \
	"$(field hidden next_seq) $(field hidden lag_records) $(field hidden lag_seconds)" "- - -"
ok "deleted" "$CHRONQ" readers --delete hidden "$q"
for i in {1..300}; do cp "$q/readers/first.meta" "$q/readers/many-$i.meta"; done
is "many readers, each listed once" "$(ls "$m/readers" | sort -u | wc -l)" 301
is "and read" "$(cat "$m/readers/"* | grep -c '^next_seq')" 301
stop_mount

# ---- a reader that has all ----

# It opens at its place, without a way there through the segment: a header on the way that is damaged is not met.
q=$tmp/live
start_mount
many 0 2
ok "a reader has all" set_reader end latest
offset=$(field end offset)
printf 'no header' | dd of="$q/000000000.q" bs=1 seek=64 conv=notrunc status=none
is "it takes the next record that is appended" \
	"$(field end offset) $(field end next_seq) $(field end lag_records)" "$offset 3 0"
many 3 3
is "so with a record behind it" "$(field end next_seq) $(field end lag_records)" "3 1"
stop_mount

finish
