# SPDX-License-Identifier: Apache-2.0
"""A line from a writer to a replica: writer, source, ship, stream, fetch, replica; each process can be killed at any time."""

import os
import select
import subprocess
import sys
from pathlib import Path

import chronq
import jetstream
import sanitized
from proxy import Proxy
from servers import dies_with_us
from support import next_seq, wait_for

CHRONFS = os.environ["CHRONFS"]
SEGMENT = 1 << 18


def can_mount():
    return os.access("/dev/fuse", os.R_OK | os.W_OK)


class Line:
    """mounted: the writer writes to a mount of the source, and "the writer" that is killed is the mount's daemon."""

    def __init__(self, case, name, servers, rng, *, mounted, ship=(), environment=None):
        # ship alone goes through them
        self.proxies = [Proxy(server.port) for server in servers.all]
        self.late = False  # publishes are kept in the proxies
        self.case, self.name, self.servers, self.rng = case, name, servers, rng
        self.mounted = mounted and can_mount()
        self.environment = environment or {}
        # what was committed is deleted: then the stream has more than the source
        self.writing = {} if self.mounted else {"retain_segments": 3}
        self.ship_options = ["--create", "--replicas", str(len(servers.all)), *ship]
        if self.writing:
            self.ship_options += ["--keep-acked", "0"]
        self.source, self.replica, self.mount = (case.dir / f"{name}-{what}" for what in ("source", "replica", "mount"))
        self.url = servers.url(name)
        self.ship_url = "nats://" + ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies) + f"/{name}"
        self.writer = self.daemon = self.shipper = self.fetcher = None
        self.due = 0  # lines that the writer has still to answer
        case.addCleanup(self.end)

    # ---- the writer ----

    def start_writer(self):
        target = ["queue", self.source, f"segment_size={SEGMENT}", *(f"{k}={v}" for k, v in self.writing.items())]
        if self.mounted:
            self.mount.mkdir(exist_ok=True)
            self.daemon = self.case.start(CHRONFS, self.source, self.mount, "-f", "-o", f"segment_size={SEGMENT}",
                                          "-o", "sync=interval=10")
            wait_for(lambda: (self.mount / "append").exists() or not self.daemon.running(), "the source is mounted")
            target = ["mount", self.mount]
        command = [sys.executable, Path(__file__).with_name("writing.py"), str(self.rng.getrandbits(40)), *target]
        self.writer = subprocess.Popen(list(map(str, command)), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, preexec_fn=dies_with_us,
                                       env=os.environ | sanitized.environment())
        if self.writer.stdout.readline() != b"open\n":
            said = self.daemon.said() if self.daemon else ""
            raise AssertionError(f"{self.name}: the writer did not open: {self.writer.stderr.read().decode()}{said}")
        self.due = 0

    def end_writer(self):
        """kill -9 of it, and of the mount's daemon."""
        if self.daemon is not None:
            self.daemon.kill()
            self.daemon = None
            subprocess.run(["fusermount3", "-u", "-z", self.mount], capture_output=True)
        if self.writer is not None:
            self.writer.kill()
            self.writer.wait()
            for pipe in (self.writer.stdin, self.writer.stdout, self.writer.stderr):
                pipe.close()
            self.writer = None

    def append(self, count):
        """Asks for so many more records; does not wait."""
        self.writer.stdin.write(b"%d\n" % count)
        self.writer.stdin.flush()
        self.due += 1

    def written(self):
        """Waits until all that was asked for is appended, and durable."""
        while self.due:
            if not select.select([self.writer.stdout], [], [], 60)[0] or self.writer.stdout.readline() != b"done\n":
                raise AssertionError(f"{self.name}: the writer does not write: {self.writer.poll()}")
            self.due -= 1

    # ---- ship and fetch ----

    def start_shipper(self):
        self.shipper = self.case.ship(self.ship_url, *self.ship_options, queue=self.source, **self.environment)

    def start_fetcher(self):
        self.fetcher = self.case.fetch(self.url, queue=self.replica, **self.environment)

    def start(self):
        self.start_writer()
        self.start_shipper()
        wait_for(self.has_stream, f"ship makes the stream {self.name}")
        self.start_fetcher()

    def has_stream(self):
        with self.servers.connect() as nats:
            return jetstream.exists(nats, self.name)

    def kill(self, what):
        """kill -9, and another start at once."""
        if what == "writer":
            self.end_writer()
            self.start_writer()
        else:
            getattr(self, what).kill()
            getattr(self, "start_" + what)()

    def delay(self):
        """The publishes that ship makes now come late."""
        for proxy in self.proxies:
            proxy.hold()

    def kept(self):
        return sum(proxy.kept() for proxy in self.proxies)

    def lose(self, killed):
        """The connections of ship are cut, or it is killed.  What it has published comes with arrive()."""
        if killed:
            self.shipper.kill()
        for proxy in self.proxies:
            proxy.cut()
        if killed:
            self.start_shipper()
        self.late = True

    def arrive(self):
        for proxy in self.proxies:
            proxy.release()
        self.late = False

    def end(self):
        self.end_writer()
        for proxy in self.proxies:
            proxy.close()
        for program in (self.shipper, self.fetcher):
            if program is not None:
                program.kill()

    # ---- where it is ----

    def check(self):
        """Ship and fetch end only when they are killed."""
        for program in (self.shipper, self.fetcher):
            if not program.running():
                raise AssertionError(f"{self.name} has ended with {program.process.returncode}: {program.said()}")

    def at(self, what):
        """How far it is: the number of the next record of source or replica."""
        try:
            return next_seq(getattr(self, what))
        except chronq.Error:  # the queue is being made
            return 0

    def where(self):
        """For people, when something did not happen."""
        try:
            with self.servers.connect() as nats:
                stream = jetstream.info(nats, self.name)
        except Exception as error:  # whatever it is, the rest is worth more
            stream = error
        return (f"{self.name}: source {self.at('source')}, replica {self.at('replica')}, stream {stream}\n"
                f"ship says: {self.shipper.said()}\nfetch says: {self.fetcher.said()}")

    def caught_up(self):
        """The replica has what is durable in the source."""
        self.check()
        with chronq.Queue(self.source) as source:
            return self.at("replica") == source.info().durable_seq

    def drained(self):
        """The replica has what the source has."""
        self.check()
        return self.at("replica") == self.at("source")
