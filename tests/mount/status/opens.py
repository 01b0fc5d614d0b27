#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""opens.py QUEUE COMMAND... - which segment files of the queue's directory the mount opens while the
command runs, twice.  What it has looked at before, it does not open again."""

import ctypes
import os
import re
import struct
import subprocess
import sys
import threading

IN_OPEN = 0x20
SEALED_BELOW_NEWEST = 3  # the current segment and prepared ones are looked at again

queue = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)


class Opens:
    """Reads events while they come: there is room for some thousands only."""

    def __init__(self):
        self.fd = libc.inotify_init1(os.O_CLOEXEC)
        if libc.inotify_add_watch(self.fd, queue.encode(), IN_OPEN) < 0:
            sys.exit("cannot watch the queue")
        self.names = []
        self.overflow = False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while True:
            data = os.read(self.fd, 1 << 20)
            at = 0
            while at < len(data):
                watch, _, _, length = struct.unpack_from("<iIII", data, at)
                name = data[at + 16:at + 16 + length].split(b"\0")[0].decode()
                self.overflow |= watch < 0
                if name == "end":
                    self.ended.set()
                elif re.fullmatch(r"[0-9]{9}\.q", name):
                    self.names.append(name)
                at += 16 + length

    def during(self, command):
        """The names opened while it runs, in order."""
        self.names.clear()
        self.ended = threading.Event()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with open(queue + "/end", "w"):  # the last event of all
            pass
        self.ended.wait()
        os.unlink(queue + "/end")
        return list(self.names)


opens = Opens()
newest = sorted(name for name in os.listdir(queue) if name.endswith(".q"))[-SEALED_BELOW_NEWEST:]
for _ in range(2):
    seen = [name for name in opens.during(sys.argv[2:]) if name not in newest]
    print(f"{len(seen)} sealed segments opened")
    good = not seen and not opens.overflow
    print(("ok - " if good else "not ok - ") + "what is known of a segment is not looked up again")
