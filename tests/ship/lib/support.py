# SPDX-License-Identifier: Apache-2.0
"""What the tests of ship and fetch share: a folder, servers, queues, the programs, waiting for something."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import chronq
import jetstream
from servers import Servers, dies_with_us

PATIENCE = 60  # seconds until something that has to happen counts as not happening
SHIP = os.environ.get("CHRONQ_SHIP", "")
FETCH = os.environ.get("CHRONQ_FETCH", "")

# Exit codes of chronq ship and fetch (core/cli/wire/resume.h), beside 0 to 3 of all commands.
USAGE, FAILED = 2, 3
NO_STREAM, FOREIGN, DIFFERS, MISSING, DAMAGED, PROMOTED = range(4, 10)


def wait_for(condition, what="", patience=PATIENCE):
    """What the condition gives when it holds at last; fails if it does not in time."""
    end = time.monotonic() + patience
    while not (good := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"did not happen in {patience} s: {what or condition}")
        time.sleep(0.01)
    return good


class Program:
    """A process that runs ship or fetch; what it says goes to a file."""

    def __init__(self, case, command, environment=None):
        self.output = Path(tempfile.mkstemp(prefix="said.", dir=case.dir)[1])
        with open(self.output, "wb") as file:
            self.process = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                            preexec_fn=dies_with_us, env=os.environ | (environment or {}))
        self.command = command

    def said(self):
        return self.output.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self, patience=PATIENCE):
        """The exit code, when it has ended by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"runs after {patience} s: {self.command}: {self.said()}") from None


class Case(unittest.TestCase):
    """Has a folder of its own, `dir`; queues in it, `q` and `replica`; and ends what it has started."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="chronq-ship."))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.q, self.replica = self.dir / "q", self.dir / "replica"

    def servers(self, count=1, **options):
        """Servers that run, until the test ends."""
        servers = Servers(self.dir / "servers", count, **options)
        self.addCleanup(servers.end)
        servers.start()
        return servers

    def connect(self, servers, server=None, **options):
        nats = servers.connect(server, **options)
        self.addCleanup(nats.close)
        return nats

    def start(self, *command, **environment):
        program = Program(self, command, environment)
        self.addCleanup(program.kill)
        return program

    def ship(self, url, *options, queue=None, **environment):
        """chronq ship, which runs on."""
        return self.start(SHIP, *options, queue or self.q, url, **environment)

    def fetch(self, url, *options, queue=None, **environment):
        """chronq fetch, which runs on."""
        return self.start(FETCH, *options, url, queue or self.replica, **environment)

    def gives(self, code, program, *texts):
        """It ends by itself with this exit code, and says these texts."""
        got = program.ended()
        said = program.said()
        self.assertEqual(got, code, f"{program.command}: {said}")
        for text in texts:
            self.assertIn(text, said)
        return said

    def ship_once(self, url, *options, code=0, queue=None, **environment):
        return self.gives(code, self.ship(url, "--once", *options, queue=queue, **environment))

    def fetch_once(self, url, *options, code=0, queue=None, **environment):
        return self.gives(code, self.fetch(url, "--once", *options, queue=queue, **environment))

    def append(self, payloads, queue=None, sync=True, **options):
        """Appends records with some types and sizes, durable when it returns."""
        with chronq.Writer(queue or self.q, **({"segment_size": 1 << 16} | options)) as writer:
            for number, payload in enumerate(payloads):
                writer.append(payload, type=1 + number % 5)
            if sync:
                writer.sync()

    def some(self, count, size=100, text="record"):
        """Payloads that differ, some of them empty or not UTF-8."""
        return [b"" if number % 17 == 3 else f"{text} {number} ".encode() + bytes([number % 256]) * (number % size)
                for number in range(count)]


def next_seq(queue):
    """The number that the queue's next record gets; 0: there is no queue yet."""
    try:
        with chronq.Queue(queue) as opened:
            return opened.info().next_seq or 0
    except chronq.NotFound:
        return 0


def last_sequence(nats, name):
    return jetstream.info(nats, name)["state"]["last_seq"]
