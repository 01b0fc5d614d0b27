# SPDX-License-Identifier: Apache-2.0
"""The tests' own servers, client and decoder, without chronq ship and fetch: what the other tests rely on."""

import os
import random
import ssl

import chronq
import credentials
import equal
import jetstream
import wireform
from natsclient import ApiError, Message, NatsError
from servers import LIBC
from support import Case, wait_for
from wireform import Malformed


def store(nats, subject, body, headers):
    """None: the server that we are connected to has not heard of the stream yet, which another one has made."""
    try:
        return nats.store(subject, body, headers, timeout=5)
    except ApiError as error:
        if (error.code, error.err_code) != (503, 0):  # no responders
            raise
        return None


def publish(nats, name, queue, rng, upto=None):
    """A shipper of ten lines: frames and records, each with the expected sequence."""
    last = jetstream.info(nats, name)["state"]["last_seq"]
    at = 0
    if last:
        at = int(jetstream.message(nats, name, last).headers["Chronq-Next"])
    found = equal.exported(queue)[at:upto]
    while found:
        count = rng.choice((1, 1, 5, 20))
        batch, found = found[:count], found[count:]
        if count == 1:
            headers, body = wireform.put_record(batch[0][0], stream=batch[0][1])
        else:
            headers, body = wireform.put_frame([record for record, _ in batch], stream=batch[0][1])
        headers |= {"Nats-Expected-Last-Sequence": str(last)}
        stored = wait_for(lambda: store(nats, "chronq." + name, body, headers), "the stream is known to the server")
        assert stored == last + 1
        last = stored


class Harness(Case):
    def test_what_one_server_keeps_is_decoded(self):
        servers = self.servers()
        nats = self.connect(servers)
        self.append(self.some(300))
        jetstream.make(nats, "S")
        publish(nats, "S", self.q, random.Random(1))
        count, kinds = equal.all_equal(self.q, nats, "S")
        self.assertEqual((count, set(kinds)), (300, {"record", "frame"}))

        # the expected sequence is checked, also of a stream that is empty
        with self.assertRaises(ApiError) as caught:
            nats.store("chronq.S", b"", {"Nats-Expected-Last-Sequence": "0"})
        self.assertEqual(caught.exception.err_code, 10071)

        record = wireform.Record(300, 1, 7, os.urandom(1000))
        for headers, piece in wireform.put_parts(record, 300):
            nats.store("chronq.S", piece, headers)
        nats.store("chronq.S", *reversed(wireform.put_gap(301, 400)))
        found, gaps, kinds = equal.stream(nats, "S")
        self.assertEqual((found[-1], gaps, kinds["part"]), (record, [wireform.Gap(301, 400)], 4))

    def test_the_decoder_finds_what_is_wrong(self):
        records = [wireform.Record(seq, 1000 + seq, 1, b"payload %d" % seq) for seq in range(4)]

        def message(sequence, headers_and_body):
            return Message("s", 1, None, None, *headers_and_body, sequence)

        good = [message(1, wireform.put_frame(records[:2], stream=0)), message(2, wireform.put_record(records[2])),
                message(3, wireform.put_record(records[3], stream=sum(len(r.payload) for r in records[:3])))]
        self.assertEqual(wireform.decode(good)[0], records)
        for at in range(len(good[0].body)):
            body = bytearray(good[0].body)
            body[at] ^= 1
            with self.assertRaises(Malformed):
                wireform.decode([message(1, (good[0].headers, bytes(body)))])
        for wrong in (good[:2] + good[1:], good[:1] + good[2:], good[::-1]):
            with self.assertRaises(Malformed):
                wireform.decode(wrong)
        for name in good[0].headers:
            with self.assertRaises(Malformed):
                wireform.decode([message(1, ({k: v for k, v in good[0].headers.items() if k != name
                                              and name != "Chronq-Stream"}, good[0].body))])
        with self.assertRaises(Malformed):
            wireform.decode([message(3, wireform.put_record(records[3], stream=5)),
                             message(4, wireform.put_record(wireform.Record(4, 1, 1, b""), stream=5))])

    def test_equal_finds_each_difference(self):
        servers = self.servers()
        nats = self.connect(servers)
        self.append(self.some(50))
        jetstream.make(nats, "S")
        publish(nats, "S", self.q, random.Random(1), upto=49)
        with self.assertRaisesRegex(AssertionError, "the stream: 50 records wanted, 49 found"):
            equal.all_equal(self.q, nats, "S")
        publish(nats, "S", self.q, random.Random(1))
        with chronq.Writer(self.replica, segment_size=1 << 16) as writer:
            for record in equal.records(self.q):
                writer.append(record.payload, type=record.type, time_ns=record.time_ns + (record.seq == 30))
        with self.assertRaisesRegex(AssertionError, "the replica: .* the first that differs: 30"):
            equal.all_equal(self.q, nats, "S", self.replica)

    def test_a_cluster_survives_its_leader_and_goes_back_to_older_stores(self):
        servers = self.servers(3)
        nats = self.connect(servers)
        self.append(self.some(200))
        jetstream.make(nats, "S", 3)
        publish(nats, "S", self.q, random.Random(1), upto=100)
        servers.settled("S")
        servers.leader("S").kill()

        def published():
            try:
                with servers.connect() as nats:
                    publish(nats, "S", self.q, random.Random(2))
                return True
            except (NatsError, OSError):
                return False
        wait_for(published)
        servers.start()
        servers.settled("S")
        with servers.connect() as nats:
            equal.all_equal(self.q, nats, "S")
        servers.kill_all()
        servers.copy_stores(self.dir / "older")
        servers.start()
        self.append(self.some(50))
        with servers.connect() as nats:
            publish(nats, "S", self.q, random.Random(3))
            equal.all_equal(self.q, nats, "S")
        servers.kill_all()
        servers.put_back(self.dir / "older")
        servers.start()
        servers.settled("S")
        with servers.connect() as nats:
            self.assertEqual(len(equal.stream(nats, "S")[0]), 200)

    def test_tls_and_users(self):
        files = credentials.certificates(self.dir)
        operator = credentials.Operator(self.dir)
        servers = self.servers(tls=files, verify=True, access=operator.settings(),
                               client={"tls": files, "creds": operator.user("all")})
        with servers.connect() as nats:
            jetstream.make(nats, "S")
            nats.store("chronq.S", b"x")
        with servers.connect(creds=operator.user("reads", ["chronq.>"])) as nats:
            nats.publish("chronq.S", b"y")
            nats.ping()
            self.assertIn("Permissions Violation", nats.errors[0])
        with self.assertRaises(ssl.SSLError):
            servers.connect(tls=files | {"ca": files["stranger"]})
        with self.assertRaisesRegex(NatsError, "Authorization"):
            servers.connect(creds=credentials.Operator(self.dir).user("other"))

    def test_the_servers_end_with_the_process_that_started_them(self):
        PR_SET_CHILD_SUBREAPER = 36
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.addCleanup(LIBC.prctl, PR_SET_CHILD_SUBREAPER, 0)
        inside, outside = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                servers = self.servers()
                os.write(outside, str(servers.all[0].process.pid).encode())
            finally:
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        server = int(os.read(inside, 20))
        os.close(inside)
        os.close(outside)

        os.waitpid(server, 0)  # it is ours now that its parent is dead
