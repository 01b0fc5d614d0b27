#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sink.py MOUNT LIMIT - system calls on append that no shell makes; prints a line per case."""

import fcntl
import json
import mmap
import os
import subprocess
import sys
import threading

import syscalls
from testlib import PATIENCE, case, error_of

mount, limit = sys.argv[1], int(sys.argv[2])
path = mount + "/append"
queue = [line.split()[0] for line in open("/proc/mounts") if line.split()[1] == mount][0]


def is_error(what, wanted, call, *args):
    got = error_of(call, *args)
    if got != wanted:
        print(f"got {got}, wanted {wanted}")
    case(f"{what}: {wanted or 'success'}", got == wanted)


def newest():
    """Payload length of the newest record."""
    out = subprocess.run([os.environ["CHRONQ"], "tail", "-n", "1", "--json", queue],
                         capture_output=True, check=True).stdout
    return json.loads(out)["length"]


fd = os.open(path, os.O_RDWR | os.O_APPEND)
is_error(f"write of {limit}", None, os.write, fd, b"a" * limit)
case("it is one record", newest() == limit)
is_error(f"write of {limit + 1}", "EMSGSIZE", os.write, fd, b"b" * (limit + 1))
is_error("write of 1 MiB", "EMSGSIZE", os.write, fd, b"b" * (1 << 20))
is_error("write of 3 MiB", "EMSGSIZE", os.write, fd, b"b" * (3 << 20))
offset = bytearray((1 << 20) + 4096)
view = memoryview(offset)[100:100 + (1 << 20)]
is_error("write of 1 MiB from an unaligned buffer", "EMSGSIZE", os.write, fd, view)
case("nothing of these was appended", newest() == limit)
case("a record of one byte", os.write(fd, b"c") == 1 and newest() == 1)
case("writev gives one record", os.writev(fd, [b"12", b"345", b"6"]) == 6 and newest() == 6)
case("a write of nothing is no record", os.write(fd, b"") == 0 and newest() == 6)
case("pwrite ignores its offset", os.pwrite(fd, b"1234", 1000000) == 4 and newest() == 4)
case("lseek succeeds", os.lseek(fd, 4096, os.SEEK_SET) == 4096)
case("reading gives end of file", os.read(fd, 10) == b"")
is_error("SEEK_DATA", "ENXIO", os.lseek, fd, 0, os.SEEK_DATA)
is_error("ftruncate to 0", None, os.ftruncate, fd, 0)
is_error("ftruncate to 1", "EPERM", os.ftruncate, fd, 1)
is_error("fsync", None, os.fsync, fd)
is_error("fdatasync", None, os.fdatasync, fd)
is_error("utime", None, os.utime, path, (1, 1))
is_error("fallocate", "EPERM", syscalls.fallocate, fd, 0, 0, 100)
# glibc writes a byte into each block where fallocate() is not supported
length = newest()
is_error("posix_fallocate", "EPERM", os.posix_fallocate, fd, 0, 10000)
case("which appends nothing", newest() == length)
is_error("chmod that changes nothing", None, os.chmod, path, 0o644)
is_error("chmod", "EPERM", os.chmod, path, 0o600)
is_error("chown that changes nothing", None, os.chown, path, os.getuid(), -1)
is_error("chown", "EPERM", os.chown, path, 12345, -1)
is_error("shared mapping", "ENODEV", syscalls.Mapping, fd, 4096, mmap.PROT_READ, mmap.MAP_SHARED)

for name, flag in (("O_SYNC", os.O_SYNC), ("O_DSYNC", os.O_DSYNC)):
    other = os.open(path, os.O_WRONLY | flag)
    case(f"write with {name}", os.write(other, name.encode()) == len(name) and
         newest() == len(name))
    os.close(other)
case("pwritev with RWF_DSYNC", os.pwritev(fd, [b"dsync"], 0, os.RWF_DSYNC) == 5 and newest() == 5)
for what in (mount, mount + "/segments", mount + "/segments/000000000.q"):
    other = os.open(what, os.O_RDONLY)
    is_error(f"fsync of {os.path.basename(what)}", None, os.fsync, other)
    os.close(other)
other = os.open(path, os.O_WRONLY)
os.listdir(mount)
case("ls does not move an open file to another node", os.readlink(f"/proc/self/fd/{other}") == path)
os.close(other)
case("all opens have one inode number", os.stat(path).st_ino == os.fstat(fd).st_ino)

# flock and POSIX locks hold between two opens, though these are nodes of their own.
other = os.open(path, os.O_WRONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
is_error("flock of what is locked", "EAGAIN", fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
got = threading.Event()
waiter = threading.Thread(target=lambda: (fcntl.flock(other, fcntl.LOCK_SH), got.set()))
waiter.start()
case("a waiting flock waits", not got.wait(0.2))
fcntl.flock(fd, fcntl.LOCK_UN)
case("and gets the lock when it is free", got.wait(PATIENCE))
waiter.join()
is_error("a second reader", None, fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
os.close(other)  # the kernel tells the mount a moment later: so this waits, if it has to
is_error("a closed file holds nothing", None, fcntl.flock, fd, fcntl.LOCK_EX)
fcntl.flock(fd, fcntl.LOCK_UN)

fcntl.lockf(fd, fcntl.LOCK_EX, 100, 0)
child = os.fork()
if child == 0:
    mine = os.open(path, os.O_RDWR)
    bad = error_of(fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 50) != "EAGAIN"
    bad |= error_of(fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 100) is not None
    os._exit(bad)
case("POSIX locks exclude by range", os.waitpid(child, 0)[1] == 0)
fcntl.lockf(fd, fcntl.LOCK_UN, 10, 50)
child = os.fork()
if child == 0:
    mine = os.open(path, os.O_RDWR)
    bad = error_of(fcntl.lockf, mine, fcntl.LOCK_EX, 10, 50) is not None
    bad |= error_of(fcntl.lockf, mine, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 49) != "EAGAIN"
    bad |= error_of(fcntl.lockf, mine, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 60) != "EAGAIN"
    os._exit(bad)
case("an unlock in the middle leaves both sides", os.waitpid(child, 0)[1] == 0)
os.close(fd)
fd = os.open(path, os.O_RDWR)
is_error("locks end with their file", None, fcntl.lockf, fd, fcntl.LOCK_EX)
os.close(fd)
