#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prefix.py COPY FILE - a segment copied while it was written: each record that is committed in the
copy is the same in the file.  (The header of the segment and what follows the last record may differ:
both were still to be written.)"""

import struct
import sys

with open(sys.argv[1], "rb") as f:
    copy = f.read()
with open(sys.argv[2], "rb") as f:
    file = f.read()

offset = 64
if len(copy) != len(file) or copy[:12] != file[:12]:
    sys.exit("not the same segment")
while offset <= len(copy) - 64:
    commit = struct.unpack_from("<I", copy, offset)[0]
    if commit == 0:
        break
    end = offset + (64 + commit - 1 + 63) // 64 * 64
    if end > len(copy) or copy[offset:end] != file[offset:end]:
        sys.exit(f"the record at {offset} differs")
    offset = end
