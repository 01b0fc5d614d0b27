# SPDX-License-Identifier: Apache-2.0
"""errors.py SUBJECT QUEUE MOUNT - the table of errno, row by row, on a mount that errors.sh has made.

full, nospace  a queue that cannot grow: EDQUOT or ENOSPC, EAGAIN with O_NONBLOCK
blocking       the same where writes wait for a second
waiting        and where they wait long, on the queue that is full from that: EINTR, signals, room
trimmed        ENODATA
damaged        EIO
header         the same where the header of a record is damaged
"""

import errno
import os
import signal
import struct
import subprocess
import sys
import threading
import time

from records import record_lines, records, segment_ids, segment_path
from testlib import PATIENCE, error_of, made_late, stats, wait_for

subject, queue, mount = sys.argv[1:]
append, lines, stream = (f"{mount}/{name}" for name in ("append", "append.lines", "stream"))
FILLING = b"x" * 3900  # of these a segment of 4096 bytes holds one
OPEN_LINE = b"line" * 975


def case(what, good):
    print(f"{'ok' if good else 'not ok'} - {subject}: {what}", flush=True)


def is_error(what, wanted, call, *args):
    got = error_of(call, *args)
    if got != wanted:
        print(f"got {got}")
    case(f"{what}: {wanted or 'no error'}", got == wanted)


def write(fd, data):
    if os.write(fd, data) != len(data):
        raise ValueError("a short write")


def fill(fd, wanted):
    """Writes until nothing more goes in; the number of writes that did."""
    count = 0
    while count < 1000:
        made = stats(mount)["prealloc"]["made"]
        error = error_of(write, fd, FILLING)
        if not error:
            count += 1
        elif error != "ENOSPC" or not made_late(mount, made):
            case(f"the queue is full: {wanted}", error == wanted)
            return count
    raise ValueError("it is never full")


def closing(path, data):
    """What close(2) says after writing `data`, which has no newline."""
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, data)
    os.close(fd)


def full(wanted):
    fd = os.open(append, os.O_WRONLY)
    count = fill(fd, wanted)
    before = records(queue)
    case("what was acknowledged is there", len(before) == count)
    is_error("write again", wanted, write, fd, FILLING)
    is_error("a write that is too long, too", "EMSGSIZE", write, fd, FILLING * 2)
    is_error("O_SYNC", wanted, write, os.open(append, os.O_WRONLY | os.O_SYNC), FILLING)
    other = os.open(append, os.O_WRONLY | os.O_NONBLOCK)
    nonblocking = "EAGAIN" if wanted == "EDQUOT" else wanted
    is_error("O_NONBLOCK", nonblocking, write, other, FILLING)
    os.close(other)
    line = os.open(lines, os.O_WRONLY)
    is_error("a line", wanted, write, line, FILLING + b"\n")
    os.close(line)
    is_error("an open line, at close", wanted, closing, lines, OPEN_LINE)
    is_error("an empty write goes on", None, write, fd, b"")
    is_error("fsync goes on", None, os.fsync, fd)
    is_error("reading goes on", None, open(stream, "rb").read)
    is_error("opening goes on", None, lambda: os.close(os.open(append, os.O_WRONLY)))
    case("nothing of these was appended", records(queue) == before)
    return fd, before


def trim_oldest():
    os.unlink(f"{mount}/segments/{segment_ids(queue)[0]:09}.q")


def newest_is(payload):
    return records(queue)[-1].payload == payload


def subject_full():
    fd, before = full("EDQUOT")
    case("df shows no room", os.statvfs(mount).f_bavail == 0)
    trim_oldest()
    case("when there is room again the line that was open at close comes first",
         wait_for(lambda: newest_is(OPEN_LINE)))
    trim_oldest()
    is_error("then a write", None, write, fd, FILLING)
    case("it is there", newest_is(FILLING) and len(records(queue)) == len(before))
    fill(fd, "EDQUOT")


