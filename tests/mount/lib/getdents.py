# SPDX-License-Identifier: Apache-2.0
"""getdents.py - a directory as getdents64(2) gives it, piece by piece"""

import ctypes
import os
import struct

libc = ctypes.CDLL(None, use_errno=True)


def pieces(fd, size):
    """For each call with a buffer of this size, the names in it (without "." and "..") and for each
    the offset at which the directory goes on behind it."""
    buffer = ctypes.create_string_buffer(size)
    while True:
        n = libc.getdents64(fd, buffer, size)
        if n < 0:
            raise OSError(ctypes.get_errno(), "getdents64")
        if n == 0:
            return
        at = 0
        entries = []
        while at < n:
            behind, length = struct.unpack_from("<qH", buffer.raw, at + 8)
            name = buffer.raw[at + 19:at + length].split(b"\0")[0].decode()
            if not name.startswith("."):
                entries.append((name, behind))
            at += length
        yield entries


def names(fd, size=32768):
    """All names from the directory's offset on."""
    return [name for entries in pieces(fd, size) for name, _ in entries]


def names_from(path, offset, size=32768):
    """All names behind an offset, through an open directory of their own."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        return names(fd, size)
    finally:
        os.close(fd)
