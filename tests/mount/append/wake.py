#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""wake.py MOUNT QUEUE - chronq tail -f beside a mount sees each record at once, also behind bursts."""

import os
import signal
import subprocess
import sys
import time

from testlib import case

mount, queue = sys.argv[1:]
SLICE = 0.1  # seconds after which a reader that sleeps looks by itself
SINGLES = 50
number = 0


def falls_asleep(process):
    """Returns when it waits in the kernel."""
    while True:
        with open(f"/proc/{process.pid}/stat", encoding="ascii", errors="replace") as stat:
            state = stat.read().rpartition(")")[2].split()[0]
        if state == "S":
            return
        if state in "ZX":
            sys.exit("chronq tail has ended")
        os.sched_yield()


def follower():
    process = subprocess.Popen([os.environ["CHRONQ"], "tail", "-f", "-n", "1", queue],
                               stdout=subprocess.PIPE)
    process.stdout.readline()
    falls_asleep(process)
    return process


def append(name, lines):
    """One write for each line, or one for all of append.lines."""
    global number
    texts = []
    for _ in range(lines):
        number += 1
        texts.append(b"line %d\n" % number)
    fd = os.open(mount + "/" + name, os.O_WRONLY)
    for text in [b"".join(texts)] if name == "append.lines" else texts:
        os.write(fd, text)
    os.close(fd)


def burst(process, name, lines):
    """Much comes while the follower does not get to run."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    first = number + 1
    append(name, lines)
    os.kill(process.pid, signal.SIGCONT)
    expected = [b"line %d\n" % n for n in range(first, number + 1)]
    return [process.stdout.readline() for _ in expected] == expected


def sees_single_ones(process):
    """Most of them at once: a busy machine may hold up some, and is asked again if it held up many.  A follower
    without a wake-up has just begun its slice, and takes the rest of it each time."""
    return any(sees_in_time(process) for _ in range(5))


def sees_in_time(process):
    took = []
    for _ in range(SINGLES):
        falls_asleep(process)
        start = time.monotonic()
        append("append", 1)
        if process.stdout.readline() != b"line %d\n" % number:
            sys.exit("another line than the one that was appended")
        took.append(time.monotonic() - start)
    took.sort()
    print(f"# {took[SINGLES // 2] * 1000:.2f} ms, at most {took[-1] * 1000:.2f} ms")
    return took[SINGLES // 2] < SLICE / 2


append("append", 1)
dead = follower()
dead.kill()
dead.wait()
live = follower()
case("tail -f: single records", sees_single_ones(live))
for sink, count in (("append.lines", 1000), ("append", 300)):
    case(f"tail -f: {count} lines at once to {sink}", burst(live, sink, count))
    case("tail -f: single records after that", sees_single_ones(live))
live.kill()
live.wait()
