#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""material.py KIND BYTES [SEED] - writes so many bytes, the same for the same arguments.

text         numbered lines of 1 to 200 bytes
binary       no two MiB alike, a newline in 256 bytes or so
no_newline   zeros
newlines     nothing else
"""

import random
import sys

kind, size = sys.argv[1], int(sys.argv[2])
seed = random.Random(sys.argv[3] if len(sys.argv) > 3 else "chronfs")
BLOCK = 1 << 20


def block():
    """Something of one MiB; its first bytes are replaced in each."""
    if kind == "text":
        lines = b""
        while len(lines) < BLOCK:
            lines += b"x" * seed.randrange(200) + b"\n"
        return lines[:BLOCK - 1] + b"\n"
    return {"no_newline": bytes(BLOCK), "newlines": b"\n" * BLOCK}.get(kind) or seed.randbytes(BLOCK)


material = block()
for number in range(-(-size // BLOCK)):
    piece = material[:size - number * BLOCK]
    head = {"text": b"%012d\n" % number, "binary": number.to_bytes(8, "little")}.get(kind, b"")
    sys.stdout.buffer.write(head[:len(piece)])
    sys.stdout.buffer.write(memoryview(piece)[len(head):])
