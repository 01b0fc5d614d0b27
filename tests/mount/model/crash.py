#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crash.py kill|term ROUNDS QUEUE MOUNT
crash.py places ROUNDS QUEUE MOUNT PLACE...    - ends the daemon while two clients write.

Every round mounts, lets the clients write (each notes what a write(2) acknowledged), and ends the
daemon with SIGKILL or SIGTERM at a random moment; or has it killed at one of the named places in
the library (CHRONQ_KILL), where a round in which it did not come by there ends by umount(8).  The
next round first reads what is new in the queue: everything acknowledged, in each client's order, and
at most the one record more that was on its way; the sequence numbers go on without a gap.  Prints a
line per case.  SEED=N repeats what is random in a run, as far as two clients and a daemon do.
"""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from testlib import PATIENCE, case


# On SIGTERM the test ends its round, so that no daemon is left.
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

how, rounds, queue, mount = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
chronfs, chronq = os.environ["CHRONFS"], os.environ["CHRONQ"]
WRITERS = 2
SIGNAL = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "places": signal.SIGKILL}[how]
STATUSES = {"kill": {-signal.SIGKILL}, "term": {0}, "places": {-signal.SIGKILL, 0}}[how]
places = sys.argv[5:]
MOST = 120 if places else 1 << 60  # records of a client in a round
# small segments, so that they roll; a round's records are all kept until they are checked
OPTIONS = "segment_size=4K,retain_segments=100" if places else "segment_size=64K"
# A list of all places has some that most rounds do not come by (of new queues, of repairs, of
# readers); with as many rounds as places, these are passed.
NEEDED = {"append.before_commit", "append.committed", "roll.sealed", "roll.moved",
          "publish.renamed", "sync.data", "sync.marked", "close.index", "retire.removed",
          "open.control", "close.position"} if places and rounds >= len(places) else set()
seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4), "little"))
random.seed(seed)
print(f"SEED={seed}")


def mount_is_up():
    try:
        return os.stat(mount).st_dev != parent_dev and os.path.exists(mount + "/append")
    except OSError:
        return False


def write_until_refused(fd, writer, this_round, acked):
    number = 0
    while number < MOST:
        text = f"{this_round} {writer} {number} " + "x" * (number % 300)
        try:
            if os.write(fd, text.encode()) != len(text):
                raise AssertionError("short write")
            acked[writer] = number + 1
            if number % 50 == 20:
                os.fsync(fd)
        except OSError:
            return
        number += 1


def records(first):
    """Records from this sequence number on, as (seq, text)."""
    cat = subprocess.run([chronq, "cat", "--json", "--seq", f"{first}-", queue],
                         capture_output=True, check=False, text=True)
    if cat.returncode != 0 and cat.stdout:  # it is 1 with no output where nothing is new
        problems.append(cat.stderr)
    parsed = (json.loads(line) for line in cat.stdout.splitlines())
    return [(r["seq"], r["payload"]) for r in parsed]


def check(this_round, first, acked):
    """What the last round left; returns the next sequence number."""
    seen = [0] * WRITERS
    new = records(first)
    if [seq for seq, _ in new] != list(range(first, first + len(new))):
        problems.append(f"round {this_round}: sequence numbers not {first} and on")
    for seq, text in new:
        round_, writer, number, filler = text.split(" ", 3)
        writer = int(writer)
        if int(round_) != this_round or int(number) != seen[writer] or \
                filler != "x" * (int(number) % 300):
            problems.append(f"round {this_round}: seq {seq} is {text[:40]}")
        seen[writer] = int(number) + 1
    for writer in range(WRITERS):
        if not acked[writer] <= seen[writer] <= acked[writer] + 1:
            problems.append(f"round {this_round} writer {writer}: {acked[writer]} acknowledged, "
                            f"{seen[writer]} found")
    return first + len(new)


def kill_at(this_round):
    """The place to be killed at, and at which pass: each at the first one, then mostly those that
    rounds come by, at any one."""
    if this_round < len(places):
        return places[this_round], 1
    if not hit or random.random() < 0.25:
        return random.choice(places), 1
    return random.choice(sorted(hit)), random.choice((1, 2, random.randrange(3, 30)))


def start(place, nth):
    """A daemon whose mount answers, or one that has ended."""
    environment = dict(os.environ)
    if place:
        environment["CHRONQ_KILL"] = f"{place}:{nth}"
    with open(queue + ".log", "wb") as log:
        daemon = subprocess.Popen([chronfs, queue, mount, "-f", "-o", OPTIONS],
                                  stdout=log, stderr=log, env=environment)
    while not mount_is_up() and daemon.poll() is None:
        time.sleep(0.001)
    return daemon


def open_append():
    try:
        return os.open(mount + "/append", os.O_WRONLY)
    except OSError:  # killed on the way
        if not places:
            raise
        return -1


def close(fd):
    """The daemon may be dead; what was acknowledged is in the queue even if close() fails."""
    try:
        os.close(fd)
    except OSError as e:
        if e.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
            raise


def write_and_end(daemon, this_round):
    """The clients write until the daemon's end; returns what was acknowledged to each."""
    acked = [0] * WRITERS
    # each thread opens for itself: nodes of their own, so writes really overlap
    fds = [open_append() for _ in range(WRITERS)]
    threads = [threading.Thread(target=write_until_refused, args=(fds[w], w, this_round, acked))
               for w in range(WRITERS)]
    for t in threads:
        t.start()
    if not places:
        time.sleep(random.uniform(0, 0.03))
        daemon.send_signal(SIGNAL)
        daemon.wait(PATIENCE)
    for t in threads:
        t.join()
    for fd in fds:
        if fd >= 0:
            close(fd)
    if places:  # it has not come by yet: the end has places, too
        subprocess.run(["umount", mount], stderr=subprocess.DEVNULL, check=False)
        daemon.wait(PATIENCE)
    return acked


