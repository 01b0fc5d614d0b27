# SPDX-License-Identifier: Apache-2.0
"""chronq: persistent queues of records, by libchronq.

A queue is a directory. One Writer at a time appends records to it; any number of Readers, in any process,
read them while the writer runs. A record that append() has taken survives a kill -9.

    import chronq

    with chronq.Writer("events") as writer:
        writer.append(b"hello")

    with chronq.Reader("events", "mailer") as reader:
        for record in reader.follow():
            handle(record.payload)
            reader.commit(record)

Errors     are chronq.Error, an OSError with its errno and its meaning for a queue, or a subclass: NotFound
           (also a FileNotFoundError), NotPermitted (a PermissionError), Forked (a ChildProcessError), Busy,
           Full, Gap, Damaged. A closed object raises ValueError, an argument out of range ValueError.
Units      sizes and offsets are bytes; timeouts are seconds; names with _ms are milliseconds, with _ns
           nanoseconds, and times count from 1970.
Ownership  records, payloads and results belong to the caller and stay valid. Writer, Reader, Stream and
           Queue are closed by close() or `with`. One that is collected without is closed then, with a
           ResourceWarning.
Threads    the library runs without Python's global lock, so other threads run meanwhile. A Reader belongs
           to one thread at a time; the others may be used by many.
Signals    a KeyboardInterrupt, or another exception of a signal handler, ends wait(), take(), follow(), an
           open and a verification at once.
Fork       an object belongs to the process that opened it. In a child every call raises Forked, and
           closing changes nothing; a child opens objects of its own.

The library is libchronq.so.0, where the dynamic linker finds it; the environment variable CHRONQ_LIBRARY
names another file. docs/python.md has examples, chronq.h the library's own description.
"""

from ._abi import CQ_TYPE_DEFAULT as TYPE_DEFAULT
from ._abi import lib as _lib
from ._errors import Busy, Damaged, Error, Forked, Full, Gap, NotFound, NotPermitted
from ._job import Progress
from ._queue import Finding, Holder, Queue, QueueInfo, ReaderInfo, SegmentInfo, Source, VerifyResult, verify
from ._reader import Reader, ReaderStats, Record, Start, delete_reader, set_reader
from ._stream import Stream
from ._writer import Sync, Writer, WriterStats

__version__: str = _lib.cq_version().decode()
"""Of the library."""

__all__ = [
    "Busy",
    "Damaged",
    "Error",
    "Finding",
    "Forked",
    "Full",
    "Gap",
    "Holder",
    "NotFound",
    "NotPermitted",
    "Progress",
    "Queue",
    "QueueInfo",
    "Reader",
    "ReaderInfo",
    "ReaderStats",
    "Record",
    "SegmentInfo",
    "Source",
    "Start",
    "Stream",
    "Sync",
    "TYPE_DEFAULT",
    "VerifyResult",
    "Writer",
    "WriterStats",
    "delete_reader",
    "set_reader",
    "verify",
]
