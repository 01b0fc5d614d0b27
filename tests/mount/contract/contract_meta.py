# SPDX-License-Identifier: Apache-2.0
"""Attributes, extended attributes, flags, locks, flushing: rows for contract.py.

Rows of the contract: "chmod, chown, utimens: EPERM unless nothing changes; on sinks utimens is
accepted and ignored", "xattr", "lsattr (FS_IOC_GETFLAGS)", "statfs", "flock, POSIX locks", "fsync,
fdatasync (any fd of the mount, directories too)", and the table of the tree.
"""

import fcntl
import os
import stat
import struct
import time

import syscalls
from contract import outcome

SETATTR = """
attributes            dir           sink          ctl           file          ro.dir  ro.file
chmod, same           ok/EPERM      ok/EPERM      ok/EPERM      ok/EPERM      EROFS   EROFS
chmod                 EPERM         EPERM         EPERM         EPERM         EROFS   EROFS
chmod u+s             EPERM         EPERM         EPERM         EPERM         EROFS   EROFS
fchmod                EPERM         EPERM         EPERM/EACCES  EPERM         EROFS   EROFS
chown, same           ok            ok            ok            ok            EROFS   EROFS
chown, same owner     ok/EPERM      ok/EPERM      ok/EPERM      ok/EPERM      EROFS   EROFS
chown                 EPERM         EPERM         EPERM         EPERM         EROFS   EROFS
chgrp                 EPERM         EPERM         EPERM         EPERM         EROFS   EROFS
utimens, omitted      ok            ok            ok            ok            ok      ok
utimens, same         ok/EPERM      ok/EPERM      ok/EPERM      ok/EPERM      EROFS   EROFS
utimens               EPERM         ok/EPERM      ok/EPERM      EPERM         EROFS   EROFS
utimens, mtime only   EPERM         ok/EPERM      ok/EPERM      EPERM         EROFS   EROFS
utimens, now          EPERM/EACCES  ok/EACCES     ok/EACCES     EPERM/EACCES  EROFS   EROFS
"""

XATTR = """
xattr                    dir           sink          ctl            file          ro.dir   ro.file
get user.nothing         ENODATA       ENODATA       ENODATA/EACCES  ENODATA      ENODATA  ENODATA
get user.chronfs.no      ENODATA       ENODATA       ENODATA/EACCES  ENODATA      ENODATA  ENODATA
get security.capability  ENODATA       ENODATA       ENODATA        ENODATA       ENODATA  ENODATA
get trusted.no           ENODATA       ENODATA       ENODATA        ENODATA       ENODATA  ENODATA
set user.new             EPERM/EACCES  EPERM/EACCES  EPERM/EACCES   EPERM/EACCES  EROFS    EROFS
set user.chronfs.sealed  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES   EPERM/EACCES  EROFS    EROFS
set trusted.new          EPERM         EPERM         EPERM          EPERM         EROFS    EROFS
set security.new         EPERM         EPERM         EPERM          EPERM         EROFS    EROFS
set an ACL               EOPNOTSUPP/EPERM  EOPNOTSUPP/EPERM  EOPNOTSUPP/EPERM  EOPNOTSUPP/EPERM  EROFS  EROFS
remove user.nothing      EPERM/EACCES  EPERM/EACCES  EPERM/EACCES   EPERM/EACCES  EROFS    EROFS
remove user.chronfs.sealed  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EROFS  EROFS
list                     ok            ok            ok             ok            ok       ok
"""
# Of a sink, last_seq belongs to an open file: by path there is none.
XATTR_NAMES = """
xattr                      dir      append   append.lines  segment  contents  stream   ro.dir   ro.segment
get user.chronfs.last_seq  ENODATA  ENODATA  ENODATA       ok       ok        ENODATA  ENODATA  ok
names                      =        =        =             ok       ok        =user.chronfs.begin  =  ok
"""
SUMMARY = "sealed records first_seq last_seq first_time last_time payload_bytes".split()

FLAGS = """
lsattr             dir   sink  ctl       stream  segment.sealed  segment.live  contents      info  ro.dir  ro.segment.sealed  ro.segment.live
get flags          =0    =32   ok/EACCES  =0     =16             =0            =0            =0    =0      =16                =0
set flags          EPERM  EPERM  EPERM/EACCES  EPERM  EPERM      EPERM         EPERM         EPERM  EROFS  EROFS              EROFS
"""

