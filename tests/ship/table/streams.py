# SPDX-License-Identifier: Apache-2.0
"""The table of failures: the stream is full, away, behind, gone, or not this queue's."""

import shutil

import chronq
import equal
import jetstream
from shipping import Shipping, metrics
from support import DIFFERS, FOREIGN, MISSING, NO_STREAM, PROMOTED, wait_for


class Streams(Shipping):
    def test_a_full_stream_is_waited_for_and_named_once(self):
        self.one_server(400)
        program = self.ship(self.url, "--create", "--frame", "4K", "--max-bytes", "16K", "--status", self.status)
        wait_for(lambda: "full" in program.said(), "it says that the stream is full")
        self.tries(2)
        self.assertLess(self.next_in_stream(), 400)
        self.assertGreater(metrics(self.status)["chronq_ship_lag_records"], 0)
        with self.set.connect() as nats:
            jetstream.update(nats, "S", max_bytes=-1)
        self.shipped(400)
        self.assertEqual(program.stop(), 0)
        self.assertEqual(program.said().count("full"), 1, program.said())
        self.at_rest()

    def test_a_server_without_streams_is_waited_for(self):
        self.one_server(50)
        server, = self.set.all
        config = server.config.read_text()
        server.kill()
        server.config.write_text("\n".join(line for line in config.splitlines() if not line.startswith("jetstream")))
        server.start()
        program = self.ship(self.url, "--create", "--status", self.status)
        wait_for(lambda: "waiting" in program.said(), "it says that it waits")
        wait_for(lambda: metrics(self.status).get("chronq_ship_lag_records") == 50, "the metrics say how far it is behind")
        server.kill()
        server.config.write_text(config)
        self.set.start()
        self.shipped(50)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_no_server_answers_and_then_one_does(self):
        self.one_server(50)
        self.set.kill_all()
        ship, fetch = self.ship(self.url, "--create"), self.fetch(self.url)
        wait_for(lambda: ship.said() and fetch.said(), "both say that they wait")
        self.assertTrue(ship.running() and fetch.running())
        self.set.start()
        self.shipped(50)
        ship.stop()
        fetch.stop()
        self.at_rest()

    def test_there_is_no_stream_and_none_is_made_without_create(self):
        self.one_server(50)
        self.ship_once(self.url, code=NO_STREAM)
        with self.set.connect() as nats:
            self.assertFalse(jetstream.exists(nats, "S"))
        self.fetch_once(self.url, code=NO_STREAM)

    def test_a_stream_that_is_deleted_while_it_runs(self):
        self.one_server(50)
        ship = self.ship(self.url, "--create")
        self.shipped(50)
        fetch = self.fetch(self.url)
        wait_for(lambda: (self.replica / "control.meta").exists(), "the replica")
        with self.set.connect() as nats:
            jetstream.delete(nats, "S")
        self.append(self.some(10))
        self.gives(NO_STREAM, ship, "deleted")
        self.gives(NO_STREAM, fetch)
        with self.set.connect() as nats:
            self.assertFalse(jetstream.exists(nats, "S"))

    def test_a_stream_that_was_deleted_before_it_starts(self):
        self.one_server(50)
        self.ship_once(self.url, "--create")
        with self.set.connect() as nats:
            jetstream.delete(nats, "S")
        self.ship_once(self.url, code=NO_STREAM)
        self.ship_once(self.url, "--create")
        self.at_rest()

    def test_a_stream_that_is_behind_gets_what_is_still_here_again(self):
        self.one_server(100)
        self.ship_once(self.url, "--create", "--frame", "2K")
        program = None

        def work():
            nonlocal program
            self.append(self.some(100))
            program = self.ship(self.url)
            self.shipped(200)
            self.fetch_once(self.url)
        self.roll_back(work)
        self.shipped(200)
        self.append(self.some(10))
        self.shipped(210)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_another_stream_has_its_subject(self):
        """What others store counts for nothing, and ship says why it does not go on."""
        self.one_server(50)
        with self.set.connect() as nats:
            first = self.ship(self.url, "--create", "--visible")
            self.shipped(50)
            self.assertEqual(first.stop(), 0)
            jetstream.update(nats, "S", subjects=["elsewhere"])
            jetstream.make(nats, "T", subjects=["chronq.S"])
            for number in range(jetstream.info(nats, "S")["state"]["last_seq"]):
                nats.store("chronq.S", b"%d" % number)
            self.append(self.some(10))
            program = self.ship(self.url, "--keep-acked", "0", "--status", self.status)
            wait_for(lambda: "stored in another stream" in program.said(), "it says where it came")
            self.assertLessEqual(self.committed(), 50)
            # now the other stream has one more
            wait_for(lambda: "wrong last sequence" in self.status.read_text(), "it says what keeps it")
            jetstream.delete(nats, "T")
            jetstream.update(nats, "S", subjects=["chronq.S"])
        self.shipped(60)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_servers_that_are_away_for_longer_than_keep_acked(self):
        """They may come back with an older state: what was acknowledged just before stays in the queue meanwhile."""
        self.one_server(50)
        program = self.ship(self.url, "--create", "--keep-acked", "3s", "--status", self.status)
        self.shipped(50)
        self.set.kill_all()
        wait_for(lambda: metrics(self.status).get("chronq_ship_connected") == 0, "it has lost the server")
        self.signs_of_life(1)
        before = self.committed()
        self.signs_of_life(6)  # one a second
        self.assertEqual(self.committed(), before)
        self.set.start()
        wait_for(lambda: self.committed() == 50, "they count as acknowledged for long enough")
        self.assertEqual(program.stop(), 0)

    def signs_of_life(self, count):
        def heartbeat():
            with chronq.Queue(self.q) as queue:
                return next(reader.heartbeat_ns for reader in queue.readers() if reader.name == "ship")
        for _ in range(count):
            before = heartbeat()
            wait_for(lambda: heartbeat() != before, "a sign of life of the reader")

    def test_a_stream_that_is_behind_what_was_trimmed(self):
        self.one_server(0)
        self.append(self.some(100), segment_size=4096)
        self.ship_once(self.url, "--create", "--frame", "2K", "--keep-acked", "0")

        def work():
            self.append(self.some(200), segment_size=4096)
            self.ship_once(self.url, "--keep-acked", "0")
            with chronq.Writer(self.q) as writer:
                writer.trim(250)
        self.roll_back(work)
        with chronq.Queue(self.q) as queue:
            first = queue.info().first_seq
        self.assertGreater(first, 100)
        said = self.gives(MISSING, self.ship(self.url, "--once"))
        self.assertIn(f"records 100 to {first - 1}", said)
        self.assertEqual(self.next_in_stream(), 100)
        self.ship_once(self.url, "--accept-gap")
        records, gaps, _ = self.stream()
        self.assertEqual([(gap.first, gap.next) for gap in gaps], [(100, first)])
        self.assertEqual([record.seq for record in records], [*range(100), *range(first, 300)])
        # fetch keeps it as a counted gap, and what comes behind it
        self.fetch_once(self.url)
        equal.same("the replica", records, equal.records(self.replica, lossy=True))
        with chronq.Queue(self.replica) as replica:
            self.assertEqual(replica.info().next_seq, 300)

    def test_the_last_record_differs(self):
        self.one_server(50)
        other = self.dir / "other"
        shutil.copytree(self.q, other)
        self.append(self.some(10, text="one"))
        self.append(self.some(20, text="another"), queue=other)
        self.ship_once(self.url, "--create")
        said = self.ship_once(self.url, code=DIFFERS, queue=other)
        self.assertIn("59", said)
        self.assertEqual(self.next_in_stream(), 60)

    def test_the_queue_has_lost_what_the_stream_has(self):
        self.one_server(50)
        other = self.dir / "other"
        shutil.copytree(self.q, other)
        self.append(self.some(10))
        self.ship_once(self.url, "--create")
        said = self.ship_once(self.url, code=DIFFERS, queue=other)
        self.assertIn("records 50 to 59", said)

    def test_a_stream_of_another_queue(self):
        self.one_server(50)
        self.ship_once(self.url, "--create")
        other = self.dir / "other"
        self.append(self.some(60), queue=other)
        for options in ((), ("--create",), ("--accept-gap",)):
            self.ship_once(self.url, *options, code=FOREIGN, queue=other)
        self.assertEqual(self.next_in_stream(), 50)

    def test_a_stream_that_others_made(self):
        self.one_server(50)
        with self.set.connect() as nats:
            jetstream.make(nats, "S", description="orders")
            nats.store("chronq.S", b"an order")
        self.ship_once(self.url, "--create", code=FOREIGN)
        self.fetch_once(self.url, code=FOREIGN)
        with self.set.connect() as nats:
            self.assertEqual(jetstream.info(nats, "S")["state"]["last_seq"], 1)

    def test_a_queue_that_was_made_again(self):
        self.one_server(50)
        self.ship_once(self.url, "--create")
        self.fetch_once(self.url)
        shutil.rmtree(self.q)
        self.append(self.some(80))
        self.ship_once(self.url, "--create", code=FOREIGN)
        with self.set.connect() as nats:
            jetstream.delete(nats, "S")
        self.ship_once(self.url, "--create")
        self.gives(PROMOTED, self.fetch(self.url, "--once"))
