#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stream.py MOUNT SIZE - stream, by system calls; the mount keeps 4 segments of SIZE (1M, which is read
through the page cache, or 64K, which is not); prints a line per case.  The byte at each position of the stream follows from the position and is never zero, so that
whatever is read can be checked."""

import errno
import os
import random
import select
import sys
import threading
import time

from testlib import PATIENCE, case, elsewhere, outcome, stats, wait_for

mount = sys.argv[1]
is_cached = sys.argv[2] == "1M"
segment = (1 << 20) if is_cached else 65536
path = mount + "/stream"
sink = os.open(mount + "/append", os.O_WRONLY)
end = 0  # of the stream, as a position
PATTERN = bytes(range(65, 91)) * 45000
PAGE = os.sysconf("SC_PAGESIZE")


def reference(position, length):
    return PATTERN[position % 26:position % 26 + length]


def append(length):
    global end
    os.write(sink, reference(end, length))
    end += length


def read(fd, length, offset):
    """What pread gives, or the name of its errno."""
    return outcome(os.pread, fd, length, offset)


def size_elsewhere():
    """In a process that does not have stream open: for one that has, the path leads to the beginning that it
    has open."""
    return elsewhere(lambda: os.stat(path).st_size)


def begin():
    return end - size_elsewhere()


def trimmed():
    """Whether all that is due has gone, from the directory and from the stream; that the rest is small
    enough may be true before."""
    current = stats(mount)["position"]["segment"]
    names = sorted(os.listdir(mount + "/payload"))
    return int(names[0]) == current - 3 and size_elsewhere() == sum(
        os.stat(f"{mount}/payload/{name}").st_size for name in names)


# Before the first record.
first = os.open(path, os.O_RDONLY)
case("empty: size, read, SEEK_DATA", os.fstat(first).st_size == 0 and os.read(first, 10) == b"")
append(10)
case("opened before the first record: it appears", os.read(first, 100) == reference(0, 10))
case("at the end there is nothing", os.read(first, 100) == b"")
append(1)
case("then there is, in the page that was read already", os.read(first, 100) == reference(10, 1))
other = os.open(path, os.O_RDONLY)
append(7)
case("another open file sees all", os.read(other, 100) == reference(0, 18))
case("and the first what is new", os.read(first, 100) == reference(11, 7))
for _ in range(50):
    append(random.randrange(1, 3000))
    before = max(end - 100, 0)
    if os.pread(first, 5000, before) != reference(before, end - before):
        case("each record is read at once", False)
        break
else:
    case("each record is read at once", True)
case("st_blocks follow the size", os.fstat(first).st_blocks == (end + 511) // 512)
case("st_mtime is the last record's", abs(os.fstat(first).st_mtime - time.time()) < PATIENCE)
case("all has one inode number", os.stat(path).st_ino == os.fstat(first).st_ino)

# Without a name.
again = os.open(f"/proc/self/fd/{first}", os.O_RDONLY)
case("opened by /proc/self/fd", os.read(again, 100) == reference(0, 100))
os.close(again)

# Through the page cache or past it, at any offset.
direct = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
good = True
for _ in range(300):
    offset, length = random.randrange(end + 10), random.randrange(20000)
    wanted = reference(offset, max(0, min(length, end - offset)))
    good &= read(first, length, offset) == wanted and read(direct, length, offset) == wanted
case("at any offset, cached and direct", good)

# Trimming beneath open files.
size = os.fstat(first).st_size
record = segment // 20
for _ in range(100):
    append(record)
case("segments are trimmed", wait_for(trimmed))
edge = begin()
case("a new lookup begins at the oldest byte", 0 < edge < end)
case("an open file keeps its beginning: the size has only grown",
     os.fstat(first).st_size == end == os.fstat(direct).st_size)
case("trimmed: ENODATA, cached", read(first, 100, edge - PAGE - 100) == "ENODATA")
case("trimmed: ENODATA, direct", read(direct, 100, edge - 100) == "ENODATA")
case("direct reads are exact at the edge", read(direct, 50, edge) == reference(edge, 50))
page = (edge + PAGE - 1) // PAGE * PAGE if is_cached else edge
case("cached ones behind the page with the edge", read(first, 9000, page) == reference(page, 9000))
case("and in it not", edge == page or read(first, 1, edge) in ("ENODATA", reference(edge, 1)))
case("SEEK_DATA finds the edge, direct", os.lseek(direct, 0, os.SEEK_DATA) == edge)
case("and what can be read, cached", os.lseek(first, 0, os.SEEK_DATA) == page)
case("which can", read(first, 10, page) == reference(page, 10))
case("what is trimmed is a hole", os.lseek(direct, 5, os.SEEK_HOLE) == 5)
case("the end is one", os.lseek(direct, edge + 5, os.SEEK_HOLE) == end ==
     os.lseek(first, page + 5, os.SEEK_HOLE))
try:
    os.lseek(first, end, os.SEEK_DATA)
    case("no data behind the end", False)
except OSError as e:
    case("no data behind the end: ENXIO", e.errno == errno.ENXIO)


def read_new(length):
    new = os.open(path, os.O_RDONLY)
    return os.read(new, length), os.fstat(new).st_ino, os.stat(path).st_ino


number = os.fstat(first).st_ino
got, new_number, path_number = elsewhere(lambda: read_new(1000))
case("a new open reads from the edge", got == reference(edge, 1000))
case("and it has another inode number", new_number == path_number != number)
case("as ls -i shows", new_number == elsewhere(
    lambda: {entry.name: entry.inode() for entry in os.scandir(mount)}["stream"]))
case("which stays", elsewhere(lambda: read_new(10))[1:] == (new_number, new_number))
case("an open file keeps its own", os.fstat(first).st_ino == os.fstat(direct).st_ino == number)
again = os.open(path, os.O_RDONLY)
case("the path leads a process that has it open to the same file", (os.stat(path).st_ino, os.fstat(again).st_ino) ==
     (number, number) and os.fstat(again).st_size == end)
results = []
thread = threading.Thread(target=lambda: results.append(os.stat(path).st_ino))
thread.start()
thread.join()
case("so are all threads of the process", results == [number])
case("a child is another process", elsewhere(lambda: os.stat(path).st_ino) == new_number)
case("at the same offset of the same inode number is the same byte",
     os.pread(again, 100, page) == reference(page, 100))
for fd in (first, other, direct, again):
    os.close(fd)
case("after the close the path leads to the new one", os.stat(path).st_ino == new_number)
new = os.open(path, os.O_RDONLY)
case("and reads it", os.read(new, 1000) == reference(edge, 1000))
os.close(new)

# A reader that keeps up loses nothing while segments go.
follower = os.open(path, os.O_RDONLY)
start = end - os.fstat(follower).st_size
position = os.lseek(follower, 0, os.SEEK_END) + start
good, sizes = position == end, [os.fstat(follower).st_size]
for i in range(200):
    append(record)
    sizes.append(os.fstat(follower).st_size)
    got = os.read(follower, 1 << 20)
    good &= got == reference(position, record)
    position += len(got)
    if i == 100:
        case("segments are trimmed meanwhile", wait_for(lambda: begin() > start))
case("a reader that keeps up reads every byte across trims", good)
case("its size never shrinks", sizes == sorted(sizes))

# poll
fd = os.open(path, os.O_RDONLY)
poll = select.poll()
poll.register(fd, select.POLLIN)
case("plain: always ready", poll.poll(0) == [(fd, select.POLLIN)])
os.lseek(fd, -10, os.SEEK_END)
while os.read(fd, 1 << 20):
    pass
case("plain: at its end, too, as any regular file", poll.poll(0) == poll.poll(0) == [(fd, select.POLLIN)])
os.close(fd)
for name, flags in (("O_NONBLOCK", os.O_NONBLOCK), ("O_DIRECT", os.O_DIRECT)):
    fd = os.open(path, os.O_RDONLY | flags)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    case(f"{name}: there is something to read", poll.poll(0) == [(fd, select.POLLIN)])
    os.lseek(fd, -10, os.SEEK_END)  # what is older may be trimmed meanwhile
    while os.read(fd, 1 << 20):
        pass
    case(f"{name}: nothing any more", poll.poll(50) == [])
    timer = threading.Timer(0.1, append, (100,))
    timer.start()
    case(f"{name}: it waits for a record", poll.poll(PATIENCE * 1000) == [(fd, select.POLLIN)])
    timer.join()
    case(f"{name}: which is there", os.read(fd, 1000) == reference(end - 100, 100))
    case(f"{name}: and nothing again", poll.poll(0) == [])
    os.close(fd)
fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
os.lseek(fd, -100, os.SEEK_END)
poll = select.poll()
poll.register(fd, select.POLLIN)
os.read(fd, 50)
case("direct: as long as a byte is left", poll.poll(0) == [(fd, select.POLLIN)])
os.read(fd, 50)
case("direct: and no longer", poll.poll(0) == [])
