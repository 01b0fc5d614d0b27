#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""trim.py MOUNT QUEUE - unlink(2) of segments at the level of system calls.

The mount has allow_trim; segments 1 to 5 are sealed and hold one record each.
"""

import os
import sys
import threading
import time

from testlib import case, outcome, stats

mount, queue = sys.argv[1:3]
segments = mount + "/segments"


def name(segment):
    return f"{segments}/{segment:09}.q"


def oldest():
    return min(int(n[:9]) for n in os.listdir(segments))


def open_file_goes_on():
    first = oldest()
    fd = os.open(name(first), os.O_RDONLY)
    before = os.read(fd, 1 << 20)
    # The clock of file times has steps of some milliseconds, and the writer's threads make files, too:
    # so this begins when they are done.
    current = stats(mount)["position"]["segment"]
    while not (all(os.path.exists(f"{queue}/{n:09}.idx") for n in range(first, current)) and
               os.stat(queue).st_mtime_ns < time.time_ns() - 100_000_000):
        time.sleep(0.02)
    directory = os.stat(segments).st_mtime_ns
    os.unlink(name(first))
    case("the directory's time moves", os.stat(segments).st_mtime_ns > directory)
    case("what was open is read on, page cache or not", os.pread(fd, 1 << 20, 0) == before and
         os.pread(fd, 100, len(before) - 50) == before[-50:])
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    case("and from the daemon", os.pread(fd, 1 << 20, 0) == before and len(before) == 65536)
    os.close(fd)
    case("and not opened again", outcome(os.open, name(first), os.O_RDONLY) == "ENOENT")


def pinned():
    first = oldest()
    os.makedirs(queue + "/readers", exist_ok=True)
    with open(queue + "/readers/slow.meta", "wb") as f:  # docs/format.md: live for ever
        f.write(first.to_bytes(8, "little") + (64).to_bytes(8, "little"))
    got = outcome(os.unlink, name(first))
    case("a segment that a reader has still to read: EBUSY", got == "EBUSY" and oldest() == first,
         got)
    os.unlink(queue + "/readers/slow.meta")
    got = outcome(os.unlink, name(first))
    case("when it has gone on: deleted", got is None and oldest() == first + 1, got)


def by_others():
    """The file goes without us: the name is gone at the latest when the kernel asks again."""
    first = oldest()
    os.stat(name(first))
    os.unlink(f"{queue}/{first:09}.q")
    case("a file that was deleted in the queue's directory", outcome(os.unlink, name(first)) in
         ("ENOENT", "EBUSY"))
    case("the next one is the oldest then", outcome(os.unlink, name(first + 1)) is None)


def race():
    """Many at once: each segment is deleted by one of them."""
    for i in range(60):
        os.close(os.open(mount + "/append", os.O_WRONLY | os.O_APPEND))
        with open(mount + "/append", "wb", buffering=0) as f:
            f.write(b"record")
        with open(mount + "/ctl", "wb", buffering=0) as f:
            f.write(b"roll")
    first, last = oldest(), oldest() + 40
    results = []

    def client():
        while (segment := oldest()) < last:
            results.append((segment, outcome(os.unlink, name(segment))))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = sorted(segment for segment, result in results if result is None)
    case("four at once: each segment is deleted by one of them",
         done[:last - first] == list(range(first, last)) and len(done) == len(set(done)), done)
    case("the others are told ENOENT or EBUSY",
         {result for _, result in results} <= {None, "ENOENT", "EBUSY"})
    while len(os.listdir(segments)) > 6:
        os.unlink(name(oldest()))


open_file_goes_on()
pinned()
by_others()
race()
