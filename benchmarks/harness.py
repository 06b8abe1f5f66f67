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


def report(rows, path=None, **about):
    """Print the rows as they come, and write them to a path if given; returns the exit status: 1 for a wrong answer."""
    where = {"device": jax.devices()[0].device_kind, "cpus": os.cpu_count(), "machine": platform.machine()}
    where |= {"python": platform.python_version(), "jax": jax.__version__, "jaxmech": jm.__version__} | about
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
