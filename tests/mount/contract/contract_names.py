# SPDX-License-Identifier: Apache-2.0
"""Making, moving and removing names; which names there are: rows for contract.py.

Rows of the contract: "create, mkdir, mknod, symlink, link, rename, rmdir: EPERM, for non-root EACCES
from the kernel's mode check", "unlink", and what the tree never lists and never finds.
"""

import atexit
import os
import shutil
import stat
import tempfile

import syscalls
from contract import outcome
from records import segment_ids

# {dir}/new does not exist; {dir}/old is the first file in it.
MAKE = """
make                     dir           ro.dir
create                   EPERM/EACCES  EROFS
create, O_EXCL           EPERM/EACCES  EROFS
create a segment's name  EPERM/EACCES  EROFS
mkdir                    EPERM/EACCES  EROFS
mkdir, there             EEXIST        EEXIST
mkfifo                   EPERM/EACCES  EROFS
mknod, regular           EPERM/EACCES  EROFS
mknod, socket            EPERM/EACCES  EROFS
mknod, device            EPERM/EACCES  EROFS
symlink                  EPERM/EACCES  EROFS
symlink, there           EEXIST        EEXIST
link                     EPERM/EACCES,EPERM  EROFS
link from elsewhere      EXDEV         EXDEV,EROFS
"""
MOVE = """
move and remove          dir           ro.dir
rename                   EPERM/EACCES  EROFS
rename over another      EPERM/EACCES  EROFS
rename, NOREPLACE        EPERM/EACCES  EROFS
rename, EXCHANGE         EPERM/EACCES  EROFS
rename to elsewhere      EXDEV         EXDEV,EROFS
rename from elsewhere    EXDEV         EXDEV,EROFS
rename what is not there  ENOENT/EACCES,ENOENT  EROFS,ENOENT
rmdir of a file          ENOTDIR/EACCES  EROFS,ENOTDIR
rmdir what is not there  ENOENT        ENOENT,EROFS
"""
UNLINK = """
unlink                   dir           ro.dir
unlink                   EPERM/EACCES  EROFS
unlink another           EPERM/EACCES  EROFS
unlink what is not there  ENOENT       ENOENT,EROFS
"""
DIRECTORY = """
directory                segments      payload       ro.segments  ro.payload
rmdir                    EPERM/EACCES  EPERM/EACCES  EROFS        EROFS
unlink of it             EISDIR/EACCES  EISDIR/EACCES  EROFS,EISDIR  EROFS,EISDIR
rename of it             EPERM/EACCES  EPERM/EACCES  EROFS        EROFS
"""

TABLES = [("names", MAKE), ("names", MOVE), ("names", UNLINK), ("names", DIRECTORY)]

elsewhere = tempfile.mkdtemp(prefix="chronfs-test.")
os.chmod(elsewhere, 0o777)
atexit.register(shutil.rmtree, elsewhere)
with open(elsewhere + "/file", "w", encoding="ascii") as made:
    made.write("text\n")
os.chmod(elsewhere + "/file", 0o666)


def file_in(path):
    """A file of a directory; for the root one that is on every mount."""
    return path + ("/stream" if os.path.exists(path + "/stream") else "/" + min(os.listdir(path)))


def other_in(path):
    return path + ("/metrics" if os.path.exists(path + "/stream") else "/" + max(os.listdir(path)))


def create(name, flags):
    return lambda path: os.close(os.open(path + name, os.O_WRONLY | os.O_CREAT | flags, 0o644))


def mknod(kind, device=0):
    return lambda path: os.mknod(path + "/new", kind | 0o644, device)


