# SPDX-License-Identifier: Apache-2.0
"""exposition.py - a strict reader of the text format 0.0.4 of Prometheus; imported, never run.

Stricter than Prometheus: every metric has its HELP and its TYPE before its samples, which are
together; no sample comes twice; histograms are complete and cumulative.
"""

import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|Inf)|NaN")
ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


class Malformed(Exception):
    pass


def check(good, line):
    if not good:
        raise Malformed(line)


def labels_of(text, line):
    labels = {}
    at = 0
    while at < len(text):
        match = LABEL.match(text, at)
        check(match and match[1] not in labels, line)
        labels[match[1]] = re.sub(r"\\.", lambda m: ESCAPES[m[0]], match[2])
        at = match.end()
        check(at == len(text) or text[at] == ",", line)
        at += 1
    return labels


def sample_of(line):
    """name, labels, value"""
    match = re.fullmatch(r"([^ {]+)(?:\{(.*)\})? (\S+)", line)
    check(match and NAME.fullmatch(match[1]) and NUMBER.fullmatch(match[3]), line)
    return match[1], labels_of(match[2] or "", line), float(match[3])


def check_histogram(name, samples):
    bounds = [(float(labels["le"]), value) for labels, value in samples[name + "_bucket"]]
    check(bounds == sorted(bounds) and len({b for b, _ in bounds}) == len(bounds), name)
    check([v for _, v in bounds] == sorted(v for _, v in bounds), name)
    check(bounds[-1][0] == float("inf"), name)
    check(samples[name + "_count"] == [({}, bounds[-1][1])], name)
    check(len(samples[name + "_sum"]) == 1, name)


def parse(text):
    """{name: (type, {sample name: [(labels, value)]})}"""
    families = {}
    current = helped = None
    check(text.endswith("\n"), "the last line")
    for line in text[:-1].split("\n"):
        word = line.split(" ")
        if line.startswith("# HELP "):
            check(len(word) > 3 and word[2] not in families, line)
            helped = word[2]
        elif line.startswith("# TYPE "):
            check(len(word) == 4 and word[2] == helped, line)
            check(word[3] in ("counter", "gauge", "histogram"), line)
            current, helped = word[2], None
            families[current] = (word[3], {})
        else:
            name, labels, value = sample_of(line)
            check(current and helped is None, line)
            kind, samples = families[current]
            endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            check(name in [current + ending for ending in endings], line)
            check(labels not in [other for other, _ in samples.get(name, [])], line)
            check(kind != "counter" or (name.endswith("_total") and value >= 0), line)
            samples.setdefault(name, []).append((labels, value))
    for name, (kind, samples) in families.items():
        check(samples, name)
        if kind == "histogram":
            check_histogram(name, samples)
    return families
