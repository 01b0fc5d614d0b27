#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# refusals.sh - what the mount does not do, each with its errno, for root and for an ordinary user
. "$(dirname "$0")/lib.sh"

start_mount -o segment_size=4K,allow_other
printf '%3900s' x >"$m/append"
printf '%3900s' y >"$m/append" # 000000000.q is sealed now
before=$(find "$m" -printf '%p %y %m %s %i\n' | sort)
cases_of python3 "$here/refusals.py" "$m"
is "nothing has changed" "$(find "$m" -printf '%p %y %m %s %i\n' | sort)" "$before"
stop_mount

start_mount -o ro,allow_other
cases_of python3 "$here/refusals.py" "$m" ro
stop_mount
finish
