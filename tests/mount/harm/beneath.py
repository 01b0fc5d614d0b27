# SPDX-License-Identifier: Apache-2.0
"""beneath.py PART QUEUE MOUNT - damages a queue beneath its mount, which beneath.sh has made with
segments of 8 KiB; prints a line per case.

Segments 0 and 1 are sealed and hold two records each, 2 is live and holds one, 3 is prepared.  Of each
there is an open file in segments/, in payload/ and in records/, and one of the stream past the page cache, all
read once before.  What is read afterwards may be an error, and never other bytes than before.
"""

import os
import shutil
import subprocess
import sys

from testlib import case, is_, outcome, stats, wait_for

part, queue, mount = sys.argv[1:]
SIZE = 8192
RECORD = 3000
PAYLOADS = [bytes([65 + i]) * RECORD for i in range(5)]
WHOLE = b"".join(PAYLOADS)
append = mount + "/append"


def path(number):
    return f"{queue}/{number:09}.q"


class Views:
    """All open files, and what was in them."""

    def __init__(self):
        self.stream = os.open(mount + "/stream", os.O_RDONLY | os.O_NONBLOCK)
        self.segments = [os.open(f"{mount}/segments/{i:09}.q", os.O_RDONLY) for i in range(3)]
        self.payloads = [os.open(f"{mount}/payload/{i:09}", os.O_RDONLY) for i in range(3)]
        self.records = [os.open(f"{mount}/records/{i:09}", os.O_RDONLY) for i in range(3)]
        self.bytes = [os.pread(fd, SIZE, 0) for fd in self.segments]
        self.lines = [os.pread(fd, SIZE, 0) for fd in self.records]
        is_("lines of records", [len(lines) for lines in self.lines], [180, 180, 90])

    def payload(self, number):
        """What the payload file of a segment gives, from its beginning."""
        return outcome(os.pread, self.payloads[number], 2 * RECORD, 0)

    def is_what_is_left(self, got, number):
        """Where the kernel reads an open segment file by itself, a file cut short ends early."""
        if isinstance(got, str):
            return False
        with open(mount + "/stats.json", encoding="ascii") as state:
            return '"passthrough": true' in state.read() and self.bytes[number].startswith(got)

    def check(self, touched, errors):
        """All but what was touched reads on; that gives what it gave, or one of these errors."""
        for i in range(2):
            wanted = WHOLE[i * 2 * RECORD:(i + 1) * 2 * RECORD]
            ours = outcome(os.pread, self.stream, 2 * RECORD, i * 2 * RECORD)
            by_name = outcome(lambda n: open(n, "rb").read(), f"{mount}/payload/{i:09}")
            segment = outcome(os.pread, self.segments[i], SIZE, 0)
            if i == touched:
                allowed = set(errors)
                case(f"segment {i} in the stream: {ours if isinstance(ours, str) else 'as it was'}",
                     ours == wanted or ours in allowed)
                got = self.payload(i)
                case(f"its open payload file: {got if isinstance(got, str) else 'as it was'}",
                     got == wanted or got in allowed)
                case(f"its payload file: {by_name if isinstance(by_name, str) else 'as it was'}",
                     by_name == wanted or by_name in allowed | {"ENOENT"})
                lines = outcome(os.pread, self.records[i], SIZE, 0)
                case(f"its open list of records: {lines if isinstance(lines, str) else 'as it was'}",
                     lines == self.lines[i] or lines in allowed)
                lines = outcome(lambda n: open(n, "rb").read(), f"{mount}/records/{i:09}")
                case(f"its list of records: {lines if isinstance(lines, str) else 'as it was'}",
                     lines == self.lines[i] or lines in allowed | {"ENOENT"})
                case(f"its open file: {segment if isinstance(segment, str) else 'as it was'}",
                     segment == self.bytes[i] or segment in allowed or self.is_what_is_left(segment, i))
            else:
                case(f"segment {i} reads on everywhere",
                     ours == by_name == self.payload(i) == wanted and segment == self.bytes[i] and
                     outcome(os.pread, self.records[i], SIZE, 0) == self.lines[i])

    def check_live(self):
        """What was in the live segment, when that has not been touched."""
        is_("the live segment's payload reads on",
            outcome(os.pread, self.payloads[2], RECORD, 0), PAYLOADS[4])
        is_("in the stream, too", outcome(os.pread, self.stream, RECORD, 4 * RECORD), PAYLOADS[4])


