#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# model.sh - random operations on a mount against a reference: every result, every byte
#
# MODEL_SEEDS="7 8" repeats these runs; MODEL_SECONDS=600 makes each longer; MODEL_SEEDS=1000 is one
# seed, not a thousand.
. "$(dirname "$0")/../lib/lib.sh"

seconds=${MODEL_SECONDS:-5}
read -ra seeds <<<"${MODEL_SEEDS:-$RANDOM $RANDOM $RANDOM}"
mounts+=("$m")
for seed in "${seeds[@]}"; do
	q=$tmp/queue.$seed
	cases_of python3 "$here/model.py" "$q" "$m" "$seed" "$seconds"
	[ "$failures" -eq 0 ] || finish # the mount may be in any state
	ok "seed $seed: the queue is sound" "$CHRONQ" verify "$q"
	rm -rf "$q"
done
finish
