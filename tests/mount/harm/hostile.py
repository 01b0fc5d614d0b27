# SPDX-License-Identifier: Apache-2.0
"""hostile.py PART QUEUE MOUNT - hostile users, on a mount that hostile.sh has made; prints a
line per case.

access         what the modes forbid stays forbidden
open_files     ... and what users may hold of the daemon is bounded: files,
open_dirs      directories,
open_segments  segment files, which are descriptors of the daemon,
locks          locks and requests for locks,
open_line_bound  open lines of append.lines,
waiting        writes that wait for room,
orphans        ends of lines whose files were closed while there was none
flood          many of each request at once: all are answered, the mount answers meanwhile
fuzz           random requests with senseless arguments
"""

import fcntl
import os
import resource
import select
import sys
import threading
import time

import hostilefuzz
from testlib import PATIENCE, case, is_, outcome, stats, wait_for, waiting

part, queue, mount = sys.argv[1:]
append, lines, stream = (f"{mount}/{name}" for name in ("append", "append.lines", "stream"))
NOBODY = 65534


def as_nobody(function):
    """Runs it in a process of an ordinary user, whose cases it prints; what it returned."""
    sys.stdout.flush()
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            result = function()
            os.write(outside, repr(result).encode())
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(outside)
    with os.fdopen(inside) as file:
        said = file.read()
    is_("another user's process ends well", os.waitpid(child, 0)[1], 0)
    return said


def hold(call, most):
    """Opens with call() until that fails; the descriptors, and the errno's name or None."""
    held = []
    while len(held) < most:
        got = outcome(call)
        if isinstance(got, str):
            return held, got
        held.append(got)
    return held, None


def let_go(held):
    for fd in held:
        os.close(fd)


def opener(path, flags=os.O_RDONLY):
    return lambda: os.open(path, flags)


def appends(what):
    """The mount goes on for those who write, and shows its state."""
    is_(what + ": appending goes on", outcome(write_one), None)


def write_one():
    fd = os.open(append, os.O_WRONLY)
    try:
        os.write(fd, b"still here\n")
    finally:
        os.close(fd)


