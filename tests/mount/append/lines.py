#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lines.py MOUNT QUEUE LIMIT - what append.lines makes of writes; prints a line per case."""

import os
import random
import subprocess
import sys
import time

from testlib import New, case, client, is_, lines_of, outcome, wait_for, write_all

mount, queue, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
path = mount + "/append.lines"
log = New(queue)


def opened(flags=os.O_WRONLY):
    return os.open(path, flags)


def last_seq(fd):
    return outcome(os.getxattr, fd, "user.chronfs.last_seq")


# ---- the table: how a text is cut into writes, and what is opened and closed on the way ----

def in_one_open(pieces):
    fd = opened()
    for piece in pieces:
        write_all(fd, piece, len(piece))
    os.close(fd)


def open_each_time(pieces):
    for piece in pieces:
        fd = opened()
        os.write(fd, piece)
        os.close(fd)


def closing_duplicates(pieces):
    fd = opened()
    for piece in pieces:
        os.write(fd, piece)
        os.close(os.dup(fd))
    os.close(fd)


def by_turns_through_duplicates(pieces):
    fds = [opened()]
    fds.append(os.dup(fds[0]))
    for i, piece in enumerate(pieces):
        os.write(fds[i % 2], piece)
    os.close(fds[0])
    os.close(fds[1])


def joined(pieces):
    return lines_of(b"".join(pieces), limit)


def each(pieces):
    return [record for piece in pieces for record in lines_of(piece, limit)]


TEXTS = {
    "lines": b"one\ntwo\nthree\n",
    "no newline at the end": b"one\ntwo\nthree",
    "empty lines": b"\n\na\n\n\nb\n",
    "a line of the limit": b"x" * (limit - 1) + b"\nnext\n",
    "a line one over the limit": b"x" * limit + b"\nnext\n",
    "no newline, over the limit": bytes(i % 251 + 11 & 0xff or 1 for i in range(3 * limit + 5)
                                        ).replace(b"\n", b"."),
    "zero bytes": b"\0\0\n\0",
}
PATTERNS = ((in_one_open, joined), (open_each_time, each), (closing_duplicates, each),
            (by_turns_through_duplicates, joined))


def cuts(text):
    yield "whole", [text]
    if len(text) < 100:
        yield "byte by byte", [text[i:i + 1] for i in range(len(text))]
        for at in range(1, len(text)):
            yield f"cut at {at}", [text[:at], text[at:]]
    else:
        for step in (8192, 4096, limit - 1, limit, limit + 1):
            yield f"by {step}", [text[i:i + step] for i in range(0, len(text), step)]


def table():
    for name, text in TEXTS.items():
        for write, expected in PATTERNS:
            wrong = None
            for cut, pieces in cuts(text):
                write(pieces)
                wanted = expected(pieces)
                # the last RELEASE is not waited for by close(2), but the FLUSH before it is
                got = log.new()
                if got != wanted and not wrong:
                    wrong = cut, got, wanted
            case(f"{name}, {write.__name__.replace('_', ' ')}", not wrong, wrong)


# ---- buffers of the standard libraries ----

def buffers():
    text = b"".join(b"line %d %s\n" % (i, b"=" * (i * 7 % 90)) for i in range(1000))
    wanted = lines_of(text, limit)

    with open(path, "ab", buffering=8192) as f:
        for line in wanted:
            f.write(line)
    is_("a buffer of 8192 bytes cuts no record (python)", log.new(), wanted)
    for tool in ("awk '{print}'", "grep ''", "sed -u ''", "cat", "dd bs=512 status=none",
                 "stdbuf -o100 cat", "tee"):
        subprocess.run(f'{tool} >>"{path}"', shell=True, input=text, check=True,
                       stdout=subprocess.DEVNULL)
        is_(f"{tool.split()[0]}: each line a record", log.new(), wanted)
    fd = opened()
    write_all(fd, text, 1000)
    os.close(fd)
    is_("a loop of write(2)", log.new(), wanted)
    fd = opened()
    case("writev", os.writev(fd, [b"a\nb", b"c\n", b"d"]) == 6 and log.new() == [b"a\n", b"bc\n"])
    case("pwrite ignores its offset", os.pwrite(fd, b"e\n", 99999) == 2 and log.new() == [b"de\n"])
    case("a write of nothing", os.write(fd, b"") == 0 and log.new() == [])
    os.close(fd)


def large():
    data = random.Random(5).randbytes(min(5 << 20, 100 * limit))
    fd = opened()
    case("a write(2) much over the limit is whole", os.write(fd, data) == len(data))
    os.close(fd)
    is_("and its lines are the records", log.new(), lines_of(data, limit))
    many = b"".join(b"%d\n" % i for i in range(5000))  # several appends of the daemon
    fd = opened()
    os.write(fd, many)
    is_("a write of many lines", log.new(), lines_of(many, limit))
    os.close(fd)


# ---- what ends a line ----

