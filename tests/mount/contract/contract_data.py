# SPDX-License-Identifier: Apache-2.0
"""Reading, seeking, mapping, polling each kind of file: rows for contract.py.

Rows of the contract: "read" (sinks: end of file at once), "stream", "segments/*.q", "payload/*",
"records/*", "SEEK_DATA/SEEK_HOLE", "mmap", "poll".  What the bytes are is compared with the segment files.
"""

import errno
import mmap
import os
import select

import syscalls
from contract import GROUPS, outcome

# A number is how many bytes came; "all" reads to the end of the file.
READ = """
read                  dir     sink     ctl        file       ro.dir  ro.file
at the beginning      EISDIR  =0       =0/EACCES  =100       EISDIR  =100
in the middle         EISDIR  =0       =0/EACCES  =100       EISDIR  =100
across the end        EISDIR  =0       =0/EACCES  =50        EISDIR  =50
at the end            EISDIR  =0       =0/EACCES  =0         EISDIR  =0
behind the end        EISDIR  =0       =0/EACCES  =0         EISDIR  =0
far behind the end    EISDIR  =0       =0/EACCES  =0         EISDIR  =0
before the beginning  EINVAL  EINVAL   EINVAL/EACCES  EINVAL  EINVAL  EINVAL
nothing               EISDIR  =0       =0/EACCES  =0         EISDIR  =0
with preadv           EISDIR  =0       =0/EACCES  =100       EISDIR  =100
with O_DIRECT         EINVAL  =0       =0/EACCES  =100       EINVAL  =100
with O_NONBLOCK       EISDIR  =0       =0/EACCES  =100       EISDIR  =100
from O_WRONLY         EISDIR  EBADF/EACCES  EBADF/EACCES  EPERM/EACCES  EISDIR  EROFS
from O_PATH           EBADF   EBADF    EBADF      EBADF      EBADF   EBADF
write to O_RDONLY     EBADF   EBADF    EBADF/EACCES  EBADF   EBADF   EBADF
splice out            EISDIR,EINVAL  =0  =0/EACCES  =100     EISDIR,EINVAL  =100
sendfile out          EISDIR,EINVAL  =0  =0/EACCES  =100     EISDIR,EINVAL  =100
copy_file_range out   EISDIR  EXDEV,=0  EXDEV,=0/EACCES  EXDEV  EISDIR  EXDEV
getdents              ok      ENOTDIR  ENOTDIR    ENOTDIR    ok      ENOTDIR
"""

# SEEK_END is the size; "size" in a value means that, "used" for where the records end.
SEEK = """
lseek               sink    ctl         stream    segment.sealed  segment.live  contents  info   ro.stream  ro.segment.sealed  ro.contents
SEEK_SET 10         =10     =10/EACCES  =10       =10             =10           =10       =10    =10        =10                =10
SEEK_SET -1         EINVAL  EINVAL/EACCES  EINVAL  EINVAL         EINVAL        EINVAL    EINVAL  EINVAL    EINVAL             EINVAL
SEEK_CUR 10         =10     =10/EACCES  =10       =10             =10           =10       =10    =10        =10                =10
SEEK_END            =0      =0/EACCES   =size     =size           =size         =size     =size  =size      =size              =size
SEEK_DATA 0         ENXIO   ENXIO/EACCES  =0      =0              =0            =0        =0     =0         =0                 =0
SEEK_HOLE 0         ENXIO   ENXIO/EACCES  =size   =used           =used,=size   =size     =size  =size      =used              =size
SEEK_DATA size      ENXIO   ENXIO/EACCES  ENXIO   ENXIO           ENXIO         ENXIO     ENXIO  ENXIO      ENXIO              ENXIO
SEEK_HOLE size      ENXIO   ENXIO/EACCES  ENXIO   ENXIO           ENXIO         ENXIO     ENXIO  ENXIO      ENXIO              ENXIO
SEEK_DATA used      -       -           -         ENXIO           -             -         -      -          ENXIO              -
"""

