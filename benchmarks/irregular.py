"""What do laws that are not regular cost? Panels, ironing, histograms of 10 to 10,000 bins; on the CPU, in float64.

    python benchmarks/irregular.py [--quick] [--json PATH]

Markets of two groups, at w = 0.4, in batches with the batch axis last; compile time is kept apart, figures are medians
of interleaved runs. The peer is the reference of the tests: isotonic regression (scipy) on a grid of 4,000 cells and a
root by scipy, a market at a time. Answers that are not certified, or differ from the peer's, end the run with exit
status 1.
"""

import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Row, interleaved, main, require, seconds
from scipy import stats

import jaxmech as jm
from jaxmech.testing import isotonic_reference
from jaxmech.testing.irregular_markets import irregular_markets

WEIGHT, CELLS = 0.4, 4000


@jax.jit
def value(market):
    """J = wR + (1 − w)A of every market, multipliers and bunches included."""
    achieved = jm.outcomes(jm.solve_at_weight(market, WEIGHT))
    return WEIGHT * achieved.revenue + (1 - WEIGHT) * achieved.efficiency


def batch_of(law, markets, seed=0):
    """Two groups of several traders, `markets` of them; `law` of draws makes the endowments, (2, markets)."""
    draws = np.random.default_rng(seed)
    capacity, count = draws.uniform(0.3, 3, (2, markets)), draws.integers(1, 6, (2, 1)) + np.zeros((1, markets))
    return jm.Market(law(draws), jnp.asarray(capacity), jnp.asarray(count))


def ends_of(draws, markets):
    return tuple(jnp.asarray(draws.uniform(*ends, (2, markets))) for ends in ((-1.5, -0.8), (0.8, 1.5)))


def truncated(draws, markets):
    loc, scale = draws.uniform(-0.5, 0.5, (2, markets)), draws.uniform(0.3, 1, (2, markets))
    return jm.TruncatedNormal(jnp.asarray(loc), jnp.asarray(scale), *ends_of(draws, markets))


def two_normals(apart):
    """Mixtures of two truncated normal laws; far enough apart they need ironing."""

    def law(draws, markets):
        lower, upper = ends_of(draws, markets)
        shift, share = draws.uniform(-0.2, 0.2, (2, markets)), draws.uniform(0.3, 0.7, (2, markets))
        scale = jnp.full((2, markets), 0.25)
        parts = [jm.TruncatedNormal(jnp.asarray(loc), scale, lower, upper) for loc in (shift - apart, shift + apart)]
        return jm.Mixture(tuple(parts), jnp.asarray(np.stack([share, 1 - share])))

    return law


def smooth_histogram(bins):
    """A truncated normal law in bins: no jump is deep, but half of them go down."""
    law = stats.truncnorm(-1.2 / 0.5, 0.8 / 0.5, 0.2, 0.5)
    edges = np.linspace(-1, 1, bins + 1)
    endowment = jm.Histogram(edges, np.diff(law.cdf(edges)))
    return jm.Market.of(jm.Traders(endowment, 0.7, 3), jm.Traders(endowment, 1.1, 2))


def certified(market):
    require(bool(jnp.all(jm.certify(jm.solve_at_weight(market, WEIGHT)).ok)), "a market is not certified")


def rows(markets, most_bins, rounds):
    kinds = {
        "truncated normal, closed form": truncated,
        "mixture of two normals, one peak": two_normals(0.1),
        "mixture of two normals, ironed": two_normals(0.6),
    }
    batches = {name: batch_of(lambda d, law=law: law(d, markets), markets) for name, law in kinds.items()}
    for market in batches.values():
        certified(market)
    for name, market in batches.items():
        yield Row(f"first call: {name}", seconds(lambda m=market: jax.jit(lambda m: value(m))(m)), "s")
    times = interleaved([lambda m=market: value(m) for market in batches.values()], rounds)
    for name, column in zip(batches, times.T, strict=True):
        yield Row(f"one market: {name}", 1e6 * np.median(column) / markets, "µs")
    yield Row("one peak / closed form", float(np.median(times[:, 1] / times[:, 0])), "×")
    yield Row("ironed / one peak", float(np.median(times[:, 2] / times[:, 1])), "×")
    yield from against_the_grid(rounds)
    yield from by_bins(most_bins, rounds)


def against_the_grid(rounds, batch=20):
    """Histograms with seven bins, the peer one at a time."""
    market, alone = irregular_markets("two histograms", batch, seed=1)
    certified(market)
    grids = []

    def peer():
        grids[:] = [isotonic_reference.precise_reference(*alone(k), WEIGHT, CELLS // 2) for k in range(batch)]

    times = interleaved([lambda: value(market), peer], max(2, rounds // 3))
    surplus = jm.outcomes(jm.solve_at_weight(market, WEIGHT)).first_best_surplus
    off = float(np.max(np.abs(value(market) - np.array([grid.objective for grid in grids])) / surplus))
    require(off < 1e-7, f"objective differs from the grid's by {off:.1e} of the surplus")
    ratio = float(np.median(times[:, 1] / times[:, 0]))
    yield Row(f"isotonic regression on {CELLS} cells with scipy / jaxmech", ratio, "×", note=f"{off:.0e} apart")


def by_bins(most, rounds):
    """Cost against the number of bins."""
    sizes = [bins for bins in (10, 100, 1000, 10_000) if bins <= most]
    cost = []
    for bins in sizes:
        market = smooth_histogram(bins)
        certified(market)
        cost.append(1e3 * float(np.median(interleaved([lambda m=market: value(m)], rounds))))
        yield Row(f"one market: histogram of {bins} bins", cost[-1], "ms")
    rise = np.log(cost[-1] / cost[-2]) / np.log(sizes[-1] / sizes[-2])
    yield Row(f"exponent of the cost from {sizes[-2]} to {sizes[-1]} bins", float(rise), "", 1.2, note="1: linear")


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, full=(500, 10_000, 9), quick=(20, 100, 2)))
