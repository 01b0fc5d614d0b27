#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the bytes of a queue directory against docs/format.md.

A second implementation of the format, written from the document alone: it shares no code with the
library, so a mistake made in both places has to be made twice.  The queue must be at rest; nothing
is written to it.

Prints one line per finding and exits 1, or one line starting with "ok:" and exits 0.  What only
chronicle-rs writes (headers and records without our extension, sequence numbers that start again at
0, PAD records) is accepted as its own.
"""

import argparse
import mmap
import os
import re
import struct
import sys
import zlib
from array import array

ALIGN = 64
SEGMENT_MAGIC = 0x53454730
SEALED = 1
PAD = 0xFFFF
CONTROL_MAGIC = 0x4348524E
IDENTITY_MAGIC = 0x44495143
INDEX_MAGIC = b"CHRIDX1\0"
STRIDE = 4096

SEGMENT_NAME = re.compile(r"(\d{9})\.q$")
INDEX_NAME = re.compile(r"(\d{9})\.idx$")
SET_ASIDE_NAME = re.compile(r"\d{9}\.q\.(broken|corrupt)(\.\d{1,3})?$")
TEMP_NAME = re.compile(r"(\d{9}\.q(\.new)?|\d{9}\.idx|control|durable|identity)\.tmp$")
READER_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,64}\.meta$")
LOCK_TEXT = re.compile(rb"(\d+) (\d+) (\d+)( closing \d+| closed)?\n")

SEGMENT_HEADER = struct.Struct("<IIII II QQQQQ")
RECORD_HEADER = struct.Struct("<I B3s QQ HHI II Q I12s")
SLOT = struct.Struct("<QQQQII")          # readers/NAME.meta
DURABLE_SLOT = struct.Struct("<QQQIIII")  # durable.meta
LISTING = struct.Struct("<16sQQQIIII")     # behind its slots
IDENTITY = struct.Struct("<II16s16sII")    # identity.meta
INDEX_HEADER = struct.Struct("<8sHHIQQIIQQQQQ")
INDEX_ENTRY = struct.Struct("<QQQ")
for layout, size in ((SEGMENT_HEADER, 64), (RECORD_HEADER, 64), (SLOT, 40), (DURABLE_SLOT, 40),
                     (LISTING, 56), (IDENTITY, 48), (INDEX_HEADER, 80), (INDEX_ENTRY, 24)):
    assert layout.size == size


def first_nonzero(data, start, end):
    """Offset of the first byte of data[start:end] that is not zero, or None."""
    chunk = 1 << 20
    while start < end:
        piece = data[start:min(start + chunk, end)]
        if piece.count(0) != len(piece):
            return start + len(piece) - len(piece.lstrip(b"\0"))
        start += len(piece)
    return None


class Segment:
    """What one segment file holds."""

    def __init__(self, number):
        self.id = number
        self.version = 0
        self.sealed = False
        self.empty = True          # no record and no PAD
        self.tail = ALIGN          # behind the last record or PAD
        self.payload = 0           # payload bytes, PAD excluded
        self.seqs = array("Q")     # one item per record, PAD excluded
        self.times = array("Q")
        self.offsets = array("Q")
        self.ours = array("B")     # 1: the record has our extension
        self.ends = {ALIGN}        # every offset at which a reader's position may be


class Checker:
    def __init__(self, path, closed, crashed, payload_sink):
        self.path = path
        self.closed = closed
        self.crashed = crashed
        self.payload_sink = payload_sink
        self.findings = []
        self.segments = {}
        self.active = None
        self.size = None           # of every segment file
        self.control = None
        self.top_epoch = 0         # highest writer epoch seen in a record
        self.next_seq = None       # highest sequence number seen, + 1
        self.seen_ours = False
        self.stream = 0            # payload bytes since the oldest live segment
        self.base = None           # payload bytes before it; None: not known yet

    def bad(self, where, text):
        self.findings.append(f"{where}: {text}")

    def bad_unless_crashed(self, where, text):
        if not self.crashed:
            self.bad(where, text)

    def read(self, name, where=None):
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self.bad(where or name, error.strerror)
            return None

    # ---- directory

    def run(self):
        names = sorted(os.listdir(self.path))
        known = {"control.meta", "index.meta", "writer.lock", "durable.meta", "identity.meta", "readers"}
        for name in names:
            if TEMP_NAME.match(name):
                if self.closed:
                    self.bad(name, "temporary file left in a closed queue")
            elif name not in known and not (SEGMENT_NAME.match(name) or INDEX_NAME.match(name)
                                            or SET_ASIDE_NAME.match(name)):
                self.bad(name, "unknown name")
        ids = [int(m.group(1)) for m in map(SEGMENT_NAME.match, names) if m]
        self.check_control_block()
        if not ids:
            self.bad(self.path, "no segment")
            return
        for lower, higher in zip(ids, ids[1:]):
            for missing in range(lower + 1, higher):
                if f"{missing:09}.q.corrupt" not in names:
                    self.bad(f"{missing:09}.q", "missing, with segments on both sides of it")
        if ids[0] == 0:
            self.base = 0
        previous = None
        for number in ids:
            if previous is not None and number != previous + 1:
                self.base, self.stream, self.next_seq = None, 0, None  # numbering starts again
            self.check_segment(number)
            previous = number
        self.check_order(ids)
        self.check_position()
        self.check_landmarks()
        self.check_lock()
        for name in names:
            match = INDEX_NAME.match(name)
            if match:
                self.check_index(name, int(match.group(1)))
        self.check_durable()
        self.check_identity()
        self.check_readers()

    def check_order(self, ids):
        unsealed = [number for number in ids if not self.segments[number].sealed]
        if not unsealed:
            self.bad_unless_crashed(self.path, "every segment is sealed: none to append to")
            self.active = self.segments[ids[-1]]
            return
        self.active = self.segments[unsealed[0]]
        for number in ids:
            segment = self.segments[number]
            if number <= self.active.id:
                continue
            if segment.sealed or not segment.empty:
                self.bad_unless_crashed(f"{number:09}.q", "in use, although "
                                        f"{self.active.id:09}.q below it is not sealed")
                self.active = segment

    # ---- segments and records

    def check_segment(self, number):
        segment = self.segments[number] = Segment(number)
        name = f"{number:09}.q"
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < 2 * ALIGN:
                    self.bad(name, f"only {size} bytes long")
                    return
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    self.check_segment_data(segment, name, data)
        except OSError as error:
            self.bad(name, error.strerror)

    def check_segment_data(self, segment, name, data):
        size = len(data)
        if size % ALIGN or size > (4 << 30) - ALIGN:
            self.bad(name, f"size {size} is not a multiple of 64 from 128 to 4 GiB - 64")
            return
        if self.size is None:
            self.size = size
        if size != self.size:
            self.bad(name, f"size {size}, the queue's segments have {self.size}")
            return
        (magic, version, number, flags, ext, ext_crc, base, first_seq, records, used,
         payload) = SEGMENT_HEADER.unpack_from(data)
        if magic == 0 and self.crashed and first_nonzero(data, 0, size) is None:
            return  # the name reached the disk, the header did not
        if magic != SEGMENT_MAGIC:
            self.bad(name, f"magic {magic:#x}")
            return
        if version not in (1, 2):
            self.bad(name, f"version {version}")
            return
        segment.version = version
        if number != segment.id:
            self.bad(name, f"header has id {number}")
        if flags & ~SEALED:
            self.bad(name, f"unknown flags {flags:#x}")
        segment.sealed = bool(flags & SEALED)
        summary = self.check_summary(segment, name, data, ext, ext_crc, (records, used, payload))
        start = self.stream
        if summary:
            self.anchor(name, "stream_base", base, start)
            if self.next_seq is None:
                self.next_seq = first_seq
        expected_seq = self.next_seq
        self.check_records(segment, name, data)
        rest = first_nonzero(data, segment.tail, size)
        if rest is not None:
            self.bad_unless_crashed(name, f"bytes behind the tail {segment.tail} are not zero, "
                                    f"the first one at {rest}")
        if not ext and not segment.sealed and segment.ours and segment.ours[0]:
            self.bad_unless_crashed(name, "its first record is ours, but its header lacks our "
                                    "extension")
        if not summary:
            return
        if segment.sealed and not segment.seqs and segment.tail == 2 * ALIGN:
            # A placeholder for one that is gone: numbering starts again behind it.
            self.base, self.stream, self.next_seq = None, 0, None
        actual_first = segment.seqs[0] if segment.seqs else expected_seq
        if actual_first is not None and first_seq != actual_first:
            self.bad(name, f"header has first_seq {first_seq}, the records say {actual_first}")
        if segment.sealed:
            for field, found, actual in (("records", records, len(segment.seqs)),
                                         ("used", used, segment.tail),
                                         ("payload bytes", payload, segment.payload)):
                if found != actual:
                    self.bad(name, f"header has {field} {found}, the records say {actual}")

    def check_summary(self, segment, name, data, ext, ext_crc, totals):
        """Our extension of the header.  True: it is there and may be believed."""
        if ext == 0:
            if first_nonzero(data, 16, 64) is not None:
                self.bad(name, "reserved header bytes are not zero, and ext is 0")
            return False
        if ext != 1:
            self.bad(name, f"header has ext {ext}")
            return False
        crc = zlib.crc32(data[24:64])
        if crc != ext_crc:
            text = f"header extension has CRC {ext_crc:#010x}, should be {crc:#010x}"
            if segment.sealed:
                self.bad(name, text)
            else:
                self.bad_unless_crashed(name, text)
            return False
        if not segment.sealed and any(totals):
            self.bad_unless_crashed(name, f"not sealed, but its header has totals {totals}")
        return True

    def anchor(self, where, field, value, since_oldest):
        """Compares a stored stream position with the sum of the payloads."""
        if self.base is None:
            self.base = value - since_oldest
            if self.base < 0:
                self.bad(where, f"{field} {value} is less than the {since_oldest} payload bytes "
                         "before it")
        elif value != self.base + since_oldest:
            self.bad(where, f"{field} {value}, should be {self.base + since_oldest}")

    def check_records(self, segment, name, data):
        size = len(data)
        offset = ALIGN
        while offset <= size - ALIGN:
            (commit, version, zero, seq, time, kind, flags, crc, ext, header_crc, stream, epoch,
             reserved) = RECORD_HEADER.unpack_from(data, offset)
            if commit == 0:
                break
            where = f"{name} at {offset}"
            length = commit - 1
            end = offset + (ALIGN + length + ALIGN - 1) // ALIGN * ALIGN
            if end > size:
                self.bad_unless_crashed(where, f"record of {length} bytes crosses the end")
                break
            body = offset + ALIGN
            is_pad = kind == PAD
            # What decides whether this is a record at all: behind the first that fails there is
            # nothing that could be trusted.
            if not is_pad:
                actual = zlib.crc32(data[body:body + length])
                if crc != actual:
                    self.bad_unless_crashed(where, f"payload CRC {crc:#010x}, should be "
                                            f"{actual:#010x}")
                    break
            if ext == 1:
                actual = zlib.crc32(data[offset:offset + 36] + bytes(4)
                                    + data[offset + 40:offset + 64])
                if header_crc != actual:
                    self.bad_unless_crashed(where, f"header CRC {header_crc:#010x}, should be "
                                            f"{actual:#010x}")
                    break
            if version != segment.version - 1 and not is_pad:
                self.bad(where, f"record version {version} in a segment of version "
                         f"{segment.version}")
            if zero != bytes(3) or reserved != bytes(12):
                self.bad(where, "reserved header bytes are not zero")
            if flags:
                self.bad(where, f"record flags {flags:#x}")
            if ext == 0:
                if header_crc or stream or epoch:
                    self.bad(where, "reserved header bytes are not zero, and ext is 0")
            elif ext == 1:
                self.check_own_record(segment, where, data, body + length, end, seq, stream, epoch)
            else:
                self.bad(where, f"record has ext {ext}")
            segment.empty = False
            segment.tail = end
            segment.ends.add(end)
            if is_pad:
                if seq:
                    self.bad(where, f"PAD with seq {seq}")
                if ext:
                    self.bad(where, "PAD with our extension: we never write one")
            else:
                segment.offsets.append(offset)
                segment.seqs.append(seq)
                segment.times.append(time)
                segment.ours.append(ext == 1)
                segment.payload += length
                self.stream += length
                self.next_seq = max(seq + 1, self.next_seq or 0)
                self.seen_ours = self.seen_ours or ext == 1
                if self.payload_sink:
                    self.payload_sink.write(data[body:body + length])
            offset = end

    def check_own_record(self, segment, where, data, payload_end, end, seq, stream, epoch):
        # Where chronicle-rs's records begin the live part of a queue whose start is gone, the
        # highest number before them is not known any more.
        unknown = not self.seen_ours and min(self.segments) > 0 and self.next_seq is not None
        if self.next_seq is not None and seq != self.next_seq:
            if not (unknown and seq > self.next_seq):
                self.bad(where, f"seq {seq}, should be {self.next_seq}")
        elif self.next_seq is None and segment.id == 0 and seq:
            self.bad(where, f"seq {seq}, should be 0")
        self.anchor(where, "stream offset", stream, self.stream)
        if epoch < max(self.top_epoch, 1):
            self.bad(where, f"writer epoch {epoch} after {self.top_epoch}")
        self.top_epoch = max(self.top_epoch, epoch)
        if first_nonzero(data, payload_end, end) is not None:
            self.bad(where, "padding behind the payload is not zero")

    # ---- control.meta, index.meta, writer.lock

    def check_control_block(self):
        name = "control.meta"
        data = self.read(name)
        if data is None:
            self.bad_unless_crashed(name, "missing")
            return
        if len(data) != 512:
            self.bad_unless_crashed(name, f"{len(data)} bytes long, should be 512")
            return
        magic, version, state = struct.unpack_from("<III", data)
        epoch, size = struct.unpack_from("<QQ", data, 16)
        generation, current = struct.unpack_from("<II", data, 128)
        offset, = struct.unpack_from("<Q", data, 256)
        if (magic, version, state) != (CONTROL_MAGIC, 3, 2):
            self.bad_unless_crashed(name, f"magic {magic:#x}, version {version}, state {state}")
            return
        for start, end in ((12, 16), (48, 128), (136, 256), (276, 280), (376, 384), (392, 400),
                           (404, 512)):
            at = first_nonzero(data, start, end)
            if at is not None:
                self.bad(name, f"reserved byte {at} is not zero")
        if generation % 2:
            self.bad_unless_crashed(name, f"segment_gen {generation} is odd")
        if size % ALIGN or not 2 * ALIGN <= size <= (4 << 30) - ALIGN:
            self.bad_unless_crashed(name, f"segment size {size}")
        else:
            self.size = size
        if epoch == 0:
            self.bad(name, "writer epoch 0")
        self.control = (current, offset, epoch)
        self.landmarks = struct.unpack_from("<I4x24I", data, 272)

    def check_landmarks(self):
        """Each names record 4096 K of the current segment, in the slot of the lowest bit that is set in K."""
        if not self.control or self.landmarks[0] != self.control[0] + 1:
            return
        segment = self.segments.get(self.control[0])
        for slot in range(12):
            low, offset = self.landmarks[1 + 2 * slot:3 + 2 * slot]
            if offset == 0 and low == 0:
                continue
            at = segment.offsets.index(offset) if segment and offset in segment.offsets else 0
            groups = at // 4096
            if at == 0 or at % 4096 or segment.seqs[at] % (1 << 32) != low \
                    or slot != min((groups & -groups).bit_length() - 1, 11):
                self.bad_unless_crashed("control.meta", f"landmark {slot}: seq {low} at {offset}")

    def stands(self, where, number, offset, known_missing=True):
        """A position must be a record boundary, and not ahead of the tail."""
        segment = self.segments.get(number)
        if (number, offset) > (self.active.id, self.active.tail):
            self.bad(where, f"position {number}:{offset} is ahead of the tail "
                     f"{self.active.id}:{self.active.tail}")
        elif segment is None:
            if not known_missing or number > min(self.segments):
                self.bad(where, f"position {number}:{offset} is in a segment that is not there")
        elif offset not in segment.ends:
            self.bad(where, f"position {number}:{offset} is not at a record")

    def check_position(self):
        tail = (self.active.id, self.active.tail)
        if self.control:
            current, offset, epoch = self.control
            if self.closed and (current, offset) != tail:
                self.bad("control.meta", f"position {current}:{offset}, the tail is "
                         f"{tail[0]}:{tail[1]}")
            elif not self.crashed:
                self.stands("control.meta", current, offset, known_missing=False)
            if epoch < self.top_epoch and not self.crashed:
                self.bad("control.meta", f"writer epoch {epoch}, a record has {self.top_epoch}")
        data = self.read("index.meta")
        if data is None:
            if self.closed:
                self.bad("index.meta", "missing")
        elif len(data) != 16:
            self.bad_unless_crashed("index.meta", f"{len(data)} bytes long, should be 16")
        else:
            current, offset = struct.unpack("<QQ", data)
            if self.closed and (current, offset) != tail:
                self.bad("index.meta", f"position {current}:{offset}, the tail is "
                         f"{tail[0]}:{tail[1]}")
            elif not self.crashed:
                self.stands("index.meta", current, offset)
            if self.control and current > self.control[0]:
                self.bad_unless_crashed("index.meta", f"segment {current} is ahead of "
                                        f"control.meta's {self.control[0]}")

    def check_lock(self):
        data = self.read("writer.lock")
        if data is None:
            if self.closed:
                self.bad("writer.lock", "missing")
            return
        if not data:
            return
        match = LOCK_TEXT.fullmatch(data)
        if not match:
            self.bad_unless_crashed("writer.lock", f"text {data[:80]!r}")
        elif self.closed and self.control and int(match.group(3)) != self.control[2]:
            self.bad("writer.lock", f"epoch {int(match.group(3))}, control.meta has "
                     f"{self.control[2]}")

    # ---- NNNNNNNNN.idx

    def check_index(self, name, number):
        segment = self.segments.get(number)
        if segment is None:
            return  # an index outlives its segment where chronicle-rs deleted that
        data = self.read(name)
        if data is None:
            return
        if len(data) < INDEX_HEADER.size:
            self.bad_unless_crashed(name, f"only {len(data)} bytes long")
            return
        (magic, version, header_length, flags, stored, size, data_offset, stride, min_seq, max_seq,
         min_time, max_time, count) = INDEX_HEADER.unpack_from(data)
        wrong = [f"{field} {found!r}, should be {right!r}" for field, found, right in (
            ("magic", magic, INDEX_MAGIC), ("version", version, 1),
            ("header length", header_length, 80), ("segment", stored, number),
            ("segment size", size, self.size), ("data offset", data_offset, 64),
            ("stride", stride, STRIDE), ("length", len(data), 80 + 24 * count)) if found != right]
        if flags & ~1:
            wrong.append(f"unknown flags {flags:#x}")
        for text in wrong:
            self.bad_unless_crashed(name, text)
        if wrong:
            return
        entries = list(INDEX_ENTRY.iter_unpack(data[80:]))
        first = 0
        if flags & 1 and entries:
            # Written by a chronicle-rs writer that had found records in the segment already.
            try:
                first = segment.offsets.index(entries[0][2])
            except ValueError:
                self.bad(name, f"first entry's offset {entries[0][2]} is not at a record")
                return
        for k, (seq, time, offset) in enumerate(entries):
            at = first + k * STRIDE
            if at >= len(segment.seqs):
                self.bad(name, f"entry {k} is for record {at}, there are {len(segment.seqs)}")
                return
            actual = (segment.seqs[at], segment.times[at], segment.offsets[at])
            if (seq, time, offset) != actual:
                self.bad(name, f"entry {k} is {(seq, time, offset)}, the record says {actual}")
        self.check_index_range(name, segment, first, count, flags,
                               (min_seq, max_seq, min_time, max_time))

    def check_index_range(self, name, segment, first, count, flags, stored):
        """The minima and maxima belong to records `first` to some later one: to the last one where
        the segment is sealed, since nothing can have been added after the index was written."""
        if not count:
            if any(stored):
                self.bad(name, "no entries, but a range")
            return
        whole = segment.sealed and not flags & 1
        seqs, times = segment.seqs, segment.times
        lowest, highest, early, late = seqs[first], seqs[first], times[first], times[first]
        for at in range(first, len(seqs)):
            lowest, highest = min(lowest, seqs[at]), max(highest, seqs[at])
            early, late = min(early, times[at]), max(late, times[at])
            if whole and at + 1 < len(seqs):
                continue
            if (lowest, highest, early, late) == stored and (at - first) // STRIDE + 1 == count:
                return
        self.bad(name, f"range of seq and time {stored} and {count} entries fit no run of records "
                 f"from record {first} (all of them: {(lowest, highest, early, late)})")

    # ---- durable.meta and readers/NAME.meta

    def valid_slots(self, where, data, layout, crc_at):
        """The slots whose CRC is right, as (slot number, fields)."""
        valid = []
        for slot in range(2):
            piece = data[slot * layout.size:(slot + 1) * layout.size]
            fields = layout.unpack(piece)
            if piece == bytes(layout.size):
                continue  # never written
            if fields[crc_at] != zlib.crc32(piece[:32]):
                self.bad_unless_crashed(where, f"slot {slot} has a wrong CRC")
                continue
            if fields[crc_at + 1]:
                self.bad(where, f"slot {slot}: the last four bytes are not zero")
            valid.append((slot, fields))
        if not valid:
            self.bad_unless_crashed(where, "no valid slot")
        return valid

    def check_durable(self):
        name = "durable.meta"
        data = self.read(name)
        if data is None:
            return
        if len(data) not in (80, 136):
            self.bad_unless_crashed(name, f"{len(data)} bytes long, should be 80 or 136")
            return
        if len(data) == 136:
            self.check_listing(name, data[80:])
        valid = self.valid_slots(name, data, DURABLE_SLOT, 5)
        for slot, (number, offset, seq, epoch, _, _, _) in valid:
            where = f"{name} slot {slot}"
            self.stands(where, number, offset)
            following = self.seq_at(number, offset)
            if following is not None and seq != following:
                self.bad(where, f"seq {seq} at {number}:{offset}, should be {following}")
            if self.control and epoch > self.control[2]:
                self.bad(where, f"writer epoch {epoch}, control.meta has {self.control[2]}")
        if len(valid) == 2:
            older, newer = sorted((fields for _, fields in valid), key=lambda f: f[:2])
            step = (newer[4] - older[4]) % (1 << 32)
            if older[:2] != newer[:2] and step != 1:
                self.bad(name, f"generations {older[4]} and {newer[4]}, in the order of positions")
            elif step not in (1, (1 << 32) - 1):
                self.bad(name, f"generations {older[4]} and {newer[4]}")

    def check_identity(self):
        name = "identity.meta"
        data = self.read(name)
        if data is None:
            return
        if len(data) != 48:
            self.bad(name, f"{len(data)} bytes long, should be 48")
            return
        magic, version, identity, source, crc, settled = IDENTITY.unpack(data)
        if magic != IDENTITY_MAGIC or version != 1:
            self.bad(name, f"magic {magic:#x}, version {version}")
        if crc != zlib.crc32(data[:40]):
            self.bad(name, f"CRC {crc:#010x}, should be {zlib.crc32(data[:40]):#010x}")
        if not any(identity):
            self.bad(name, "the identity is all zero")
        if identity == source:
            self.bad(name, "a replica of itself")
        if settled != 1:
            self.bad_unless_crashed(name, f"settled is {settled}")

    def check_listing(self, name, data):
        _, device, inode, changed, oldest, newest, crc, reserved = LISTING.unpack(data)
        if crc != zlib.crc32(data[:48]):
            self.bad_unless_crashed(name, "the list of segments has a wrong CRC")
            return
        if reserved:
            self.bad(name, "the list of segments: the last four bytes are not zero")
        st = os.stat(self.path)
        if (device, inode, changed) != (st.st_dev, st.st_ino, st.st_ctime_ns):
            return
        if sorted(self.segments) != list(range(oldest, newest + 1)):
            self.bad(name, f"says that there are segments {oldest} to {newest}")

    def seq_at(self, number, offset):
        """Sequence number of the next record at a position, where our records tell it."""
        segment = self.segments.get(number)
        while segment is not None and offset == segment.tail and segment is not self.active:
            segment, offset = self.segments.get(segment.id + 1), ALIGN
        if segment is None:
            return None
        if segment is self.active and offset == segment.tail:
            return self.next_seq if self.next_seq is not None else 0
        for at, start in enumerate(segment.offsets):
            if start == offset:
                return segment.seqs[at] if segment.ours[at] else None
        return None

    def check_readers(self):
        folder = os.path.join(self.path, "readers")
        if not os.path.isdir(folder):
            if os.path.lexists(folder):
                self.bad("readers", "not a directory")
            return
        for name in sorted(os.listdir(folder)):
            where = f"readers/{name}"
            if not READER_NAME.match(name) or len(name) > 64 + len(".meta"):
                self.bad(where, "unknown name")
                continue
            data = self.read(os.path.join("readers", name), where)
            if data is not None:
                self.check_reader(where, data)

    def check_reader(self, where, data):
        if len(data) == 8:
            self.stands(where, 0, *struct.unpack("<Q", data))
            return
        if len(data) == 16:
            self.stands(where, *struct.unpack("<QQ", data))
            return
        if len(data) != 80:
            self.bad_unless_crashed(where, f"{len(data)} bytes long, should be 80")
            return
        valid = self.valid_slots(where, data, SLOT, 4)
        for slot, (number, offset, _, generation, _, _) in valid:
            if generation % 2 != slot:
                self.bad(where, f"generation {generation} in slot {slot}")
            self.stands(f"{where} slot {slot}", number, offset)
        if len(valid) == 2 and abs(valid[0][1][3] - valid[1][1][3]) != 1:
            self.bad(where, f"generations {valid[0][1][3]} and {valid[1][1][3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("queue", metavar="QUEUE_DIR")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--closed", action="store_true",
                      help="the writer was closed: control.meta and index.meta must give the tail")
    mode.add_argument("--crashed", action="store_true",
                      help="accept what a crash may leave behind before the next writer repairs it")
    parser.add_argument("--payloads", action="store_true",
                        help="write all payloads to standard output; findings go to standard error")
    args = parser.parse_args()
    if not os.path.isdir(args.queue):
        parser.error(f"{args.queue} is not a directory")
    checker = Checker(args.queue, args.closed, args.crashed,
                      sys.stdout.buffer if args.payloads else None)
    checker.run()
    report = sys.stderr if args.payloads else sys.stdout
    sys.stdout.flush()
    for finding in checker.findings:
        print(finding, file=report)
    if checker.findings:
        return 1
    segments = checker.segments.values()
    print(f"ok: {len(segments)} segments, {sum(len(s.seqs) for s in segments)} records, "
          f"{sum(s.payload for s in segments)} payload bytes", file=report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
