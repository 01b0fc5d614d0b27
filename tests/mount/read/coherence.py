#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coherence.py MOUNT QUEUE - every way to read a file of the mount gives what was written: by read
and by mapping, for each kind of file; the mount has segments of 64 KiB; prints a line per case."""

import mmap
import os
import sys

from syscalls import Mapping
from testlib import case, error_of, outcome, stats, wait_for

mount, queue = sys.argv[1:3]
SHARED, PRIVATE = mmap.MAP_SHARED, mmap.MAP_PRIVATE
sink = os.open(mount + "/append", os.O_WRONLY)


def mapped(fd, length, flags):
    """A mapping for reading, or the name of the errno where there is none."""
    return outcome(Mapping, fd, length, mmap.PROT_READ, flags)


def shows(mapping, wanted):
    return isinstance(mapping, Mapping) and mapping.bytes() == wanted


def content(path):
    with open(path, "rb") as file:
        return file.read()


def is_error(what, wanted, call, *args):
    case(f"{what}: {wanted}", error_of(call, *args) == wanted)


for i in range(30):
    os.write(sink, b"%04d" % i * 1000)
wait_for(lambda: len(os.listdir(mount + "/segments")) >= 3)
names = sorted(os.listdir(mount + "/segments"))
sealed = names[0]
live = next(n for n in names if os.getxattr(f"{mount}/segments/{n}", "user.chronfs.sealed") == b"0")

# Sealed: from the page cache, and as the backing file.
path = f"{mount}/segments/{sealed}"
fd = os.open(path, os.O_RDONLY)
backing = content(f"{queue}/{sealed}")
case("sealed segment: read", os.pread(fd, 1 << 20, 0) == backing)
for name, flags in (("shared", SHARED), ("private", PRIVATE)):
    case(f"sealed segment: mapped {name}", shows(mapped(fd, 65536, flags), backing))
os.close(fd)
payload = content(f"{mount}/payload/{sealed[:9]}")
fd = os.open(f"{mount}/payload/{sealed[:9]}", os.O_RDONLY)
case("sealed payload: what the stream begins with",
     payload and payload == content(mount + "/stream")[:len(payload)])
for name, flags in (("shared", SHARED), ("private", PRIVATE)):
    case(f"sealed payload: mapped {name}", shows(mapped(fd, len(payload), flags), payload))
os.close(fd)

# Live: what was written is seen at once.
segment = os.open(f"{mount}/segments/{live}", os.O_RDONLY)
payload = os.open(f"{mount}/payload/{live[:9]}", os.O_RDONLY)
passthrough = stats(mount)["passthrough"]
shared = mapped(segment, 65536, SHARED)
if passthrough:
    case("live segment: mapped shared, by passthrough", isinstance(shared, Mapping))
else:
    case("live segment: mapped shared: ENODEV", shared == "ENODEV")
case("live payload: mapped shared: ENODEV", mapped(payload, 4096, SHARED) == "ENODEV")
before = os.fstat(payload).st_size
good = True
for i in range(20):
    text = b"record %d" % i
    os.write(sink, text)
    image = os.pread(segment, 65536, 0)
    good &= text in image and image == content(f"{queue}/{live}")
    good &= os.pread(payload, 100, before) == text
    if passthrough:
        good &= shows(shared, image)
    before += len(text)
    good &= os.fstat(payload).st_size == before
case("live: each record is read at once, and mapped where that can be", good)
for name, fd, length in (("segment", segment, 65536), ("payload", payload, before)):
    case(f"live {name}: mapped private it is what was there",
         shows(mapped(fd, length, PRIVATE), os.pread(fd, length, 0)))
    os.write(sink, b"later")
    case(f"live {name}: mapped again it is what is there now",
         shows(mapped(fd, length, PRIVATE), os.pread(fd, length, 0)))
if passthrough:
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
    case(f"stream: mapped {name}", shows(mapped(fd, size, flags), b"".join(
        content(f"{mount}/payload/{n}") for n in sorted(os.listdir(mount + "/payload")))))
os.write(sink, b"growth")
mapping = mapped(fd, size + 6, SHARED)
case("stream: mapped again it has grown",
     os.fstat(fd).st_size == size + 6 and mapping.bytes(10, size - 4)[4:] == b"growth")
os.close(fd)
for name in ("stream", f"segments/{sealed}", f"payload/{sealed[:9]}"):
    fd = os.open(f"{mount}/{name}", os.O_RDONLY)
    is_error(f"{name}: mapped shared to write", "EACCES", mmap.mmap, fd, 4096, SHARED,
             mmap.PROT_READ | mmap.PROT_WRITE)
    os.close(fd)
