# SPDX-License-Identifier: Apache-2.0
"""Streams that somebody else has written to, or whose messages are damaged: fetch appends nothing that is not the
source's, ship sends nothing behind what it does not understand, and neither crashes or takes much memory.

SEED=N in the environment repeats a run, ROUNDS=N makes it longer.
"""

import os
import random
import resource
import struct
import subprocess

import chronq
import equal
import jetstream
import sanitized
import wireform
from servers import dies_with_us
from support import DAMAGED, DIFFERS, FETCH, FOREIGN, MISSING, PATIENCE, SHIP, Case

PARALLEL = 24  # fetch tries for half a minute to get a damaged message from another server, and sleeps meanwhile
MEMORY = 2 << 30  # of addresses: most of it is what libraries and threads reserve
NUMBERS = ("0", "1", "-1", "+7", "07", "7 ", "", "x", str(1 << 62), str((1 << 62) + 1), str((1 << 64) - 1), str(1 << 64),
           str((1 << 64) + 7))
TEXTS = {
    "Chronq-Kind": ("record", "frame", "part", "gap", "Frame", "", "frames", "hole"),
    "Chronq-CRC": ("0", "00000000", "FFFFFFFF", "ffffffff0", "0x123456"),
    "Chronq-Part": ("0/1", "1/1", "2/1", "0/0", "0/4294963200", "0/4294963201", "4000000000/4294963200", "1", "/", "-1/5",
                    f"{1 << 63}/{1 << 63}"),
}


def limited():
    dies_with_us()
    if not sanitized.LIBRARY:  # a sanitizer needs addresses of its own
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def change_header(rng, headers, _):
    name = rng.choice(sorted(headers))
    values = TEXTS.get(name, NUMBERS)
    headers[name] = rng.choice([value for value in values if value != headers[name]])


def step_number(rng, headers, _):
    name = rng.choice(("Chronq-First", "Chronq-Next", "Chronq-Time"))
    if name in headers:
        headers[name] = str(int(headers[name]) + rng.choice((1, -1)))


def drop_header(rng, headers, _):
    del headers[rng.choice(sorted(headers))]


def add_header(rng, headers, _):
    headers |= {"Chronq-Type": "3", "Chronq-Part": "0/10"} if "Chronq-Type" not in headers else {"Chronq-Part": "5/10"}


def flip(rng, _, body):
    if body:
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)


def shorten(rng, _, body):
    del body[rng.randrange(max(len(body), 1)):]


def lengthen(rng, _, body):
    body += bytes(rng.choice((1, 19, 20, 21, 1000)))


def claim(rng, _, body):
    """The first entry says that it is much longer."""
    body[:4] = struct.pack("<I", rng.choice((max(len(body) - 19, 0), 1 << 31, (1 << 32) - 1)))


IN_MESSAGE = (change_header, change_header, step_number, drop_header, add_header, flip, shorten, lengthen, claim)


