#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bulk.sh - one GiB through cat into append comes back byte for byte, over many rolls
. "$(dirname "$0")/lib.sh"

size=$((1 << 30))
free=$(($(stat -f -c '%a * %S' "$tmp")))
[ "$free" -gt $((4 * size)) ] || skip_all "needs 4 GiB free in $tmp"

head -c $((1 << 20)) /dev/urandom >"$tmp/seed"
stream() { python3 "$here/bulk.py" "$tmp/seed"; }

start_mount -o segment_size=16M
begin=$(date +%s%N)
ok "1 GiB through cat into append" sh -c 'cat >"$1"' sh "$m/append" < <(stream)
end=$(date +%s%N)
note "$((size * 1000 / (end - begin))) MB/s"
ok "comes back byte for byte" cmp <("$CHRONQ" cat "$q") <(stream)
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
