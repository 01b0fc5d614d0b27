# SPDX-License-Identifier: Apache-2.0
"""What is in a queue, without reading it through: segments, readers, the writer; and verification."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_size_t, c_uint32
from dataclasses import dataclass
from enum import IntEnum
from errno import EBADMSG, ENOENT
from types import TracebackType
from typing import Any, Callable

from ._abi import UINT32_MAX
from ._abi import cq_finding_fn, cq_holder, cq_queue, cq_queue_info, cq_reader_info, cq_reader_visit_fn
from ._abi import cq_segment, cq_segment_info, cq_verify_config, cq_verify_result, lib, sized
from ._arguments import Path, in_slices, milliseconds, number, path_of
from ._errors import error_of
from ._handle import Handle
from ._job import Job, Progress


@dataclass(frozen=True)
class QueueInfo:
    """Sizes are bytes."""

    segment_size: int
    """Of each segment file; 0: there is none yet."""
    segments: int
    """How many segment files there are, prepared ones included."""
    oldest: int | None
    newest: int | None
    """The first and the last segment."""
    current: int | None
    """The segment that the writer is in; this and the next three: None if control.meta cannot be read."""
    offset: int | None
    """The writer's position in it."""
    epoch: int | None
    """How many times the queue was opened for writing."""
    heartbeat_ns: int | None
    """The writer's last sign of life: nanoseconds since 1970."""
    identity: bytes | None
    """16 random bytes that say which queue this is; None: it has none yet."""
    replica_of: bytes | None
    """The identity of the queue of which it is a replica; None: it is no replica."""
    durable_seq: int | None
    """Records below this number survive a power cut; None: unknown."""
    first_seq: int | None
    """Number of the oldest record; this and the next three: None if chronicle-rs has written the oldest or the
    newest record, or damage hides the end."""
    next_seq: int | None
    """The number that the next record gets. If it is first_seq, there is no record."""
    stream_begin: int | None
    stream_end: int | None
    """The positions of the oldest payload byte, and behind the newest."""
    flushes: int | None
    """Flushes that have moved durable_seq, modulo 2**32: only its changes have a meaning."""


@dataclass(frozen=True)
class Holder:
    """The process that has, or had last, the queue as a writer."""

    locked: bool
    """Whether a writer has it now."""
    pid: int | None
    """None: unknown."""
    alive: bool
    """Whether that process exists."""
    closing: bool
    """It closes the queue, or has closed it."""


@dataclass(frozen=True)
class ReaderInfo:
    """A named reader: where it has committed, how far it is behind, who uses it."""

    name: str
    segment: int
    offset: int
    """The committed position."""
    heartbeat_ns: int
    """When it last committed or waited: nanoseconds since 1970."""
    lag_bytes: int
    """Bytes of segment files between it and the writer; 0: none, or unknown."""
    lag_records: int | None
    """Records that it has still to take; None: unknown."""
    seq: int | None
    """Number of the next record that it takes, or of the one that will be appended next; None: damage hides it."""
    next_time_ns: int | None
    """When that record was appended; None: there is none, or it is unknown."""
    missing: bool
    """Records before that one are gone: taking it will raise Gap first."""
    pid: int | None
    """The process that uses it; None: none does, or it is unknown."""


class Source(IntEnum):
    """How much is read to tell what a segment holds."""

    HEADER = 0
    """Its header alone: only a sealed segment tells its content, without the times."""
    CONTENT = 1
    """The cheapest that tells the content."""
    RECORDS = 2
    """All records: only this finds damage in a sealed segment."""


@dataclass(frozen=True)
class SegmentInfo:
    """Sizes are bytes, times nanoseconds since 1970."""

    id: int
    version: int
    """Of its format: 2, or 1 for old ones."""
    file_bytes: int
    modified_ns: int
    """Time of its last record, or of the last change of the file."""
    sealed: bool
    """It will not change any more."""
    damaged: bool
    """There is a damaged record at `used`, and nothing behind it is counted; or, if version is 0, the file is
    no segment of this queue."""
    records: int | None
    """This and the next four: None if not known."""
    payload_bytes: int | None
    first_seq: int | None
    stream_base: int | None
    """Payload bytes of the queue before it."""
    used: int | None
    """Offset behind the last record."""
    last_seq: int | None
    """This and the next two: None also if there is no record."""
    first_time_ns: int | None
    last_time_ns: int | None


