# SPDX-License-Identifier: Apache-2.0
"""Arguments for the library. ctypes itself cuts numbers and strings off silently."""

from __future__ import annotations

import ctypes
import math
import os
import time
from errno import EINTR
from typing import Any, Callable, Union

from ._abi import UINT64_MAX

SLICE_MS = 200  # of waiting, after which Python looks for signals

Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Payload = Union[bytes, bytearray, memoryview]
"""Or anything else with a contiguous buffer, such as an array or an mmap."""


def path_of(path: Path) -> bytes:
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    return name


def number(value: int, name: str, largest: int = UINT64_MAX) -> int:
    if not 0 <= value <= largest:
        raise ValueError(f"{name} is not within 0 to {largest}: {value}")
    return value


def milliseconds(seconds: float | None) -> int | None:
    """Rounded up; None: no limit."""
    if seconds is None:
        return None
    if not seconds >= 0:
        raise ValueError(f"timeout is negative: {seconds}")
    return None if seconds == math.inf else math.ceil(seconds * 1000)


def in_slices(wait: Callable[[int], int], limit_ms: int | None) -> int:
    """wait(milliseconds) until it gives more than 0, an error, or the time is up. In slices: Python sees a signal
    that comes just before the library falls asleep only when the library returns."""
    end = None if limit_ms is None else time.monotonic() + limit_ms / 1000
    while True:
        left = SLICE_MS if end is None else max(0, math.ceil((end - time.monotonic()) * 1000))
        result = wait(min(left, SLICE_MS))
        if result > 0 or (result == 0 and left == 0) or (result < 0 and result != -EINTR):
            return result


def buffer_of(payload: Payload) -> tuple[Any, int]:
    """What ctypes takes as the address of these bytes, and their number. Copies only what is read-only
    and not of type bytes. The first must be kept until the call has returned."""
    if isinstance(payload, bytes):
        return payload, len(payload)
    view = memoryview(payload)
    if not view.c_contiguous:
        raise ValueError("the payload is not contiguous")
    if view.readonly or view.nbytes == 0:
        copy = view.tobytes()
        return copy, len(copy)
    return ctypes.c_char.from_buffer(view), view.nbytes
