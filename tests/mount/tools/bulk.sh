#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# bulk.sh - one GiB of anything through cat into a sink comes back byte for byte, over many rolls
. "$(dirname "$0")/equal_lib.sh"

round_trip append binary "$large" 16M
round_trip append.lines binary "$large" 128M
finish
