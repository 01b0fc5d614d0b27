#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ctl_interrupt.py MOUNT QUEUE TRY - a client that waits for ctl can be ended at any time.

The queue has thousands of segments of one record each; deleting them takes long enough to be
interrupted in.  If it does not this time, there are no cases but a file `late` beside the mount point,
and if TRY is `last` a case that has failed.
"""

import os
import signal
import sys
import time

from testlib import PATIENCE

mount, queue, attempt = sys.argv[1:4]
said = []


def case(what, good, got=None):
    if not good:
        said.append(f"got {got!r}")
    said.append(("ok - " if good else "not ok - ") + what)


class Late(Exception):
    """What was to be interrupted was over."""


def there(segment):
    return os.path.exists(f"{queue}/{segment:09}.q")


def oldest():
    return min(int(n[:9]) for n in os.listdir(queue) if len(n) == 11 and n.endswith(".q"))


class Interrupted(Exception):
    pass


def raise_interrupted(number, frame):
    raise Interrupted


def client(command, handled=False):
    """A process that writes the command; exit code 0 written, 1 interrupted."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # until there is a handler
    child = os.fork()
    if child > 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        return child
    try:
        if handled:
            signal.signal(signal.SIGUSR1, raise_interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.write(os.open(mount + "/ctl", os.O_WRONLY), command)
        os._exit(0)
    except Interrupted:
        os._exit(1)
    finally:
        os._exit(2)


def await_gone(segment):
    give_up = time.monotonic() + PATIENCE
    while there(segment):
        if time.monotonic() > give_up:
            sys.exit(f"segment {segment} is still there")


def end(child, number):
    """Its wait status, and the seconds that it took to end."""
    begin = time.monotonic()
    os.kill(child, number)
    status = os.waitpid(child, 0)[1]
    return status, time.monotonic() - begin


def comes_to_rest():
    """Before long: one deletion may be under way still."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        before = oldest()
        time.sleep(0.3)  # to see that nothing happens
        if oldest() == before:
            return True
    return False


def trim_begun(last, handled=False):
    """A client whose trim of all below `last`, 2,000 segments at the least, has begun."""
    first = oldest()
    if first + 2000 > last:
        raise Late
    child = client(b"trim %d" % last, handled)
    await_gone(first + 20)
    return child


def end_in_time(child, number):
    """As end(), before its trim was over."""
    result = end(child, number)
    if not there(7000):
        raise Late
    return result


def ended():
    for name in "SIGTERM", "SIGKILL":
        status, took = end_in_time(trim_begun(7000), getattr(signal, name))
        case(f"{name} ends a client that waits for trim", os.WIFSIGNALED(status) and took < PATIENCE,
             (status, took))
        case(f"{name}: the trim has ended, too", comes_to_rest() and there(7000))
    status, took = end_in_time(trim_begun(7000, True), signal.SIGUSR1)
    case("a handled signal: EINTR", os.WEXITSTATUS(status) == 1 and took < PATIENCE, (status, took))
    comes_to_rest()


def ended_behind():
    """Those behind it wait for their turn, and can be ended, too."""
    child = trim_begun(5000)
    segment = os.open(mount + "/append", os.O_WRONLY)
    os.write(segment, b"a record that could be rolled away")
    waiting = client(b"roll", True)
    time.sleep(0.05)  # so that it waits; if it does not yet the outcome is the same
    begin = time.monotonic()
    os.listdir(mount)
    os.stat(mount + "/stats.json")
    took_read = time.monotonic() - begin
    status, took = end(waiting, signal.SIGUSR1)
    still = os.waitpid(child, os.WNOHANG)[0] == 0
    if not still and took_read >= 1:  # served behind it, or the machine was busy
        raise Late
    case("a client that waits behind it is interrupted", not still or (
        os.WEXITSTATUS(status) == 1 and took < PATIENCE), (status, took))
    case("others are served meanwhile", True)
    if still:
        os.waitpid(child, 0)
    case("the first is done", oldest() == 5000, oldest())


try:
    ended()
    ended_behind()
    os.write(os.open(mount + "/ctl", os.O_WRONLY), b"roll")
    case("ctl goes on", True)
except Late:
    if attempt == "last":
        case("what takes a while is interrupted, or others are served meanwhile", False, attempt)
    else:
        said = ["the trim was over before it could be interrupted"]
        with open(os.path.dirname(mount) + "/late", "w", encoding="ascii"):
            pass
finally:
    print(*said, sep="\n", flush=True)
