#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""info.py MOUNT QUEUE [READ-ONLY-MOUNT] - stats.json and metrics say what is so.

With a read-only mount of the same queue: what that one says, while the other one writes.
"""

import fcntl
import json
import os
import resource
import struct
import sys
import time
import zlib

import exposition
from testlib import case, wait_for

mount, queue = sys.argv[1:3]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def stats(where=mount):
    return json.loads(read(where + "/stats.json"))


def metrics(where=mount):
    """{sample: value}; a label is part of the sample's name"""
    samples = {}
    for _, found in exposition.parse(read(where + "/metrics").decode()).values():
        for name, values in found.items():
            for labels, value in values:
                shown = ",".join(f"{k}={v}" for k, v in labels.items())
                samples[name + (f"{{{shown}}}" if labels else "")] = value
    return samples


def append(*payloads):
    fd = os.open(mount + "/append", os.O_WRONLY)
    for payload in payloads:
        os.write(fd, payload)
    os.close(fd)


def segment_files():
    return sorted(n for n in os.listdir(queue) if len(n) == 11 and n.endswith(".q"))


def reader_file(name, segment, offset, heartbeat_ns):
    """A committed position as docs/format.md describes it."""
    slot = struct.pack("<QQQQ", segment, offset, heartbeat_ns, 1)
    slot += struct.pack("<II", zlib.crc32(slot), 0)
    os.makedirs(queue + "/readers", exist_ok=True)
    with open(f"{queue}/readers/{name}.meta", "wb") as f:
        f.write(bytes(40) + slot)


def form():
    path = mount + "/stats.json"
    size = os.stat(path).st_size
    text = read(path)
    case("stats.json: as many bytes as stat says", len(text) == size, (len(text), size))
    case("stats.json ends in a newline, after blanks", text.rstrip(b" \n") + b" " * (
        size - 1 - len(text.rstrip(b" \n"))) + b"\n" == text)
    append(b"x" * 5000)
    case("its size stays the same", os.stat(path).st_size == size and len(read(path)) == size)

    fd = os.open(path, os.O_RDONLY)
    pieces = []
    while piece := os.read(fd, 37):
        pieces.append(piece)
        append(b"between two pieces")
    case("read in small pieces it is of one moment", len(b"".join(pieces)) == size)
    before = json.loads(b"".join(pieces))["appended"]["records"]
    again = json.loads(os.pread(fd, size, 0))["appended"]["records"]
    case("read again from its beginning it is new", again >= before + len(pieces),
         (before, again))
    append(b"not seen by a read further on")
    head = os.pread(fd, size, 0)
    append(b"not seen by a read further on")
    case("a read at a later offset gives the same text", head[100:] == os.pread(fd, size, 100))
    os.close(fd)
    fd = os.open(path, os.O_RDONLY)
    case("a first read at the end", os.pread(fd, size, size - 3) == b"  \n")
    case("and behind it", os.pread(fd, size, size) == b"")
    os.close(fd)

    for name in "stats.json", "metrics":
        fd = os.open(mount + "/" + name, os.O_RDONLY)
        length = os.fstat(fd).st_size
        case(f"{name}: data from end to end",
             os.lseek(fd, 5, os.SEEK_DATA) == 5 and os.lseek(fd, 5, os.SEEK_HOLE) == length)
        os.close(fd)
    length = len(read(mount + "/metrics"))
    case("metrics has the size of its last reading",
         os.stat(mount + "/metrics").st_size == length)


def appended():
    before, metrics_before = stats(), metrics()
    payloads = [bytes(n) for n in (1, 10, 1000, 3000)] * 20
    append(*payloads)
    now, metrics_now = stats(), metrics()
    count, size = len(payloads), sum(map(len, payloads))
    for what, group, key, delta, metric in (
            ("records", "appended", "records", count, "chronfs_appended_records_total"),
            ("payload bytes", "appended", "payload_bytes", size, "chronfs_appended_bytes_total"),
            ("next_seq", "position", "next_seq", count, "chronfs_next_seq"),
            ("the stream's end", "stream", "end_bytes", size, "chronfs_stream_end_bytes")):
        case(f"{what} in stats.json", now[group][key] - before[group][key] == delta,
             (before[group], now[group]))
        case(f"{what} in metrics", metrics_now[metric] - metrics_before[metric] == delta)
    last = now["position"]["last_record_time_ns"]
    case("the newest record's time", abs(time.time_ns() - last) < 60e9)
    for name in "stats.json", "metrics":
        st = os.stat(mount + "/" + name)
        case(f"{name}: st_mtim is the newest record's time", st.st_mtime_ns == last,
             (st.st_mtime_ns, last))
    case("and in metrics", abs(metrics_now["chronfs_last_record_time_seconds"] - last / 1e9) < 1e-3)