def subject_nospace():
    fd, before = full("ENOSPC")
    os.unlink(os.path.dirname(queue) + "/ballast")
    trim_oldest()
    case("when there is room again the line that was open at close comes first",
         wait_for(lambda: newest_is(OPEN_LINE)))
    case("then a write", wait_for(lambda: not error_of(write, fd, FILLING)))
    case("it is there", newest_is(FILLING) and len(records(queue)) == len(before) + 1)


def in_thread(call, *args):
    result = []
    thread = threading.Thread(target=lambda: result.append(error_of(call, *args)))
    thread.start()
    return thread, result


def waiting_writes():
    return stats(mount)["waiting"]["writes"]


def waiting_child(data):
    """A child that waits in a write."""
    child = os.fork()
    if child == 0:
        try:
            os.write(os.open(append, os.O_WRONLY), data)
        finally:
            os._exit(1)
    case("a write in a full queue waits", wait_for(lambda: waiting_writes() == 1))
    return child


def subject_blocking():
    """full=block=1000"""
    fd = os.open(append, os.O_WRONLY)
    begun = time.monotonic()
    fill(fd, "EDQUOT")
    case("after the time that the mount was given", 0.9 <= time.monotonic() - begun < PATIENCE)


def subject_waiting():
    """full=block=150000"""
    fd = os.open(append, os.O_WRONLY)
    before = len(records(queue))
    other = os.open(append, os.O_WRONLY | os.O_NONBLOCK)
    begun = time.monotonic()
    is_error("O_NONBLOCK", "EAGAIN", write, other, FILLING)
    case("at once", time.monotonic() - begun < PATIENCE)

    for number in signal.SIGTERM, signal.SIGKILL:
        for _ in range(20):  # a busy machine may hold some up
            child = waiting_child(FILLING)
            os.kill(child, number)
            begun = time.monotonic()
            status = os.waitpid(child, 0)[1]
            took = time.monotonic() - begun
            if took < 0.5:
                break
        case(f"{number.name} ends a waiting writer", os.waitstatus_to_exitcode(status) == -number)
        case(f"{number.name} does so at once", took < 0.5)
    is_error("SIGALRM in a waiting write", "EINTR", interrupted, fd)
    case("nothing of these was appended", len(records(queue)) == before)

    thread, result = in_thread(write, fd, FILLING)
    wait_for(lambda: waiting_writes() == 1)
    trim_oldest()
    thread.join(PATIENCE)
    case("a waiting write goes on when a segment is trimmed", result == [None])


class Alarm(Exception):
    pass


