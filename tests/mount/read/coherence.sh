#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# coherence.sh - a read returns what was written, through every cache
. "$(dirname "$0")/../lib/lib.sh"

for way in auto off; do
	q=$tmp/queue-$way
	start_mount -o segment_size=64K,passthrough=$way
	note "passthrough=$way"
	cases_of timeout "$patience" python3 "$here/coherence.py" "$m" "$q"
	stop_mount "passthrough=$way"
done
finish
