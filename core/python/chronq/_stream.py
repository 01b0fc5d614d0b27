# SPDX-License-Identifier: Apache-2.0
"""The payloads of a queue as one stream of bytes."""

from __future__ import annotations

import ctypes
import io
import os
from ctypes import POINTER, byref, c_uint64
from typing import TYPE_CHECKING, Any

from ._abi import cq_queue, cq_stream, lib
from ._arguments import Path, number, path_of
from ._errors import error_of
from ._handle import Handle

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class Stream(io.RawIOBase):
    """All payloads of the queue in directory `path`, one after another, as a file to read.

    A position counts all payload bytes ever appended, deleted ones included, so it never changes its
    meaning. A new stream is at the oldest byte. read() at the end gives b"" and gives more later, when
    more was appended. Everything of a raw binary file works; io.BufferedReader(stream) and
    io.TextIOWrapper(io.BufferedReader(stream)) read lines quickly. Nothing in the queue is changed.

    Raises, when it is opened, NotFound and Error with ENOTEMPTY (a directory without a queue); when it is
    read, Gap (the byte at that position was deleted: seek(position, os.SEEK_DATA) finds the next one) and
    Damaged (its record is damaged).

    Threads: pread() and extent() any number at once; what uses the file's position one at a time.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        directory = path_of(path)
        self.name = os.fsdecode(directory)
        queue = POINTER(cq_queue)()
        self._check(lib.cq_queue_open(directory, byref(queue)))
        pointer = POINTER(cq_stream)()
        result = lib.cq_stream_open(queue, byref(pointer))
        if result < 0:
            lib.cq_queue_close(queue)
            raise error_of(result, self.name)

        def free(stream: Any) -> None:
            lib.cq_stream_close(stream)
            lib.cq_queue_close(queue)

        self._handle = Handle(self, pointer, free)
        self._position = self.extent()[0]

    def close(self) -> None:
        if not self.closed and hasattr(self, "_handle"):
            self._handle.close()
        super().close()

    def extent(self) -> tuple[int, int]:
        """The positions of the oldest byte, and behind the newest."""
        begin, end = c_uint64(), c_uint64()
        self._check(self._handle.call(lib.cq_stream_extent, byref(begin), byref(end)))
        return begin.value, end.value

    def size(self) -> int:
        """How many bytes there are: from the oldest to the newest."""
        begin, end = self.extent()
        return end - begin

    def pread(self, length: int, position: int) -> bytes:
        """Bytes at a position, without moving the file's: fewer than `length` at the end of the stream, and
        before bytes that cannot be read."""
        begin, end = self.extent()
        number(position, "position")
        buffer = bytearray(min(number(length, "length"), max(0, end - max(begin, position))))
        return bytes(memoryview(buffer)[: self._pread_into(buffer, position)])

    def readable(self) -> bool:
        self._open()
        return True

    def seekable(self) -> bool:
        self._open()
        return True

    def write(self, data: ReadableBuffer) -> int:
        raise io.UnsupportedOperation("a Stream is only read: append with a Writer")

    def readinto(self, buffer: WriteableBuffer) -> int:
        count = self._pread_into(buffer, self._position)
        self._position += count
        if count == 0:
            self.extent()  # unmaps files that were deleted
        return count

    def readall(self) -> bytes:
        """From the position to the end that the stream has now."""
        end = self.extent()[1]
        parts = []
        while self._position < end:
            part = self.pread(min(end - self._position, 1 << 20), self._position)
            self._position += len(part)
            parts.append(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file; also os.SEEK_DATA and os.SEEK_HOLE, to which deleted and missing bytes are holes.
        Position 0 is the first byte ever appended."""
        found = c_uint64()
        if whence == os.SEEK_DATA:
            self._check(self._handle.call(lib.cq_stream_next_data, number(offset, "offset"), byref(found)))
            offset = found.value
        elif whence == os.SEEK_HOLE:
            self._check(self._handle.call(lib.cq_stream_next_hole, number(offset, "offset"), byref(found)))
            offset = found.value
        elif whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self.extent()[1]
        elif whence != io.SEEK_SET:
            raise ValueError(f"invalid whence: {whence}")
        self._open()
        self._position = number(offset, "position")
        return self._position

    def tell(self) -> int:
        self._open()
        return self._position

    def _pread_into(self, buffer: Any, position: int) -> int:
        with memoryview(buffer).cast("B") as view:
            if not view.nbytes:
                self._open()
                return 0
            target = ctypes.c_char.from_buffer(view)
            try:
                result = self._handle.call(lib.cq_stream_pread, byref(target), view.nbytes, position)
            finally:
                del target  # it holds the view
        return self._check(result)

    def _open(self) -> None:
        if self.closed:
            raise ValueError("the Stream is closed")

    def _check(self, result: int) -> int:
        if result < 0:
            raise error_of(result, self.name)
        return result
