# SPDX-License-Identifier: Apache-2.0
"""Waiting, and signals: readers woken across processes, interrupted, and no record lost by that."""

import os
import signal
import threading
import time
from unittest import mock

import chronq
from chronq._arguments import in_slices
from support import Case, sleeping, wait_for

# A program that reads: it says "ready" once it has looked at an empty queue.
WAITER = """
with chronq.Reader(argv[0]) as reader:
    assert reader.take() is None
    print("ready", flush=True)
    for record in reader.follow():
        print(record.payload.decode(), flush=True)
        if record.payload == b"end":
            break
"""


class Wait(Case):
    def test_wakes_other_processes(self):
        with chronq.Writer(self.q, segment_size=4096) as writer:
            waiters = [self.python(WAITER, self.q) for _ in range(3)]
            for waiter in waiters:
                self.assertEqual(waiter.stdout.readline(), "ready\n")
            for i in range(50):
                writer.append(b"%d" % i + b" " * 1000)
                for waiter in waiters:
                    self.assertEqual(waiter.stdout.readline().strip(), str(i))
            writer.append(b"end")
            for waiter in waiters:
                self.succeeds(waiter, "end\n")

    def test_woken_by_another_process(self):
        writer = self.python("""
with chronq.Writer(argv[0]) as writer:
    print("open", flush=True)
    for line in sys.stdin:
        writer.append(line.encode())
""", self.q)
        self.assertEqual(writer.stdout.readline(), "open\n")
        with chronq.Reader(self.q) as reader:
            for i in range(50):
                self.assertIsNone(reader.take())
                print(i, file=writer.stdin, flush=True)
                self.assertTrue(reader.wait())
                self.assertEqual(reader.take(timeout=None).payload, b"%d\n" % i)
            self.succeeds(writer)

    def test_timeouts(self):
        with chronq.Writer(self.q), chronq.Reader(self.q) as reader:
            for span in (0, 0.001, 0.3):
                begin = time.monotonic()
                self.assertFalse(reader.wait(span))
                self.assertIsNone(reader.take(span))
                self.assertGreaterEqual(time.monotonic() - begin, 2 * span)
            for call in (reader.wait, reader.take, lambda span: next(reader.follow(span))):
                for wrong in (-1, float("nan")):
                    with self.assertRaises(ValueError):
                        call(wrong)

    def test_other_threads_run_meanwhile(self):
        with chronq.Writer(self.q) as writer, chronq.Reader(self.q) as reader:
            got = []
            thread = threading.Thread(target=lambda: got.append(reader.take(timeout=float("inf"))))
            thread.start()
            # The reader says that it is in use only while the thread is inside.
            def in_use():
                try:
                    reader.stats()
                except RuntimeError:
                    return True
            self.assertTrue(wait_for(in_use))
            with self.assertRaises(RuntimeError):
                reader.close()
            writer.append(b"woken")
            thread.join()
            self.assertEqual(got[0].payload, b"woken")
            self.assertIsNone(reader.take())

    def test_keyboard_interrupt(self):
        chronq.Writer(self.q).close()
        for call in ("reader.wait()", "reader.take(None)", "next(reader.follow())", "reader.wait(1e6)",
                     "chronq.Queue(argv[0]).wait_durable(1 << 40)"):
            with self.subTest(call):
                child = self.python(f"""
with chronq.Reader(argv[0], "name", chronq.Start.LATEST) as reader:
    try:
        print("ready", flush=True)
        {call}
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.readline()
    print(reader.take(timeout=None).payload)
""", self.q)
                self.assertEqual(child.stdout.readline(), "ready\n")
                self.assertTrue(wait_for(lambda: sleeping(child.pid)))
                child.send_signal(signal.SIGINT)
                self.assertEqual(child.stdout.readline(), "interrupted\n")
                with chronq.Writer(self.q) as writer:
                    writer.append(b"later")
                self.succeeds(child, "b'later'\n")

    def test_no_wait_is_long(self):
        # A signal that comes just before the library falls asleep is seen when its wait ends.
        spans = []

        def wait(ms):
            spans.append(ms)
            return len(spans) == 5

        self.assertTrue(in_slices(wait, None))
        self.assertTrue(in_slices(lambda ms: wait(ms) or True, 10 ** 9))
        self.assertLessEqual(max(spans), 500)
        self.assertGreater(min(spans), 20)

    def test_handlers_run_and_waiting_continues(self):
        ran = []
        before = signal.signal(signal.SIGUSR1, lambda *_: ran.append(1))
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        with chronq.Writer(self.q) as writer, chronq.Reader(self.q) as reader:
            main = threading.main_thread().ident

            def disturb():
                for count in range(1, 4):
                    signal.pthread_kill(main, signal.SIGUSR1)
                    wait_for(lambda: len(ran) == count)
                writer.append(b"x")

            thread = threading.Thread(target=disturb)
            thread.start()
            self.assertTrue(reader.wait())
            thread.join()
            self.assertEqual(len(ran), 3)

    def test_exceptions_of_handlers_lose_no_record(self):
        # A timer raises at any place, and the loop continues: each record comes once.
        count = 20000
        with chronq.Writer(self.q, segment_size=1 << 20) as writer:
            writer.append_many(b"%d" % i for i in range(count))
        child = self.python("""
import signal
class Interrupt(Exception):
    pass
def handler(_, frame):
    while frame is not None:
        if frame.f_code is collect.__code__:  # and not where nobody catches it
            raise Interrupt
        frame = frame.f_back
def collect():
    for record in reader:
        found.append(record.seq)  # no handler runs before this has been done
    return True
def collected():
    global caught
    try:
        return collect()
    except Interrupt:
        caught += 1
caught = 0
found = []
count = int(argv[1])
with chronq.Reader(argv[0]) as reader:
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    while not collected():
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
assert caught > 20, caught
assert found == list(range(count)), [pair for pair in zip(found, range(count)) if pair[0] != pair[1]][:3]
print("good")
""", self.q, count)
        self.succeeds(child, "good\n")

    def test_interrupted_verification(self):
        with chronq.Writer(self.q, segment_size=4096) as writer:
            writer.append_many([b"x" * 3000] * 2000)
        seen = []

        def progress(now):
            seen.append(now)
            os.kill(os.getpid(), signal.SIGINT)

        with mock.patch("chronq._job.EVERY", 0.0001):
            with self.assertRaises(KeyboardInterrupt):
                chronq.verify(self.q, progress)
        self.assertEqual(seen[0].phase, "verify")
        self.assertEqual(seen[0].segments, len(list(self.q.glob("*.q"))))
        self.assertLess(seen[0].bytes_done, seen[0].bytes)
        self.assertTrue(chronq.verify(self.q).sound)

    def test_an_open_that_was_faster(self):
        with mock.patch("chronq._job.EVERY", "a TypeError"):
            with self.assertRaises(TypeError):
                chronq.Writer(self.q)
        chronq.Writer(self.q).close()  # nobody has the queue

    def test_interrupted_open(self):
        child = self.python("""
import signal
writer = chronq.Writer(argv[0], segment_size=64 << 20)
for _ in range(3000):
    writer.append(b"x" * 20000)
os.kill(os.getpid(), signal.SIGKILL)
""", self.q)
        child.communicate()
        files = {path.name: path.stat().st_mtime_ns for path in self.q.glob("*.q")}

        def progress(now):
            self.assertEqual(now.phase, "recover")
            raise ZeroDivisionError

        with mock.patch("chronq._job.EVERY", 0.0001):
            with self.assertRaises(ZeroDivisionError):
                chronq.Writer(self.q, progress=progress)
        self.assertEqual({path.name: path.stat().st_mtime_ns for path in self.q.glob("*.q")}, files)
        with chronq.Writer(self.q) as writer:
            self.assertEqual(writer.stats().next_seq, 3000)
