# SPDX-License-Identifier: Apache-2.0
"""chronq.h for ctypes: its structures, its functions, and the library that has them.

Structures, members and functions have the names of chronq.h, which describes them.
tests/python/test_abi.py compares this file with that header.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, Structure
from ctypes import c_bool, c_char, c_char_p, c_int, c_size_t, c_ssize_t
from ctypes import c_uint, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any

CQ_TYPE_DEFAULT = 1
CQ_READER_NAME_MAX = 64
CQ_IDENTITY_SIZE = 16
CQ_READER_PASSIVE = 1
CQ_SYNC_BUCKETS = 10
UINT32_MAX = 0xFFFFFFFF
UINT64_MAX = 0xFFFFFFFFFFFFFFFF


class cq_writer(Structure):
    pass


class cq_reader(Structure):
    pass


class cq_queue(Structure):
    pass


class cq_segment(Structure):
    pass


class cq_stream(Structure):
    pass


class cq_progress(Structure):
    _fields_ = [
        ("phase", c_int),
        ("segments_done", c_uint64),
        ("segments", c_uint64),
        ("bytes_done", c_uint64),
        ("bytes", c_uint64),
    ]


cq_log_fn = CFUNCTYPE(None, c_void_p, c_int, c_char_p)
cq_progress_fn = CFUNCTYPE(c_int, c_void_p, POINTER(cq_progress))
space_fn = CFUNCTYPE(None, c_void_p)


class cq_config(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("segment_size", c_uint64),
        ("prealloc_wait_ms", c_uint32),
        ("spares", c_uint32),
        ("require_prealloc", c_bool),
        ("sync", c_int),
        ("sync_interval_ms", c_uint32),
        ("retain_segments", c_uint64),
        ("retain_bytes", c_uint64),
        ("retain_age_ms", c_uint64),
        ("max_bytes", c_uint64),
        ("space", space_fn),
        ("space_arg", c_void_p),
        ("reader_ttl_ms", c_uint64),
        ("reader_max_lag_bytes", c_uint64),
        ("accept_loss", c_bool),
        ("trust_files", c_bool),
        ("log", cq_log_fn),
        ("log_arg", c_void_p),
        ("progress", cq_progress_fn),
        ("progress_arg", c_void_p),
        ("begin_seq", c_uint64),
        ("begin_stream", c_uint64),
        ("replica_of", c_uint8 * CQ_IDENTITY_SIZE),
    ]


class cq_appended(Structure):
    _fields_ = [("count", c_size_t), ("seq", c_uint64), ("durable", c_bool)]


class cq_message(Structure):
    # c_char_p, not c_void_p: it takes bytes, and keeps them.
    _fields_ = [("payload", c_char_p), ("length", c_size_t), ("type", c_uint16)]


class cq_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("next_seq", c_uint64),
        ("durable_seq", c_uint64),
        ("records", c_uint64),
        ("bytes", c_uint64),
        ("last_time_ns", c_uint64),
        ("segment_size", c_uint64),
        ("segment", c_uint32),
        ("offset", c_uint64),
        ("stream_end", c_uint64),
        ("epoch", c_uint32),
        ("rolls_ready", c_uint64),
        ("rolls_waited", c_uint64),
        ("rolls_fallback", c_uint64),
        ("prealloc_made", c_uint64),
        ("prealloc_stale", c_uint64),
        ("prealloc_failed", c_uint64),
        ("syncs", c_uint64),
        ("sync_requests", c_uint64),
        ("sync_ns_total", c_uint64),
        ("sync_ns_max", c_uint64),
        ("sync_within", c_uint64 * CQ_SYNC_BUCKETS),
        ("unsynced", c_uint64),
        ("retired", c_uint64),
        ("full", c_uint64),
        ("max_bytes", c_uint64),
        ("oldest", c_uint32),
        ("file_bytes", c_uint64),
        ("error", c_int),
    ]


class cq_holder(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("locked", c_bool),
        ("alive", c_bool),
        ("pid", c_int),
        ("start_time", c_uint64),
        ("closing", c_bool),
        ("progress", c_uint64),
    ]


class cq_queue_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("segment_size", c_uint64),
        ("segments", c_uint64),
        ("oldest", c_uint32),
        ("newest", c_uint32),
        ("have_control", c_bool),
        ("current", c_uint32),
        ("offset", c_uint64),
        ("epoch", c_uint64),
        ("heartbeat_ns", c_uint64),
        ("have_identity", c_bool),
        ("replica", c_bool),
        ("identity", c_uint8 * CQ_IDENTITY_SIZE),
        ("source", c_uint8 * CQ_IDENTITY_SIZE),
        ("have_durable", c_bool),
        ("durable_seq", c_uint64),
        ("have_bounds", c_bool),
        ("first_seq", c_uint64),
        ("next_seq", c_uint64),
        ("stream_begin", c_uint64),
        ("stream_end", c_uint64),
        ("flushes", c_uint32),
    ]


class cq_reader_position(Structure):
    _fields_ = [
        ("name", c_char * (CQ_READER_NAME_MAX + 1)),
        ("segment", c_uint32),
        ("offset", c_uint64),
        ("heartbeat_ns", c_uint64),
        ("lag_bytes", c_uint64),
    ]


class cq_reader_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("segment", c_uint32),
        ("offset", c_uint64),
        ("heartbeat_ns", c_uint64),
        ("lag_bytes", c_uint64),
        ("have_seq", c_bool),
        ("have_lag_records", c_bool),
        ("missing", c_bool),
        ("in_use", c_bool),
        ("seq", c_uint64),
        ("lag_records", c_uint64),
        ("next_time_ns", c_uint64),
        ("pid", c_int),
    ]


cq_reader_visit_fn = CFUNCTYPE(None, c_void_p, POINTER(cq_reader_position))


class cq_segment_info(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("id", c_uint32),
        ("version", c_uint32),
        ("file_bytes", c_uint64),
        ("modified_ns", c_uint64),
        ("sealed", c_bool),
        ("have_summary", c_bool),
        ("have_content", c_bool),
        ("damaged", c_bool),
        ("stream_base", c_uint64),
        ("first_seq", c_uint64),
        ("records", c_uint64),
        ("payload_bytes", c_uint64),
        ("used", c_uint64),
        ("last_seq", c_uint64),
        ("first_time_ns", c_uint64),
        ("last_time_ns", c_uint64),
    ]


class cq_record(Structure):
    _fields_ = [
        ("seq", c_uint64),
        ("time_ns", c_uint64),
        ("payload", c_void_p),
        ("length", c_size_t),
        ("type", c_uint16),
        ("have_stream", c_bool),
        ("epoch", c_uint32),
        ("stream_offset", c_uint64),
        ("segment", c_uint32),
        ("offset", c_uint64),
    ]


class cq_reader_stats(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("records", c_uint64),
        ("bytes", c_uint64),
        ("gaps", c_uint64),
        ("gap_segments", c_uint64),
        ("gap_records", c_uint64),
        ("segment", c_uint32),
        ("offset", c_uint64),
    ]


class cq_finding(Structure):
    _fields_ = [("damage", c_bool), ("segment", c_uint32), ("offset", c_uint64), ("text", c_char_p)]


cq_finding_fn = CFUNCTYPE(None, c_void_p, POINTER(cq_finding))


class cq_verify_result(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("segments", c_uint64),
        ("records", c_uint64),
        ("payload_bytes", c_uint64),
        ("damage", c_uint64),
        ("information", c_uint64),
        ("gaps", c_uint64),
        ("gap_records", c_uint64),
    ]


class cq_verify_config(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("finding", cq_finding_fn),
        ("finding_arg", c_void_p),
        ("progress", cq_progress_fn),
        ("progress_arg", c_void_p),
    ]


# name: result, arguments
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cq_version": (c_char_p,),
    "cq_strerror": (c_char_p, c_int),
    "cq_config_init_size": (None, POINTER(cq_config), c_size_t),
    "cq_writer_open": (c_int, c_char_p, POINTER(cq_config), POINTER(POINTER(cq_writer))),
    "cq_writer_close": (c_int, POINTER(cq_writer)),
    "cq_writer_append": (c_int, POINTER(cq_writer), c_uint16, c_void_p, c_size_t, POINTER(cq_appended)),
    "cq_writer_append_batch": (
        c_ssize_t, POINTER(cq_writer), POINTER(cq_message), c_size_t, POINTER(cq_appended),
    ),
    "cq_writer_append_at": (
        c_int, POINTER(cq_writer), c_uint16, c_uint64, c_void_p, c_size_t, POINTER(cq_appended),
    ),
    "cq_writer_append_batch_at": (
        c_ssize_t, POINTER(cq_writer), POINTER(cq_message), POINTER(c_uint64), c_size_t, POINTER(cq_appended),
    ),
    "cq_writer_roll": (c_int, POINTER(cq_writer)),
    "cq_writer_sync": (c_int, POINTER(cq_writer)),
    "cq_writer_trim": (c_int, POINTER(cq_writer), c_uint64, c_uint),
    "cq_writer_max_payload": (c_size_t, POINTER(cq_writer)),
    "cq_writer_skip": (c_int, POINTER(cq_writer), c_uint64, c_uint64),
    "cq_writer_stats": (c_int, POINTER(cq_writer), POINTER(cq_stats)),
    "cq_queue_open": (c_int, c_char_p, POINTER(POINTER(cq_queue))),
    "cq_queue_close": (None, POINTER(cq_queue)),
    "cq_queue_holder": (c_int, POINTER(cq_queue), POINTER(cq_holder)),
    "cq_queue_info": (c_int, POINTER(cq_queue), POINTER(cq_queue_info)),
    "cq_queue_wait_durable": (c_int, POINTER(cq_queue), c_uint64, c_int, POINTER(c_uint64)),
    "cq_queue_readers": (c_int, POINTER(cq_queue), cq_reader_visit_fn, c_void_p),
    "cq_queue_reader": (c_int, POINTER(cq_queue), c_char_p, POINTER(cq_reader_info)),
    "cq_queue_list": (c_int, POINTER(cq_queue), POINTER(POINTER(c_uint32)), POINTER(c_size_t)),
    "cq_segment_open": (c_int, POINTER(cq_queue), c_uint32, POINTER(POINTER(cq_segment))),
    "cq_segment_close": (None, POINTER(cq_segment)),
    "cq_segment_info": (c_int, POINTER(cq_segment), c_int, POINTER(cq_segment_info)),
    "cq_stream_open": (c_int, POINTER(cq_queue), POINTER(POINTER(cq_stream))),
    "cq_stream_close": (None, POINTER(cq_stream)),
    "cq_stream_extent": (c_int, POINTER(cq_stream), POINTER(c_uint64), POINTER(c_uint64)),
    "cq_stream_pread": (c_ssize_t, POINTER(cq_stream), c_void_p, c_size_t, c_uint64),
    "cq_stream_next_data": (c_int, POINTER(cq_stream), c_uint64, POINTER(c_uint64)),
    "cq_stream_next_hole": (c_int, POINTER(cq_stream), c_uint64, POINTER(c_uint64)),
    "cq_reader_open": (c_int, c_char_p, c_char_p, c_int, c_uint, POINTER(POINTER(cq_reader))),
    "cq_reader_close": (None, POINTER(cq_reader)),
    "cq_reader_next": (c_int, POINTER(cq_reader), POINTER(cq_record)),
    "cq_reader_skip_record": (c_int, POINTER(cq_reader), POINTER(cq_record)),
    "cq_reader_skip_segment": (c_int, POINTER(cq_reader)),
    "cq_reader_wait": (c_int, POINTER(cq_reader), c_int),
    "cq_reader_seek_seq": (c_int, POINTER(cq_reader), c_uint64),
    "cq_reader_seek_time": (c_int, POINTER(cq_reader), c_uint64),
    "cq_reader_seek_stream": (c_int, POINTER(cq_reader), c_uint64, POINTER(c_uint64)),
    "cq_reader_seek_oldest": (c_int, POINTER(cq_reader)),
    "cq_reader_seek_end": (c_int, POINTER(cq_reader)),
    "cq_reader_commit": (c_int, POINTER(cq_reader)),
    "cq_reader_commit_seq": (c_int, POINTER(cq_reader), c_uint64),
    "cq_reader_set": (c_int, c_char_p, c_char_p, c_int, c_uint64),
    "cq_reader_delete": (c_int, c_char_p, c_char_p),
    "cq_reader_stats": (c_int, POINTER(cq_reader), POINTER(cq_reader_stats)),
    "cq_verify_with": (c_int, c_char_p, POINTER(cq_verify_config), POINTER(cq_verify_result)),
}


def load(path: str) -> ctypes.CDLL:
    """The library, with all functions declared; ImportError."""
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"cannot load {path}: {error} (the environment variable CHRONQ_LIBRARY may name another file)"
        ) from error
    for name, (result, *arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ImportError(f"{path} has no {name}(): it is older than this module") from None
        function.restype = result
        function.argtypes = arguments
    return library


lib = load(os.environ.get("CHRONQ_LIBRARY") or "libchronq.so.0")


def sized(structure: type[Any]) -> Any:
    """A new structure whose first member is its size."""
    return structure(size=ctypes.sizeof(structure))