def descriptors(most):
    """Lets this process have so many files open, or as many as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > most:
        hard = most
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


# ---- access ----

def part_access():
    for i in range(40):
        write_one()
    size = os.stat(stream).st_size
    as_nobody(forbidden)
    is_("nothing was appended by another user", os.stat(stream).st_size, size)
    is_("the segments are all there", len(os.listdir(mount + "/segments")), 2)


def forbidden():
    for name in "append", "append.lines":
        for flags in os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC:
            is_(f"{name} is not opened to write by others, flags {flags:#o}",
                outcome(os.open, f"{mount}/{name}", flags), "EACCES")
        is_(f"{name} is not cut by others", outcome(os.truncate, f"{mount}/{name}", 0), "EACCES")
    for flags in os.O_RDONLY, os.O_WRONLY, os.O_RDWR:
        is_(f"ctl is not opened by others, flags {flags}",
            outcome(os.open, mount + "/ctl", flags), "EACCES")
    for name in "append", "ctl", "stats.json", "segments/000000000.q":
        is_(f"{name}: others change no mode", outcome(os.chmod, f"{mount}/{name}", 0o777), "EPERM")
        is_(f"{name}: others change no owner", outcome(os.chown, f"{mount}/{name}", NOBODY, -1),
            "EPERM")
    is_("others delete no segment", outcome(os.unlink, mount + "/segments/000000000.q"), "EACCES")
    is_("others make nothing", outcome(os.mkdir, mount + "/segments/x"), "EACCES")
    is_("others rename nothing", outcome(os.rename, append, mount + "/x"), "EACCES")
    is_("others read what everybody may", open(stream, "rb").read(5), b"still")
    fd = os.open(append, os.O_RDONLY)
    is_("what is open to read is not written to", outcome(os.write, fd, b"x"), "EBADF")
    other = outcome(os.open, f"/proc/self/fd/{fd}", os.O_WRONLY)
    is_("nor opened again to write", other, "EACCES")
    is_("others may ask for durability, which changes nothing", outcome(os.fsync, fd), None)


# ---- what may be held ----

def part_open_files():
    """max_open=200"""
    descriptors(400)
    as_nobody(others_open)
    # The kernel tells of a close after it has returned.  stats.json itself is open while it is read.
    wait_for(lambda: stats(mount)["held"]["open_files"] == 1)
    held, error = hold(opener(append), 300)
    case("the mounter may open twice as many as others, and no more",
         error == "ENFILE" and len(held) == 200, (error, len(held)))
    is_("other kinds of files count, too", outcome(os.open, stream, os.O_RDONLY), "ENFILE")
    is_("directories are listed all the same", len(os.listdir(mount)), 10)
    is_("what is open goes on", outcome(os.fsync, held[0]), None)
    let_go(held)
    case("when they are closed it opens again",
         wait_for(lambda: isinstance(outcome(opener(stream)), int)))
    appends("open_files")


def others_open():
    kinds = [opener(f"{mount}/{name}") for name in
             ("append", "append.lines", "stream", "stats.json", "metrics")]
    held, error = hold(lambda: kinds[len(os.listdir("/proc/self/fd")) % 5](), 300)
    case("others may open half of max_open", error == "ENFILE" and len(held) == 100,
         (error, len(held)))
    return len(held)


def part_open_dirs():
    descriptors(2048)
    held, error = hold(opener(mount + "/segments", os.O_RDONLY | os.O_DIRECTORY), 1500)
    case("so many directories, and no more", error == "ENFILE" and len(held) == 1024,
         (error, len(held)))
    is_("files open all the same", isinstance(outcome(opener(stream)), int), True)
    appends("open_dirs")
    let_go(held)
    case("when they are closed it lists again",
         wait_for(lambda: outcome(os.listdir, mount + "/segments") == ["000000000.q", "000000001.q"]))


def part_open_segments():
    """The daemon has 120 descriptors."""
    descriptors(400)
    for i in range(10):
        write_one()
    first = mount + "/segments/000000000.q"
    held, error = hold(opener(first), 300)
    case("so many segment files, and no more", error == "ENFILE" and len(held) == 60,
         (error, len(held)))
    fd = os.open(append, os.O_WRONLY)
    is_("twenty segments are made meanwhile",
        [outcome(os.write, fd, b"z" * 3900) for _ in range(20)], [3900] * 20)
    is_("and synced", outcome(os.fsync, fd), None)
    is_("payloads are read meanwhile", len(open(mount + "/payload/000000001", "rb").read()), 3900)
    is_("the stream, too", len(open(stream, "rb").read()), 110 + 20 * 3900)
    let_go(held)
    case("when they are closed they open again",
         wait_for(lambda: isinstance(outcome(opener(first)), int)))


def lock_bytes(fd, first, count, step=2):
    """Locks every second byte; how many it got, and the errno's name or None."""
    for i in range(count):
        got = outcome(fcntl.lockf, fd, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, first + i * step)
        if isinstance(got, str):
            return i, got
    return count, None


def others_lock():
    fd = os.open(append, os.O_RDONLY)
    begun = time.monotonic()
    got = lock_bytes(fd, 0, 100000)
    is_("others may hold half of the locks", got, (2048, "ENOLCK"))
    case("which takes no time", time.monotonic() - begun < PATIENCE)
    is_("a cut in the middle of one, too, needs another",
        outcome(fcntl.lockf, fd, fcntl.LOCK_UN, 1, 0), None)
    is_("for a longer one there is room", outcome(fcntl.lockf, fd, fcntl.LOCK_SH, 3, 10000), None)
    is_("which cannot be cut", outcome(fcntl.lockf, fd, fcntl.LOCK_UN, 1, 10001), "ENOLCK")
    is_("but shortened", outcome(fcntl.lockf, fd, fcntl.LOCK_UN, 1, 10000), None)
    mine = os.open(stream, os.O_RDONLY)
    is_("there is none left for others on another file",
        outcome(fcntl.flock, mine, fcntl.LOCK_SH), "ENOLCK")
    return 0