FILE = """
open file          dir     sink      ctl        file      ro.dir  ro.file
fsync              ok      ok        ok/EACCES  ok        ok      ok
fdatasync          ok      ok        ok/EACCES  ok        ok      ok
syncfs             ok      ok        ok/EACCES  ok        ok      ok
fsync, O_WRONLY    EISDIR  ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR  EROFS
fallocate          EISDIR  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
punch a hole       EISDIR  EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
fallocate, O_RDONLY  EBADF  EBADF    EBADF/EACCES  EBADF  EBADF   EBADF
flock              ok      ok        ok/EACCES  ok        ok      ok
flock, shared      ok      ok        ok/EACCES  ok        ok      ok
POSIX read lock    EINVAL,ok  ok     ok/EACCES  ok        EINVAL,ok  ok
POSIX write lock   EISDIR  ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR  EROFS
POSIX write lock, O_RDONLY  EBADF  EBADF  EBADF/EACCES  EBADF  EBADF  EBADF
OFD lock           EINVAL,ok  ok     ok/EACCES  ok        EINVAL,ok  ok
F_SETFL            ok      ok        ok/EACCES  ok        ok      ok
isatty             ENOTTY  ENOTTY    ENOTTY/EACCES  ENOTTY  ENOTTY  ENOTTY
statfs             ok      ok        ok         ok        ok      ok
"""

# u::rw-,g::r--,o::r--, as the kernel keeps it: version 2, then tag, permissions and id of each.
ACL = struct.pack("<I" + 3 * "HHI", 2, 1, 6, 2**32 - 1, 4, 4, 2**32 - 1, 0x20, 4, 2**32 - 1)

TABLES = [("setattr", SETATTR), ("xattr", XATTR), ("xattr", XATTR_NAMES), ("lsattr", FLAGS),
          ("file", FILE)]


def opened(function, flags=os.O_RDONLY):
    """A call on an open file."""
    def call(path):
        fd = os.open(path, flags)
        try:
            return function(fd)
        finally:
            os.close(fd)
    return call


def same_times(path):
    st = os.stat(path)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def utimensat(path, atime, mtime):
    """UTIME_NOW and UTIME_OMIT are numbers of nanoseconds."""
    syscalls.call("utimensat", syscalls.AT_FDCWD, path, struct.pack("qqqq", 0, atime, 0, mtime), 0)


UTIME_OMIT = (1 << 30) - 2


def get_flags(fd):
    flags = bytearray(8)
    fcntl.ioctl(fd, syscalls.FS_IOC_GETFLAGS, flags)
    return struct.unpack_from("I", flags)[0]


def locked(fd, command, kind, flags=0):
    fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 100, 0))


def set_status_flags(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_APPEND)


def is_a_terminal(fd):
    fcntl.ioctl(fd, 0x5401, bytearray(64))  # TCGETS


def xattr_names(path):
    return ",".join(sorted(os.listxattr(path)))


def summary(path):
    """A segment's attributes: all, or those that an empty one has."""
    names = os.listxattr(path)
    if not set(names) <= {"user.chronfs." + name for name in [*SUMMARY, "begin"]}:
        raise ValueError(f"{path} has {names}")
    for name in names:
        os.getxattr(path, name)
    return xattr_names(path)


