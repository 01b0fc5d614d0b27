# SPDX-License-Identifier: Apache-2.0
"""nats-server processes of a test: one, or a cluster of three, on 127.0.0.1 alone, with stores in the test's folder."""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from natsclient import PATIENCE, Nats, NatsError

NATS_SERVER = os.environ.get("NATS_SERVER") or shutil.which("nats-server") or shutil.which(
    "nats-server", path="/usr/sbin:/usr/local/sbin") or ""
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
reservations = {}  # of this process: port: socket


def free_port():
    """A port that no other test gets while this process lives: each has the abstract socket of its name.  Below those
    that the kernel gives to clients, so that it stays free while its server is down."""
    while True:
        port = random.SystemRandom().randrange(12000, 32000)
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                name.bind(f"\0chronq-ship-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                name.close()
                continue
        reservations[port] = name
        return port


def give_back(port):
    if port in reservations:
        reservations.pop(port).close()


class Tries:
    """Repeats a question to servers that may be electing a leader, and then drop it: with more time for each answer."""

    def __init__(self, what):
        self.what = what
        self.end = time.monotonic() + PATIENCE
        self.timeout = 0.25

    def again(self):
        if time.monotonic() > self.end:
            raise AssertionError(f"did not happen in {PATIENCE} s: {self.what}")
        self.timeout = min(1.2 * self.timeout, 10)
        time.sleep(0.02)


def dies_with_us():
    """In a child, before it runs its program."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One of them; `process` is None while it is down."""

    def __init__(self, number, folder, version):
        self.number = number
        self.name = f"n{number}"
        self.folder = Path(folder) / self.name
        self.folder.mkdir()
        self.store = self.folder / "store"
        self.log = self.folder / "log"
        self.config = self.folder / "config"
        self.port, self.route = free_port(), free_port()
        self.process = None
        self.version = version

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([NATS_SERVER, "-c", self.config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=dies_with_us)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9; returns when it is dead."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        """As a service's stop does; returns when it is gone."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.kill()

    def freeze(self, frozen=True):
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


class Servers:
    """With `tls` (credentials.certificates()) clients have to use TLS; `verify`: and show a certificate.  `access`:
    lines of the configuration about users, or `accounts`.  `more`: any other lines."""

    def __init__(self, folder, count=1, *, tls=None, verify=False, access="", more="", client=None, file_store="1GB"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tls = tls
        self.client_options = client or {}  # of Nats(), for our own connections
        text = subprocess.run([NATS_SERVER, "--version"], check=True, capture_output=True, text=True).stdout
        self.version = tuple(map(int, text.split()[-1].lstrip("v").split("-")[0].split(".")))
        self.all = [Server(number, self.folder, self.version) for number in range(1, count + 1)]
        for server in self.all:
            self.configure(server, verify, access, more, file_store)

    def configure(self, server, verify, access, more, file_store):
        lines = [f"server_name: {server.name}", "host: 127.0.0.1", f"port: {server.port}", 
                 f'jetstream {{ store_dir: "{server.store}", max_memory_store: 64MB, max_file_store: {file_store} }}']
        if len(self.all) > 1:
            routes = ", ".join(f"nats://127.0.0.1:{other.route}" for other in self.all if other is not server)
            lines.append(f"cluster {{ name: test, host: 127.0.0.1, port: {server.route}, routes: [{routes}], no_advertise: true }}")
        if self.tls is not None:
            checked = f', ca_file: "{self.tls["ca"]}", verify: true' if verify else ""
            lines.append(f'tls {{ cert_file: "{self.tls["cert"]}", key_file: "{self.tls["key"]}"{checked} }}')
        server.config.write_text("\n".join([*lines, access, more, ""]))

    def __enter__(self):
        try:
            # new servers have nothing that would be lost
            for patience in (15, 20, 30, 40):
                for server in self.all:
                    server.start()
                if self.formed(patience):
                    break
                self.kill_all()
                for server in self.all:
                    shutil.rmtree(server.store, ignore_errors=True)
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        """Starts those that are down; returns when streams can be made."""
        for server in self.all:
            if server.process is None:
                server.start()
        self.ready()

    def end(self):
        for server in self.all:
            server.kill()
        for server in self.all:
            for port in (server.port, server.route):
                give_back(port)

    def kill_all(self):
        for server in self.all:
            server.process.kill()
        for server in self.all:
            server.kill()

    def alive(self):
        return [server for server in self.all if server.process is not None]

    def connect(self, server=None, **options):
        """A client of this server; without one, of the first that answers."""
        end = time.monotonic() + PATIENCE
        options = self.client_options | options
        while True:
            for one in [server] if server else self.alive():
                if one.process is not None and one.process.poll() is not None:
                    raise AssertionError(f"{one.name} has ended: {one.log.read_text()[-2000:]}")
                try:
                    return Nats(one.port, **options)
                except ConnectionRefusedError:
                    pass
            if time.monotonic() > end:
                raise NatsError("no server answers")
            time.sleep(0.01)

    def formed(self, patience):
        """Whether streams with a copy on each server can be made within so many seconds.  Of the clusters of 2.10.27, one
        in thirty says for minutes that it has no leader, or no suitable peers, though its servers are connected."""
        config = {"name": "PROBE", "subjects": ["probe"], "storage": "memory", "num_replicas": len(self.all)}
        end = time.monotonic() + patience
        while len(self.all) > 1:
            try:
                with self.connect() as nats:
                    nats.api("STREAM.CREATE.PROBE", config, timeout=2)
                    nats.api("STREAM.DELETE.PROBE", timeout=2)
                return True
            except (NatsError, OSError):
                if time.monotonic() > end:
                    return False
                time.sleep(0.02)
        return True

    def ready(self):
        """Returns when each server that is not down answers for JetStream."""
        for server in self.alive():
            tries = Tries(f"{server.name} is ready")
            while True:
                try:
                    with self.connect(server) as nats:
                        nats.api("INFO", timeout=tries.timeout)
                    break
                except (NatsError, OSError):
                    tries.again()

    def cluster_of(self, stream, good, what):
        """Of the stream's information what it says of its leader and replicas, when `good` says so."""
        tries = Tries(f"{stream} {what}")
        while True:
            try:
                with self.connect() as nats:
                    cluster = nats.api("STREAM.INFO." + stream, timeout=tries.timeout).get("cluster", {})
                if cluster.get("leader") and good(cluster):
                    return cluster
            except (NatsError, OSError):
                pass
            tries.again()

    def settled(self, stream, replicas=None):
        """Waits until the stream has a leader, and its other replicas have all that the leader has."""
        wanted = (replicas or len(self.alive())) - 1

        def good(cluster):
            others = [one for one in cluster.get("replicas", []) if one["current"] and not one.get("offline")]
            return len(others) >= wanted
        if len(self.all) > 1:
            self.cluster_of(stream, good, f"has a leader and {wanted} current replicas")

    def leader(self, stream):
        """The server that leads this stream."""
        if len(self.all) == 1:
            return self.all[0]
        alive = {server.name: server for server in self.alive()}
        return alive[self.cluster_of(stream, lambda cluster: cluster["leader"] in alive, "has a leader")["leader"]]

    def url(self, stream, user=None, scheme="nats"):
        """What chronq ship and fetch take; user: "name:password"."""
        who = f"{user}@" if user else ""
        return f"{scheme}://{who}" + ",".join(f"127.0.0.1:{server.port}" for server in self.all) + f"/{stream}"

    def copy_stores(self, to):
        """Of servers that are down."""
        for server in self.all:
            shutil.copytree(server.store, Path(to) / server.name)

    def put_back(self, copies):
        """All stores become what they were when they were copied."""
        for server in self.all:
            shutil.rmtree(server.store)
            shutil.copytree(Path(copies) / server.name, server.store)