def interrupted(fd):
    def handler(*_):
        raise Alarm
    signal.signal(signal.SIGALRM, handler)
    # more than once: the first may come before the write waits
    signal.setitimer(signal.ITIMER_REAL, 0.1, 5)
    try:
        os.write(fd, FILLING)
    except Alarm:
        raise OSError(errno.EINTR, "write") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def subject_trimmed():
    fd = os.open(append, os.O_WRONLY)
    payloads = [bytes([65 + i]) * 3900 for i in range(8)]
    for payload in payloads:
        write(fd, payload)
    whole = b"".join(payloads)
    direct = os.open(stream, os.O_RDONLY | os.O_NONBLOCK)
    cached = os.open(stream, os.O_RDONLY)
    contents = {name: os.open(f"{mount}/{name}/000000000", os.O_RDONLY) for name in ("payload", "records")}
    with open(mount + "/ctl", "wb", buffering=0) as ctl:
        ctl.write(b"trim 3\n")
    case("trim 3 leaves the records from 3 on", [r.seq for r in records(queue)] == list(range(3, 8)))
    edge = 3 * 3900
    is_error("a range that is trimmed", "ENODATA", os.pread, direct, 1000, 0)
    is_error("its last byte", "ENODATA", os.pread, direct, 1, edge - 1)
    is_error("up to its end", "ENODATA", os.pread, direct, edge, 0)
    case("behind it", os.pread(direct, 5000, edge) == whole[edge:edge + 5000])
    case("the size stays", os.fstat(direct).st_size == os.fstat(cached).st_size == len(whole))
    is_error("the same from the page cache", "ENODATA", os.pread, cached, 1000, 0)
    page = -(-edge // 4096) * 4096
    case("and from the next page on", os.pread(cached, 5000, page) == whole[page:page + 5000])
    for name, fd in contents.items():
        is_error(f"an open file in {name}/", "ENODATA", os.pread, fd, 100, 0)
        is_error(f"a file in {name}/ by its name", "ENOENT", open, f"{mount}/{name}/000000000")
    case("an open stream begins where it did", os.getxattr(direct, "user.chronfs.begin") == b"0")
    found = subprocess.run(["getfattr", "--only-values", "-n", "user.chronfs.begin", stream],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    case("for others stream begins at what is left", found == b"%d" % edge)
    is_error("xattr that is not known", "ENODATA", os.getxattr, stream, "user.chronfs.no")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def subject_damaged():
    """Segment 1 is sealed; its second record gets another byte."""
    all_records = records(queue)
    ours = [r for r in all_records if r.segment == 1]
    length = len(ours[0].payload)
    flip(segment_path(queue, 1), 64 + 64 + (length + 63) // 64 * 64 + 64)
    damaged_at = sum(len(r.payload) for r in all_records if r.segment < 1) + length
    fd = os.open(stream, os.O_RDONLY | os.O_NONBLOCK)
    before = b"".join(r.payload for r in all_records)[:damaged_at]
    case("what is before it is read", os.pread(fd, damaged_at, 0) == before)
    is_error("the record that is damaged", "EIO", os.pread, fd, 10, damaged_at)
    last = all_records[-1].payload
    end = os.fstat(fd).st_size
    case("what is behind it is read", os.pread(fd, len(last), end - len(last)) == last)
    fd = os.open(f"{mount}/payload/000000001", os.O_RDONLY)
    is_error("in its payload file", "EIO", os.pread, fd, 10, length)
    lines = record_lines(queue)[1]
    with open(f"{mount}/records/000000001", "rb") as file:
        case("it has its line in records/: only payloads are damaged", file.read() == b"".join(lines))
    case("the segment file is what it is",
         open(f"{mount}/segments/000000001.q", "rb").read() ==
         open(segment_path(queue, 1), "rb").read())
    flags = struct.unpack_from("<12xI", open(segment_path(queue, 1), "rb").read(16))[0]
    case("and sealed", flags & 1)
    is_error("appending goes on", None, write, os.open(append, os.O_WRONLY), b"more")
    flip(segment_path(queue, 1), 64 + 64 + (length + 63) // 64 * 64 + 64)


def subject_header():
    """Segment 1 is sealed; the header of its second record gets another byte."""
    lines = record_lines(queue)[1]
    first = next(r for r in records(queue) if r.segment == 1)
    at = 64 + 64 + (len(first.payload) + 63) // 64 * 64 + 16
    name = f"{mount}/records/000000001"
    flip(segment_path(queue, 1), at)
    case("the size is what the summary tells", os.stat(name).st_size == 90 * len(lines))
    fd = os.open(name, os.O_RDONLY | os.O_DIRECT)
    case("the line of the record before it", os.pread(fd, 90, 0) == lines[0])
    is_error("its own line", "EIO", os.pread, fd, 90, 90)
    is_error("the line of the record behind it, to which no way leads", "EIO", os.pread, fd, 90, 180)
    is_error("through the page cache, the page of all", "EIO", lambda: open(name, "rb").read())
    flip(segment_path(queue, 1), at)
    with open(name, "rb") as file:
        case("when it is sound again they are there", file.read() == b"".join(lines))


globals()["subject_" + subject]()