def fill():
    fd = os.open(append, os.O_WRONLY)
    for payload in PAYLOADS:
        os.write(fd, payload)
    os.fsync(fd)
    case("three segments hold records, the fourth is prepared",
         wait_for(lambda: all(map(os.path.exists, [path(3), *(f"{queue}/00000000{i}.idx" for i in range(2))]))))
    return fd


def goes_on(fd, count=6):
    """Appends into several new segments, and makes it durable."""
    is_("appending goes on", {outcome(os.write, fd, b"m" * RECORD) for _ in range(count)}, {RECORD})
    is_("and fsync", outcome(os.fsync, fd), None)
    end = os.fstat(os.open(mount + "/stream", os.O_RDONLY | os.O_NONBLOCK)).st_size
    other = os.open(mount + "/stream", os.O_RDONLY | os.O_NONBLOCK)
    is_("what is new is read", outcome(os.pread, other, RECORD, end - RECORD), b"m" * RECORD)
    is_("the state is shown, without an error", stats(mount)["writer_error"], 0)


def stands_still(fd, first=b"m" * RECORD):
    """Nothing is accepted any more.  A write that was before the damage is noticed is no lie: it is its
    fsync that says whether it lasts."""
    for _ in range(6):
        if outcome(os.write, fd, first) != RECORD:
            break
    is_("fsync gives EIO", outcome(os.fsync, fd), "EIO")
    is_("appending gives EIO", outcome(os.write, fd, b"m"), "EIO")
    is_("on every file", outcome(os.write, os.open(append, os.O_WRONLY), b"m"), "EIO")
    is_("a line, too", outcome(os.write, os.open(mount + "/append.lines", os.O_WRONLY), b"m\n"), "EIO")
    is_("the state says so", stats(mount)["writer_error"], "EIO")


def truncate(number, size):
    os.truncate(path(number), size)


def replace(number):
    with open(queue + "/other", "wb") as file:
        file.write(os.urandom(SIZE))
    os.rename(queue + "/other", path(number))


def overwrite(number):
    """In place, all but the header."""
    with open(path(number), "r+b") as file:
        file.seek(64)
        file.write(os.urandom(SIZE - 64))


def sealed(damage):
    views, fd = Views(), os.open(append, os.O_WRONLY)
    damage()
    views.check(1, ["EIO", "ENODATA"])
    views.check_live()
    is_("listing goes on", {"000000000.q", "000000002.q"} <= set(os.listdir(mount + "/segments")), True)
    goes_on(fd)
    verified = subprocess.run([os.environ["CHRONQ"], "verify", queue], capture_output=True)
    case("verify finds it", verified.returncode != 0 and b"segment 000000001" in verified.stdout,
         verified.stdout)


def part_sealed_emptied():
    sealed(lambda: truncate(1, 0))


