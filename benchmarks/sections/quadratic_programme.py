"""Against the discretised quadratic programme

Two traders, one uniform and one truncated normal, at α = ½: problem (6)–(10) on a grid of K cells a trader, a conic
programme solved by Clarabel to 1e-10, which knows neither virtual types nor multipliers. Its value approaches the
optimum from below by the square of the cells; Richardson's extrapolation from K and K/2 removes that. Errors are those
of the objective.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from harness import Measured, exponent, medians, plot, require, table
from scipy import stats

import jaxmech as jm

ALPHA, ALLOWED = 0.5, 1e-6
NORMAL = {"loc": 0.2, "scale": 0.5, "lower": -1.0, "upper": 1.0}


@cache
def traders():
    from jaxmech.testing.discretised import Trader

    low, high = ((NORMAL[end] - NORMAL["loc"]) / NORMAL["scale"] for end in ("lower", "upper"))
    normal = stats.truncnorm(low, high, NORMAL["loc"], NORMAL["scale"])
    return [Trader(stats.uniform(-1, 2.2), 0.5), Trader(normal, 0.8)]


def on_a_grid(cells):
    from jaxmech.testing.discretised import optimum

    return optimum(traders(), ALPHA, cells)


def jaxmech_market():
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1.2), 0.5), jm.Traders(jm.TruncatedNormal(**NORMAL), 0.8))


@jax.jit
def objective(market, alpha):
    mechanism = jm.solve(market, alpha)
    achieved = jm.outcomes(mechanism)
    return alpha * achieved.revenue + (1 - alpha) * achieved.efficiency, jm.certify(mechanism).ok


def measured(quick=False):
    from jaxmech.testing.discretised import extrapolated

    sizes = (10, 20, 40) if quick else (20, 40, 80, 160)
    market = jaxmech_market()
    value, ok = objective(market, ALPHA)
    require(bool(ok), "the mechanism is not certified")
    grids = {cells: on_a_grid(cells) for cells in sizes}
    missed = {cells: float(value) - grid.objective for cells, grid in grids.items()}
    require(min(missed.values()) > -1e-9, "an allocation on a grid does better than the optimum")
    calls = {cells: partial(on_a_grid, cells) for cells in sizes} | {"jaxmech": lambda: objective(market, ALPHA)}
    times = medians(calls, 0.01 if quick else 3.0)
    rows = [[f"K = {cells}", 1e3 * times[cells], missed[cells]] for cells in sizes]
    best = abs(extrapolated(grids[sizes[-2]], grids[sizes[-1]]).objective - float(value))
    require(best <= (1e-4 if quick else ALLOWED), f"the programme is {best:.1e} from the certified answer")
    both = times[sizes[-2]] + times[sizes[-1]]
    rows += [["extrapolated from the last two", 1e3 * both, best]]
    rows += [["jaxmech, one market alone", 1e3 * times["jaxmech"], "certified"]]
    batch = 1e3 * in_a_batch(market, 20 if quick else 2000, 0.01 if quick else 1.0)
    rows += [["jaxmech, one market in a batch", batch, "certified"]]
    rates = [exponent(sizes, [numbers[cells] for cells in sizes]) for numbers in (times, missed)]
    errors = [(times[cells] * 1e3, missed[cells]) for cells in sizes]
    note = f"Growth exponents in K: time {rates[0]:.2f}, error {rates[1]:.2f}. Extrapolated / jaxmech in a batch: "
    return Measured(
        [table(["method", "ms a market", "error of the objective"], rows)],
        [plot("quadratic_programme", "ms a market", "error of the objective", {"Clarabel, K cells": errors})],
        [note + f"{1e3 * both / batch:,.0f} times the time, for {-np.log10(best):.0f} digits."],
    )


def in_a_batch(market, markets, patience):
    """Seconds a market at many α."""
    alpha = jnp.linspace(0.4, 0.6, markets)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, markets)), market)
    require(bool(jnp.all(objective(many, alpha)[1])), "a mechanism is not certified")
    return medians({"batch": lambda: objective(many, alpha)}, patience)["batch"] / markets
