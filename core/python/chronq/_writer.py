# SPDX-License-Identifier: Apache-2.0
"""The writer of a queue."""

from __future__ import annotations

import ctypes
import logging
import os
from ctypes import POINTER, byref, c_uint64
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Callable, Iterable

from ._abi import CQ_IDENTITY_SIZE, CQ_TYPE_DEFAULT, UINT32_MAX, UINT64_MAX
from ._abi import cq_appended, cq_config, cq_log_fn, cq_message, cq_stats, cq_writer, lib, sized, space_fn
from ._arguments import Path, Payload, buffer_of, number, path_of
from ._errors import error_of
from ._handle import Handle
from ._job import Job, Progress

_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO)  # of enum cq_level


class Sync(IntEnum):
    """When records become durable, that is survive a power cut."""

    NONE = 0
    """When sync() returns. Sealed segments are synced in the background."""
    INTERVAL = 1
    """Also every sync_interval_ms, in the background."""
    ALWAYS = 2
    """Before append() returns."""


@dataclass(frozen=True)
class WriterStats:
    """Sizes are bytes, times nanoseconds. Counts begin when the writer is opened."""

    next_seq: int
    """Number of the next record."""
    durable_seq: int
    """Records below this number survive a power cut."""
    records: int
    bytes: int
    """Payload bytes of these records."""
    last_time_ns: int
    """Of the newest record, since 1970; 0: there is none yet."""
    segment_size: int
    segment: int
    """The segment that is appended to."""
    offset: int
    """Of the next record in that segment."""
    stream_end: int
    """Payload bytes of the queue up to here, deleted ones included."""
    epoch: int
    """How many times the queue was opened for writing."""
    rolls_ready: int
    """Rolls that took a prepared segment at once."""
    rolls_waited: int
    """Rolls that had to wait for it."""
    rolls_fallback: int
    """Rolls whose segment the append made itself."""
    prealloc_made: int
    prealloc_stale: int
    prealloc_failed: int
    syncs: int
    """Flushes done."""
    sync_requests: int
    """Requests that they answered."""
    sync_ns_total: int
    sync_ns_max: int
    sync_within: tuple[int, ...]
    """Flushes that took at most 0.1 ms, 0.4 ms, 1.6 ms, ... (each four times the one before)."""
    unsynced: int
    """Sealed segments that wait for their sync."""
    retired: int
    """Segments deleted, by retention or trim()."""
    full: int
    """Appends and rolls refused for max_bytes."""
    max_bytes: int
    oldest: int
    """The oldest segment."""
    file_bytes: int
    """Of all segment files, prepared ones included."""
    error: int
    """0, or the errno of the failed sync that has stopped the writer."""


