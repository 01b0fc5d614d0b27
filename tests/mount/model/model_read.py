# SPDX-License-Identifier: Apache-2.0
"""The reading side of model.py: handles old and new on every file, names, attributes.

What was trimmed may be gone (ENODATA) or still be had from the page cache; but no byte that is read
may be another than the one that was appended, and what is live has to come whole.
"""

import os
import re
import time

import testlib
from reference import without_times
from testlib import outcome, wait_for

PAGE = 4096
NAME_SECONDS = 1.5  # the kernel may know a name for a second after it is gone


class Handle:
    def __init__(self, kind, path, flags, number=None):
        self.kind, self.number = kind, number
        self.direct = bool(flags)
        self.fd = os.open(path, os.O_RDONLY | flags)
        self.base = 0
        self.backing = None


class Readers:
    def __init__(self, queue, mount, reference, chance, check):
        self.queue, self.mount, self.reference = queue, mount, reference
        self.chance, self.check = chance, check
        self.handles = []
        self.gone = {}  # segments that were seen trimmed: when first

    def choose(self):
        return self.chance.choice(["open", "open", "read", "read", "read", "read", "read", "read",
                                   "size", "seek", "close", "list", "names", "xattr", "stats"])

    def step(self, name, log):
        getattr(self, "do_" + name)(log)

    def close(self):
        for handle in self.handles:
            outcome(os.close, handle.fd)
            if handle.backing is not None:
                os.close(handle.backing)
        self.handles.clear()

    def any_segment(self):
        return self.chance.randint(self.reference.oldest, self.reference.current)

    def stream_begin(self):
        """Byte 0 of the path `stream`: for a process that has it open, that of the file that was opened last."""
        streams = [h.base for h in self.handles if h.kind == "stream"]
        return streams[-1] if streams else self.reference.begin()

    def settle(self):
        """The daemon hears of a close a moment later."""
        wanted = len(self.reference.stream) - self.stream_begin()
        wait_for(lambda: os.stat(self.mount + "/stream").st_size == wanted)
        self.check("stream", os.stat(self.mount + "/stream").st_size, wanted)

    def do_open(self, log):
        if len(self.handles) > 10:
            return
        kind = self.chance.choice(["stream", "stream", "payload", "records", "segments"])
        flags = self.chance.choice([0, 0, os.O_NONBLOCK])
        number = self.any_segment()
        path = {"stream": "stream", "payload": f"payload/{number:09}", "records": f"records/{number:09}",
                "segments": f"segments/{number:09}.q"}[kind]
        log[-1] += f" {path} {flags:o}"
        if kind == "stream":
            self.settle()
        base = self.stream_begin()
        handle = Handle(kind, f"{self.mount}/{path}", flags if kind == "stream" else 0, number)
        handle.base = base
        if kind == "segments":
            handle.backing = os.open(f"{self.queue}/{number:09}.q", os.O_RDONLY)
        self.handles.append(handle)

    def do_close(self, log):
        if self.handles:
            handle = self.handles.pop(self.chance.randrange(len(self.handles)))
            log[-1] += f" {handle.kind} {handle.fd}"
            self.check("close", outcome(os.close, handle.fd), None)
            if handle.backing is not None:
                os.close(handle.backing)

    def content(self, handle):
        if handle.kind == "stream":
            return self.reference.stream[handle.base:]
        if handle.kind == "payload":
            return self.reference.payloads_of(handle.number)
        if handle.kind == "records":
            return self.reference.lines_of(handle.number)
        return os.pread(handle.backing, self.reference.size, 0)

    def live_from(self, handle):
        """Where what is live begins, as an offset of the handle's."""
        if handle.kind == "stream":
            return self.reference.begin() - handle.base
        if handle.kind in ("payload", "records") and handle.number < self.reference.oldest:
            return len(self.content(handle))
        return 0

    def do_read(self, log):
        if not self.handles:
            return
        handle = self.chance.choice(self.handles)
        content = self.content(handle)
        size = len(content)
        offset = self.chance.choice([0, size, max(0, size - 10), self.chance.randrange(size + 1),
                                     self.chance.randrange(size + 1), size + 10])
        length = self.chance.choice([1, 100, PAGE, 1 << 17, self.chance.randrange(1, 9000)])
        log[-1] += f" {handle.kind} {handle.number} fd {handle.fd}: {length} at {offset}"
        self.compare(handle, content, offset, length)

    def compare(self, handle, content, offset, length):
        wanted = content[offset:offset + length]
        got = outcome(os.pread, handle.fd, length, offset)
        if handle.kind == "records" and isinstance(got, bytes):
            got = without_times(got, offset)
        live = self.live_from(handle)
        # through the page cache whole pages are read
        first = offset if handle.direct or handle.kind == "segments" else offset // PAGE * PAGE
        gone = handle.kind in ("payload", "records") and handle.number < self.reference.oldest
        if first < live or gone:
            if isinstance(got, bytes):
                self.check("trimmed bytes",
                           wanted.startswith(got) and bool(got) == bool(wanted), True)
            else:
                self.check("trimmed range", got, "ENODATA")
        else:
            self.check(f"bytes of {handle.kind} {handle.number or ''}", got, wanted)

    def do_size(self, log):
        if not self.handles:
            return
        handle = self.chance.choice(self.handles)
        log[-1] += f" {handle.kind} {handle.number}"
        if handle.number is not None and handle.number < self.reference.oldest and \
                handle.kind != "stream":
            return
        self.check(f"st_size of {handle.kind}", os.fstat(handle.fd).st_size,
                   len(self.content(handle)))

    def do_seek(self, log):
        streams = [h for h in self.handles if h.kind == "stream"]
        if not streams:
            return
        handle = self.chance.choice(streams)
        size, live = len(self.content(handle)), self.live_from(handle)
        self.check("SEEK_END", os.lseek(handle.fd, 0, os.SEEK_END), size)
        found = outcome(os.lseek, handle.fd, 0, os.SEEK_DATA)
        log[-1] += f" fd {handle.fd}: data at {found}"
        if size == live:
            self.check("SEEK_DATA", found, "ENXIO")
        elif handle.direct:
            self.check("SEEK_DATA", found, live)
        else:
            self.check("SEEK_DATA", found == "ENXIO" or live <= found < live + PAGE, True)

    def do_list(self, log):
        del log
        live = list(range(self.reference.oldest, self.reference.current + 1))
        for name, pattern in ("segments", r"(\d{9})\.q"), ("payload", r"(\d{9})"), ("records", r"(\d{9})"):
            found = sorted(int(re.fullmatch(pattern, n).group(1))
                           for n in os.listdir(f"{self.mount}/{name}"))
            self.check(f"listing of {name}", found[:len(live)], live)
            spares = found[len(live):]
            self.check("spares", spares, [live[-1] + 1 + i for i in range(len(spares))])
        self.check("listing", sorted(os.listdir(self.mount)),
                   ["append", "append.lines", "ctl", "metrics", "payload", "readers", "records", "segments",
                    "stats.json", "stream"])

    def do_names(self, log):
        reference = self.reference
        number = self.chance.randint(max(0, reference.oldest - 2), reference.current)
        log[-1] += f" {number}"
        begun = time.monotonic()
        kind, content = self.chance.choice([("payload", reference.payloads_of),
                                            ("records", reference.lines_of)])
        size = outcome(lambda: os.stat(f"{self.mount}/{kind}/{number:09}").st_size)
        if number < reference.oldest:
            if begun - self.gone.setdefault(number, time.monotonic()) > NAME_SECONDS:
                self.check(f"{kind} file of a trimmed segment", size, "ENOENT")
        else:
            self.check(f"{kind} file", size, len(content(number)))
        self.settle()

    def do_xattr(self, log):
        number = self.any_segment()
        log[-1] += f" {number}"
        records = self.reference.segments[number]
        path = self.chance.choice([f"segments/{number:09}.q", f"payload/{number:09}",
                                   f"records/{number:09}"])
        wanted = {
            "sealed": int(number < self.reference.current),
            "records": len(records),
            "payload_bytes": len(self.reference.payloads_of(number)),
        }
        if records:
            wanted.update(first_seq=records[0], last_seq=records[-1])
        for name, value in wanted.items():
            self.check(f"{name} of {path}",
                       outcome(os.getxattr, f"{self.mount}/{path}", "user.chronfs." + name),
                       str(value).encode())

    def do_stats(self, log):
        del log
        stats = testlib.stats(self.mount)
        self.check("next_seq", stats["position"]["next_seq"], self.reference.next_seq)
        self.check("segment", stats["position"]["segment"], self.reference.current)
        self.check("oldest", stats["segments"]["oldest"], self.reference.oldest)
        self.check("begin, end", (stats["stream"]["begin_bytes"], stats["stream"]["end_bytes"]),
                   (self.reference.begin(), len(self.reference.stream)))

    def check_all(self):
        """Every byte of every file."""
        reference = self.reference
        self.settle()
        with open(self.mount + "/stream", "rb") as file:
            begin, trimmed = self.stream_begin(), reference.begin() - self.stream_begin()
            if trimmed > 0:
                file.seek(os.lseek(file.fileno(), 0, os.SEEK_DATA))
                begin += file.tell()
                self.check("where data begins", trimmed <= file.tell() < trimmed + PAGE, True)
            self.check("the whole stream", file.read(), reference.stream[begin:])
        for number in range(reference.oldest, reference.current + 1):
            with open(f"{self.mount}/payload/{number:09}", "rb") as file:
                self.check(f"payload {number}", file.read(), reference.payloads_of(number))
            with open(f"{self.mount}/records/{number:09}", "rb") as file:
                self.check(f"records {number}", without_times(file.read(), 0), reference.lines_of(number))
            with open(f"{self.mount}/segments/{number:09}.q", "rb") as one, \
                    open(f"{self.queue}/{number:09}.q", "rb") as other:
                self.check(f"segment {number}", one.read() == other.read(), True)
