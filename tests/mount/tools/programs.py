#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""programs.py QUEUE MOUNT - how programs write: Python's files in every mode, and its logging."""

import csv
import json
import logging
import logging.handlers
import os
import shutil
import subprocess
import sys

from records import Follower

queue, mount = sys.argv[1:]
append, lines = mount + "/append", mount + "/append.lines"
follower = Follower(queue)


def appends(what, wanted, call, *args):
    try:
        call(*args)
    except Exception as e:
        print(f"{type(e).__name__}: {e}")
    got = [r.decode() for r in follower.new()]
    if got != wanted:
        print(f"got {str(got)[:200]}, wanted {str(wanted)[:200]}")
    print(f"{'ok' if got == wanted else 'not ok'} - python: {what}", flush=True)


def write(path, mode, *texts, **options):
    with open(path, mode, **options) as file:
        for text in texts:
            file.write(text)


def numbers(path, count, **options):
    with open(path, "w", **options) as file:
        for number in range(count):
            print(f"line {number}", file=file)


def append_and_tell():
    with open(append, "a+", encoding="utf-8") as file:
        file.seek(0)
        if file.read():
            raise ValueError("something to read")
        file.write("one\n")
        file.tell()


def truncated():
    with open(append, "r+b") as file:
        file.truncate(0)
        file.write(b"one\n")
        file.flush()
        os.fsync(file.fileno())


def many_open():
    files = [open(lines, "w", encoding="utf-8", buffering=1) for _ in range(3)]
    for number in range(3):
        for name, file in enumerate(files):
            file.write(f"{name}: {number}")
        for file in files:
            file.write("\n")
    for file in files:
        file.close()


def logger(handler):
    log = logging.getLogger("test")
    log.setLevel(logging.INFO)
    log.handlers = [handler]
    log.propagate = False
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.info("started")
    log.error("two\nlines")
    handler.close()


def subprocess_to(path):
    with open(path, "ab") as file:
        subprocess.run(["/bin/echo", "one"], stdout=file, check=True)


def table():
    with open(lines, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[1, "a b"], [2, "c"]])


appends("open w", ["one\ntwo\n"], write, append, "w", "one\n", "two\n")
appends("open a", ["one\n"], write, append, "a", "one\n")
appends("open r+", ["one\n"], write, append, "r+", "one\n")
appends("open a+", ["one\n"], append_and_tell)
appends("open w+", ["one\n"], write, append, "w+", "one\n")
appends("open wb, unbuffered", ["one", "two"],
        lambda: write(append, "wb", b"one", b"two", buffering=0))
appends("line buffered", ["one\n", "two\n"],
        lambda: write(append, "w", "one\n", "two\n", buffering=1))
appends("truncate, flush, fsync", ["one\n"], truncated)
appends("print to append.lines, over its buffer's end", [f"line {n}\n" for n in range(20000)],
        numbers, lines, 20000)
appends("a buffer of 8192, which cuts lines", [f"line {n}\n" for n in range(5000)],
        lambda: numbers(lines, 5000, buffering=8192))
appends("three files at once, lines in pieces",
        [f"{name}: {number}\n" for number in range(3) for name in range(3)], many_open)
appends("logging.FileHandler", ["INFO started\n", "ERROR two\nlines\n"],
        lambda: logger(logging.FileHandler(append)))
appends("logging.FileHandler, delay, mode w", ["INFO started\n", "ERROR two\nlines\n"],
        lambda: logger(logging.FileHandler(append, mode="w", delay=True)))
appends("logging.handlers.WatchedFileHandler", ["INFO started\n", "ERROR two\n", "lines\n"],
        lambda: logger(logging.handlers.WatchedFileHandler(lines)))
appends("stdout of a subprocess", ["one\n"], subprocess_to, append)
appends("json.dump in lines", ['{"a": 1}\n', '{"a": 2}\n'], lambda: write(
    lines, "a", *(json.dumps({"a": n}) + "\n" for n in (1, 2))))
appends("csv", ["1,a b\r\n", "2,c\r\n"], table)
with open(queue + ".source", "wb") as made:
    made.write(b"one\ntwo\n")
appends("shutil.copyfile", ["one\n", "two\n"], shutil.copyfile, queue + ".source", lines)
appends("os.sendfile", ["one\ntwo\n"], lambda: os.sendfile(
    os.open(append, os.O_WRONLY), os.open(queue + ".source", os.O_RDONLY), 0, 100))
