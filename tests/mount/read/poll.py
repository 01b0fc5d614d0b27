#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""poll.py MOUNT QUEUE - poll, select and epoll on sinks; prints a line per case.

A queue of four segments of 4 KiB, with full=error: a large record takes one.
"""

import os
import select
import sys
import threading
import time

from testlib import PATIENCE, New, case, client, is_, outcome, stats, wait_for

mount, queue = sys.argv[1:3]
paths = (mount + "/append", mount + "/append.lines")
log = New(queue)
LARGE = b"x" * 2999 + b"\n"
BOTH = select.POLLIN | select.POLLOUT


def fill():
    fd = os.open(paths[0], os.O_WRONLY)
    while outcome(os.write, fd, LARGE) == len(LARGE):
        pass
    os.close(fd)
    log.new()


def trim():
    fd = os.open(mount + "/ctl", os.O_WRONLY)
    os.write(fd, b"trim %d" % stats(mount)["position"]["next_seq"])
    os.close(fd)


def poll_now(fd, events=BOTH, seconds=0):
    poller = select.poll()
    poller.register(fd, events)
    return dict(poller.poll(seconds * 1000)).get(fd, 0)


def with_poll(fd):
    return poll_now(fd, select.POLLOUT, PATIENCE) == select.POLLOUT


def with_select(fd):
    return select.select([], [fd], [], PATIENCE)[1] == [fd]


def with_epoll(fd, flags=0):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLOUT | flags)
        return epoll.poll(PATIENCE) == [(fd, select.EPOLLOUT)]


def with_edge(fd):
    return with_epoll(fd, select.EPOLLET)


def truth():
    for path in paths:
        name = os.path.basename(path)
        fd = os.open(path, os.O_RDWR)
        is_(f"{name}: readable and writable", poll_now(fd), BOTH)
        fill()
        is_(f"{name}: full: readable only", poll_now(fd), select.POLLIN)
        begin = time.monotonic()
        is_(f"{name}: a poll in vain ends with its time", poll_now(fd, select.POLLOUT, 0.2), 0)
        case(f"{name}: and not before", time.monotonic() - begin >= 0.2)
        trim()
        is_(f"{name}: with room again", poll_now(fd), BOTH)
        os.close(fd)


def wake_ups():
    for path in paths:
        for wait in (with_poll, with_select, with_epoll, with_edge):
            name = f"{os.path.basename(path)}, {wait.__name__.replace('_', ' ')}"
            fill()
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            got = []
            thread = threading.Thread(target=lambda: got.append((wait(fd), time.monotonic())))
            thread.start()
            thread.join(0.1)
            case(f"{name}: waits", thread.is_alive())
            begin = time.monotonic()
            trim()
            thread.join()
            case(f"{name}: is woken by room", got[0][0] and got[0][1] - begin < PATIENCE, got)
            is_(f"{name}: and the write succeeds", outcome(os.write, fd, LARGE), len(LARGE))
            os.close(fd)
    log.new()


def many():
    fill()
    source = ("import select\n"
              "fd = os.open(argv[1], os.O_WRONLY)\n"
              "p = select.poll(); p.register(fd, select.POLLOUT)\n"
              "print(p.poll(0), flush=True)\n"
              f"print(len(p.poll({PATIENCE * 1000})))\n")
    processes = [client(source, paths[i % 2]) for i in range(8)]
    is_("eight processes find no room", [p.stdout.readline() for p in processes], [b"[]\n"] * 8)
    trim()
    is_("and are all woken", [p.communicate()[0] for p in processes], [b"1\n"] * 8)


def nonblocking_writer():
    """Writes whenever poll says so; what is read is deleted."""
    count = 60
    fill()
    writer = client("import select\n"
                    "fd = os.open(argv[1], os.O_WRONLY | os.O_NONBLOCK)\n"
                    "p = select.poll(); p.register(fd, select.POLLOUT)\n"
                    f"for i in range({count}):\n"
                    "    data = (b'%d ' % i).ljust(2999, b'.') + b'\\n'\n"
                    "    while data:\n"
                    f"        if not p.poll({PATIENCE * 1000}): sys.exit('nobody woke me')\n"
                    "        try: data = data[os.write(fd, data):]\n"
                    "        except BlockingIOError: pass\n", paths[1])
    got = []

    def all_there():
        got.extend(log.new())
        fd = os.open(mount + "/ctl", os.O_WRONLY)
        os.write(fd, b"trim %d" % log.next_seq)
        os.close(fd)
        return len(got) == count
    case("a writer that polls gets everything through", wait_for(all_there), len(got))
    case("it is content", writer.communicate() == (b"", None) and writer.returncode == 0)
    is_("in order", [int(record.split()[0]) for record in got], list(range(count)))


for test in (truth, wake_ups, many, nonblocking_writer):
    test()