# A live segment is mapped shared by passthrough alone.
MMAP = """
mmap                 dir     sink        ctl            stream  segment.live  content.live  sealed  info    ro.stream  ro.sealed
shared, read         ENODEV  ENODEV      ENODEV/EACCES  ok      ok,ENODEV     ENODEV        ok      ENODEV  ok         ok
private, read        ENODEV  ok          ok/EACCES      ok      ok            ok            ok      ok      ok         ok
private, write       ENODEV  ok          ok/EACCES      ok      ok            ok            ok      ok      ok         ok
shared, write        EACCES  EACCES      EACCES         EACCES  EACCES        EACCES        EACCES  EACCES  EACCES     EACCES
shared, O_RDWR       EISDIR  ENODEV/EACCES  ENODEV/EACCES  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EROFS  EROFS
mapped bytes         -       -           -              =same   =same         =same         =same   -       =same      =same
"""

# Events that poll(2) gives at once; of 1 (POLLIN) and 4 (POLLOUT).
POLL = """
poll                 sink      ctl       file    ro.file
O_RDONLY             =5        =5/EACCES  =5     =5
O_WRONLY             =5/EACCES  =5/EACCES  EPERM/EACCES  EROFS
"""

TABLES = [("read", READ), ("lseek", SEEK), ("mmap", MMAP), ("poll", POLL)]


def size_of(path):
    """Of a file whose st_size may be of the last rendering: what can be read."""
    if path.endswith("metrics"):
        with open(path, "rb") as file:
            file.read()
    return os.stat(path).st_size


def with_fd(function, flags=os.O_RDONLY):
    def call(path):
        fd = os.open(path, flags)
        try:
            return function(fd, path)
        finally:
            os.close(fd)
    return call


def pread(length, offset):
    """From `offset` on, which may be a number or a function of the size."""
    def call(fd, path):
        at = offset(size_of(path)) if callable(offset) else offset
        return len(os.pread(fd, length, at))
    return with_fd(call)


def pread_direct(fd, path):
    del path
    area = mmap.mmap(-1, 4096)  # aligned
    return min(100, os.preadv(fd, [area], 0))


def splice_out(fd, path):
    reader, writer = os.pipe()
    try:
        return os.splice(fd, writer, 100)
    finally:
        os.close(reader)
        os.close(writer)


def to_another_file(function):
    def call(fd, path):
        other = os.memfd_create("copy")
        try:
            return function(fd, other)
        finally:
            os.close(other)
    return call


def seek(whence, to):
    def call(fd, path):
        at = {"size": size_of, "used": lambda p: used_of[p]}.get(to, lambda _: int(to))(path)
        found = os.lseek(fd, at, whence)
        if found == used_of.get(path):
            return "used"
        return "size" if found and found == size_of(path) else found
    if to == "-1":
        return with_fd(lambda fd, path: os.lseek(fd, -1, whence))
    return with_fd(call)


used_of = {}  # path of a segment: where its records end


def prepare(world):
    for kind, segment in ("segment.sealed", world.sealed), ("segment.live", world.live):
        used_of[world.paths[kind]] = segment.used
    for kind in GROUPS["file"]:
        expected[world.paths[kind]] = world.content(kind)


expected = {}  # path: its bytes


def mapping(prot, flags, open_flags=os.O_RDONLY):
    def call(fd, path):
        syscalls.Mapping(fd, max(1, size_of(path)), prot, flags).close()
    return with_fd(call, open_flags)


def mapped_bytes(fd, path):
    for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
        try:
            area = syscalls.Mapping(fd, size_of(path), mmap.PROT_READ, flags)
        except OSError as e:
            if e.errno == errno.ENODEV and flags == mmap.MAP_SHARED:
                continue  # a row of its own
            raise
        same = area.bytes() == expected[path]
        area.close()
        if not same:
            return "other bytes"
    return "same"


