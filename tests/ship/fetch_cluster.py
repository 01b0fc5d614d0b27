# SPDX-License-Identifier: Apache-2.0
"""chronq fetch with a cluster of three: servers that die, hang, or have a damaged copy of the stream."""

import equal
import jetstream
from natsclient import NatsError
from published import Published
from support import DAMAGED, Case, next_seq, wait_for


class Cluster(Case):
    def begin(self, count=300):
        self.servers_ = self.servers(3)
        self.url = self.servers_.url("S")
        self.append(self.some(count))
        self.stream = Published(self.connect(self.servers_), self.q, replicas=3)

    def equal(self):
        self.assertEqual(equal.exported(self.replica), equal.exported(self.q))

    def has(self, count, program):
        wait_for(lambda: next_seq(self.replica) == count or not program.running(), f"{count} records: {program.said()}")
        self.assertTrue(program.running(), program.said())

    def ship(self, upto, server=None, **options):
        """With a new connection each time: the one before may be to a server that is down."""
        def shipped():
            try:
                with self.servers_.connect(server, timeout=5) as self.stream.nats:
                    last = jetstream.info(self.stream.nats, "S")["state"]["last_seq"]
                    if last:
                        headers = jetstream.message(self.stream.nats, "S", last).headers
                        self.stream.next = int(headers["Chronq-Next"])
                    return self.stream.ship(upto=upto, **options) == upto
            except (NatsError, OSError):
                return False
        wait_for(shipped, f"shipped up to {upto}")

    def consumer_at(self):
        """The server where fetch's consumer is; None while there is none, or a leader is elected."""
        try:
            with self.servers_.connect() as nats:
                found = nats.api("CONSUMER.LIST.S", {"offset": 0}, timeout=2)["consumers"]
        except (NatsError, OSError):
            return None
        names = [one["cluster"]["leader"] for one in found or [] if one.get("push_bound")]
        return next((server for server in self.servers_.alive() if names and server.name == names[-1]), None)

    def test_the_server_that_sends_hangs_or_dies(self):
        self.begin()
        self.ship(60)
        program = self.fetch(self.url)
        self.has(60, program)
        frozen = wait_for(self.consumer_at)
        frozen.freeze()
        self.addCleanup(lambda: frozen.process and frozen.freeze(False))
        other = next(server for server in self.servers_.all if server is not frozen)
        self.ship(140, server=other)
        self.has(140, program)
        frozen.freeze(False)
        self.servers_.settled("S")
        self.ship(220)
        self.has(220, program)
        # whether or not it is the one that sends now
        self.servers_.leader("S").kill()
        self.ship(300)
        self.has(300, program)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def flip(self, server, text):
        """One bit of a server's copy of the stream, in the payload that has this text; the server is down."""
        changed = 0
        for block in server.store.glob("jetstream/*/streams/S/msgs/*.blk"):
            data = bytearray(block.read_bytes())
            at = data.find(text)
            if at >= 0:
                data[at] ^= 1
                block.write_bytes(data)
                changed += 1
        self.assertEqual(changed, 1)

    def lead(self, server):
        """Makes this server the leader of the stream; False: another one was elected each time."""
        for _ in range(20):
            if self.servers_.leader("S") is server:
                return True
            with self.servers_.connect() as nats:
                jetstream.ask(nats, "STREAM.LEADER.STEPDOWN.S")
            self.servers_.settled("S")
        return False

    def test_damaged_copies(self):
        self.begin()
        self.ship(300)
        self.servers_.settled("S")
        damaged, *others = self.servers_.all
        damaged.stop()
        self.flip(damaged, b"record 155 ")
        self.servers_.start()
        self.servers_.settled("S")
        self.lead(damaged)
        wanted = equal.exported(self.q)
        for number in range(4):
            replica = self.dir / f"replica-{number}"
            self.fetch_once(self.url, queue=replica)
            self.assertEqual(equal.exported(replica), wanted)

        # no server has it any more
        for server in others:
            server.stop()
        for server in others:
            self.flip(server, b"record 155 ")
        self.servers_.start()
        self.servers_.settled("S")
        said = self.fetch_once(self.url, code=DAMAGED)
        self.assertIn("the stream has no more records 140 to 159, but others around them", said)
        self.assertEqual(equal.exported(self.replica), wanted[:140])
