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
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import paper_system
from harness import Row, interleaved, report, require, seconds
from jax.scipy.special import erf

import jaxmech as jm

TRADERS = 5
CHUNKS = (500, 1000, 2000, 5000, 20000)  # markets a piece of a batch: small pieces stay in cache and end early
ALLOWED = 1e-9  # residual, and distance between solvers


class Size(NamedTuple):
    """How much is measured."""

    markets: int
    chunks: tuple
    scipy_points: int
    large_market: int
    rounds: int


FULL = Size(20_000, CHUNKS, 200, 1_000_000, 9)
QUICK = Size(500, (500,), 5, 2_000, 2)


# Markets and what is asked of them


def random_arrays(markets, traders=TRADERS, seed=0):
    """loc, scale, lower, upper, κ, each (traders, markets), and w, (markets,)."""
    rng = np.random.default_rng(seed)
    ranges = ((-0.5, 0.5), (0.3, 1.0), (-1.5, -0.8), (0.8, 1.5), (0.3, 3.0))
    return [jnp.asarray(rng.uniform(*ends, (traders, markets))) for ends in ranges], jnp.asarray(
        rng.uniform(0, 1, markets)
    )


def market_of(loc, scale, lower, upper, risk_capacity):
    """The market itself, past the checked door, which refuses batches."""
    names = tuple(f"group_{place}" for place in range(1, len(loc) + 1)) if len(loc) < 100 else ()
    return jm.Market(jm.TruncatedNormal(loc, scale, lower, upper), risk_capacity, jnp.ones_like(loc), names)


def multipliers(market, weight):
    mechanism = jm.solve_at_weight(market, weight)
    return mechanism.eta, mechanism.ends, mechanism.error, mechanism.steps


def multipliers_and_outcomes(market, weight):
    mechanism = jm.solve_at_weight(market, weight)
    return mechanism.eta, mechanism.ends, mechanism.error, jm.outcomes(mechanism)


def first_derivatives(market, weight):
    """Revenue, efficiency, and the derivatives of both in w, κ, counts and the law. Markets of a batch are independent,
    so a cotangent of ones gives every market its own gradient."""

    def value(market, weight):
        achieved = jm.outcomes(jm.solve_at_weight(market, weight))
        return achieved.revenue, achieved.efficiency

    values, pull = jax.vjp(value, market, weight)
    one, none = jnp.ones_like(values[0]), jnp.zeros_like(values[0])
    return values, pull((one, none)), pull((none, one))


def is_proved(market, weight):
    """Which mechanisms are certified. The budget aside: w is given here, and may lie below w*."""
    proof = jm.certify(jm.solve_at_weight(market, weight))
    wrong = jnp.stack(
        [proof.residual, jnp.abs(proof.duality_gap), -proof.participation_slack, proof.monotonicity_breach]
    )
    return jnp.all(wrong <= ALLOWED, axis=0)


@cache
def in_chunks(function, size):
    """The function on a batch, `size` markets at a time, as one compiled call."""

    def split(leaf):
        return jnp.moveaxis(leaf.reshape((*leaf.shape[:-1], -1, size)), -2, 0)

    def joined(leaf):
        leaf = jnp.moveaxis(leaf, 0, -2)
        return leaf.reshape((*leaf.shape[:-2], -1))

    @jax.jit
    def whole(*arguments):
        if jax.tree.leaves(arguments)[0].shape[-1] == size:
            return function(*arguments)
        pieces = jax.lax.map(lambda piece: function(*piece), jax.tree.map(split, arguments))
        return jax.tree.map(joined, pieces)

    return whole


@cache
def dense_newton(size):
    """The peer on a batch whose axis is in front, `size` markets at a time."""
    return jax.jit(lambda problem: jax.lax.map(paper_system.newton, problem, batch_size=size))


# Time


def fastest(calls, rounds):
    """Key and median seconds of the fastest of {key: call}."""
    medians = np.median(interleaved(calls.values(), rounds), axis=0)
    best = int(np.argmin(medians))
    return list(calls)[best], medians[best]


# The rows


