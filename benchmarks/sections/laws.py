"""Time per market by law

Full points (multipliers, all outcomes, certificate) of markets of two groups of three traders, in one call. `Uniform`,
`TruncatedNormal` and `Beta` have formulas of their own; the others are cut into panels of polynomials, and laws that
need it are ironed. Compilation is that of the first float64 call. `Certified` says how many pass float32's own
tolerance in float32; in float64 all are certified, or there would be no page.
"""

import jax
import jax.numpy as jnp
import numpy as np
from harness import Measured, exponent, medians, require, seconds, table
from main_case import full_point, proved

import jaxmech as jm

WEIGHT, BINS = 0.4, (10, 100, 1000)
MARKETS, BINNED = 200, {10: 200, 100: 50, 1000: 4}


def two_camps(z, parameters):
    return -8 * (z**2 - parameters["camp"] ** 2) ** 2


class Draws:
    """Random parameters of two groups in a batch, (2, markets)."""

    def __init__(self, markets, seed=0):
        self.markets, self.random = markets, np.random.default_rng(seed)

    def __call__(self, low, high):
        return jnp.asarray(self.random.uniform(low, high, (2, self.markets)))

    def ends(self):
        return self(-1.5, -0.8), self(0.8, 1.5)


def mixture(draws):
    """Two camps of normals, far enough apart to need ironing."""
    ends, scale, share = draws.ends(), draws(0.25, 0.25), draws(0.3, 0.7)
    parts = tuple(jm.TruncatedNormal(draws(low, low + 0.4), scale, *ends) for low in (-0.8, 0.4))
    return jm.Mixture(parts, jnp.stack([share, 1 - share]))


def histogram(bins):
    """A bell in bins: no jump is deep, but half of them go down."""

    def law(draws):
        edges = np.linspace(-1, 1, bins + 1)
        middle = 0.5 * (edges[1:] + edges[:-1])[:, None, None]
        masses = jnp.exp(-((jnp.asarray(middle) - draws(-0.3, 0.3)) ** 2) / (2 * draws(0.4, 0.7) ** 2))
        return jm.Histogram(jnp.broadcast_to(edges[:, None, None], (bins + 1, *masses.shape[1:])), masses)

    return law


def straight_lines(draws):
    knots = jnp.stack([draws(low, low + 0.2) for low in (-1.2, -0.5, 0.1, 0.8)])
    return jm.PiecewiseLinear(knots, jnp.stack([draws(0.3, 1.0) for _ in knots]))


LAWS = {
    "Uniform": lambda draws: jm.Uniform(*draws.ends()),
    "TruncatedNormal": lambda draws: jm.TruncatedNormal(draws(-0.5, 0.5), draws(0.3, 1), *draws.ends()),
    "Beta": lambda draws: jm.Beta(draws(1.5, 4), draws(1.5, 4), *draws.ends()),
    "Triangular": lambda draws: jm.Triangular(draws(-0.5, 0.5), *draws.ends()),
    "TruncatedExponential": lambda draws: jm.TruncatedExponential(draws(-2, 2), *draws.ends()),
    "TruncatedLaplace": lambda draws: jm.TruncatedLaplace(draws(-0.5, 0.5), draws(0.3, 1), *draws.ends()),
    "TruncatedLogistic": lambda draws: jm.TruncatedLogistic(draws(-0.5, 0.5), draws(0.2, 0.6), *draws.ends()),
    "TruncatedStudent": lambda draws: jm.TruncatedStudent(draws(-0.5, 0.5), draws(0.3, 1), draws(3, 8), *draws.ends()),
    "Kumaraswamy": lambda draws: jm.Kumaraswamy(draws(1.5, 4), draws(1.5, 4), *draws.ends()),
    "PiecewiseLinear, 4 knots": straight_lines,
    "Mixture of two normals, ironed": mixture,
    "Density, two camps, ironed": lambda draws: jm.Density(two_camps, {"camp": draws(0.4, 0.7)}, *draws.ends()),
} | {f"Histogram of {bins} bins": histogram(bins) for bins in BINS}


def measured(quick=False):
    names = ("Uniform", "Histogram of 10 bins") if quick else LAWS
    rows = {name: figures_of(name, 4 if quick else batch_of(name), 0.01 if quick else 1.0) for name in names}
    columns = ["law", "markets", "float64, µs a market", "float32, µs a market", "certified in float32", "compile, s"]
    notes = []
    if not quick:
        growth = exponent(BINS[-2:], [rows[f"Histogram of {bins} bins"][1] for bins in BINS[-2:]])
        notes = [f"Growth exponent in bins from {BINS[-2]} to {BINS[-1]}: {growth:.2f} (1: linear)."]
    return Measured([table(columns, [[name, *row] for name, row in rows.items()])], notes=notes)


def batch_of(name):
    return next((size for bins, size in BINNED.items() if name == f"Histogram of {bins} bins"), MARKETS)


def figures_of(name, markets, patience):
    """Markets, µs a market in float64 and float32, share certified in float32, seconds of compilation."""
    draws = Draws(markets)
    law, capacity = LAWS[name](draws), draws(0.3, 3)
    double = jm.Market(law, capacity, jnp.full_like(capacity, 3.0)), jnp.full(markets, WEIGHT)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), double)
    first = seconds(lambda: jax.jit(full_point)(*double))
    call = jax.jit(full_point)
    certified = proved(call(*double)[-1])
    require(bool(jnp.all(certified)), f"{name}: {int(jnp.sum(~certified))} mechanisms are not certified")

    def in_single():
        with jax.enable_x64(False):  # as float32's users have it: where it is on, some laws promote
            return call(*single)

    calls = {"float64": lambda: call(*double), "float32": in_single}
    times = medians(calls, patience)
    approved = float(jnp.mean(proved(in_single()[-1])))
    compilation = max(0.0, first - times["float64"])
    return [markets, *(1e6 * time / markets for time in times.values()), f"{approved:.0%}", compilation]
