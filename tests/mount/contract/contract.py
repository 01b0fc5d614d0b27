#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""contract.py rw|ro|trim QUEUE MOUNT NAME... - the contract row by row, as root and as nobody.

Each NAME is a module contract_NAME.py with

  TABLES  a list of (title, table).  A table is text: the first line names its columns, each further
          one an operation and what it has to give there.  What is separated by two blanks or more
          is a cell of its own.
  CALLS   what the operations are: functions of a path.

A column is a kind of file, or a group of kinds (below), where every one has to give the same; with
"ro." in front of it that is on a read-only mount.  A cell is what root sees, and behind a slash what
nobody sees where that differs; commas separate further possibilities:

  ok       no error
  =VALUE   no error, and this value
  ENAME    this error
  -        not tried

A module may also have a function cases(world, who), for what does not fit into a table.  It yields
(description, good), and calls what `who` does by outcome(who, call, ...).
"""

import contextlib
import errno
import importlib
import os
import pwd
import re
import sys

from records import Segment, place_reader, record_lines, records, segment_ids, segment_path

GROUPS = {
    "dir": ["root", "segments", "payload", "records", "readers"],
    "sink": ["append", "append.lines"],
    "segment": ["segment.sealed", "segment.live"],
    "contents": ["payload.sealed", "payload.live", "records.sealed", "records.live"],
    "content.live": ["payload.live", "records.live"],
    "sealed": ["segment.sealed", "payload.sealed", "records.sealed"],
    "live": ["segment.live", "payload.live", "records.live"],
    "info": ["stats.json", "metrics", "reader"],
    "file": ["stream", "segment.sealed", "segment.live", "payload.sealed", "payload.live",
             "records.sealed", "records.live", "stats.json", "metrics", "reader"],
}


class World:
    """The mount under test: where things are, and what it has to hold."""

    def __init__(self, mode, queue, mount):
        self.mode, self.queue, self.mount = mode, queue, mount
        self.read_only = mode == "ro"
        segments = [Segment(queue, number) for number in segment_ids(queue)]
        self.oldest = segments[0].id
        self.live = next(s for s in segments if not s.sealed and s.records)
        self.sealed = segments[0]
        self.paths = {
            "root": mount,
            "segments": mount + "/segments",
            "payload": mount + "/payload",
            "records": mount + "/records",
            "readers": mount + "/readers",
            "append": mount + "/append",
            "append.lines": mount + "/append.lines",
            "ctl": mount + "/ctl",
            "stream": mount + "/stream",
            "segment.sealed": f"{mount}/segments/{self.sealed.id:09}.q",
            "segment.live": f"{mount}/segments/{self.live.id:09}.q",
            "payload.sealed": f"{mount}/payload/{self.sealed.id:09}",
            "payload.live": f"{mount}/payload/{self.live.id:09}",
            "records.sealed": f"{mount}/records/{self.sealed.id:09}",
            "records.live": f"{mount}/records/{self.live.id:09}",
            "stats.json": mount + "/stats.json",
            "metrics": mount + "/metrics",
            "reader": mount + "/readers/contract",
        }
        if not self.read_only:
            for name in "contract", "other":
                # without a heartbeat: its age would give `metrics` another size from time to time
                place_reader(queue, name, self.live.id, 64, heartbeat=0)
        self.kind_of = {path: kind for kind, path in self.paths.items()}

    def segment(self, kind):
        """The segment behind segment.*, payload.* and records.*, as it is now."""
        return Segment(self.queue, (self.sealed if kind.endswith("sealed") else self.live).id)

    def content(self, kind):
        """What a file has to hold; None: what it is today."""
        if kind == "stream":
            return b"".join(r.payload for r in records(self.queue))
        if kind.startswith("payload."):
            return b"".join(r.payload for r in self.segment(kind).records)
        if kind.startswith("records."):
            return b"".join(record_lines(self.queue).get(self.segment(kind).id, []))
        if kind.startswith("segment."):
            with open(segment_path(self.queue, self.segment(kind).id), "rb") as file:
                return file.read()
        return b"" if kind in ("append", "append.lines", "ctl") else None

    def fingerprint(self):
        """What no refused operation may change."""
        found = [len(records(self.queue))]
        for directory, names, files in os.walk(self.mount):
            for name in sorted(names + files):
                st = os.lstat(f"{directory}/{name}")
                found.append((name, st.st_mode, st.st_uid, st.st_ino, st.st_nlink, st.st_mtime_ns,
                              name == "metrics" or st.st_size))
        return found


@contextlib.contextmanager
def acting_as(who):
    """What is called within is done by that user; before and after it we are root."""
    user = pwd.getpwnam(who)
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, 0)
    os.setresuid(user.pw_uid, user.pw_uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def outcome(who, call, *args):
    """What a call gave, as a cell has it."""
    with acting_as(who):
        try:
            value = call(*args)
        except OSError as e:
            return "EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else errno.errorcode[e.errno]
    return "ok" if value is None else f"={value}"


def agrees(got, wanted):
    return any(got == w or (w == "ok" and got.startswith("=")) for w in wanted.split(","))


def rows(table):
    """(operation, column, cell) of a table."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in table.strip().splitlines()]
    columns = lines[0][1:]
    for line in lines[1:]:
        if len(line) != len(lines[0]):
            raise ValueError(f"{line[0]}: {len(line) - 1} cells for {len(columns)} columns")
        for column, cell in zip(columns, line[1:]):
            yield line[0], column, cell


def try_table(world, who, title, table, calls):
    """Yields (description, good); says what was wrong before that."""
    exact = {column for _, column, _ in rows(table)}
    for what, column, cell in rows(table):
        read_only, kind = column.startswith("ro."), column.removeprefix("ro.")
        if cell == "-" or read_only != world.read_only:
            continue
        wanted = cell.split("/")[-1 if who == "nobody" else 0]
        if wanted == "-":
            continue
        good = True
        # a kind with a column of its own is not in its group's
        for one in GROUPS.get(kind, [kind]):
            if one != kind and ("ro." if read_only else "") + one in exact:
                continue
            got = outcome(who, calls[what], world.paths[one])
            if not agrees(got, wanted):
                print(f"{one}: {what}: got {got}")
                good = False
        yield f"{title}: {what}: {column}: {wanted}", good


def try_module(world, who, name):
    module = importlib.import_module("contract_" + name)
    if hasattr(module, "prepare"):
        module.prepare(world)
    before = world.fingerprint()
    for title, table in getattr(module, "TABLES", []):
        yield from try_table(world, who, title, table, module.CALLS)
    if getattr(module, "TABLES", []):
        yield "none of these has changed anything", world.fingerprint() == before
    if hasattr(module, "cases"):
        yield from module.cases(world, who)


def try_all(world, who, names):
    for name in names:
        for what, good in try_module(world, who, name):
            print(f"{'ok' if good else 'not ok'} - {world.mode}, {who}: {what}", flush=True)


def main():
    mode, queue, mount = sys.argv[1:4]
    for who in "nobody", "root":  # root's tables change what there is
        try_all(World(mode, queue, mount), who, sys.argv[4:])


if __name__ == "__main__":
    main()
