# SPDX-License-Identifier: Apache-2.0
"""Random requests to a mount with arguments that make no sense, from one process.

Every call is the system call itself, so nothing is checked before the kernel and the mount do.  What
comes back may be any success or a refusal; never an error that says something went wrong in the mount.
FUZZ_SEED and FUZZ_SECONDS are of the environment; the seed is printed.
"""

import ctypes
import errno
import fcntl
import os
import random
import select
import struct
import time

from testlib import PATIENCE, case
from syscalls import AT_FDCWD, call

SECONDS = float(os.environ.get("FUZZ_SECONDS", "1.2"))
# What no request may be answered with: the mount is broken, or lacks an operation that it should refuse.
BROKEN = {"EIO", "ENOSYS", "ENOTCONN", "ECONNABORTED", "ENOMEM", "ESTALE", "EREMOTEIO", "EPROTO"}
NUMBERS = [0, 1, 2, 4095, 4096, 4097, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32,
           1 << 40, 1 << 52, (1 << 63) - 4096, (1 << 63) - 1, -1, -2, -4096, -(1 << 31), -(1 << 63)]
# None leads out of the mount.
NAMES = ["append", "append.lines", "ctl", "stream", "stats.json", "metrics", "segments", "payload", "records",
         "readers", "readers/x", "readers/..",
         "segments/000000000.q", "segments/000000001.q", "segments/999999999.q", "payload/000000000",
         "payload/000000001", "segments/00000000a.q", "segments/4294967296.q", "segments/0000000001.q",
         "payload/-00000001", "records/000000000", "records/000000001", "records/000000001.q", "", ".", "x" * 255, "x" * 256, "segments/" + "0" * 255,
         "new\nline: forged", "\x1b]0;title\x07", "segments/\x1b[2J\n000000000.q", "%s%n%n", "append/x",
         "segments/../append", "\udcff\udcfe", "a" * 4000]
XATTRS = ["user.chronfs.sealed", "user.chronfs.last_seq", "user.chronfs.", "user." + "n" * 250,
          "trusted.x", "security.capability", "system.posix_acl_access", "user.a\nb\x1b[m", "x"]
FLAGS = [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, 3, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND,
         os.O_NONBLOCK, os.O_DSYNC, os.O_SYNC, os.O_DIRECT, os.O_DIRECTORY, os.O_NOATIME,
         os.O_TMPFILE, os.O_NOFOLLOW]


