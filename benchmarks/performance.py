"""Everything on docs/performance.md, measured again and written.

    python benchmarks/performance.py [--only NAME …] [--render] [--quick] [--json PATH] [--page PATH]

Sections are measured one after the other and kept in docs/performance.json as they come, so that one can be measured
again alone; then the page and its plots are rendered from that file. A wrong answer leaves its section as it was and
makes the exit status 1. `--quick` checks that everything runs and writes to benchmarks/results. All but the GPU's
section runs on the CPU, also where there is a GPU.
"""

import argparse
import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import jax
from harness import WrongAnswer, surroundings
from page import ORDER, draw, page

ROOT = Path(__file__).parents[1]
DOCS, RESULTS = ROOT / "docs", ROOT / "benchmarks" / "results"
PEERS = ("jaxlib", "numpy", "scipy", "optimistix", "clarabel")


def where():
    versions = {name: version(name) for name in PEERS}
    return surroundings() | versions | {"load": os.getloadavg()[0]}


def section(name, quick):
    """One section measured, as plain data."""
    began, about = time.perf_counter(), where()
    measured = importlib.import_module(f"sections.{name}").measured(quick)
    jax.clear_caches()  # of compiled functions, which hold memory and memory maps
    result = {"where": about, "seconds": time.perf_counter() - began, "measured": measured._asdict()}
    return json.loads(json.dumps(result, default=float))


def kept(path):
    return json.loads(path.read_text()) if path.exists() else {}


def measure(names, quick, path):
    """Measure the sections and keep each in the file as soon as it is there; returns the exit status."""
    status, results = 0, kept(path)
    for name in names:
        print(f"{name} … ", end="", flush=True)
        busy = time.process_time()
        try:
            results[name] = section(name, quick)
        except WrongAnswer as error:
            print(f"wrong answer: {error}", flush=True)
            status = 1
            continue
        print(f"{results[name]['seconds']:.0f} s, {time.process_time() - busy:.0f} s of CPU", flush=True)
        ordered = {key: results[key] for key in ORDER if key in results}
        path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    return status


def render(data, out):
    """Write the page and its plots from the file of results."""
    results = kept(data)
    out.write_text(page(results))
    return [out, *draw(results, out.parent / "images")]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=ORDER, default=ORDER, metavar="NAME", help=", ".join(ORDER))
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--quick", action="store_true", help="a check that it runs, not a measurement")
    parser.add_argument("--json", type=Path, help="file of results; docs/performance.json")
    parser.add_argument("--page", type=Path, help="docs/performance.md; its plots go into images/ beside it")
    options = parser.parse_args(arguments)
    folder = RESULTS if options.quick else DOCS
    folder.mkdir(parents=True, exist_ok=True)
    data, out = options.json or folder / "performance.json", options.page or folder / "performance.md"
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_device", jax.devices("cpu")[0])
    jax.config.update("jax_enable_compilation_cache", options.quick)  # where compilation is measured, it must happen
    status = 0 if options.render else measure(options.only, options.quick, data)
    for path in render(data, out):
        print(f"wrote {path}")
    return status


if __name__ == "__main__":
    sys.exit(main())
