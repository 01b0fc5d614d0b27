#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""full.py error|block|timeout|reader MOUNT QUEUE - writes to a full queue; prints a line per case.

Segments of 4 KiB, four at most: each takes one record of LARGE bytes and some small ones.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time

from records import place_reader
from testlib import PATIENCE, New, case, client, is_, outcome, stats, wait_for, waiting

mode, mount, queue = sys.argv[1:4]
append, lines = mount + "/append", mount + "/append.lines"
log = New(queue)
LARGE = 3000
SEGMENTS = 4
SOON = 0.1  # seconds in which a blocked writer has to die


def large(name, end=b""):
    return name.encode().ljust(LARGE - len(end), b".") + end


def fill():
    """Until no large record fits any more."""
    fd = os.open(append, os.O_WRONLY | os.O_NONBLOCK)
    while outcome(os.write, fd, large("fill")) != "EAGAIN":
        pass
    os.close(fd)
    log.new()


def trim(seq=None):
    """Deletes the sealed segments whose records are below seq; all without it."""
    fd = os.open(mount + "/ctl", os.O_WRONLY)
    os.write(fd, b"trim %d" % (stats(mount)["position"]["next_seq"] if seq is None else seq))
    os.close(fd)


def refill():
    trim()
    fill()


def opened(path, flags=os.O_WRONLY):
    return os.open(path, flags)


def refused(mode_name, path, flags=0):
    """What a large write gives, which must append nothing."""
    fd = opened(path, os.O_WRONLY | flags)
    got = outcome(os.write, fd, large("refused", b"\n"))
    os.close(fd)
    case(f"{mode_name}: nothing was appended", log.new() == [])
    return got


# ---- full=error ----

def errors():
    fill()
    for path, name in ((append, "append"), (lines, "append.lines")):
        is_(f"{name}: EDQUOT", refused(name, path), "EDQUOT")
        is_(f"{name}, O_NONBLOCK: EAGAIN", refused(name, path, os.O_NONBLOCK), "EAGAIN")
        is_(f"{name}, O_DSYNC: EDQUOT", refused(name, path, os.O_DSYNC), "EDQUOT")
        fd = opened(path)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        is_(f"{name}, O_NONBLOCK set later", outcome(os.write, fd, large("x", b"\n")), "EAGAIN")
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        is_(f"{name}, and taken away", outcome(os.write, fd, large("x", b"\n")), "EDQUOT")
        os.close(fd)
    fd = opened(append)
    case("a small record still fits", os.write(fd, b"small") == 5 and log.new() == [b"small"])
    os.close(fd)
    got = subprocess.run(["bash", "-c", f"printf %3000d 1 >>{append}"], capture_output=True)
    case("the shell says why", got.returncode != 0 and b"quota exceeded" in got.stderr, got)

    fd = opened(lines)
    is_("a write of lines is short", os.write(fd, b"a\nb\n" + large("c", b"\n")), 4)
    is_("the lines before it are there", log.new(), [b"a\n", b"b\n"])
    is_("an open line needs no room", os.write(fd, large("open")), LARGE)
    is_("fsync: EDQUOT", outcome(os.fsync, fd), "EDQUOT")
    is_("its newline does need room", outcome(os.write, fd, b"\n"), "EDQUOT")
    is_("close: EDQUOT", outcome(os.close, fd), "EDQUOT")
    case("nothing of it was appended", log.new() == [])
    trim()
    is_("what the closed file left is appended when there is room", log.take(1), [large("open")])
    refill()

    fd = opened(lines)
    os.write(fd, large("kept"))
    duplicate = os.dup(fd)
    is_("close of a duplicate: EDQUOT", outcome(os.close, duplicate), "EDQUOT")
    trim()
    os.write(fd, b" on\n")
    is_("the line goes on", log.new(), [large("kept") + b" on\n"])
    os.close(fd)
    counted = stats(mount)["errors"]
    case("refusals are counted", counted["full"] > 10 and counted["failed"] == 0, counted)
    fill()


# ---- full=block ----

def writer(path, name, end=b"\n", flags=0):
    """A process that writes a large record once its stdin is closed, and says what came of it."""
    return client("fd = os.open(argv[1], os.O_WRONLY | int(argv[3]))\n"
                  "data = os.fsencode(argv[2])\n"
                  "print(flush=True); sys.stdin.read()\n"
                  "try: print(os.write(fd, data))\n"
                  "except OSError as e: print(e.strerror)\n",
                  path, os.fsdecode(large(name, end)), flags)


def blocked(path, name, already=0, **more):
    """Such a process when its write is waiting."""
    process = writer(path, name, **more)
    process.stdout.readline()
    process.stdin.close()
    process.stdin = None
    case(f"{name}: waits", waiting(mount, already + 1))
    return process


def said(process):
    return process.communicate(timeout=PATIENCE)[0].strip().decode()


def room_comes():
    fill()
    for path, flags in ((append, 0), (lines, 0), (append, os.O_DSYNC), (lines, os.O_DSYNC)):
        name = f"{os.path.basename(path)}{' O_DSYNC' if flags else ''}"
        process = blocked(path, name, flags=flags)
        case(f"{name}: nothing was appended yet", log.new() == [])
        trim()
        is_(f"{name}: goes on when there is room", said(process), str(LARGE))
        is_(f"{name}: its record", log.new(), [large(name, b"\n")])
        fill()