def part_locks():
    as_nobody(others_lock)
    fd = os.open(append, os.O_RDWR)
    is_("the mounter has the rest at once, for they ended with their process",
        lock_bytes(fd, 0, 5000), (4096, "ENOLCK"))
    appends("locks")
    begun = time.monotonic()
    other = os.open(append, os.O_RDWR)
    os.close(other)
    case("a file that has none is closed at once", time.monotonic() - begun < PATIENCE)
    is_("all go with one unlock", outcome(fcntl.lockf, fd, fcntl.LOCK_UN), None)
    is_("and can be had again", lock_bytes(fd, 0, 10), (10, None))


def part_open_line_bound():
    """256 MiB of open lines are kept; a line of the largest size is just below 1 MiB."""
    piece = b"x" * 1044479
    held = []
    got = len(piece)
    for _ in range(300):
        fd = os.open(lines, os.O_WRONLY)
        held.append(fd)
        got = outcome(os.write, fd, piece)
        if got != len(piece):
            break
    case("so many open lines, and no more", got == "ENOBUFS" and 250 < len(held) < 260,
         (got, len(held)))
    is_("they are counted", stats(mount)["lines"]["open_files"], len(held) - 1)
    fd = os.open(lines, os.O_WRONLY)
    is_("what ends a line is taken", outcome(os.write, fd, b"whole\n"), 6)
    is_("another open line is not", outcome(os.write, fd, piece), "ENOBUFS")
    appends("open_line_bound")
    os.fsync(held[0])
    is_("what one has given up another may have", outcome(os.write, fd, piece), len(piece))
    let_go(held + [fd])
    case("at the end they are all records",
         wait_for(lambda: stats(mount)["lines"]["open_files"] == 0))


