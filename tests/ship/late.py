# SPDX-License-Identifier: Apache-2.0
"""Publishes that come to the server late: from a connection that was lost, or from a ship that was killed meanwhile."""

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
