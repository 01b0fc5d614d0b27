#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""passthrough.py MOUNT QUEUE PID - segments that the kernel reads without the daemon PID, which is stopped
meanwhile; prints a line per case."""

import mmap
import os
import signal
import sys
import time

from syscalls import Mapping
from testlib import PATIENCE, case, outcome

mount, queue, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
SIZE = 65536


def content(path):
    with open(path, "rb") as file:
        return file.read()


def open_read(name):
    return os.open(f"{mount}/segments/{name}", os.O_RDONLY)


class Stopped:
    """The daemon is stopped: what works now works without it.  It continues after
    a while, and the case fails."""

    def __enter__(self):
        os.kill(pid, signal.SIGSTOP)
        self.child = os.fork()
        if self.child == 0:
            time.sleep(PATIENCE)
            os.kill(pid, signal.SIGCONT)
            os._exit(0)
        until = time.monotonic() + PATIENCE / 2
        while not self.without_it() and time.monotonic() < until:
            time.sleep(0.01)
        return self

    def without_it(self):
        """Each of its threads is stopped."""
        states = set()
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat") as file:
                states.add(file.read().rsplit(")", 1)[1].split()[0])
        return states == {"T"}

    def __exit__(self, *_):
        os.kill(self.child, signal.SIGKILL)
        os.kill(pid, signal.SIGCONT)  # it answers for the sink that the child has inherited, and closes
        os.waitpid(self.child, 0)


names = sorted(os.listdir(mount + "/segments"))
sealed = names[0]
live = next(n for n in names if os.getxattr(f"{mount}/segments/{n}", "user.chronfs.sealed") == b"0")
sink = os.open(mount + "/append", os.O_WRONLY)
for kind, name in (("sealed", sealed), ("live", live)):
    fd, second = open_read(name), open_read(name)
    mapping = outcome(Mapping, fd, SIZE, mmap.PROT_READ, mmap.MAP_SHARED)
    case(f"{kind}: it can be mapped shared", isinstance(mapping, Mapping))
    with Stopped() as stopped:
        image = os.pread(fd, SIZE, 0)
        again = os.pread(second, SIZE, 0)
        mapped = mapping.bytes()
        case(f"{kind}: read and mapped while the daemon is stopped", stopped.without_it())
        case(f"{kind}: and they are the file's bytes",
             image == again == mapped == content(f"{queue}/{name}"))
    if kind == "live":
        for i in range(20):
            text = b"passed through %d" % i
            os.write(sink, text)
            if text not in os.pread(fd, SIZE, 0) or text not in mapping.bytes():
                case("live: what is written is seen at once, read and mapped", False)
                break
        else:
            case("live: what is written is seen at once, read and mapped", True)
        for i in range(40):
            os.write(sink, b"x" * 4000)
        case("live: sealed while it is open",
             os.pread(fd, SIZE, 0) == mapping.bytes() == content(f"{queue}/{name}"))
        new = open_read(name)
        case("and opened again", os.pread(new, SIZE, 0) == os.pread(fd, SIZE, 0))
        os.close(new)
    os.close(second)
    os.close(fd)
good = True
for _ in range(200):
    for name in (sealed, live):
        fds = [open_read(name) for _ in range(3)]
        os.close(fds.pop(1))
        good &= all(len(os.pread(fd, SIZE, 0)) == SIZE for fd in fds)
        for fd in fds:
            os.close(fd)
case("opened and closed many times, several at once", good)
