#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# equal.sh - cat f > mnt/append.lines && cmp f mnt/stream, for text up to 1 GiB and for oddities
. "$(dirname "$0")/equal_lib.sh"

for sink in append append.lines; do
	for kind in text binary no_newline newlines; do
		round_trip "$sink" "$kind" 1 4K
	done
	round_trip "$sink" text $((3 << 20 | 12345)) 16M
	round_trip "$sink" newlines 100000 1M
	round_trip "$sink" binary 200000 1M
done
# lines over the limit of 3,968 bytes
round_trip append.lines binary 200000 4K
round_trip append.lines no_newline 200000 4K

round_trip append.lines text "$large" 128M
finish
