# SPDX-License-Identifier: Apache-2.0
"""System calls as they are: those that Python lacks, or checks before the kernel can."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_LONG = ctypes.c_long

AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_APPEND_FL, FS_IMMUTABLE_FL = 0x20, 0x10


def call(name, *args):
    """A function of libc that returns -1 and sets errno; integers go as long, paths as bytes."""
    function = getattr(_libc, name)
    function.restype = _LONG
    given = [_LONG(a) if isinstance(a, int) else os.fsencode(a) if isinstance(a, str) else a
             for a in args]
    result = function(*given)
    if ctypes.c_int(result).value == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def access(path, mode):
    call("access", path, mode)


def rename(old, new, flags):
    call("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)


def fallocate(fd, mode, offset, length):
    call("fallocate", fd, mode, offset, length)


def syncfs(fd):
    call("syncfs", fd)


class Mapping:
    """A mapping as mmap(2) makes it; Python's own asks fstat() first whether it may be so long."""

    def __init__(self, fd, length, prot, flags):
        self.length = length
        self.address = call("mmap", None, length, prot, flags, fd, 0)

    def bytes(self, length=None, offset=0):
        return ctypes.string_at(self.address + offset, self.length if length is None else length)

    def close(self):
        call("munmap", ctypes.c_void_p(self.address), self.length)