def multiplier_rows(size, market, weight):
    """1 and 8: microseconds a market, and what the special functions alone would take."""
    calls = {chunk: partial(in_chunks(multipliers, chunk), market, weight) for chunk in size.chunks}
    chunk, median = fastest(calls, size.rounds)
    *_, error, steps = calls[chunk]()
    ok = in_chunks(is_proved, min(chunk, 500))(market, weight)
    require(bool(jnp.all(ok)), f"{int(jnp.sum(~ok))} mechanisms are not certified")
    evaluations = float(jnp.mean(steps)) + 2  # one pass finds that it is done; the top of the support is evaluated once
    points = jnp.linspace(-2, 2, 2 * TRADERS * size.markets).reshape(2 * TRADERS, -1)
    special = in_chunks(lambda x: erf(x) + jnp.exp(-(x**2)), chunk)
    floor = evaluations * np.median(interleaved([partial(special, points)], size.rounds))
    unit = 1e6 / size.markets
    note = f"{chunk} at a time, {float(jnp.mean(steps)):.2f} steps, error ≤ {float(jnp.max(error)):.0e}"
    floor_note = f"{evaluations:.1f} evaluations at {2 * TRADERS} points a market"
    return chunk, [
        Row("multipliers, one market", median * unit, "µs", 3, note=note),
        Row("floor: erf and exp alone, one market", floor * unit, "µs", note=floor_note),
    ]


def peer_rows(size, arrays, weight, chunk):
    """2 and 3: the same answers from dense root finders."""
    problems = paper_system.Problem(*(array.T for array in arrays), weight)
    market = market_of(*arrays)
    ours = partial(in_chunks(multipliers, chunk), market, weight)
    eta, ends, *_ = ours()
    solution = jnp.concatenate([eta, ends[0], -ends[1]]).T
    piece, _ = fastest({k: partial(dense_newton(k), problems) for k in size.chunks}, 2)
    dense = partial(dense_newton(piece), problems)
    require_same(dense(), problems, solution, "optimistix")
    times = interleaved([ours, dense], size.rounds)
    per_market = np.median(times, axis=0) / size.markets * 1e6
    ratio = np.median(times[:, 1] / times[:, 0])
    name = "optimistix Newton, dense, vmapped"
    yield Row(f"{name}, one market", per_market[1], "µs", note=f"{piece} at a time")
    yield Row(f"{name} / multipliers", ratio, "×", 15, True)
    sample = jax.tree.map(lambda leaf: leaf[: size.scipy_points], problems)
    points = [jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), sample) for k in range(size.scipy_points)]
    starts = np.asarray(jax.vmap(paper_system.start)(sample))
    for with_jacobian in (True, False):
        call = partial(paper_system.scipy_roots, starts, points, with_jacobian)
        require_same(call(), sample, solution[: size.scipy_points], "scipy")
        times = interleaved([ours, call], min(size.rounds, 3))
        each = times[:, 1] / size.scipy_points
        name = f"scipy.optimize.root {'with' if with_jacobian else 'without'} Jacobian"
        yield Row(f"{name}, one market", np.median(each) * 1e6, "µs", note=f"{size.scipy_points} markets")
        yield Row(f"{name} / multipliers", np.median(each / (times[:, 0] / size.markets)), "×", 500, True)


def require_same(unknowns, problems, solution, who):
    """Where η lies inside the support. Elsewhere the paper's system is not the problem: a trader always sells or always
    buys, and its root has an end of the binding interval outside the support."""
    unknowns, eta = jnp.asarray(unknowns), solution[:, :TRADERS]
    inside = jnp.all((problems.lower < eta) & (eta < problems.upper), axis=1)
    require(float(jnp.mean(inside)) > 0.999, "the paper's system is the problem of too few markets")
    worst = float(jnp.max(paper_system.largest_residual(unknowns, problems)))
    apart = float(jnp.max(jnp.abs(unknowns[:, : 3 * TRADERS] - solution)[inside]))
    require(worst <= ALLOWED, f"{who}: residual {worst:.1e}")
    require(apart <= ALLOWED, f"{who}: solutions differ by {apart:.1e}")


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
