#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pollread.py MOUNT - programs that ask before each read whether there is something; prints a line per case.

Each of them reads every file of the mount to its end.  Where a file is opened with O_NONBLOCK they read
what is there, since poll(2) may then say that nothing is left.
"""

import json
import os
import select
import selectors
import sys

from testlib import PATIENCE, case

mount = sys.argv[1]
PIECE = 4096  # small pieces: the page cache holds more than was read


def with_poll(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return lambda: poll.poll(PATIENCE * 1000)


def with_select(fd):
    return lambda: select.select([fd], [], [], PATIENCE)[0]


def with_epoll(fd):
    epoll = select.epoll()
    epoll.register(fd, select.EPOLLIN)
    return lambda: epoll.poll(PATIENCE)


def with_selectors(fd):
    selector = selectors.DefaultSelector()
    selector.register(fd, selectors.EVENT_READ)
    return lambda: selector.select(PATIENCE)


def read_all(path, ways, flags=0, size=None):
    """Up to the end of the file, or to its size.  Short: it was not ready before."""
    fd = os.open(path, os.O_RDONLY | flags)
    is_ready = ways(fd)
    got = b""
    while (size is None or len(got) < size) and is_ready():
        piece = os.read(fd, PIECE)
        if not piece:
            break
        got += piece
    at_end = is_ready() if size is None else None
    os.close(fd)
    return got, at_end


def plain(path):
    with open(path, "rb", buffering=0) as file:
        return file.readall()


files = ["stream"] + [f"{directory}/{name}" for directory in ("payload", "records", "segments")
                      for name in sorted(os.listdir(f"{mount}/{directory}"))]
for ways in (with_poll, with_select, with_epoll, with_selectors):
    name = ways.__name__.replace("_", " ")
    wrong = []
    for file in files:
        got, at_end = read_all(f"{mount}/{file}", ways)
        if got != plain(f"{mount}/{file}") or not at_end:
            wrong.append((file, len(got), at_end))
    case(f"{name}: every file to its end, where it is ready still {wrong}", not wrong)
    size = os.stat(mount + "/stream").st_size
    got, _ = read_all(mount + "/stream", ways, os.O_NONBLOCK, size)
    case(f"{name}: stream with O_NONBLOCK to its end", got == plain(mount + "/stream"))
    got, _ = read_all(mount + "/stats.json", ways)
    case(f"{name}: stats.json", json.loads(got)["queue"] != "")
    got, _ = read_all(mount + "/metrics", ways)
    case(f"{name}: metrics", b"\nchronfs_next_seq " in got and got.endswith(b"\n"))
