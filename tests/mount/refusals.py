#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""refusals.py MOUNT [ro] - a table of calls that must fail, and how: for root, for user nobody.

Where the kernel looks at the mode bits first, an ordinary user sees EACCES for what root sees EPERM.
On a read-only mount everybody sees EROFS.
"""

import ctypes
import errno
import os
import pwd
import stat
import sys

mount = sys.argv[1]
read_only = len(sys.argv) > 2
libc = ctypes.CDLL(None, use_errno=True)
append, segments = mount + "/append", mount + "/segments"
sealed, newest = segments + "/000000000.q", segments + "/000000001.q"


def remove_xattr(path):
    os.removexattr(path, "user.nothing")


def exchange(a, b):
    if libc.renameat2(-100, a.encode(), -100, b.encode(), 2) < 0:  # RENAME_EXCHANGE
        raise OSError(ctypes.get_errno(), "renameat2")


def open_with(flags):
    return lambda path: os.close(os.open(path, flags))


RW, WO, TRUNC, CREAT = os.O_RDWR, os.O_WRONLY, os.O_TRUNC, os.O_CREAT
MODE, DENIED, ROOT_ONLY = ("EPERM", "EACCES"), ("EACCES", "EACCES"), ("EPERM", "EPERM")

#   what              call                                        root, nobody
TABLE = [
    ("create", lambda: open_with(CREAT | WO)(mount + "/new"), MODE),
    ("create in segments", lambda: open_with(CREAT | WO)(segments + "/000000099.q"), MODE),
    ("mkdir", lambda: os.mkdir(mount + "/dir"), MODE),
    ("mkdir in segments", lambda: os.mkdir(segments + "/dir"), MODE),
    ("mknod", lambda: os.mknod(mount + "/fifo", stat.S_IFIFO | 0o644), MODE),
    ("symlink", lambda: os.symlink("append", mount + "/link"), MODE),
    ("rmdir", lambda: os.rmdir(segments), MODE),
    ("unlink a sink", lambda: os.unlink(append), MODE),
    ("unlink a segment", lambda: os.unlink(sealed), MODE),
    ("rename a sink", lambda: os.rename(append, mount + "/other"), MODE),
    ("rename a segment", lambda: os.rename(sealed, segments + "/000000098.q"), MODE),
    ("rename over a segment", lambda: os.rename(sealed, newest), MODE),
    ("exchange two segments", lambda: exchange(sealed, newest), MODE),
    # Linux refuses to link what is not one's own (fs.protected_hardlinks) before all else
    ("link a segment", lambda: os.link(sealed, mount + "/hard"), ("EPERM", "EPERM|EACCES")),
    ("chmod a segment", lambda: os.chmod(sealed, 0o644), ROOT_ONLY),
    ("chmod the root", lambda: os.chmod(mount, 0o755), ROOT_ONLY),
    ("chmod segments", lambda: os.chmod(segments, 0o755), ROOT_ONLY),
    ("chown a segment", lambda: os.chown(sealed, 4242, 4242), ROOT_ONLY),
    ("utime on a segment", lambda: os.utime(sealed, (1, 1)), ROOT_ONLY),
    ("touch a segment", lambda: os.utime(sealed), MODE),
    ("truncate a segment", lambda: os.truncate(sealed, 0), MODE),
    ("extend a segment", lambda: os.truncate(newest, 1 << 20), MODE),
    ("open a sealed segment for writing", lambda: open_with(WO)(sealed), MODE),
    ("open a live segment read-write", lambda: open_with(RW)(newest), MODE),
    ("open a segment with O_TRUNC", lambda: open_with(os.O_RDONLY | TRUNC)(sealed), MODE),
    ("open a segment as a shell's > does", lambda: open_with(WO | CREAT | TRUNC)(sealed), MODE),
    ("execute a segment", lambda: os.execv(sealed, ["x"]), DENIED),
    ("setxattr on a segment", lambda: os.setxattr(sealed, "user.a", b"b"), MODE),
    ("removexattr of a segment", lambda: remove_xattr(sealed), MODE),
]
WRITER_TABLE = [
    ("chmod a sink", lambda: os.chmod(append, 0o666), ROOT_ONLY),
    ("truncate a sink to 1", lambda: os.truncate(append, 1), MODE),
    ("setxattr on a sink", lambda: os.setxattr(append, "user.a", b"b"), MODE),
    ("open a sink for writing", lambda: open_with(WO)(append), (None, "EACCES")),
    ("open a sink as a shell's > does", lambda: open_with(WO | CREAT | TRUNC)(append),
     (None, "EACCES")),
    ("truncate a sink to 0", lambda: os.truncate(append, 0), (None, "EACCES")),
    ("execute a sink", lambda: os.execv(append, ["x"]), DENIED),
]
ALWAYS = [  # also on a read-only mount
    ("getxattr", lambda: os.getxattr(sealed, "user.nothing"), ("ENODATA", "ENODATA")),
    ("listxattr", lambda: os.listxattr(sealed), (None, None)),
    ("read a segment", lambda: open_with(os.O_RDONLY)(sealed), (None, None)),
    ("list the mount", lambda: os.listdir(mount), (None, None)),
    ("list segments", lambda: os.listdir(segments), (None, None)),
    ("open what is not there", lambda: open_with(os.O_RDONLY)(mount + "/no"), ("ENOENT", "ENOENT")),
]
# on a read-only mount: before or after the kernel asks whether the file system is writable
READ_ONLY_SPECIAL = {"execute a segment": "EACCES", "rmdir": "EROFS"}


def try_all(who, column):
    for what, call, expected in TABLE + ([] if read_only else WRITER_TABLE):
        wanted = expected[column]
        if read_only:
            wanted = READ_ONLY_SPECIAL.get(what, "EROFS")
            if what == "link a segment":
                wanted = "EROFS|EPERM"
        check(who, what, call, wanted)
    for what, call, expected in ALWAYS:
        check(who, what, call, expected[column])


def check(who, what, call, wanted):
    try:
        call()
        got = None
    except OSError as e:
        got = errno.errorcode[e.errno]
    good = got in wanted.split("|") if wanted else got is None
    if not good:
        print(f"got {got}")
    print(f"{'ok' if good else 'not ok'} - {who}: {what}: {wanted or 'allowed'}", flush=True)


try_all("root", 0)
sys.stdout.flush()
child = os.fork()
if child == 0:
    try:
        user = pwd.getpwnam("nobody")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        try_all("nobody", 1)
        sys.stdout.flush()
        os._exit(0)
    finally:
        os._exit(1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
