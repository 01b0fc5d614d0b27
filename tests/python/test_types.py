# SPDX-License-Identifier: Apache-2.0
"""The annotations: mypy --strict is content with the module, and finds mistakes of a program that uses it."""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

from support import Case

MODULE = Path(os.environ["CHRONQ_PYTHON"])
GOOD = """
import io
from datetime import datetime
import chronq

with chronq.Writer("q", sync=chronq.Sync.ALWAYS, log=print, progress=print, space=lambda: None) as writer:
    seq: int = writer.append(b"x")
    last: int | None = writer.append_many([b"x", (bytearray(b"y"), 7), memoryview(b"z")])
    durable: int = writer.stats().durable_seq
with chronq.Reader("q", "name", chronq.Start.RESUME_OR_OLDEST) as reader:
    for record in reader.follow(timeout=1.5):
        payload: bytes = record.payload
        when: datetime = record.time
        reader.commit(record)
    taken: chronq.Record | None = reader.take(timeout=None)
    reader.seek_time(datetime.now())
try:
    text = io.TextIOWrapper(io.BufferedReader(chronq.Stream("q"))).read().upper()
except chronq.Gap as gap:
    print(gap.records + 1, gap.errno)
print([info.id for info in chronq.Queue("q").segments()], chronq.verify("q").findings)
"""
BAD = """
import chronq
writer = chronq.Writer("q", max_bytes="1G")
writer.append("text")
for record in chronq.Reader("q"):
    record.payload.encode()
chronq.Reader("q").take().payload
writer.flush()
"""


@unittest.skipUnless(shutil.which("mypy"), "no mypy here (package mypy)")
class Types(Case):
    def mypy(self, *files):
        return subprocess.run(
            ["mypy", "--strict", "--no-error-summary", "--cache-dir", self.dir / "cache", *files], cwd=self.dir,
            env={**os.environ, "MYPYPATH": str(MODULE)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ).stdout

    def test_the_module(self):
        self.assertTrue((MODULE / "chronq/py.typed").exists())
        self.assertEqual(self.mypy(MODULE / "chronq"), "")

    def test_a_program(self):
        (self.dir / "good.py").write_text(GOOD)
        self.assertEqual(self.mypy("good.py"), "")

    def test_a_program_with_mistakes(self):
        (self.dir / "bad.py").write_text(BAD)
        said = self.mypy("bad.py")
        found = sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error: " in line})
        self.assertEqual(found, [3, 4, 6, 7, 8], said)
