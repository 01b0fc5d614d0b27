#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""completions.py - completion in bash, zsh and fish offers what --help lists: all of it, and nothing else

Each shell is asked as it asks itself when somebody presses the tab key.  Output: TAP.
"""
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent.parent / "scripts" / "completions"
QUOTED = shlex.quote(str(SOURCES))  # for each of the shells
CHRONQ, CHRONFS = os.environ["CHRONQ"], os.environ["CHRONFS"]
PATIENCE = 300  # seconds, as in tap.sh
cases = failures = 0


def check(what, passed, *notes):
    global cases, failures
    cases += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {cases} - {what}")
    if not passed:
        for note in notes:
            print("#", str(note).replace("\n", "\n# "))


def equal(what, found, wanted):
    found, wanted = sorted(set(found)), sorted(set(wanted))
    check(what, bool(wanted) and found == wanted, f"not offered: {sorted(set(wanted) - set(found))}",
          f"unknown: {sorted(set(found) - set(wanted))}")


# ---- what the programs say ----

def help_of(*command):
    """What --help prints; nothing of a command that is a program of its own, which is not built here."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    if done.returncode == 3 and "needs the package chronq-nats" in done.stderr:
        return ""
    done.check_returncode()
    return done.stdout


def options_of(text):
    """The names of all options in lines such as "  -s, --seq A   text" and "  --set NAME POSITION   text"."""
    found = []
    for line in text.splitlines():
        match = re.match(r" +(-\S.*?)(?:  |$)", line)
        if match:
            found += re.findall(r"(?:^| )(--?[A-Za-z][a-z-]*)", match[1])
    return found


def mount_options_of(text):
    """{name: words after "=" in small letters} of lines such as "  -o full=block[=MS]   text"."""
    found = {}
    for option in re.findall(r"^ +(?:-\w, )?-o (\S+)", text, re.M):
        name, _, value = option.partition("=")
        values = found.setdefault(name, set())
        if re.match("[a-z]", value):
            word, equals = re.match(r"([a-z]+)(\[?=)?", value).groups()
            if equals != "=":
                values.add(word)
            if equals:
                values.add(word + "=")
    return found


# ---- the shells ----

class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, command, setup, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(environment, TERM="dumb")
            os.execvp(command[0], command)
        self.rest = ""  # what was read and not waited for yet
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 500, 300, 0, 0))
        self.send(setup + " PS1='re''ady> '\n")
        self.wait_for("ready> ")

    def send(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, mark):
        """Returns what the shell has written up to the mark."""
        end = time.monotonic() + PATIENCE
        while mark not in self.rest:
            if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit(f"Bail out! the shell does not write {mark!r}, but {self.rest!r}")
            self.rest += os.read(self.fd, 65536).decode(errors="replace")
        seen, self.rest = self.rest.split(mark, 1)
        return seen

    def press_tab(self, line):
        """Types the line and a tab, and takes the line away again."""
        self.send(f"{line}\t\x15echo do''ne\n")
        return self.wait_for("done\r\n") + self.wait_for("ready> ")

    def end(self):
        self.send("exit\n")
        os.waitpid(self.pid, 0)
        os.close(self.fd)


class Bash:
    def __init__(self, folder):
        self.program = folder / "driver.bash"
        # COMP_WORDS is the line as bash breaks it up: also at "=", if the variable says so.
        self.program.write_text(r'''
. "$1/$2.bash"
line=$3 COMP_WORDS=() COMP_LINE=$3 COMP_POINT=${#3}
for word in $line; do
	while [[ $word == *=* ]]; do
		[ "${word%%=*}" = "" ] || COMP_WORDS+=("${word%%=*}")
		COMP_WORDS+=(=)
		word=${word#*=}
	done
	[ -z "$word" ] || COMP_WORDS+=("$word")
done
[[ $line != *' ' ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
function=$(complete -p "$2" | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" "$2" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
''')

    def complete(self, line):
        """What may replace the last word of the line; after an "=", what may follow that."""
        return subprocess.run(["bash", "--norc", self.program, SOURCES, line.split()[0], line],
                              capture_output=True, text=True, check=True).stdout.splitlines()

    def end(self):
        pass


class Fish:
    def __init__(self, folder):
        self.home = folder / "fish"

    def complete(self, line):
        program = line.split()[0]
        run = subprocess.run(["fish", "--no-config", "-c", f"source {QUOTED}/{program}.fish; complete -C \"$argv\"",
                              line], capture_output=True, text=True, check=True,
                             env={**os.environ, "HOME": str(self.home)})
        if run.stderr:
            check(f"fish: {line!r} without a message", False, run.stderr)
        return [text.split("\t")[0] for text in run.stdout.splitlines()]

    def end(self):
        pass


