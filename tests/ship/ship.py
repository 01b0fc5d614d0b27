# SPDX-License-Identifier: Apache-2.0
"""chronq ship with one server: what a stream gets of a queue, what is on its way and what is committed."""

import chronq
import credentials
import equal
import jetstream
import wireform
from proxy import Proxy
from support import DIFFERS, FAILED, SHIP, USAGE, Case, last_sequence, wait_for

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
            waits = f"{self.q}: records 0 to 9 wait until they are durable"
            self.gives(0, self.start(SHIP, "--once", *FRAMES, self.q, self.url), waits)
            self.assertEqual(last_sequence(self.nats, "S"), 0)
            program = self.ship(self.url)
            wait_for(lambda: waits in program.said(), "it says why it ships nothing")
            self.assertEqual(program.stop(), 0)
            self.assertEqual(program.said().count("wait until"), 1)
            self.assertNotIn("wait until", self.ship_once(self.url, "--visible"))
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
        wait_for(lambda: self.metrics()["connected"] == 0 and "last_error" in self.text)
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
        wait_for(lambda: self.metrics()["lag_seconds"] > 1)
        self.written_again()
        self.assertEqual(self.committed(), 10)
        self.assertEqual(self.metrics()["lag_records"], 20)
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

    def test_a_frame_that_is_not_full_is_alone_on_its_way(self):
        self.server()
        self.append(self.some(10))
        proxy = Proxy(self.all_servers.all[0].port)
        self.addCleanup(proxy.close)
        program = self.ship(f"nats://127.0.0.1:{proxy.port}/S", *FRAMES, "--keep-acked", "0")
        # not only stored: ship has the answer, which comes no more after hold()
        wait_for(lambda: jetstream.exists(self.nats, "S") and self.committed() == 10)
        proxy.hold()
        with chronq.Writer(self.q) as writer:
            for number in range(3):
                writer.append(b"%d" % number)
                writer.sync()
                wait_for(lambda: proxy.sent().count(b"HPUB chronq.S ") > 0)
        # until ship gives up and asks what the stream has
        wait_for(lambda: b"STREAM.INFO" in proxy.sent())
        self.assertEqual(proxy.sent().count(b"HPUB chronq.S "), 1)
        program.kill()
        self.ship_once(self.url)
        self.assertEqual(self.equal()[0], 13)

    def test_values_that_options_do_not_have(self):
        for option, *values in (("--frame", "x", "1", "65M"), ("--replicas", "x", "3x", "0", "6"), ("--keep-acked", "x"),
                                ("--max-bytes", "x", "0", "9000000000G"), ("--max-age", "x", "0", "1x", "1hh")):
            for value in values:
                self.gives(USAGE, self.start(SHIP, "--create", option, value, self.q, "nats://127.0.0.1:1/S"),
                           f"{option}: not a value of this option: {value}\n", "Usage: chronq ship ")

    def test_what_does_not_go_with_check_or_without_create(self):
        for options in (["--create"], ["--frame", "4K"], ["--per-record"], ["--keep-acked", "0"], ["--once"],
                        ["--accept-gap"], ["--status", "x"]):
            self.gives(USAGE, self.start(SHIP, "--check", *options, self.q, "nats://127.0.0.1:1/S"),
                       "--check changes nothing")
        for options in (["--replicas", "3"], ["--max-bytes", "1G"], ["--max-age", "1h"]):
            self.gives(USAGE, self.start(SHIP, *options, self.q, "nats://127.0.0.1:1/S"), "are for --create")
        # all is well with these, but for the queue
        for options in (["--create", "--replicas", "3", "--max-bytes", "1G", "--max-age", "1h", "--keep-acked", "5m"],
                        ["--once", "--visible", "--keep-acked", "0"], ["--check", "--visible"]):
            self.gives(FAILED, self.start(SHIP, *options, self.dir / "none", "nats://127.0.0.1:1/S"))
        self.gives(USAGE, self.start(SHIP, self.q), "a queue's directory and a URL are expected")

    def test_options_that_do_not_go_together(self):
        self.append([b"x"])
        for options in (["--frame", "4K", "--per-record"], ["--frame", "1"], ["--replicas", "3"], ["--keep-acked", "x"],
                        ["--create", "--replicas", "6"], ["--cert", "x"], ["--unknown"]):
            self.gives(USAGE, self.start(SHIP, *options, self.q, "nats://127.0.0.1:1/S"))
        self.gives(USAGE, self.start(SHIP, "--create", "--replicas", "6", self.q, "nats://127.0.0.1:1/S"),
                   "--replicas: not a value of this option: 6")
        self.gives(USAGE, self.start(SHIP, self.q))
        self.gives(USAGE, self.start(SHIP, self.q, "http://127.0.0.1/S"))
        self.gives(FAILED, self.start(SHIP, self.dir / "none", "nats://127.0.0.1:1/S"))
        self.gives(0, self.start(SHIP, "--help"), "Usage: chronq ship")
        self.gives(0, self.start(SHIP, "--version"), "chronq-ship ")