CALLS = {
    "chmod, same": lambda path: os.chmod(path, stat.S_IMODE(os.stat(path).st_mode)),
    "chmod": lambda path: os.chmod(path, 0o777),
    "chmod u+s": lambda path: os.chmod(path, 0o4000 | stat.S_IMODE(os.stat(path).st_mode)),
    "fchmod": opened(lambda fd: os.fchmod(fd, 0o777)),
    "chown, same": lambda path: os.chown(path, -1, -1),
    "chown, same owner": lambda path: os.chown(path, os.stat(path).st_uid, os.stat(path).st_gid),
    "chown": lambda path: os.chown(path, 4242, -1),
    "chgrp": lambda path: os.chown(path, -1, 4242),
    "utimens, omitted": lambda path: utimensat(path, UTIME_OMIT, UTIME_OMIT),
    "utimens, same": same_times,
    "utimens": lambda path: os.utime(path, (1, 1)),
    "utimens, mtime only": lambda path: utimensat(path, UTIME_OMIT, 1),
    "utimens, now": os.utime,
    "get user.nothing": lambda path: os.getxattr(path, "user.nothing"),
    "get user.chronfs.no": lambda path: os.getxattr(path, "user.chronfs.no"),
    "get user.chronfs.last_seq": lambda path: os.getxattr(path, "user.chronfs.last_seq"),
    "get security.capability": lambda path: os.getxattr(path, "security.capability"),
    "get trusted.no": lambda path: os.getxattr(path, "trusted.no"),
    "set user.new": lambda path: os.setxattr(path, "user.new", b"x"),
    "set user.chronfs.sealed": lambda path: os.setxattr(path, "user.chronfs.sealed", b"1"),
    "set trusted.new": lambda path: os.setxattr(path, "trusted.new", b"x"),
    "set security.new": lambda path: os.setxattr(path, "security.new", b"x"),
    "set an ACL": lambda path: os.setxattr(path, "system.posix_acl_access", ACL),
    "remove user.nothing": lambda path: os.removexattr(path, "user.nothing"),
    "remove user.chronfs.sealed": lambda path: os.removexattr(path, "user.chronfs.sealed"),
    "list": xattr_names,
    "names": lambda path: summary(path),
    "get flags": opened(get_flags),
    "set flags": opened(lambda fd: fcntl.ioctl(fd, syscalls.FS_IOC_SETFLAGS, struct.pack("Q", 0x40))
                        and None),
    "fsync": opened(os.fsync),
    "fdatasync": opened(os.fdatasync),
    "syncfs": opened(syscalls.syncfs),
    "fsync, O_WRONLY": opened(os.fsync, os.O_WRONLY),
    "fallocate": opened(lambda fd: syscalls.fallocate(fd, 0, 0, 100), os.O_WRONLY),
    "punch a hole": opened(lambda fd: syscalls.fallocate(fd, 3, 0, 100), os.O_WRONLY),
    "fallocate, O_RDONLY": opened(lambda fd: syscalls.fallocate(fd, 0, 0, 100)),
    "flock": opened(lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "flock, shared": opened(lambda fd: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)),
    "POSIX read lock": opened(lambda fd: locked(fd, fcntl.F_SETLK, fcntl.F_RDLCK)),
    "POSIX write lock": opened(lambda fd: locked(fd, fcntl.F_SETLK, fcntl.F_WRLCK), os.O_WRONLY),
    "POSIX write lock, O_RDONLY": opened(lambda fd: locked(fd, fcntl.F_SETLK, fcntl.F_WRLCK)),
    "OFD lock": opened(lambda fd: locked(fd, fcntl.F_OFD_SETLK, fcntl.F_RDLCK)),
    "F_SETFL": opened(set_status_flags),
    "isatty": opened(is_a_terminal),
    "statfs": lambda path: os.statvfs(path) and None,
}

# ---- the table of the tree ----

#  kind              mode     st_size   blksize
TREE = [
    ("root", 0o40555, 0, None),
    ("segments", 0o40555, 0, None),
    ("payload", 0o40555, 0, None),
    ("records", 0o40555, 0, None),
    ("readers", 0o40555, 0, None),
    ("append", 0o100644, 0, 65536),
    ("append.lines", 0o100644, 0, 65536),
    ("ctl", 0o100200, 0, None),
    ("stream", 0o100444, "content", None),
    ("segment.sealed", 0o100444, "content", None),
    ("segment.live", 0o100444, "content", None),
    ("payload.sealed", 0o100444, "content", None),
    ("payload.live", 0o100444, "content", None),
    ("records.sealed", 0o100444, "content", None),
    ("records.live", 0o100444, "content", None),
    ("stats.json", 0o100444, "read", None),
    ("metrics", 0o100444, "read", None),
    ("reader", 0o100444, "read", None),
]


def stat_of(world, kind):
    return os.stat(world.paths[kind])


def tree(world):
    seen = {}
    for kind, mode, size, blksize in TREE:
        if world.read_only and kind in ("append", "append.lines", "ctl"):
            yield f"tree: no {kind}", not os.path.lexists(world.paths[kind])
            continue
        st = stat_of(world, kind)
        yield f"tree: {kind}: mode {mode:o}", st.st_mode == mode
        if size == "content":
            size = len(world.content(kind))
        elif size == "read":
            with open(world.paths[kind], "rb") as file:
                size = len(file.read())
            st = stat_of(world, kind)  # metrics: the length of the last rendering
        yield f"tree: {kind}: st_size", st.st_size == size
        if blksize:
            yield f"tree: {kind}: st_blksize {blksize}", st.st_blksize == blksize
        links = {"root": 6, "segments": 2, "payload": 2, "records": 2, "readers": 2}.get(kind, 1)
        yield f"tree: {kind}: owner and links", \
            (st.st_uid, st.st_gid, st.st_nlink) == (0, 0, links)
        yield f"tree: {kind}: one inode number for a path", \
            {stat_of(world, kind).st_ino for _ in range(3)} == {st.st_ino}
        yield f"tree: {kind}: an inode number of its own", \
            seen.setdefault(st.st_ino, kind) == kind
        if not stat.S_ISDIR(mode):
            fd = os.open(world.paths[kind], os.O_RDONLY)
            yield f"tree: {kind}: fstat agrees with stat", \
                (os.fstat(fd).st_ino, os.fstat(fd).st_mode) == (st.st_ino, st.st_mode)
            os.close(fd)


