"""How fast are the multipliers? Peers side by side in one process, on the CPU, in float64.

    python benchmarks/multipliers.py [--quick] [--json PATH]

Markets of five distinct truncated-normal traders, 20,000 at a time, batch axis last. Compile time is kept apart;
figures are medians of interleaved runs, ratios are medians over those runs. Wrong answers end the run with exit status
1: every mechanism must be certified, the peers must reach the same solution, derivatives must match differences.
"""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import paper_system
from harness import Row, interleaved, report, require, seconds
from main_case import (
    ALLOWED,
    CHUNKS,
    TRADERS,
    fastest,
    first_derivatives,
    in_chunks,
    market_of,
    multipliers,
    multipliers_and_outcomes,
    passes,
    random_arrays,
    require_proved,
    special_functions,
    special_points,
)
from peers import Case, optimistix, require_same, require_solved, scipy_root


class Size(NamedTuple):
    """How much is measured."""

    markets: int
    chunks: tuple
    scipy_points: int
    large_market: int
    rounds: int


FULL = Size(20_000, CHUNKS, 200, 1_000_000, 9)
QUICK = Size(500, (500,), 5, 2_000, 2)


def multiplier_rows(size, market, weight):
    """1 and 8: microseconds a market, and what the special functions alone would take."""
    calls = {chunk: partial(in_chunks(multipliers, chunk), market, weight) for chunk in size.chunks}
    chunk, median = fastest(calls, size.rounds)
    *_, error, steps = calls[chunk]()
    require_proved(market, weight)
    special = partial(in_chunks(special_functions, chunk), special_points(TRADERS, size.markets))
    floor = passes(steps) * np.median(interleaved([special], size.rounds))
    unit = 1e6 / size.markets
    note = f"{chunk} at a time, {float(jnp.mean(steps)):.2f} steps, error ≤ {float(jnp.max(error)):.0e}"
    floor_note = f"{passes(steps):.1f} evaluations at {2 * TRADERS} points a market"
    return chunk, [
        Row("multipliers, one market", median * unit, "µs", 3, note=note),
        Row("floor: erf and exp alone, one market", floor * unit, "µs", note=floor_note),
    ]


def peer_rows(size, arrays, weight, chunk):
    """2 and 3: the same answers from dense root finders."""
    ours = partial(in_chunks(multipliers, chunk), market_of(*arrays), weight)
    eta, ends, *_ = ours()
    case = Case(arrays, weight, eta, ends)
    piece, _ = fastest({k: optimistix(case, k) for k in size.chunks}, 2)
    dense = optimistix(case, piece)
    require_right(dense(), case, "optimistix")
    times = interleaved([ours, dense], size.rounds)
    per_market = np.median(times, axis=0) / size.markets * 1e6
    ratio = np.median(times[:, 1] / times[:, 0])
    name = "optimistix Newton, dense, vmapped"
    yield Row(f"{name}, one market", per_market[1], "µs", note=f"{piece} at a time")
    yield Row(f"{name} / multipliers", ratio, "×", 15, True)
    sample = case.first(size.scipy_points)
    for with_jacobian in (True, False):
        call = scipy_root(sample, with_jacobian)
        require_right(call(), sample, "scipy")
        times = interleaved([ours, call], min(size.rounds, 3))
        each = times[:, 1] / size.scipy_points
        name = f"scipy.optimize.root {'with' if with_jacobian else 'without'} Jacobian"
        yield Row(f"{name}, one market", np.median(each) * 1e6, "µs", note=f"{size.scipy_points} markets")
        yield Row(f"{name} / multipliers", np.median(each / (times[:, 0] / size.markets)), "×", 500, True)


def require_right(unknowns, case, who):
    require_solved(unknowns, case.problems, who)
    require_same(unknowns, case, who)


