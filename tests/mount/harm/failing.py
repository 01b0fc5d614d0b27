# SPDX-License-Identifier: Apache-2.0
"""failing.py PART QUEUE MOUNT - a mount whose disk fails, as failing.sh has arranged; prints a line per
case.

waiters  the next flush fails: all who wait for it get EIO, and so does every later request
quota    the disk's quota is exceeded when the next segments are made, for a while
"""

import os
import sys
import threading

from testlib import PATIENCE, case, is_, outcome, stats, wait_for

part, queue, mount = sys.argv[1:]
append, lines, stream = (f"{mount}/{name}" for name in ("append", "append.lines", "stream"))
WAITERS = 40


def part_waiters():
    """The first write-back of data fails, and all others would go well."""
    fds = [os.open(append, os.O_WRONLY) for _ in range(WAITERS)]
    durable = os.open(append, os.O_WRONLY | os.O_DSYNC)
    plain = os.open(append, os.O_WRONLY)
    line = os.open(lines, os.O_WRONLY)
    for fd in fds:
        os.write(fd, b"before")
    reader = os.open(stream, os.O_RDONLY | os.O_NONBLOCK)
    results, start = [], threading.Barrier(WAITERS + 1)

    def wait(i):
        start.wait()
        if i % 4 == 0:
            results.append(outcome(os.write, durable, b"durable"))
        else:
            results.append(outcome(os.fsync, fds[i]))

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(WAITERS)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join(PATIENCE)
    is_("all who wait for the flush that fails get EIO", results, ["EIO"] * WAITERS)
    flushes = stats(mount)["syncs"]["count"]
    is_("it is not tried again", [outcome(os.fsync, fd) for fd in fds[:5]], ["EIO"] * 5)
    is_("no flush was counted", (flushes, stats(mount)["syncs"]["count"]), (0, 0))
    for what, fd in ("append", plain), ("append with O_DSYNC", durable), ("append.lines", line):
        is_(what + " takes nothing", outcome(os.write, fd, b"after\n"), "EIO")
    is_("not even a new open file", outcome(os.write, os.open(append, os.O_WRONLY), b"a"), "EIO")
    with open(mount + "/ctl", "wb", buffering=0) as ctl:
        is_("nor is there another segment", outcome(ctl.write, b"roll"), "EIO")
        is_("nor a sync by command", outcome(ctl.write, b"sync"), "EIO")
    is_("a directory's fsync says it, too", outcome(os.fsync, os.open(mount, os.O_RDONLY)), "EIO")
    is_("the state says why", stats(mount)["writer_error"], "EIO")
    is_("and that nothing of it is durable", stats(mount)["position"]["durable_seq"], 0)
    got = os.pread(reader, 6 * WAITERS, 0)
    is_("reading goes on", got, b"before" * WAITERS)
    is_("of everything", outcome(lambda: len(open(mount + "/segments/000000000.q", "rb").read()) > 0),
        True)


def part_quota():
    """Of the segments of 4 KiB no more than the first two can be made; later all can."""
    fd = os.open(append, os.O_WRONLY)
    got = [outcome(os.write, fd, b"q" * 3900) for _ in range(4)]
    is_("a disk's quota gives EDQUOT", got, [3900, 3900, "EDQUOT", "EDQUOT"])
    is_("reading goes on", len(open(stream, "rb").read()), 7800)
    is_("fsync, too", outcome(os.fsync, fd), None)
    is_("and no error of the writer is shown", stats(mount)["writer_error"], 0)
    case("when there is quota again writes go on by themselves",
         wait_for(lambda: outcome(os.write, fd, b"q" * 3900) == 3900))


globals()["part_" + part]()
