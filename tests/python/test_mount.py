# SPDX-License-Identifier: Apache-2.0
"""The module beside a mount of the same queue, and beside chronq."""

import os
import subprocess
import unittest

import chronq
from support import CHRONQ, PATIENCE, Case, wait_for


def possible():
    return os.getuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)


@unittest.skipUnless(possible(), "mounts as root, with /dev/fuse")
class Mount(Case):
    def mount(self, *options):
        """Mounts the queue at self.m; the daemon."""
        self.m = self.dir / "m"
        self.m.mkdir(exist_ok=True)
        daemon = subprocess.Popen([os.environ["CHRONFS"], self.q, self.m, "-f", *options])
        self.addCleanup(self.end, daemon)
        self.addCleanup(subprocess.run, ["umount", "-l", self.m], stderr=subprocess.DEVNULL)
        self.assertTrue(wait_for(lambda: daemon.poll() is not None or (self.m / "stats.json").exists()))
        self.assertIsNone(daemon.poll())
        return daemon

    def unmount(self, daemon):
        subprocess.run(["umount", self.m], check=True)
        self.assertEqual(daemon.wait(PATIENCE), 0)

    def metric(self, name):
        for line in (self.m / "metrics").read_text().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None

    def test_reads_what_the_mount_appends(self):
        daemon = self.mount("-o", "segment_size=64K")
        with self.assertRaises(chronq.Busy) as caught:
            chronq.Writer(self.q)
        self.assertIn(str(daemon.pid), caught.exception.__notes__[0])
        with chronq.Reader(self.q, "py") as reader, chronq.Stream(self.q) as stream:
            for i in range(20):
                self.assertIsNone(reader.take())
                (self.m / "append").write_bytes(b"%d\n" % i * 1000)
                self.assertTrue(reader.wait())
                self.assertEqual(reader.take().payload, b"%d\n" % i * 1000)
                self.assertEqual(stream.read(), b"%d\n" % i * 1000)
            (self.m / "append.lines").write_bytes(b"a line\nanother\n")
            self.assertEqual([record.payload for record in reader.follow(0)], [b"a line\n", b"another\n"])
            self.assertEqual((self.m / "stream").read_bytes(), stream.pread(1 << 20, 0))
        self.unmount(daemon)

    def test_the_mount_knows_the_reader(self):
        daemon = self.mount("-o", "segment_size=4K")
        for i in range(9):
            (self.m / "append").write_bytes(b"%d" % i * 1000)  # three in a segment
        with chronq.Reader(self.q, "py") as reader:
            reader.take()
            reader.commit()
            self.assertTrue(wait_for(lambda: self.metric('chronfs_reader_lag_bytes{reader="py"}')))
            with self.assertRaises(OSError):  # EBUSY: the reader needs the first segment
                (self.m / "ctl").write_bytes(b"trim 3\n")
            records = list(reader)
            reader.commit(records[4])
            (self.m / "ctl").write_bytes(b"trim 3\n")
            reader.commit()
            self.assertTrue(wait_for(lambda: self.metric('chronfs_reader_lag_bytes{reader="py"}') == 0))
        self.unmount(daemon)
        with chronq.Reader(self.q, "py") as reader:
            self.assertIsNone(reader.take())
            reader.seek_oldest()
            self.assertEqual(reader.take().seq, 3)

    def test_the_mount_continues_what_the_module_wrote(self):
        with chronq.Writer(self.q, segment_size=65536) as writer:
            writer.append_many([b"one\n", b"two\n"])
        with chronq.Writer(self.q) as writer:
            daemon = self.mount("-o", "ro")
            writer.append(b"three\n")
            self.assertTrue(wait_for(lambda: (self.m / "stream").read_bytes() == b"one\ntwo\nthree\n"))
            self.unmount(daemon)
        daemon = self.mount()
        (self.m / "append").write_bytes(b"four\n")
        self.unmount(daemon)
        subprocess.run([CHRONQ, "append", self.q], input=b"five\n", check=True)
        with chronq.Writer(self.q) as writer:
            self.assertEqual(writer.append(b"six\n"), 5)
        self.assertEqual(self.chronq("cat", self.q), b"one\ntwo\nthree\nfour\nfive\nsix\n")
        with chronq.Reader(self.q) as reader:
            self.assertEqual([record.epoch for record in reader], [1, 1, 2, 3, 4, 5])
        self.assertTrue(chronq.verify(self.q).sound)

    def test_the_daemon_is_killed(self):
        daemon = self.mount()
        (self.m / "append").write_bytes(b"before\n")
        with chronq.Reader(self.q) as reader:
            self.assertEqual(reader.take().payload, b"before\n")
            daemon.kill()
            daemon.wait()
            self.assertFalse(reader.wait(0.01))
            with chronq.Writer(self.q) as writer:
                self.assertEqual(writer.append(b"after\n"), 1)
                self.assertEqual(reader.take(timeout=None).payload, b"after\n")