def outcome_rows(size, market, weight, chunk):
    """4 and 5: what outcomes and their derivatives cost on top."""
    require_derivatives(market, weight)
    functions = (multipliers, multipliers_and_outcomes, first_derivatives)
    pieces = [k for k in size.chunks if k <= 5000] or [chunk]
    best = [fastest({k: partial(in_chunks(f, k), market, weight) for k in pieces}, 2)[0] for f in functions]
    calls = [partial(in_chunks(f, k), market, weight) for f, k in zip(functions, best, strict=True)]
    times = interleaved(calls, size.rounds)
    micro = np.median(times, axis=0) / size.markets * 1e6
    inputs = len(jax.tree.leaves(market)) * TRADERS + 1
    yield Row("multipliers and all outcomes, one market", micro[1], "µs", note=f"{best[1]} at a time")
    yield Row("multipliers and all outcomes / multipliers", np.median(times[:, 1] / times[:, 0]), "×", 3)
    yield Row(
        "with first derivatives, one market", micro[2], "µs", note=f"{best[2]} at a time, 2 × {inputs} derivatives"
    )
    ratio = np.median(times[:, 2] / times[:, 1])
    yield Row("with first derivatives / multipliers and all outcomes", ratio, "×", 4)


def require_derivatives(market, weight, markets=500, step=1e-5):
    """Derivatives along a random direction against central differences."""
    point = jax.tree.map(lambda leaf: leaf[..., :markets], (market, 0.01 + 0.98 * weight))
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-1, 1, leaf.shape)), point)
    values, *gradients = in_chunks(first_derivatives, markets)(*point)
    shifted = [jax.tree.map(lambda x, d, s=s: x + s * d, point, direction) for s in (step, -step)]
    ahead, behind = (in_chunks(multipliers_and_outcomes, markets)(*one)[-1] for one in shifted)
    for place, name in enumerate(("revenue", "efficiency")):
        difference = (getattr(ahead, name) - getattr(behind, name)) / (2 * step)
        products = jax.tree.map(lambda g, d: (g * d).reshape(-1, g.shape[-1]).sum(0), gradients[place], direction)
        off = jnp.max(jnp.abs(sum(jax.tree.leaves(products)) - difference) / (1 + jnp.abs(values[place])))
        require(float(off) <= 1e-6, f"derivatives of {name} differ from differences by {float(off):.1e}")


def first_call_seconds():
    """Seconds of the first call of multipliers and outcomes in this process, compilation included."""
    arrays, weight = random_arrays(FULL.chunks[0])
    jax.block_until_ready(weight)
    return seconds(lambda: jax.jit(multipliers_and_outcomes)(market_of(*arrays), weight))


def first_call_row():
    """6: in a fresh process."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, __file__, "--first-call"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"fresh process: {done.stderr.strip()[-300:]}")
    return Row(
        "first call of multipliers and outcomes, fresh process", float(done.stdout), "s", 6, note="imports apart"
    )


def large_market_rows(size):
    """7: one market of many distinct traders."""
    arrays, _ = random_arrays(1, size.large_market)
    columns = [array[:, 0] for array in arrays]
    call = partial(jax.jit(multipliers), market_of(*columns), jnp.asarray(0.5))
    first = seconds(call)
    eta, ends, error, steps = call()
    integral = paper_system.multiplier_integral(paper_system.Problem(*columns, 0.5), eta, ends[0], -ends[1])
    unknowns = jnp.concatenate([eta, ends[0], -ends[1], integral])
    left = jnp.abs(paper_system.residual(unknowns, paper_system.Problem(*columns, 0.5))).reshape(4, -1)
    left = left.at[0].divide(jnp.sum(columns[-1]))  # that equation is in units of K η
    require(float(jnp.max(left)) <= ALLOWED, f"large market: residual {float(jnp.max(left)):.1e}")
    again = float(np.median(interleaved([call], min(size.rounds, 5))))
    name = f"one market of {size.large_market:,} distinct traders"
    yield Row(name, again, "s", 2, note=f"{int(steps)} steps, error {float(error):.0e}")
    yield Row(f"{name}, first call", first, "s", note="with compilation")


def rows(size):
    """All rows, one by one."""
    arrays, weight = random_arrays(size.markets)
    market = market_of(*arrays)
    chunk, measured = multiplier_rows(size, market, weight)
    yield from measured
    yield from peer_rows(size, arrays, weight, chunk)
    yield from outcome_rows(size, market, weight, chunk)
    yield first_call_row()
    yield from large_market_rows(size)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few markets: a check that it runs, not a measurement")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--first-call", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    if options.first_call:
        print(first_call_seconds())
        return 0
    size = QUICK if options.quick else FULL
    return report(rows(size), options.json, markets=size.markets, traders=TRADERS)


if __name__ == "__main__":
    sys.exit(main())
