# SPDX-License-Identifier: Apache-2.0
"""Opening each kind of file in each way, running it, asking for access: rows for contract.py.

On sinks: "any access mode; O_APPEND implied; O_TRUNC, ftruncate(0), truncate(0) are no-ops;
ftruncate(n>0): EPERM".  On readable files: "open for writing, O_TRUNC: EACCES (EPERM for root), EROFS
on -o ro"; "exec: EACCES".  ctl has mode 0200.  Where the kernel looks at the mode bits first, nobody
sees EACCES.
"""

import os

import syscalls

# The kernel itself refuses directories, O_NOATIME on what is not one's own, O_DIRECTORY on files; on
# a read-only mount it refuses writing before it looks at the mode bits.
OPEN = """
open                     dir         sink       ctl        file         ro.dir      ro.file
O_RDONLY                 ok          ok         ok/EACCES  ok           ok          ok
O_WRONLY                 EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDWR                   EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_APPEND        ok          ok         ok/EACCES  ok           ok          ok
O_WRONLY|O_APPEND        EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDWR|O_APPEND          EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_TRUNC         EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_WRONLY|O_TRUNC         EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDWR|O_TRUNC           EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_CREAT         EISDIR      ok         ok/EACCES  ok           EISDIR      ok
O_WRONLY|O_CREAT         EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_WRONLY|O_CREAT|O_TRUNC  EISDIR     ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_WRONLY|O_CREAT|O_APPEND  EISDIR    ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_WRONLY|O_CREAT|O_EXCL  EEXIST      EEXIST     EEXIST     EEXIST       EEXIST      EEXIST
O_RDONLY|O_CREAT|O_EXCL  EEXIST      EEXIST     EEXIST     EEXIST       EEXIST      EEXIST
O_RDONLY|O_SYNC          ok          ok         ok/EACCES  ok           ok          ok
O_WRONLY|O_SYNC          EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_WRONLY|O_DSYNC         EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_NONBLOCK      ok          ok         ok/EACCES  ok           ok          ok
O_WRONLY|O_NONBLOCK      EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_DIRECT        EINVAL      ok         ok/EACCES  ok           EINVAL      ok
O_WRONLY|O_DIRECT        EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
O_RDONLY|O_NOFOLLOW      ok          ok         ok/EACCES  ok           ok          ok
O_RDONLY|O_NOATIME       ok/EPERM    ok/EPERM   ok/EACCES  ok/EPERM     ok/EPERM    ok/EPERM
O_PATH                   ok          ok         ok         ok           ok          ok
O_RDONLY|O_DIRECTORY     ok          ENOTDIR    ENOTDIR    ENOTDIR      ok          ENOTDIR
O_RDWR|O_TMPFILE         EOPNOTSUPP/EACCES  ENOTDIR  ENOTDIR  ENOTDIR   EROFS       ENOTDIR
O_WRONLY|O_TMPFILE       EOPNOTSUPP/EACCES  ENOTDIR  ENOTDIR  ENOTDIR   EROFS       ENOTDIR
fopen r                  EISDIR      ok         ok/EACCES  ok           EISDIR      ok
fopen w                  EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
fopen a                  EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
fopen r+                 EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
fopen a+                 EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
fopen w+                 EISDIR      ok/EACCES  ok/EACCES  EPERM/EACCES  EISDIR     EROFS
fopen x                  EEXIST      EEXIST     EEXIST     EEXIST       EEXIST      EEXIST
opendir                  ok          ENOTDIR    ENOTDIR    ENOTDIR      ok          ENOTDIR
path/name                ENOENT      ENOTDIR    ENOTDIR    ENOTDIR      ENOENT      ENOTDIR
path/                    ok          ENOTDIR    ENOTDIR    ENOTDIR      ok          ENOTDIR
"""

# Truncating is an open for writing in all but name.
TRUNCATE = """
truncate                 dir         sink          ctl         file          ro.dir  ro.file
truncate 0               EISDIR      ok/EACCES     ok/EACCES   EPERM/EACCES  EISDIR  EROFS
truncate 1               EISDIR      EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
truncate 1T              EISDIR      EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
ftruncate 0              EISDIR      ok/EACCES     ok/EACCES   EPERM/EACCES  EISDIR  EROFS
ftruncate 1              EISDIR      EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
ftruncate 1T             EISDIR      EPERM/EACCES  EPERM/EACCES  EPERM/EACCES  EISDIR  EROFS
ftruncate of O_RDONLY    EINVAL      EINVAL        EINVAL/EACCES  EINVAL     EINVAL  EINVAL
"""

# access(2) asks for the mode bits, which root may go beyond; open(2) tells more.
ACCESS = """
access                   dir         sink          ctl         file          ro.dir        ro.file
F_OK                     ok          ok            ok          ok            ok            ok
R_OK                     ok          ok            ok/EACCES   ok            ok            ok
W_OK                     ok/EACCES   ok/EACCES     ok/EACCES   ok/EACCES     EROFS         EROFS
X_OK                     ok          EACCES        EACCES      EACCES        ok            EACCES
execve                   EACCES      EACCES        EACCES      EACCES        EACCES        EACCES
"""

TABLES = [("open", OPEN), ("truncate", TRUNCATE), ("access", ACCESS)]


def close(fd):
    os.close(fd)


def open_with(names):
    flags = 0
    for name in names.split("|"):
        flags |= getattr(os, name)
    return lambda path: close(os.open(path, flags, 0o644))


def fopen(mode):
    return lambda path: open(path, mode + "b", buffering=0).close()


def ftruncate(size, flags=os.O_WRONLY):
    def call(path):
        fd = os.open(path, flags)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)
    return call


def opendir(path):
    os.listdir(path)


CALLS = {
    "truncate 0": lambda path: os.truncate(path, 0),
    "truncate 1": lambda path: os.truncate(path, 1),
    "truncate 1T": lambda path: os.truncate(path, 1 << 40),
    "ftruncate 0": ftruncate(0),
    "ftruncate 1": ftruncate(1),
    "ftruncate 1T": ftruncate(1 << 40),
    "ftruncate of O_RDONLY": ftruncate(0, os.O_RDONLY),
    "F_OK": lambda path: syscalls.access(path, os.F_OK),
    "R_OK": lambda path: syscalls.access(path, os.R_OK),
    "W_OK": lambda path: syscalls.access(path, os.W_OK),
    "X_OK": lambda path: syscalls.access(path, os.X_OK),
    "execve": lambda path: os.execv(path, ["x"]),
    "opendir": opendir,
    "path/name": lambda path: close(os.open(path + "/no", os.O_RDONLY)),
    "path/": lambda path: close(os.open(path + "/", os.O_RDONLY)),
}
for line in OPEN.strip().splitlines()[1:]:
    what = line.split("  ")[0]
    if what.startswith("O_"):
        CALLS[what] = open_with(what)
    elif what.startswith("fopen"):
        CALLS[what] = fopen(what.split()[1])