class Hostile(Case):
    def setUp(self):
        super().setUp()
        self.rng = random.Random(int(os.environ.get("SEED", "7")))
        self.all_servers = self.servers()
        self.nats = self.connect(self.all_servers)
        self.append([*self.some(30), bytes(range(200)) * 40, *self.some(20)], segment_size=1 << 20)
        with chronq.Queue(self.q) as queue:
            self.about = f"chronq/1 identity={queue.info().identity.hex()} format=frames first=0 segment=1048576"
        self.source = [record for record, _ in equal.exported(self.q)]

    def messages(self):
        """All records of the queue: frames, single ones, and one in parts."""
        left = equal.exported(self.q)
        found = []
        while left:
            (record, stream), size = left[0], self.rng.randrange(1, 8)
            if len(record.payload) > 5000:
                found += list(wireform.put_parts(record, 1500, stream=stream))
                size = 1
            elif size == 1:
                found.append(wireform.put_record(record, stream=stream))
            else:
                batch = [one for one, _ in left[:size] if len(one.payload) < 5000]
                size = next((at for at, (one, _) in enumerate(left[:size]) if len(one.payload) > 5000), len(batch))
                found.append(wireform.put_frame(batch[:size], stream=stream))
            left = left[size:]
        return [(dict(headers), bytearray(body)) for headers, body in found]

    def harm(self, messages):
        """One thing wrong; says what."""
        at = self.rng.randrange(len(messages))
        how = self.rng.choice((*IN_MESSAGE, *IN_MESSAGE, "lose", "repeat", "exchange", "strange", "part of another",
                               "promise"))
        if callable(how):
            how(self.rng, *messages[at])
            return f"{how.__name__} in message {at + 1}"
        other = wireform.Record(self.rng.randrange(60), 5, 1, bytes(3000))
        if how == "lose":
            at %= len(messages) - 1  # nobody can know of the last one
            del messages[at]
        elif how == "repeat":
            messages.insert(at + self.rng.randrange(3), messages[at])
        elif how == "exchange":
            messages[at], messages[at - 1] = messages[at - 1], messages[at]
        elif how == "strange":
            messages.insert(at, ({"Subject": "lunch"}, b"at noon?"))
        elif how == "part of another":
            messages.insert(at, self.rng.choice(list(wireform.put_parts(other, 1000))))
        else:
            first = messages[at][0].get("Chronq-First", "0")
            headers, body = next(wireform.put_parts(other, 1000))
            messages.insert(at, (headers | {"Chronq-First": first, "Chronq-Next": first, "Chronq-Part": "0/4294963200"},
                                 body))
        return f"{how} at message {at + 1}"

    def store(self, name, messages):
        jetstream.make(self.nats, name, description=self.about)
        for headers, body in messages:
            self.nats.store("chronq." + name, bytes(body), headers)

    def run_all(self, commands):
        """The exit codes and what is said, some at a time."""
        results, running, waiting = {}, {}, dict(commands)
        while waiting or running:
            while waiting and len(running) < PARALLEL:
                key = next(iter(waiting))
                running[key] = subprocess.Popen([*map(str, waiting.pop(key))], stdin=subprocess.DEVNULL,
                                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=limited)
                self.addCleanup(running[key].kill)
            key = next(iter(running))
            said, _ = running[key].communicate(timeout=2 * PATIENCE)
            results[key] = running.pop(key).returncode, said.decode(errors="replace")
        return results

    def test_fetch_appends_what_the_source_has_or_nothing(self):
        harms, commands = {}, {}
        for number in range(int(os.environ.get("ROUNDS", "24"))):
            messages = self.messages()
            harms[number] = self.harm(messages)
            self.store(f"H{number}", messages)
            commands[number] = FETCH, "--once", self.all_servers.url(f"H{number}"), self.dir / f"r{number}"
        codes = set()
        for number, (code, said) in self.run_all(commands).items():
            what = f"{harms[number]}: {code}: {said}"
            self.assertIn(code, (0, FOREIGN, DIFFERS, MISSING, DAMAGED), what)
            replica = self.dir / f"r{number}"
            found = equal.records(replica) if replica.exists() else []
            first = found[0].seq if found else 0
            self.assertEqual(found, self.source[first:first + len(found)], what)
            if code == 0:
                self.assertEqual(found, self.source[first:], what)
            codes.add(code)
        self.assertGreaterEqual(codes, {0, DAMAGED})

    def test_ship_sends_nothing_behind_what_it_does_not_understand(self):
        """The last message is the one with something wrong."""
        commands, harms, before = {}, {}, {}
        for number in range(int(os.environ.get("ROUNDS", "40"))):
            messages = self.messages()
            messages = messages[:self.rng.randrange(1, len(messages))]
            how = self.rng.choice(IN_MESSAGE)
            how(self.rng, *messages[-1])
            name = f"L{number}"
            harms[number] = f"{how.__name__}: {messages[-1]}"
            self.store(name, messages)
            before[number] = messages
            queue = self.dir / f"q{number}"
            subprocess.run(["cp", "-r", self.q, queue], check=True)
            commands[number] = SHIP, "--once", queue, self.all_servers.url(name)
        for number, (code, said) in self.run_all(commands).items():
            what = f"{harms[number]}: {code}: {said}"
            self.assertIn(code, (0, FOREIGN, DIFFERS, DAMAGED), what)
            stored = list(jetstream.messages(self.nats, f"L{number}"))
            old = len(before[number])
            if code != 0:
                self.assertEqual(len(stored), old, what)
                continue
            # what it has sent are sound messages, of the source's records up to the last
            decoder = wireform.Decoder()
            found = []
            at = before[number][-1][0]
            if at.get("Chronq-Kind") == "part" and at["Chronq-Next"] == at["Chronq-First"]:
                stored = [m for m in stored[old:] if m.headers["Chronq-First"] != at["Chronq-First"]]
            else:
                stored = stored[old:]
            for message in stored:
                found += decoder.take(message)
            first = found[0].seq if found else len(self.source)
            self.assertEqual(found, self.source[first:], what)

    def test_a_gap_excuses_nothing_behind_it(self):
        """A gap with another end than that of the next message is no reason to lose others later."""
        frames = [wireform.put_frame(self.source[at:at + 5]) for at in range(0, 30, 5)]
        for name, gap in ("G", wireform.put_gap(10, 1 << 62)), ("E", wireform.put_gap(10, 24)):
            self.store(name, [*frames[:2], gap, *frames[2:4], *frames[5:]])
            self.gives(DAMAGED, self.fetch(self.all_servers.url(name), "--once", queue=self.dir / name))
            self.assertEqual(equal.records(self.dir / name), self.source[:20])

    def test_a_promise_takes_no_memory(self):
        """A part says that its record has 4 GiB; the next ones come, each of a MiB, and are not all there."""
        record = wireform.Record(0, 1, 1, bytes(1 << 20))
        headers, _ = next(wireform.put_parts(record, 1 << 19))
        messages = [(headers | {"Chronq-Part": f"{at << 19}/4294963200"}, bytes(1 << 19)) for at in range(20)]
        self.store("P", messages)
        results = self.run_all({"P": (FETCH, "--once", self.all_servers.url("P"), self.dir / "r")})
        self.assertEqual(results["P"][0], 0, results["P"][1])
