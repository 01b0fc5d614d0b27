#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bulk.py SEED - writes 1 GiB, no two of its MiB alike, the same for the same file SEED."""

import sys

with open(sys.argv[1], "rb") as f:
    seed = f.read()
for i in range(1 << 10):
    sys.stdout.buffer.write(i.to_bytes(8, "little"))
    sys.stdout.buffer.write(seed[8:])
