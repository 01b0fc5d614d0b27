# SPDX-License-Identifier: Apache-2.0
"""A reader of a queue."""

from __future__ import annotations

import os
from ctypes import POINTER, byref, c_uint64, string_at
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from types import TracebackType
from typing import Any, Callable, Iterator, NamedTuple

from ._abi import CQ_READER_PASSIVE, UINT64_MAX, cq_reader, cq_reader_stats, cq_record, lib, sized
from ._arguments import Path, in_slices, milliseconds, number, path_of
from ._errors import Damaged, Gap, error_of
from ._handle import Handle

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_PLACE_SEQ, _PLACE_TIME, _PLACE_OLDEST, _PLACE_LATEST = range(4)  # enum cq_place


def _nanoseconds(when: datetime) -> int:
    return (when.astimezone(timezone.utc) - _EPOCH) // _MICROSECOND * 1000


class Start(IntEnum):
    """Where a new reader begins."""

    OLDEST = 0
    """With the oldest record."""
    LATEST = 1
    """Behind the newest record."""
    RESUME = 2
    """Behind the record that was committed last; NotFound if there is none."""
    RESUME_OR_OLDEST = 3


class Record(NamedTuple):
    """One record. It belongs to the caller: nothing of it changes or becomes invalid."""

    seq: int
    """Its number. Without gaps, from 0."""
    time_ns: int
    """When it was appended: nanoseconds since 1970."""
    payload: bytes
    type: int
    stream_offset: int | None
    """How many payload bytes were appended before it; None if chronicle-rs wrote it."""
    epoch: int | None
    """How many times the queue had been opened for writing."""
    segment: int
    offset: int
    """Where it is: the segment, and its offset in that file."""

    @property
    def time(self) -> datetime:
        """time_ns as a datetime of UTC, cut off to microseconds."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)


@dataclass(frozen=True)
class ReaderStats:
    records: int
    """Records taken."""
    bytes: int
    """Their payload bytes."""
    gaps: int
    """How often records were missing."""
    gap_segments: int
    gap_records: int
    """Segments and records that were missing, as far as sequence numbers show."""
    skipped: int
    """Damaged places that were skipped."""
    segment: int
    offset: int
    """The position: a segment, and an offset in its file."""


class Reader:
    """A position in the queue in directory `path`.

        for record in reader:                 # the records that are there now
        for record in reader.follow():        # and those that come
        record = reader.take(timeout=1.5)     # one, or None

    name: keeps the position that commit() has stored in the queue, so the next reader of that name, also
    after a kill, continues there. Retention keeps what a named reader has not committed. One Reader at a time
    has a name, until it is closed or its process ends. A-Z a-z 0-9 . _ -, at most 64. None: the reader
    cannot commit.
    start: default Start.RESUME_OR_OLDEST with a name, else Start.OLDEST.
    passive: changes nothing in the queue's directory, also where the process may not write; waiting polls.
    skip_gaps, skip_damage: do not raise Gap or Damaged but continue behind; stats() counts them.

    Raises NotFound (no such directory; Start.RESUME without a committed position), Busy (another Reader has
    the name: Queue.reader() tells which process), NotPermitted (with a name: the position could not be
    stored), and Error with ENOTEMPTY (a directory without a queue), EINVAL
    (bad name), ENODEV. A read-only file system needs passive=True, or no name.

    Threads: one at a time; a call while another one is at work raises RuntimeError. close() commits nothing.
    """

    def __init__(
        self,
        path: Path,
        name: str | None = None,
        start: Start | None = None,
        *,
        passive: bool = False,
        skip_gaps: bool = False,
        skip_damage: bool = False,
    ) -> None:
        directory = path_of(path)
        if start is None:
            start = Start.OLDEST if name is None else Start.RESUME_OR_OLDEST
        self.skip_gaps = skip_gaps
        self.skip_damage = skip_damage
        self._path = os.fsdecode(directory)
        self._skipped = 0
        self._raw = cq_record(seq=UINT64_MAX)
        self._missed = (0, 0)
        pointer = POINTER(cq_reader)()
        result = lib.cq_reader_open(
            directory,
            None if name is None else path_of(name),
            Start(start),
            CQ_READER_PASSIVE if passive else 0,
            byref(pointer),
        )
        if result < 0:
            raise error_of(result, self._path)
        self._handle = Handle(self, pointer, lib.cq_reader_close, exclusive=True)

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commits nothing."""
        self._handle.close()

    # ---- taking records ----

    def __iter__(self) -> Iterator[Record]:
        """The records that are there; ends behind the newest. A later loop continues there."""
        return _Records(self, 0)

    def follow(self, timeout: float | None = None) -> Iterator[Record]:
        """The records that are there and those that come; ends when none has come for `timeout` seconds
        (None: never)."""
        return _Records(self, timeout)

    def take(self, timeout: float | None = 0) -> Record | None:
        """The next record; None if none comes within `timeout` seconds (None: no limit).

        Raises Gap if records before the next one are gone: the next call continues behind them. Raises
        Damaged if the next record is damaged: so does the next call, until skip_damage_here(). An
        exception of a signal handler, such as KeyboardInterrupt, loses no record.
        """
        record = self._handle.call(self._take, milliseconds(timeout))
        self._raw.seq = UINT64_MAX
        return record  # type: ignore[no-any-return]

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until take() would not return None, for `timeout` seconds at most (None: no limit).
        Returns whether that is so. Handlers of signals run meanwhile, and may end it by an exception."""
        return bool(self._call(self._wait, milliseconds(timeout)))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(pointer, *arguments), once the position is behind the last record that the caller got."""

        def settled(pointer: Any) -> Any:
            if self._raw.seq != UINT64_MAX:
                self._check(lib.cq_reader_seek_seq(pointer, self._raw.seq))
                self._raw.seq = UINT64_MAX
            return function(pointer, *arguments)

        return self._handle.call(settled)

    def _take(self, pointer: Any, limit: int | None) -> Record | None:
        """The next record.

        An exception of a signal handler can come when the library has given a record and take() has not
        returned it. Then `_raw` has that record, and the next take() returns it. Otherwise the number in
        `_raw` is UINT64_MAX: take() stores that in its last step before it returns, and Python runs no
        handler between that step and the caller's next one.
        """
        raw = self._raw
        while raw.seq == UINT64_MAX:
            result = lib.cq_reader_next(pointer, byref(raw))
            if result < 0:
                self._refused(pointer, result)
            elif result == 0 and (limit == 0 or not self._wait(pointer, limit)):
                return None
        return self._record(raw)

    @staticmethod
    def _record(raw: cq_record) -> Record:
        known = raw.have_stream
        return Record(
            raw.seq,
            raw.time_ns,
            string_at(raw.payload, raw.length) if raw.length else b"",
            raw.type,
            raw.stream_offset if known else None,
            raw.epoch if known else None,
            raw.segment,
            raw.offset,
        )

    def _refused(self, pointer: Any, result: int) -> None:
        """Raises the error, or skips what it is about."""
        error = error_of(result, self._path)
        raw = sized(cq_reader_stats)
        lib.cq_reader_stats(pointer, byref(raw))
        if isinstance(error, Gap):
            before, self._missed = self._missed, (raw.gap_segments, raw.gap_records)
            error.segments = self._missed[0] - before[0]
            error.records = self._missed[1] - before[1]
            if self.skip_gaps:
                return
        if isinstance(error, Damaged):
            error.segment, error.offset = raw.segment, raw.offset
            if self.skip_damage and self._skip(pointer):
                return
        raise error

    def _wait(self, pointer: Any, limit: int | None) -> int:
        """1, or 0 if the time is up."""
        result = in_slices(lambda ms: int(lib.cq_reader_wait(pointer, ms)), limit)
        self._check(result)
        return result

    # ---- damage ----

    def skip_damage_here(self) -> bool:
        """Moves past the damage for which take() raised Damaged: past that record if its length is known for
        certain, else to the next sound segment. Returns False, without moving, if there is none yet."""
        return bool(self._call(self._skip))

    def _skip(self, pointer: Any) -> bool:
        result = lib.cq_reader_skip_record(pointer, None) or lib.cq_reader_skip_segment(pointer)
        if result < 0:
            raise error_of(result, self._path)
        self._skipped += result
        return bool(result)

    # ---- position ----

    def seek_seq(self, seq: int) -> None:
        """To the first record with this number or a higher one, or behind the newest.

        All seeks raise Damaged, without moving, if a damaged record hides the place."""
        self._check(self._call(lib.cq_reader_seek_seq, number(seq, "seq")))

    def seek_time(self, when: datetime | int) -> None:
        """To the first record that was appended at that time or later, or behind the newest. An int is in
        nanoseconds since 1970; a datetime without a time zone is in local time."""
        if isinstance(when, datetime):
            when = _nanoseconds(when)
        self._check(self._call(lib.cq_reader_seek_time, number(when, "when")))

    def seek_stream(self, offset: int) -> int:
        """To the record that holds this byte of the stream of all payloads. Returns how many bytes of the
        record come before it. Raises Gap if the byte was deleted: then the reader is behind the gap."""
        skip = c_uint64()
        self._check(self._call(lib.cq_reader_seek_stream, number(offset, "offset"), byref(skip)))
        return skip.value

    def seek_oldest(self) -> None:
        """To the oldest record."""
        self._check(self._call(lib.cq_reader_seek_oldest))

    def seek_end(self) -> None:
        """Behind the newest record."""
        self._check(self._call(lib.cq_reader_seek_end))

    def commit(self, upto: Record | int | None = None) -> None:
        """Stores where the next reader of this name continues: behind the last record taken, or behind the
        record `upto`, or the one with that number, which this reader must have passed.

        It survives a kill -9. After a power cut an earlier commit may count. Raises Error with EINVAL (no
        name), ERANGE (the reader has not passed `upto`), EAGAIN (a process was stopped in the middle of a
        commit), ESTALE (the reader's file was removed).
        """
        if upto is None:
            self._check(self._call(lib.cq_reader_commit))
        else:
            seq = upto.seq if isinstance(upto, Record) else number(upto, "upto")
            self._check(self._call(lib.cq_reader_commit_seq, seq))

    def stats(self) -> ReaderStats:
        raw = sized(cq_reader_stats)
        self._check(self._call(lib.cq_reader_stats, byref(raw)))
        values = {field[0]: getattr(raw, field[0]) for field in cq_reader_stats._fields_ if field[0] != "size"}
        return ReaderStats(skipped=self._skipped, **values)

    def _check(self, result: int) -> None:
        if result < 0:
            raise error_of(result, self._path)


