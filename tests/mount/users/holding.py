# SPDX-License-Identifier: Apache-2.0
"""holding.py MOUNT - how many files each kind of user can open on a mount with gid=adm, umask=002 and
max_open=40: a stranger 20, a member of the group 30, root all 40; in this order, while all stay open."""

import errno
import grp
import os
import pwd
import sys

from testlib import case, is_

mount = sys.argv[1]
ADM = grp.getgrnam("adm").gr_gid
NOBODY = pwd.getpwnam("nobody")


class Holder:
    """A process of a user, which opens files until it may open no more, and keeps them."""

    def __init__(self, uid, gid, groups, path, flags):
        ready, told = os.pipe()
        end, self.ender = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            status = 1
            try:
                os.setgroups(groups)
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
                os.write(told, repr(self.fill(path, flags)).encode())
                os.close(told)
                os.read(end, 1)
                status = 0
            finally:
                os._exit(status)
        os.close(told)
        with os.fdopen(ready) as pipe:
            self.result = pipe.read()

    @staticmethod
    def fill(path, flags):
        for count in range(100):
            try:
                os.open(path, flags)
            except OSError as e:
                return count, errno.errorcode[e.errno]
        return 100, None

    def end(self):
        os.write(self.ender, b"x")
        return os.waitpid(self.child, 0)[1]


append, stream = mount + "/append", mount + "/stream"
holders = [
    ("a stranger who reads gets half", (20, "ENFILE"),
     Holder(NOBODY.pw_uid, NOBODY.pw_gid, [], stream, os.O_RDONLY)),
    ("a second stranger gets nothing more", (0, "ENFILE"), Holder(64005, 64005, [], stream, os.O_RDONLY)),
    ("a member of the group appends all the same: three quarters in all", (10, "ENFILE"),
     Holder(64001, 64001, [4242, ADM], append, os.O_WRONLY)),
    ("another member, by his first group, gets nothing more", (0, "ENFILE"),
     Holder(64002, ADM, [], append, os.O_WRONLY)),
    ("root appends all the same: the rest", (10, "ENFILE"), Holder(0, 0, [], append, os.O_WRONLY)),
]
for what, wanted, holder in holders:
    is_(what, holder.result, repr(wanted))
case("all end well", [holder.end() for _, _, holder in holders] == [0] * len(holders))
