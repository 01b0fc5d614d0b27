# SPDX-License-Identifier: Apache-2.0
"""chronq fetch when something is wrong: servers, streams, messages, the disk; and what it says of that."""

import os
import subprocess

import chronq
import credentials
import equal
import jetstream
import wireform
from published import Published
from support import DAMAGED, FAILED, FOREIGN, NO_STREAM, Case, next_seq, wait_for


class Trouble(Case):
    def begin(self, count=300, **options):
        self.servers_ = self.servers(**options.pop("servers", {}))
        self.url = self.servers_.url("S")
        self.append(self.some(count))
        self.nats = self.connect(self.servers_)
        self.stream = Published(self.nats, self.q, **options)
        return self.stream

    def equal(self):
        self.assertEqual(equal.exported(self.replica), equal.exported(self.q))

    def has(self, count, program):
        wait_for(lambda: next_seq(self.replica) == count or not program.running(), f"{count} records: {program.said()}")
        self.assertTrue(program.running(), program.said())

    def test_it_starts_before_the_server_and_survives_its_restarts(self):
        self.begin()
        self.stream.ship(upto=100)
        self.servers_.kill_all()
        program = self.fetch(self.url)
        wait_for(lambda: "no server answers" in program.said())
        self.servers_.start()
        self.has(100, program)
        for upto in (200, 300):
            self.servers_.kill_all()
            wait_for(lambda: program.said().count("waiting for the servers") + program.said().count("followed") > 0)
            self.servers_.start()
            with self.servers_.connect() as self.stream.nats:
                self.stream.ship(upto=upto)
            self.has(upto, program)
        self.assertIn("fetch continues", program.said())
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_server_that_hangs(self):
        self.begin()
        self.stream.ship(upto=100)
        program = self.fetch(self.url)
        self.has(100, program)
        self.servers_.all[0].freeze()
        wait_for(lambda: "waiting for the servers" in program.said() or "no server answers" in program.said())
        self.servers_.all[0].freeze(False)
        self.stream.ship()
        self.has(300, program)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_stream_that_is_deleted(self):
        self.begin()
        self.stream.ship()
        program = self.fetch(self.url)
        self.has(300, program)
        jetstream.delete(self.nats, "S")
        self.gives(NO_STREAM, program, "the stream was deleted")
        self.equal()

    def test_a_stream_that_servers_do_not_know_yet(self):
        """As those that have just started: it was there when the replica was made."""
        self.begin()
        self.stream.ship(upto=200)
        self.fetch_once(self.url)
        jetstream.delete(self.nats, "S")
        program = self.fetch(self.url)
        wait_for(lambda: "the stream is not there" in program.said())
        Published(self.nats, self.q).ship()
        self.has(300, program)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_stream_that_is_made_again(self):
        self.begin()
        self.stream.ship(upto=200)
        program = self.fetch(self.url)
        self.has(200, program)
        jetstream.delete(self.nats, "S")
        Published(self.nats, self.q).ship(size=7)
        self.has(300, program)
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_stream_that_is_made_again_for_another_queue(self):
        self.begin()
        self.stream.ship()
        program = self.fetch(self.url)
        self.has(300, program)
        jetstream.delete(self.nats, "S")
        Published(self.nats, self.q, identity="ab" * 16).ship()
        self.gives(FOREIGN, program, "made again, for another queue")

    def test_a_stream_that_fell_back(self):
        self.begin()
        self.stream.ship(upto=100)
        program = self.fetch(self.url)
        self.has(100, program)
        self.servers_.kill_all()
        self.servers_.copy_stores(self.dir / "older")
        self.servers_.start()
        with self.servers_.connect() as self.stream.nats:
            self.stream.ship(upto=200)
        self.has(200, program)
        self.servers_.kill_all()
        self.servers_.put_back(self.dir / "older")
        self.servers_.start()
        wait_for(lambda: "the stream ends before record 100, and the replica has those up to 199" in program.said())
        with self.servers_.connect() as self.stream.nats:
            self.stream.ship(first=100, size=33)
        self.has(300, program)
        self.assertTrue(program.said().endswith("fetch continues\n"), program.said())
        self.assertEqual(program.stop(), 0)
        self.equal()

    def test_a_message_of_somebody_else(self):
        self.begin()
        self.stream.ship(upto=100)
        self.nats.store("chronq.S", b"hello")
        said = self.fetch_once(self.url, code=DAMAGED)
        self.assertIn("message 6 of the stream is damaged or is not one of chronq ship", said)
        self.assertEqual(next_seq(self.replica), 100)
        self.stream.ship()
        self.fetch_once(self.url, code=DAMAGED)
        self.fetch_once(self.url, "--accept-gap")
        self.equal()

    def test_no_wrong_record_is_appended(self):
        self.begin(count=60)
        self.stream.ship(upto=20)
        pairs = self.stream.records()[:5]
        headers, body = wireform.put_frame([record for record, _ in pairs], stream=pairs[0][1])
        wrong = bytearray(body)
        wrong[-1] ^= 1
        for headers, body in ((headers, bytes(wrong)), (headers, body[:-1]), (headers | {"Chronq-Next": "24"}, body),
                              (headers | {"Chronq-Kind": "film"}, body)):
            name = f"T{len(os.listdir(self.dir))}"
            stream = Published(self.nats, self.q, name)
            stream.ship(upto=20)
            stream.message(headers, body)
            stream.next = 25
            stream.ship()
            self.fetch_once(self.servers_.url(name), code=DAMAGED)
            self.assertEqual(next_seq(self.replica), 20)
            self.assertEqual(equal.exported(self.replica), equal.exported(self.q)[:20])
            self.dir.joinpath(name).touch()
        self.fetch_once(self.servers_.url(name), "--accept-gap")
        self.assertEqual(equal.exported(self.replica, lossy=True), [
            pair for pair in equal.exported(self.q) if pair[0].seq not in range(20, 25)])

    def test_a_full_queue_waits_for_room(self):
        self.begin(count=0)
        self.append([b"x" * 1000] * 300)
        self.stream.ship()
        program = self.fetch(self.url, "--max-bytes", "192K", "--status", self.dir / "metrics.prom")
        wait_for(lambda: "waiting for room" in program.said())
        got = next_seq(self.replica)
        self.assertTrue(100 < got < 200, got)
        wait_for(lambda: "waiting for room" in self.dir.joinpath("metrics.prom").read_text())
        self.assertEqual(program.stop(), 0)
        self.fetch_once(self.url, "--max-bytes", "192K", "--retain-bytes", "64K")
        self.assertEqual(next_seq(self.replica), 300)
        self.assertEqual(equal.exported(self.replica), equal.exported(self.q)[300 - len(equal.exported(self.replica)):])

    def test_a_record_larger_than_its_segments(self):
        self.begin(count=0)
        self.append([b"small", b"x" * 10000])
        self.stream.ship()
        said = self.fetch_once(self.url, "--segment-size", "4K", code=FAILED)
        self.assertIn("record 1 is larger than a segment of the replica holds", said)
        self.assertEqual(next_seq(self.replica), 1)

    def test_users(self):
        access = """authorization { users: [
            { user: able, password: secret },
            { user: deaf, password: secret, permissions: { publish: { deny: ["$JS.API.CONSUMER.>"] } } },
            { user: mute, password: secret, permissions: { publish: { deny: ["$JS.API.>"] } } } ] }"""
        self.begin(servers={"access": access, "client": {"user": "able", "password": "secret"}}, count=10)
        self.stream.ship()
        for user, text in (("able:hidden", "the servers refuse this user"), ("mute:secret", "this user may not ask"),
                           ("deaf:secret", "the stream cannot be followed: ")):
            program = self.fetch(self.servers_.url("S", user=user))
            wait_for(lambda: text in program.said(), text)  # noqa: B023
            self.assertEqual(program.stop(), 0)
            self.assertNotIn("hidden", program.said())
        self.fetch_once(self.servers_.url("S", user="able:secret"))
        self.equal()

    def test_tls_and_credentials(self):
        files = credentials.certificates(self.dir)
        operator = credentials.Operator(self.dir)
        able = operator.user("able")
        self.begin(servers={"tls": files, "verify": True, "access": operator.settings(),
                            "client": {"tls": files, "creds": able}}, count=10)
        self.stream.ship()
        url = self.servers_.url("S", scheme="tls")
        known = ("--creds", able, "--tls-ca", files["ca"], "--cert", files["cert"], "--key", files["key"])
        self.fetch_once(url, *known)
        self.equal()
        other = self.dir / "other"
        stranger = [files["stranger"] if option == files["ca"] else option for option in known]
        self.fetch_once(url, *stranger, queue=other, code=FAILED)
        refused = [credentials.Operator(self.dir).user("other") if option == able else option for option in known]
        program = self.fetch(url, *refused, queue=other)
        wait_for(lambda: "the servers refuse this user" in program.said())
        self.assertEqual(program.stop(), 0)
        self.assertFalse(other.exists())
        self.fetch_once(url, "--creds", self.dir / "none", queue=other, code=FAILED)

    def test_metrics(self):
        self.begin()
        self.stream.ship()
        file = self.dir / "metrics.prom"
        self.fetch_once(self.url, "--status", file)
        text = file.read_text()
        labels = f'{{queue="{self.replica}",stream="S"}}'
        for name, value in (("records_total", 300), ("lag_messages", 0), ("resyncs_total", 0), ("gap_records_total", 0)):
            self.assertIn(f"chronq_fetch_{name}{labels} {value}\n", text)

    def test_the_replica_is_read_while_it_is_filled(self):
        self.begin()
        self.stream.ship(upto=100)
        program = self.fetch(self.url)
        self.has(100, program)
        mount = self.dir / "mnt"
        mount.mkdir()
        daemon = self.start(os.environ["CHRONFS"], self.replica, mount, "-f", "-o", "ro")
        self.addCleanup(subprocess.run, ["umount", "-q", "-l", mount], check=False)
        wait_for(lambda: os.path.ismount(mount) and (mount / "stream").exists())
        wanted = b"".join(record.payload for record in equal.records(self.q))
        with chronq.Reader(self.replica) as reader:
            self.stream.ship()
            wait_for(lambda: (mount / "stream").stat().st_size == len(wanted))
            self.assertEqual((mount / "stream").read_bytes(), wanted)
            self.assertEqual([record.seq for record in reader], list(range(300)))
        subprocess.run(["umount", mount], check=True)
        self.assertEqual(daemon.ended(), 0)
        self.assertEqual(program.stop(), 0)
