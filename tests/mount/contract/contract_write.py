# SPDX-License-Identifier: Apache-2.0
"""Writing to append, append.lines and ctl, and what records that makes: rows for contract.py.

Rows of the contract: "write on append", "write over the limit", "write on append.lines", "O_SYNC,
O_DSYNC, RWF_DSYNC", "fsync, fdatasync", "close", and the one of ctl in the tree.
"""

import fcntl
import os
import struct

import syscalls
from contract import outcome
from records import Follower, segment_ids

SEGMENT_SIZE = 16384  # as contract.sh mounts
LIMIT = SEGMENT_SIZE - 128
PAGE = 4096
RWF_SYNC, RWF_APPEND = 0x4, 0x10

W, RW = os.O_WRONLY, os.O_RDWR
BIG = bytes(range(256)) * 64  # 16 KiB


def write(data):
    return lambda fd: os.write(fd, data)


def after(prepare, data):
    """A write after something that must not matter."""
    def call(fd):
        prepare(fd)
        return os.write(fd, data)
    return call


def pieces(*parts):
    """Writes one after another, through one open file."""
    return lambda fd: sum(os.write(fd, part) for part in parts)


def set_flags(flags):
    return lambda fd: fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | flags)


def flagged(data, flags):
    """pwritev2(2)"""
    return lambda fd: os.pwritev(fd, [data], 0, flags)


def from_pipe(fd):
    reader, writer = os.pipe()
    try:
        os.write(writer, b"splice\n")
        return os.splice(reader, fd, 100)
    finally:
        os.close(reader)
        os.close(writer)


def from_file(function):
    def call(fd):
        other = os.memfd_create("source")
        try:
            os.write(other, b"a file's\n")
            return function(fd, other)
        finally:
            os.close(other)
    return call


def in_child(data):
    """A child that writes to what it has inherited, and exits."""
    def call(fd):
        child = os.fork()
        if child == 0:
            os.write(fd, data)
            os._exit(0)
        return os.waitpid(child, 0)[1]
    return call


def through_dup(data):
    def call(fd):
        other = os.dup(fd)
        try:
            return os.write(other, data)
        finally:
            os.close(other)
    return call


#  what                    flags  call on the open file           gives        records
APPEND = [
    ("write", W, write(b"one"), "=3", [b"one"]),
    ("write, O_RDWR", RW, write(b"one"), "=3", [b"one"]),
    ("write, O_APPEND", W | os.O_APPEND, write(b"one"), "=3", [b"one"]),
    ("write, O_TRUNC", W | os.O_TRUNC, write(b"one"), "=3", [b"one"]),
    ("write, O_DIRECT", W | os.O_DIRECT, write(b"one"), "=3", [b"one"]),
    ("write of a newline", W, write(b"\n"), "=1", [b"\n"]),
    ("write of lines", W, write(b"one\ntwo\n"), "=8", [b"one\ntwo\n"]),
    ("write of binary", W, write(BIG[:1000]), "=1000", [BIG[:1000]]),
    ("write of zeros", W, write(bytes(500)), "=500", [bytes(500)]),
    ("write of nothing", W, write(b""), "=0", []),
    ("write of the limit", W, write(BIG[:LIMIT]), f"={LIMIT}", [BIG[:LIMIT]]),
    ("write of the limit + 1", W, write(BIG[:LIMIT + 1]), "EMSGSIZE", []),
    ("write of a segment", W, write(BIG), "EMSGSIZE", []),
    ("write of 1 MiB", W, write(BIG * 64), "EMSGSIZE", []),
    ("write of 1 MiB, unaligned", W,
     lambda fd: os.write(fd, memoryview(BIG * 65)[100:(1 << 20) + 100]), "EMSGSIZE", []),
    ("write of 3 MiB", W, write(BIG * 192), "EMSGSIZE", []),
    ("write after too long a one", W,
     after(lambda fd: outcome("root", os.write, fd, BIG), b"short"), "=5", [b"short"]),
    ("two writes", W, pieces(b"one", b"two"), "=6", [b"one", b"two"]),
    ("write after lseek", W, after(lambda fd: os.lseek(fd, 1 << 30, os.SEEK_SET), b"one"), "=3",
     [b"one"]),
    ("write after ftruncate 0", W, after(lambda fd: os.ftruncate(fd, 0), b"one"), "=3", [b"one"]),
    ("pwrite at 1 TiB", W, lambda fd: os.pwrite(fd, b"one", 1 << 40), "=3", [b"one"]),
    ("pwrite before the beginning", W, lambda fd: syscalls.call("pwrite", fd, b"one", 3, -1),
     "EINVAL", []),
    ("writev", W, lambda fd: os.writev(fd, [b"12", b"", b"345", b"6"]), "=6", [b"123456"]),
    ("writev of 256 pieces", W, lambda fd: os.writev(fd, [b"piece"] * 256), "=1280",
     [b"piece" * 256]),
    ("writev of nothing", W, lambda fd: os.writev(fd, [b""]), "=0", []),
    ("writev over the limit", W, lambda fd: os.writev(fd, [BIG[:LIMIT], b"x"]), "EMSGSIZE", []),
    ("pwritev", W, lambda fd: os.pwritev(fd, [b"12", b"3"], 77), "=3", [b"123"]),
    ("RWF_DSYNC", W, flagged(b"one", os.RWF_DSYNC), "=3", [b"one"]),
    ("RWF_SYNC", W, flagged(b"one", RWF_SYNC), "=3", [b"one"]),
    ("RWF_APPEND", W, flagged(b"one", RWF_APPEND), "=3", [b"one"]),
    ("O_SYNC", W | os.O_SYNC, write(b"one"), "=3", [b"one"]),
    ("O_DSYNC", W | os.O_DSYNC, write(b"one"), "=3", [b"one"]),
    ("O_DSYNC over the limit", W | os.O_DSYNC, write(BIG), "EMSGSIZE", []),
    ("O_NONBLOCK, with room", W | os.O_NONBLOCK, write(b"one"), "=3", [b"one"]),
    ("F_SETFL O_NONBLOCK, with room", W, after(set_flags(os.O_NONBLOCK), b"one"), "=3", [b"one"]),
    ("fsync after it", W, lambda fd: os.write(fd, b"one") and os.fsync(fd), "ok", [b"one"]),
    ("write through a duplicate", W, through_dup(b"one"), "=3", [b"one"]),
    ("write by a child", W, in_child(b"one"), "=0", [b"one"]),
    ("splice in", W, from_pipe, "=7", [b"splice\n"]),
    ("splice in, O_APPEND", W | os.O_APPEND, from_pipe, "EINVAL", []),
    ("sendfile in", W, from_file(lambda fd, other: os.sendfile(fd, other, 0, 100)), "=9",
     [b"a file's\n"]),
    ("copy_file_range in", W, from_file(lambda fd, other: os.copy_file_range(other, fd, 100, 0)),
     "EXDEV", []),
    ("SEEK_END, then write", W, after(lambda fd: os.lseek(fd, 0, os.SEEK_END), b"one"), "=3",
     [b"one"]),
    ("read after write", RW, lambda fd: os.write(fd, b"one") and os.read(fd, 10), "=b''", [b"one"]),
]

