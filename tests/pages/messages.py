#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: messages.py ROOT

docs/TROUBLESHOOTING.md has every message of the programs and the library, and every errno of the mount.

The messages are the texts in the C sources that have two words or more, except for what is not about a problem:
help texts and the output of `chronq info` and `ls` (a newline in the middle, a full stop at the end, columns of blanks, a
synopsis in brackets), and the files in QUIET.  A placeholder (%s) may be anything on the page; every piece of two
words between placeholders has to be there.  In the other direction: each code span in a first column of the
page has to be a message; the texts of other programs are in quotes there.
"""

import os
import re
import sys

import pagefile

PAGE = "docs/TROUBLESHOOTING.md"
QUIET = ("fs/status/", "core/cli/inspect/info.c", "fs/options/usage.c")  # the help of metrics, columns, --help
TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\w+|\S""", re.S)
CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j)?[a-zA-Z]|%%")
PLACEHOLDER = re.compile(r"\b[A-Z]+\b|\b\d+\b|[;:(),]")  # of the page; and where one text is put behind another


def texts(source):
    """The string literals of a C source; neighbours are one.  Not the headings of a table: a format with widths and
    what follows it in the call."""
    source = re.sub(r"^\s*#\s*(?!define).*$", "", source, flags=re.M)
    source = re.sub(r"\b(?:_Static_assert|static_assert)\(.*?\);", "", source, flags=re.S)
    text, in_table = None, False
    for match in TOKEN.finditer(source):
        token = match[0]
        if token.startswith(("/*", "//")):
            continue
        if token[0] == '"':
            text = (text or "") + token[1:-1]
        elif text is not None and token.startswith("PRI"):
            text += "u"
        elif text is not None:
            in_table = in_table or re.search(r"%-?\d+s", text)
            if not in_table:
                yield text.removesuffix("\\n")
            text = None
        if token == ";":
            in_table = False


def words(text):
    return len(re.findall(r"[A-Za-z]{2,}", text))


def is_message(text):
    return re.search(r"[A-Za-z]{2,}.* .*[A-Za-z]{2,}", CONVERSION.sub("", text)) and not (
        "\\n" in text or "   " in text or text.endswith((".", " DIR")) or text.startswith("["))


def pieces(text, placeholder):
    """What stands between the placeholders, where it has two words; else the longest piece."""
    found = [" ".join(piece.split()).strip(" :;,-") for piece in placeholder.split(text)]
    return [piece for piece in found if words(piece) >= 2] or [max(found, key=len)]


def is_known(piece, known, parts=3):
    """Whether the piece is put together from so many parts of known texts at most."""
    if any(piece in text for text in known):
        return True
    split = piece.split()
    return parts > 1 and any(
        any(" ".join(split[:i]) in text for text in known) and is_known(" ".join(split[i:]), known, parts - 1)
        for i in range(len(split) - 1, 0, -1))


def main():
    root = sys.argv[1]
    messages, known = {}, []
    for top in ("core", "fs"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), root)
                if name.endswith(".c") and not path.startswith(QUIET):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        for text in texts(file.read()):
                            plain = text.replace('\\"', '"').replace("\\\\", "\\")
                            known.append(plain)
                            if is_message(text):
                                messages.setdefault(plain, path)
    page = pagefile.Page(root, PAGE)
    plain = " ".join(" ".join(page.prose).replace("`", "").replace("\\|", "|").split())
    failed = False
    missing = [f"{path}: {text}" for text, path in messages.items()
               if not all(piece in plain for piece in pieces(text, CONVERSION))]
    missing = missing or ([] if len(messages) > 200 else ["too few are found"])
    print(("not ok - " if missing else "ok - ") + f"{PAGE} has all {len(messages)} messages of the sources")
    for line in missing:
        print(f"    {line}")
    failed = failed or missing

    known = [" ".join(CONVERSION.sub(lambda found: "%" if found[0] == "%%" else " ... ", text).split())
             for text in known]
    first = [span.replace("\\|", "|") for line in page.prose if line.startswith("| ")
             for span in re.findall(r"`([^`]+)`", re.split(r"(?<!\\) \| ", line)[0])]
    stale = [span for span in first
             if not all(is_known(piece, known) for piece in pieces(span, PLACEHOLDER))]
    print(("not ok - " if stale or not first else "ok - ") + f"{len(first)} texts on the page are messages of the sources")
    for line in stale:
        print(f"    {line}")
    failed = failed or stale or not first

    with open(os.path.join(root, "docs/semantics.md"), encoding="utf-8") as file:
        table = file.read().partition("| errno |")[2]
    errors = re.findall(r"E[A-Z]+\b", " ".join(re.findall(r"^\| (E[A-Z, ]+)\|", table, flags=re.M)))
    missing = [error for error in errors if not re.search(rf"\b{error}\b", plain)]
    print(("not ok - " if missing or not errors else "ok - ") + f"{len(errors)} errnos of the mount are there")
    for line in missing:
        print(f"    {line}")
    return bool(failed or missing or not errors)


sys.exit(main())
