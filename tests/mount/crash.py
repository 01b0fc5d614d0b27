#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crash.py kill|term ROUNDS QUEUE MOUNT - ends the daemon while two clients write.

Every round mounts, lets the clients write (each notes what a write(2) acknowledged), and ends the
daemon with SIGKILL or SIGTERM at a random moment.  The next round first reads what is new in the
queue: everything acknowledged, in each client's order, and at most the one record more that was on
its way; the sequence numbers go on without a gap.  Prints a line per case.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time


# A test that is told to stop ends its round, so that no daemon is left.
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

how, rounds, queue, mount = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
chronfs, chronq = os.environ["CHRONFS"], os.environ["CHRONQ"]
WRITERS = 2
SIGNAL = {"kill": signal.SIGKILL, "term": signal.SIGTERM}[how]
seed = int.from_bytes(os.urandom(4), "little")
random.seed(seed)
print(f"seed {seed}")


def case(what, good):
    print(("ok - " if good else "not ok - ") + what, flush=True)


def mount_is_up():
    try:
        return os.stat(mount).st_dev != parent_dev and os.path.exists(mount + "/append")
    except OSError:
        return False


def write_until_refused(fd, writer, this_round, acked):
    number = 0
    while True:
        text = f"{this_round} {writer} {number} " + "x" * (number % 300)
        try:
            if os.write(fd, text.encode()) != len(text):
                raise AssertionError("short write")
        except OSError:
            return
        acked[writer] = number + 1
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


os.makedirs(queue, exist_ok=True)
parent_dev = os.stat(os.path.dirname(mount)).st_dev
problems = []
total = [0]
next_seq = 0
acked = [0] * WRITERS
statuses = set()
begun = time.monotonic()

for this_round in range(rounds):
    daemon = None
    try:
        with open(queue + ".log", "wb") as log:
            daemon = subprocess.Popen([chronfs, queue, mount, "-f", "-o", "segment_size=64K"],
                                      stdout=log, stderr=log)
        while not mount_is_up():
            if daemon.poll() is not None:
                problems.append(f"round {this_round}: {open(queue + '.log').read()}")
                break
            time.sleep(0.001)
        if daemon.poll() is not None:
            break
        if this_round > 0:
            next_seq = check(this_round - 1, next_seq, acked)
        acked = [0] * WRITERS
        # each thread opens for itself: nodes of their own, so writes really overlap
        fds = [os.open(mount + "/append", os.O_WRONLY) for _ in range(WRITERS)]
        threads = [threading.Thread(target=write_until_refused, args=(fds[w], w, this_round, acked))
                   for w in range(WRITERS)]
        for t in threads:
            t.start()
        time.sleep(random.uniform(0, 0.03))
        daemon.send_signal(SIGNAL)
        daemon.wait(60)
        statuses.add(daemon.returncode)
        for t in threads:
            t.join()
        for fd in fds:
            os.close(fd)
        total[0] += sum(acked)
        text = open(queue + ".log").read()
        if "Sanitizer" in text or "runtime error" in text:
            problems.append(text)
    finally:
        if daemon and daemon.poll() is None:
            daemon.kill()
            daemon.wait()
        subprocess.run(["umount", "-l", mount], stderr=subprocess.DEVNULL, check=False)
    if how == "term":
        left = [n for n in os.listdir(queue) if n.endswith(".tmp")]
        if left:
            problems.append(f"round {this_round}: left {left}")
    if stopped:
        problems.append("told to stop")
    if problems:
        break
else:
    next_seq = check(rounds - 1, next_seq, acked)
    if how == "term":
        if statuses != {0}:
            problems.append(f"exit statuses {statuses}")

for p in problems[:10]:
    print(p)
print(f"{total[0]} acknowledged, {next_seq} records, {time.monotonic() - begun:.1f} s")
case(f"{rounds} rounds: every acknowledged record is there, once and in order", not problems)
case("sequence numbers run from 0 without a gap over all rounds",
     [seq for seq, _ in records(0)] == list(range(next_seq)))
case("something was written", total[0] > rounds)