def poll(fd, path):
    del path
    poller = select.poll()
    poller.register(fd, select.POLLIN | select.POLLOUT)
    return poller.poll(0)[0][1]


READABLE, WRITABLE = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
CALLS = {
    "at the beginning": pread(100, 0),
    "in the middle": pread(100, lambda size: size // 2),
    "across the end": pread(100, lambda size: max(0, size - 50)),
    "at the end": pread(100, lambda size: size),
    "behind the end": pread(100, lambda size: size + 1),
    "far behind the end": pread(100, 1 << 50),
    "before the beginning": with_fd(lambda fd, path: syscalls.call("pread", fd, b" ", 1, -1)),
    "nothing": pread(0, 0),
    "with preadv": with_fd(lambda fd, path: os.preadv(fd, [bytearray(50), bytearray(50)], 0)),
    "with O_DIRECT": with_fd(pread_direct, os.O_RDONLY | os.O_DIRECT),
    "with O_NONBLOCK": with_fd(lambda fd, path: len(os.read(fd, 100)), os.O_RDONLY | os.O_NONBLOCK),
    "from O_WRONLY": with_fd(lambda fd, path: os.read(fd, 10), os.O_WRONLY),
    "from O_PATH": with_fd(lambda fd, path: os.read(fd, 10), os.O_PATH),
    "write to O_RDONLY": with_fd(lambda fd, path: os.write(fd, b"x")),
    "splice out": with_fd(splice_out),
    "sendfile out": with_fd(to_another_file(lambda fd, other: os.sendfile(other, fd, 0, 100))),
    "copy_file_range out": with_fd(
        to_another_file(lambda fd, other: os.copy_file_range(fd, other, 100))),
    "getdents": lambda path: os.listdir(path) and None,
    "shared, read": mapping(READABLE, mmap.MAP_SHARED),
    "private, read": mapping(READABLE, mmap.MAP_PRIVATE),
    "private, write": mapping(WRITABLE, mmap.MAP_PRIVATE),
    "shared, write": mapping(WRITABLE, mmap.MAP_SHARED),
    "shared, O_RDWR": mapping(WRITABLE, mmap.MAP_SHARED, os.O_RDWR),
    "mapped bytes": with_fd(mapped_bytes),
    "O_RDONLY": with_fd(poll),
    "O_WRONLY": with_fd(poll, os.O_WRONLY),
}
for line in SEEK.strip().splitlines()[1:]:
    what = line.split("  ")[0]
    name, _, to = what.partition(" ")
    CALLS[what] = seek(getattr(os, name), to or "0")


def cases(world, who):
    """All bytes of each file, in pieces of different sizes and through different kinds of opens."""
    for kind in GROUPS["file"]:
        wanted = world.content(kind)
        if wanted is None:
            continue
        path = world.paths[kind]
        good = True
        for piece in 1 << 20, 4096, 1000, 77:
            for flags in 0, os.O_NONBLOCK, os.O_DIRECT:
                if flags == os.O_DIRECT and piece % 4096:
                    continue
                got = outcome(who, read_all, path, flags, piece)
                good &= got == f"={wanted}"
        yield f"read: {kind}: every byte, in pieces of any size", good
        with open(path, "rb", buffering=0) as file:
            scattered = all(file.seek(at) == at and file.read(99) == wanted[at:at + 99]
                            for at in range(len(wanted), -1, -max(1, len(wanted) // 50)))
        yield f"read: {kind}: from the end to the beginning", scattered


def read_all(path, flags, piece):
    fd = os.open(path, os.O_RDONLY | flags)
    area = mmap.mmap(-1, piece)
    parts = []
    try:
        while True:
            n = os.readv(fd, [area])
            if n == 0:
                return b"".join(parts)
            parts.append(area[:n])
    finally:
        os.close(fd)