def children():
    fd = opened()
    os.set_inheritable(fd, True)
    os.write(fd, b"the parent's ")
    subprocess.run(["true"], close_fds=False, check=True)
    case("a child that only inherits ends no line", log.new() == [])
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    case("neither does one that only exits", log.new() == [])
    subprocess.run(["sh", "-c", f"printf 'and the child' >&{fd}"], close_fds=False, check=True)
    is_("a child that wrote last ends it", log.new(), [b"the parent's and the child"])
    os.write(fd, b"again ")
    subprocess.run(["sh", "-c", f"echo line >&{fd}"], close_fds=False, check=True)
    is_("a child's newline ends the parent's line", log.new(), [b"again line\n"])
    os.write(fd, b"open")
    child = os.fork()
    if child == 0:
        os.close(fd)
        os._exit(0)
    os.waitpid(child, 0)
    case("a close in a child ends nothing", log.new() == [])
    os.close(fd)
    is_("the parent's close does", log.new(), [b"open"])
    killed = client(f"fd = os.open({path!r}, os.O_WRONLY)\n"
                    "os.write(fd, b'of a killed one'); print(flush=True); sys.stdin.read()")
    killed.stdout.readline()
    killed.kill()
    killed.communicate()
    is_("the line of a killed process", log.take(1), [b"of a killed one"])


def two_files():
    a, b = opened(), opened()
    other = client(f"fd = os.open({path!r}, os.O_WRONLY)\n"
                   "for i in range(200):\n    os.write(fd, b'from ')\n"
                   "    os.write(fd, b'another %d' % i); os.write(fd, b'\\n')\n")
    for i in range(200):
        os.write(a, b"a%d" % i)
        os.write(b, b"b%d" % i)
        os.write(a, b"a\n")
        os.write(b, b"b\n")
    other.communicate()
    got = log.new()
    wanted = sorted([b"a%da\n" % i for i in range(200)] + [b"b%db\n" % i for i in range(200)] +
                    [b"from another %d\n" % i for i in range(200)])
    is_("open lines of several files never mix", sorted(got), wanted)
    os.close(a)
    os.close(b)


def one_node_twice():
    a = opened()
    b = os.open(f"/proc/self/fd/{a}", os.O_WRONLY)
    os.write(a, b"through one")
    os.write(b, b"through another")
    os.write(a, b", ended\n")
    is_("two opens of one node have a line each", log.new(), [b"through one, ended\n"])
    os.close(b)
    is_("and each ends its own", log.new(), [b"through another"])
    os.close(a)


# ---- durable is durable ----

def durable():
    fd = opened()
    for name, sync in (("fsync", os.fsync), ("fdatasync", os.fdatasync)):
        os.write(fd, b"open")
        sync(fd)
        is_(f"{name} ends the line", log.new(), [b"open"])
    os.write(fd, b"still open")
    other = os.open(mount, os.O_RDONLY)
    os.fsync(other)
    os.close(other)
    case("an fsync of something else does not", log.new() == [])
    os.pwritev(fd, [b", now durable"], 0, os.RWF_DSYNC)
    is_("RWF_DSYNC ends the line", log.new(), [b"still open, now durable"])
    os.close(fd)
    for name in ("O_DSYNC", "O_SYNC"):
        fd = opened(os.O_WRONLY | getattr(os, name))
        os.write(fd, b"a\nb")
        is_(f"{name}: each write ends with a record", log.new(), [b"a\n", b"b"])
        os.close(fd)


def timeout():
    """line_timeout=1.  Where this process was held up for as long, it is tried again."""
    fd = opened()
    for _ in range(20):
        begin = time.monotonic()
        os.write(fd, b"first")
        early = log.new()
        late = time.monotonic() - begin > 0.99
        ended = early or log.take(1)
        if not late:
            break
    case("a line stays open for a while", early == [])
    is_("line_timeout ends it", ended, [b"first"])
    for _ in range(20):
        begin = before = time.monotonic()
        dots, late = b"", False
        while before < begin + 1.5:
            last, before = before, time.monotonic()
            os.write(fd, b".")
            late |= time.monotonic() - last > 0.99  # since before the last one
            dots += b"."
            time.sleep(0.02)
        os.write(fd, b"\n")
        late |= time.monotonic() - before > 0.99
        lines = log.new()
        if not late:
            break
    is_("each write gives it the whole time again", lines, [dots + b"\n"])
    os.close(fd)


def attributes():
    fd, other = opened(), opened()
    case("last_seq before the first record", last_seq(fd) == "ENODATA")
    os.write(fd, b"a\nb\nc")
    seq = int(last_seq(fd))
    os.write(other, b"x\n")
    case("last_seq is the file's own", int(last_seq(fd)) == seq and
         int(last_seq(other)) == seq + 1)
    os.write(fd, b"\n")
    case("last_seq follows", int(last_seq(fd)) == seq + 2)
    # within a second of an open the name may lead to that open file
    case("last_seq by path", wait_for(lambda: last_seq(path) == "ENODATA"))
    case("it is not listed", os.listxattr(fd) == [])
    again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    os.write(again, b"y\n")
    case("of two opens of one node: the later", int(last_seq(fd)) == seq + 3)
    for each_fd in (fd, other, again):
        os.close(each_fd)
    single = os.open(mount + "/append", os.O_WRONLY)
    case("append has it, too", last_seq(single) == "ENODATA" and os.write(single, b"z") == 1 and
         int(last_seq(single)) == seq + 4)
    os.close(single)
    log.new()


if len(sys.argv) > 4:
    timeout()
else:
    for test in (table, buffers, large, children, two_files, one_node_twice, durable, attributes):
        test()
