# SPDX-License-Identifier: Apache-2.0
"""What the tests of the pages read in a page: its code blocks, its headings, its links.

A page marks each of its code blocks by the words behind the fence, which no reader sees:

    ```sh                  the block runs, and has to succeed
    ```console             each line behind "$ " runs (lines behind "> " continue it); what it prints,
                           on stdout and stderr, has to be what follows.  "..." is any text in a line, and
                           a line of "..." alone is any number of lines
    ```text                the block does not run; nor do the other LANGUAGES
    ```c NAME              the block is written to the file NAME, for the blocks that follow
    ```sh needs=A,B        the block runs only where A and B are there; see Block.missing()
"""

import os
import re
import shutil

RUN = ("sh", "console")
LANGUAGES = RUN + ("text", "conf", "c", "python", "json", "yaml")


class PageError(Exception):
    pass


class Block:
    def __init__(self, page, line, info):
        words = info.split()
        self.page, self.line, self.lines = page, line, []
        self.language = words.pop(0) if words else ""
        self.needs, self.file = [], None
        if self.language not in LANGUAGES:
            raise PageError(f"{page}:{line}: a code block without a mark: one of {', '.join(LANGUAGES)}")
        for word in words:
            if word.startswith("needs="):
                self.needs = word[len("needs="):].split(",")
            elif self.file is None and self.language not in RUN:
                self.file = word
            else:
                raise PageError(f"{page}:{line}: a mark that means nothing: {word}")

    @property
    def text(self):
        return "".join(line + "\n" for line in self.lines)

    def missing(self):
        """What the block needs and is not here: a program, systemd as process 1, or what PAGES_HAVE names:
        `fresh` (a system that the block may change, in the source tree), `minutes` (it takes long)."""
        have = os.environ.get("PAGES_HAVE", "").split()
        return [need for need in self.needs if need not in have and
                not (os.path.isdir("/run/systemd/system") if need == "systemd" else shutil.which(need))]

    def commands(self):
        """A console block as a list of (command, lines that it prints)."""
        commands = []
        for line in self.lines:
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif not commands:
                raise PageError(f"{self.page}:{self.line}: a console block begins with \"$ \"")
            elif line.startswith("> ") and not commands[-1][1]:
                commands[-1] = (commands[-1][0] + "\n" + line[2:], [])
            else:
                commands[-1][1].append(line)
        return commands


class Page:
    """A page: its blocks, its headings (as GitHub's anchors), its links, the text outside of blocks."""

    def __init__(self, root, name):
        self.name, self.blocks, self.anchors, self.links, self.prose = name, [], set(), [], []
        block, fence, in_list, blank = None, None, False, True
        with open(os.path.join(root, name), encoding="utf-8") as file:
            for number, line in enumerate(file.read().split("\n"), 1):
                opening = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
                if fence:
                    if opening and opening[1].startswith(fence) and not opening[2].strip():
                        fence = None
                    else:
                        block.lines.append(line)
                    continue
                if opening:
                    fence = opening[1]
                    block = Block(name, number, opening[2])
                    self.blocks.append(block)
                    continue
                if blank and not in_list and re.match(r"( {4}|\t)\S", line):
                    raise PageError(f"{name}:{number}: an indented code block has no mark; use a fence")
                if re.match(r"\S", line):
                    in_list = bool(re.match(r"([-*+]|\d+[.)]) ", line))
                blank = not line.strip()
                self.prose.append(line)
                self.take_line(number, line)
        if fence:
            raise PageError(f"{name}:{block.line}: this code block has no end")

    def take_line(self, number, line):
        heading = re.match(r"#+ (.*)$", line)
        if heading:
            anchor = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
            count = 0
            while (anchor if count == 0 else f"{anchor}-{count}") in self.anchors:
                count += 1
            self.anchors.add(anchor if count == 0 else f"{anchor}-{count}")
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            self.links.append((number, target))
        for target in re.findall(r'(?:src|srcset|href)="([^"]+)"', line):
            self.links.append((number, target))


def pages(root):
    """The names of all pages, README.md first."""
    found = []
    for folder, folders, files in os.walk(os.path.join(root, "docs")):
        folders.sort()
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(".md")]
    top = [name for name in os.listdir(root) if name.endswith(".md") and name != "README.md"]
    return ["README.md"] + sorted(top) + sorted(found)