LINES = [
    ("write of a line", W, write(b"one\n"), "=4", [b"one\n"]),
    ("write of lines", W, write(b"one\ntwo\n\nfour\n"), "=14",
     [b"one\n", b"two\n", b"\n", b"four\n"]),
    ("an open line is a record at close", W, write(b"one\ntwo"), "=7", [b"one\n", b"two"]),
    ("a line in pieces", W, pieces(b"o", b"n", b"e\ntw", b"o\n"), "=8", [b"one\n", b"two\n"]),
    ("write of nothing", W, write(b""), "=0", []),
    ("an open line, then nothing", W, pieces(b"one", b""), "=3", [b"one"]),
    ("write of binary", W, write(b"\0\xff\n\0"), "=4", [b"\0\xff\n", b"\0"]),
    ("a line of the limit", W, write(b"x" * (LIMIT - 1) + b"\n"), f"={LIMIT}",
     [b"x" * (LIMIT - 1) + b"\n"]),
    ("a line of the limit + 1", W, write(b"x" * LIMIT + b"\n"), f"={LIMIT + 1}",
     [b"x" * LIMIT, b"\n"]),
    ("a line of the limit, in pieces", W, pieces(b"x" * 100, b"x" * (LIMIT - 101) + b"\n"),
     f"={LIMIT}", [b"x" * (LIMIT - 1) + b"\n"]),
    ("a line of the limit + 1, in pieces", W, pieces(b"x" * 100, b"x" * (LIMIT - 100) + b"\n"),
     f"={LIMIT + 1}", [b"x" * LIMIT, b"\n"]),
    ("an open line of the limit", W, write(b"x" * LIMIT), f"={LIMIT}", [b"x" * LIMIT]),
    ("40,000 bytes without a newline", W, write(b"x" * 40000), "=40000",
     [b"x" * LIMIT, b"x" * LIMIT, b"x" * (40000 - 2 * LIMIT)]),
    ("1.2 MiB of lines", W, write((b"y" * 999 + b"\n") * 1200), "=1200000",
     [b"y" * 999 + b"\n"] * 1200),
    ("writev", W, lambda fd: os.writev(fd, [b"one\nt", b"wo\n", b"end"]), "=11",
     [b"one\n", b"two\n", b"end"]),
    ("pwrite anywhere", W, lambda fd: os.pwrite(fd, b"one\n", 1 << 40), "=4", [b"one\n"]),
    ("O_TRUNC, O_APPEND", W | os.O_TRUNC | os.O_APPEND, write(b"one\n"), "=4", [b"one\n"]),
    ("O_SYNC", W | os.O_SYNC, write(b"one\ntwo"), "=7", [b"one\n", b"two"]),
    ("O_DSYNC, in pieces", W | os.O_DSYNC, pieces(b"one", b"two\n"), "=7", [b"one", b"two\n"]),
    ("RWF_DSYNC", W, flagged(b"one\n", os.RWF_DSYNC), "=4", [b"one\n"]),
    ("fsync in the middle of a line", W,
     lambda fd: os.write(fd, b"one") and (os.fsync(fd), os.write(fd, b"two\n"))[1], "=4",
     [b"one", b"two\n"]),
    ("ftruncate 0 in the middle", W, after(lambda fd: (os.write(fd, b"on"), os.ftruncate(fd, 0)),
                                           b"e\n"), "=2", [b"one\n"]),
    ("closing a duplicate", W, lambda fd: (os.write(fd, b"one"), os.close(os.dup(fd)),
                                           os.write(fd, b"two\n"))[2], "=4", [b"one", b"two\n"]),
    ("a child that only exits", W, lambda fd: (os.write(fd, b"one"), in_child(b"")(fd),
                                               os.write(fd, b"two\n"))[2], "=4", [b"onetwo\n"]),
    ("a child goes on with the line", W, lambda fd: (os.write(fd, b"one"), in_child(b"two\n")(fd))[1],
     "=0", [b"onetwo\n"]),
    ("a child leaves a line open", W, lambda fd: (in_child(b"one")(fd), os.write(fd, b"two\n"))[1],
     "=4", [b"one", b"two\n"]),
    ("read", RW, lambda fd: os.write(fd, b"one") and os.read(fd, 10), "=b''", [b"one"]),
    ("splice in", W, from_pipe, "=7", [b"splice\n"]),
]

