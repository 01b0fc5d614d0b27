# SPDX-License-Identifier: Apache-2.0
"""chronq.Reader on real queues: records, positions, gaps, damage."""

import errno
import os
import shutil
import unittest
from datetime import datetime, timedelta, timezone

import chronq
from support import Case


class Reader(Case):
    def fill(self, payloads, segment_size=4096):
        with chronq.Writer(self.q, segment_size=segment_size) as writer:
            writer.append_many(payloads)

    def seqs(self, reader):
        return [record.seq for record in reader]

    def test_records(self):
        before = datetime.now(timezone.utc)
        self.fill([b"a", b"", b"\0" * 3000, b"d" * 3000])
        with chronq.Reader(self.q) as reader:
            records = list(reader)
        self.assertEqual([record.payload for record in records], [b"a", b"", b"\0" * 3000, b"d" * 3000])
        self.assertEqual([record.seq for record in records], [0, 1, 2, 3])
        self.assertEqual([record.stream_offset for record in records], [0, 1, 1, 3001])
        self.assertEqual([record.segment for record in records], [0, 0, 0, 1])
        self.assertEqual({record.epoch for record in records}, {1})
        for record in records:
            self.assertLessEqual(before - timedelta(microseconds=1), record.time)
            self.assertLessEqual(record.time, datetime.now(timezone.utc))
            self.assertLess(record.time_ns - int(record.time.timestamp() * 1e6) * 1000, 2000)

    def test_iteration_continues(self):
        with chronq.Writer(self.q, segment_size=4096) as writer, chronq.Reader(self.q) as reader:
            self.assertIsNone(reader.take())
            self.assertEqual(list(reader), [])
            writer.append_many([b"x" * 1000] * 10)
            for record in reader:
                if record.seq == 4:
                    break
            self.assertEqual(self.seqs(reader), [5, 6, 7, 8, 9])
            writer.append(b"more")
            self.assertEqual(self.seqs(reader.follow(timeout=0)), [10])
            self.assertEqual(self.seqs(reader.follow(timeout=0.01)), [])
            stats = reader.stats()
            self.assertEqual((stats.records, stats.bytes, stats.gaps, stats.skipped), (11, 10004, 0, 0))

    def test_old_format(self):
        shutil.copytree(os.environ["GOLDEN"] + "/v1-small", self.q)
        with chronq.Reader(self.q, passive=True) as reader:
            records = list(reader)
        self.assertTrue(records)
        self.assertEqual({(record.stream_offset, record.epoch) for record in records}, {(None, None)})

    def test_named(self):
        self.fill([b"%d" % i for i in range(10)])
        with self.assertRaises(FileNotFoundError):
            chronq.Reader(self.q, "mail", chronq.Start.RESUME)
        with chronq.Reader(self.q, "mail") as reader:
            for record in reader:
                if record.seq == 3:
                    reader.commit()
        with chronq.Reader(self.q, "mail") as reader:
            self.assertEqual(self.seqs(reader), [4, 5, 6, 7, 8, 9])
        with chronq.Reader(self.q, "mail", chronq.Start.RESUME) as reader:
            self.assertEqual(reader.take().seq, 4)
        with chronq.Reader(self.q, "mail", chronq.Start.OLDEST) as reader:
            self.assertEqual(reader.take().seq, 0)
        with chronq.Reader(self.q, start=chronq.Start.LATEST) as reader:
            self.assertIsNone(reader.take())
            with self.assertRaises(chronq.Error) as caught:
                reader.commit()
            self.assertEqual(caught.exception.errno, errno.EINVAL)
        for wrong in ("", "../up", ".hidden", "x" * 65, "a b"):
            with self.subTest(wrong), self.assertRaises(chronq.Error) as caught:
                chronq.Reader(self.q, wrong)
            self.assertEqual(caught.exception.errno, errno.EINVAL)
        with self.assertRaises(ValueError):
            chronq.Reader(self.q, "mail\0")

    def test_one_reader_of_a_name(self):
        self.fill([b"x"] * 5)
        other = self.python("""
with chronq.Reader(argv[0], "mail") as reader:
    print("open", flush=True)
    sys.stdin.read()
""", self.q)
        self.assertEqual(other.stdout.readline(), "open\n")
        for use in (lambda: chronq.Reader(self.q, "mail"), lambda: chronq.set_reader(self.q, "mail", 1),
                    lambda: chronq.delete_reader(self.q, "mail")):
            with self.assertRaises(chronq.Busy) as caught:
                use()
            self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.EBUSY, str(self.q)))
        with chronq.Queue(self.q) as queue:
            self.assertIn(queue.reader("mail").pid, (other.pid, None))  # btrfs does not tell
        self.end(other)  # kill -9
        with chronq.Reader(self.q, "mail") as reader:
            self.assertEqual(self.seqs(reader), [0, 1, 2, 3, 4])

    def test_commit_upto(self):
        self.fill([b"x"] * 10)
        with chronq.Reader(self.q, "mail") as reader, chronq.Queue(self.q) as queue:
            records = list(reader)
            for upto, next in ((records[3], 4), (5, 6), (records[2], 3)):
                reader.commit(upto)
                self.assertEqual(queue.reader("mail").seq, next)
            reader.commit()
            self.assertEqual(queue.reader("mail").seq, 10)
            reader.seek_seq(4)
            with self.assertRaises(chronq.Error) as caught:
                reader.commit(4)
            self.assertEqual(caught.exception.errno, errno.ERANGE)
            with self.assertRaises(ValueError):
                reader.commit(-1)

    def test_set_and_delete(self):
        self.fill([b"x"] * 10)
        with chronq.Reader(self.q) as reader:
            records = list(reader)
        with chronq.Queue(self.q) as queue:
            for to, seq in (
                (7, 7), (chronq.Start.OLDEST, 0), (chronq.Start.LATEST, 10),
                (datetime(2020, 1, 1, tzinfo=timezone.utc), 0), (datetime(2100, 1, 1), 10), (records[3].seq, 3),
            ):
                chronq.set_reader(self.q, "mail", to)
                self.assertEqual(queue.reader("mail").seq, seq)
            chronq.delete_reader(self.q, "mail")
            self.assertEqual(queue.readers(), [])
            with self.assertRaises(chronq.NotFound):
                chronq.delete_reader(self.q, "mail")
            for wrong in (-1, chronq.Start.RESUME):
                with self.assertRaises(ValueError):
                    chronq.set_reader(self.q, "mail", wrong)
            with self.assertRaises(chronq.Error) as caught:
                chronq.set_reader(self.q, "../mail", 1)
            self.assertEqual(caught.exception.errno, errno.EINVAL)

    def test_seeks(self):
        self.fill([b"%04d" % i for i in range(500)])
        with chronq.Reader(self.q) as reader:
            records = list(reader)
            reader.seek_seq(77)
            self.assertEqual(reader.take().seq, 77)
            reader.seek_seq(10 ** 9)
            self.assertIsNone(reader.take())
            reader.seek_oldest()
            self.assertEqual(reader.take().seq, 0)
            reader.seek_end()
            self.assertIsNone(reader.take())
            self.assertEqual(reader.seek_stream(4 * 300 + 3), 3)
            self.assertEqual(reader.take().seq, 300)
            at = records[400].time_ns
            first = next(record for record in records if record.time_ns >= at)
            reader.seek_time(at)
            self.assertEqual(reader.take().seq, first.seq)
            for when in (first.time, first.time.astimezone(timezone(timedelta(hours=5))), first.time.astimezone().replace(tzinfo=None)):
                at = first.time_ns // 1000 * 1000
                reader.seek_time(when)
                self.assertEqual(reader.take().seq, next(r.seq for r in records if r.time_ns >= at))
            reader.seek_time(datetime(2100, 1, 1, tzinfo=timezone.utc))
            self.assertIsNone(reader.take())
            for call in (reader.seek_seq, reader.seek_time, reader.seek_stream):
                for wrong in (-1, 1 << 64):
                    with self.assertRaises(ValueError):
                        call(wrong)

    def gap(self):
        """A queue of which the reader has taken record 0, and then records 3 to 8 have been deleted."""
        self.fill([b"x" * 1000] * 30)  # three fit into a segment
        for number in (1, 2):
            for path in (self.segment_file(number), self.segment_file(number).with_suffix(".idx")):
                path.unlink(missing_ok=True)

    def test_gap(self):
        self.gap()
        with chronq.Reader(self.q) as reader:
            found = []
            with self.assertRaises(chronq.Gap) as caught:
                for record in reader:
                    found.append(record.seq)
            self.assertEqual(found, [0, 1, 2])
            self.assertEqual((caught.exception.errno, caught.exception.filename), (errno.ENODATA, str(self.q)))
            self.assertEqual((caught.exception.segments, caught.exception.records), (2, 6))
            self.assertEqual(self.seqs(reader), list(range(9, 30)))
            self.assertEqual((reader.stats().gaps, reader.stats().gap_records), (1, 6))
        with chronq.Reader(self.q, skip_gaps=True) as reader:
            self.assertEqual(self.seqs(reader), [0, 1, 2, *range(9, 30)])
            self.assertEqual((reader.stats().gaps, reader.stats().gap_segments), (1, 2))
            with self.assertRaises(chronq.Gap):
                reader.seek_stream(4000)
            self.assertEqual(reader.take().seq, 9)

    def test_damaged_payload(self):
        self.fill([b"record %d" % i * 100 for i in range(10)])
        self.spoil(0, b"record 1record 1")
        with chronq.Reader(self.q) as reader:
            self.assertEqual(reader.take().seq, 0)
            for _ in range(2):
                with self.assertRaises(chronq.Damaged) as caught:
                    reader.take(timeout=None)
                self.assertEqual((caught.exception.errno, caught.exception.segment), (errno.EIO, 0))
                self.assertGreater(caught.exception.offset, 64)
            self.assertTrue(reader.skip_damage_here())
            self.assertEqual(self.seqs(reader), list(range(2, 10)))
            self.assertEqual(reader.stats().skipped, 1)
        with chronq.Reader(self.q, skip_damage=True) as reader:
            self.assertEqual(self.seqs(reader), [0, *range(2, 10)])
            self.assertEqual(reader.stats().skipped, 1)

    def test_damaged_header(self):
        self.fill([b"record %d" % i * 100 for i in range(10)])
        self.spoil(0, b"record 1record 1", -60)
        with chronq.Reader(self.q, skip_damage=True) as reader:
            found = self.seqs(reader)
            self.assertEqual(found[0], 0)
            self.assertGreater(found[1], 2)
            self.assertEqual(found[1:], list(range(found[1], 10)))
        with chronq.Reader(self.q) as reader:
            with self.assertRaises(chronq.Damaged):
                list(reader)

    def test_foreign_segment(self):
        self.fill([b"x" * 1000] * 12)
        self.segment_file(1).write_bytes(b"\0" * 4096)
        with chronq.Reader(self.q) as reader:
            with self.assertRaises(chronq.Damaged) as caught:
                list(reader)
            self.assertEqual(caught.exception.errno, errno.EBADMSG)
            self.assertTrue(reader.skip_damage_here())
            self.assertEqual(reader.take().seq, 6)

    def test_damage_at_the_end(self):
        self.fill([b"one record"])
        self.spoil(0, b"one record", -60)
        with chronq.Reader(self.q, skip_damage=True) as reader:
            for number in (1, 2, 3):
                if self.segment_file(number).exists():
                    self.segment_file(number).unlink()
            with self.assertRaises(chronq.Damaged):
                reader.take()
            self.assertFalse(reader.skip_damage_here())

    def test_what_no_queue_is(self):
        with self.assertRaises(chronq.NotFound) as caught:
            chronq.Reader(self.dir / "none")
        self.assertEqual(caught.exception.filename, str(self.dir / "none"))
        (self.dir / "file").write_text("")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Reader(self.dir)
        self.assertEqual(caught.exception.errno, errno.ENOTEMPTY)
        with self.assertRaises(ValueError):
            chronq.Reader(self.dir, start=9)

    @unittest.skipUnless(os.getuid() == 0, "needs root, to become another user")
    def test_another_user(self):
        self.fill([b"for all"])
        for path in (self.dir, self.q, *self.q.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = sorted((path.name, path.stat().st_mtime_ns) for path in self.q.iterdir())
        child = self.python("""
import shutil
os.setgid(65534); os.setuid(65534)
for passive in (False, True):
    with chronq.Reader(argv[0], passive=passive) as reader:
        print(reader.take().payload, reader.wait(0.01))
try:
    chronq.Reader(argv[0], "name")
except PermissionError as error:
    print(type(error).__name__)
""", self.q)
        self.succeeds(child, "b'for all' False\nb'for all' False\nNotPermitted\n")
        self.assertEqual(sorted((path.name, path.stat().st_mtime_ns) for path in self.q.iterdir()), before)
