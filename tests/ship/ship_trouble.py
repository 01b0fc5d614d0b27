# SPDX-License-Identifier: Apache-2.0
"""chronq ship where something is wrong with the queue, with its reader's file, or with what others do meanwhile."""

import socket

import chronq
import equal
import wireform
from support import Case, wait_for


class Trouble(Case):
    def server(self, **options):
        self.all_servers = self.servers(**options)
        self.url = self.all_servers.url("S")
        self.nats = self.connect(self.all_servers)

    def reader(self):
        """None before its first commit."""
        with chronq.Queue(self.q) as queue:
            return next((reader for reader in queue.readers() if reader.name == "ship"), None)

    def commits(self, seq):
        wait_for(lambda: self.reader() and self.reader().seq == seq, f"the records before {seq} are committed")

    def test_damage_behind_which_nothing_can_be_found(self):
        """What is before it is committed, and signs of life go on; later records show how large the gap is."""
        self.server()
        self.append([b"record %d " % n * 9 for n in range(900)])
        with chronq.Writer(self.q) as writer:
            writer.roll()
            last = writer.stats().next_seq - 1
        text = b"record %d " % (last - 20)
        path = next(path for path in self.q.glob("*.q") if text in path.read_bytes())
        data = bytearray(path.read_bytes())
        at = data.index(text)
        data[at - 60:at] = bytes(byte ^ 0xff for byte in data[at - 60:at])  # a record's header, and more
        path.write_bytes(data)
        path.with_suffix(".idx").unlink()
        program = self.ship(self.url, "--create", "--accept-gap", "--keep-acked", "0")
        # the reader is before the damage, which hides the number of what is there
        wait_for(lambda: self.reader() and self.reader().seq is None, "what is before the damage is committed")
        self.assertEqual(self.reader().segment, int(path.stem))
        for _ in range(3):
            before = self.reader().heartbeat_ns
            wait_for(lambda: self.reader().heartbeat_ns != before, "a sign of life")
        self.append(self.some(10))
        self.commits(last + 11)
        self.assertEqual(program.stop(), 0)
        records, gaps, _ = equal.stream(self.nats, "S")
        self.assertEqual(gaps, [wireform.Gap(last - 20, last + 1)])
        self.assertEqual(len(records), last - 20 + 10)
        self.assertNotIn("cannot commit", program.said())
        # the same from the beginning, also where a seek does not find its place
        self.append(self.some(10))
        self.ship_once(self.url, "--accept-gap")
        self.assertEqual(len(equal.stream(self.nats, "S")[0]), len(records) + 10)

    def silent(self):
        """A port where nobody says anything, and a function that gives how many have connected."""
        door = socket.socket()
        self.addCleanup(door.close)
        door.bind(("127.0.0.1", 0))
        door.listen(16)
        door.setblocking(False)
        came = []

        def count():
            while True:
                try:
                    came.append(door.accept()[0])
                except BlockingIOError:
                    return len(came)
                self.addCleanup(came[-1].close)
        return door.getsockname()[1], count

    def test_servers_that_do_not_answer(self):
        """While they are tried, two seconds each, the reader gives signs of life; and a signal waits for none of them."""
        self.append(self.some(10))
        doors = [self.silent() for _ in range(6)]

        def tried():
            return sum(came() for _, came in doors)
        program = self.ship("nats://" + ",".join(f"127.0.0.1:{port}" for port, _ in doors) + "/S")
        wait_for(lambda: tried() >= 3, "three servers are tried")
        before = self.reader() and self.reader().heartbeat_ns
        wait_for(lambda: self.reader() and self.reader().heartbeat_ns != before, "a sign of life")
        self.assertLess(tried(), 6)
        self.assertEqual(program.stop(), 0)
        self.assertLess(tried(), 6)
