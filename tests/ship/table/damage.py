# SPDX-License-Identifier: Apache-2.0
"""The table of failures: a flipped bit in a server's file.  No altered record comes to a replica."""

import equal
from shipping import Shipping
from support import DAMAGED, DIFFERS, MISSING

MARKED = b"a payload that is easy to find"


class Damage(Shipping):
    def flip(self, server):
        """A bit of a record, in the file of a server that is down."""
        server.kill()
        path, = (path for path in server.store.glob("jetstream/*/streams/S/msgs/*.blk") if MARKED in path.read_bytes())
        self.spoil(path, MARKED)

    def test_in_one_of_three(self):
        self.one_server(150, count=3)
        self.append([MARKED, *self.some(50)])
        self.ship_once(self.url, "--create", "--replicas", "3", "--per-record")
        self.set.settled("S")
        self.flip(self.set.leader("S"))
        self.set.start()
        self.set.settled("S")
        self.append(self.some(50))
        self.ship_once(self.url)
        self.at_rest()

    def test_in_the_only_one(self):
        self.one_server(150)
        self.append([MARKED, *self.some(50)])
        self.ship_once(self.url, "--create", "--frame", "2K")
        server, = self.set.all
        self.flip(server)
        self.set.start()
        # the server may have cut off the records from there on: then they are shipped again; or it has lost the
        # last one alone
        ship = self.ship(self.url, "--once")
        self.assertIn(ship.ended(), (0, DIFFERS), ship.said())
        fetch = self.fetch(self.url, "--once")
        self.assertIn(fetch.ended(), (0, DAMAGED, MISSING), fetch.said())
        wanted, got = equal.records(self.q), equal.records(self.replica)
        equal.same("the replica", wanted[:len(got)], got)
        self.assertGreaterEqual(len(got), 100)
        print(f"# ship gives {ship.process.returncode}, fetch {fetch.process.returncode}, {len(got)} records", flush=True)
