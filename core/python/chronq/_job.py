# SPDX-License-Identifier: Apache-2.0
"""Calls that may take minutes, or that call back: in a thread of their own.

Python runs the handlers of signals in the main thread, between two of its own steps. If the main thread
were inside the library, a KeyboardInterrupt would have to wait, or would be raised in a callback, where
ctypes drops it. So the library runs in another thread, and the caller waits for that one, which a signal
can interrupt. An exception in the caller's thread stops the call; the caller undoes one that was faster.
"""

from __future__ import annotations

import threading
from typing import Any, Callable, NamedTuple

from ._abi import cq_progress_fn

EVERY = 0.1  # seconds between two reports of progress


class Progress(NamedTuple):
    """How far a recovery or a verification is."""

    phase: str
    """"recover": segments are read that may not have been on the disk at a crash; "verify": all."""
    segments_done: int
    segments: int
    bytes_done: int
    """The same in bytes of segment files, unused ones included."""
    bytes: int


_PHASES = ("recover", "indexes", "verify")


class Job:
    """One call. `step` is for the library to report its progress to."""

    def __init__(self, progress: Callable[[Progress], object] | None = None) -> None:
        self._progress = progress
        self._now: Progress | None = None
        self._cancelled = False
        self.step = cq_progress_fn(self._step)

    def _step(self, _: Any, state: Any) -> int:
        now = state.contents
        self._now = Progress(
            _PHASES[now.phase], now.segments_done, now.segments, now.bytes_done, now.bytes
        )
        return int(self._cancelled)

    def run(self, function: Callable[..., int], *arguments: Any) -> int:
        """The result of function(*arguments). Reports progress, in the caller's thread."""
        results: list[int] = []
        failures: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                results.append(function(*arguments))
            except BaseException as error:  # of ctypes: wrong arguments
                failures.append(error)
            finally:
                done.set()

        thread = threading.Thread(target=work, name="chronq", daemon=True)
        try:
            thread.start()
            while not done.wait(EVERY):
                if self._progress is not None and self._now is not None:
                    self._progress(self._now)
        except BaseException:
            self._cancelled = True
            while thread.is_alive():
                try:
                    thread.join()
                except KeyboardInterrupt:  # one more: the call ends soon
                    pass
            raise
        if failures:
            raise failures[0]
        return results[0]