def part_sealed_halved():
    sealed(lambda: truncate(1, SIZE // 2))


def part_sealed_longer():
    sealed(lambda: truncate(1, 2 * SIZE))


def part_sealed_deleted():
    sealed(lambda: os.unlink(path(1)))


def part_sealed_replaced():
    sealed(lambda: replace(1))


def part_sealed_unreadable():
    """The daemon has none of root's rights to read everything."""
    views, fd = Views(), os.open(append, os.O_WRONLY)
    os.chmod(path(1), 0)
    views.check(1, ["EIO", "EACCES"])
    views.check_live()
    goes_on(fd)
    os.chmod(path(1), 0o640)
    is_("when it may be read again it is", wait_for(lambda: outcome(
        lambda: open(mount + "/payload/000000001", "rb").read()) == WHOLE[2 * RECORD:4 * RECORD]), True)


def part_sealed_overwritten():
    views, fd = Views(), os.open(append, os.O_WRONLY)
    overwrite(1)
    for what, got in (("the stream", outcome(os.pread, views.stream, RECORD, 2 * RECORD)),
                      ("the payload file", views.payload(1)[:RECORD])):
        case(f"{what} gives no byte that was not appended",
             got == "EIO" or got == PAYLOADS[2] or got == "", got)
    fresh = os.open(mount + "/stream", os.O_RDONLY | os.O_NONBLOCK)
    is_("segment 0 reads on", os.pread(fresh, 2 * RECORD, 0), WHOLE[:2 * RECORD])
    views.check_live()
    goes_on(fd)


def live(damage, still=True):
    views, fd = Views(), os.open(append, os.O_WRONLY)
    damage()
    (stands_still if still else goes_on)(fd)
    views.check(None, [])
    return views


def part_live_emptied():
    live(lambda: truncate(2, 0))


def part_live_halved():
    live(lambda: truncate(2, SIZE // 2))


def part_live_deleted():
    views, fd = Views(), os.open(append, os.O_WRONLY)
    os.unlink(path(2))
    stands_still(fd, b"m")
    views.check(None, [])


def part_live_replaced():
    views, fd = Views(), os.open(append, os.O_WRONLY)
    replace(2)
    stands_still(fd, b"m")
    views.check(None, [])


def part_next_emptied():
    views = live(lambda: truncate(3, 0))
    views.check_live()


def part_next_deleted():
    """The writer has it open, and goes through it to the next one.  (That a segment which has been left
    is gone before its flush counts as trimmed.)"""
    views, fd = Views(), os.open(append, os.O_WRONLY)
    os.unlink(path(3))
    for _ in range(6):
        outcome(os.write, fd, b"m" * RECORD)
    views.check(None, [])
    views.check_live()


def part_control_emptied():
    views = live(lambda: os.truncate(queue + "/control.meta", 0), still=False)
    views.check_live()


def part_control_deleted():
    views = live(lambda: os.unlink(queue + "/control.meta"), still=False)
    views.check_live()


def part_readers_deleted():
    views = live(lambda: shutil.rmtree(queue + "/readers", ignore_errors=True), still=False)
    views.check_live()


def part_directory_moved():
    views = live(lambda: os.rename(queue, queue + ".moved"), still=False)
    views.check_live()


def part_directory_immutable():
    """No segment can be made or deleted there."""
    views, fd = Views(), os.open(append, os.O_WRONLY)
    if subprocess.run(["chattr", "+i", queue], capture_output=True).returncode != 0:
        print("ok - no directory is made immutable here # SKIP chattr has failed")
        return
    try:
        errors = {outcome(os.write, fd, b"m" * RECORD) for _ in range(9)} - {RECORD}
        is_("when the next segment cannot be made a write says so", errors, {"EPERM"})
        is_("what there was is durable", outcome(os.fsync, fd), None)
        views.check(None, [])
        views.check_live()
    finally:
        subprocess.run(["chattr", "-i", queue], check=True)
    goes_on(fd)


def part_directory_deleted():
    views, fd = Views(), os.open(append, os.O_WRONLY)
    shutil.rmtree(queue)
    stands_still(fd)
    is_("open segment files read on", [os.pread(fd, SIZE, 0) for fd in views.segments[:2]],
        views.bytes[:2])
    is_("the directory is empty", os.listdir(mount + "/segments"), [])


def part_live_size():
    """The kernel does not cache the attributes of a live segment."""
    names = [f"{mount}/{name}/000000002" for name in ("payload", "records")]
    fd = os.open(append, os.O_WRONLY)
    sizes = []
    for _ in range(5):
        os.write(fd, b"12345")
        sizes.append(tuple(os.stat(name).st_size for name in names))
    is_("live files have their sizes at once", sizes, [(RECORD + 5 * i, 90 + 90 * i) for i in range(1, 6)])


fill()
globals()["part_" + part]()
