# SPDX-License-Identifier: Apache-2.0
"""The table of failures: servers of a cluster that are killed, without a quorum, or back at an older copy."""

from shipping import Shipping, metrics
from support import next_seq, wait_for

WARNING = "2.10.23"  # is named by what ship says of older servers
FIRST_GOOD = (2, 10, 23)  # nats-server: earlier ones lost streams when two of three were killed


class Clusters(Shipping):
    def setUp(self):
        super().setUp()
        self.one_server(150, count=3)

    def test_no_quorum_then_all_stores_at_an_older_copy(self):
        ship = self.ship(self.url, "--create", "--replicas", "3", "--frame", "2K", "--status", self.status)
        self.shipped(150)
        self.assertEqual(WARNING in ship.said(), self.set.version < FIRST_GOOD, ship.said())
        fetch = self.fetch(self.url)

        # the leader's death
        self.set.settled("S")
        self.set.leader("S").kill()
        self.append(self.some(50))
        self.shipped(200)
        self.set.start()
        self.set.settled("S")

        # two of three are dead: nothing is acknowledged, and the lag is in the metrics
        for server in self.set.all[:2]:
            server.kill()
        self.append(self.some(50))
        wait_for(lambda: metrics(self.status).get("chronq_ship_lag_records") == 50, "the lag is in the metrics")
        wait_for(lambda: "waiting" in ship.said(), "it says that it waits")
        self.assertTrue(ship.running() and fetch.running(), ship.said() + fetch.said())
        self.set.start()
        self.shipped(250)

        # all stores fall back
        def work():
            self.append(self.some(100))
            self.shipped(350)
            self.replica_has(350)
        self.roll_back(work)
        self.append(self.some(10))
        self.shipped(360)
        self.replica_has(360)
        self.assertEqual((ship.stop(), fetch.stop()), (0, 0))
        self.at_rest()

    def replica_has(self, count):
        wait_for(lambda: next_seq(self.replica) == count, f"the replica has the records before {count}")

    def test_old_servers_are_no_worse_with_one_copy(self):
        self.assertNotIn(WARNING, self.ship_once(self.set.url("ONE"), "--create", "--replicas", "1"))
