#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_replica.py DIR: marks a queue as a replica of queue 0102...10, as docs/format.md says."""

import os
import sys
import zlib

with open(os.path.join(sys.argv[1], "identity.meta"), "r+b") as file:
    data = file.read()
    data = data[:24] + bytes(range(1, 17)) + data[40:]
    file.seek(0)
    file.write(data[:40] + zlib.crc32(data[:40]).to_bytes(4, "little") + data[44:])
