#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# writers.sh - many write at once: each record whole, nothing lost, each writer's in order
. "$(dirname "$0")/../lib/lib.sh"

each=250
start_mount -o segment_size=16K
pids=()
for w in 1 2 3 4 5 6 7 8; do
	(
		for ((i = 0; i < each; i++)); do
			printf 'writer %s line %d %0*d\n' "$w" "$i" $((i % 80 + 1)) 0 >>"$m/append" || exit 1
		done
	) &
	pids+=($!)
done
status=0
for pid in "${pids[@]}"; do wait "$pid" || status=1; done
is "no write failed" "$status" 0
stop_mount
"$CHRONQ" cat "$q" >"$tmp/all"
is "as many records as writes" "$("$CHRONQ" cat --json "$q" | wc -l)" $((8 * each))
is "every line whole" \
	"$(grep -cE '^writer [1-8] line [0-9]+ 0+$' "$tmp/all")" $((8 * each))
for w in 1 2 3 4 5 6 7 8; do
	ok "writer $w: all, in order" cmp <(grep "^writer $w " "$tmp/all" | cut -d' ' -f4) \
		<(seq 0 $((each - 1)))
done
ok "the queue is sound" "$CHRONQ" verify "$q"

q=$tmp/mixed
start_mount -o segment_size=1M
cases_of python3 "$here/writers.py" "$m" "$q"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# The same when they fill the queue all the time and have to wait.
q=$tmp/full
start_mount -o segment_size=256K,max_bytes=1M,full=block
cases_of python3 "$here/writers.py" "$m" "$q" consume
ok "some have waited" not grep -qx 'chronfs_waited_writes_total 0' "$m/metrics"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