def in_threads(count, function):
    threads = [threading.Thread(target=function, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join_all(threads):
    end = time.monotonic() + 120  # of commands that sync on a slow disk, one after another
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def writers_that_wait(count, path, data):
    """A process with so many threads, each of which writes once to a file of its own; what comes back
    is read from the pipe, an errno's name and a newline each."""
    inside, outside = os.pipe()
    child = os.fork()
    if child == 0:
        def write(_):
            got = outcome(os.write, os.open(path, os.O_WRONLY), data)
            os.write(outside, f"{got}\n".encode())
        in_threads(count, write)
        time.sleep(600)
    os.close(outside)
    return child, inside


def part_waiting():
    """full=block: 16 KiB in all; of what waits, 64 MiB are held."""
    fill = os.open(append, os.O_WRONLY | os.O_NONBLOCK)
    while outcome(os.write, fill, b"f" * 3900) == 3900:
        pass
    small, _ = writers_that_wait(300, append, b"w" * 3900)
    case("three hundred writers wait", waiting(mount, 300))
    is_("reading goes on", len(open(stream, "rb").read()) % 3900, 0)
    is_("fsync goes on", outcome(os.fsync, fill), None)
    is_("O_NONBLOCK: EAGAIN at once", outcome(os.write, fill, b"n"), "EAGAIN")
    # what is written to append.lines may be larger than a record, and is held whole
    large, answers = writers_that_wait(80, lines, b"l" * 1000000)
    got = os.read(answers, 7)
    is_("when what waits is 64 MiB the next is refused", got, b"EDQUOT\n")
    state = stats(mount)["waiting"]
    case("and no more is held", 60 << 20 < state["bytes"] <= 64 << 20, state)
    begun = time.monotonic()
    for child in small, large:
        os.kill(child, 9)
        os.waitpid(child, 0)
    case("SIGKILL ends all of them at once", time.monotonic() - begun < PATIENCE)
    case("and what waited is forgotten", waiting(mount, 0))


def part_orphans():
    """max_bytes=1M"""
    fill = os.open(append, os.O_WRONLY)
    for size in 60000, 64: # until not even a small record has room
        while outcome(os.write, fill, b"f" * size) == size:
            pass
    first = os.open(lines, os.O_WRONLY)
    count, got = 0, 1
    while got == 1 and count < 6000:
        got = outcome(open_line_left)
        count += got == 1
    # The kernel tells of a close after it has returned: a few opens may come before the last.
    case("so many closed files may have an end of a line left",
         4096 <= count < 4104 and got == "EDQUOT", (count, got))
    is_("what is open goes on", outcome(os.write, first, b"x"), 1)
    is_("reading it is allowed", outcome(lambda: open(lines, "rb").read()), b"")
    is_("the state shows them", stats(mount)["lines"]["open_files"], count + 1)
    with open(mount + "/ctl", "wb", buffering=0) as ctl:
        ctl.write(b"trim 1000000")
    case("when there is room they are all appended",
         wait_for(lambda: stats(mount)["lines"]["open_files"] == 1))
    is_("each once", stats(mount)["lines"]["partials"], count)
    case("and others may follow", wait_for(lambda: outcome(open_line_left) == 1))
    os.close(first)


def open_line_left():
    fd = os.open(lines, os.O_WRONLY)
    try:
        return os.write(fd, b"o")
    finally:
        try:
            os.close(fd)
        except OSError:
            pass


# ---- floods ----

def part_flood():
    for i in range(300):
        write_one()
    os.fsync(os.open(append, os.O_WRONLY))
    begun = time.monotonic()
    fds = [os.open(append, os.O_WRONLY) for _ in range(400)]
    results = []
    case("four hundred at a time: an append and an fsync each",
         join_all(in_threads(400, lambda i: results.append(
             (outcome(os.write, fds[i], b"f"), outcome(os.fsync, fds[i])))))
         and results == [(1, None)] * 400, results[:3])
    results.clear()
    ctl = [os.open(mount + "/ctl", os.O_WRONLY) for _ in range(400)]
    verbs = [b"roll", b"sync", b"trim 5", b"nonsense" * 400]
    case("commands", join_all(in_threads(400, lambda i: results.append(
        (i % 4, outcome(os.write, ctl[i], verbs[i % 4]))))) and len(results) == 400)
    is_("those that have no sense are refused",
        {got for verb, got in results if verb == 3}, {"EINVAL"})
    is_("the others done", {(verb, got) for verb, got in results if verb != 3},
        {(0, 4), (1, 4), (2, 6)})
    results.clear()
    case("unlinks", join_all(in_threads(100, lambda i: results.append(
        outcome(os.unlink, f"{mount}/segments/{99 - i:09}.q")))) and len(results) == 100)
    case("each with an answer that makes sense", set(results) <= {None, "EBUSY", "ENOENT"},
         set(results))
    streams = [os.open(stream, os.O_RDONLY | os.O_NONBLOCK) for _ in range(400)]
    for fd in streams:
        os.lseek(fd, 0, os.SEEK_END)
    poll = select.poll()
    for fd in fds + streams:
        poll.register(fd, select.POLLIN)
    poll.poll(0)
    write_one()
    case("eight hundred files are polled",
         wait_for(lambda: len(poll.poll(1000)) == 800))
    case("directories are listed by two hundred at once", join_all(in_threads(200, lambda _: [
        os.listdir(mount + "/segments"), os.listdir(mount + "/payload")])))
    let_go(fds + ctl + streams)
    print(f"floods: {time.monotonic() - begun:.1f} s")
    appends("flood")


def part_fuzz():
    hostilefuzz.run(mount)
    as_nobody(lambda: hostilefuzz.run(mount))
    appends("fuzz")


globals()["part_" + part]()