def end(daemon):
    if daemon.poll() is None:
        daemon.kill()
        daemon.wait()
    subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL, check=False)
    text = open(queue + ".log").read()
    if daemon.returncode not in STATUSES or "Sanitizer" in text or "runtime error" in text:
        problems.append(f"the daemon ended with {daemon.returncode}: {text}")


os.makedirs(queue, exist_ok=True)
parent_dev = os.stat(os.path.dirname(mount)).st_dev
problems = []
total = 0
next_seq = 0
unchecked = None  # the last round that wrote, and what it was told
hit = {}  # rounds that were killed, by place
begun = time.monotonic()

for this_round in range(rounds):
    place, nth = kill_at(this_round) if places else (None, 0)
    daemon = start(place, nth)
    try:
        if daemon.poll() is None:
            if unchecked:
                next_seq = check(unchecked[0], next_seq, unchecked[1])
            unchecked = this_round, write_and_end(daemon, this_round)
            total += sum(unchecked[1])
        elif not places:
            problems.append(f"round {this_round}: no mount")
    finally:
        end(daemon)
    if daemon.returncode == -signal.SIGKILL:
        hit[place] = hit.get(place, 0) + 1
    if how == "term":
        left = [n for n in os.listdir(queue) if n.endswith(".tmp")]
        if left:
            problems.append(f"round {this_round}: left {left}")
    if stopped:
        problems.append("told to stop")
    if problems:
        break
else:
    if unchecked:
        next_seq = check(unchecked[0], next_seq, unchecked[1])

for p in problems[:10]:
    print(p)
print(f"{rounds} rounds, {total} acknowledged, {next_seq} records, "
      f"{time.monotonic() - begun:.1f} s")
if places:
    print(f"{sum(hit.values())} of them killed, at {len(hit)} of {len(places)} places; not at "
          + " ".join(p for p in places if p not in hit))
    missed = [p for p in NEEDED if p in places and p not in hit]
    case("places that every mount comes by were among them" +
         (f" but for {missed}" if missed else ""), not missed)
case(f"{rounds} rounds: every acknowledged record is there, once and in order", not problems)
there = [seq for seq, _ in records(0)]
case("sequence numbers run without a gap over all rounds" + (" that are kept" if places else ""),
     there == list(range(there[0] if places and there else 0, next_seq)))
case("something was written", total > rounds)
