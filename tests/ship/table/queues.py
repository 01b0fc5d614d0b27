# SPDX-License-Identifier: Apache-2.0
"""The table of failures: what is in the queue, or missing there; who ships it; what a power cut leaves of it."""

import os
import shutil

import chronq
import equal
from shipping import Shipping
from support import DAMAGED, DIFFERS, FAILED, wait_for

MARKED = b"a payload that is easy to find"


class Queues(Shipping):
    def several_segments(self):
        """Records in some ten segments; one of them, in the middle, has MARKED."""
        self.one_server(0)
        payloads = self.some(300)
        payloads[150] = MARKED
        self.append(payloads, segment_size=4096)

    def with_gap(self, what, first, behind):
        """Ship stops before these records; with --accept-gap it goes on behind them, and fetch gets a counted gap."""
        wanted = equal.records(self.q, lossy=True)
        self.assertEqual([record.seq for record in wanted], [*range(first), *range(behind, 300)])
        said = self.ship_once(self.url, "--create", code=DAMAGED)
        self.assertIn(str(first), said)
        self.assertIn(what, said)
        records, gaps, _ = self.stream()
        equal.same("the stream before the gap", wanted[:first], records)
        self.assertEqual(gaps, [])
        self.ship_once(self.url, "--accept-gap")
        records, gaps, _ = self.stream()
        equal.same("the stream", wanted, records)
        self.assertEqual([(gap.first, gap.next) for gap in gaps], [(first, behind)])
        self.fetch_once(self.url)
        equal.same("the replica", wanted, equal.records(self.replica, lossy=True))

    def test_a_gap_in_the_queue(self):
        self.several_segments()
        with chronq.Queue(self.q) as queue:
            gone = next(segment for segment in queue.segments() if segment.id == 5)
        os.unlink(self.segment_file(5))
        self.with_gap("missing", gone.first_seq, gone.first_seq + gone.records)

    def test_a_damaged_record_in_the_queue(self):
        self.several_segments()
        damaged = next(number for number in range(1, 20) if MARKED in self.segment_file(number).read_bytes())
        self.spoil(self.segment_file(damaged), MARKED)
        self.with_gap("damaged", 150, 151)

    def test_a_record_that_is_larger_than_a_message_may_be(self):
        for form in self.parts(("--per-record",), ("--frame", "16K")):
            self.one_server(0, more="max_payload: 65536")
            self.append([b"small", os.urandom(400_000), b"", os.urandom(65536), os.urandom(64500), b"small"],
                        segment_size=1 << 20)
            self.ship_once(self.url, "--create", *form)
            _, kinds = self.at_rest()
            self.assertGreaterEqual(kinds["part"], 8)

    def test_two_shippers_on_one_queue(self):
        self.one_server(100)
        first = self.ship(self.url, "--create")
        self.shipped(100)
        said = self.ship_once(self.url, code=FAILED)
        self.assertIn(str(first.process.pid), said)
        self.append(self.some(10))
        self.shipped(110)
        first.stop()
        self.at_rest()

    def test_two_shippers_on_copies_of_one_queue(self):
        self.one_server(3000)
        other = self.dir / "other"
        shutil.copytree(self.q, other)
        both = [self.ship(self.url, "--once", "--create", "--per-record", queue=queue) for queue in (self.q, other)]
        for program in both:
            self.gives(0, program)
        self.assertEqual(self.at_rest()[0], 3000)

    def power_cut(self, options):
        """Ships a queue with records that are not durable; then these are gone, as by a power cut.  How far it had
        shipped."""
        self.one_server(50)
        before = self.dir / "before"
        with chronq.Writer(self.q) as writer:
            shutil.copytree(self.q, before)
            for payload in self.some(20, text="lost"):
                writer.append(payload)
            program = self.ship(self.url, "--create", *options)
            wanted = 70 if "--visible" in options else 50
            self.shipped(wanted)
            if wanted == 50:  # nor does it ship the others later
                self.gives(0, self.end_of(program))
                self.ship_once(self.url)
                self.assertEqual(self.next_in_stream(), 50)
            program.kill()
        shutil.rmtree(self.q)
        before.rename(self.q)
        with chronq.Queue(self.q) as queue:
            self.assertEqual(queue.info().next_seq, 50)

    def end_of(self, program):
        program.stop()
        return program

    def test_a_power_cut_at_the_source(self):
        self.power_cut(())
        self.append(self.some(30, text="again"))
        self.ship_once(self.url)
        self.assertEqual(self.at_rest()[0], 80)

    def test_a_power_cut_at_a_source_that_ships_what_is_visible(self):
        self.power_cut(("--visible",))
        said = self.ship_once(self.url, "--visible", code=DIFFERS)
        self.assertIn("records 50 to 69", said)
        # numbers are given again, to other records
        self.append(self.some(30, text="again"))
        said = self.ship_once(self.url, "--visible", code=DIFFERS)
        self.assertIn("69", said)
        self.assertEqual(self.next_in_stream(), 70)

    def test_acknowledged_records_are_committed_at_once_or_later(self):
        self.one_server(100)
        program = self.ship(self.url, "--create")
        self.shipped(100)
        self.assertEqual(program.stop(), 0)
        self.assertEqual(self.committed(), 0)
        program = self.ship(self.url, "--keep-acked", "0")
        wait_for(lambda: self.committed() == 100, "all is committed")
        self.append(self.some(10))
        wait_for(lambda: self.committed() == 110, "all is committed")
        program.stop()

    def test_what_is_not_shipped_is_not_deleted(self):
        self.one_server(0)
        self.append(self.some(300), segment_size=4096)
        self.ship_once(self.url, "--create", "--keep-acked", "0", "--frame", "2K")
        self.set.kill_all()
        limit = 20 * 4096
        with chronq.Writer(self.q, max_bytes=limit, retain_segments=2) as writer:
            with self.assertRaises(chronq.Full):
                for payload in self.some(100_000):
                    writer.append(payload)
            writer.sync()
            program = self.ship(self.url, "--keep-acked", "0")
            self.set.start()
            last = writer.stats().next_seq

            def room():
                try:
                    return writer.append(b"again")
                except chronq.Full:
                    return None
            wait_for(room, "there is room again")
            writer.sync()
            self.shipped(last + 1)
            self.assertEqual(program.stop(), 0)
        with chronq.Queue(self.q) as queue:
            self.assertGreater(queue.info().first_seq, 0)
        records, gaps, _ = self.stream()
        self.assertEqual([record.seq for record in records], list(range(last + 1)))
        self.assertEqual(gaps, [])
