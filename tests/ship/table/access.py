# SPDX-License-Identifier: Apache-2.0
"""The table of failures: TLS, credentials, passwords, users that may not."""

import signal

import credentials
import equal
import jetstream
from shipping import Shipping
from support import wait_for

USERS = '''authorization {{ users: [
  {{ user: admin, password: admin }}
  {{ user: alice, password: secret, permissions: {{ publish: {{ deny: [{denied}] }} }} }}
] }}'''
ADMIN = {"user": "admin", "password": "admin"}


class Access(Shipping):
    def test_tls_with_a_certificate_for_each_side_and_credentials(self):
        files = credentials.certificates(self.dir)
        operator = credentials.Operator(self.dir)
        creds = operator.user("all")
        self.set = self.servers(tls=files, verify=True, access=operator.settings(),
                                client={"tls": files, "creds": creds})
        self.append(self.some(100))
        options = ("--creds", creds, "--tls-ca", files["ca"], "--cert", files["cert"], "--key", files["key"])
        url = self.set.url("S", scheme="tls")
        self.ship_once(url, "--create", *options)
        self.fetch_once(url, *options)
        self.url = url
        with self.set.connect() as nats:
            self.compare(nats)

    def compare(self, nats):
        self.assertEqual(equal.all_equal(self.q, nats, "S", self.replica)[0], 100)

    def test_a_server_whose_certificate_is_a_strangers(self):
        files = credentials.certificates(self.dir)
        self.set = self.servers(tls=files, client={"tls": files})
        self.append(self.some(100))
        program = self.ship(self.set.url("S", scheme="tls"), "--create", "--tls-ca", files["stranger"])
        wait_for(lambda: program.said() or not program.running(), "it says something")
        with self.set.connect() as nats:
            self.assertFalse(jetstream.exists(nats, "S"))
        if program.running():
            self.assertEqual(program.stop(), 0)
        self.assertIn("certificate", program.said())

    def test_a_server_that_wants_a_certificate(self):
        files = credentials.certificates(self.dir)
        self.set = self.servers(tls=files, verify=True, client={"tls": files})
        self.append(self.some(10))
        program = self.ship(self.set.url("S", scheme="tls"), "--create", "--tls-ca", files["ca"])
        wait_for(lambda: program.said() or not program.running(), "it says something")
        self.assertIn("it may want a certificate (--cert, --key)", program.said())
        self.assertEqual(program.stop(), 0)

    def test_a_password_is_in_no_message(self):
        self.set = self.servers(access=USERS.format(denied=""), client=ADMIN)
        self.append(self.some(100))
        url = self.set.url("S", "alice:secret")
        self.ship_once(url, "--create")
        self.fetch_once(url)
        with self.set.connect() as nats:
            self.compare(nats)
        program = self.ship(self.set.url("S", "alice:wr0ng"))
        wait_for(lambda: program.said() or not program.running(), "it says something")
        program.kill()
        self.assertIn("the servers refuse this user: Authorization", program.said())
        self.assertNotIn("wr0ng", program.said())

    def test_a_user_that_may_not_publish_waits_and_says_so_once(self):
        self.set = self.servers(access=USERS.format(denied='"chronq.>"'), client=ADMIN)
        self.append(self.some(100))
        self.url = self.set.url("S", "alice:secret")
        program = self.ship(self.url, "--create", "--status", self.status)
        wait_for(lambda: "ermission" in program.said(), "it says that it has no permission")
        self.tries(2)
        self.assertEqual(self.next_in_stream(), 0)
        self.assertEqual(program.said().lower().count("permission"), 1, program.said())
        # it is permitted while ship waits
        server, = self.set.all
        server.config.write_text(server.config.read_text().replace('"chronq.>"', ""))
        server.signal(signal.SIGHUP)
        # it hangs up on all who are connected then
        wait_for(lambda: "Reloaded server configuration" in server.log.read_text(), "the server has read it")
        self.shipped(100)
        self.assertEqual(program.stop(), 0)
        self.at_rest()

    def test_a_user_that_may_not_ask_waits(self):
        self.set = self.servers(access=USERS.format(denied='"$JS.API.>"'), client=ADMIN)
        self.append(self.some(100))
        self.url = self.set.url("S", "alice:secret")
        programs = self.ship(self.url, "--create"), self.fetch(self.url)
        for program in programs:
            wait_for(lambda: "ermission" in program.said(), f"{program.command} says that it has no permission")
            self.assertTrue(program.running())
            self.assertEqual(program.stop(), 0)
