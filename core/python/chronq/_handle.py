# SPDX-License-Identifier: Apache-2.0
"""A handle of the library: in use, closed, collected, forked.

The library trusts its callers: a handle is not used after its close, and a cq_reader by one thread at a
time. Python programs must not be able to break that, because the result would be a crash. So each call
puts a token into `calls` before it looks whether the handle is closed, and close() marks the handle as
closed before it looks into `calls`: either the call sees the mark, or the close sees the token and waits.
A set's add() and discard() are one step for other threads and for signal handlers, so a KeyboardInterrupt
at any place leaves no token behind.

An owner that is collected without close(), or is left at the end of the program, closes its handle. Then
no thread of the library is left when the interpreter goes. A handle in use (by a daemon thread) stays
open at the end. In a child that was forked nothing is closed.
"""

from __future__ import annotations

import errno
import os
import threading
import warnings
import weakref
from typing import Any, Callable

from ._errors import error_of


class Handle:
    """A pointer of the library. `free` closes it and returns 0 or a negative errno."""

    def __init__(
        self, owner: object, pointer: Any, free: Callable[[Any], int | None], keep: object = None,
        *, exclusive: bool = False,
    ) -> None:
        self._what = type(owner).__name__
        self._pointer = pointer
        self._free = free
        self._keep = keep  # callbacks, which the library may call until it is closed
        self._exclusive = exclusive
        self._pid = os.getpid()
        self._calls: set[object] = set()
        self._closing: threading.Event | None = None
        weakref.finalize(owner, self._abandon)

    @property
    def closed(self) -> bool:
        return self._closing is not None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(pointer, *arguments)"""
        calls = self._calls
        token = object()
        try:
            calls.add(token)
            if self._closing is not None:
                raise ValueError(f"the {self._what} is closed")
            if self._pid != os.getpid():
                raise error_of(-errno.ECHILD)
            if self._exclusive and len(calls) > 1:
                raise RuntimeError(f"the {self._what} is in use: it belongs to one thread at a time")
            return function(self._pointer, *arguments)
        finally:
            calls.discard(token)
            if self._closing is not None:
                self._closing.set()

    def close(self) -> int:
        """Waits for calls of other threads, closes. The result of `free`; 0 if it is closed already."""
        if self._pid != os.getpid():  # the calls of the parent's threads never end here
            self._pointer = None
        elif self._exclusive and self._calls:
            raise RuntimeError(f"the {self._what} is in use: it belongs to one thread at a time")
        if self._closing is None:
            self._closing = threading.Event()
        while self._pointer is not None and self._calls:
            self._closing.wait(0.1)
            self._closing.clear()
        pointer, self._pointer = self._pointer, None
        return 0 if pointer is None else self._free(pointer) or 0

    def _abandon(self) -> None:
        if self._pointer is None or self._calls or self._pid != os.getpid():
            return
        warnings.warn(f"unclosed {self._what}", ResourceWarning)
        result = self.close()
        if result < 0:
            raise error_of(result)
