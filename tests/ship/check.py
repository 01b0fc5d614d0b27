# SPDX-License-Identifier: Apache-2.0
"""chronq ship --check: what it says of a queue and its stream, with a stream that the tests' own client has filled."""

import hashlib
import os
import subprocess

import chronq
import equal
import jetstream
import wireform
from published import Published
from support import FAILED, FOREIGN, NO_STREAM, SHIP, USAGE, Case, wait_for


class Check(Case):
    def stream(self, count=300, **options):
        self.running = self.servers(options.get("replicas", 1))
        self.url = self.running.url("S")
        self.append(self.some(count))
        return Published(self.connect(self.running), self.q, **options)

    def check(self, code, *lines, url=None, options=(), queue=None):
        """Its exit code, and all lines that it prints."""
        program = self.start(SHIP, "--check", *options, queue or self.q, url or self.url)
        said = self.gives(code, program)
        self.assertEqual(said.splitlines(), list(lines))

    def files(self):
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in self.q.rglob("*") if path.is_file()}

    def test_the_same_and_nothing_is_changed(self):
        stream = self.stream()
        stream.ship(upto=200)
        stream.ship(size=1)
        before, state = self.files(), stream.nats.api("STREAM.INFO.S")["state"]
        self.check(0, "records 0 to 299: the same", "sound: 300 the same")
        self.assertEqual(self.files(), before)
        after = stream.nats.api("STREAM.INFO.S")["state"]
        wait_for(lambda: stream.nats.api("STREAM.INFO.S")["state"]["consumer_count"] == 0)
        self.assertEqual(after | {"consumer_count": 0}, state | {"consumer_count": 0})

    def test_a_message_for_each_record_and_parts(self):
        stream = self.stream(form="record")
        stream.ship()
        self.append([bytes(range(256)) * 200, b"small"])
        stream.parts(10_000)
        stream.ship()
        self.check(0, "records 0 to 301: the same", "sound: 302 the same")

    def test_a_stream_that_is_behind(self):
        stream = self.stream()
        self.check(1, "records 0 to 299: only in the queue", "not as it should be: 0 the same, 300 only in the queue")
        stream.ship(upto=100)
        self.check(1, "records 0 to 99: the same", "records 100 to 299: only in the queue",
                   "not as it should be: 100 the same, 200 only in the queue")

    def test_a_record_that_is_half_there(self):
        stream = self.stream(count=1)
        stream.ship()
        self.append([bytes(50_000)])
        for headers, piece in list(wireform.put_parts(stream.records()[0][0], 10_000))[:3]:
            stream.message(headers, piece)
        self.check(1, "record 0: the same", "record 1: only in the queue",
                   "not as it should be: 1 the same, 1 only in the queue")

    def test_a_queue_that_has_lost_records(self):
        stream = self.stream(count=100)
        stream.ship(upto=60)
        last = stream.records()[-1][0]
        for seq in range(60, 105):
            stream.message(*wireform.put_record(wireform.Record(seq, last.time_ns + seq, 1, b"of another life")))
        self.check(1, "records 0 to 59: the same", "records 60 to 99: different", "records 100 to 104: only in the stream",
                   "not as it should be: 60 the same, 40 different, 5 only in the stream")

    def test_time_and_type_count(self):
        stream = self.stream(count=10)
        records = [record for record, _ in stream.records()]
        for record in records:
            other = wireform.Record(record.seq, record.time_ns + (record.seq == 3), record.type + (record.seq == 5),
                                    record.payload)
            stream.message(*wireform.put_record(other))
        self.check(1, "records 0 to 2: the same", "record 3: different", "record 4: the same", "record 5: different",
                   "records 6 to 9: the same", "not as it should be: 8 the same, 2 different")

    def test_messages_that_are_damaged_or_of_others(self):
        stream = self.stream(count=60)
        stream.ship(upto=20)
        headers, body = wireform.put_frame([record for record, _ in stream.records()[:20]])
        damaged = bytearray(body)
        damaged[-1] ^= 1
        stream.message(headers, bytes(damaged))
        stream.message({"Subject": "lunch"}, b"at noon?")
        stream.message({"Chronq-Kind": "frame"}, b"")
        stream.next = 40
        stream.ship()
        self.check(1, "records 0 to 38: the same", "message 3 of the stream: lost, or not of chronq ship",
                   "message 4 of the stream: lost, or not of chronq ship", "record 39: damaged in the stream", "records 40 to 59: the same",
                   "not as it should be: 59 the same, 1 damaged in the stream; 2 messages of the stream cannot be read")

    def test_a_message_of_others_alone(self):
        stream = self.stream(count=10)
        stream.ship()
        stream.message({}, b"hello")
        self.check(1, "message 2 of the stream: lost, or not of chronq ship", "records 0 to 9: the same",
                   "not as it should be: 10 the same; 1 messages of the stream cannot be read")

    def test_messages_that_the_servers_have_lost(self):
        stream = self.stream(count=100, deny_delete=False)
        stream.ship(size=10)
        for sequence in (4, 5, 10):
            stream.nats.api("STREAM.MSG.DELETE.S", {"seq": sequence})
        self.check(1, "messages 4 to 5 of the stream: lost, or not of chronq ship",
                   "records 0 to 29: the same", "records 30 to 49: only in the queue",
                   "message 10 of the stream: lost, or not of chronq ship", "records 50 to 89: the same",
                   "records 90 to 99: only in the queue",
                   "not as it should be: 70 the same, 30 only in the queue; 3 messages of the stream cannot be read")

    def test_records_that_come_again(self):
        stream = self.stream(count=40)
        stream.ship(upto=30)
        stream.ship(first=10, upto=40, size=30)
        self.check(1, "records 0 to 29: the same", "records 10 to 29: again in the stream", "records 30 to 39: the same",
                   "not as it should be: 40 the same, 20 again in the stream")

    def test_what_a_stream_has_deleted_is_no_fault(self):
        stream = self.stream()
        stream.ship(size=10)
        config = stream.nats.api("STREAM.INFO.S")["config"]
        stream.nats.api("STREAM.UPDATE.S", config | {"discard": "old", "max_msgs": 23})
        wait_for(lambda: stream.nats.api("STREAM.INFO.S")["state"]["first_seq"] == 8)
        self.check(0, "records 0 to 69: only in the queue: the stream begins behind them",
                   "records 70 to 299: the same", "sound: 230 the same, 70 only in the queue")

    def test_a_record_whose_first_parts_are_deleted(self):
        stream = self.stream(count=1)
        stream.ship()
        self.append([bytes(50_000), b"last"])
        stream.parts(10_000)
        stream.ship()
        config = stream.nats.api("STREAM.INFO.S")["config"]
        stream.nats.api("STREAM.UPDATE.S", config | {"discard": "old", "max_msgs": 4})
        wait_for(lambda: stream.nats.api("STREAM.INFO.S")["state"]["first_seq"] == 4)
        self.check(0, "records 0 to 1: only in the queue: the stream begins behind them",
                   "record 2: the same", "sound: 1 the same, 2 only in the queue")

    def test_what_a_queue_has_deleted_is_no_fault(self):
        stream = self.stream(count=2000)
        stream.ship(size=100)
        subprocess.run([os.environ["CHRONQ"], "trim", "--before", "1000", self.q], check=True, stdout=subprocess.DEVNULL)
        first = equal.exported(self.q)[0][0].seq
        self.assertGreater(first, 0)
        self.check(0, f"records 0 to {first - 1}: only in the stream: the queue begins behind them",
                   f"records {first} to 1999: the same", f"sound: {2000 - first} the same, {first} only in the stream")

    def test_damage_in_the_queue(self):
        stream = self.stream(count=2000)
        stream.ship(size=100)
        segment = self.q / "000000000.q"
        at = segment.read_bytes().index(b"record 41 ")
        with open(segment, "r+b") as file:
            file.seek(at)
            file.write(b"R")
        self.check(1, "records 0 to 40: the same", "record 41: damaged in the queue", "records 42 to 1999: the same",
                   "not as it should be: 1999 the same, 1 damaged in the queue")

    def test_damage_where_the_writer_is(self):
        """Nobody gets past it: the next writer may end the queue before it."""
        stream = self.stream(count=100)
        stream.ship()
        segment = self.q / "000000000.q"
        at = segment.read_bytes().index(b"record 41 ")
        with open(segment, "r+b") as file:
            file.seek(at)
            file.write(b"R")
        self.check(1, "records 0 to 40: the same", "records 41 to 99: damaged in the queue",
                   "not as it should be: 41 the same, 59 damaged in the queue")

    def test_a_gap_that_was_accepted(self):
        stream = self.stream(count=100)
        stream.ship(upto=40)
        stream.message(*wireform.put_gap(40, 60))
        stream.ship(first=60)
        self.check(1, "records 0 to 39: the same", "records 40 to 59: only in the queue", "records 60 to 99: the same",
                   "not as it should be: 80 the same, 20 only in the queue")

    def test_records_that_are_not_durable(self):
        stream = self.stream(count=10)
        stream.ship()
        with chronq.Writer(self.q) as writer:
            writer.append(b"not synced")
            self.check(0, "records 0 to 9: the same", "sound: 10 the same")
            self.check(1, "records 0 to 9: the same", "record 10: only in the queue",
                       "not as it should be: 10 the same, 1 only in the queue", options=["--visible"])
            stream.ship()
            self.check(0, "records 0 to 10: the same", "sound: 11 the same")

    def test_streams_that_are_not_there_or_of_others(self):
        stream = self.stream(count=5)
        stream.nats.api("STREAM.CREATE.PLAIN", {"name": "PLAIN", "subjects": ["plain"], "storage": "file"})
        Published(stream.nats, self.q, "T", identity="ab" * 16)
        self.check(NO_STREAM, "chronq: NONE: there is no such stream", url=self.url.replace("/S", "/NONE"))
        self.check(FOREIGN, "chronq: PLAIN: the stream was not made by chronq ship", url=self.url.replace("/S", "/PLAIN"))
        self.check(FOREIGN, f"chronq: T: the stream is of another queue than {self.q}", url=self.url.replace("/S", "/T"))
        self.check(FAILED, f"chronq: {self.dir}/none: No such file or directory", queue=self.dir / "none")

    def test_wrong_usage(self):
        for option in ("--once", "--create", "--per-record", "--accept-gap", "--keep-acked=1s", "--status=x"):
            program = self.start(SHIP, "--check", option, self.q, "nats://127.0.0.1:1/S")
            self.gives(USAGE, program, "--check changes nothing")

    def test_servers_that_do_not_answer(self):
        self.append(self.some(10))
        program = self.start(SHIP, "--check", self.q, "nats://127.0.0.1:1/S")
        wait_for(lambda: "S: waiting: No server available" in program.said(), "it says what it waits for")
        program.kill()

    def test_what_ship_sends_is_the_same(self):
        self.running = self.servers()
        self.url = self.running.url("S")
        self.append([*self.some(3000), bytes(1_500_000), b"last"], segment_size=1 << 21)
        self.ship_once(self.url, "--create")
        self.check(0, "records 0 to 3001: the same", "sound: 3002 the same")
        self.ship_once(self.url.replace("/S", "/R"), "--create", "--per-record")
        self.check(0, "records 0 to 3001: the same", "sound: 3002 the same", url=self.url.replace("/S", "/R"))

    def test_a_gap_that_ship_has_sent(self):
        """And a replica, which has it as a gap, too."""
        self.running = self.servers()
        self.url = self.running.url("S")
        self.append(self.some(2000))
        segment = self.q / "000000000.q"
        at = segment.read_bytes().index(b"record 41 ")
        with open(segment, "r+b") as file:
            file.seek(at)
            file.write(b"R")
        self.ship_once(self.url, "--create", "--accept-gap")
        lines = ("records 0 to 40: the same", "record 41: missing, which was accepted", "records 42 to 1999: the same",
                 "sound: 1999 the same, 1 missing, which was accepted")
        self.check(0, *lines)
        self.fetch_once(self.url)
        self.check(0, *lines, queue=self.replica)
        self.append([b"more"])
        self.ship_once(self.url)
        self.check(1, *lines[:3], "record 2000: only in the stream",
                   "not as it should be: 1999 the same, 1 only in the stream, 1 missing, which was accepted",
                   queue=self.replica)

    def test_a_replica_that_is_shipped_on(self):
        """It has a stream of its own.  Gaps that it has are in both; one at its end ends no run of ship too late."""
        self.running = self.servers()
        self.url = self.running.url("S")
        with chronq.Writer(self.q, replica_of=bytes(range(1, 17)), segment_size=1 << 16) as writer:
            writer.append_many([b"one"] * 20)
            writer.skip(50)
            writer.append_many([b"two"] * 10)
            writer.skip(100)
        self.ship_once(self.url, "--create", "--accept-gap")
        lines = ("records 0 to 19: the same", "records 20 to 49: missing, which was accepted",
                 "records 50 to 59: the same", "sound: 30 the same, 30 missing, which was accepted")
        self.check(0, *lines)
        self.fetch_once(self.url)
        self.check(0, *lines, queue=self.replica)

    def test_beside_a_shipper(self):
        self.running = self.servers()
        self.url = self.running.url("S")
        self.append(self.some(100))
        self.ship_once(self.url, "--create")
        self.ship(self.url)
        with chronq.Writer(self.q, sync=chronq.Sync.ALWAYS) as writer:
            for number in range(20):
                writer.append_many([b"more"] * 50)
                wait_for(lambda: self.last_record() >= 149 + 100 * number)
                program = self.start(SHIP, "--check", self.q, self.url)
                writer.append_many([b"meanwhile"] * 50)
                program.ended()
                same, *rest = program.said().splitlines()
                self.assertRegex(same, "records 0 to [0-9]+: the same")
                self.assertNotRegex(" ".join(rest), "different|only in the stream|again|damaged|neither|message")

    def last_record(self):
        with self.running.connect() as nats:
            last = jetstream.info(nats, "S")["state"]["last_seq"]
            return int(jetstream.message(nats, "S", last).headers["Chronq-Next"]) - 1

    def test_a_leader_that_dies_meanwhile(self):
        stream = self.stream(count=20_000, replicas=3)
        stream.ship(size=5)
        servers = self.running
        servers.settled("S")
        program = self.start(SHIP, "--check", self.q, self.url)
        servers.leader("S").kill()
        self.gives(0, program, "records 0 to 19999: the same")