def blocks(world):
    """st_blocks are the real blocks of the backing file."""
    for kind in "segment.sealed", "segment.live":
        backing = f"{world.queue}/{os.path.basename(world.paths[kind])}"
        yield f"tree: {kind}: st_blocks are the backing file's", \
            stat_of(world, kind).st_blocks == os.stat(backing).st_blocks
    for kind in "stream", "payload.sealed", "payload.live", "records.sealed", "records.live":
        st = stat_of(world, kind)
        yield f"tree: {kind}: st_blocks agree with st_size", \
            st.st_blocks == (st.st_size + 511) // 512 or st.st_blocks == -(-st.st_size // 4096) * 8


def times(world):
    """Constant, the last commit's, or frozen."""
    before = {kind: stat_of(world, kind).st_mtime_ns for kind, *_ in TREE
              if os.path.exists(world.paths[kind])}
    yield "times: none in the future, none from before this test", \
        all(time.time_ns() - 600 * 10**9 < t <= time.time_ns() for t in before.values())
    yield "times: stream: the last commit's, as the live segment's", \
        before["stream"] == before["payload.live"]
    if world.read_only:
        return
    yield "times: sinks have one time, the mount's", \
        before["append"] == before["append.lines"] == before["ctl"]
    time.sleep(0.01)  # so that the clock has moved on
    with open(world.paths["append"], "wb", buffering=0) as file:
        file.write(b"later\n")
    for kind in before:
        moved = stat_of(world, kind).st_mtime_ns > before[kind]
        moves = kind in ("stream", "segment.live", "payload.live", "records.live", "stats.json",
                         "metrics", "reader")
        yield f"times: {kind}: {'moves' if moves else 'stays'} with an append", moved == moves


def statfs_values(world):
    backing, shown = os.statvfs(world.queue), os.statvfs(world.mount)
    yield "statfs: the backing file system's", \
        (shown.f_bsize, shown.f_blocks, shown.f_namemax > 0) == (backing.f_bsize, backing.f_blocks,
                                                                  True)


def segment_summary(world):
    """user.chronfs.* of segments, and the same of what is made of them."""
    for kind in ("segment.sealed", "segment.live", "payload.sealed", "payload.live", "records.sealed",
                 "records.live"):
        segment = world.segment(kind)
        wanted = {
            "sealed": int(segment.sealed), "records": len(segment.records),
            "first_seq": segment.records[0].seq, "last_seq": segment.records[-1].seq,
            "payload_bytes": sum(len(r.payload) for r in segment.records),
        }
        for name, value in wanted.items():
            yield f"xattr: {kind}: user.chronfs.{name}", \
                outcome("root", os.getxattr, world.paths[kind], "user.chronfs." + name) == \
                f"={str(value).encode()}"
        first, last = (int(os.getxattr(world.paths[kind], f"user.chronfs.{name}_time"))
                       for name in ("first", "last"))
        yield f"xattr: {kind}: user.chronfs.first_time, last_time", \
            time.time_ns() - 600 * 10**9 < first <= last <= time.time_ns()
        yield f"xattr: {kind}: all are listed", \
            xattr_names(world.paths[kind]) == ",".join(sorted("user.chronfs." + n for n in SUMMARY))


def last_seq(world):
    """user.chronfs.last_seq: of this open file, not of the file."""
    name = "user.chronfs.last_seq"
    for kind in "append", "append.lines":
        mine, other = (os.open(world.paths[kind], os.O_WRONLY) for _ in range(2))
        yield f"xattr: {kind}: {name}: ENODATA before the first record", \
            outcome("root", os.getxattr, mine, name) == "ENODATA"
        os.write(mine, b"mine\n")
        value = outcome("root", os.getxattr, mine, name)
        os.write(other, b"other's\n")
        yield f"xattr: {kind}: {name}: the last record of this open file", \
            value == outcome("root", os.getxattr, mine, name) != "ENODATA"
        yield f"xattr: {kind}: {name}: another open file's is the next", \
            int(os.getxattr(other, name)) == int(os.getxattr(mine, name)) + 1
        yield f"xattr: {kind}: {name}: not listed", name not in os.listxattr(mine)
        for fd in mine, other:
            os.close(fd)


def cases(world, who):
    if who != "root":
        return
    for part in tree, blocks, times, statfs_values, segment_summary:
        yield from part(world)
    if not world.read_only:
        yield from last_seq(world)
