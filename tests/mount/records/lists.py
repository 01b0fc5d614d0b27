# SPDX-License-Identifier: Apache-2.0
"""lists.py PART QUEUE MOUNT [ARGUMENT] - the files of records/ against the segment files (see
record_lists.sh); prints a line per case."""

import mmap
import os
import re
import subprocess
import sys
import threading

from records import record_lines, records, segment_path
from syscalls import Mapping
from testlib import case, is_, outcome, stats, wait_for

part, queue, mount, *arguments = sys.argv[1:]
WIDTH = 90
LINE = re.compile(rb"(\d{20}) \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z [ \d]{19}\d [ \d]{9}\d [ \d]{4}\d\n")


def path(number):
    return f"{mount}/records/{number:09}"


def content(name):
    with open(name, "rb") as file:
        return file.read()


def segments():
    return sorted(int(name) for name in os.listdir(mount + "/records"))


def numbers(data):
    """The sequence numbers of these bytes, which have to be whole lines; None: they are not."""
    found = []
    for at in range(0, len(data), WIDTH):
        line = LINE.fullmatch(data[at:at + WIDTH])
        if not line:
            print(f"at {at} of {len(data)}: {data[at:at + WIDTH]!r}")
            return None
        found.append(int(line[1]))
    return found


def consecutive(found, first=None):
    return found is not None and (not found or first is None or found[0] == first) and \
        all(b == a + 1 for a, b in zip(found, found[1:]))


# ---- at rest ----

