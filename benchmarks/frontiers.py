"""How many solves does a frontier take, and how long do ten thousand? On the CPU, in float64.

    python benchmarks/frontiers.py [--quick] [--json PATH]

The traced frontier against mechanisms on an even grid of α, joined by straight lines and by a spline (scipy's PCHIP of
revenue over efficiency), each with the least grid that comes as close. All are judged by revenue at a thousand
efficiencies, evenly spread between both ends, against exact solves there. Compile time is kept apart.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Row, interleaved, main, require
from scipy.interpolate import PchipInterpolator

import jaxmech as jm

TREASURY = Path(__file__).parents[1] / "experiments" / "markets" / "us_treasury_10y.toml"
LARGEST_GRID = 2**15


def achieved(market, weight):
    """Revenue and efficiency at each of many weights."""
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, weight.size)), market)
    result = jm.outcomes(jm.solve_at_weight(many, weight))
    return np.asarray(result.revenue), np.asarray(result.efficiency)


def solve_rows(market, tolerance):
    """Solves for one accuracy."""
    traced = jm.frontier(market, tolerance)
    surplus = float(jm.outcomes(jm.first_best(market)).first_best_surplus)
    least, most = float(traced.efficiency[-1]), float(traced.efficiency[0])
    weight = traced.weight_at(efficiency=jnp.linspace(least, most, 1002)[1:-1])
    revenue, efficiency = achieved(market, jnp.asarray(weight))

    def error(curve):
        return float(np.max(np.abs(curve(efficiency) - revenue))) / surplus

    off = error(lambda at: np.asarray(traced.revenue_at(jnp.asarray(at))))
    require(off <= tolerance, f"frontier to {tolerance:.0e}: off by {off:.1e}")
    name = f"frontier to {tolerance:.0e} of the surplus"
    yield Row(f"{name}: traced", int(traced.solves), "solves", 60, note=f"error {off:.0e}")
    joins = {"straight lines": lambda x, y: lambda at: np.interp(at, x, y), "a spline": PchipInterpolator}
    for join, curve in joins.items():
        points = 8
        while points <= LARGEST_GRID:
            grid = np.linspace(float(traced.weight[0]), 1.0, points)
            earned, kept = (part[::-1] for part in achieved(market, jnp.asarray(grid)))
            if error(curve(kept, earned)) <= tolerance:
                break
            points *= 2
        reached = points <= LARGEST_GRID
        figure = points if reached else LARGEST_GRID
        yield Row(f"{name}: even grid of α, {join}", figure, "solves", note="" if reached else "not enough")


def batch_row(markets, rounds):
    """Time for many frontiers at once: truncated normals, two groups."""
    rng = np.random.default_rng(0)
    draw = lambda low, high: jnp.asarray(rng.uniform(low, high, (2, markets)))  # noqa: E731
    law = jm.TruncatedNormal(draw(-0.5, 0.5), draw(0.3, 1.0), draw(-1.5, -0.8), draw(0.8, 1.5))
    many = jm.Market(law, draw(0.3, 3.0), jnp.asarray(rng.integers(1, 8, (2, markets)), float))
    traced = jm.frontier(many, 1e-6)
    require(bool(jnp.all(traced.error <= 1e-6)), f"a frontier has error {float(jnp.max(traced.error)):.1e}")
    again = float(np.median(interleaved([lambda: jm.frontier(many, 1e-6)], rounds)))
    solves = float(jnp.mean(traced.solves))
    yield Row(f"{markets:,} frontiers to 1e-6 in one call", again, "s", note=f"{solves:.0f} solves each on average")


def rows(tolerances, markets, rounds):
    market = jm.Market.from_toml(TREASURY)
    for tolerance in tolerances:
        yield from solve_rows(market, tolerance)
    one = float(np.median(interleaved([lambda: jm.frontier(market)], rounds)))
    yield Row("one frontier to 1e-08, compiled", 1e3 * one, "ms")
    yield from batch_row(markets, rounds)


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, full=((1e-4, 1e-6, 1e-8), 10_000, 3), quick=((1e-4,), 20, 1)))