class Queue:
    """The directory of a queue, looked at while any writer runs. Changes nothing, takes no lock.

    Raises NotFound (no such directory) and Error with ENOTEMPTY (a directory without a queue).
    Threads: any number at once.
    """

    def __init__(self, path: Path) -> None:
        directory = path_of(path)
        self._path = os.fsdecode(directory)
        pointer = POINTER(cq_queue)()
        self._check(lib.cq_queue_open(directory, byref(pointer)))
        self._handle = Handle(self, pointer, lib.cq_queue_close)

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def __enter__(self) -> Queue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._handle.close()

    def info(self) -> QueueInfo:
        raw = sized(cq_queue_info)
        self._check(self._handle.call(lib.cq_queue_info, byref(raw)))
        return QueueInfo(
            segment_size=raw.segment_size,
            segments=raw.segments,
            oldest=raw.oldest if raw.segments else None,
            newest=raw.newest if raw.segments else None,
            current=raw.current if raw.have_control else None,
            offset=raw.offset if raw.have_control else None,
            epoch=raw.epoch if raw.have_control else None,
            heartbeat_ns=raw.heartbeat_ns if raw.have_control else None,
            identity=bytes(raw.identity) if raw.have_identity else None,
            replica_of=bytes(raw.source) if raw.have_identity and raw.replica else None,
            durable_seq=raw.durable_seq if raw.have_durable else None,
            first_seq=raw.first_seq if raw.have_bounds else None,
            next_seq=raw.next_seq if raw.have_bounds else None,
            stream_begin=raw.stream_begin if raw.have_bounds else None,
            stream_end=raw.stream_end if raw.have_bounds else None,
            flushes=raw.flushes if raw.have_control else None,
        )

    def holder(self) -> Holder:
        raw = sized(cq_holder)
        self._check(self._handle.call(lib.cq_queue_holder, byref(raw)))
        return Holder(raw.locked, raw.pid or None, raw.alive, raw.closing)

    def wait_durable(self, seq: int, timeout: float | None = None) -> bool:
        """Waits until all records below `seq` survive a power cut, in any process's writer, for `timeout` seconds at
        most (None: no limit). Returns whether they do. The writer syncs as its mode says: with Sync.NONE
        somebody has to ask it for a sync. Handlers of signals run meanwhile, and may end it by an exception."""

        def wait(pointer: Any, slice_ms: int) -> int:
            return int(lib.cq_queue_wait_durable(pointer, number(seq, "seq"), slice_ms, None))

        result = in_slices(lambda ms: int(self._handle.call(wait, ms)), milliseconds(timeout))
        self._check(result)
        return bool(result)

    def readers(self) -> list[ReaderInfo]:
        """The named readers that have a committed position, by name."""
        names: list[bytes] = []

        def visit(_: Any, position: Any) -> None:
            names.append(position.contents.name)

        # No signal handler runs in the thread of a Job, so none can disturb `visit`.
        callback = cq_reader_visit_fn(visit)
        self._check(self._handle.call(lambda pointer: Job().run(lib.cq_queue_readers, pointer, callback, None)))
        found = (self._reader(name) for name in sorted(names))
        return [info for info in found if info is not None]

    def reader(self, name: str) -> ReaderInfo:
        """One named reader. Raises NotFound, and Error with EINVAL (not the name of a reader)."""
        info = self._reader(path_of(name))
        if info is None:
            raise error_of(-ENOENT, self._path)
        return info

    def _reader(self, name: bytes) -> ReaderInfo | None:
        raw = sized(cq_reader_info)
        result = self._handle.call(lib.cq_queue_reader, name, byref(raw))
        if result == -ENOENT:  # also one that was deleted meanwhile
            return None
        self._check(result)
        return ReaderInfo(
            name=name.decode(),
            segment=raw.segment,
            offset=raw.offset,
            heartbeat_ns=raw.heartbeat_ns,
            lag_bytes=raw.lag_bytes,
            lag_records=raw.lag_records if raw.have_lag_records else None,
            seq=raw.seq if raw.have_seq else None,
            next_time_ns=raw.next_time_ns or None,
            missing=raw.missing,
            pid=raw.pid or None,
        )

    def segments(self, source: Source = Source.CONTENT) -> list[SegmentInfo]:
        """The segments, oldest first. One that is deleted meanwhile is left out."""
        return [
            info for id in self._handle.call(self._ids)
            if (info := self._handle.call(self._segment, id, Source(source))) is not None
        ]

    def _ids(self, pointer: Any) -> list[int]:
        ids = POINTER(c_uint32)()
        count = c_size_t()
        self._check(lib.cq_queue_list(pointer, byref(ids), byref(count)))
        try:
            return ids[: count.value]
        finally:
            _free(ids)

    def _segment(self, pointer: Any, id: int, source: Source) -> SegmentInfo | None:
        segment = POINTER(cq_segment)()
        raw = sized(cq_segment_info)
        result = lib.cq_segment_open(pointer, id, byref(segment))
        if result == -ENOENT:
            return None
        if result == -EBADMSG:
            raw.id = id
            raw.damaged = True
        else:
            self._check(result)
            result = lib.cq_segment_info(segment, source, byref(raw))
            lib.cq_segment_close(segment)
            self._check(result)
        content = raw.have_content
        some = content and raw.records > 0
        times = some and raw.last_time_ns > 0
        return SegmentInfo(
            id=raw.id,
            version=raw.version,
            file_bytes=raw.file_bytes,
            modified_ns=raw.modified_ns,
            sealed=raw.sealed,
            damaged=raw.damaged,
            records=raw.records if content else None,
            payload_bytes=raw.payload_bytes if content else None,
            first_seq=raw.first_seq if content and (some or raw.have_summary) else None,
            stream_base=raw.stream_base if raw.have_summary else None,
            used=raw.used if content else None,
            last_seq=raw.last_seq if some else None,
            first_time_ns=raw.first_time_ns if times else None,
            last_time_ns=raw.last_time_ns if times else None,
        )

    def _check(self, result: int) -> None:
        if result < 0:
            raise error_of(result, self._path)


