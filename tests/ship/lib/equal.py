# SPDX-License-Identifier: Apache-2.0
"""A queue, its stream and its replica, compared record for record."""

import base64
import json
import os
import subprocess

import jetstream
import wireform
from wireform import Record

CHRONQ = os.environ["CHRONQ"]


def exported(queue, lossy=False):
    """The records of a queue, each with its place in the queue's stream of payloads."""
    run = subprocess.run([CHRONQ, "export", queue], capture_output=True, timeout=300)
    if run.returncode not in ((0, 1) if lossy else (0,)):
        raise AssertionError(f"export of {queue} gave {run.returncode}: {run.stderr.decode()}")
    found = []
    for line in run.stdout.splitlines():
        one = json.loads(line)
        payload = one["payload"].encode() if "payload" in one else base64.b64decode(one["payload_base64"])
        found.append((Record(int(one["seq"]), int(one["time_ns"]), one["type"], payload), int(one["stream_offset"])))
    return found


def records(queue, lossy=False):
    return [record for record, _ in exported(queue, lossy)]


def brief(record):
    if record is None:
        return "nothing"
    return f"{record.seq} at {record.time_ns}, type {record.type}, {len(record.payload)} bytes {record.payload[:20]!r}"


def same(what, wanted, got):
    """Both lists are equal; if not, says where they begin to differ."""
    if wanted == got:
        return
    for at in range(max(len(wanted), len(got))):
        a = wanted[at] if at < len(wanted) else None
        b = got[at] if at < len(got) else None
        if a != b:
            raise AssertionError(f"{what}: {len(wanted)} records wanted, {len(got)} found; the first that differs: "
                                 f"{brief(a)} wanted, {brief(b)} found")


def each_number_once(what, found):
    numbers = [record.seq for record in found]
    if len(set(numbers)) != len(numbers) or numbers != sorted(numbers):
        raise AssertionError(f"{what}: a number comes twice, or out of order")


def stream(nats, name, next_seq=None):
    """Records, gaps, and messages of each kind."""
    found, gaps, kinds = wireform.decode(jetstream.messages(nats, name), next_seq)
    each_number_once("the stream", found)
    return found, gaps, kinds


def all_equal(source, nats, name, *replicas, trimmed=False):
    """Source, stream and replicas have the same records.  Returns how many, and the messages of each kind.  trimmed: the
    source may have fewer of the oldest ones; stream and replicas have all from number 0 on."""
    wanted = exported(source)
    plain = [record for record, _ in wanted]
    each_number_once("the source", plain)
    got, gaps, kinds = stream(nats, name, 0 if trimmed else None)
    if gaps:
        raise AssertionError(f"the stream has gaps: {gaps}")
    gone = plain[0].seq if trimmed and plain else 0
    same("the stream", plain, got[gone:])
    for replica in replicas:
        found = exported(replica)
        same("the replica", got, [record for record, _ in found])
        if [place for _, place in wanted] != [place for _, place in found[gone:]]:
            raise AssertionError("the replica's payloads have other places in its stream than the source's")
    return len(got), kinds
