#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""writers.py MOUNT QUEUE [CONSUME] - 32 processes write records of 1 to 200,000 bytes, through both
sinks; prints a line per case.  With CONSUME what was read is deleted, so that full=block lets the
writers go on; the first time when some wait.
"""

import os
import random
import sys
import time
import zlib

from testlib import New, case, is_, stats, wait_for

mount, queue = sys.argv[1:3]
consume = len(sys.argv) > 3
WRITERS, EACH = 32, 25


def record(writer, number, newline):
    """A record names its writer, and shows whether it is whole; some are very small."""
    chance = random.Random(writer * 1000 + number)
    head = b"%d %d " % (writer, number)
    if chance.random() < 0.2:
        body = b""
    else:
        body = chance.randbytes(int(200000 ** chance.random())).replace(b"\n", b"!")
    text = head + body
    return text + b" %08x" % zlib.crc32(text) + (b"\n" if newline else b"")


def write(writer):
    """Even ones write records to append, odd ones lines to append.lines, cut anywhere."""
    lines = writer % 2 == 1
    fd = os.open(mount + ("/append.lines" if lines else "/append"), os.O_WRONLY)
    chance = random.Random(writer)
    for number in range(EACH):
        data = record(writer, number, lines)
        if not lines:
            assert os.write(fd, data) == len(data)
        while lines and data:
            piece = data[:1 + chance.randrange(len(data))]
            assert os.write(fd, piece) == len(piece)
            data = data[len(piece):]
    os.close(fd)


def main():
    log = New(queue)
    children = []
    for writer in range(WRITERS):
        child = os.fork()
        if child == 0:
            write(writer)
            os._exit(0)
        children.append(child)
    got, failed = [], []
    if consume:
        case("the queue is full, and some wait", wait_for(lambda: stats(mount)["waiting"]["writes"] > 0))
    while children:
        done, status = os.waitpid(-1, os.WNOHANG if consume else 0)
        if done:
            children.remove(done)
            if status:
                failed.append(status)
        if consume:
            got += log.new()
            fd = os.open(mount + "/ctl", os.O_WRONLY)
            os.write(fd, b"trim %d" % log.next_seq)
            os.close(fd)
            time.sleep(0.002)
    got += log.new()
    is_("no write failed", failed, [])
    is_("as many records as were written", len(got), WRITERS * EACH)
    broken = []
    numbers = [[] for _ in range(WRITERS)]
    for payload in got:
        text, _, crc = payload.rstrip(b"\n").rpartition(b" ")
        if b"%08x" % zlib.crc32(text) != crc:
            broken.append(payload[:40])
            continue
        writer, number = map(int, text.split(b" ", 2)[:2])
        numbers[writer].append(number)
        if payload != record(writer, number, writer % 2 == 1):
            broken.append(payload[:40])
    is_("every one whole", broken, [])
    case("each writer's in its order, none lost",
         all(found == list(range(EACH)) for found in numbers), numbers)


main()
