# SPDX-License-Identifier: Apache-2.0
"""What the tests in Python share: cases, records, waiting for something, clients as processes."""

import ast
import errno
import io
import json
import os
import subprocess
import sys
import time

from records import Follower

PATIENCE = 120  # seconds until something that has to happen counts as not happening


def case(what, good, got=None):
    if not good and got is not None:
        print(f"got {got!r:.2000}")
    print(("ok - " if good else "not ok - ") + what, flush=True)


def is_(what, got, wanted):
    if got != wanted:
        print(f"wanted {wanted!r:.2000}")
    case(what, got == wanted, got)


def outcome(call, *args):
    """What it returns, or the name of its errno."""
    try:
        return call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]


def wait_for(condition):
    """What the condition gives when it holds at last, or after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not (good := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return good


def error_of(call, *args):
    """The name of its errno, or None."""
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return None


def stats(mount):
    with open(mount + "/stats.json", "rb") as file:
        return json.load(file)


def waiting(mount, count):
    """Whether so many requests wait for room, before long."""
    return wait_for(lambda: stats(mount)["waiting"]["writes"] == count)


def made_late(mount, made):
    """A write was refused for want of room on the disk.  Whether one more segment has been made since there
    were so many: a slow preparer may have had the room that the writer then looked for in vain.  No, when
    two more tries of it have failed."""
    failed = stats(mount)["prealloc"]["failed"]

    def decided():
        now = stats(mount)["prealloc"]
        return now["made"] > made or now["failed"] >= failed + 2
    wait_for(decided)
    return stats(mount)["prealloc"]["made"] > made


class New(Follower):
    """The new records, or the first so many of them when they have come."""

    def take(self, count):
        found = []
        wait_for(lambda: found.extend(self.new()) or len(found) >= count)
        return found


def elsewhere(function):
    """What the function gives in a child process: numbers, text, and tuples or dictionaries of these."""
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(outside, repr(function()).encode())
        finally:
            os._exit(0)
    os.close(outside)
    with os.fdopen(inside, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return ast.literal_eval(said.decode())


def client(source, *args):
    """A Python process of its own that has os, sys and its arguments in argv."""
    return subprocess.Popen([sys.executable, "-c", "import os, sys; argv = sys.argv\n" + source,
                             *map(str, args)], stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def write_all(fd, data, step):
    """In pieces of `step` bytes; after a short write the rest is written."""
    for at in range(0, len(data), step):
        piece = data[at:at + step]
        while piece:
            piece = piece[os.write(fd, piece):]


def lines_of(data, limit):
    """The records that append.lines makes of these bytes, however they are written."""
    return [line[at:at + limit] for line in io.BytesIO(data)
            for at in range(0, len(line), limit)]