class Fuzzer:
    def __init__(self, mount, seed):
        self.mount = mount
        self.random = random.Random(seed)
        self.fds = []
        self.last = None
        self.buffer = ctypes.create_string_buffer(1 << 21)
        self.calls = [getattr(self, name) for name in sorted(dir(Fuzzer)) if name.startswith("do_")]

    def number(self):
        n = self.random.choice(NUMBERS)
        return n if self.random.random() < 0.7 else self.random.randrange(-(1 << 20), 1 << 20)

    def size(self):
        return self.random.choice([0, 1, 17, 4096, 4097, 65536, (1 << 20) - 4096, 1 << 20, 1 << 21])

    def path(self):
        return f"{self.mount}/{self.random.choice(NAMES)}".encode("utf-8", "surrogateescape")

    def fd(self):
        return self.random.choice(self.fds) if self.fds else -1

    # ---- one request each ----

    def do_open(self):
        flags = 0
        for _ in range(self.random.randrange(1, 4)):
            flags |= self.random.choice(FLAGS)
        self.fds.append(call("open", self.path(), flags | os.O_CLOEXEC, 0o644))

    do_open_again = do_open

    def do_close(self):
        if len(self.fds) > 20:
            os.close(self.fds.pop(self.random.randrange(len(self.fds))))

    def do_pread(self):
        call("pread", self.fd(), self.buffer, self.size(), self.number())

    def do_read(self):
        call("read", self.fd(), self.buffer, self.size())

    def do_write(self):
        size = self.size() if self.random.random() < 0.1 else self.random.randrange(200)
        call("pwrite", self.fd(), self.buffer, size, self.number())

    def do_writev(self):
        count = self.random.choice([0, 1, 16, 1024, 1025])
        one = struct.pack("<QQ", ctypes.addressof(self.buffer), self.random.choice([0, 1, 7]))
        call("pwritev2", self.fd(), one * count, count, self.number(),
             self.random.choice([-1, 0, 1 << 33]), self.random.choice([0, 2, 4, 8, 16, 1 << 20]))

    def do_lseek(self):
        call("lseek", self.fd(), self.number(), self.random.choice([0, 1, 2, 3, 4, 5, -1, 99]))

    def do_ftruncate(self):
        call("ftruncate", self.fd(), self.number())

    def do_truncate(self):
        call("truncate", self.path(), self.number())

    def do_fallocate(self):
        call("fallocate", self.fd(), self.random.choice([0, 1, 3, 8, 16, 32, 64, -1]),
             self.number(), self.number())

    def do_ioctl(self):
        request = self.random.choice([0x80086601, 0x40086602, 0x801c581f, 0x401c5820, 0x5421, 0x541b,
                                      0xc0086601, 0x6601, self.random.randrange(1 << 32)])
        if request >> 8 & 0xff != 0x58 or request in (0x801c581f, 0x401c5820): # not freezing it
            call("ioctl", self.fd(), request, self.buffer)

    def do_fsync(self):
        call(self.random.choice(["fsync", "fdatasync"]), self.fd())

    def do_lock(self):
        fcntl.fcntl(self.fd(), self.random.choice([fcntl.F_SETLK, fcntl.F_GETLK, 36, 37]),
                    struct.pack("<hhqqi", self.random.choice([0, 1, 2, 3, -1]),
                                self.random.choice([0, 1, 2, 9]), self.number(), self.number(), 0))

    def do_flock(self):
        fcntl.flock(self.fd(), self.random.choice([1, 2, 8, 0, 32, 64, 15]) | fcntl.LOCK_NB)

    def do_getxattr(self):
        name = self.random.choice(XATTRS).encode()
        call("getxattr", self.path(), name, self.buffer, self.random.choice([0, 1, 5, 64, 65536]))

    def do_fgetxattr(self):
        name = self.random.choice(XATTRS).encode()
        call("fgetxattr", self.fd(), name, self.buffer, self.random.choice([0, 1, 5, 64, 65536]))

    def do_setxattr(self):
        call("setxattr", self.path(), self.random.choice(XATTRS).encode(), self.buffer,
             self.random.choice([0, 1, 28, 65536, 65537]), self.random.choice([0, 1, 2, 3, -1]))

    def do_listxattr(self):
        call("listxattr", self.path(), self.buffer, self.random.choice([0, 1, 64, 65536]))

    def do_make(self):
        name = self.random.choice(["mkdir", "mknod", "rmdir", "unlink", "creat"])
        if name == "mknod":
            call(name, self.path(), self.random.choice([0o10644, 0o100644, 0o20644, 0o140644]), 0x103)
        else:
            call(name, self.path(), self.random.randrange(1 << 12))

    def do_rename(self):
        call("renameat2", AT_FDCWD, self.path(), AT_FDCWD, self.path(),
             self.random.choice([0, 1, 2, 3, 4, -1]))

    def do_link(self):
        call(self.random.choice(["link", "symlink"]), self.path(), self.path())

    def do_mode(self):
        call("chmod", self.path(), self.random.randrange(1 << 12))

    def do_times(self):
        call("utimensat", AT_FDCWD, self.path(),
             struct.pack("<qqqq", self.number(), self.random.choice([0, -1, 1 << 30, 999999999]),
                         self.number(), (1 << 30) - 2), self.random.choice([0, 0x100]))

    def do_list(self):
        fd = self.fd()
        call("lseek", fd, self.number(), 0)
        call("getdents64", fd, self.buffer, self.random.choice([0, 24, 100, 4096, 65536]))

    def do_poll(self):
        poll = select.poll()
        poll.register(self.fd(), self.random.randrange(1 << 16))
        poll.poll(0)

    def do_map(self):
        size = self.random.choice([1, 4096, 1 << 30])
        at = call("mmap", None, size, self.random.choice([0, 1, 3, 7]),
                  self.random.choice([0, 1, 2, 3]), self.fd(), self.number())
        call("munmap", ctypes.c_void_p(at), size)

    def do_copy(self):
        os.copy_file_range(self.fd(), self.fd(), self.random.choice([0, 1, 4096, 1 << 31]),
                           self.random.choice([None, 0, 5, 1 << 40]))

    def do_sendfile(self):
        os.sendfile(self.fd(), self.fd(), self.random.choice([0, 7, 1 << 62]),
                    self.random.choice([0, 1, 4096, 1 << 20]))

    # ---- all ----

    def one(self):
        """The errno's name, or None."""
        self.last = self.random.choice(self.calls)
        try:
            self.last()
        except OSError as e:
            return errno.errorcode.get(e.errno, str(e.errno))
        except ValueError: # of fcntl, poll: a descriptor below 0
            return "EBADF"
        return None


def run(mount):
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns() & 0xffffffff))
    who = f"uid {os.getuid()}, FUZZ_SEED={seed}"
    fuzzer = Fuzzer(mount, seed)
    done, slowest, wrong = 0, 0, []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        begun = time.monotonic()
        error = fuzzer.one()
        slowest = max(slowest, time.monotonic() - begun)
        done += 1
        if error in BROKEN:
            wrong.append((fuzzer.last.__name__, error))
    for fd in fuzzer.fds:
        os.close(fd)
    case(f"senseless requests ({who}): none is answered with an error of the mount", not wrong,
         wrong[:5])
    case(f"senseless requests ({who}): none takes long", slowest < PATIENCE, slowest)
    print(f"{done} requests")
