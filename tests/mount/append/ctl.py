#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ctl.py MOUNT QUEUE - the verbs of ctl at the level of system calls."""

import fcntl
import os
import sys
import threading

from syscalls import FS_IMMUTABLE_FL, FS_IOC_GETFLAGS
from testlib import case, outcome, stats

mount, queue = sys.argv[1:3]


def append(payload):
    fd = os.open(mount + "/append", os.O_WRONLY)
    os.write(fd, payload)
    os.close(fd)


def oldest():
    return min(int(name[:9]) for name in os.listdir(mount + "/segments"))


def verbs(fd):
    for command, wanted in (
            (b"roll", 4), (b"roll\n", 5), (b"roll \t\n\n", 8), (b"sync\n", 5), (b"sync", 4),
            (b"", 0), (b"trim 0", 6), (b"trim 0\n", 7), (b"trim \t 0 \n", 10),
            (b"\n", "EINVAL"), (b" ", "EINVAL"), (b" roll", "EINVAL"), (b"roll now", "EINVAL"),
            (b"ROLL", "EINVAL"), (b"rol", "EINVAL"), (b"rolls", "EINVAL"),
            (b"roll\0", "EINVAL"), (b"roll\nroll\n", "EINVAL"), (b"sync roll", "EINVAL"),
            (b"trim", "EINVAL"), (b"trim ", "EINVAL"), (b"trim0", "EINVAL"),
            (b"trim -1", "EINVAL"), (b"trim +1", "EINVAL"), (b"trim 1x", "EINVAL"),
            (b"trim 0x1", "EINVAL"), (b"trim 1 2", "EINVAL"), (b"trim 1.0", "EINVAL"),
            (b"trim 18446744073709551616", "EINVAL"), (b"x" * 100, "EINVAL"),
            (b"roll" + b" " * 60, 64), (b"roll" + b" " * 70000, 70004),
            (b"x" * 70000, "EINVAL"), (b"\0" * 10, "EINVAL")):
        got = outcome(os.write, fd, command)
        shown = command if len(command) < 40 else command[:20] + b"..."
        case(f"{shown!r}: {wanted}", got == wanted, got)
    case("nothing of it was deleted", oldest() == 0)
    case("writev is one command", os.writev(fd, [b"ro", b"ll", b"\n"]) == 5)
    case("the offset means nothing", os.pwrite(fd, b"sync\n", 1 << 40) == 5)


def roll(fd):
    append(b"before")
    before = stats(mount)["position"]
    os.write(fd, b"roll\n")
    now = stats(mount)["position"]
    case("roll begins the next segment", now["segment"] == before["segment"] + 1, (before, now))
    sealed = os.open(f"{mount}/segments/{before['segment']:09}.q", os.O_RDONLY)
    flags = bytearray(8)
    fcntl.ioctl(sealed, FS_IOC_GETFLAGS, flags)
    os.close(sealed)
    case("the one before is sealed", flags[0] & FS_IMMUTABLE_FL)
    os.write(fd, b"roll\n")
    same = stats(mount)["position"]  # but for what is durable meanwhile
    case("an empty one is not left", same["segment"] == now["segment"], (now, same))


def sync(fd):
    append(b"to be flushed")
    os.write(fd, b"sync\n")
    position = stats(mount)["position"]
    case("sync: everything is durable", position["durable_seq"] == position["next_seq"], position)


def trim(fd):
    first = stats(mount)["position"]
    for i in range(8):
        for _ in range(10):
            append(b"in segment %d" % i)
        os.write(fd, b"roll\n")
    seq = first["next_seq"] + 35  # in the middle of the fourth
    case("trim", os.write(fd, b"trim %d\n" % seq) > 0)
    segment = oldest()
    with open(f"{mount}/segments/{segment:09}.q", "rb") as f:
        case("what is below is gone, what holds a record that stays is not",
             b"in segment 3" in f.read())
    now = stats(mount)
    case("it is counted", now["retention"]["deleted_segments"] == segment and
         now["segments"]["oldest"] == segment, now)
    os.write(fd, b"trim %d\n" % seq)
    case("the same again does nothing", oldest() == segment)
    os.write(fd, b"trim %d\n" % (seq + 5))
    case("up to the border of a segment", oldest() == segment + 1)
    os.write(fd, b"trim 18446744073709551615\n")
    now = stats(mount)["position"]["segment"]
    case("trim of all leaves the current segment", oldest() == now, (oldest(), now))


def trim_with_reader(fd):
    """A file of 16 bytes is a position that is live for ever (docs/format.md)."""
    append(b"unread")
    pinned = stats(mount)["position"]["segment"]
    os.makedirs(queue + "/readers", exist_ok=True)
    with open(queue + "/readers/slow.meta", "wb") as f:
        f.write(pinned.to_bytes(8, "little") + (64).to_bytes(8, "little"))
    os.write(fd, b"roll\n")
    got = outcome(os.write, fd, b"trim 1000000000\n")
    case("trim where a reader keeps all: EBUSY", got == "EBUSY" and oldest() == pinned, got)
    case("nothing below: nothing to do", outcome(os.write, fd, b"trim 1\n") == 7)
    with open(queue + "/readers/slow.meta", "wb") as f:
        f.write((pinned + 1).to_bytes(8, "little") + (64).to_bytes(8, "little"))
    append(b"unread, too")
    os.write(fd, b"roll\n")
    got = outcome(os.write, fd, b"trim 1000000000\n")
    case("trim where a reader keeps some: the others go", got == 16 and oldest() == pinned + 1,
         (got, oldest()))
    os.unlink(queue + "/readers/slow.meta")
    case("when it is gone, all go", outcome(os.write, fd, b"trim 1000000000\n") == 16 and
         oldest() == pinned + 2)


def together(fd):
    """Commands of many at once are all answered; each roll follows a record."""
    before = stats(mount)["position"]["segment"]
    failures = []

    def client():
        mine = os.open(mount + "/ctl", os.O_WRONLY)
        for _ in range(20):
            append(b"one of many")
            for command in b"roll", b"sync", b"trim 5":
                if os.write(mine, command) != len(command):
                    failures.append(command)
        os.close(mine)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rolled = stats(mount)["position"]["segment"] - before
    case("eight clients at once", not failures and 20 <= rolled <= 160, (failures, rolled))
    case("their records are there", stats(mount)["appended"]["records"] >= 160)
    os.write(fd, b"sync")


ctl = os.open(mount + "/ctl", os.O_WRONLY | os.O_TRUNC)
verbs(ctl)
roll(ctl)
sync(ctl)
trim(ctl)
trim_with_reader(ctl)
together(ctl)
os.close(ctl)
