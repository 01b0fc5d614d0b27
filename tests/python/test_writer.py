# SPDX-License-Identifier: Apache-2.0
"""chronq.Writer on real queues."""

import array
import errno
import logging
import mmap
import os
import shutil
import subprocess
import threading
import unittest

import chronq
from support import Case, wait_for


class Writer(Case):
    def payloads(self):
        with chronq.Reader(self.q) as reader:
            return [record.payload for record in reader]

    def test_append_takes_any_buffer(self):
        view = memoryview(bytearray(b"0123456789"))
        anonymous = mmap.mmap(-1, 4096)
        anonymous[:3] = b"map"
        given = [
            b"bytes", b"", bytearray(b"array"), bytearray(), view[2:5], memoryview(b"read-only")[5:],
            array.array("I", [1, 2]), anonymous, b"\0\n\xff",
        ]
        with chronq.Writer(self.q, segment_size=65536) as writer:
            self.assertEqual([writer.append(payload) for payload in given], list(range(len(given))))
            self.assertEqual(writer.append_many(given), 2 * len(given) - 1)
        wanted = [bytes(payload) for payload in given] * 2
        self.assertEqual(self.payloads(), wanted)
        self.assertEqual(self.chronq("cat", self.q), b"".join(wanted))
        with chronq.Writer(self.q) as writer:
            with self.assertRaises(ValueError):
                writer.append(view[::2])
            with self.assertRaises(TypeError):
                writer.append("text")
            with self.assertRaises(TypeError):
                writer.append_many([b"good", "text"])
        self.assertEqual(self.payloads(), wanted)

    def test_types(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            writer.append(b"default")
            writer.append(b"seven", 7)
            writer.append_many([(b"eight", 8), b"nine", (b"most", 0xFFFE)], type=9)
            for wrong in (-1, 0x10000):
                with self.assertRaises(ValueError):
                    writer.append(b"", wrong)
                with self.assertRaises(ValueError):
                    writer.append_many([(b"", wrong)])
            with self.assertRaises(chronq.Error) as caught:
                writer.append(b"", 0xFFFF)
            self.assertEqual(caught.exception.errno, errno.EINVAL)
        with chronq.Reader(self.q) as reader:
            self.assertEqual([record.type for record in reader], [chronq.TYPE_DEFAULT, 7, 8, 9, 0xFFFE])

    def test_append_many(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            self.assertIsNone(writer.append_many([]))
            self.assertEqual(writer.append_many(b"%d" % i for i in range(5000)), 4999)
            longest = writer.max_payload
            with self.assertRaises(chronq.Error) as caught:
                writer.append_many([b"before", b"too", b"x" * (longest + 1), b"behind"])
            self.assertEqual((caught.exception.errno, caught.exception.appended), (errno.EMSGSIZE, 2))
            with self.assertRaises(chronq.Error) as caught:
                writer.append(b"x" * (longest + 1))
            self.assertEqual((caught.exception.errno, caught.exception.appended), (errno.EMSGSIZE, 0))
            self.assertEqual(writer.append(b"y" * longest), 5002)
        self.assertEqual(self.payloads(), [b"%d" % i for i in range(5000)] + [b"before", b"too", b"y" * longest])

    def test_times_of_an_import(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            writer.append(b"a", time_ns=5)
            writer.append(b"b", 7, 10 ** 18)
            self.assertEqual(writer.append_many([b"c", (b"d", 9)], times_ns=iter([2 * 10 ** 18, 3])), 3)
            for wrong in ([1], [1, 2, 3], [1, -1]):
                with self.assertRaises(ValueError):
                    writer.append_many([b"x", b"y"], times_ns=wrong)
            with self.assertRaises(ValueError):
                writer.append(b"x", time_ns=1 << 64)
        with chronq.Reader(self.q) as reader:
            self.assertEqual([(record.payload, record.type, record.time_ns) for record in reader],
                             [(b"a", 1, 5), (b"b", 7, 10 ** 18), (b"c", 1, 2 * 10 ** 18), (b"d", 9, 3)])

    def test_full_and_room_again(self):
        told = threading.Event()
        with chronq.Writer(self.q, segment_size=4096, max_bytes=5 * 4096, space=told.set) as writer:
            with self.assertRaises(chronq.Full) as caught:
                writer.append_many([b"x" * 1000] * 100)
            self.assertEqual(caught.exception.errno, errno.EDQUOT)
            self.assertIn("max_bytes", caught.exception.strerror)
            held = caught.exception.appended
            self.assertEqual(writer.stats().next_seq, held)
            with self.assertRaises(chronq.Full):
                writer.append(b"x" * 1000)
            told.clear()
            self.assertGreater(writer.trim(held), 0)
            self.assertTrue(told.wait(60))
            self.assertEqual(writer.append(b"x" * 1000), held)
            self.assertGreaterEqual(writer.stats().full, 2)

    def test_options(self):
        for wrong in (
            {"segment_size": 5000}, {"spares": 9}, {"sync": chronq.Sync.INTERVAL, "sync_interval_ms": 0},
            {"segment_size": 4096, "max_bytes": 4096},
        ):
            with self.subTest(wrong), self.assertRaises(chronq.Error) as caught:
                chronq.Writer(self.q, **wrong)
            self.assertEqual(caught.exception.errno, errno.EINVAL)
        for wrong in ({"segment_size": -1}, {"spares": 1 << 32}, {"retain_bytes": 1 << 64}, {"sync": 3}):
            with self.subTest(wrong), self.assertRaises(ValueError):
                chronq.Writer(self.q, **wrong)
        self.assertFalse(self.q.exists())
        with self.assertRaises(ValueError):
            chronq.Writer(b"a\0b")
        with chronq.Writer(self.q, segment_size=4096, retain_segments=3) as writer:
            for _ in range(20):
                writer.append(b"x" * 2000)
            self.assertTrue(wait_for(lambda: writer.stats().retired >= 5))
            self.assertEqual(writer.stats().segment_size, 4096)
        with self.assertRaises(chronq.Error) as caught:
            chronq.Writer(self.q, segment_size=8192)
        self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_a_copy_begins_elsewhere(self):
        with chronq.Writer(self.q, segment_size=4096, begin_seq=500, begin_stream=7000) as writer:
            self.assertEqual(writer.append(b"first"), 500)
        with chronq.Reader(self.q) as reader, chronq.Stream(self.q) as stream:
            with self.assertRaises(chronq.Gap):
                reader.seek_stream(6999)
            record = reader.take()
            self.assertEqual((record.seq, record.stream_offset), (500, 7000))
            self.assertEqual((stream.extent(), stream.read()), ((7000, 7005), b"first"))
        with self.assertRaises(chronq.Error) as caught:
            chronq.Writer(self.q, begin_seq=501)
        self.assertEqual(caught.exception.errno, errno.EEXIST)

    def test_a_replica(self):
        source = self.dir / "source"
        chronq.Writer(source).close()
        with chronq.Queue(source) as queue:
            identity, none = queue.info().identity, queue.info().replica_of
        self.assertEqual((len(identity), none), (16, None))
        chronq.Writer(self.q, replica_of=identity).close()
        with chronq.Queue(self.q) as queue:
            self.assertEqual(queue.info().replica_of, identity)
        for other, error in ((None, errno.EREMOTE), (b"x" * 16, errno.ENOLINK)):
            with self.assertRaises(chronq.Error) as caught:
                chronq.Writer(self.q, replica_of=other)
            self.assertEqual(caught.exception.errno, error)
        with self.assertRaises(ValueError):
            chronq.Writer(self.q, replica_of=b"short")

    def test_a_gap_of_a_replica(self):
        with chronq.Writer(self.q, replica_of=bytes(range(16))) as writer:
            writer.append(b"zero")
            writer.skip(10, 1000)
            self.assertEqual(writer.append(b"ten"), 10)
            with self.assertRaises(chronq.Error) as refused:
                writer.skip(5)
            self.assertEqual(refused.exception.errno, errno.ERANGE)
        with chronq.Reader(self.q) as reader:
            self.assertEqual(reader.take().payload, b"zero")
            with self.assertRaises(chronq.Gap) as gap:
                reader.take()
            self.assertEqual(gap.exception.records, 9)
            self.assertEqual(reader.take().stream_offset, 1000)
        found = chronq.verify(self.q)
        self.assertTrue(found.sound)
        self.assertEqual((found.gaps, found.gap_records), (1, 9))
        with chronq.Writer(self.dir / "plain") as writer, self.assertRaises(chronq.Error) as refused:
            writer.skip(10)
        self.assertEqual(refused.exception.errno, errno.ENOLINK)

    def test_require_prealloc(self):
        with chronq.Writer(self.q, segment_size=4096, require_prealloc=True, prealloc_wait_ms=60000) as writer:
            for _ in range(10):
                writer.append(b"x" * 3000)
            self.assertEqual(writer.stats().rolls_fallback, 0)

    def test_sync(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            writer.append_many([b"x"] * 10)
            writer.sync()
            self.assertEqual(writer.stats().durable_seq, 10)
            writer.append(b"y")
            self.assertEqual(writer.stats().durable_seq, 10)
        with chronq.Writer(self.q, sync=chronq.Sync.ALWAYS) as writer:
            writer.append(b"z")
            self.assertEqual(writer.stats().durable_seq, 12)
            self.assertEqual(sum(writer.stats().sync_within[-1:]), writer.stats().syncs)
        with chronq.Writer(self.q, sync=chronq.Sync.INTERVAL, sync_interval_ms=5) as writer:
            writer.append(b"z")
            self.assertTrue(wait_for(lambda: writer.stats().durable_seq == 13))

    def test_roll_and_trim(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            for i in range(4):
                writer.append(b"%d" % i)
                writer.roll()
            self.assertEqual(writer.stats().segment, 4)
            self.assertEqual(writer.trim(2), 2)
            with chronq.Reader(self.q, "holds") as reader:
                self.assertEqual(reader.take().payload, b"2")
                reader.seek_oldest()
                reader.commit()
                with self.assertRaises(chronq.Busy) as caught:
                    writer.trim(4)
                self.assertEqual(caught.exception.errno, errno.EBUSY)
                reader.seek_end()
                reader.commit()
                self.assertEqual(writer.trim(4, most=1), 1)
                self.assertEqual(writer.trim(100), 1)
            with self.assertRaises(ValueError):
                writer.trim(-1)
            self.assertEqual(writer.stats().retired, 4)
        self.assertEqual(self.payloads(), [])

    def test_second_writer(self):
        other = self.python("""
with chronq.Writer(argv[0]):
    print("open", flush=True)
    sys.stdin.read()
""", self.q)
        self.assertEqual(other.stdout.readline(), "open\n")
        messages = []
        with self.assertRaises(chronq.Busy) as caught:
            chronq.Writer(self.q, log=lambda level, text: messages.append((level, text)))
        self.assertIsInstance(caught.exception, OSError)
        self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.EBUSY, str(self.q)))
        self.assertIn("in use", caught.exception.strerror)
        self.assertEqual(caught.exception.__notes__, [text for _, text in messages])
        self.assertIn(str(other.pid), messages[0][1])
        self.assertEqual(messages[0][0], logging.ERROR)
        with self.assertLogs("chronq", logging.ERROR) as logged, self.assertRaises(chronq.Busy):
            chronq.Writer(self.q)
        self.assertIn(str(other.pid), logged.output[0])
        other.stdin.close()
        self.assertEqual(other.wait(60), 0)
        chronq.Writer(self.q).close()

    def test_what_no_queue_is(self):
        with self.assertRaises(FileNotFoundError) as caught:
            chronq.Writer(self.dir / "none" / "q")
        self.assertIsInstance(caught.exception, chronq.NotFound)
        (self.dir / "file").write_text("")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Writer(self.dir)
        self.assertEqual(caught.exception.errno, errno.ENOTEMPTY)
        self.assertEqual(caught.exception.strerror, "the directory holds files, but no queue")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Writer(self.dir / "file")
        self.assertEqual(caught.exception.errno, errno.ENOTDIR)
        os.mkdir(self.q)
        os.symlink("/nowhere", self.q / "writer.lock")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Writer(self.q)
        self.assertEqual(caught.exception.errno, errno.ELOOP)

    def test_threads(self):
        each, threads = 500, 6

        def work(name):
            for i in range(each):
                if i % 50 == 0:
                    writer.sync()
                writer.append(b"%d %d" % (name, i))

        with chronq.Writer(self.q, segment_size=65536) as writer:
            workers = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        found = self.payloads()
        self.assertEqual(len(found), each * threads)
        for name in range(threads):
            mine = [payload for payload in found if payload.startswith(b"%d " % name)]
            self.assertEqual(mine, [b"%d %d" % (name, i) for i in range(each)])

    def test_close_waits_for_calls(self):
        inside, leave, closed = threading.Event(), threading.Event(), threading.Event()

        def work(pointer):
            inside.set()
            leave.wait(60)
            return 0

        def close():
            writer.close()
            closed.set()

        writer = chronq.Writer(self.q)
        caller = threading.Thread(target=lambda: writer._handle.call(work))
        caller.start()
        inside.wait(60)
        closer = threading.Thread(target=close)
        closer.start()
        self.assertTrue(wait_for(lambda: writer.closed))
        self.assertFalse(closed.wait(0.2))
        with self.assertRaises(ValueError):
            writer.append(b"x")
        leave.set()
        caller.join()
        closer.join()
        self.assertTrue(closed.is_set())
        chronq.Writer(self.q).close()

    def test_close_beside_appends(self):
        for _ in range(20):
            appended = []
            started = threading.Barrier(4)

            def work():
                started.wait()
                try:
                    while True:
                        appended.append(writer.append(b"x"))
                        writer.sync()
                except ValueError:
                    pass

            writer = chronq.Writer(self.q, segment_size=1 << 20)
            workers = [threading.Thread(target=work) for _ in range(3)]
            for worker in workers:
                worker.start()
            started.wait()
            writer.close()
            for worker in workers:
                worker.join()
            with chronq.Reader(self.q) as reader:
                seqs = {record.seq for record in reader}
            self.assertLessEqual(set(appended), seqs)

    @unittest.skipUnless(shutil.which("strace"), "no strace here")
    def test_failed_sync(self):
        child = self.python("""
def outcome(call, *arguments):
    try:
        return call(*arguments)
    except chronq.Damaged as error:
        return error.errno, error.appended
writer = chronq.Writer(argv[0], sync=chronq.Sync.ALWAYS)
print("ready", flush=True)
sys.stdin.readline()
print([outcome(writer.append_many, [b"a", b"b"]), outcome(writer.append, b"c"), outcome(writer.sync),
    writer.stats().error, outcome(writer.close)])
""", self.q)
        self.assertEqual(child.stdout.readline(), "ready\n")
        calls = "fsync,fdatasync,msync,sync_file_range,syncfs"
        disk = subprocess.Popen(
            ["strace", "-f", "-p", str(child.pid), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"],
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, disk)
        first = disk.stderr.readline()
        if "attached" not in first:
            self.skipTest("strace may not attach here: " + first.strip())
        said, _ = child.communicate("go\n", timeout=60)
        eio = errno.EIO
        self.assertEqual(said, f"{[(eio, 2), (eio, 0), (eio, 0), eio, (eio, 0)]}\n")
        with chronq.Writer(self.q) as writer:
            self.assertEqual(writer.append(b"again"), 2)
        self.assertEqual(self.payloads(), [b"a", b"b", b"again"])
