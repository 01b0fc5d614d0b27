# SPDX-License-Identifier: Apache-2.0
"""chronq fetch with one server: what a replica becomes of a stream, where it begins and continues, and what is refused."""

import subprocess

import chronq
import equal
import wireform
from published import Published
from support import DIFFERS, FAILED, FETCH, FOREIGN, MISSING, NO_STREAM, PROMOTED, USAGE, Case, next_seq, wait_for


class Fetch(Case):
    def stream(self, count=300, **options):
        """A server, a queue with records, and a stream for it."""
        servers = self.servers()
        self.url = servers.url("S")
        self.append(self.some(count))
        return Published(self.connect(servers), self.q, **options)

    def equal(self, first=0):
        wanted = [pair for pair in equal.exported(self.q) if pair[0].seq >= first]
        self.assertEqual(equal.exported(self.replica), wanted)

    def test_frames_become_the_same_records(self):
        stream = self.stream()
        stream.ship()
        self.fetch_once(self.url)
        self.equal()
        with chronq.Queue(self.replica) as replica, chronq.Queue(self.q) as source:
            self.assertEqual(replica.info().replica_of, source.info().identity)
            self.assertEqual(replica.info().segment_size, 1 << 16)

    def test_a_message_for_each_record(self):
        stream = self.stream(form="record")
        stream.ship(upto=120)
        self.fetch_once(self.url)
        stream.ship()
        self.fetch_once(self.url)
        self.equal()

    def test_parts_are_joined(self):
        stream = self.stream(count=3)
        stream.ship()
        self.append([bytes(range(256)) * 200, b"small"])
        stream.parts(10_000)
        stream.ship()
        self.fetch_once(self.url)
        self.equal()

    def test_it_follows_and_goes_on_after_a_kill(self):
        stream = self.stream()
        stream.ship(upto=100)
        program = self.fetch(self.url)
        wait_for(lambda: next_seq(self.replica) == 100)
        stream.ship(upto=150)
        wait_for(lambda: next_seq(self.replica) == 150)
        program.kill()
        stream.ship(upto=205, size=7)
        program = self.fetch(self.url)
        wait_for(lambda: next_seq(self.replica) == 205)
        stream.ship(size=9)
        wait_for(lambda: next_seq(self.replica) == 300)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_frame_that_the_replica_has_in_part(self):
        stream = self.stream(count=100)
        stream.ship(upto=50)
        self.fetch_once(self.url)
        stream.ship(first=30, upto=80, size=50)
        stream.ship(first=60, size=40)
        self.fetch_once(self.url)
        self.equal()

    def test_a_replica_begins_at_a_record(self):
        stream = self.stream()
        stream.ship()
        self.fetch_once(self.url, "--from", "131")
        self.equal(first=131)

    def test_a_replica_begins_at_the_oldest_that_is_left(self):
        stream = self.stream()
        stream.ship(size=10)
        self.stream_loses(stream, 7)
        self.fetch_once(self.url, "--from", "oldest")
        self.equal(first=70)

    def stream_loses(self, stream, count):
        """The first messages, as if they had expired."""
        stream.nats.api("STREAM.UPDATE.S", self.config(stream) | {"max_msgs": self.state(stream)["messages"] - count})
        wait_for(lambda: self.state(stream)["first_seq"] == count + 1)

    def config(self, stream):
        return stream.nats.api("STREAM.INFO.S")["config"] | {"discard": "old"}

    def state(self, stream):
        return stream.nats.api("STREAM.INFO.S")["state"]

    def test_records_that_are_gone_stop_it(self):
        stream = self.stream()
        stream.ship(upto=100, size=10)
        self.fetch_once(self.url)
        stream.ship(size=10)
        self.stream_loses(stream, 20)
        said = self.fetch_once(self.url, code=MISSING)
        self.assertIn("the stream has no more records 100 to 199", said)
        self.assertEqual(next_seq(self.replica), 100)

    def test_a_first_record_that_is_gone_stops_it(self):
        stream = self.stream()
        stream.ship(size=10)
        self.stream_loses(stream, 20)
        said = self.fetch_once(self.url, "--from", "150", code=MISSING)
        self.assertIn("the stream has no more records 150 to 199", said)
        self.assertFalse(self.replica.exists())

    def test_another_record_under_the_last_number_stops_it(self):
        stream = self.stream()
        stream.ship(upto=40)
        self.fetch_once(self.url)
        other = Published(stream.nats, self.q, "T", identity=chronq.Queue(self.q).info().identity.hex())
        last = self.records(40)[-1][0]
        other.ship(upto=39)
        wrong = wireform.Record(last.seq, last.time_ns, last.type, last.payload + b"!")
        other.message(*wireform.put_record(wrong))
        said = self.fetch_once(self.url.replace("/S", "/T"), code=DIFFERS)
        self.assertIn("record 39 of the replica is another one in stream T", said)

    def records(self, upto):
        return [pair for pair in equal.exported(self.q) if pair[0].seq < upto]

    def test_streams_that_are_not_there_or_of_others(self):
        stream = self.stream(count=5)
        stream.ship()
        self.fetch_once(self.url.replace("/S", "/NONE"), code=NO_STREAM)
        self.assertFalse(self.replica.exists())
        stream.nats.api("STREAM.CREATE.PLAIN", {"name": "PLAIN", "subjects": ["plain"], "storage": "file"})
        said = self.fetch_once(self.url.replace("/S", "/PLAIN"), code=FOREIGN)
        self.assertIn("was not made by chronq ship", said)
        self.assertFalse(self.replica.exists())

    def test_queues_that_are_no_replica_of_it(self):
        stream = self.stream(count=5)
        stream.ship()
        before = equal.exported(self.q)
        self.assertIn("is no replica, or was promoted", self.fetch_once(self.url, queue=self.q, code=PROMOTED))
        self.assertEqual(equal.exported(self.q), before)
        self.fetch_once(self.url)
        other = Published(stream.nats, self.q, "T", identity="ab" * 16)
        other.ship()
        self.fetch_once(self.url.replace("/S", "/T"), code=PROMOTED)
        subprocess.run([equal.CHRONQ, "promote", self.replica], check=True)
        self.fetch_once(self.url, code=PROMOTED)
        self.equal()

    def test_options(self):
        """Each value that is none is told, and the others get as far as the replica, which is a file here."""
        options = [
            ("--spares", ["1", "8"], ["0", "9", "x"]),
            ("--retain-segments", ["1", "18446744073709551615"], ["0", "-1", "1x", ""]),
            ("--retain-bytes", ["1M"], ["0", "1T"]),
            ("--retain-age", ["2h"], ["0", "2y"]),
            ("--reader-ttl", ["30"], ["s"]),
            ("--reader-max-lag", ["1G"], ["x"]),
            ("--max-bytes", ["64K"], ["0"]),
            ("--segment-size", ["128K"], ["x"]),
            ("--sync", ["none", "always", "interval=10"], ["interval=", "interval=0", "interval=4294967296", "never"]),
            ("--from", ["oldest", "7"], ["newest", "7x", "18446744073709551615"]),
        ]
        with open(self.replica, "w", encoding="ascii"):
            pass
        for option, good, bad in options:
            for value in bad:
                with self.subTest(option=option, value=value):
                    said = self.fetch_once("nats://127.0.0.1:1/S", option, value, code=USAGE)
                    self.assertIn(f"{option}: not a value of this option: {value}", said)
            for value in good:
                with self.subTest(option=option, value=value):
                    said = self.fetch_once("nats://127.0.0.1:1/S", option, value, code=FAILED)
                    self.assertIn("Not a directory", said)
        self.fetch_once("nats://127.0.0.1:1/S", "--accept-loss", "--trust-files", code=FAILED)
        self.fetch_once("nats://127.0.0.1:1/S", "--no-such-option", code=USAGE)
        self.gives(USAGE, self.start(FETCH, "nats://127.0.0.1:1/S"), "a URL and a queue's directory are expected")
        self.gives(0, self.start(FETCH, "--help"))
        self.gives(0, self.start(FETCH, "--version"))
        self.gives(USAGE, self.start(FETCH, "version"))

    def test_one_fetch_at_a_time(self):
        stream = self.stream(count=5)
        stream.ship()
        first = self.fetch(self.url)
        wait_for(lambda: next_seq(self.replica) == 5)
        said = self.fetch_once(self.url, code=FAILED)
        self.assertIn(f"the queue is locked by its writer, process {first.process.pid}", said)

    def test_an_empty_stream_is_waited_for(self):
        stream = self.stream(count=50)
        self.fetch_once(self.url)
        self.assertFalse(self.replica.exists())
        program = self.fetch(self.url)
        stream.ship()
        wait_for(lambda: next_seq(self.replica) == 50)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def gaps(self):
        """What a reader of the replica finds missing: before which record, and how many."""
        found, seq = [], 0
        for record, _ in equal.exported(self.replica, lossy=True):
            if record.seq != seq:
                found.append((record.seq, record.seq - seq))
            seq = record.seq + 1
        return found

    def lossy_equal(self, missing):
        wanted = [pair for pair in equal.exported(self.q) if pair[0].seq not in missing]
        self.assertEqual(equal.exported(self.replica, lossy=True), wanted)

    def test_a_gap_in_the_source_is_a_counted_gap(self):
        stream = self.stream()
        stream.ship(upto=100)
        stream.message(*wireform.put_gap(100, 150))
        stream.next = 150
        program = self.fetch(self.url, "--status", self.dir / "metrics.prom")
        wait_for(lambda: next_seq(self.replica) == 100)
        stream.ship(upto=200)
        wait_for(lambda: next_seq(self.replica) == 200)
        self.assertEqual(program.stop(), 0)
        self.assertIn('stream="S"} 50\n', (self.dir / "metrics.prom").read_text().split("gap_records_total{")[1])
        stream.ship()
        self.fetch_once(self.url)
        self.lossy_equal(range(100, 150))
        self.assertEqual(self.gaps(), [(150, 50)])
        with chronq.Reader(self.replica) as reader:
            with self.assertRaises(chronq.Gap):
                list(reader)
            self.assertEqual(next(iter(reader)).seq, 150)
            self.assertEqual((reader.stats().gaps, reader.stats().gap_records), (1, 50))

    def test_a_replica_begins_behind_a_gap(self):
        stream = self.stream()
        stream.ship(upto=100)
        stream.message(*wireform.put_gap(100, 150))
        stream.next = 150
        stream.ship()
        self.fetch_once(self.url, "--from", "120")
        self.equal(first=150)

    def test_records_that_are_gone_may_be_accepted(self):
        stream = self.stream()
        stream.ship(upto=100, size=10)
        self.fetch_once(self.url)
        stream.ship(size=10)
        self.stream_loses(stream, 20)
        said = self.fetch_once(self.url, "--accept-gap")
        self.assertIn("records 100 to 199 are missing: accepted as a gap", said)
        self.lossy_equal(range(100, 200))
        self.fetch_once(self.url)

    def test_a_first_record_that_is_gone_may_be_accepted(self):
        stream = self.stream()
        stream.ship(size=10)
        self.stream_loses(stream, 20)
        self.fetch_once(self.url, "--from", "150", "--accept-gap")
        self.equal(first=200)

    def test_a_first_record_that_is_gone_before_a_gap(self):
        stream = self.stream()
        stream.ship(upto=100)
        stream.message(*wireform.put_gap(100, 150))
        stream.next = 150
        stream.ship()
        self.stream_loses(stream, 5)
        said = self.fetch_once(self.url, "--from", "50", code=MISSING)
        self.assertIn("no more records 50 to 99", said)
        said = self.fetch_once(self.url, "--from", "50", "--accept-gap")
        self.assertIn("records 50 to 99 are missing: accepted as a gap", said)
        self.equal(first=150)

    def test_a_record_whose_first_part_is_gone(self):
        stream = self.stream(count=30)
        stream.ship(upto=20)
        self.fetch_once(self.url)
        self.append([b"x" * 5000])
        stream.ship(upto=30, size=10)
        stream.parts(1000)
        self.append([b"more"])
        stream.ship()
        self.stream_loses(stream, 4)
        self.fetch_once(self.url, code=MISSING)
        self.fetch_once(self.url, "--accept-gap")
        self.lossy_equal(range(20, 31))
        self.fetch_once(self.url, queue=self.dir / "oldest")
        self.assertEqual([record.seq for record in equal.records(self.dir / "oldest")], [31])

    def test_wrong_usage(self):
        for arguments in (("--from", "first"), ("--sync", "sometimes"), ("--cert", "x"), ("--retain-age", "1w")):
            self.fetch_once("nats://127.0.0.1:1/S", *arguments, code=USAGE)
        self.fetch_once("http://127.0.0.1:1/S", code=USAGE)
