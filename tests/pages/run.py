#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: run.py ROOT PAGE

Runs the code blocks of a page, in their order, in one shell whose current directory is this one, as a reader
does who follows the page.  pagefile.py has the marks of the blocks.  A case for each block.
"""

import ctypes
import fcntl
import os
import re
import select
import shlex
import socket
import struct
import subprocess
import sys
import time

import pagefile

PATIENCE = float(os.environ.get("PATIENCE", "300"))  # seconds for a command
LATE = 60  # seconds in which a job has to print what the page shows

# The shell reads each command from one descriptor and reports to another one, so that commands can have
# the usual descriptors to themselves.
SHELL = r"""
readonly page_commands=$1 page_reports=$2
shift 2
while IFS= read -r -d '' -u "$page_commands" page_command; do
    eval "$page_command"
    page_status=$?
    set +e
    printf '%d %d\n' "$page_status" "$(jobs -pr | wc -l)" >&"$page_reports"
done
"""


class Shell:
    """A shell that keeps its directory, variables, jobs and descriptors from command to command."""

    def __init__(self):
        commands, self.commands = os.pipe()
        self.reports, reports = os.pipe()
        self.output, output = os.pipe()

        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", SHELL, "bash", str(commands), str(reports)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(commands, reports))
        for descriptor in (commands, reports, output):
            os.close(descriptor)
        self.text = ""

    def take(self):
        """Adds what was printed to self.text; never waits."""
        while select.select([self.output], [], [], 0)[0]:
            data = os.read(self.output, 65536)
            if not data:
                break
            self.text += data.decode("utf-8", "backslashreplace")

    def run(self, command):
        """Runs a command.  Its exit status, or None when it ended the shell or did not end; and whether
        jobs still run that may print more."""
        os.write(self.commands, command.encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            readable = select.select([self.reports, self.output], [], [], 0.05)[0]
            self.take()
            report = os.read(self.reports, 100).split() if self.reports in readable else []
            self.take()
            if report:
                return int(report[0]), int(report[1]) > 0
            if self.reports in readable or self.process.poll() is not None:
                return None, False  # nobody reports any more
        self.process.kill()
        return None, False

    def end(self):
        os.close(self.commands)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def pattern(lines):
    """A regular expression for the lines that a command prints; "..." is its wildcard."""
    parts = []
    for line in lines:
        if line == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("...")) + r"\n")
    return re.compile("".join(parts))


def run_console(shell, block):
    """None, or what is wrong."""
    for command, expected in block.commands():
        shell.text = ""
        wanted = pattern(expected)
        status, jobs = shell.run(command)
        if status is None:
            return f"$ {command}\ndid not end, or ended the shell; it printed:\n{shell.text}"
        end = time.monotonic() + LATE
        while not wanted.fullmatch(shell.text) and jobs and time.monotonic() < end:
            select.select([shell.output], [], [], 0.05)
            shell.take()
        if not wanted.fullmatch(shell.text):
            return f"$ {command}\nprinted (status {status}):\n{shell.text}the page says:\n" + "\n".join(expected)
        if status != 0 and not expected:
            return f"$ {command}\nended with status {status}"
    return None


def run_sh(shell, block, folder):
    """None, or what is wrong."""
    shell.text = ""
    text = block.text
    if folder:
        text = f"cd {shlex.quote(folder)}\n{text}cd ~-\n"
    status, _ = shell.run("set -e\n" + text)
    if status != 0:
        return f"status {status}:\n{shell.text}"
    return None


def own_network():
    """A network of the page's own, with the loopback alone: its ports are free.  Without the right to make one
    the page has the system's."""
    clone_newnet, siocsifflags, iff_up = 0x40000000, 0x8914, 1
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet) == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
            fcntl.ioctl(anything, siocsifflags, struct.pack("16sH14x", b"lo", iff_up))


def main():
    root, name = sys.argv[1:]
    if os.environ.get("PAGES_NETWORK") == "own":
        own_network()
    try:
        page = pagefile.Page(root, name)
    except pagefile.PageError as error:
        print(f"not ok - {error}")
        return 1
    shell = Shell()
    for block in page.blocks:
        first = block.lines[0] if block.lines else ""
        what = f"{name}:{block.line}: {first}"
        if block.file:
            os.makedirs(os.path.dirname(os.path.abspath(block.file)), exist_ok=True)
            with open(block.file, "w", encoding="utf-8") as file:
                file.write(block.text)
        if block.language not in pagefile.RUN:
            continue
        missing = block.missing()
        if missing:
            print(f"skip - {what} # {', '.join(missing)}", flush=True)
            continue
        try:
            if block.language == "console":
                wrong = run_console(shell, block)
            else:
                wrong = run_sh(shell, block, root if "fresh" in block.needs else None)
        except pagefile.PageError as error:
            wrong = str(error)
        print(("not ok - " if wrong else "ok - ") + what, flush=True)
        if wrong:
            print(wrong, flush=True)
            shell.end()
            shell = Shell()
    shell.end()
    return 0


sys.exit(main())
