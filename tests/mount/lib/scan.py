#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scan.py MOUNT NAME KEPT SIZE - reads the directory MOUNT/NAME in pieces of SIZE bytes while segments
are published and trimmed.

The mount keeps KEPT segments of 4096 bytes.  A segment that is there during the whole scan has to be
seen exactly once; one that comes or goes meanwhile, at most once.  An offset in the middle leads to
what comes behind it, whatever has come and gone since it was given.
"""

import os
import sys

import testlib
from getdents import names, names_from, pieces
from testlib import wait_for

mount = sys.argv[1]
path = mount + "/" + sys.argv[2]
kept = int(sys.argv[3])
size = int(sys.argv[4])


def case(what, good):
    testlib.case(f"{sys.argv[2]}: {what}", good)


def roll(fd, count):
    for _ in range(count):
        os.write(fd, b"x" * 3900)  # each fills a segment


# The mount prepares and trims in the background, and a name may be known for a second: so all of this waits.
sink = os.open(mount + "/append", os.O_WRONLY)
roll(sink, max(kept - len(os.listdir(path)), 0) + 50)
if not wait_for(lambda: kept <= len(os.listdir(path)) <= kept + 2):
    sys.exit("nothing is trimmed")
start = set(os.listdir(path))
directory = os.open(path, os.O_RDONLY)
seen = []
offsets = []
for entries in pieces(directory, size):
    seen += [name for name, _ in entries]
    offsets += entries[-1:]
    roll(sink, 4)
wait_for(lambda: kept <= len(os.listdir(path)) <= kept + 2)
end = set(os.listdir(path))
case("many pieces were read", len(offsets) > 10)
case("segments came and went meanwhile", start - end and end - start)
case("in ascending order, none twice", seen == sorted(set(seen)))
case("what was there all the time was seen", start & end <= set(seen))


def goes_on(name, offset):
    return names_from(path, offset) == sorted(other for other in os.listdir(path) if other > name)


case("an offset leads to what is behind it now",
     all(wait_for(lambda: goes_on(*offset)) for offset in offsets[::len(offsets) // 6]))


def rewound():
    os.lseek(directory, 0, os.SEEK_SET)
    return set(names(directory))


def is_gone():
    return not os.path.exists(f"{path}/{min(start - end)}")


case("a rewound directory shows what is there now", wait_for(lambda: rewound() == set(os.listdir(path))))
case("a trimmed segment is gone", wait_for(is_gone))
