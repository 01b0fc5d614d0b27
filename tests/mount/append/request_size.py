#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""request_size.py MOUNT LIMIT - writes around the largest record; prints a line per case."""

import ctypes
import mmap
import os
import sys

from testlib import is_, outcome, stats

mount, limit = sys.argv[1], int(sys.argv[2])
PAGE = mmap.PAGESIZE
area = mmap.mmap(-1, 4 << 20)
view = memoryview(area)
fd = os.open(mount + "/append", os.O_WRONLY)


def records():
    return stats(mount)["position"]["next_seq"]


def writes(pieces):
    """What writev gives, or the name of its errno; and how many records that makes."""
    before = records()
    return outcome(os.writev, fd, pieces), records() - before


def case(what, got, wanted):
    is_(f"at most {limit}: {what}", got, wanted)


# Wherever in a page the buffer begins: it touches one page more than an aligned one.
for offset in (0, 1, PAGE // 2, PAGE - 1):
    wrong = [size for size in (1, PAGE, PAGE + 1, limit - 1, limit)
             if size <= limit and writes([view[offset:offset + size]]) != (size, 1)]
    case(f"at offset {offset}: each write is one record", wrong, [])
    wrong = [(size, got) for size in (limit + 1, limit + PAGE - 1, limit + PAGE, limit + PAGE + 1,
                                      limit + 2 * PAGE, 2 * limit, 921600, 1 << 20, 3 << 20)
             if size > limit and (got := writes([view[offset:offset + size]])) != ("EMSGSIZE", 0)]
    case(f"at offset {offset}: longer ones are refused, and no part is there", wrong, [])

# A writev: the pages of its pieces are counted, a page once for each piece.
pages = limit // PAGE + 1
case("a writev that touches no more pages than a request has",
     writes([view[0:2]] * pages), (2 * pages, 1))
case("in pieces that go over the edge of a page",
     writes([view[PAGE - 1:PAGE + 1]] * (pages // 2)), (2 * (pages // 2), 1))
case("a writev of large pieces that is too long", writes([view[i * PAGE:(i + 1) * PAGE] for i in range(pages + 2)]),
     ("EMSGSIZE", 0))

# What the kernel splits, or sends only the beginning of, is taken for writes of their own: docs/semantics.md
# says so.
case("one piece more: two records", writes([view[0:2]] * (pages + 1)), (2 * (pages + 1), 2))
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
address = libc.mmap(None, 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE,
                    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
libc.mprotect(address + PAGE, PAGE, 0)
begin = records()
case("a buffer that ends in memory that cannot be read: what comes before",
     (libc.write(fd, address, 2 * PAGE), records() - begin), (PAGE, 1))
os.close(fd)