def part_whole(trimmed=None):
    """Every line, in pieces of several sizes, forwards and backwards.  trimmed: the list that was the oldest."""
    begin = int(os.getxattr(mount + "/stream", "user.chronfs.begin"))
    if trimmed:
        _, _, offset, length, _ = content(trimmed)[-WIDTH:].split()
        is_("where stream begins", begin, int(offset) + int(length))
    wanted = record_lines(queue, begin)
    whole = good = True
    for number in segments():
        lines = b"".join(wanted[number])
        if content(path(number)) != lines or os.stat(path(number)).st_size != len(lines):
            print(f"segment {number}: {content(path(number))[:400]!r} and not {lines[:400]!r}")
            whole = False
        for flags in 0, os.O_DIRECT:
            fd = os.open(path(number), os.O_RDONLY | flags)
            for piece in 1, 89, 90, 91, 4096, 10000:
                places = range(0, len(lines), max(piece, len(lines) // 30))
                for at in list(places) + list(reversed(places)):
                    good &= os.pread(fd, piece, at) == lines[at:at + piece]
            good &= os.pread(fd, 10, len(lines)) == b""
            os.close(fd)
    case("every line is as the segment files have it", whole)
    case("and in pieces, with and without the page cache", good)
    # what a column is good for
    stream = os.open(mount + "/stream", os.O_RDONLY)
    everything = records(queue)
    listed = [line.split() for number in segments() for line in content(path(number)).splitlines()]
    case("offset and length lead to each payload in stream", len(listed) == len(everything) and all(
        os.pread(stream, int(length), int(offset) - begin) == r.payload
        for (_, _, offset, length, _), r in zip(listed, everything)))
    os.close(stream)


def part_cache():
    """What the kernel has read of a sealed one stays in its cache, from one open to the next; of a live one it
    keeps nothing."""
    sealed, live = path(1), path(segments()[-2])
    is_("one is sealed, the other is not",
        [os.getxattr(p, "user.chronfs.sealed") for p in (sealed, live)], [b"1", b"0"])
    wanted, growing = content(sealed), content(live)

    def damage():
        """The header of the first record of both gets another byte, which only a read of the file shows."""
        for name in sealed, live:
            with open(segment_path(queue, int(name[-9:])), "r+b") as file:
                file.seek(64 + 16)
                byte = file.read(1)[0]
                file.seek(64 + 16)
                file.write(bytes([byte ^ 1]))
    damage()
    is_("live: a read asks the daemon", outcome(content, live), "EIO")
    case("sealed: another open reads from the cache", outcome(content, sealed) == wanted)
    fd = os.open(sealed, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    is_("and from the daemon when nothing is in the cache", outcome(os.pread, fd, 100, 0), "EIO")
    os.close(fd)
    damage()
    case("as it was", content(sealed) == wanted and content(live) == growing)
    fd = os.open(sealed, os.O_RDONLY)
    for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
        case("sealed: mapped", Mapping(fd, len(wanted), mmap.PROT_READ, flags).bytes() == wanted)
    os.close(fd)
    fd = os.open(live, os.O_RDONLY)
    is_("live: mapped shared", outcome(Mapping, fd, 4096, mmap.PROT_READ, mmap.MAP_SHARED), "ENODEV")
    case("live: mapped private",
         Mapping(fd, len(growing), mmap.PROT_READ, mmap.MAP_PRIVATE).bytes() == growing)
    os.close(fd)


# ---- while it grows ----

READS = 100  # of each reader, at least


class Crowd:
    """Threads that read until each has read enough, while the main thread appends."""

    def __init__(self, *readers):
        self.wrong, self.reads, self.over = [], [0] * len(readers), False
        self.threads = [threading.Thread(target=self.run, args=(i, reader))
                        for i, reader in enumerate(readers)]
        for thread in self.threads:
            thread.start()

    def run(self, i, reader):
        while not self.over and not self.wrong:
            problem = reader()
            if problem:
                self.wrong.append(problem)
            self.reads[i] += 1

    def enough(self):
        return bool(self.wrong) or min(self.reads) >= READS

    def end(self, what):
        self.over = True
        for thread in self.threads:
            thread.join()
        is_(what, self.wrong, [])


def append_until(crowd, deleted=0):
    """Until the readers have read enough, and so many segments are deleted."""
    fd = os.open(mount + "/append", os.O_WRONLY)
    while not crowd.enough() or (not crowd.wrong and
                                 stats(mount)["retention"]["deleted_segments"] < deleted):
        for i in range(100):
            os.write(fd, b"%d" % i * (i % 50 + 1))
    os.close(fd)


def part_grows():
    """By its name, and through files that were opened while the segment was live: whole lines with numbers that
    follow one another; never a zero, and never less than before.  Others ask for the attributes all the time,
    which is how the kernel learns of a new size."""
    held = {}  # number: an open file
    newest = [0]

    def by_name():
        number = max(n for n in segments() if os.stat(path(n)).st_size > 0)
        for n in (number, max(0, number - 1)):
            size = os.stat(path(n)).st_size
            data = content(path(n))
            if size % WIDTH or len(data) < size or not consecutive(numbers(data)):
                return f"{n}: size {size}, {len(data)} bytes"
        newest[0] = max(newest[0], number)
        return None

    def through_open_file():
        number = newest[0]
        fd, before = held.setdefault(number, (os.open(path(number), os.O_RDONLY), 0))
        size = os.fstat(fd).st_size
        data = os.pread(fd, 1 << 20, 0)
        held[number] = fd, len(data)
        if len(data) < max(size, before) or not consecutive(numbers(data)):
            return f"open file of {number}: size {size}, {len(data)} bytes, {before} before"
        if len(held) > 20:
            os.close(held.pop(min(held))[0])
        return None

    def last_line():
        fd = os.open(path(newest[0]), os.O_RDONLY)
        size = os.fstat(fd).st_size
        data = os.pread(fd, WIDTH, max(0, size - WIDTH))
        os.close(fd)
        return None if size == 0 or numbers(data) else f"the line before the end, {size}: {data!r}"

    def attributes():
        for n in segments()[-3:]:
            os.stat(path(n))

    crowd = Crowd(by_name, through_open_file, last_line, attributes, attributes)
    append_until(crowd)
    crowd.end("readers of a growing list")
    for fd, _ in held.values():
        os.close(fd)
    live = max(n for n in segments() if os.stat(path(n)).st_size > 0)
    fd = os.open(mount + "/append", os.O_WRONLY)
    watched = os.open(path(live), os.O_RDONLY)
    os.lseek(watched, 0, os.SEEK_END)
    seen = []
    for i in range(20):
        os.write(fd, b"x" * i + b"y")
        seen.append((int(os.read(watched, 4096)[:20]), os.fstat(watched).st_size == os.lseek(watched, 0, 1)))
    last = stats(mount)["position"]["next_seq"]
    is_("each record has its line at once, in a file that is open",
        seen, [(last - 20 + i, True) for i in range(20)])
    os.close(fd)
    os.close(watched)
    with open(mount + "/ctl", "wb", buffering=0) as ctl:
        ctl.write(b"roll")
    case("sealed: every line is there, from the cache and past it", all(
        consecutive(numbers(content(path(n)))) and len(content(path(n))) == os.stat(path(n)).st_size
        for n in segments()))


def part_beside(chronq):
    """Another process writes to the queue."""
    before = len(records(queue))
    appender = subprocess.Popen([chronq, "append", queue], stdin=subprocess.PIPE)
    for i in range(2000):
        appender.stdin.write(b"%d\n" % i * (i % 7 + 1))
        appender.stdin.flush()
    appender.stdin.close()
    seen = 0
    while appender.poll() is None:
        found = [n for number in segments() for n in numbers(content(path(number)))]
        if not consecutive(found, 0) or len(found) < seen:
            case("a list beside another writer", False)
            break
        seen = len(found)
    is_("the writer ends", appender.wait(), 0)
    wanted = len(records(queue))
    case("it has appended", wanted > before + 2000)
    case("all of it is listed", wait_for(
        lambda: sum(os.stat(path(n)).st_size for n in segments()) == WIDTH * wanted))
    part_whole()


def part_retained():
    """Readers of segments that retention deletes get whole lines, or learn that the segment is gone."""
    def reader(pick):
        def read():
            there = segments()
            if not there:
                return None
            data = outcome(content, path(pick(there)))
            if isinstance(data, str):
                return None if data in ("ENOENT", "ENODATA") else data
            return None if consecutive(numbers(data)) else "lines that do not follow one another"
        return read
    crowd = Crowd(reader(min), reader(lambda there: there[len(there) // 2]), reader(max))
    append_until(crowd, 10)
    crowd.end("readers of lists that retention deletes")
    first = segments()[0]
    lines = content(path(first))
    begin = int(os.getxattr(mount + "/stream", "user.chronfs.begin"))
    if segments()[0] == first:
        is_("the oldest line says where stream begins", int(lines[52:72]), begin)


globals()["part_" + part](*arguments)
