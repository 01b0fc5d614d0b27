#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ctl_interrupt.py MOUNT QUEUE - a client that waits for ctl can be ended at any time.

The queue has thousands of segments of one record each; deleting them takes long enough to be
interrupted in.
"""

import os
import signal
import sys
import time

mount, queue = sys.argv[1:3]


def case(what, good, got=None):
    if not good:
        print("got", repr(got))
    print(("ok - " if good else "not ok - ") + what, flush=True)


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
    child = os.fork()
    if child > 0:
        return child
    try:
        if handled:
            signal.signal(signal.SIGUSR1, raise_interrupted)
        os.write(os.open(mount + "/ctl", os.O_WRONLY), command)
        os._exit(0)
    except Interrupted:
        os._exit(1)
    finally:
        os._exit(2)


def await_gone(segment):
    give_up = time.monotonic() + 30
    while there(segment):
        if time.monotonic() > give_up:
            sys.exit(f"segment {segment} is still there")


def end(child, number):
    """Its wait status, and the seconds that it took to end."""
    begin = time.monotonic()
    os.kill(child, number)
    status = os.waitpid(child, 0)[1]
    return status, time.monotonic() - begin


def at_rest():
    before = oldest()
    time.sleep(0.3)  # to see that nothing happens
    return oldest() == before


limit = 5.0  # seconds, on a busy machine; what was asked for has not been done by then, see below
for name in "SIGTERM", "SIGKILL":
    first = oldest()
    child = client(b"trim 7000")
    await_gone(first + 20)
    status, took = end(child, getattr(signal, name))
    case(f"{name} of who waits for trim ends it", os.WIFSIGNALED(status) and took < limit,
         (status, took))
    case(f"{name}: the trim has ended, too", there(7000) and at_rest())

first = oldest()
child = client(b"trim 7000", True)
await_gone(first + 20)
status, took = end(child, signal.SIGUSR1)
case("a handled signal: EINTR", os.WEXITSTATUS(status) == 1 and took < limit and there(7000),
     (status, took))

# Those behind it wait for their turn, and can be ended, too.
first = oldest()
child = client(b"trim 5000")
await_gone(first + 20)
segment = os.open(mount + "/append", os.O_WRONLY)
os.write(segment, b"a record that could be rolled away")
files = len(os.listdir(mount + "/segments"))
waiting = client(b"roll", True)
time.sleep(0.05)  # so that it waits; if it does not yet the outcome is the same
begin = time.monotonic()
reading = os.listdir(mount), os.stat(mount + "/stats.json")
took_read = time.monotonic() - begin
status, took = end(waiting, signal.SIGUSR1)
still = os.waitpid(child, os.WNOHANG)[0] == 0
case("who waits behind it is interrupted", not still or (
    os.WEXITSTATUS(status) == 1 and took < limit), (status, took))
case("others are served meanwhile", still or took_read < 1, took_read)
if still:
    os.waitpid(child, 0)
case("the first is done", oldest() == 5000, oldest())
os.write(os.open(mount + "/ctl", os.O_WRONLY), b"roll")
case("ctl goes on", True)
