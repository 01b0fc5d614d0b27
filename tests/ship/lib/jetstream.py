# SPDX-License-Identifier: Apache-2.0
"""Streams of the servers, by the tests' own client: made, described, read whole, changed."""

import base64
import time

from natsclient import PATIENCE, ApiError, Late, Message, NatsError, parse_headers

UNAVAILABLE = (503, 408)


def ask(nats, what, request=None):
    """A request to JetStream's API that does no harm when it comes twice.  Repeats it while the servers elect a leader
    (then they drop it, or say that they are unavailable), with more time for each answer."""
    end = time.monotonic() + PATIENCE
    timeout = 0.5
    while True:
        try:
            return nats.api(what, request, timeout=timeout)
        except ApiError as error:
            # 10005: no suitable peers, also while not all servers know one another
            if (error.code not in UNAVAILABLE and error.err_code != 10005) or time.monotonic() > end:
                raise
            time.sleep(0.02)
        except Late:
            if time.monotonic() > end:
                raise
        timeout = min(1.2 * timeout, 10)


def settings(name, replicas=1, **more):
    """The configuration that chronq ship gives a stream."""
    return {"name": name, "subjects": ["chronq." + name], "storage": "file", "retention": "limits",
            "discard": "new", "num_replicas": replicas, "max_consumers": -1, "max_msgs": -1, "max_bytes": -1,
            "max_age": 0, "max_msg_size": -1, "max_msgs_per_subject": -1, "deny_delete": True, "deny_purge": True,
            "duplicate_window": 0, **more}


def make(nats, name, replicas=1, **more):
    return ask(nats, "STREAM.CREATE." + name, settings(name, replicas, **more))


def info(nats, name):
    return ask(nats, "STREAM.INFO." + name)


def update(nats, name, **more):
    config = info(nats, name)["config"] | more
    return ask(nats, "STREAM.UPDATE." + name, config)


def delete(nats, name):
    return ask(nats, "STREAM.DELETE." + name)


def exists(nats, name):
    try:
        info(nats, name)
    except ApiError as error:
        if error.err_code == 10059:
            return False
        raise
    return True


def message(nats, name, sequence):
    """One message of a stream, as the leader has it."""
    stored = ask(nats, "STREAM.MSG.GET." + name, {"seq": sequence})["message"]
    status, headers = parse_headers(base64.b64decode(stored["hdrs"])) if "hdrs" in stored else (None, {})
    return Message(stored["subject"], 0, None, status, headers, base64.b64decode(stored.get("data", "")), stored["seq"])


def consume(nats, name, first):
    """A consumer without acknowledgements that gives the stream from `first` on to a subscription, its number."""
    subject = f"{nats.inbox}-push-{nats.sids}"
    sid = nats.subscribe(subject)
    ask(nats, "CONSUMER.CREATE." + name, {"stream_name": name, "config": {
        "deliver_subject": subject, "deliver_policy": "by_start_sequence", "opt_start_seq": max(first, 1),
        "ack_policy": "none", "replay_policy": "instant", "max_deliver": 1, "num_replicas": 1, "mem_storage": True,
        "inactive_threshold": 5_000_000_000}})
    return sid


def messages(nats, name, first=None, last=None):
    """All messages of a stream, from the first that it has to the one that is its last one now, in order."""
    state = info(nats, name)["state"]
    at = first or state["first_seq"]
    last = state["last_seq"] if last is None else last
    tries = 0
    while at <= last:
        sid = consume(nats, name, at)
        try:
            while at <= last:
                got = nats.next(lambda message: message.sid == sid, timeout=10)
                # $JS.ACK.STREAM.CONSUMER.DELIVERED.STREAM_SEQ.CONSUMER_SEQ.TIME.PENDING; 2.10 may have two more words
                words = got.reply.split(".") if got.reply else []
                sequence = int(words[-4]) if len(words) == 9 else int(words[7])
                if sequence != at:
                    raise NatsError(f"message {sequence} comes in place of {at}")
                got.sequence = sequence
                at += 1
                tries = 0
                yield got
        except NatsError:
            tries += 1
            if tries == 5:
                raise
        finally:
            nats.unsubscribe(sid)