def in_order():
    names = [f"writer {i}" for i in range(6)]
    processes = [blocked(append if i % 2 else lines, name, already=i)
                 for i, name in enumerate(names)]
    fd = opened(append, os.O_WRONLY | os.O_NONBLOCK)
    is_("O_NONBLOCK: EAGAIN", outcome(os.write, fd, b"x"), "EAGAIN")
    os.close(fd)

    begin = time.monotonic()
    os.listdir(mount + "/segments")
    with open(mount + "/stream", "rb") as stream:
        stream.read()
    directory = os.open(mount, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    fd = opened(lines)
    is_("an open line is taken", os.write(fd, b"open"), 4)
    case("meanwhile others read, list and sync", time.monotonic() - begin < PATIENCE)

    got = []
    while len(got) < 6:
        trim(log.next_seq)
        more = log.take(1)
        if not more:
            break
        got += more
    is_("first come, first served", got, [large(name, b"\n") for name in names])
    is_("all succeeded", [said(p) for p in processes], [str(LARGE)] * 6)
    trim()
    os.close(fd)
    log.new()
    fill()


def many_lines():
    text = b"".join(large(f"line {i}", b"\n") for i in range(20)) + b"open"
    process = client("fd = os.open(argv[1], os.O_WRONLY)\n"
                     "data = sys.stdin.buffer.read()\n"
                     "print(os.write(fd, data), flush=True); os.close(fd)\n", lines)
    process.stdin.write(text)
    process.stdin.close()
    process.stdin = None
    got = []

    def more():
        got.extend(log.new())
        trim(log.next_seq)
        return len(got) == 21
    case("a write of 20 large lines goes on as room comes", wait_for(more), len(got))
    is_("its lines", b"".join(got), text)
    is_("it is whole", said(process), str(len(text)))
    fill()


def dies(path, name, number, prelude):
    """Seconds from the signal to the end of a blocked writer."""
    process = client(f"fd = os.open(argv[1], os.O_WRONLY)\n{prelude}\n"
                     f"os.write(fd, b'x' * {LARGE} + b'\\n')", path)
    if not waiting(mount, 1):
        return None
    begin = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=PATIENCE)
    took = time.monotonic() - begin
    process.communicate()
    if process.returncode != -number:
        print(f"{name} ended with {process.returncode}")
        return None
    return took


def dies_soon(path, name, number, prelude, soon):
    """How long blocked writers took to die: of up to 20 one has to be soon enough, for a busy machine may hold
    up some."""
    took = []
    while len(took) < 20:
        took.append(dies(path, name, number, prelude.format(len(took))))
        if took[-1] is None or took[-1] < soon:
            break
    case(f"{name}: a blocked writer dies at once", took[-1] is not None and took[-1] < soon, took)
    return len(took)


def signals():
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        for path in (append, lines):
            name = f"{number.name}, {os.path.basename(path)}"
            prelude = "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)"
            dies_soon(path, name, number, prelude, SOON)
    case("and no request waits any more", waiting(mount, 0))
    trim()
    fd = opened(append)
    os.write(fd, b"behind")
    is_("nothing of theirs was appended", log.new(), [b"behind"])
    os.close(fd)
    fill()
    count = dies_soon(lines, "with an open line", signal.SIGKILL, "os.write(fd, b'open line {:02}')", 20 * SOON)
    trim()
    is_("what was open is appended", sorted(log.take(count)), [b"open line %02d" % i for i in range(count)])
    fill()

    def handler(*_):
        raise InterruptedError
    signal.signal(signal.SIGALRM, handler)
    fd = opened(append)
    # more than once: the first may come before the write waits
    signal.setitimer(signal.ITIMER_REAL, 0.2, 5)
    try:
        got = os.write(fd, large("alarm"))
    except InterruptedError:
        got = "EINTR"
    signal.setitimer(signal.ITIMER_REAL, 0)
    is_("a handler's signal: EINTR", got, "EINTR")
    case("no request waits", waiting(mount, 0))
    os.close(fd)


def closing():
    fd = opened(lines)
    os.write(fd, large("open"))
    got = []
    thread = threading.Thread(target=lambda: got.append(outcome(os.close, fd)))
    thread.start()
    case("close waits, too", waiting(mount, 1))
    trim()
    thread.join(PATIENCE)
    is_("and succeeds when its line is a record", got, [None])
    is_("which it is", log.new(), [large("open")])
    fill()

    fd = opened(lines)
    os.write(fd, large("synced"))
    thread = threading.Thread(target=lambda: got.append(outcome(os.fsync, fd)))
    thread.start()
    case("fsync waits, too", waiting(mount, 1))
    trim()
    thread.join(PATIENCE)
    is_("fsync's line", log.new(), [large("synced")])
    is_("both succeeded", got, [None, None])
    os.close(fd)


def blocking():
    for test in (room_comes, in_order, many_lines, signals, closing):
        test()


def time_is_up():
    """full=block=300"""
    fill()
    for path in (append, lines):
        name = os.path.basename(path)
        begin = time.monotonic()
        is_(f"{name}: EDQUOT in the end", refused(name, path), "EDQUOT")
        case(f"{name}: not before its time", time.monotonic() - begin >= 0.3)
    fd = opened(lines)
    is_("lines that fit count, those that do not do not",
        os.write(fd, b"fits\n" + large("does not", b"\n")), 5)
    os.close(fd)
    log.new()


def reader():
    """full=block, retain_segments=1: what a named reader has read goes."""
    place_reader(queue, "slow", 0, 64)
    fill()
    oldest, got = 0, []
    for i in range(8):
        process = blocked(append, f"writer {i}")
        oldest += 1
        place_reader(queue, "slow", oldest, 64)
        is_("a reader's commit lets it go on", said(process), str(LARGE))
        got += log.new()
    is_("all are there", got, [large(f"writer {i}", b"\n") for i in range(8)])


{"error": errors, "block": blocking, "timeout": time_is_up, "reader": reader}[mode]()
