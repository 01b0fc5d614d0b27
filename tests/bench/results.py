#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""results.py - the figures of scripts/bench: spreads, JSON, comparisons, plots

A benchmark adds lines to a file: heading, name, unit and a value for each run, with tabs between.
Lines with the same heading, name and unit are runs of the same figure.

usage: results.py merge FILE                  print the spread of each figure; add it to $BENCH_RESULTS
       results.py json FOLDER NAME MACHINE    print the figures of FOLDER, a file for each benchmark, as JSON
       results.py compare OLD.json NEW.json   print what changed; 1 if a figure got slower, else 0
       results.py plot FILE.json FOLDER       draw SVG files with gnuplot
"""
import json
import os
import statistics
import subprocess
import sys

# A difference of the medians that is smaller than this is noise, whatever the runs say.
NOISE = 0.05

# What names a figure.
PARTS = ["bench", "heading", "name", "unit"]


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


def to_json(folder, bench, machine):
    figures = [{"bench": file, "heading": heading, "name": name, "unit": unit, "runs": runs}
               for file in sorted(os.listdir(folder))
               for (heading, name, unit), runs in read(os.path.join(folder, file)).items()]
    json.dump({"bench": bench, "machine": machine, "figures": figures}, sys.stdout, indent=1)
    print()


def load(path):
    """A JSON file of scripts/bench."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        for figure in data["figures"]:
            if not figure["runs"] or not isinstance("".join(figure[part] for part in PARTS), str):
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
    new_runs = {tuple(f[part] for part in PARTS): f["runs"] for f in new["figures"]}
    compared = slower = faster = 0
    for figure in old["figures"]:
        key = tuple(figure[part] for part in PARTS)
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


def latency_panel(block, title, peers):
    """Percentiles of a latency: for each peer a line of the medians, with lines from the least to the most."""
    rows = [[p] + [f(figures[p]) for figures in peers.values() for f in (statistics.median, min, max)]
            for p in PERCENTILES]
    lines = ", ".join(f'{block} using 0:{i}:{i + 1}:{i + 2}:xtic(1) with yerrorlines lw 2 title "{peer}"'
                      for i, peer in zip(range(2, len(rows[0]), 3), peers))
    return title, rows, f'set logscale y\nset key top left noenhanced\nset ylabel "microseconds"\nplot {lines}'


def bars_panel(block, title, unit, bars):
    """A bar for each median, with lines from the least to the most."""
    rows = [[label, statistics.median(runs), min(runs), max(runs)] for label, runs in bars]
    return title, rows, (f'set yrange [0:1<*]\nunset key\nset style fill solid 0.6\n'
                         f'set bars front\nset ylabel "{unit}" noenhanced\nset xtics rotate by -12 noenhanced\n'
                         f'plot {block} using 0:2:3:4:(0.5):xtic(1) with boxerrorbars lc "#335588" lw 2')


def panels(figures):
    """The panels of one benchmark.  "chronfs: writes of 64 bytes" and "null FUSE: writes of 64 bytes" share one.
    Where nothing was counted there is no panel."""
    by_heading, latencies, bars = {}, {}, {}
    for figure in figures:
        by_heading.setdefault(figure["heading"], {})[figure["name"], figure["unit"]] = figure["runs"]
    for heading, named in by_heading.items():
        peer, colon, title = heading.partition(": ")
        if not colon:
            peer, title = "", heading
        if all((p, "us") in named for p in PERCENTILES):
            latencies.setdefault(title, {})[peer or "chronfs"] = {p: named.pop((p, "us")) for p in PERCENTILES}
        for (name, unit), runs in named.items():
            bars.setdefault((title, unit), []).append((f"{peer}: {name}" if peer else name, runs))
    made = [lambda block, t=t, p=p: latency_panel(block, t, p) for t, p in latencies.items()]
    made += [lambda block, t=t, u=u, b=b: bars_panel(block, t, u, b)
             for (t, u), b in bars.items() if any(any(runs) for _, runs in b)]
    return [make(f"$panel{i}") for i, make in enumerate(made)]


def plot(path, folder):
    """One SVG file for each benchmark, its panels one below the other."""
    os.makedirs(folder, exist_ok=True)
    by_bench = {}
    for figure in load(path)["figures"]:
        by_bench.setdefault(figure["bench"], []).append(figure)
    for bench, figures in by_bench.items():
        drawn = panels(figures)
        svg = os.path.join(folder, bench + ".svg")
        script = ['set datafile separator "\t"', "set grid"]
        for i, (_, rows, _) in enumerate(drawn):
            script.append(f"$panel{i} << END")
            script += ["\t".join(f'"{c}"' if isinstance(c, str) else f"{c:.6g}" for c in row) for row in rows]
            script.append("END")
        script += [f'set terminal svg size 900,{300 * len(drawn)} font "sans,12" background "white"',
                   f'set output "{svg}"', f"set multiplot layout {len(drawn)},1"]
        for title, rows, commands in drawn:
            script += ["unset logscale", "set autoscale", "set xtics norotate", f"set xrange [-0.5:{len(rows) - 0.5}]",
                       f'set title "{title}" noenhanced font ",10"', commands]
        script.append("unset multiplot")
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
        print(svg)


def main():
    commands = {"merge": (merge, 1), "json": (to_json, 3), "compare": (compare, 2), "plot": (plot, 2)}
    if len(sys.argv) < 2 or sys.argv[1] not in commands or len(sys.argv) - 2 != commands[sys.argv[1]][1]:
        sys.exit(__doc__)
    return commands[sys.argv[1]][0](*sys.argv[2:]) or 0


if __name__ == "__main__":
    sys.exit(main())
