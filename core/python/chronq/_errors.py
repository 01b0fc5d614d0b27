# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as exceptions."""

from __future__ import annotations

import errno

from ._abi import lib


class Error(OSError):
    """A call of libchronq failed.

    errno is the error's number, strerror its meaning for a queue (as cq_strerror() gives it), filename
    the queue's directory. The messages of an open that failed, for example which process has the queue,
    are notes of the exception (__notes__), so a traceback shows them.
    """

    appended: int = 0
    """How many records of the failed append are in the queue all the same. More than 0 if a batch failed
    in its middle, or if the sync of Sync.ALWAYS failed. Do not append these again."""


class NotFound(Error, FileNotFoundError):
    """ENOENT: no such directory, no such reader, or no committed position to resume at."""


class NotPermitted(Error, PermissionError):
    """EACCES, EPERM: the process may not do that, or the library does not trust a file of the queue."""


class Forked(Error, ChildProcessError):
    """ECHILD: the object belongs to the parent process. A child opens its own."""


class Busy(Error):
    """EBUSY: another writer has the queue, another reader the name, or a reader has still to read the segment."""


class Full(Error):
    """EDQUOT: the queue has reached max_bytes, or the disk's quota is used up. ENOSPC: the disk is full."""


class Gap(Error):
    """ENODATA: records before the next one were deleted, or their segment is missing.

    The reader is behind the gap already: its next call continues there.
    """

    segments: int = 0
    """How many segments are missing."""
    records: int = 0
    """How many records are missing, as far as their numbers show."""


class Damaged(Error):
    """EIO: a record's checksum is wrong, or its file was cut short. EBADMSG: a file does not belong to the
    queue, or the queue is damaged.

    A reader stays before the damage; Reader.skip_damage() moves it behind. A writer gives EIO after a
    failed sync: it refuses everything until the queue is opened again.
    """

    segment: int | None = None
    """Of a reader: the segment that it is in."""
    offset: int | None = None
    """Of a reader: its offset in that segment."""


_KINDS: dict[int, type[Error]] = {
    errno.ENOENT: NotFound,
    errno.EACCES: NotPermitted,
    errno.EPERM: NotPermitted,
    errno.ECHILD: Forked,
    errno.EBUSY: Busy,
    errno.EDQUOT: Full,
    errno.ENOSPC: Full,
    errno.ENODATA: Gap,
    errno.EIO: Damaged,
    errno.EBADMSG: Damaged,
}


def error_of(code: int, path: str | None = None) -> Error:
    """The exception for a negative errno of the library."""
    number = -code
    kind = _KINDS.get(number, Error)
    text = lib.cq_strerror(number).decode()
    return kind(number, text) if path is None else kind(number, text, path)
