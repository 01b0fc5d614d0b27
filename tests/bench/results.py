#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""results.py - the figures of scripts/bench: spreads, JSON, comparisons, plots

A benchmark adds lines to a file: heading, name, unit and a value for each run, with tabs between.
Lines with the same heading, name and unit are runs of the same figure.

usage: results.py merge FILE                  print the spread of each figure; add it to $BENCH_RESULTS
       results.py json FILE NAME MACHINE      print the figures as JSON
       results.py compare OLD.json NEW.json   print what changed; 1 if a figure got slower, else 0
       results.py plot FILE.json FOLDER       draw SVG files with gnuplot
"""
import json
import os
import re
import statistics
import subprocess
import sys

# A difference of the medians that is smaller than this is noise, whatever the runs say.
NOISE = 0.05


def read(path):
    """The figures of a file of results, in the order of their first lines."""
    figures = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            heading, name, unit, *values = line.rstrip("\n").split("\t")
            figures.setdefault((heading, name, unit), []).extend(float(value) for value in values)
    return figures


def merge(path):
    last = None
    for (heading, name, unit), runs in read(path).items():
        if heading != last:
            print(heading)
            last = heading
        print(f"  {name:<28} min {min(runs):10.2f}   median {statistics.median(runs):10.2f}"
              f"   max {max(runs):10.2f} {unit}", flush=True)
        if "BENCH_RESULTS" in os.environ:
            with open(os.environ["BENCH_RESULTS"], "a", encoding="utf-8") as file:
                print(heading, name, unit, *runs, sep="\t", file=file)
    os.unlink(path)


def to_json(path, bench, machine):
    figures = [{"heading": heading, "name": name, "unit": unit, "runs": runs}
               for (heading, name, unit), runs in read(path).items()]
    json.dump({"bench": bench, "machine": machine, "figures": figures}, sys.stdout, indent=1)
    print()


def load(path):
    """A JSON file of scripts/bench."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        for figure in data["figures"]:
            if not figure["runs"] or not isinstance(figure["heading"] + figure["name"] + figure["unit"], str):
                raise ValueError("a figure without runs")
            float(sum(figure["runs"]))
        return data
    except OSError as error:
        sys.exit(f"bench: {path}: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        sys.exit(f"bench: {path}: not a file that scripts/bench --json has written")


def more_is_better(unit):
    return unit.endswith("/s")


def verdict(old, new, unit):
    """'slower' or 'faster' if the medians differ by more than the runs of each side do; else ''."""
    if more_is_better(unit):
        old, new = [-run for run in old], [-run for run in new]
    was, now = statistics.median(old), statistics.median(new)
    if abs(now - was) <= NOISE * abs(was):
        return ""
    if now > max(old) and was < min(new):
        return "slower"
    if now < min(old) and was > max(new):
        return "faster"
    return ""


def compare(old_path, new_path):
    old, new = load(old_path), load(new_path)
    if old["machine"] != new["machine"]:
        print(f"other machines: {old['machine']} | {new['machine']}")
    new_runs = {(f["heading"], f["name"], f["unit"]): f["runs"] for f in new["figures"]}
    compared = slower = faster = 0
    for figure in old["figures"]:
        key = figure["heading"], figure["name"], figure["unit"]
        if key not in new_runs:
            continue
        compared += 1
        result = verdict(figure["runs"], new_runs[key], figure["unit"])
        slower += result == "slower"
        faster += result == "faster"
        if result:
            was, now = statistics.median(figure["runs"]), statistics.median(new_runs[key])
            change = f"{(now - was) / abs(was) * 100:+.0f} %, " if was else ""
            print(f"{result}: {figure['heading']}: {figure['name']}: {was:.2f} > {now:.2f} {figure['unit']} "
                  f"({change}median of {len(figure['runs'])} and {len(new_runs[key])} runs)")
    if compared == 0:
        sys.exit("bench: the two files have no figure in common")
    print(f"{compared} figures compared: {slower} slower, {faster} faster beyond the noise")
    return 1 if slower else 0


PERCENTILES = ["p50", "p90", "p99", "p99.9", "max"]


def gnuplot(folder, name, title, rows, commands):
    """Runs gnuplot over rows of a label and values; label in column 1."""
    data = "".join("\t".join(f'"{cell}"' if isinstance(cell, str) else f"{cell:.4g}" for cell in row) + "\n"
                   for row in rows)
    path = os.path.join(folder, name + ".svg")
    script = (f'set terminal svg size 900,{240 + 26 * len(rows)} font "sans,12" background "white"\n'
              f'set output "{path}"\nset title "{title}" noenhanced\n'
              f'set datafile separator "\\t"\nset key top left noenhanced\nset grid\n'
              f"$data << END\n{data}END\n{commands}\n")
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    print(path)


def file_name(heading):
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")[:60]


def plot(path, folder):
    os.makedirs(folder, exist_ok=True)
    by_heading = {}
    for figure in load(path)["figures"]:
        by_heading.setdefault(figure["heading"], {})[figure["name"]] = figure
    # Percentiles of a latency: one line for each peer.  "chronfs: writes of 64 bytes" and "null FUSE:
    # writes of 64 bytes" go into one plot.
    latencies, bars = {}, {}
    for heading, figures in by_heading.items():
        peer, _, rest = heading.rpartition(": ")
        if all(p in figures for p in PERCENTILES):
            latencies.setdefault(rest, {})[peer or "chronfs"] = [figures[p] for p in PERCENTILES]
        for name, figure in figures.items():
            if name not in PERCENTILES:
                label = f"{peer}: {name}" if peer else name
                bars.setdefault((rest, figure["unit"]), []).append((label, figure["runs"]))
    for heading, peers in latencies.items():
        rows = [[p] + [statistics.median(peers[peer][i]["runs"]) for peer in peers] for i, p in enumerate(PERCENTILES)]
        lines = ", ".join(f'$data using 0:{i + 2}:xtic(1) with linespoints lw 2 title "{peer}"'
                          for i, peer in enumerate(peers))
        gnuplot(folder, "latency-" + file_name(heading), heading, rows,
                f'set logscale y\nset ylabel "microseconds"\nplot {lines}')
    for (heading, unit), items in bars.items():
        rows = [[label, statistics.median(runs), min(runs), max(runs)] for label, runs in items]
        gnuplot(folder, "bars-" + file_name(heading + " " + unit), heading, rows,
                f'set style fill solid 0.6\nset boxwidth 0.6\nset yrange [0:*]\nset ylabel "{unit}" noenhanced\n'
                'set xtics rotate by -20 noenhanced\nunset key\n'
                'plot $data using 0:2:xtic(1) with boxes, $data using 0:2:3:4 with yerrorbars lc "black" lw 1')


def main():
    commands = {"merge": (merge, 1), "json": (to_json, 3), "compare": (compare, 2), "plot": (plot, 2)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or len(sys.argv) - 2 != commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    return commands[sys.argv[1]][0](*sys.argv[2:]) or 0


if __name__ == "__main__":
    sys.exit(main())