def position():
    now = stats()
    p = now["position"]
    with open(f"{queue}/{p['segment']:09}.q", "rb") as f:
        data = f.read()
    case("behind the position is no record, before it is one",
         data[p["offset_bytes"]:p["offset_bytes"] + 4] == bytes(4) and
         64 < p["offset_bytes"] <= len(data))
    def settled():  # the next one may be under way
        now, files = stats(), segment_files()
        return (now, files) if now["segments"]["count"] == len(files) else None
    now, files = wait_for(settled) or (stats(), segment_files())
    s = now["segments"]
    case("segment files", s["count"] == len(files) and s["bytes"] == 65536 * len(files) and
         s["oldest"] == int(files[0][:9]), (s, files))
    rolls = now["rolls"]
    case("rolls by kind: as many as segments were begun",
         rolls["ready"] + rolls["waited"] + rolls["fallback"] == p["segment"], rolls)
    case("prepared ones", now["prealloc"]["made"] >= rolls["ready"] and
         now["prealloc"]["failed"] == 0, now["prealloc"])
    limits = now["limits"]
    case("limits", limits == {
        "record_bytes": 65536 - 128, "segment_size_bytes": 65536, "open_files": 16384,
        "open_directories": 1024, "locks": 4096,
        "open_segments": resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2}, limits)
    case("the policy", now["retention"]["retain_segments"] == 100 and
         "retain_bytes" not in now["retention"], now["retention"])
    case("no error", now["writer_error"] == 0 and now["read_only"] is False)
    case("who and what", now["queue"] == queue and os.path.exists(f"/proc/{now['pid']}") and
         now["mount_time_ns"] < time.time_ns() and "version" in now, now)


def syncs():
    before = stats()
    fd = os.open(mount + "/append", os.O_WRONLY)
    for _ in range(5):
        os.write(fd, b"to be flushed")
        os.fsync(fd)
    os.close(fd)
    now, m = stats(), metrics()
    s = now["syncs"]
    case("what was flushed is durable", now["position"]["durable_seq"] >= before["position"][
        "next_seq"] + 5 and now["position"]["durable_seq"] <= now["position"]["next_seq"])
    case("flushes and requests", s["count"] >= before["syncs"]["count"] + 5 and
         s["requests"] >= before["syncs"]["requests"] + 5, s)
    counts = [b["count"] for b in s["latency_buckets"]]
    case("latency: cumulative buckets, mean and maximum", counts == sorted(counts) and
         counts[-1] == s["count"] and 0 < s["latency_mean_ns"] <= s["latency_max_ns"], s)
    case("the same as a histogram", m["chronfs_sync_seconds_count"] >= s["count"] and
         m["chronfs_sync_seconds_bucket{le=+Inf}"] == m["chronfs_sync_seconds_count"] and
         m["chronfs_sync_seconds_sum"] > 0)


def readers():
    case("no reader yet", stats()["readers"] == {"count": 0, "listed": []})
    while stats()["position"]["segment"] < 1:
        append(bytes(60000))
    now = time.time_ns()
    for i in range(60):
        reader_file(f"reader-{i:02}", 0, 64 + 128 * i, now - 5_000_000_000)
    reader_file("unknown", 0, 64, 0)
    shown = stats()
    listed = shown["readers"]["listed"]
    case("61 readers, the 50 that lag most", shown["readers"]["count"] == 61 and
         {r["name"] for r in listed} == {f"reader-{i:02}" for i in range(49)} | {"unknown"})
    case("the worst first", listed == sorted(listed, key=lambda r: -r["lag_bytes"]))
    writer = shown["position"]["segment"] * 65536 + shown["position"]["offset_bytes"]
    case("their lag in bytes", all(r["segment"] == 0 and
                                   r["lag_bytes"] == writer - r["offset_bytes"] for r in listed))
    ages = [r["heartbeat_age_ns"] for r in listed if r["name"] != "unknown"]
    case("how long ago they were seen", all(5e9 <= age < 300e9 for age in ages), ages[:3])
    case("which may be unknown", all("heartbeat_age_ns" not in r for r in listed
                                     if r["name"] == "unknown"))
    m = metrics()
    case("the same in metrics", m["chronfs_readers"] == 61 and
         m["chronfs_reader_lag_bytes{reader=reader-07}"] == writer - 64 - 128 * 7 and
         m["chronfs_reader_heartbeat_age_seconds{reader=reader-07}"] >= 5)
    case("the queue's path in metrics is escaped",
         any(f"queue={queue}," in name for name in m if name.startswith("chronfs_info{")))
    for i in range(60):
        os.unlink(f"{queue}/readers/reader-{i:02}.meta")
    os.unlink(queue + "/readers/unknown.meta")


