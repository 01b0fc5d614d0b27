# SPDX-License-Identifier: Apache-2.0
"""diskfull.py PART QUEUE MOUNT - a mount that has run out of something, as diskfull.sh has seen to;
prints a line per case.

full    from the first record on until the disk is full, and on when there is room
again   mounted while it is full
killed  left as it is, for a kill
room    mounted after that: what was acknowledged is there, and it goes on
size    no new segment may be as large as it has to be
"""

import os
import sys

from records import records
from testlib import case, is_, made_late, outcome, stats, wait_for

part, queue, mount = sys.argv[1:]
append, stream = mount + "/append", mount + "/stream"
ballast = os.path.dirname(queue) + "/ballast"
RECORD = 60000 # four to a segment
STATE = os.path.dirname(mount) + "/acknowledged" # how many records, from part to part


def record(number):
    return b"%8d" % number * (RECORD // 8)


def fill(fd, number):
    """Appends from this number on until nothing goes in any more; the next number, and the error."""
    while True:
        made = stats(mount)["prealloc"]["made"]
        got = outcome(os.write, fd, record(number))
        if got == RECORD:
            number += 1
        elif got != "ENOSPC" or not made_late(mount, made):
            return number, got


def keep(number):
    with open(STATE, "w", encoding="ascii") as file:
        file.write(str(number))


def kept():
    with open(STATE, encoding="ascii") as file:
        return int(file.read())


def all_there(count):
    wanted = b"".join(record(i) for i in range(count))
    got = outcome(lambda: open(stream, "rb").read())
    case("all that was acknowledged is there, and nothing else", got == wanted,
         got if isinstance(got, str) else len(got))


def is_full(fd, count):
    """Readers notice nothing; each write fails."""
    is_("again", outcome(os.write, fd, record(count)), "ENOSPC")
    is_("an open line stays", outcome(os.write, os.open(mount + "/append.lines", os.O_WRONLY), b"x"), 1)
    all_there(count)
    for number in sorted(os.listdir(mount + "/segments")):
        got = outcome(lambda name: open(f"{mount}/segments/{name}", "rb").read(), number)
        if isinstance(got, str) or len(got) != 256 << 10:
            case(f"{number} is read", False, got)
    is_("the state says how often", stats(mount)["errors"]["no_space"] > 0, True)
    is_("and no error of the writer", stats(mount)["writer_error"], 0)
    is_("fsync goes on", outcome(os.fsync, fd), None)


def goes_on(fd, count):
    case("when there is room again writes go on by themselves",
         wait_for(lambda: outcome(os.write, fd, record(count)) == RECORD))
    return count + 1


def part_full():
    fd = os.open(append, os.O_WRONLY)
    count, error = fill(fd, 0)
    case(f"after {count} records the disk is full", error == "ENOSPC" and count > 4, error)
    is_full(fd, count)
    os.truncate(ballast, 2 << 20)
    count = goes_on(fd, count)
    count, error = fill(fd, count)
    is_("until it is full again", error, "ENOSPC")
    is_("what there is is durable", outcome(os.fsync, fd), None)
    keep(count)


def strip_lines():
    """The open lines of is_full() became records of one byte; nothing else has that size."""
    return [r.payload for r in records(queue) if len(r.payload) != 1]


def in_order(count):
    is_("all that was acknowledged is there, in order, and nothing else",
        strip_lines() == [record(i) for i in range(count)], True)


def part_again():
    fd = os.open(append, os.O_WRONLY)
    count = kept()
    in_order(count)
    count, error = fill(fd, count)
    is_("it is full still", error, "ENOSPC")
    os.truncate(ballast, 1 << 20)
    count = goes_on(fd, count)
    in_order(count)
    keep(count)


def part_killed():
    fd = os.open(append, os.O_WRONLY)
    count, error = fill(fd, kept())
    is_("full", error, "ENOSPC")
    keep(count)


def part_room():
    """The kill has changed nothing: what was acknowledged survives it."""
    count = kept()
    in_order(count)
    fd = os.open(append, os.O_WRONLY)
    count, error = fill(fd, count)
    is_("it is full after a kill, too", error, "ENOSPC")
    os.truncate(ballast, 0)
    count = goes_on(fd, count)
    is_("and durable", outcome(os.fsync, fd), None)
    in_order(count)


def part_size():
    fd = os.open(append, os.O_WRONLY)
    count, error = fill(fd, 0)
    case("when the next segment may not be made a write says so", error == "EFBIG" and count > 8,
         (count, error))
    is_("reading goes on", len(open(stream, "rb").read()), 6 + count * RECORD)
    is_("fsync, too", outcome(os.fsync, fd), None)
    is_("and the state is shown", stats(mount)["writer_error"], 0)


globals()["part_" + part]()
