#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# sync.sh - sync=none, interval=MS, always: which writes are durable when they return
. "$(dirname "$0")/../lib/lib.sh"

for mode in none interval=1000000 always; do
	q=$tmp/$mode
	start_mount -o "sync=$mode,segment_size=64K"
	cases_of python3 "$here/sync.py" "${mode%=*}" "$m"
	stop_mount "$mode"
done
q=$tmp/short
start_mount -o sync=interval=20,segment_size=64K
cases_of python3 "$here/sync.py" short "$m"
stop_mount interval=20
finish
