"""What the benchmarks share: rows of a report, a refusal of wrong answers, and clocks."""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import jaxmech as jm


class Row(NamedTuple):
    """One line of the report; `goal` None where the figure is only for orientation."""

    name: str
    figure: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def reached(self):
        if self.goal is None:
            return None
        return self.figure >= self.goal if self.at_least else self.figure <= self.goal

    def text(self):
        goal = "" if self.goal is None else f"goal {'≥' if self.at_least else '≤'} {self.goal:g}"
        verdict = {None: "", True: "reached", False: "NOT reached"}[self.reached]
        return f"{self.name:<62} {self.figure:>10.4g} {self.unit:<10} {goal:<11} {verdict:<12} {self.note}".rstrip()


class Measured(NamedTuple):
    """What one section of the performance page measured; plain data, so that it can be written as JSON."""

    tables: list  # of {"columns": names, "rows": lists}
    plots: list = ()  # of {"name", "x", "y", "series": {label: [xs, ys]}}, both axes logarithmic
    notes: list = ()  # sentences below the tables
    figures: dict | None = None  # single numbers that the head of the page quotes


class WrongAnswer(Exception):
    """A speed without a right answer is no result."""


def require(holds, what):
    if not holds:
        raise WrongAnswer(what)


def seconds(call):
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin


def interleaved(calls, rounds):
    """Seconds of each call in each round, (rounds, calls), after one call of each for compilation."""
    for call in calls:
        jax.block_until_ready(call())
    return np.array([[seconds(call) for call in calls] for _ in range(rounds)])


def repeated(calls, patience, least=3):
    """`interleaved`, as many rounds as fit into about `patience` seconds."""
    for call in calls:
        jax.block_until_ready(call())
    once = sum(seconds(call) for call in calls)
    rounds = int(np.clip(patience / once, least, 100))
    return np.array([[seconds(call) for call in calls] for _ in range(rounds)])


def medians(calls, patience, least=3):
    """Median seconds of each of {name: call}, interleaved."""
    times = np.median(repeated(list(calls.values()), patience, least), axis=0)
    return dict(zip(calls, map(float, times), strict=True))


def exponent(sizes, figures):
    """Growth exponent: the slope of least squares in logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(figures), 1)[0])


def table(columns, rows):
    return {"columns": list(columns), "rows": [list(row) for row in rows]}


def plot(name, x, y, series):
    """A plot of {label: [(x, y), …]}; None leaves a point out."""
    kept = {label: [point for point in points if point[1] is not None] for label, points in series.items()}
    lines = {label: [list(column) for column in zip(*points, strict=True)] for label, points in kept.items() if points}
    return {"name": name, "x": x, "y": y, "series": lines}


def processor():
    """The model of the CPU as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def surroundings():
    """Device and versions."""
    where = {"device": jax.devices()[0].device_kind, "processor": processor(), "cpus": os.cpu_count()}
    return where | {"python": platform.python_version(), "jax": jax.__version__, "jaxmech": jm.__version__}


def report(rows, path=None, **about):
    """Print the rows as they come, and write them to a path if given; returns the exit status: 1 for a wrong answer."""
    where = surroundings() | about
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    done = []
    try:
        for row in rows:
            print(row.text(), flush=True)
            done.append({**row._asdict(), "reached": row.reached})
    except WrongAnswer as error:
        print(f"wrong answer: {error}", file=sys.stderr)
        return 1
    if path:
        path.write_text(json.dumps({"where": where, "rows": done}, indent=1, default=float) + "\n")
    return 0


def main(about, rows, full, quick):
    """The command of a benchmark: rows(*full), or rows(*quick) for a check that it runs; returns the exit status."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check that it runs, not a measurement")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    return report(rows(*(quick if options.quick else full)), options.json)
