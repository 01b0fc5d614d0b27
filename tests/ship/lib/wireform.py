# SPDX-License-Identifier: Apache-2.0
"""Records in messages of a stream, as core/cli/wire/wire.h describes them: put in, and taken out again.

Written from the description alone, so that it finds where the programs do otherwise.
"""

import re
import struct
import zlib
from dataclasses import dataclass

ENTRY = struct.Struct("<IIQHH")
COVERED = struct.Struct("<QQIHH")
ALWAYS = {"Chronq-Kind", "Chronq-First", "Chronq-Next"}
FINGERPRINT = {"Chronq-Epoch", "Chronq-Time", "Chronq-CRC"}
WANTED = {
    "record": ALWAYS | FINGERPRINT | {"Chronq-Type"},
    "frame": ALWAYS | FINGERPRINT,
    "part": ALWAYS | FINGERPRINT | {"Chronq-Type", "Chronq-Part"},
    "gap": ALWAYS,
}


class Malformed(Exception):
    pass


@dataclass(frozen=True)
class Record:
    seq: int
    time_ns: int
    type: int
    payload: bytes


@dataclass(frozen=True)
class Gap:
    """Records that are not there, from first to next - 1."""

    first: int
    next: int


def crc(record):
    head = COVERED.pack(record.seq, record.time_ns, len(record.payload), record.type, 0)
    return zlib.crc32(record.payload, zlib.crc32(head))


def head_of(kind, records, epoch, stream):
    headers = {"Chronq-Kind": kind, "Chronq-First": str(records[0].seq), "Chronq-Next": str(records[-1].seq + 1)}
    if stream is not None:
        headers["Chronq-Stream"] = str(stream)
    return headers | {"Chronq-Epoch": str(epoch), "Chronq-Time": str(records[-1].time_ns),
                      "Chronq-CRC": f"{crc(records[-1]):08x}"}


def put_record(record, epoch=1, stream=None):
    """Headers and body of a message."""
    return head_of("record", [record], epoch, stream) | {"Chronq-Type": str(record.type)}, record.payload


def put_frame(records, epoch=1, stream=None):
    body = b"".join(ENTRY.pack(len(r.payload), crc(r), r.time_ns, r.type, 0) + r.payload for r in records)
    return head_of("frame", records, epoch, stream), body


def put_parts(record, size, epoch=1, stream=None):
    """A message for each piece of a record."""
    length = len(record.payload)
    for at in range(0, length, size):
        piece = record.payload[at:at + size]
        headers = head_of("part", [record], epoch, stream)
        headers |= {"Chronq-Type": str(record.type), "Chronq-Part": f"{at}/{length}"}
        if at + len(piece) < length:
            headers["Chronq-Next"] = headers["Chronq-First"]
        yield headers, piece


def put_gap(first, next_seq, stream=None):
    headers = {"Chronq-Kind": "gap", "Chronq-First": str(first), "Chronq-Next": str(next_seq)}
    return headers | ({} if stream is None else {"Chronq-Stream": str(stream)}), b""


def number(headers, name):
    text = headers[name]
    if not re.fullmatch("0|[1-9][0-9]*", text):
        raise Malformed(f"{name}: {text!r}")
    return int(text)


def want(good, message, what):
    if not good:
        raise Malformed(f"message {message.sequence}: {what}: {message.headers}, {len(message.body)} bytes")


class Decoder:
    """Takes the messages of a stream in order; gives what is in them.  Raises Malformed where a message is not as it
    has to be, or does not continue the one before."""

    def __init__(self, next_seq=None):
        self.next = next_seq  # the number that the next message begins with
        self.stream = None    # where its payload begins
        self.part = None      # the headers of the part before, if the record is not complete
        self.pieces = b""
        self.kinds = {}       # how many messages there were of each kind

    def fingerprint(self, message, record):
        headers = message.headers
        want(number(headers, "Chronq-Time") == record.time_ns, message, f"the time of {record.seq} is {record.time_ns}")
        want(headers["Chronq-CRC"] == f"{crc(record):08x}", message, f"the CRC of {record.seq} is {crc(record):08x}")
        number(headers, "Chronq-Epoch")

    def take(self, message):
        """The records and gaps that this message completes."""
        headers = {name: value for name, value in message.headers.items() if name.startswith("Chronq-")}
        kind = headers.get("Chronq-Kind")
        want(kind in WANTED, message, "kind")
        want(headers.keys() - {"Chronq-Stream"} == WANTED[kind], message, "headers")
        first, behind = number(headers, "Chronq-First"), number(headers, "Chronq-Next")
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        want(self.next is None or first == self.next, message, f"{self.next} has to come next")
        want(kind == "part" or self.part is None, message, "a record was not complete")
        stream = number(headers, "Chronq-Stream") if "Chronq-Stream" in headers else None
        # a gap may have any number of bytes
        want(self.stream is None or stream in (None, self.stream), message, f"{self.stream} is its place in the stream")
        found = getattr(self, "take_" + kind)(message, headers, first, behind)
        self.next = behind
        if kind == "gap":
            self.stream = None
        elif found:
            stream = self.stream if stream is None else stream
            self.stream = None if stream is None else stream + sum(len(record.payload) for record in found)
        return found

    def take_record(self, message, headers, first, behind):
        record = Record(first, number(headers, "Chronq-Time"), number(headers, "Chronq-Type"), message.body)
        want(behind == first + 1, message, "Next")
        self.fingerprint(message, record)
        return [record]

    def take_frame(self, message, headers, first, behind):
        records = []
        at = 0
        body = message.body
        while at < len(body):
            want(len(body) - at >= ENTRY.size, message, f"an entry at {at} is cut short")
            length, checksum, time_ns, type_, zero = ENTRY.unpack_from(body, at)
            at += ENTRY.size
            want(length <= len(body) - at, message, f"a payload at {at} is cut short")
            record = Record(first + len(records), time_ns, type_, body[at:at + length])
            want(zero == 0 and checksum == crc(record), message, f"the entry of {record.seq}")
            records.append(record)
            at += length
        want(records and behind == first + len(records), message, f"{len(records)} entries")
        self.fingerprint(message, records[-1])
        return records

    def take_part(self, message, headers, first, behind):
        at, length = map(int, headers["Chronq-Part"].split("/"))
        same = FINGERPRINT | {"Chronq-Type"}
        if self.part is None or at == 0:
            self.pieces = b""
        else:
            want(all(headers[name] == self.part[name] for name in same), message, "part of another record")
        want(at == len(self.pieces) and message.body, message, f"{len(self.pieces)} bytes of the record were there")
        self.pieces += message.body
        want(len(self.pieces) <= length, message, "too many bytes")
        if len(self.pieces) < length:
            want(behind == first, message, "Next")
            self.part = headers
            return []
        want(behind == first + 1, message, "Next")
        self.part = None
        record = Record(first, number(headers, "Chronq-Time"), number(headers, "Chronq-Type"), self.pieces)
        self.fingerprint(message, record)
        return [record]

    def take_gap(self, message, headers, first, behind):
        want(first < behind and not message.body, message, "gap")
        return [Gap(first, behind)]


def decode(messages, next_seq=None):
    """All records and gaps of these messages, as two lists, and how many messages there were of each kind."""
    decoder = Decoder(next_seq)
    records, gaps = [], []
    for message in messages:
        for found in decoder.take(message):
            (gaps if isinstance(found, Gap) else records).append(found)
    if decoder.part is not None:
        raise Malformed("the last record is not complete")
    return records, gaps, decoder.kinds
