# SPDX-License-Identifier: Apache-2.0
"""chronq.Queue and chronq.verify(): what is in a queue."""

import errno
import os
import time

import chronq
from support import Case


class Queue(Case):
    def test_an_empty_directory(self):
        self.q.mkdir()
        with chronq.Queue(self.q) as queue:
            info = queue.info()
            self.assertEqual((info.segment_size, info.segments, info.oldest, info.current), (0, 0, None, None))
            self.assertEqual((queue.segments(), queue.readers()), ([], []))
            holder = queue.holder()
            self.assertEqual((holder.locked, holder.pid), (False, None))

    def test_info_and_holder(self):
        with chronq.Writer(self.q, segment_size=4096) as writer, chronq.Queue(self.q) as queue:
            writer.append_many([b"x" * 1000] * 7)
            info = queue.info()
            self.assertEqual((info.segment_size, info.oldest, info.current, info.epoch), (4096, 0, 2, 1))
            self.assertEqual(info.newest, info.segments - 1)
            self.assertEqual(info.offset, writer.stats().offset)
            self.assertLess(abs(info.heartbeat_ns - time.time_ns()), 60e9)
            holder = queue.holder()
            self.assertEqual((holder.locked, holder.alive, holder.pid), (True, True, os.getpid()))
        with chronq.Queue(self.q) as queue:
            self.assertFalse(queue.holder().locked)

    def test_bounds_and_durable(self):
        with chronq.Writer(self.q, segment_size=4096) as writer, chronq.Queue(self.q) as queue:
            writer.append_many([b"x" * 1000] * 7)
            self.assertFalse(queue.wait_durable(7, 0.01))
            before = queue.info().flushes
            writer.sync()
            self.assertGreater(queue.info().flushes, before)
            self.assertTrue(queue.wait_durable(7, 0))
            self.assertEqual(queue.info().durable_seq, 7)
            writer.append(b"y")
            waiter = self.python("""
queue = chronq.Queue(argv[0])
print(queue.wait_durable(8, 0), flush=True)
print(queue.wait_durable(8), flush=True)
queue.close()
""", self.q)
            self.assertEqual(waiter.stdout.readline(), "False\n")
            writer.sync()
            self.succeeds(waiter, "True\n")
            self.assertEqual(writer.trim(3), 1)
            info = queue.info()
            self.assertEqual((info.first_seq, info.next_seq, info.stream_begin, info.stream_end), (3, 8, 3000, 7001))
            with self.assertRaises(ValueError):
                queue.wait_durable(-1)

    def test_segments(self):
        begin = time.time_ns()
        with chronq.Writer(self.q, segment_size=4096) as writer, chronq.Queue(self.q) as queue:
            writer.append_many([b"x" * 1000] * 7)
            for source in chronq.Source:
                segments = queue.segments(source)
                self.assertEqual([segment.id for segment in segments], list(range(len(segments))))
                sealed, live = segments[1], segments[2]
                self.assertEqual((sealed.version, sealed.file_bytes, sealed.sealed, live.sealed), (2, 4096, True, False))
                self.assertEqual((sealed.records, sealed.payload_bytes, sealed.first_seq, sealed.last_seq), (3, 3000, 3, 5))
                self.assertEqual(sealed.stream_base, 3000)
                if source == chronq.Source.HEADER:
                    self.assertEqual((live.records, live.used, live.last_seq), (None, None, None))
                    self.assertEqual((sealed.first_time_ns, sealed.last_time_ns), (None, None))
                else:
                    self.assertEqual((live.records, live.payload_bytes, live.last_seq), (1, 1000, 6))
                    self.assertLess(begin, sealed.first_time_ns)
                    self.assertLessEqual(sealed.first_time_ns, sealed.last_time_ns)
                    self.assertLess(sealed.last_time_ns, time.time_ns())
                self.assertFalse(sealed.damaged)
        self.spoil(1, b"x" * 1000)
        self.segment_file(0).write_bytes(b"\0" * 4096)
        with chronq.Queue(self.q) as queue:
            first, second, *_ = queue.segments(chronq.Source.RECORDS)
            self.assertEqual((first.id, first.damaged, first.version, first.records), (0, True, 0, None))
            self.assertEqual((second.damaged, second.records, second.last_seq), (True, 0, None))

    def test_readers(self):
        with chronq.Writer(self.q, segment_size=4096) as writer, chronq.Queue(self.q) as queue:
            writer.append_many([b"x" * 1000] * 7)
            for name, count in (("b", 1), ("a", 7)):
                with chronq.Reader(self.q, name) as reader:
                    for _ in range(count):
                        record = reader.take()
                    reader.commit()
            a, b = queue.readers()
            self.assertEqual((a.name, a.lag_bytes, a.lag_records, a.segment), ("a", 0, 0, 2))
            self.assertEqual((a.seq, a.next_time_ns, a.missing, a.pid), (7, None, False, None))
            self.assertEqual((b.name, b.segment, b.seq, b.lag_records), ("b", 0, 1, 6))
            self.assertGreater(b.lag_bytes, 4096)
            self.assertLessEqual(b.next_time_ns, record.time_ns)
            self.assertLess(abs(b.heartbeat_ns - time.time_ns()), 60e9)
            self.assertEqual(queue.reader("b"), b)
            for wrong, error in (("none", errno.ENOENT), ("../a", errno.EINVAL)):
                with self.assertRaises(chronq.Error) as caught:
                    queue.reader(wrong)
                self.assertEqual(caught.exception.errno, error)
            for number in (0, 1):
                self.segment_file(number).unlink()
            self.assertTrue(queue.reader("b").missing)

    def test_verify(self):
        with chronq.Writer(self.q, segment_size=4096) as writer:
            writer.append_many([b"x" * 1000] * 6 + [b"last"])
        result = chronq.verify(self.q)
        self.assertTrue(result.sound)
        self.assertEqual((result.records, result.payload_bytes), (7, 6004))
        self.assertEqual(result.segments, len(list(self.q.glob("*.q"))))
        self.spoil(1, b"last")
        result = chronq.verify(str(self.q))
        self.assertFalse(result.sound)
        finding = next(finding for finding in result.findings if finding.damage)
        self.assertEqual(finding.segment, 1)
        self.assertIn("checksum", finding.text)
        with self.assertRaises(chronq.NotFound):
            chronq.verify(self.dir / "none")
        with self.assertRaises(chronq.Error) as caught:
            chronq.verify(self.dir)
        self.assertEqual(caught.exception.errno, errno.ENOTEMPTY)

    def test_what_no_queue_is(self):
        with self.assertRaises(FileNotFoundError):
            chronq.Queue(self.dir / "none")
        (self.dir / "file").write_text("")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Queue(self.dir)
        self.assertEqual(caught.exception.errno, errno.ENOTEMPTY)
