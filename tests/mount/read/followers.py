#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""followers.py MOUNT COUNT SECONDS - many readers at the growing end of stream; prints a line per case.

The kernel fills the page with the end of a file up with zeros.  A reader at the end must never see
them, whatever the others do at the same time: some keep their file open, some open it again each time,
and two only call stat(2) on the path.
"""

import os
import sys
import time

mount, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
path = mount + "/stream"
PATTERN = bytes(range(65, 91)) * 6000
stop = time.monotonic() + seconds


def is_right(data, offset):
    return data == PATTERN[offset % 26:offset % 26 + len(data)]


def follow():
    fd = os.open(path, os.O_RDONLY)
    offset = 0
    while offset == 0 or time.monotonic() < stop:  # what there was before is read however late this begins
        data = os.read(fd, 100000)
        if not is_right(data, offset):
            return 1
        offset += len(data)
        if not data:
            os.fstat(fd)
    return 0


def look():
    looked = False
    while not looked or time.monotonic() < stop:
        looked = True
        fd = os.open(path, os.O_RDONLY)
        offset = max(0, os.fstat(fd).st_size - 9000)
        for _ in range(20):
            data = os.pread(fd, 100000, offset)
            if not is_right(data, offset):
                return 1
            offset += len(data)
        os.close(fd)
    return 0


def stat():
    while time.monotonic() < stop:
        os.stat(path)
    return 0


os.write(os.open(mount + "/append", os.O_WRONLY), PATTERN[:10])
children = []
for role in [follow, look] * (count // 2) + [stat] * 2:
    child = os.fork()
    if child == 0:
        os._exit(role())
    children.append(child)
sink = os.open(mount + "/append", os.O_WRONLY)
at = 10
while time.monotonic() < stop:
    length = 1 + at * 7919 % 200
    os.write(sink, PATTERN[at % 26:at % 26 + length])
    at += length
status = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(("ok - " if not any(status) else "not ok - ") +
      f"{count} readers at the growing end see no byte that was not written")
if any(status):
    print(status)
