#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nodes.py MOUNT LOG - which open files of a sink share a node of the kernel, by the requests that the
daemon prints into LOG; prints a line per case.

Open files that share a node wait for each other's writes."""

import os
import re
import sys

from testlib import case, is_, wait_for

mount, log = sys.argv[1:3]
OPENERS, ROUNDS, TIMES = 8, 20, 5  # the daemon drops what it prints beyond 1 MiB that is not written yet
REQUEST = re.compile(r"unique: (\d+), opcode: (OPEN|RELEASE) .*nodeid: (\d+),")
REPLY = re.compile(r"\s*unique: (\d+), (success|error)")


def new_lines(done):
    """What the daemon has printed since, when all files are closed."""
    def lines():
        with open(log, errors="replace") as file:
            return file.read().splitlines()[done:]

    def at_rest():
        text = "\n".join(lines())
        return text.count("opcode: RELEASE ") >= len(re.findall("opcode: OPEN ", text)) - text.count("error: -116")
    wait_for(at_rest)
    return lines()


def most_sharing(lines):
    """The most open files that a node has at a time, and how many opens are refused."""
    asked, opened, most, refused = {}, {}, 0, 0
    for line in lines:
        request, reply = REQUEST.match(line), REPLY.match(line)
        if request and request[2] == "OPEN":
            asked[request[1]] = request[3]
        elif request:
            opened[request[3]] = opened.get(request[3], 0) - 1
        elif reply and reply[1] in asked:
            node = asked.pop(reply[1])
            if reply[2] == "error":
                refused += 1
                continue
            opened[node] = opened.get(node, 0) + 1
            most = max(most, opened[node])
    return most, refused


def opener(path):
    for _ in range(ROUNDS):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"sync\n")
        os.close(fd)


def many(name):
    """Processes that open the file at the same time."""
    ends, most, refused = [], 0, 0
    for _ in range(TIMES):
        done = len(new_lines(0))
        children = []
        for _ in range(OPENERS):
            child = os.fork()
            if child == 0:
                opener(f"{mount}/{name}")
                os._exit(0)
            children.append(child)
        ends += [os.waitpid(child, 0)[1] for child in children]
        sharing, again = most_sharing(new_lines(done))
        most, refused = max(most, sharing), refused + again
    is_(f"{name}: {OPENERS} that open it at the same time succeed", ends, [0] * OPENERS * TIMES)
    print(f"{name}: {refused} opens began again")
    is_(f"{name}: most open files of a node", most, 1)


def held():
    """A file that stays open shares its node with no later one."""
    done = len(new_lines(0))
    path = mount + "/append"
    fds = [os.open(path, os.O_WRONLY) for _ in range(50)]
    for fd in fds:
        os.write(fd, b"x\n")
    for fd in fds:
        os.close(fd)
    is_("append: 50 open files have nodes of their own", most_sharing(new_lines(done))[0], 1)


def by_proc():
    """Through /proc there is no name to look up: the same node, and no error."""
    for name in "append", "append.lines", "ctl":
        fd = os.open(f"{mount}/{name}", os.O_WRONLY)
        others = [os.open(f"/proc/self/fd/{fd}", os.O_WRONLY) for _ in range(3)]
        case(f"{name}: opened through /proc", all(os.write(other, b"sync\n") == 5 for other in others))
        for one in [fd] + others:
            os.close(one)


for sink in "append", "append.lines", "ctl":
    many(sink)
held()
by_proc()
