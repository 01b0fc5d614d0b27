# SPDX-License-Identifier: Apache-2.0
"""chronq ship with one server: what a stream gets of a queue, where shipping continues, what it refuses and waits for."""

import subprocess

import chronq
import credentials
import equal
import jetstream
import wireform
from support import (DAMAGED, DIFFERS, FAILED, FOREIGN, MISSING, NO_STREAM, SHIP, USAGE, Case, last_sequence, wait_for)

FRAMES = ["--create"]
RECORDS = ["--create", "--per-record"]


class Ship(Case):
    def server(self, **options):
        self.all_servers = self.servers(**options)
        self.url = self.all_servers.url("S")
        self.nats = self.connect(self.all_servers)

    def equal(self):
        return equal.all_equal(self.q, self.nats, "S")

    def committed(self):
        with chronq.Queue(self.q) as queue:
            return queue.reader("ship").seq

    def test_a_message_for_each_record(self):
        self.server()
        self.append(self.some(300))
        self.ship_once(self.url, *RECORDS)
        self.assertEqual(self.equal(), (300, {"record": 300}))
        message = jetstream.message(self.nats, "S", 8)
        self.assertEqual(message.body, equal.records(self.q)[7].payload)
        self.append(self.some(20))
        self.ship_once(self.url)
        self.assertEqual(self.equal(), (320, {"record": 320}))

    def test_each_publish_expects_the_message_before_it(self):
        self.server()
        self.append(self.some(30))
        self.ship_once(self.url, *RECORDS)
        for message in jetstream.messages(self.nats, "S"):
            self.assertEqual(message.headers["Nats-Expected-Last-Sequence"], str(message.sequence - 1))

    def test_frames(self):
        self.server()
        self.append(self.some(3000))
        self.ship_once(self.url, *FRAMES, "--frame", "4K")
        count, kinds = self.equal()
        self.assertEqual((count, set(kinds)), (3000, {"frame"}))
        self.assertLess(kinds["frame"], 100)
        for message in jetstream.messages(self.nats, "S"):
            self.assertLessEqual(len(message.body), 4096)

    def test_it_follows_and_ends_when_asked(self):
        self.server()
        self.append(self.some(10))
        program = self.ship(self.url, *FRAMES)
        wait_for(lambda: jetstream.exists(self.nats, "S") and last_sequence(self.nats, "S"))
        for _ in range(3):
            before = last_sequence(self.nats, "S")
            self.append(self.some(10))
            wait_for(lambda: last_sequence(self.nats, "S") > before)
        self.assertEqual(program.stop(), 0)
        self.assertEqual(self.equal()[0], 40)

    def test_records_wait_until_they_are_durable(self):
        self.server()
        with chronq.Writer(self.q) as writer:
            for payload in self.some(10):
                writer.append(payload)
            self.ship_once(self.url, *FRAMES)
            self.assertEqual(last_sequence(self.nats, "S"), 0)
            self.ship_once(self.url, "--visible")
            self.assertEqual(self.equal()[0], 10)
            self.ship_once(self.url)  # these are not durable, but the stream has them
            writer.append(b"one more")
            program = self.ship(self.url, "--once")
            self.gives(0, program)
            writer.sync()
        self.ship_once(self.url)
        self.assertEqual(self.equal()[0], 11)

    def test_a_large_record_comes_in_parts(self):
        self.server()
        large = bytes(range(256)) * 10_000
        self.append([b"a", large, b"b", large[:1_048_576], large[:1_047_552], b"", large + b"c"], segment_size=1 << 23)
        for options in FRAMES, RECORDS:
            self.ship_once(self.url, *options)
            count, kinds = self.equal()
            self.assertEqual((count, kinds["part"]), (7, 3 + 2 + 3 + (1 if options is FRAMES else 0)))
            jetstream.delete(self.nats, "S")

    def test_parts_continue_in_the_middle_of_a_record(self):
        self.server(more="max_payload: 4096")
        self.append([b"a", bytes(range(256)) * 200, b"b"])
        self.ship_once(self.url, *FRAMES)
        messages = list(jetstream.messages(self.nats, "S"))
        jetstream.delete(self.nats, "S")
        jetstream.make(self.nats, "S", description=self.described(messages))
        for message in messages[:5]:
            self.nats.store("chronq.S", message.body, message.headers)
        self.ship_once(self.url)
        self.assertEqual([m.body for m in jetstream.messages(self.nats, "S")], [m.body for m in messages])

    def test_a_part_that_does_not_fit_into_its_record(self):
        """Somebody who may write to the stream must not get more of ship's memory than the record."""
        self.server()
        self.append([bytes(50_000), b"secret " * 30_000], segment_size=1 << 20)
        for at, length in ((50_000, 1_000_000), (49_000, 1_000_000), (10, 49_999)):
            record = equal.records(self.q)[0]
            jetstream.make(self.nats, "S", description=self.described(None))
            headers, _ = next(wireform.put_parts(record, 10))
            self.nats.store("chronq.S", b"0123456789", headers | {"Chronq-Part": f"{at}/{length}"})
            self.ship_once(self.url, code=DIFFERS)
            self.assertEqual(last_sequence(self.nats, "S"), 1)
            jetstream.delete(self.nats, "S")

    def described(self, _):
        with chronq.Queue(self.q) as queue:
            identity = queue.info().identity.hex()
        return f"chronq/1 identity={identity} format=frames first=0 segment=65536"

    def test_a_stream_that_is_not_for_this_queue(self):
        self.server()
        self.append(self.some(5))
        self.ship_once(self.url, code=NO_STREAM)
        jetstream.make(self.nats, "S")
        self.ship_once(self.url, code=FOREIGN)
        jetstream.delete(self.nats, "S")
        self.ship_once(self.url, *FRAMES)
        self.ship_once(self.url, "--per-record", code=FOREIGN)
        self.append(self.some(5), queue=self.replica)
        self.ship_once(self.url, queue=self.replica, code=FOREIGN)
        self.nats.store("chronq.S", b"of somebody else")
        self.ship_once(self.url, code=FOREIGN)

    def test_another_history_of_the_queue(self):
        self.server()
        self.append(self.some(10))
        subprocess.run(["cp", "-a", self.q, self.replica], check=True)
        self.append(self.some(10, text="one"))
        self.ship_once(self.url, *FRAMES)
        self.ship_once(self.url, queue=self.replica, code=DIFFERS)
        self.append(self.some(10, text="two"), queue=self.replica)
        self.ship_once(self.url, queue=self.replica, code=DIFFERS)
        self.assertEqual(self.equal()[0], 20)

    def test_one_shipper_at_a_time(self):
        self.server()
        self.append(self.some(10))
        program = self.ship(self.url, *FRAMES)
        wait_for(lambda: jetstream.exists(self.nats, "S") and last_sequence(self.nats, "S"))
        said = self.ship_once(self.url, code=FAILED)
        self.assertIn(f"in use by process {program.process.pid}", said)

    def test_two_shippers_of_copies(self):
        self.server()
        self.append(self.some(5000, size=40))
        subprocess.run(["cp", "-a", self.q, self.replica], check=True)
        for options in FRAMES + ["--frame", "1K"], RECORDS:
            programs = [self.ship(self.url, "--once", *options, queue=queue) for queue in (self.q, self.replica)]
            for program in programs:
                self.gives(0, program)
            self.assertEqual(self.equal()[0], 5000)
            jetstream.delete(self.nats, "S")

    def test_what_is_acknowledged_is_committed_later(self):
        self.server()
        self.append(self.some(10))
        self.ship_once(self.url, *FRAMES, "--keep-acked", "1h")
        self.assertEqual(self.committed(), 0)
        self.ship_once(self.url)
        self.assertEqual(self.committed(), 10)
        self.append(self.some(10))
        program = self.ship(self.url, "--keep-acked", "1")
        wait_for(lambda: self.committed() == 20)
        self.assertEqual(program.stop(), 0)

    def test_it_waits_for_servers(self):
        self.server()
        self.append(self.some(10))
        self.all_servers.kill_all()
        program = self.ship(self.url, *FRAMES)
        wait_for(lambda: "waiting" in program.said())
        self.all_servers.start()
        self.nats = self.connect(self.all_servers)
        wait_for(lambda: jetstream.exists(self.nats, "S") and last_sequence(self.nats, "S"))
        self.all_servers.kill_all()
        self.append(self.some(10))
        self.all_servers.start()
        self.nats = self.connect(self.all_servers)
        wait_for(lambda: self.equal_now(20))
        self.assertEqual(program.stop(), 0)

    def equal_now(self, count):
        return len(equal.stream(self.nats, "S")[0]) == count and self.equal()

    def test_a_full_stream_takes_more_when_it_may(self):
        self.server()
        self.append(self.some(2000))
        program = self.ship(self.url, *RECORDS, "--max-bytes", "100K")
        wait_for(lambda: "the stream is full" in program.said())
        self.assertTrue(program.running())
        jetstream.update(self.nats, "S", max_bytes=-1)
        wait_for(lambda: last_sequence(self.nats, "S") == 2000)
        self.assertEqual(program.stop(), 0)
        self.assertEqual(self.equal()[0], 2000)

    def test_a_stream_that_is_deleted_is_not_made_again(self):
        self.server()
        self.append(self.some(10))
        program = self.ship(self.url, *FRAMES)
        wait_for(lambda: jetstream.exists(self.nats, "S") and last_sequence(self.nats, "S"))
        jetstream.delete(self.nats, "S")
        self.append(self.some(10))
        self.gives(NO_STREAM, program, "the stream was deleted")
        self.assertFalse(jetstream.exists(self.nats, "S"))

    def damage(self, seq):
        """Flips a bit of that record's payload; returns its segment."""
        with chronq.Reader(self.q) as reader:
            reader.seek_seq(seq)
            record = next(iter(reader))
        path = self.q / f"{record.segment:09}.q"
        data = bytearray(path.read_bytes())
        at = data.index(record.payload, record.offset)
        data[at] ^= 1
        path.write_bytes(data)
        return record.segment

    def test_a_damaged_record(self):
        self.server()
        self.append([b"record %d" % n * 50 for n in range(1000)])
        self.damage(123)
        self.gives(DAMAGED, self.ship(self.url, *FRAMES), "records 123 to 123 are damaged")
        self.assertEqual(len(equal.stream(self.nats, "S")[0]), 123)
        self.ship_once(self.url, "--accept-gap")
        found, gaps, _ = equal.stream(self.nats, "S")
        self.assertEqual(gaps, [wireform.Gap(123, 124)])
        self.assertEqual([record.seq for record in found], [*range(123), *range(124, 1000)])

    def test_a_missing_segment(self):
        self.server()
        self.append([b"record %d" % n * 50 for n in range(1000)])
        with chronq.Queue(self.q) as queue:
            second = queue.segments()[1].id
        (self.q / f"{second:09}.q").unlink()
        said = self.gives(DAMAGED, self.ship(self.url, *RECORDS), "are missing")
        first, last = (int(word) for word in said.split("records ")[1].split(" are")[0].split(" to "))
        self.ship_once(self.url, "--accept-gap")
        found, gaps, _ = equal.stream(self.nats, "S")
        self.assertEqual(gaps, [wireform.Gap(first, last + 1)])
        self.assertEqual(found, equal.records(self.q, lossy=True))

    def test_records_that_were_trimmed(self):
        self.server()
        self.append([b"record %d" % n * 50 for n in range(1000)])
        self.ship_once(self.url, *FRAMES)
        messages = list(jetstream.messages(self.nats, "S"))
        jetstream.delete(self.nats, "S")
        jetstream.make(self.nats, "S", description=self.described(messages))
        self.nats.store("chronq.S", messages[0].body, messages[0].headers)
        with chronq.Writer(self.q) as writer:
            writer.trim(900)
        first = equal.records(self.q)[0].seq
        shipped = int(messages[0].headers["Chronq-Next"])
        said = self.ship_once(self.url, code=MISSING)
        self.assertIn(f"records {shipped} to {first - 1}", said)
        self.assertEqual(last_sequence(self.nats, "S"), 1)
        self.ship_once(self.url, "--accept-gap")
        found, gaps, _ = equal.stream(self.nats, "S")
        self.assertEqual(gaps, [wireform.Gap(shipped, first)])
        self.assertEqual(found[-1], equal.records(self.q)[-1])

    def test_a_stream_that_falls_back_gets_its_records_again(self):
        self.server()
        self.append(self.some(1000))
        self.ship_once(self.url, *RECORDS)
        self.assertEqual(self.committed(), 1000)
        self.all_servers.kill_all()
        self.all_servers.copy_stores(self.dir / "older")
        self.all_servers.start()
        self.append(self.some(1000))
        program = self.ship(self.url, "--keep-acked", "0")
        wait_for(lambda: self.committed() == 2000)
        self.all_servers.kill_all()
        self.all_servers.put_back(self.dir / "older")
        self.all_servers.start()
        self.nats = self.connect(self.all_servers)
        wait_for(lambda: last_sequence(self.nats, "S") == 2000)
        self.assertEqual(self.equal()[0], 2000)
        self.assertEqual(program.stop(), 0)

    def metrics(self):
        lines = (self.dir / "ship.prom").read_text().splitlines()
        values = {line.split("{")[0].removeprefix("chronq_ship_"): float(line.rsplit(" ", 1)[1])
                  for line in lines if not line.startswith("#")}
        self.text = "\n".join(lines)
        return values

    def test_metrics(self):
        self.server()
        self.append([b"x" * 100] * 50)
        options = ["--status", self.dir / "ship.prom"]
        self.ship_once(self.url, *FRAMES, *options)
        values = self.metrics()
        self.assertEqual([values[name] for name in ("shipped_records_total", "acked_records_total", "lag_records",
                                                    "lag_bytes", "lag_seconds", "connected")], [50, 50, 0, 0, 0, 1])
        self.assertIn(f'queue="{self.q}",stream="S"', self.text)
        program = self.ship(self.url, *options)
        wait_for(lambda: self.metrics()["shipped_records_total"] == 0 and self.metrics()["connected"] == 1)
        self.all_servers.kill_all()
        self.append([b"y" * 10] * 20)
        wait_for(lambda: self.metrics()["lag_seconds"] > 1)
        values = self.metrics()
        self.assertEqual([values["lag_records"], values["connected"]], [20, 0])
        self.assertIn("last_error", self.text)
        self.all_servers.start()
        wait_for(lambda: self.metrics()["acked_records_total"] == 20)
        self.assertEqual(self.metrics()["lag_records"], 0)
        self.all_servers.kill_all()
        wait_for(lambda: self.metrics() and "last_error" in self.text)
        self.all_servers.start()
        wait_for(lambda: self.metrics() and "last_error" not in self.text)  # though there is nothing to ship
        self.assertEqual(program.stop(), 0)

    def frozen(self):
        """Ship with a server that has stopped, when 20 records are on their way to it; and its metrics."""
        self.server()
        self.append(self.some(10))
        program = self.ship(self.url, *FRAMES, "--keep-acked", "0", "--status", self.dir / "ship.prom")
        wait_for(lambda: jetstream.exists(self.nats, "S") and self.committed() == 10)
        wait_for((self.dir / "ship.prom").exists)
        self.all_servers.all[0].freeze()
        self.addCleanup(self.all_servers.all[0].freeze, False)
        self.append(self.some(20))
        wait_for(lambda: self.metrics()["shipped_records_total"] == 30)
        return program

    def written_again(self):
        """Ship has done what it does each second."""
        file = self.dir / "ship.prom"
        for _ in range(2):
            before = file.stat().st_ino, file.stat().st_mtime_ns
            wait_for(lambda: (file.stat().st_ino, file.stat().st_mtime_ns) != before)

    def test_nothing_is_committed_that_is_not_acknowledged(self):
        program = self.frozen()
        self.written_again()
        self.assertEqual(self.committed(), 10)
        self.all_servers.all[0].freeze(False)
        wait_for(lambda: self.committed() == 30)
        self.assertEqual(program.stop(), 0)
        self.assertEqual(self.equal()[0], 30)

    def test_tls_is_for_the_host_that_is_named(self):
        files = credentials.certificates(self.dir)
        self.server(tls=files, verify=True, client={"tls": files})
        self.append(self.some(5))
        port = self.all_servers.all[0].port
        own = ["--cert", files["cert"], "--key", files["key"]]
        self.ship_once(f"tls://localhost:{port}/S", *FRAMES, "--tls-ca", files["ca"], *own)
        for host, authority in ("127.1", "ca"), ("127.0.0.1", "stranger"):
            program = self.ship(f"tls://{host}:{port}/T", *FRAMES, "--tls-ca", files[authority], *own)
            wait_for(lambda: "waiting: SSL handshake error" in program.said())
            self.assertEqual(program.stop(), 0)
        self.assertFalse(jetstream.exists(self.nats, "T"))

    def test_options_that_do_not_go_together(self):
        self.append([b"x"])
        for options in (["--frame", "4K", "--per-record"], ["--frame", "1"], ["--replicas", "3"], ["--keep-acked", "x"],
                        ["--create", "--replicas", "6"], ["--cert", "x"], ["--unknown"]):
            self.gives(USAGE, self.start(SHIP, *options, self.q, "nats://127.0.0.1:1/S"))
        self.gives(USAGE, self.start(SHIP, self.q))
        self.gives(USAGE, self.start(SHIP, self.q, "http://127.0.0.1/S"))
        self.gives(FAILED, self.start(SHIP, self.dir / "none", "nats://127.0.0.1:1/S"))
        self.gives(0, self.start(SHIP, "--help"), "Usage: chronq ship")
        self.gives(0, self.start(SHIP, "--version"), "chronq-ship ")
