#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""file_locks.py FILE - when locks end; prints a line for each question, "QUESTION: ANSWER".

The test runs it on an ordinary file and on a sink: the answers are the same.  Each lock is asked for by
another process, which does not wait.
"""

import fcntl
import os
import signal
import struct
import subprocess
import sys

from testlib import elsewhere

path = sys.argv[1]
FLOCK = "hhqqi4x"  # struct flock, 64 bits


def say(question, answer):
    print(f"{question}: {answer}", flush=True)


def opened():
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)


def record(kind, start=0, length=0):
    return struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0)


def lock(fd, kind=fcntl.F_WRLCK, start=0, length=0):
    fcntl.fcntl(fd, fcntl.F_SETLK, record(kind, start, length))


def lock_open_file(fd):
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, record(fcntl.F_WRLCK))


def held(start=0, length=0):
    """Who holds a lock that keeps another process out."""
    mine = os.getpid()

    def ask():
        kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(
            opened(), fcntl.F_GETLK, record(fcntl.F_WRLCK, start, length)))
        return "nobody" if kind == fcntl.F_UNLCK else "this process" if pid == mine else "another"
    return elsewhere(ask)


def flocked():
    def ask():
        try:
            fcntl.flock(opened(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "nobody"
        except BlockingIOError:
            return "somebody"
    return elsewhere(ask)


def child_holding(fd):
    """A process that has inherited this descriptor and nothing else of the file."""
    return subprocess.Popen(["sleep", "600"], pass_fds=[fd])


def end(process):
    process.kill()
    process.wait()


def dies_while_a_child_has_it():
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = opened()
        lock(fd)
        child = child_holding(fd)
        os.write(write_end, str(child.pid).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    child = int(os.read(read_end, 100))
    say("the owner is dead, a child has its descriptor", held())
    os.kill(child, signal.SIGKILL)


def closes_while_a_child_has_it():
    fd = opened()
    lock(fd)
    child = child_holding(fd)
    say("locked", held())
    os.close(fd)
    say("closed by the owner, a child has its descriptor", held())
    end(child)


def a_child_closes():
    fd = opened()
    lock(fd)
    child = child_holding(fd)
    end(child)
    say("closed by a child that had inherited it", held())
    os.close(fd)


def closes_a_duplicate():
    fd = opened()
    lock(fd)
    os.close(os.dup(fd))
    say("locked, then a duplicate is closed", held())
    os.close(fd)


def closes_another_open():
    fd, other = opened(), opened()
    lock(fd, start=100, length=10)
    lock(fd, fcntl.F_RDLCK, start=200, length=10)
    lock(other, start=300, length=10)
    os.close(other)
    say("another open of the file is closed", [held(start, 10) for start in (100, 200, 300)])
    os.close(fd)


def closes_to_read():
    fd = opened()
    lock(fd)
    os.close(os.open(path, os.O_RDONLY))
    say("an open to read is closed", held())
    os.close(fd)


def others_keep_theirs():
    fd = opened()
    lock(fd, start=0, length=10)

    def other():
        its = opened()
        lock(its, start=10, length=10)
        os.close(its)
        return ""
    elsewhere(other)
    say("another process has closed: its part, ours", [held(10, 10), held(0, 10)])
    os.close(fd)


def waits(release):
    """A process that waits for the lock gets it when this one does that."""
    fd = opened()
    lock(fd)
    ready_read, ready_write = os.pipe()
    got_read, got_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        its = os.open(path, os.O_RDWR)  # before it says so: a close would drop its locks only
        os.write(ready_write, b"x")
        fcntl.fcntl(its, fcntl.F_SETLKW, record(fcntl.F_WRLCK))
        os.write(got_write, b"got it")
        os._exit(0)
    os.close(got_write)
    os.read(ready_read, 1)
    release(fd)
    with os.fdopen(got_read, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(pid, 0)
    return answer


def waiters():
    say("one who waits, when a duplicate is closed", waits(lambda fd: os.close(os.dup(fd))))
    say("one who waits, when it is closed", waits(os.close))


def locks_of_open_files():
    fd, other = opened(), opened()
    lock_open_file(fd)
    os.close(os.dup(fd))
    os.close(other)
    say("a lock of the open file, a duplicate and another open closed", held() != "nobody")
    child = child_holding(fd)
    os.close(fd)
    say("and while a child has the descriptor", held() != "nobody")
    end(child)
    say("and when it has not", held())


def flocks():
    fd, other = opened(), opened()
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(os.dup(fd))
    os.close(other)
    say("flock, a duplicate and another open closed", flocked())
    child = child_holding(fd)
    os.close(fd)
    say("flock, while a child has the descriptor", flocked())
    end(child)
    say("flock, when it has not", flocked())


def in_two_processes(function):
    """What the function gives in each, called with a way to wait until both are there."""
    (first_read, first_write), (second_read, second_write) = os.pipe(), os.pipe()

    def meeting(to, come_from):
        def meet():
            os.write(to, b"x")
            os.read(come_from, 1)
        return meet
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, function(0, meeting(first_write, second_read)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    mine = function(1, meeting(second_write, first_read))
    with os.fdopen(read_end, "rb") as pipe:
        theirs = pipe.read().decode()
    os.waitpid(pid, 0)
    return sorted([mine, theirs])


def a_flock_is_changed():
    fd, other = opened(), opened()
    fcntl.flock(fd, fcntl.LOCK_SH)
    fcntl.flock(other, fcntl.LOCK_SH)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    fcntl.flock(other, fcntl.LOCK_UN)
    say("flock, a change is refused: what was held then", flocked())

    def change(_, meet):
        its = opened()
        fcntl.flock(its, fcntl.LOCK_SH)
        meet()
        fcntl.flock(its, fcntl.LOCK_EX)
        fcntl.flock(its, fcntl.LOCK_UN)
        return "got it"
    say("flock, two change theirs at the same time", in_two_processes(change))
    fcntl.flock(fd, fcntl.LOCK_EX)
    fcntl.flock(fd, fcntl.LOCK_SH)
    say("flock, exclusive, then shared", flocked())


def two_wait_for_each_other():
    def waits_for(fd, start=0, length=0):
        try:
            fcntl.fcntl(fd, fcntl.F_SETLKW, record(fcntl.F_WRLCK, start, length))
            return "got it"
        except OSError as error:
            return error.strerror
        finally:
            os.close(fd)

    def cross(mine, meet):
        fd = opened()
        lock(fd, start=mine, length=1)
        meet()
        return waits_for(fd, 1 - mine, 1)
    say("two that wait for each other", in_two_processes(cross))

    def change(_, meet):
        fd = opened()
        lock(fd, fcntl.F_RDLCK)
        meet()
        return waits_for(fd)
    say("two that change theirs", in_two_processes(change))


for part in (dies_while_a_child_has_it, closes_while_a_child_has_it, a_child_closes, closes_a_duplicate,
             closes_another_open, closes_to_read, others_keep_theirs, waiters, locks_of_open_files, flocks,
             a_flock_is_changed, two_wait_for_each_other):
    part()
