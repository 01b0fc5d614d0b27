#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scan.py MOUNT - reads segments/ in small pieces while segments are published and trimmed.

The mount keeps 100 segments of 4096 bytes.  A segment that is there during the whole scan has to be
seen exactly once; one that comes or goes meanwhile, at most once.
"""

import ctypes
import os
import struct
import sys
import time

mount = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)


def case(what, good):
    print(("ok - " if good else "not ok - ") + what)


def pieces(fd, size):
    """The names that one getdents64 after the other gives."""
    buffer = ctypes.create_string_buffer(size)
    while True:
        n = libc.getdents64(fd, buffer, size)
        if n < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        if n == 0:
            return
        at = 0
        names = []
        while at < n:
            length = struct.unpack_from("<H", buffer.raw, at + 16)[0]
            names.append(buffer.raw[at + 19:at + length].split(b"\0")[0].decode())
            at += length
        yield [name for name in names if not name.startswith(".")]


def roll(fd, count):
    for _ in range(count):
        os.write(fd, b"x" * 3900)  # each fills a segment


def settled(condition):
    """The mount prepares and trims in the background, and a name may be known for a second."""
    until = time.monotonic() + 10
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


sink = os.open(mount + "/append", os.O_WRONLY)
roll(sink, 150)
if not settled(lambda: 100 <= len(os.listdir(mount + "/segments")) <= 102):
    sys.exit("nothing is trimmed")
start = set(os.listdir(mount + "/segments"))
directory = os.open(mount + "/segments", os.O_RDONLY)
seen = []
for names in pieces(directory, 256):
    seen += names
    roll(sink, 4)
settled(lambda: not start <= set(os.listdir(mount + "/segments")))
end = set(os.listdir(mount + "/segments"))
case("many pieces were read", len(seen) > 50)
case("segments came and went meanwhile", start - end and end - start)
case("in ascending order, none twice", seen == sorted(set(seen)))
case("what was there all the time was seen", start & end <= set(seen))


def rewound():
    os.lseek(directory, 0, os.SEEK_SET)
    return {name for names in pieces(directory, 4096) for name in names}


def is_gone():
    return not os.path.exists(f"{mount}/segments/{min(start - end)}")


case("a rewound directory shows what is there now",
     settled(lambda: rewound() == set(os.listdir(mount + "/segments"))))
case("a trimmed segment is gone", settled(is_gone))
