# SPDX-License-Identifier: Apache-2.0
"""Publishes that come to the server late: from a connection that was lost, or from a ship that was killed meanwhile."""

import chronq
from proxy import Proxy
from shipping import Shipping
from support import wait_for

FORMATS = (("--per-record",), ("--frame", "2K"))


class Late(Shipping):
    def one_server(self, *arguments, **options):
        super().one_server(*arguments, **options)
        self.proxy = Proxy(self.set.all[0].port)
        self.addCleanup(self.proxy.close)
        self.through = f"nats://127.0.0.1:{self.proxy.port}/S"

    def held(self, form, **environment):
        """Ship, which has published records that the server does not get yet."""
        self.one_server(100)
        program = self.ship(self.through, "--create", *form, **environment)
        self.shipped(100)
        self.proxy.hold()
        self.append(self.some(200))
        wait_for(lambda: self.proxy.kept() > 8000, "publishes are on their way")
        return program

    def test_a_lost_connection_whose_publishes_come_when_all_is_shipped_again(self):
        program = self.held(FORMATS[0])
        self.proxy.cut()
        self.shipped(300)
        self.proxy.release()
        self.append(self.some(20))
        self.shipped(320)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_a_lost_connection_whose_publishes_come_at_once(self):
        program = self.held(FORMATS[1])
        self.append(self.some(200))
        self.proxy.cut()
        self.proxy.release()
        self.append(self.some(20))
        self.shipped(520)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_publishes_that_never_come(self):
        """What was published and not acknowledged is still in the queue, whatever retention may delete."""
        self.one_server(0)
        self.append(self.some(100), segment_size=4096)
        program = self.ship(self.through, "--create", "--per-record", "--keep-acked", "0")
        self.shipped(100)
        self.proxy.hold()
        self.append(self.some(300), segment_size=4096)
        wait_for(lambda: self.proxy.kept() > 8000, "publishes are on their way")
        for _ in range(2):
            before = self.heartbeat()
            wait_for(lambda: self.heartbeat() != before, "ship has committed what it may")
        with chronq.Writer(self.q, segment_size=4096, retain_segments=1) as writer:
            writer.roll()
        with chronq.Queue(self.q) as queue:
            self.assertGreater(queue.info().first_seq, 0)
            self.assertLessEqual(queue.info().first_seq, 100)
        self.proxy.cut()
        self.shipped(400)
        self.assertEqual(program.stop(), 0)
        records, gaps, _ = self.stream()
        self.assertEqual([record.seq for record in records], list(range(400)))
        self.assertEqual(gaps, [])

    def heartbeat(self):
        with chronq.Queue(self.q) as queue:
            return next((reader.heartbeat_ns for reader in queue.readers() if reader.name == "ship"), None)

    def test_the_publishes_of_a_ship_that_was_killed(self):
        for form in self.parts(*FORMATS):
            program = self.held(form)
            program.kill()
            self.proxy.cut()
            self.append(self.some(100))
            program = self.ship(self.through)
            self.shipped(400)
            self.proxy.release()
            self.append(self.some(50))
            self.shipped(450)
            self.assertEqual(program.stop(), 0)
            self.at_rest()
