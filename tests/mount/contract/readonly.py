#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""readonly.py MOUNT QUEUE - a read-only mount of a queue that foreign.py writes; prints a line per
case."""

import os
import select
import subprocess
import sys
import threading
import time

from testlib import PATIENCE, case, wait_for

mount, queue = sys.argv[1:3]
here = os.path.dirname(os.path.abspath(__file__))


def content(name):
    with open(f"{mount}/{name}", "rb") as file:
        return file.read()


writer = subprocess.Popen([sys.executable, here + "/foreign.py", queue], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True)
written = 0


def append(count):
    global written
    writer.stdin.write(f"{count}\n")
    writer.stdin.flush()
    written = int(writer.stdout.readline())


def expected(first, last):
    return b"".join(b"foreign %d\n" % i for i in range(first, last + 1))


before = content("stream")
stream = os.open(mount + "/stream", os.O_RDONLY)
case("the stream is read", os.read(stream, 1 << 20) == before)
case("and ends", os.read(stream, 100) == b"")
append(1)
case("a record of a foreign writer can be read at once", os.read(stream, 100) == b"foreign 1\n")

# A waiting poll is woken.
for name, flag in (("O_NONBLOCK", os.O_NONBLOCK), ("O_DIRECT", os.O_DIRECT)):
    fd = os.open(mount + "/stream", os.O_RDONLY | flag)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    waiting = []  # how long each time: one hiccup of the machine is none of ours
    while not waiting or (told[0] and waiting[-1] >= 1 and len(waiting) < 20):
        while os.read(fd, 1 << 20):
            pass
        nothing = poll.poll(100)
        told = []
        thread = threading.Thread(
            target=lambda: told.extend([poll.poll(PATIENCE * 1000), time.monotonic()]))
        thread.start()
        thread.join(0.1)  # it waits now, or nearly always
        append(1)
        started = time.monotonic()
        thread.join()
        waiting.append(told[1] - started)
    case(f"{name}: poll has nothing", nothing == [])
    case(f"{name}: poll tells of a record", told[0] == [(fd, select.POLLIN)])
    case(f"{name}: within a second", min(waiting) < 1)
    case(f"{name}: which is there", os.read(fd, 100) == b"foreign %d\n" % written)

# tail -f asks once a second for the size.
tail = subprocess.Popen(["tail", "-n", "0", "-f", mount + "/stream"], stdout=subprocess.PIPE)


def shown(seconds):
    """What it prints next; nothing if that takes longer."""
    if not select.select([tail.stdout], [], [], seconds)[0]:
        return b""
    return os.read(tail.stdout.fileno(), 1 << 16)


def last_is_shown():
    return shown(1).endswith(b"foreign %d\n" % written)


append(1)
while not shown(2) and written < 100:  # until it has begun
    append(1)
waiting = []
while not waiting or (shows and waiting[-1] >= 2 and len(waiting) < 20):
    append(1)
    started = time.monotonic()
    shows = wait_for(last_is_shown)
    waiting.append(time.monotonic() - started)
case("tail -f shows a record", shows)
case("within little more than a second", min(waiting) < 2)

# Many more, over segments that appear.
names = set(os.listdir(mount + "/segments"))
append(1500)
case("segments appear", wait_for(lambda: len(set(os.listdir(mount + "/segments")) - names) >= 2))
case("the stream has grown by what was written",
     content("stream") == before + expected(1, written))
case("the payloads of all segments are the stream",
     b"".join(content("payload/" + name) for name in sorted(os.listdir(mount + "/payload"))) ==
     content("stream"))
case("their sizes agree", sum(os.stat(f"{mount}/payload/{name}").st_size
                              for name in os.listdir(mount + "/payload")) ==
     os.stat(mount + "/stream").st_size)
same = True
for name in os.listdir(mount + "/segments"):
    with open(os.path.join(queue, name), "rb") as file:
        same &= file.read() == content("segments/" + name)
case("segments are the files, byte for byte", same)
sealed = sorted(os.listdir(mount + "/segments"))[0]
case("user.chronfs.sealed follows the foreign seal",
     os.getxattr(f"{mount}/segments/{sealed}", "user.chronfs.sealed") == b"1")
tail.kill()
tail.wait()
writer.stdin.close()
writer.wait()
