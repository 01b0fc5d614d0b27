#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coherence.py MOUNT QUEUE - whatever way a file of the mount is read, it is what was written: by read
and by mapping, for each kind of file; the mount has segments of 64 KiB; prints a line per case."""

import ctypes
import errno
import json
import mmap
import os
import sys
import time

from testlib import case

mount, queue = sys.argv[1:3]
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
SHARED, PRIVATE = mmap.MAP_SHARED, mmap.MAP_PRIVATE
sink = os.open(mount + "/append", os.O_WRONLY)


class Mapping:
    """A mapping for reading; .error is the errno's name where there is none."""

    def __init__(self, fd, length, flags):
        self.length, self.error = length, None
        self.at = libc.mmap(None, length, mmap.PROT_READ, flags, fd, 0)
        if self.at == ctypes.c_void_p(-1).value:
            self.error = errno.errorcode[ctypes.get_errno()]

    def bytes(self, offset, length):
        return ctypes.string_at(self.at + offset, length)

    def close(self):
        if not self.error:
            libc.munmap(self.at, self.length)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def is_error(what, wanted, call, *args):
    try:
        call(*args)
        got = None
    except OSError as e:
        got = errno.errorcode[e.errno]
    case(f"{what}: {wanted}", got == wanted)


for i in range(30):
    os.write(sink, b"%04d" % i * 1000)
until = time.monotonic() + 10
while len(os.listdir(mount + "/segments")) < 3 and time.monotonic() < until:
    time.sleep(0.01)
names = sorted(os.listdir(mount + "/segments"))
sealed = names[0]
live = next(n for n in names if os.getxattr(f"{mount}/segments/{n}", "user.chronfs.sealed") == b"0")

# Sealed: from the page cache, and as the backing file.
path = f"{mount}/segments/{sealed}"
fd = os.open(path, os.O_RDONLY)
backing = content(f"{queue}/{sealed}")
case("sealed segment: read", os.pread(fd, 1 << 20, 0) == backing)
for name, flags in (("shared", SHARED), ("private", PRIVATE)):
    mapping = Mapping(fd, 65536, flags)
    case(f"sealed segment: mapped {name}",
         not mapping.error and mapping.bytes(0, 65536) == backing)
    mapping.close()
os.close(fd)
payload = content(f"{mount}/payload/{sealed[:9]}")
fd = os.open(f"{mount}/payload/{sealed[:9]}", os.O_RDONLY)
case("sealed payload: what the stream begins with",
     payload and payload == content(mount + "/stream")[:len(payload)])
for name, flags in (("shared", SHARED), ("private", PRIVATE)):
    mapping = Mapping(fd, len(payload), flags)
    case(f"sealed payload: mapped {name}",
         not mapping.error and mapping.bytes(0, len(payload)) == payload)
    mapping.close()
os.close(fd)

# Live: what was written is seen at once.
segment = os.open(f"{mount}/segments/{live}", os.O_RDONLY)
payload = os.open(f"{mount}/payload/{live[:9]}", os.O_RDONLY)
with open(mount + "/stats.json", "rb") as file:
    passthrough = json.load(file)["passthrough"]
shared = Mapping(segment, 65536, SHARED)
if passthrough:
    case("live segment: mapped shared, by passthrough", not shared.error)
else:
    case("live segment: mapped shared: ENODEV", shared.error == "ENODEV")
case("live payload: mapped shared: ENODEV", Mapping(payload, 4096, SHARED).error == "ENODEV")
before = os.fstat(payload).st_size
good = True
for i in range(20):
    text = b"record %d" % i
    os.write(sink, text)
    image = os.pread(segment, 65536, 0)
    good &= text in image and image == content(f"{queue}/{live}")
    good &= os.pread(payload, 100, before) == text
    if not shared.error:
        good &= shared.bytes(0, 65536) == image
    before += len(text)
    good &= os.fstat(payload).st_size == before
case("live: each record is read at once, and mapped where that can be", good)
for name, fd, length in (("segment", segment, 65536), ("payload", payload, before)):
    snapshot = Mapping(fd, length, PRIVATE)
    case(f"live {name}: mapped private it is what was there",
         not snapshot.error and snapshot.bytes(0, length) == os.pread(fd, length, 0))
    os.write(sink, b"later")
    later = Mapping(fd, length, PRIVATE)
    case(f"live {name}: mapped again it is what is there now",
         not later.error and later.bytes(0, length) == os.pread(fd, length, 0))
    snapshot.close()
    later.close()
shared.close()

# It is sealed while it is open.
for i in range(30):
    os.write(sink, b"%04d" % i * 1000)
image = content(f"{queue}/{live}")
case("sealed while open: the old open file", os.pread(segment, 65536, 0) == image)
case("sealed while open: a new one", content(f"{mount}/segments/{live}") == image)
whole = content(f"{mount}/payload/{live[:9]}")
case("sealed while open: the payload", os.pread(payload, 1 << 20, 0) == whole and
     os.stat(f"{mount}/payload/{live[:9]}").st_size == len(whole))
os.close(segment)
os.close(payload)

# The stream, mapped.
fd = os.open(mount + "/stream", os.O_RDONLY)
size = os.fstat(fd).st_size
for name, flags in (("shared", SHARED), ("private", PRIVATE)):
    mapping = Mapping(fd, size, flags)
    case(f"stream: mapped {name}", not mapping.error and mapping.bytes(0, size) ==
         b"".join(content(f"{mount}/payload/{n}") for n in sorted(os.listdir(mount + "/payload"))))
    mapping.close()
os.write(sink, b"growth")
mapping = Mapping(fd, size + 6, SHARED)
case("stream: mapped again it has grown",
     os.fstat(fd).st_size == size + 6 and mapping.bytes(size - 4, 10)[4:] == b"growth")
os.close(fd)
for name in ("stream", f"segments/{sealed}", f"payload/{sealed[:9]}"):
    fd = os.open(f"{mount}/{name}", os.O_RDONLY)
    is_error(f"{name}: mapped shared to write", "EACCES", mmap.mmap, fd, 4096, SHARED,
             mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fd)
