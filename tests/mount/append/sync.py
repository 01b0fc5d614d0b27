# SPDX-License-Identifier: Apache-2.0
"""sync.py MODE MOUNT - which writes are durable when they return, on a mount with sync=MODE that sync.sh
has made: by the requests for durability, and by what is said to be durable; prints a line per case."""

import os
import sys

from testlib import case, is_, outcome, stats, wait_for

mode, mount = sys.argv[1:]
append, lines = mount + "/append", mount + "/append.lines"


def requests():
    state = stats(mount)
    return state["syncs"]["requests"], state["position"]["next_seq"] - state["position"]["durable_seq"]


def of(what, wanted, fd, *args):
    """How many requests for durability a call makes; when it made one all is durable, else its record is
    not."""
    before = requests()
    result = outcome(*args) if args else outcome(os.write, fd, b"s\n")
    after = requests()
    is_(f"{what}: requests for durability", after[0] - before[0], wanted)
    case(f"{what}: what is durable then", (after[1] == 0) == (wanted > 0) and
         not isinstance(result, str), (before, after, result))


def modes():
    is_("the state shows the mode", stats(mount)["sync"], mode)
    always = 1 if mode == "always" else 0
    for name, path in ("append", append), ("append.lines", lines):
        for flags in 0, os.O_SYNC, os.O_DSYNC:
            fd = os.open(path, os.O_WRONLY | flags)
            of(f"sync={mode}, {name}, flags {flags:#o}", max(always, int(flags != 0)), fd)
        fd = os.open(path, os.O_WRONLY)
        of(f"sync={mode}, {name}, RWF_DSYNC", 1, fd, os.pwritev, fd, [b"s\n"], 0, os.RWF_DSYNC)
        of(f"sync={mode}, {name}, RWF_SYNC", 1, fd, os.pwritev, fd, [b"s\n"], 0, os.RWF_SYNC)
        of(f"sync={mode}, {name}, then none", always, fd)
        of(f"sync={mode}, {name}, fsync", 1, fd, os.fsync, fd)
        os.close(fd)


def interval():
    """Records become durable without a request."""
    fd = os.open(append, os.O_WRONLY)
    os.write(fd, b"at last\n")
    case("what was not asked for becomes durable after the interval", wait_for(
        lambda: stats(mount)["position"]["durable_seq"] == stats(mount)["position"]["next_seq"] == 1))


if mode == "short":
    interval()
else:
    modes()
