#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""model.py QUEUE MOUNT SEED SECONDS - random operations on a mount, each compared with a reference.

The reference (reference.py) knows all that was ever appended and where every record is; after
each operation the records in the segment files are compared with it, and what an operation gives,
be it a count, an error or bytes, is compared with what it should.  The same seed gives the same
operations.  The mount is ended in every way, too: unmounted, by SIGTERM, by SIGKILL.
"""

import os
import random
import sys
import time

from model_mount import Mount, interruptible
from model_read import Readers
from records import Follower, Segment
from reference import Lines, Reference
from testlib import outcome

queue, mount, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
chance = random.Random(seed)
log = []  # the last operations


class Mismatch(Exception):
    pass


def check(what, got, wanted):
    if got != wanted:
        raise Mismatch(f"{what}: got {str(got)[:200]}, wanted {str(wanted)[:200]}")


class Sink:
    def __init__(self, name, flags, lines):
        self.name, self.flags, self.lines = name, flags, lines
        self.fds = [os.open(f"{mount}/{name}", os.O_WRONLY | flags)]
        self.last_seq = None


class Model:
    def __init__(self):
        size = chance.choice([4096, 8192, 16384, 65536])
        most = chance.choice([0, 0, 6, 12])
        options = f"segment_size={size},line_timeout=0,allow_trim"
        if most:
            options += f",max_bytes={most * size}"
        options += chance.choice(["", ",passthrough=off", ",spares=2", ",sync=interval=5"])
        print(f"seed {seed}: {options}")
        self.reference = Reference(size, most)
        self.mount = Mount(queue, mount, options)
        self.sinks = []
        self.follower = Follower.__new__(Follower)
        self.follower.queue, self.follower.next_seq, self.follower.segment = queue, 0, 0
        self.checked = 0  # records that were compared with the files
        self.readers = Readers(queue, mount, self.reference, chance, check)

    def data(self):
        limit = self.reference.limit
        length = chance.choice([0, 1, chance.randrange(200), chance.randrange(limit), limit,
                                limit - 1, limit + 1, chance.randrange(3 * limit)])
        return chance.randbytes(length)

    def text(self):
        """Lines of all kinds of lengths, cut anywhere."""
        parts = []
        for _ in range(chance.randrange(6)):
            parts.append(b"%d" % chance.randrange(10**9) * chance.choice([0, 1, 5, 300]))
            parts.append(b"\n" * chance.choice([0, 1, 1, 1, 2]))
        return b"".join(parts)[chance.randrange(3):]

    # ---- operations: each is as likely as it is frequent in OPERATIONS ----

    def open_sink(self):
        if len(self.sinks) > 6:
            return
        flags = chance.choice([0, 0, os.O_APPEND, os.O_TRUNC, os.O_DSYNC, os.O_NONBLOCK])
        name = chance.choice(["append", "append.lines"])
        log[-1] += f" {name} {flags:o}"
        lines = Lines(self.reference) if name == "append.lines" else None
        self.sinks.append(Sink(name, flags, lines))

    def full(self, sink):
        return "EAGAIN" if sink.flags & os.O_NONBLOCK else "EDQUOT"

    def write(self):
        if not self.sinks:
            return
        sink = chance.choice(self.sinks)
        before = self.reference.next_seq
        if sink.lines:
            data = self.text() if chance.random() < 0.7 else self.data()
            if chance.random() < 0.1:  # up to the limit, exactly or nearly
                rest = self.reference.limit - len(sink.lines.open)
                data = b"y" * (rest + chance.choice([-2, -1, 0, 1])) + chance.choice([b"", b"\n"])
            wanted = sink.lines.write(data, end=bool(sink.flags & os.O_DSYNC))
            if wanted is None:
                wanted = self.full(sink)
        else:
            data = self.data()
            if len(data) > self.reference.limit:
                wanted = "EMSGSIZE"
            else:
                wanted = len(data) if not data or self.reference.append(data) else self.full(sink)
        log[-1] += f" {len(data)} bytes to {sink.name} {sink.fds}: {wanted}"
        check("write", outcome(os.write, chance.choice(sink.fds), data), wanted)
        if self.reference.next_seq > before:
            sink.last_seq = self.reference.next_seq - 1

    def commit(self, sink):
        """What a flush or an fsync of a sink does to its open line; whether it can."""
        if not sink.lines or not sink.lines.open:
            return True
        if not sink.lines.commit():
            return False
        sink.last_seq = self.reference.next_seq - 1
        return True

    def duplicate(self):
        if self.sinks:
            sink = chance.choice(self.sinks)
            sink.fds.append(os.dup(sink.fds[0]))

    def make_room(self):
        """So that a close can commit: one that cannot has its line appended when there is room."""
        reference = self.reference
        if reference.most and not reference.may_roll():
            reference.trim(reference.next_seq)
            self.control(f"trim {reference.next_seq}")

    def close_sink(self, sink=None):
        if not self.sinks:
            return
        sink = sink or chance.choice(self.sinks)
        self.make_room()
        self.commit(sink)
        log[-1] += f" {sink.name} {sink.fds[-1]}"
        check("close", outcome(os.close, sink.fds.pop()), None)
        if not sink.fds:
            self.sinks.remove(sink)

    def fsync(self):
        if not self.sinks:
            return
        sink = chance.choice(self.sinks)
        wanted = [None] if self.commit(sink) else ["EDQUOT", "EAGAIN"]
        got = outcome(chance.choice([os.fsync, os.fdatasync]), sink.fds[0])
        check(f"fsync: {got}", got in wanted, True)

    def last_seq(self):
        if not self.sinks:
            return
        sink = chance.choice(self.sinks)
        got = outcome(os.getxattr, sink.fds[0], "user.chronfs.last_seq")
        wanted = "ENODATA" if sink.last_seq is None else str(sink.last_seq).encode()
        check(f"last_seq of {sink.name}", got, wanted)

    def control(self, text):
        fd = os.open(mount + "/ctl", os.O_WRONLY)
        try:
            return outcome(os.write, fd, text.encode())
        finally:
            os.close(fd)

    def roll(self):
        wanted = 5 if self.reference.roll() else "EDQUOT"
        check("roll", self.control("roll\n"), wanted)

    def trim(self):
        seq = chance.randrange(self.reference.next_seq + 2)
        log[-1] += f" {seq}"
        text = f"trim {seq}\n"
        check("trim", self.control(text), len(text))
        self.reference.trim(seq)

    def other_verbs(self):
        verbs = [("sync\n", 5), ("", 0), ("x\n", "EINVAL"), ("trim\n", "EINVAL")]
        text, wanted = chance.choice(verbs)
        check(text, self.control(text), wanted)

    def unlink(self):
        reference = self.reference
        number = chance.choice([reference.oldest, reference.oldest, reference.oldest + 1,
                                reference.current, reference.current + 9])
        log[-1] += f" {number}"
        if number == reference.oldest < reference.current:
            wanted = None
            reference.oldest += 1
        else:
            wanted = "EBUSY" if number <= reference.current else "ENOENT"
        if number == reference.current + 1:
            return  # it may be prepared, or not
        check("unlink", outcome(os.unlink, f"{mount}/segments/{number:09}.q"), wanted)

    # ---- the end of a mount, and another ----

    def remount(self):
        how = chance.choice(["umount", "TERM", "KILL", "KILL", "KILL, writing"])
        log[-1] += f" {how}"
        self.readers.close()
        if how == "umount" or (how == "TERM" and self.reference.most):
            while self.sinks:
                self.close_sink(self.sinks[0])
                self.compare()  # before the next one makes room by trimming these
            self.mount.umount()
        elif how == "TERM":
            self.mount.terminate()
            self.adopt(sorted(s.lines.open for s in self.sinks if s.lines and s.lines.open))
        elif how == "KILL":
            self.mount.kill()
        else:
            acknowledged = self.mount.kill_while(chance.random() * 0.02)
            new = self.follower.new()
            check("sent when killed", new, [b"sent %d" % i for i in range(len(new))])
            check("acknowledged when killed", acknowledged <= len(new) <= acknowledged + 1, True)
            for payload in new:
                check("room for it", self.reference.append(payload), True)
            self.checked += len(new)
            # killed between a roll and the record that it was for
            if Segment(queue, self.reference.current).sealed:
                self.reference.roll()
        for sink in self.sinks:
            for fd in sink.fds:
                outcome(os.close, fd)
        self.sinks.clear()
        self.compare()
        self.mount.verify()
        self.mount.start()

    def adopt(self, open_lines):
        """What SIGTERM has committed: every open line, in any order."""
        new = self.follower.new()
        check("open lines at SIGTERM", sorted(new), open_lines)
        for payload in new:
            self.reference.append(payload)
        self.checked += len(new)

    # ---- after each operation ----

    def compare(self):
        """The records that are new in the segment files are those that are new in the reference."""
        new = self.follower.new()
        wanted = [self.reference.payload(seq) for seq in range(self.checked, self.reference.next_seq)]
        if new != wanted:
            raise Mismatch(f"records from {self.checked}: got {[len(r) for r in new]}, "
                           f"wanted {[len(r) for r in wanted]} bytes")
        self.checked = self.reference.next_seq

    OPERATIONS = [open_sink] * 4 + [write] * 30 + [duplicate] + [close_sink] * 3 + [fsync] * 2 + \
        [last_seq] + [roll, trim, other_verbs] + [unlink] * 2

    def step(self, readers_share=0.5):
        if chance.random() < 0.004:
            operation = Model.remount
        elif chance.random() < readers_share:
            name = self.readers.choose()
            log.append(name)
            self.readers.step(name, log)
            return
        else:
            operation = chance.choice(self.OPERATIONS)
        log.append(operation.__name__)
        operation(self)
        self.compare()

    def run(self):
        steps = 0
        try:
            self.mount.start()
            end = time.monotonic() + seconds
            while time.monotonic() < end and not interruptible():
                self.step()
                del log[:-40]
                steps += 1
            self.remount()
            self.readers.check_all()
            self.readers.close()
            self.mount.umount()
        finally:
            self.mount.stop()
        print(f"{steps} operations, {self.reference.next_seq} records, "
              f"{self.reference.current + 1} segments, {self.reference.oldest} of them trimmed")


def main():
    try:
        Model().run()
    except (Mismatch, OSError, AssertionError) as e:
        for line in log[-40:]:
            print(line)
        print(f"{type(e).__name__}: {e}")
        print(f"to repeat: MODEL_SEEDS={seed}")
        print(f"not ok - seed {seed}")
        return
    print(f"ok - seed {seed}: every result and every byte as in the reference")


main()