class Writer:
    """The writer of the queue in directory `path`; at most one process has it at a time.

    Makes the directory (mode 0750, its parent must exist) and the queue if there is none. Recovers the
    queue after a crash. Leave the `with` block, or call close(), to close it: that syncs everything.

    When append() has returned, the record is in the queue: every reader sees it, and it survives a
    kill -9 of this process. To survive a power cut it needs sync(), or Sync.ALWAYS.

    Parameters (sizes in bytes; None: the library's default)
      segment_size          of a new queue: a multiple of 4096; default 128 MiB. Must be right, or None,
                            for an existing queue
      begin_seq, begin_stream
                            of a new queue, for a copy of another one: the number of its first record, and
                            how many payload bytes of the stream came before it
      replica_of            the identity (QueueInfo.identity) of another queue, whose records this writer
                            appends: the queue is, or becomes if it is new, a replica of that one
      sync                  when records become durable; default Sync.NONE
      sync_interval_ms      for Sync.INTERVAL
      retain_segments, retain_bytes, retain_age_ms
                            delete the oldest segments by number, size or age; default: keep everything
      max_bytes             the most that the segment files may take: then append() raises Full
      reader_ttl_ms         a named reader that is silent for so long no longer keeps segments from being
                            deleted; default: it always does
      reader_max_lag_bytes  the same for one that is so far behind
      spares, prealloc_wait_ms, require_prealloc
                            how many segments are prepared ahead (1 to 8); how long an append waits for
                            the next one before it makes that itself; whether it raises EAGAIN instead
      accept_loss           open although recovery finds that records are lost
      trust_files           accept files of the queue that everybody may write to
      log                   called with a level of the module logging and a message, by any thread: what
                            recovery found, a failure in the background. Default: the logger "chronq".
                            It must not append to this queue
      progress              called ten times a second while recovery takes longer, in this thread. Its
                            exception ends the open, and is raised: recovery stops before it changes
                            anything, or the queue is closed again. So does a KeyboardInterrupt
      space                 called, by any thread, when an append that raised Full is worth another try.
                            It must not close the writer

    Raises Busy (the notes of the exception name the process that has the queue), Damaged (records are
    lost, and not accept_loss), NotFound (no parent directory), NotPermitted, Full, and Error with
    ENOTEMPTY (files, but no queue), EINVAL (a parameter is out of range, or segment_size is wrong), EEXIST
    (begin_seq, and the queue is there already), EREMOTE (a replica, and not replica_of), ENOLINK (no replica
    of that queue), EOPNOTSUPP, ENODEV (the file system cannot hold a queue), EPROTONOSUPPORT (a newer format); chronq.h has the rest, at cq_writer_open().

    Threads: any number at once; records get one order. close() waits for calls of other threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        segment_size: int | None = None,
        begin_seq: int | None = None,
        begin_stream: int | None = None,
        replica_of: bytes | None = None,
        sync: Sync | None = None,
        sync_interval_ms: int | None = None,
        retain_segments: int | None = None,
        retain_bytes: int | None = None,
        retain_age_ms: int | None = None,
        max_bytes: int | None = None,
        reader_ttl_ms: int | None = None,
        reader_max_lag_bytes: int | None = None,
        spares: int | None = None,
        prealloc_wait_ms: int | None = None,
        require_prealloc: bool = False,
        accept_loss: bool = False,
        trust_files: bool = False,
        log: Callable[[int, str], object] | None = None,
        progress: Callable[[Progress], object] | None = None,
        space: Callable[[], object] | None = None,
    ) -> None:
        directory = path_of(path)
        config = cq_config()
        lib.cq_config_init_size(byref(config), ctypes.sizeof(config))
        given: dict[str, int | None] = {
            "segment_size": segment_size,
            "begin_seq": begin_seq,
            "begin_stream": begin_stream,
            "retain_segments": retain_segments,
            "retain_bytes": retain_bytes,
            "retain_age_ms": retain_age_ms,
            "max_bytes": max_bytes,
            "reader_ttl_ms": reader_ttl_ms,
            "reader_max_lag_bytes": reader_max_lag_bytes,
            "sync_interval_ms": sync_interval_ms,
            "spares": spares,
            "prealloc_wait_ms": prealloc_wait_ms,
        }
        short = ("sync_interval_ms", "spares", "prealloc_wait_ms")
        for name, value in given.items():
            if value is not None:
                setattr(config, name, number(value, name, UINT32_MAX if name in short else UINT64_MAX))
        if sync is not None:
            config.sync = Sync(sync)
        if replica_of is not None:
            if len(replica_of) != CQ_IDENTITY_SIZE:
                raise ValueError(f"an identity has {CQ_IDENTITY_SIZE} bytes: {replica_of!r}")
            config.replica_of[:] = replica_of
        config.require_prealloc = require_prealloc
        config.accept_loss = accept_loss
        config.trust_files = trust_files

        notes: list[str] = []
        opening = True
        write_log: Any = logging.getLogger("chronq").log if log is None else log

        def take_message(_: Any, level: int, message: bytes) -> None:
            text = message.decode(errors="replace")
            if opening:
                notes.append(text)
            write_log(_LEVELS[level], text)

        job = Job(progress)
        config.log = cq_log_fn(take_message)
        config.progress = job.step
        if space is not None:
            tell_space = space
            config.space = space_fn(lambda _: tell_space())
        pointer = POINTER(cq_writer)()
        try:
            result = job.run(lib.cq_writer_open, directory, byref(config), byref(pointer))
        except BaseException:
            if pointer:
                lib.cq_writer_close(pointer)
            raise
        if result < 0:
            error = error_of(result, os.fsdecode(directory))
            for note in notes:
                error.add_note(note)
            raise error
        opening = False
        self._handle = Handle(self, pointer, lib.cq_writer_close, config)

    @property
    def closed(self) -> bool:
        return self._handle.closed

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Syncs everything, ends background work, releases the queue. Waits until the calls of other
        threads have returned. Raises the error of that sync; the writer is closed all the same."""
        result = self._handle.close()
        if result < 0:
            raise error_of(result)

    def append(self, payload: Payload, type: int = CQ_TYPE_DEFAULT, time_ns: int | None = None) -> int:
        """Appends one record and returns its sequence number (without a gap, from 0).

        time_ns: a time that the record has already, as that of an import; None: now.
        The payload is taken from where it is; only read-only buffers other than bytes are copied. type:
        any number from 0 to 65534. Raises Full (another segment would exceed max_bytes, the disk or its
        quota), Damaged with EIO (an earlier sync failed: open the queue again), Error with EMSGSIZE
        (longer than max_payload), EAGAIN (require_prealloc); nothing is appended then. With Sync.ALWAYS
        also the errors of sync(): then the error's `appended` is 1, and the record is in the queue.
        """
        address, length = buffer_of(payload)
        if not isinstance(address, bytes):
            address = byref(address)
        appended = cq_appended()
        number(type, "type", 0xFFFF)
        if time_ns is None:
            result = self._handle.call(lib.cq_writer_append, type, address, length, byref(appended))
        else:
            number(time_ns, "time_ns")
            result = self._handle.call(
                lib.cq_writer_append_at, type, time_ns, address, length, byref(appended)
            )
        if result < 0:
            raise _append_error(result, appended.count)
        return int(appended.seq)

    def append_many(
        self,
        payloads: Iterable[Payload | tuple[Payload, int]],
        type: int = CQ_TYPE_DEFAULT,
        times_ns: Iterable[int] | None = None,
    ) -> int | None:
        """Appends a record for each payload, or for each pair of payload and type. Much faster than one by
        one. Returns the sequence number of the last one; None if there was none.

        times_ns: the times that the records have already, one for each; None: now. No record of another
        thread comes between. On an error the records before the one that failed may
        be in the queue: the error's `appended` says how many. Raises what append() raises.
        """
        number(type, "type", 0xFFFF)
        items = [item if isinstance(item, tuple) else (item, type) for item in payloads]
        messages = (cq_message * len(items))()
        kept = []
        for message, (payload, kind) in zip(messages, items):
            address, message.length = buffer_of(payload)
            if isinstance(address, bytes):
                message.payload = address
            else:
                message.payload = ctypes.addressof(address)
                kept.append(address)
            message.type = number(kind, "type", 0xFFFF)
        given = None if times_ns is None else [number(time, "times_ns") for time in times_ns]
        if given is not None and len(given) != len(items):
            raise ValueError(f"{len(given)} times for {len(items)} payloads")
        times = None if given is None else (c_uint64 * len(given))(*given)
        done = 0
        last = None
        appended = cq_appended()
        while done < len(items):
            # A batch that ends early gives its error when it is called with the rest.
            rest = ctypes.cast(byref(messages, done * ctypes.sizeof(cq_message)), POINTER(cq_message))
            left = len(items) - done
            if times is None:
                result = self._handle.call(lib.cq_writer_append_batch, rest, left, byref(appended))
            else:
                at = ctypes.cast(byref(times, 8 * done), POINTER(c_uint64))
                result = self._handle.call(lib.cq_writer_append_batch_at, rest, at, left, byref(appended))
            done += appended.count
            if appended.count:
                last = appended.seq + appended.count - 1
            if result < 0:
                raise _append_error(result, done)
        return last

    def sync(self) -> None:
        """Returns when every record appended before the call survives a power cut. Calls of several threads
        share one flush. Raises Damaged with EIO if a flush failed, now or earlier: the kernel may have
        dropped the data, so the writer refuses appends until the queue is opened again."""
        self._check(self._handle.call(lib.cq_writer_sync))

    def roll(self) -> None:
        """Seals the segment that is appended to, if it has a record, and continues in the next one. Raises
        what append() raises."""
        self._check(self._handle.call(lib.cq_writer_roll))

    def skip(self, seq: int, stream: int = 0) -> None:
        """For the writer of a replica (replica_of): the records before `seq` that are not appended yet do not
        exist any more. The next record gets that number, and its first byte is at position `stream` of the
        stream (0: unknown). Readers raise Gap there once. Raises Error with ENOLINK for an ordinary queue, with
        ERANGE if the next record has a higher number or position, and what append() raises."""
        self._check(
            self._handle.call(lib.cq_writer_skip, number(seq, "seq"), number(stream, "stream"))
        )

    def trim(self, seq: int, most: int = UINT32_MAX) -> int:
        """Deletes the oldest segments that have only records below `seq`, `most` of them at most. Returns
        how many. Never deletes the segment that is appended to. Raises Busy if a named reader has still to
        read the oldest one, Damaged if that is damaged."""
        result = self._handle.call(
            lib.cq_writer_trim, number(seq, "seq"), number(most, "most", UINT32_MAX)
        )
        return self._check(result)

    @property
    def max_payload(self) -> int:
        """The most bytes that a record of this queue can have."""
        return int(self._handle.call(lib.cq_writer_max_payload))

    def stats(self) -> WriterStats:
        raw = sized(cq_stats)
        self._check(self._handle.call(lib.cq_writer_stats, byref(raw)))
        values = {field[0]: getattr(raw, field[0]) for field in cq_stats._fields_ if field[0] != "size"}
        values["sync_within"] = tuple(raw.sync_within)
        values["error"] = -raw.error
        return WriterStats(**values)

    @staticmethod
    def _check(result: int) -> int:
        if result < 0:
            raise error_of(result)
        return result


def _append_error(result: int, appended: int) -> BaseException:
    error = error_of(result)
    error.appended = appended
    return error
