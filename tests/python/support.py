# SPDX-License-Identifier: Apache-2.0
"""What the tests of the module share: a directory, programs beside, waiting for something."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PATIENCE = 60  # seconds until something that has to happen counts as not happening
CHRONQ = os.environ["CHRONQ"]


class Case(unittest.TestCase):
    """Has a directory of its own, `dir`; a queue's name in it, `q`; and ends what it has started."""

    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="chronq-python."))
        self.addCleanup(shutil.rmtree, self.dir)
        self.q = self.dir / "q"

    def python(self, source, *arguments, **options):
        """A Python process of its own that has os, sys, chronq, and its arguments in argv."""
        source = "import os, sys, chronq\nargv = sys.argv[1:]\n" + source
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, **options}
        child = subprocess.Popen([sys.executable, "-c", source, *map(str, arguments)], **options)
        self.addCleanup(self.end, child)
        return child

    @staticmethod
    def end(child):
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()

    def succeeds(self, child, wanted=None):
        """It ends with 0, and has printed that."""
        said, errors = child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 0, (said, errors))
        if wanted is not None:
            self.assertEqual(said, wanted)
        return said

    def chronq(self, *arguments):
        """What the command-line tool prints."""
        return subprocess.run(
            [CHRONQ, *map(str, arguments)], check=True, stdout=subprocess.PIPE, timeout=PATIENCE
        ).stdout

    def segment_file(self, number):
        return self.q / f"{number:09d}.q"

    def spoil(self, number, what, bytes_behind=0):
        """Changes one byte of a segment's file: of the first place that has `what`, or behind its beginning."""
        path = self.segment_file(number)
        data = bytearray(path.read_bytes())
        at = data.index(what) + bytes_behind
        data[at] ^= 0xFF
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data[at:at + 1])


def wait_for(condition):
    """What the condition gives when it holds at last, or after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not (good := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return good


def descriptors():
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def sleeping(pid):
    """Whether the process's main thread sleeps."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"
