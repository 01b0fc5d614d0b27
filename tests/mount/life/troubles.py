#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""troubles.py syncfs MOUNT | sendfile FROM TO | sigbus MOUNT | openline MOUNT DAEMON | shared MOUNT

Helpers of troubles.sh.
"""
import ctypes
import errno
import mmap
import os
import signal
import sys

from testlib import case, wait_for, waiting


def syncfs(mount):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(mount, os.O_RDONLY)
    sys.exit(0 if libc.syncfs(fd) == 0 else os.strerror(ctypes.get_errno()))


def sendfile(source, target):
    source, target = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY)
    size = left = os.fstat(source).st_size
    while left > 0:
        left -= os.sendfile(target, source, size - left, left)


def sigbus(mount):
    """Maps the stream, has its beginning trimmed, reads there: in a process of its own."""
    for _ in range(3):
        with open(f"{mount}/append", "wb", buffering=0) as append:
            append.write(bytes(500000))
    child = os.fork()
    if child == 0:
        stream = os.open(f"{mount}/stream", os.O_RDONLY)
        bytes_of = mmap.mmap(stream, 0, prot=mmap.PROT_READ)
        for command in b"roll\n", b"trim 3\n":
            with open(f"{mount}/ctl", "wb", buffering=0) as ctl:
                ctl.write(command)
        os._exit(bytes_of[400000])
    status = os.waitpid(child, 0)[1]
    print(signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"status {status}")


def openline(mount, daemon):
    """Writes a line and the beginning of another, and kills the daemon."""
    lines = os.open(f"{mount}/append.lines", os.O_WRONLY)
    os.write(lines, b"whole\nopen")
    os.kill(int(daemon), signal.SIGKILL)


def state(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def writer(fd, size):
    pid = os.fork()
    if pid == 0:
        try:
            os.write(fd, bytes(size))
        finally:
            os._exit(0)
    return pid


def shared(mount):
    """On a full queue, two writers through one open file, then two that have opened it themselves."""
    size = 30000

    def opened():
        return os.open(f"{mount}/append", os.O_WRONLY)

    fill = os.open(f"{mount}/append", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(fill, bytes(size))
    except OSError as error:
        case("the queue is full", error.errno == errno.EAGAIN)

    fd = opened()
    first = writer(fd, size)
    case("shared: one waits for room", waiting(mount, 1))
    second = writer(fd, size)
    case("shared: the other waits for the first", wait_for(lambda: state(second) == "D"))
    os.kill(second, signal.SIGKILL)
    case("shared: a kill does not end it", state(second) == "D" and os.waitpid(second, os.WNOHANG)[0] == 0)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    os.waitpid(second, 0)
    case("shared: it ends with the first", True)

    pids = [writer(opened(), size) for _ in range(2)]
    case("opened by each: both wait for room", waiting(mount, 2))
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
        case("opened by each: a kill ends it", os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
