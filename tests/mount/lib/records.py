#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""records.py QUEUE [SEQ] - the payloads of the records from SEQ on, one JSON string per line.

What is in a queue, read from its segment files as docs/format.md has it and without the library: so
the tests of the mount have something to compare with that does not go through what they test.
"""

import json
import os
import re
import struct
import sys
import time
import zlib
from collections import namedtuple

ALIGN = 64
PAD = 0xFFFF
SEGMENT = re.compile(r"(\d{9})\.q")

Record = namedtuple("Record", "seq segment payload time type")


def segment_ids(queue):
    """Ids of the published segments, ascending."""
    matches = (SEGMENT.fullmatch(name) for name in os.listdir(queue))
    return sorted(int(m.group(1)) for m in matches if m)


def segment_path(queue, number):
    return f"{queue}/{number:09}.q"


class Segment:
    """One segment file as it is now."""

    def __init__(self, queue, number):
        with open(segment_path(queue, number), "rb") as file:
            data = file.read()
        magic, _, found, flags = struct.unpack_from("<4sIII", data)
        if magic != b"0GES" or found != number:
            raise ValueError(f"{number:09}.q has no valid header")
        self.id = number
        self.sealed = bool(flags & 1)
        self.records = []
        at = ALIGN
        while at + ALIGN <= len(data):
            word, seq, when, kind = struct.unpack_from("<I4xQQH", data, at)
            if word == 0:
                break
            begin = at + ALIGN
            if kind != PAD:
                self.records.append(Record(seq, number, data[begin:begin + word - 1], when, kind))
            at = begin + (word - 1 + ALIGN - 1) // ALIGN * ALIGN
        self.used = at


class Follower:
    """Gives what was appended since the last time it was asked."""

    def __init__(self, queue):
        self.queue = queue
        self.next_seq = 0
        self.segment = 0
        self.new()

    def new(self):
        """Payloads of the new records, oldest first.  The writer may append at the same time: only
        behind a segment that was sealed when it was read, the next one is looked at."""
        found = []
        for number in segment_ids(self.queue):
            if number < self.segment:
                continue
            segment = Segment(self.queue, number)
            found += [r for r in segment.records if r.seq >= self.next_seq]
            if not segment.sealed:
                break
            self.segment = number + 1
        if found:
            self.next_seq = found[-1].seq + 1
        return [r.payload for r in found]


def records(queue):
    return [r for number in segment_ids(queue) for r in Segment(queue, number).records]


def rfc3339(ns):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9)) + f".{ns % 10**9:09}Z"


def record_lines(queue, begin=0):
    """What records/ has to hold: for each segment its lines.  begin: the stream offset of the oldest record."""
    lines = {number: [] for number in segment_ids(queue)}
    for r in records(queue):
        lines[r.segment].append(b"%020d %s %20d %10d %5d\n" % (
            r.seq, rfc3339(r.time).encode(), begin, len(r.payload), r.type))
        begin += len(r.payload)
    return lines


def place_reader(queue, name, segment, offset, heartbeat=None):
    """A named reader that has just committed this position (docs/format.md, readers/NAME.meta)."""
    os.makedirs(queue + "/readers", exist_ok=True)
    slot = struct.pack("<QQQQ", segment, offset, time.time_ns() if heartbeat is None else heartbeat, 1)
    with open(f"{queue}/readers/.{name}", "wb") as file:
        file.write(bytes(40) + slot + struct.pack("<II", zlib.crc32(slot), 0))
    os.replace(file.name, f"{queue}/readers/{name}.meta")


def main():
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for record in records(sys.argv[1]):
        if record.seq >= first:
            print(json.dumps(record.payload.decode("latin-1")))


if __name__ == "__main__":
    main()
