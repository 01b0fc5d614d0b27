#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""foreign.py QUEUE - appends to a queue the way chronicle-rs does, as docs/format.md has it.

Takes a number from each line of its input, appends so many records "foreign N" and a newline, rolling
where a segment is full, and answers each line with the last number.  Nothing of our extension is written.
"""

import mmap
import os
import struct
import sys
import time
import zlib

SEALED, HEADER = 1, 64
queue = sys.argv[1]


def mapped(name, flags=os.O_RDWR):
    fd = os.open(os.path.join(queue, name), flags)
    try:
        return mmap.mmap(fd, 0)
    finally:
        os.close(fd)


control = mapped("control.meta")
size = struct.unpack_from("<Q", control, 24)[0]
current, = struct.unpack_from("<I", control, 132)
segment = mapped(f"{current:09}.q")
offset = HEADER
while offset <= size - HEADER and (commit := struct.unpack_from("<I", segment, offset)[0]):
    offset += (HEADER + commit - 1 + 63) // 64 * 64


def publish(number):
    path = os.path.join(queue, f"{number:09}.q")
    if not os.path.exists(path):
        with open(path + ".tmp", "wb") as file:
            file.write(struct.pack("<IIII", 0x53454730, 2, number, 0))
            file.truncate(size)
        os.rename(path + ".tmp", path)


def roll():
    """Position first, then the seal, which zeroes what we would have in the header."""
    global current, segment, offset
    publish(current + 1)
    old = segment
    current, offset = current + 1, HEADER
    segment = mapped(f"{current:09}.q")
    generation, = struct.unpack_from("<I", control, 128)
    struct.pack_into("<I", control, 128, generation + 1)
    struct.pack_into("<I", control, 132, current)
    struct.pack_into("<Q", control, 256, offset)
    struct.pack_into("<I", control, 128, generation + 2)
    old[16:64] = bytes(48)
    struct.pack_into("<I", old, 12, SEALED)
    publish(current + 1)


def append(seq, payload):
    global offset
    end = offset + (HEADER + len(payload) + 63) // 64 * 64
    if end > size:
        roll()
        end = offset + (HEADER + len(payload) + 63) // 64 * 64
    segment[offset + 64:offset + 64 + len(payload)] = payload
    struct.pack_into("<B3xQQHHI", segment, offset + 4, 1, seq, time.time_ns(), 1, 0,
                     zlib.crc32(payload))
    struct.pack_into("<I", segment, offset, len(payload) + 1)
    offset = end
    struct.pack_into("<Q", control, 256, offset)
    struct.pack_into("<Q", control, 264, time.time_ns())
    notify, = struct.unpack_from("<I", control, 384)
    struct.pack_into("<I", control, 384, (notify + 1) & 0xFFFFFFFF)


number = 0
for line in sys.stdin:
    for _ in range(int(line)):
        number += 1
        append(number - 1, b"foreign %d\n" % number)
    print(number, flush=True)