class Zsh:
    def __init__(self, folder):
        self.found = folder / "zsh-found"
        self.terminal = Terminal(["zsh", "-f", "-i"], f"""
fpath=({QUOTED} $fpath); autoload -Uz compinit; compinit -u -D; setopt no_beep no_auto_menu; LISTMAX=0
compadd() {{
	local -a hits
	if [[ ${{@[1,(i)(-|--)]}} != *-(O|A|D)\\ * ]]; then
		builtin compadd -A hits "$@"
		(($#hits == 0)) || print -rl -- $hits >>{self.found}
	fi
	builtin compadd "$@"
}}
""", {"HOME": str(folder)})

    def complete(self, line):
        self.found.write_text("")
        self.seen = self.terminal.press_tab(line)
        if "not found" in self.seen or "bad " in self.seen:
            check(f"zsh: {line!r} without a message", False, self.seen)
        return self.found.read_text().splitlines()

    def end(self):
        self.terminal.end()


# ---- the cases ----

def try_shell(name, shell, queue):
    def offered(line):
        """The candidates without what they have in common: the list before the last comma."""
        return [word.rpartition(",")[2] for word in shell.complete(line)]

    commands = re.findall(r"^ +(\S+)", help_of(CHRONQ).split("\n\n")[1], re.M)
    equal(f"{name}: chronq: its commands", offered("chronq "), [*commands, "--help", "--version"])
    for command in commands:
        wanted = options_of(help_of(CHRONQ, command))
        if not wanted:
            continue
        found = offered(f"chronq {command} -") + offered(f"chronq {command} --")
        equal(f"{name}: chronq {command}: its options", [word.rstrip("=") for word in found], wanted)
    first = commands[0]
    equal(f"{name}: chronq {first}: a queue", [Path(word).name for word in offered(f"chronq {first} {queue.parent}/")],
          [entry.name for entry in queue.parent.iterdir()])
    for command in commands:
        for option, word in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)[ =](NAME)\b", help_of(CHRONQ, command), re.M):
            equal(f"{name}: chronq {command} {option}: the readers of the queue",
                  offered(f"chronq {command} {queue} {option} "), ["first", "second"])
        for option, words in re.findall(r"^ +(?:-\w, )?(--[a-z-]+)[ =]([a-z]+(?:\|[a-z]+)+) ", help_of(CHRONQ, command), re.M):
            equal(f"{name}: chronq {command} {option}: its values", offered(f"chronq {command} {option} "),
                  words.split("|"))

    text = help_of(CHRONFS)
    equal(f"{name}: chronfs: its options", offered("chronfs -") + offered("chronfs --"), options_of(text))
    equal(f"{name}: chronfs: a queue", [Path(word).name for word in offered(f"chronfs {queue.parent}/")],
          [entry.name for entry in queue.parent.iterdir()])
    mount_options = mount_options_of(text)
    found = offered("chronfs -o ")
    names = {word.partition("=")[0] for word in found if word not in (user_of(found))}
    equal(f"{name}: chronfs -o: the mount options", names, mount_options)
    found = [word.partition("=")[0] for word in offered("chronfs -o ro,")]
    check(f"{name}: chronfs -o ro,: the others", set(mount_options) - {"ro"} <= set(found), found)
    for option, values in mount_options.items():
        if values:
            equal(f"{name}: chronfs -o ro,{option}=: its values",
                  [word.removeprefix(option + "=") for word in offered(f"chronfs -o ro,{option}=")], values)
    for option, kind in re.findall(r"^ +-o ([a-z_]+)=(USER|GROUP)\b", text, re.M):
        found = [word.removeprefix(option + "=") for word in offered(f"chronfs -o {option}=roo")]
        check(f"{name}: chronfs -o {option}=: a {kind.lower()}", "root" in found, found)


def user_of(words):
    """Those of the words that are more than an option: uid=root."""
    return {word for word in words if re.match(r"[a-z_]*(uid|gid)=.", word)}


def main():
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        queue = folder / "queues" / "events"
        (folder / "queues" / "other").mkdir(parents=True)
        subprocess.run([CHRONQ, "append", queue], input=b"a\n", check=True)
        (queue / "readers").mkdir(exist_ok=True)
        for reader in "first", "second":
            (queue / "readers" / f"{reader}.meta").touch()
        (folder / "bin").mkdir()
        (folder / "bin" / "chronq").symlink_to(CHRONQ)
        (folder / "bin" / "chronfs").symlink_to(CHRONFS)
        os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
        for name, kind in ("bash", Bash), ("zsh", Zsh), ("fish", Fish):
            if not shutil.which(name):
                global cases
                cases += 1
                print(f"ok {cases} - {name} # SKIP it is not installed")
                continue
            shell = kind(folder)
            try_shell(name, shell, queue)
            shell.end()

        # The key itself, in bash.
        bash = Terminal(["bash", "--norc", "-i"], f". {QUOTED}/chronq.bash; . {QUOTED}/chronfs.bash;",
                        {"HOME": made})
        for line, wanted in (("chronq ver", "chronq verify "), ("chronfs -o ro,segm", "chronfs -o ro,segment_size=")):
            seen = bash.press_tab(line)
            check(f"bash: {line!r} and a tab", wanted in seen.replace("\b", ""), repr(seen))
        bash.end()
    print(f"1..{cases}")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