def errors():
    before = stats()["errors"]
    fd = os.open(mount + "/append", os.O_WRONLY)
    try:
        os.write(fd, bytes(65536))
    except OSError:
        pass
    os.close(fd)
    case("a record that is too long is counted", stats()["errors"]["too_long"] ==
         before["too_long"] + 1, stats()["errors"])
    case("and in metrics", metrics()["chronfs_write_errors_total{kind=too_long}"] ==
         before["too_long"] + 1)


def open_lines():
    before = stats()["lines"]
    fd = os.open(mount + "/append.lines", os.O_WRONLY)
    os.write(fd, b"a line\nand an open one")
    now, m = stats()["lines"], metrics()
    case("an open line", now["open_files"] == before["open_files"] + 1 and
         now["open_bytes"] == before["open_bytes"] + len(b"and an open one"), (before, now))
    case("and in metrics", m["chronfs_open_lines"] == 1 and m["chronfs_open_line_bytes"] == 15)
    os.close(fd)
    now = stats()["lines"]
    case("closed it is a partial", now["open_files"] == before["open_files"] and
         now["open_bytes"] == 0 and now["partials"] == before["partials"] + 1, now)


def held():
    def comes_to(wanted):
        # stats.json itself is open while it is read; the kernel tells of a close after it has returned
        wanted["open_files"] += 1
        return wait_for(lambda: stats()["held"] == wanted)

    nothing = {"open_files": 0, "open_directories": 0, "open_segments": 0, "locks": 0}
    case("nothing is held", comes_to(dict(nothing)), stats()["held"])
    fds = [os.open(f"{mount}/{name}", flags) for name, flags in (
        ("stream", os.O_RDONLY), ("stream", os.O_RDONLY), ("append", os.O_RDWR),
        ("payload/000000000", os.O_RDONLY), ("segments/000000000.q", os.O_RDONLY),
        ("segments", os.O_RDONLY | os.O_DIRECTORY))]
    fcntl.flock(fds[0], fcntl.LOCK_SH)
    fcntl.lockf(fds[2], fcntl.LOCK_EX, 10)
    fcntl.lockf(fds[2], fcntl.LOCK_UN, 1, 5)  # one becomes two
    wanted = {"open_files": 5, "open_directories": 1, "open_segments": 1, "locks": 3}
    case("open files, directories, segments, and locks are counted", comes_to(dict(wanted)),
         stats()["held"])
    m = metrics()
    case("and in metrics", m["chronfs_held{kind=open_directories}"] == 1 and
         m["chronfs_held{kind=locks}"] == 3 and m["chronfs_held_limit{kind=locks}"] == 4096)
    for fd in fds:
        os.close(fd)
    case("and given back", comes_to(nothing), stats()["held"])


def client_library():
    try:
        from prometheus_client import parser
    except ImportError:
        print("not checked by prometheus_client, which is not installed")
        return
    theirs = {(s.name, tuple(s.labels.items())): s.value for family in
              parser.text_string_to_metric_families(read(mount + "/metrics").decode())
              for s in family.samples}
    case("prometheus_client reads it, too",
         theirs[("chronfs_rolls_total", (("kind", "ready"),))] == stats()["rolls"]["ready"])


def read_only(second):
    ours, theirs = stats(), stats(second)
    case("read-only: it says so", theirs["read_only"] is True and theirs["pid"] != ours["pid"])
    case("read-only: what the files tell is the same",
         all(theirs["position"][k] == ours["position"][k] for k in theirs["position"]) and
         theirs["segments"]["oldest"] == ours["segments"]["oldest"] and
         theirs["stream"] == ours["stream"], (theirs, ours))
    case("read-only: what only the writer knows is absent", not {
        "appended", "rolls", "prealloc", "syncs", "retention", "writer_error"} & theirs.keys() and
        set(theirs["position"]) == {"segment", "offset_bytes", "epoch"}, theirs)
    case("read-only: metrics, too", metrics(second)["chronfs_read_only"] == 1 and
         "chronfs_next_seq" not in metrics(second))
    append(b"one more", b"and one")
    case("read-only: it follows", stats(second)["stream"]["end_bytes"] ==
         theirs["stream"]["end_bytes"] + 15 and
         stats(second)["position"]["offset_bytes"] != theirs["position"]["offset_bytes"])


if len(sys.argv) > 3:
    read_only(sys.argv[3])
else:
    form()
    appended()
    position()
    syncs()
    readers()
    errors()
    open_lines()
    held()
    client_library()