_free = ctypes.CDLL(None).free
_free.restype = None
_free.argtypes = [ctypes.c_void_p]


@dataclass(frozen=True)
class Finding:
    damage: bool
    """False: worth knowing, but no damage."""
    segment: int | None
    """None: it is about no segment."""
    offset: int
    text: str


@dataclass(frozen=True)
class VerifyResult:
    segments: int
    records: int
    payload_bytes: int
    findings: list[Finding]
    gaps: int = 0
    """Places where records are missing that nobody takes for damage: of a replica (Writer.skip()), or lost and
    accepted."""
    gap_records: int = 0

    @property
    def sound(self) -> bool:
        """There is no damage."""
        return not any(finding.damage for finding in self.findings)


def verify(path: Path, progress: Callable[[Progress], object] | None = None) -> VerifyResult:
    """Reads the whole queue and checks everything. Changes nothing; a writer may run meanwhile.

    progress: called ten times a second, in this thread; its exception ends the verification and is raised,
    as is a KeyboardInterrupt. Raises NotFound, and Error with ENOTEMPTY (a directory without a queue); damage
    is a finding, not an exception.
    """
    directory = path_of(path)
    findings: list[Finding] = []

    def take(_: Any, finding: Any) -> None:
        found = finding.contents
        segment = None if found.segment == UINT32_MAX else found.segment
        findings.append(Finding(found.damage, segment, found.offset, found.text.decode(errors="replace")))

    job = Job(progress)
    config = sized(cq_verify_config)
    config.finding = cq_finding_fn(take)
    config.progress = job.step
    raw = sized(cq_verify_result)
    result = job.run(lib.cq_verify_with, directory, byref(config), byref(raw))
    if result < 0:
        raise error_of(result, os.fsdecode(directory))
    return VerifyResult(
        raw.segments, raw.records, raw.payload_bytes, findings, raw.gaps, raw.gap_records
    )
