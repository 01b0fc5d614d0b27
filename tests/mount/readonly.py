#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""readonly.py MOUNT QUEUE - a read-only mount of a queue that foreign.py writes; prints a line per
case."""

import os
import select
import subprocess
import sys
import time

mount, queue = sys.argv[1:3]
here = os.path.dirname(os.path.abspath(__file__))


def case(what, good):
    print(("ok - " if good else "not ok - ") + what, flush=True)


def settled(condition, seconds=10):
    until = time.monotonic() + seconds
    while not (good := condition()) and time.monotonic() < until:
        time.sleep(0.01)
    return good


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

# Somebody who waits is woken.
direct = os.open(mount + "/stream", os.O_RDONLY | os.O_NONBLOCK)
while os.read(direct, 1 << 20):
    pass
for name, fd in (("stream", stream), ("stream with O_NONBLOCK", direct)):
    while os.read(fd, 1 << 20):
        pass
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(0)  # on a plain open: what it has read is not known
    case(f"{name}: poll has nothing", poll.poll(100) == [])
    timer = subprocess.Popen(["sleep", "0.2"])
    started = time.monotonic()
    timer.wait()
    append(1)
    case(f"{name}: poll tells of a record", poll.poll(1000) == [(fd, select.POLLIN)])
    case(f"{name}: which is there", os.read(fd, 100) == b"foreign %d\n" % written)

# tail -f asks once a second for the size.
tail = subprocess.Popen(["tail", "-n", "0", "-f", mount + "/stream"], stdout=subprocess.PIPE)
select.select([tail.stdout], [], [], 0.3)
append(1)
started = time.monotonic()
line = tail.stdout.readline()
case("tail -f shows a record within little more than a second",
     line == b"foreign %d\n" % written and time.monotonic() - started < 2)

# Many more, over segments that appear.
names = set(os.listdir(mount + "/segments"))
append(1500)
case("segments appear", settled(lambda: len(set(os.listdir(mount + "/segments")) - names) >= 2))
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
