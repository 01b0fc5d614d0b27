#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# poll.sh - poll, select and epoll on the sinks of a queue that fills up
. "$(dirname "$0")/../lib/lib.sh"

start_mount -o segment_size=4K,max_bytes=16K
cases_of python3 "$here/poll.py" "$m" "$q"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
