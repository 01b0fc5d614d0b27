# SPDX-License-Identifier: Apache-2.0
"""cold.py PART DIRECTORY MOUNT DAEMON - readers that wait for a disk (see cold.sh); prints a line per case.

PART waiting: what goes on meanwhile, and what they read in the end; ending: the mount ends meanwhile.
In DIRECTORY: `wanted`, what there is to read; `held`, whose names are the files that the disk does not
read; `got`, for what the readers read.
"""

import os
import signal
import subprocess
import sys
import threading

from testlib import PATIENCE, case, is_, outcome, stats, wait_for

part, directory, mount, daemon = sys.argv[1:]
wanted, held, got = (f"{directory}/{name}" for name in ("wanted", "held", "got"))
COLD = range(6)  # these segments are sealed; nothing of them is cached
KNOWN = (4, 5)  # of these, the headers are: so a read waits, not a lookup
PIECE = 65536
ECHOES = 200
LATE = 0.5  # of PATIENCE: for what must not wait, so that what the test itself waits for has time left


def hold():
    for number in COLD:
        with open(f"{held}/{number:09}.q", "x"):
            pass


def let_go():
    for name in os.listdir(held):
        os.unlink(f"{held}/{name}")


class Reader:
    """A process that reads, and waits for the disk before it is done."""

    def __init__(self, name, *command, stdin=None):
        self.path = f"{got}/{name.replace('/', '-')}"
        with open(self.path, "wb") as output:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT,
                                            cwd=mount)

    def sleeps(self):
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except FileNotFoundError:
            return None
        return fields[11:13] if fields[0] in "SD" else None  # and for how long it ran

    def read(self):
        with open(self.path, "rb") as file:
            return file.read()

    def ends(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "never"


def wait(readers):
    """Until they all sleep, and have done so for a while."""
    last, same = None, 0

    def settled():
        nonlocal last, same
        now = [reader.sleeps() for reader in readers]
        same = same + 1 if now == last and None not in now else 0
        last = now
        return same >= 40
    case(f"{len(readers)} readers wait", wait_for(settled))


def content(path):
    with open(path, "rb") as file:
        return file.read()


def readers_of_contents():
    """The kernel may have sent only one of the lookups in a directory; the others wait for it."""
    readers = {}
    for number, name in [(n, f"{directory}/{n:09}") for n in COLD for directory in ("payload", "records")]:
        wanted_bytes = content(f"{wanted}/{name}")
        readers[name] = Reader(name, "cat", name), wanted_bytes
        if number == 0 or number in KNOWN:  # a lookup has nothing to read of it
            continue
        readers[f"stat {name}"] = (Reader(f"stat {name}", "stat", "-c", "%s", name),
                                   b"%d\n" % len(wanted_bytes))
    return readers


def readers_of_rest():
    readers = {}
    for number in COLD:
        name = f"segments/{number:09}.q"
        readers[name] = Reader(name, "cat", name), content(f"{wanted}/{name}")
    stream = content(f"{wanted}/stream")
    readers["stream"] = Reader("stream", "cat", "stream"), stream
    for number in range(5):
        block = 1 << 20
        readers[f"stream past the page cache, {number}"] = (
            Reader(f"part {number}", "dd", "if=stream", "iflag=nonblock,fullblock", f"bs={block}",
                   f"skip={number}", "count=1", "status=none"), stream[number * block:(number + 1) * block])
    return readers


def readers_of_directories():
    return {"ls": (Reader("ls", "ls", "-l", "segments"), None),
            "grep": (Reader("grep", "grep", "-rc", "no such text", "segments"), None)}


def open_pages():
    """Open files, each to read another piece of a segment through the page cache."""
    pieces = []
    for number in KNOWN:
        for block in range(4, 16):
            name = f"segments/{number:09}.q"
            pieces.append((f"{name}, {block}", os.open(f"{mount}/{name}", os.O_RDONLY), block,
                           content(f"{wanted}/{name}")[block * PIECE:(block + 1) * PIECE]))
    return pieces


def readers_of_pages(pieces):
    """The kernel sends these reads in the background, as it does a RELEASE."""
    readers = {}
    for name, fd, block, expected in pieces:
        readers[name] = Reader(name, "dd", f"bs={PIECE}", f"skip={block}", "count=1", "status=none",
                               stdin=fd), expected
        os.close(fd)
    return readers


def processes(readers):
    return [reader for reader, _ in readers.values()]


def at_once(what, *command):
    """The command does not wait for the readers.  What it prints."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=mount)
    try:
        output, _ = process.communicate(timeout=PATIENCE * LATE)
    except subprocess.TimeoutExpired:
        case(f"{what}: does not wait for the disk", False)
        let_go()
        output, _ = process.communicate()
        sys.exit(1)
    is_(f"{what}: is done at once", process.returncode, 0)
    return output


def write_of_open_file(fd):
    done = []
    thread = threading.Thread(target=lambda: done.extend([outcome(os.write, fd, b"held open"),
                                                          outcome(os.fsync, fd)]))
    thread.start()
    thread.join(PATIENCE * LATE)
    is_("a write and an fsync through an open file", done, [9, None])
    if thread.is_alive():
        let_go()
        sys.exit(1)


def part_waiting():
    fd = os.open(mount + "/append", os.O_WRONLY)
    begin = stats(mount)["position"]
    pieces = open_pages()
    hold()
    pages = readers_of_pages(pieces)
    wait(processes(pages))
    contents, readers = readers_of_contents(), pages | readers_of_rest() | readers_of_directories()
    wait(processes(contents) + processes(readers))

    write_of_open_file(fd)
    at_once("echo", "sh", "-c", f"for i in $(seq {ECHOES}); do echo $i >>append || exit; done")
    at_once("lines", "sh", "-c", "printf '%s\\n' a b c >append.lines && sync append.lines")
    at_once("ls of the root", "ls", "-l", ".")
    at_once("stats.json", "cat", "stats.json")
    at_once("metrics", "cat", "metrics")
    at_once("df", "stat", "-f", ".")
    at_once("a roll", "sh", "-c", "echo roll >ctl && echo behind >>append")
    at_once("names behind a roll", "ls", "-l", ".")
    at_once("a file of the size of a segment", "dd", "if=/dev/zero", "of=append", "bs=500000", "count=5",
            "status=none")
    case("and all of that is in the queue", stats(mount)["position"]["segment"] >= begin["segment"] + 2)
    # a closed file is released: else the limit of open files would stop a shell's loop
    case("closed files are released", wait_for(
        lambda: stats(mount)["held"]["open_files"] < 100), stats(mount)["held"])

    for name in ("segments/000000005.q", "stream past the page cache, 2"):
        contents[name] = readers.pop(name)
    for reader in processes(contents):
        reader.process.kill()
    for name, (reader, _) in contents.items():
        is_(f"{name}: a reader that is killed is gone", reader.ends(), -signal.SIGKILL)
    readers |= readers_of_contents()
    wait(processes(readers))
    at_once("echo, after the kills", "sh", "-c", "echo again >>append")

    let_go()
    for name, (reader, expected) in readers.items():
        code = reader.ends()
        if name == "grep":
            is_(f"{name}: ends", code, 1)
        elif expected is None:
            is_(f"{name}: ends", code, 0)
            case("it shows all", len(reader.read().splitlines()) > len(COLD))
        elif name == "stream":
            case("stream: the right bytes, and then what was appended",
                 code == 0 and reader.read().startswith(expected) and b"held open1\n2\n" in reader.read(), code)
        else:
            case(f"{name}: the right bytes", (code, reader.read()) == (0, expected), code)
    os.close(fd)


def part_ending():
    hold()
    readers = processes(readers_of_contents()) + processes(readers_of_rest())
    wait(readers)
    os.kill(int(daemon), signal.SIGTERM)
    let_go()
    case("all readers end", all([reader.ends() != "never" for reader in readers]))


globals()["part_" + part]()
