# SPDX-License-Identifier: Apache-2.0
"""Removing segments from a mount that allows it: rows for contract.py.

Row of the contract: "unlink: with -o allow_trim segments/ is 0755 and the oldest sealed segment goes,
any other: EBUSY; a segment pinned by a live reader: EBUSY".
"""

import os

from contract import outcome
from contract_names import CALLS as NAME_CALLS, DIRECTORY, MAKE, MOVE
from records import place_reader, records, segment_ids
from testlib import wait_for

# The mode bits of segments/ let root through to the mount; not the user nobody, who does not own it.
UNLINK = """
unlink                   segments       payload        records        root
of the second            EBUSY/EACCES   EPERM/EACCES   EPERM/EACCES   EPERM/EACCES
of the newest            EBUSY/EACCES   EPERM/EACCES   EPERM/EACCES   EPERM/EACCES
what is not there        ENOENT         ENOENT         ENOENT         ENOENT
"""
TABLES = [("trim", MAKE), ("trim", MOVE), ("trim", DIRECTORY), ("trim", UNLINK)]
CALLS = {
    **NAME_CALLS,
    "of the second": lambda path: os.unlink(f"{path}/{sorted(os.listdir(path))[1]}"),
    "of the newest": lambda path: os.unlink(f"{path}/{max(os.listdir(path))}"),
    "what is not there": lambda path: os.unlink(path + "/000000777.q"),
}


def cases(world, who):
    path = world.paths["segment.sealed"]
    if who == "nobody":
        yield "trim: unlink of the oldest: EACCES", outcome(who, os.unlink, path) == "EACCES"
        return
    mode = os.stat(world.mount + "/segments").st_mode
    yield "trim: segments/ is 0755", mode == 0o40755
    for name in "payload", "records":
        yield f"trim: {name}/ is 0555", os.stat(f"{world.mount}/{name}").st_mode == 0o40555

    place_reader(world.queue, "slow", world.oldest, 64)
    yield "trim: unlink of the oldest, pinned by a live reader: EBUSY", \
        outcome(who, os.unlink, path) == "EBUSY" and os.path.exists(path)
    place_reader(world.queue, "slow", world.live.id, 64)

    old = world.content("segment.sealed")
    stream = os.open(world.paths["stream"], os.O_RDONLY)
    exact = os.open(world.paths["stream"], os.O_RDONLY | os.O_NONBLOCK)
    segment = os.open(path, os.O_RDONLY)
    before = world.content("stream")
    gone = sum(len(r.payload) for r in world.sealed.records)
    yield "trim: unlink of the oldest", outcome(who, os.unlink, path) == "ok"
    yield "trim: it is gone at once from segments/ and the queue", \
        outcome(who, os.stat, path) == "ENOENT" and segment_ids(world.queue)[0] == world.oldest + 1
    for name in "payload", "records":
        yield f"trim: and from {name}/ when the kernel has forgotten the name", \
            wait_for(lambda: outcome(who, os.stat, world.paths[name + ".sealed"]) == "ENOENT")
    yield "trim: again: ENOENT", outcome(who, os.unlink, path) == "ENOENT"
    yield "trim: who had it open goes on reading", os.pread(segment, len(old), 0) == old
    yield "trim: an open stream keeps its size and its offsets", \
        (os.fstat(stream).st_size, os.pread(stream, 1000, gone + 5000)) == \
        (len(before), before[gone + 5000:gone + 6000])
    yield "trim: and has no data where it was trimmed", \
        outcome(who, os.pread, stream, 100, 0) in ("ENODATA", "EIO")
    # Through the page cache a page that is half there cannot be read.
    yield "trim: SEEK_DATA goes to what can be read", \
        os.lseek(exact, 0, os.SEEK_DATA) == gone and \
        gone <= os.lseek(stream, 0, os.SEEK_DATA) < gone + 4096
    yield "trim: past the page cache it can be read to the byte", \
        outcome(who, os.pread, exact, 100, gone - 1) == "ENODATA" and \
        os.pread(exact, 100, gone) == before[gone:gone + 100]
    for fd in stream, exact, segment:
        os.close(fd)
    with open(world.paths["stream"], "rb") as file:
        yield "trim: a stream opened now begins behind it", file.read() == before[gone:]

    # Down to the last sealed one; never the current one.
    while segment_ids(world.queue)[0] < world.live.id:
        os.unlink(f"{world.mount}/segments/{segment_ids(world.queue)[0]:09}.q")
    left = records(world.queue)
    yield "trim: unlink of the current segment: EBUSY", \
        outcome(who, os.unlink, world.paths["segment.live"]) == "EBUSY"
    yield "trim: what it holds is there", left and records(world.queue) == left
    with open(world.paths["append"], "wb", buffering=0) as file:
        file.write(b"behind all that\n")
    yield "trim: appending goes on", records(world.queue)[-1].payload == b"behind all that\n"