#  what                      text             gives     rolls
CTL = [
    ("roll", b"roll", "=4", 1),
    ("roll of an empty segment", b"roll\n", "=5", 0),
    ("sync", b"sync\n", "=5", 0),
    ("sync, blanks behind it", b"sync \n", "=6", 0),
    ("trim 0", b"trim 0\n", "=7", 0),
    ("nothing", b"", "=0", 0),
    ("a newline", b"\n", "EINVAL,=1", 0),
    ("an unknown verb", b"reboot\n", "EINVAL", 0),
    ("a verb with more behind it", b"roll now\n", "EINVAL", 0),
    ("a longer verb", b"rolls\n", "EINVAL", 0),
    ("upper case", b"ROLL\n", "EINVAL", 0),
    ("two verbs", b"roll\nsync\n", "EINVAL", 0),
    ("trim without a number", b"trim\n", "EINVAL", 0),
    ("trim of a word", b"trim all\n", "EINVAL", 0),
    ("trim of a negative number", b"trim -1\n", "EINVAL", 0),
    ("trim of a number and more", b"trim 1x\n", "EINVAL", 0),
    ("trim of too large a number", b"trim 99999999999999999999\n", "EINVAL", 0),
    ("a zero byte", b"sync\0", "EINVAL", 0),
    ("a page and more", b"sync" + b" " * 100000, "EINVAL,=100004", 0),
]


def sealed(queue):
    count = 0
    for number in segment_ids(queue):
        with open(f"{queue}/{number:09}.q", "rb") as file:
            count += struct.unpack_from("<12xI", file.read(16))[0] & 1
    return count


def cases(world, who):
    if who != "root" or world.read_only:
        return
    follower = Follower(world.queue)
    for kind, table in ("append", APPEND), ("append.lines", LINES):
        for what, flags, call, wanted, appended in table:
            fd = os.open(world.paths[kind], flags)
            got = outcome(who, call, fd)
            os.close(fd)
            new = follower.new()
            if got != wanted or new != appended:
                print(f"got {got[:60]}, appended {[len(r) for r in new][:9]} {str(new[:3])[:80]}")
            yield f"{kind}: {what}: {wanted}, {len(appended)} record(s)", \
                got == wanted and new == appended
    for what, text, wanted, rolls in CTL:
        before = sealed(world.queue)
        fd = os.open(world.paths["ctl"], W)
        got = outcome(who, os.write, fd, text)
        os.close(fd)
        if got not in wanted.split(","):
            print(f"got {got}")
        yield f"ctl: {what}: {wanted}", \
            got in wanted.split(",") and sealed(world.queue) - before == rolls
    yield "ctl: appends nothing", follower.new() == []
    with open(world.paths["append"], "wb", buffering=0) as file:
        file.write(b"the segment is in use again\n" * 200)
