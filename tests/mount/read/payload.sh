#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# payload.sh - payload/: the payloads of each segment, one after another; and what segments say of
# themselves in extended attributes
. "$(dirname "$0")/../lib/lib.sh"

xattr() { getfattr --only-values -n "user.chronfs.$1" "$2" 2>/dev/null; }

start_mount -o segment_size=64K
seq 1 3000 >"$tmp/lines"
cat "$tmp/lines" >"$m/append.lines"
ok "the next segment is prepared" wait_for spare_is_there
newest=$(ls "$m/payload" | tail -n 1)
is "named as the segments" "$(ls "$m/payload")" "$(ls "$m/segments" | cut -d. -f1)"
ok "all together they are the stream" cmp <(cat "$m"/payload/*) "$m/stream"
ok "and what was written" cmp <(cat "$m"/payload/*) "$tmp/lines"
is "the prepared one is empty" "$(stat -c '%s %b' "$m/payload/$newest")" "0 0"
is "mode, links, blocks" "$(stat -c '%a %h %b' "$m/payload/000000000")" \
	"444 1 $((($(stat -c %s "$m/payload/000000000") + 511) / 512))"
is "times are the segment's" "$(stat -c '%Y %Z' "$m/payload/000000000")" \
	"$(stat -c '%Y %Z' "$m/segments/000000000.q")"
is "sizes of a listing and of a lookup" "$(find "$m/payload" -type f -printf '%f %s\n' | sort)" \
	"$(cd "$m/payload" && stat -c '%n %s' ./* | sed 's|^\./||')"
for name in 000000000.q 0 00000000 0000000000 00000000x 999999999; do
	refused "$name is not there" "No such file" stat "$m/payload/$name"
done
ok "tar takes it without complaint" tar -cf "$tmp/all.tar" -C "$m" payload

exec 7<"$m/payload/$(ls "$m/payload" | tail -n 2 | head -n 1)"
cat <&7 >/dev/null
echo "it grows" >"$m/append"
is "the live one grows under an open file" "$(cat <&7)" "it grows"
exec 7<&-

# What a segment says of itself.
file=$m/segments/000000001.q
is "sealed" "$(xattr sealed "$file") $(xattr sealed "$m/segments/$newest.q")" "1 0"
is "records, payload_bytes" "$(xattr records "$file") $(xattr payload_bytes "$file")" \
	"$(wc -lc <"$m/payload/000000001" | tr -s ' ' | sed 's/^ //')"
is "first_seq, last_seq" "$(xattr first_seq "$file") $(xattr last_seq "$file")" \
	"$(xattr records "$m/segments/000000000.q") $(($(xattr records "$m/segments/000000000.q") + $(xattr records "$file") - 1))"
is "last_time is the modification time" "$(xattr last_time "$file")" \
	"$(stat -c %.9Y "$file" | tr -d .)"
ok "first_time is not later" [ "$(xattr first_time "$file")" -le "$(xattr last_time "$file")" ]
is "the payload says the same" "$(getfattr -d "$m/payload/000000001" 2>&1 | grep =)" "$(getfattr -d "$file" 2>&1 | grep =)"
is "all are listed" "$(getfattr -d "$file" 2>&1 | grep -c '^user\.chronfs\.')" 7
is "of an empty one those of a record are not" \
	"$(getfattr -d "$m/segments/$newest.q" 2>&1 | grep = | tr '\n' ' ')" \
	'user.chronfs.payload_bytes="0" user.chronfs.records="0" user.chronfs.sealed="0" '
refused "nor there" "No such attribute" getfattr -n user.chronfs.first_seq "$m/segments/$newest.q"
refused "an unknown one" "No such attribute" getfattr -n user.chronfs.nonsense "$file"
refused "none can be set" "not permitted" setfattr -n user.chronfs.sealed -v 1 "$file"
stop_mount

# Deleted while it is open.
q=$tmp/trimmed
start_mount -o segment_size=64K,allow_trim
cat "$tmp/lines" >"$m/append.lines"
cp "$m/payload/000000000" "$tmp/old"
cp "$m/segments/000000000.q" "$tmp/old.q"
exec 7<"$m/payload/000000000" 8<"$m/segments/000000000.q"
ok "the oldest is deleted" rm -f "$m/segments/000000000.q"
ok "its payload goes, too" wait_for not stat "$m/payload/000000000"
is "an open payload file still has its attributes" "$(stat -Lc %s /dev/fd/7)" "$(stat -c %s "$tmp/old")"
is "and so has an open segment" "$(stat -Lc '%s %h' /dev/fd/8)" "65536 0"
ok "which is still read" cmp "$tmp/old.q" - <&8
cat <&7 >"$tmp/got" 2>"$tmp/error"
if [ -s "$tmp/error" ]; then
	ok "an open payload file says that its bytes are gone" grep -q "No data available" "$tmp/error"
else
	ok "an open payload file is still read" cmp "$tmp/got" "$tmp/old"
fi
exec 7<&- 8<&-
stop_mount

# By chronicle-rs: no summary tells the sizes.
for queue in v1-small v2-small v2-killed v2-mixed; do
	cp -a "${GOLDEN:?}/$queue" "$tmp/$queue"
	q=$tmp/$queue
	start_mount -o ro
	ok "$queue: the payloads are what the tool reads" cmp <(cat "$m"/payload/*) \
		<("$CHRONQ" cat "$q")
	is "$queue: sizes of a listing" "$(ls -l "$m/payload" | awk '{ sum += $5 } END { print sum }')" \
		"$(stat -c %s "$m/stream")"
	stop_mount "$queue"
done
finish
