#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: links.py ROOT PAGE...

The pages as a whole: each link leads somewhere, each page is reached from README.md, each code block is marked,
each file of the tree that a page names is there, and the commands of each page are tested: the arguments are
the pages that meson.build names.
"""

import os
import re
import sys

import pagefile

failed = False


def case(what, wrong):
    global failed
    failed = failed or bool(wrong)
    print(("not ok - " if wrong else "ok - ") + what)
    for line in wrong:
        print(f"    {line}")


def leads_nowhere(root, page, target, loaded):
    """Why a link is wrong, or None."""
    if re.match(r"[a-z]+:", target):
        return None
    path, _, anchor = target.partition("#")
    path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
    if path.startswith("..") or not os.path.exists(os.path.join(root, path)):
        return "there is no such file"
    if anchor and (path not in loaded or anchor not in loaded[path].anchors):
        return "there is no such heading"
    return None


def main():
    root, tested = sys.argv[1], sys.argv[2:]
    loaded, wrong = {}, []
    for name in pagefile.pages(root):
        try:
            loaded[name] = pagefile.Page(root, name)
        except pagefile.PageError as error:
            wrong.append(str(error))
    case(f"the code blocks of {len(loaded)} pages are marked", wrong)

    wrong, count = [], 0
    for name, page in loaded.items():
        for number, target in page.links:
            why = leads_nowhere(root, name, target, loaded)
            count += 1
            if why:
                wrong.append(f"{name}:{number}: {target}: {why}")
    case(f"{count} links lead somewhere", wrong)

    reached, ahead = set(), ["README.md"]
    while ahead:
        name = ahead.pop()
        if name in loaded and name not in reached:
            reached.add(name)
            ahead += [os.path.normpath(os.path.join(os.path.dirname(name), target.partition("#")[0]))
                      for _, target in loaded[name].links]
    case("each page is linked from README.md, or from a page that is", sorted(loaded.keys() - reached))

    wrong, count = [], 0
    for name, page in loaded.items():
        for path in re.findall(r"`((?:core|fs|docs|tests|scripts)/[\w./@-]*\w)[`\s]", "\n".join(page.prose)):
            if "." not in path and not path.startswith("scripts/"):
                continue  # a folder, or a program that a build makes
            count += 1
            if not os.path.exists(os.path.join(root, path)):
                wrong.append(f"{name}: {path}")
    case(f"{count} files that pages name are there", wrong)

    run = {name for name, page in loaded.items() if any(block.language in pagefile.RUN for block in page.blocks)}
    case("the commands of each page are tested (tests/pages/meson.build)", sorted(run - set(tested)))
    case("each page that is tested is there", sorted(set(tested) - loaded.keys()))
    return failed


sys.exit(main())
