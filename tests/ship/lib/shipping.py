# SPDX-License-Identifier: Apache-2.0
"""What the tests of the table of failures share: a queue, a server and a stream; metrics; damage; copies of queues."""

import re
import shutil

import chronq
import equal
import jetstream
from support import Case, wait_for

READER = "ship"


def metrics(path):
    """The values of a file of metrics, without their labels."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    lines = (re.fullmatch(r"([a-z_]+)(?:\{.*\})? ([^ ]+)", line) for line in text.splitlines())
    return {line[1]: float(line[2]) for line in lines if line}


class Shipping(Case):
    def setUp(self):
        super().setUp()
        self.status = self.dir / "ship.prom"

    def parts(self, *parts):
        """Goes through them, each a part of the test with a folder of its own for queues and servers."""
        whole = self.dir
        for number, part in enumerate(parts):
            self.dir = whole / str(number)
            self.dir.mkdir()
            self.q, self.replica = self.dir / "q", self.dir / "replica"
            print(f"# {part}", flush=True)
            yield part
            self.set.end()
        self.dir = whole

    def one_server(self, records=200, **options):
        """A server, or several, and a queue with records."""
        self.set = self.servers(**options)
        self.url = self.set.url("S")
        if records:
            self.append(self.some(records))

    def at_rest(self):
        """The stream is compared with the queue, and the replica, when fetch has filled it, with both."""
        self.fetch_once(self.url)
        with self.set.connect() as nats:
            return equal.all_equal(self.q, nats, "S", self.replica)

    def stream(self):
        """Records, gaps, and messages of each kind."""
        with self.set.connect() as nats:
            return equal.stream(nats, "S")

    def next_in_stream(self):
        """The number behind the last record of the stream; 0: there is none, or no stream yet."""
        with self.set.connect() as nats:
            if not jetstream.exists(nats, "S"):
                return 0
            last = jetstream.info(nats, "S")["state"]["last_seq"]
            return int(jetstream.message(nats, "S", last).headers["Chronq-Next"]) if last else 0

    def shipped(self, count):
        wait_for(lambda: self.next_in_stream() == count, f"the stream has the records before {count}")

    def tries(self, more):
        """Waits until ship has asked the stream so many more times."""
        name = "chronq_ship_resyncs_total"
        wanted = metrics(self.status).get(name, 0) + more
        wait_for(lambda: metrics(self.status).get(name, 0) >= wanted, f"{more} more tries")

    def committed(self, queue=None):
        """The number behind the last record that the reader `ship` has committed; None: there is no such reader."""
        with chronq.Queue(queue or self.q) as opened:
            found = [reader for reader in opened.readers() if reader.name == READER]
            return found[0].seq if found else None

    def segment_file(self, number, queue=None):
        return (queue or self.q) / f"{number:09d}.q"

    def spoil(self, path, what):
        """Changes a bit of the first place in a file that has these bytes."""
        data = path.read_bytes()
        at = data.index(what)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))

    def roll_back(self, work):
        """Does the work, and puts the servers' stores back to what they were before it."""
        copies = self.dir / "copies"
        self.set.kill_all()
        self.set.copy_stores(copies)
        self.set.start()
        work()
        self.set.kill_all()
        self.set.put_back(copies)
        shutil.rmtree(copies)
        self.set.start()
