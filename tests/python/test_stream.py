# SPDX-License-Identifier: Apache-2.0
"""chronq.Stream: a raw file over the payloads of a queue."""

import errno
import io
import os
import threading

import chronq
from support import Case


class Stream(Case):
    def setUp(self):
        super().setUp()
        self.writer = chronq.Writer(self.q, segment_size=4096)
        self.addCleanup(self.writer.close)

    def test_a_raw_file(self):
        data = b"".join(b"line %d\n" % i for i in range(3000))
        self.writer.append_many(data[at:at + 997] for at in range(0, len(data), 997))
        with chronq.Stream(self.q) as stream:
            self.assertIsInstance(stream, io.RawIOBase)
            self.assertTrue(stream.readable() and stream.seekable() and not stream.writable())
            self.assertEqual((stream.extent(), stream.size(), stream.name), ((0, len(data)), len(data), str(self.q)))
            self.assertEqual(stream.read(), data)
            self.assertEqual((stream.read(), stream.read(5), stream.tell()), (b"", b"", len(data)))
            self.assertEqual(stream.seek(-6, os.SEEK_END), len(data) - 6)
            self.assertEqual(stream.read(100), data[-6:])
            self.assertEqual((stream.seek(10), stream.seek(5, os.SEEK_CUR), stream.read(3)), (10, 15, data[15:18]))
            self.assertEqual(stream.tell(), 18)
            buffer = bytearray(b"-" * 2000)
            self.assertEqual(stream.readinto(memoryview(buffer)[100:1900]), 1800)
            self.assertEqual(buffer, b"-" * 100 + data[18:1818] + b"-" * 100)
            self.assertEqual(stream.readinto(bytearray()), 0)
            for wrong in (lambda: stream.seek(-1), lambda: stream.seek(0, 9), lambda: stream.pread(-1, 0),
                          lambda: stream.pread(1, -1)):
                with self.assertRaises(ValueError):
                    wrong()
            with self.assertRaises(io.UnsupportedOperation):
                stream.write(b"x")
        with io.TextIOWrapper(io.BufferedReader(chronq.Stream(self.q))) as text:
            self.assertEqual(text.read(), data.decode())
        with chronq.Stream(self.q) as stream:
            self.assertEqual(list(stream), data.splitlines(keepends=True))

    def test_pread(self):
        self.writer.append(b"0123456789")
        with chronq.Stream(self.q) as stream:
            self.assertEqual(stream.pread(4, 3), b"3456")
            self.assertEqual(stream.pread(1 << 40, 7), b"789")
            self.assertEqual((stream.pread(1, 10), stream.pread(1, 1 << 50), stream.pread(0, 3)), (b"", b"", b""))
            self.assertEqual(stream.tell(), 0)

    def test_grows(self):
        with chronq.Stream(self.q) as stream:
            self.assertEqual((stream.read(), stream.size()), (b"", 0))
            for i in range(30):
                self.writer.append(b"%04d" % i * 300)
                self.assertEqual(stream.read(), b"%04d" % i * 300)

    def test_trimmed(self):
        self.writer.append_many(b"%d" % (i % 10) * 1000 for i in range(30))  # three fit into a segment
        with chronq.Stream(self.q) as stream:
            self.assertEqual(stream.read(5), b"00000")
            self.assertEqual(self.writer.trim(9), 3)
            stream.seek(5)
            with self.assertRaises(chronq.Gap) as caught:
                stream.read(5)
            self.assertEqual((caught.exception.errno, stream.tell()), (errno.ENODATA, 5))
            self.assertEqual(stream.extent(), (9000, 30000))
            self.assertEqual(stream.seek(5, os.SEEK_DATA), 9000)
            self.assertEqual(stream.read(2), b"99")
            self.assertEqual(stream.seek(9000, os.SEEK_HOLE), 30000)
        with chronq.Stream(self.q) as stream:
            self.assertEqual(stream.tell(), 9000)
            self.assertEqual(len(stream.read()), 21000)

    def test_damaged(self):
        self.writer.append_many([b"good", b"wrong", b"good again"])
        self.spoil(0, b"wrong")
        with chronq.Stream(self.q) as stream:
            self.assertEqual(stream.read(100), b"good")
            for _ in range(2):
                with self.assertRaises(chronq.Damaged) as caught:
                    stream.read(100)
                self.assertEqual(caught.exception.errno, errno.EIO)
            self.assertEqual(stream.pread(100, 9), b"good again")

    def test_threads(self):
        self.writer.append_many(b"%05d" % i * 40 for i in range(400))
        wrong = []
        with chronq.Stream(self.q) as stream:
            def work(first):
                for i in range(first, 400, 4):
                    if stream.pread(200, 200 * i) != b"%05d" % i * 40:
                        wrong.append(i)
            threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def test_what_no_queue_is(self):
        with self.assertRaises(FileNotFoundError):
            chronq.Stream(self.dir / "none")
        (self.dir / "file").write_text("")
        with self.assertRaises(chronq.Error) as caught:
            chronq.Stream(self.dir)
        self.assertEqual(caught.exception.errno, errno.ENOTEMPTY)
