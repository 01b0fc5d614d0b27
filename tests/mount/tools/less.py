#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""less.py MOUNT - a person at a terminal: less, less +F, watching the stream grow."""

import os
import pty
import re
import select
import shutil
import signal
import sys
import time

import testlib
from testlib import PATIENCE

mount = sys.argv[1]


def case(what, good):
    testlib.case(f"less: {what}", good)


class Terminal:
    """A program on a terminal of its own: what it shows, and keys for it."""

    def __init__(self, *command):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(mount)
            os.environ.update(TERM="vt100", LESS="", LESSHISTFILE="-", LINES="24", COLUMNS="80")
            os.execvp(command[0], command)

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.shown += got
        return bool(got)

    def shows(self, pattern):
        """Waits until it shows that, and forgets what it has shown up to there."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            match = re.search(pattern.encode(), self.shown)
            if match:
                self.shown = self.shown[match.end():]
                return True
            self.read(0.05)
        print(f"shown: {self.shown[-500:]}")
        return False

    def keys(self, text):
        os.write(self.fd, text.encode())

    def quits(self):
        """After q, which it does not see while it is still busy with the ^C before."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.keys("q")
            self.read(0.2)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status) == 0
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return False


def append(text):
    with open(mount + "/append", "wb", buffering=0) as file:
        file.write(text.encode() + b"\n")


def main():
    if not shutil.which("less"):
        print("ok - less # SKIP no less here")
        return
    append("the line before")
    less = Terminal("less", "stream")
    less.keys("G")
    case("G goes to the end", less.shows("the line before"))
    append("a line that came later")
    less.keys("F")
    case("F shows what has come since", less.shows("a line that came later"))
    append("a line while it waits")
    case("and what comes while it waits", less.shows("a line while it waits"))
    less.keys("\x03")
    less.keys("g/later\r")
    case("after ^C it can be searched", less.shows("a line that came later"))
    case("q ends it", less.quits())

    less = Terminal("less", "+F", "stream")
    case("+F begins at the end", less.shows("a line while it waits"))
    for number in range(3):
        append(f"followed {number}")
        case(f"+F shows line {number}", less.shows(f"followed {number}"))
    case("+F never says that the file was truncated", b"truncated" not in less.shown)
    less.keys("\x03")
    case("+F ends", less.quits())


main()