class _Records:
    """An iterator, not a generator: an exception does not end it, so a loop over it can continue."""

    def __init__(self, reader: Reader, timeout: float | None) -> None:
        self._reader = reader
        self._timeout = timeout

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        record = self._reader.take(self._timeout)
        if record is None:
            raise StopIteration
        return record


def set_reader(path: Path, name: str, to: Start | datetime | int) -> None:
    """Sets the committed position of a named reader that nobody uses, and makes the reader if it is new.

    to: a record's number, a time (of the first record at or after it), Start.OLDEST or Start.LATEST. Raises
    Busy if a Reader has the name, and what Reader() and the seeks raise.
    """
    place, value = _PLACE_SEQ, 0
    if isinstance(to, Start):
        places = {Start.OLDEST: _PLACE_OLDEST, Start.LATEST: _PLACE_LATEST}
        if to not in places:
            raise ValueError(f"no place: {to!r}")
        place = places[to]
    elif isinstance(to, datetime):
        place, value = _PLACE_TIME, _nanoseconds(to)
    else:
        value = to
    directory = path_of(path)
    result = lib.cq_reader_set(directory, path_of(name), place, number(value, "to"))
    if result < 0:
        raise error_of(result, os.fsdecode(directory))


def delete_reader(path: Path, name: str) -> None:
    """Deletes a named reader that nobody uses: retention no longer waits for it. Raises Busy, NotFound."""
    directory = path_of(path)
    result = lib.cq_reader_delete(directory, path_of(name))
    if result < 0:
        raise error_of(result, os.fsdecode(directory))