CALLS = {
    "create": create("/new", 0),
    "create, O_EXCL": create("/new", os.O_EXCL),
    "create a segment's name": create("/000000777.q", os.O_EXCL),
    "mkdir": lambda path: os.mkdir(path + "/new"),
    "mkdir, there": lambda path: os.mkdir(file_in(path)),
    "mkfifo": mknod(stat.S_IFIFO),
    "mknod, regular": mknod(stat.S_IFREG),
    "mknod, socket": mknod(stat.S_IFSOCK),
    "mknod, device": mknod(stat.S_IFCHR, os.makedev(1, 3)),
    "symlink": lambda path: os.symlink("x", path + "/new"),
    "symlink, there": lambda path: os.symlink("x", file_in(path)),
    "link": lambda path: os.link(file_in(path), path + "/new"),
    "link from elsewhere": lambda path: os.link(elsewhere + "/file", path + "/new"),
    "rename": lambda path: os.rename(file_in(path), path + "/new"),
    "rename over another": lambda path: os.rename(file_in(path), other_in(path)),
    "rename, NOREPLACE": lambda path: syscalls.rename(file_in(path), path + "/new",
                                                      syscalls.RENAME_NOREPLACE),
    "rename, EXCHANGE": lambda path: syscalls.rename(file_in(path), other_in(path),
                                                     syscalls.RENAME_EXCHANGE),
    "rename to elsewhere": lambda path: os.rename(file_in(path), elsewhere + "/moved"),
    "rename from elsewhere": lambda path: os.rename(elsewhere + "/file", path + "/new"),
    "rename what is not there": lambda path: os.rename(path + "/no", path + "/new"),
    "unlink": lambda path: os.unlink(file_in(path)),
    "unlink what is not there": lambda path: os.unlink(path + "/no"),
    "unlink another": lambda path: os.unlink(other_in(path)),
    "rmdir of a file": lambda path: os.rmdir(file_in(path)),
    "rmdir what is not there": lambda path: os.rmdir(path + "/no"),
    "rmdir": os.rmdir,
    "unlink of it": os.unlink,
    "rename of it": lambda path: os.rename(path, path + ".new"),
}

# ---- which names there are ----

# Of the queue's directory: what is its own, and foreign files.
OWN = ["control.meta", "index.meta", "durable.meta", "writer.lock", "readers", "000000000.idx",
       "000000000.q.tmp", "000000000.q.new.tmp", "000000000.idx.tmp", "control.tmp",
       "000000000.q.broken", "000000000.q.corrupt"]
FOREIGN = ["notes.txt", "000000900.q.tmp", "000000901.idx", "0000000.q", "0000000000.q",
           "00000000a.q", "00000000:.q", "00000000/.q", "000000902.Q", "999999999.q",
           "4294967296.q", "-00000001.q", "+00000001.q", " 00000000.q", "000000000.q ",
           "0x0000000.q", ".q", "q", "000000000", "000000000.", "000000000.q.q", "000000000q",
           ".hidden", "\u0660" * 9 + ".q", "a" * 255]


def names(world):
    """What is listed and found is exactly what the tree has."""
    root = {"metrics", "payload", "readers", "records", "segments", "stats.json", "stream"}
    if not world.read_only:
        root |= {"append", "append.lines", "ctl"}
    ids = segment_ids(world.queue)
    wanted = {
        "root": root,
        "segments": {f"{number:09}.q" for number in ids},
        "payload": {f"{number:09}" for number in ids},
        "records": {f"{number:09}" for number in ids},
        "readers": {name.removesuffix(".meta") for name in os.listdir(world.queue + "/readers")
                    if not name.startswith(".")},
    }
    for name in OWN + FOREIGN:
        path = f"{world.queue}/{name}"
        if "/" not in name and not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(b"\0" * 16384)
            made_names.append(path)
    for kind, expected in wanted.items():
        path = world.paths[kind]
        listed = [entry.name for entry in os.scandir(path)]
        yield f"names: {kind}: listed is what is there", set(listed) == expected
        if kind != "root":
            yield f"names: {kind}: in ascending order", listed == sorted(listed)
        yield f"names: {kind}: what is listed is found", \
            all(os.path.lexists(f"{path}/{name}") for name in listed)
        with os.scandir(path) as entries:
            yield f"names: {kind}: readdir has the inode numbers and types of stat", \
                all(e.inode() == os.stat(e.path).st_ino and
                    e.is_dir(follow_symlinks=False) == os.path.isdir(e.path) for e in entries)
        found = [name for name in OWN + FOREIGN if name not in expected and
                 outcome("root", os.stat, f"{path}/{name}") not in ("ENOENT", "ENOTDIR")]
        yield f"names: {kind}: nothing else is found{': ' if found else ''}{found or ''}", not found
    while made_names:
        os.unlink(made_names.pop())
    yield "names: . and .. of segments/", \
        (os.stat(world.mount + "/segments/.").st_ino, os.stat(world.mount + "/segments/..").st_ino) \
        == (os.stat(world.mount + "/segments").st_ino, os.stat(world.mount).st_ino)
    yield "names: upper case is another name", \
        outcome("root", os.stat, world.mount + "/STREAM") == "ENOENT"


made_names = []


def cases(world, who):
    if who == "root":
        yield from names(world)
