# SPDX-License-Identifier: Apache-2.0
"""writing.py SEED queue|mount PATH [OPTION=NUMBER...] - appends random records, so many as each line of standard input
says, and answers each with a line when they are durable; until it is killed, or the input ends.

queue: by libchronq, with all types of records.  mount: by write(2) to PATH/append.  OPTION: of chronq.Writer().
"""

import os
import random
import sys


def payload(rng):
    """Most are small; some are empty, some are not UTF-8, some are longer than a small frame."""
    size = rng.choice((0, 1, 20, 100, 100, 100, 300, 2000, 9000)) if rng.random() < 0.5 else rng.randrange(200)
    return rng.randbytes(size) if rng.random() < 0.2 else bytes(rng.choices(b"abcdefgh \n", k=size))


class ToQueue:
    def __init__(self, path, options):
        import chronq

        self.writer = chronq.Writer(path, sync=chronq.Sync.NONE, **options)

    def append(self, rng):
        """Appends at least one record; returns how many."""
        records = [payload(rng) for _ in range(rng.choice((1, 1, 3, 30)))]
        for record in records:
            self.writer.append(record, type=rng.choice((1, 1, 2, 500, 0, 0xFFFE)))
        return len(records)

    def sync(self):
        self.writer.sync()


class ToMount:
    def __init__(self, path, _):
        self.file = os.open(path + "/append", os.O_WRONLY)

    def append(self, rng):
        # a write of no bytes does not come to the mount
        os.write(self.file, payload(rng) or b"-")
        return 1

    def sync(self):
        os.fsync(self.file)


def main():
    seed, kind, path, *options = sys.argv[1:]
    rng = random.Random(int(seed))
    options = {name: int(value) for name, value in (option.split("=") for option in options)}
    to = {"queue": ToQueue, "mount": ToMount}[kind](path, options)
    print("open", flush=True)
    for line in sys.stdin:
        left = int(line)
        while left > 0:
            left -= to.append(rng)
            if rng.random() < 0.05:
                to.sync()
        to.sync()
        print("done", flush=True)


if __name__ == "__main__":
    main()
