"""Numerical laws of every kind, easy and hard, and what SciPy says of them.

Add a law to GIVEN, and its witness below, and every claim of test_numerical_laws.py is checked for it.
"""

from functools import cache, singledispatch
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from scipy.integrate import quad

import jaxmech as jm
from jaxmech.endowments import (
    Beta,
    Density,
    Histogram,
    Kumaraswamy,
    Mixture,
    PiecewiseLinear,
    Triangular,
    TruncatedExponential,
    TruncatedLaplace,
    TruncatedLogistic,
    TruncatedNormal,
    TruncatedStudent,
    Uniform,
)
from jaxmech.testing.irregular_laws import PiecewiseLinear as Lines

from . import accuracy


@cache
def market_law(name):
    """The law of that name as `Market.of` hands it on: fields of shape (groups,), lists in front."""
    return jm.Market.of(jm.Traders(GIVEN[name], 1.0, 2)).endowment


def quartic(z, parameters):
    return -(((z - parameters["loc"]) / parameters["scale"]) ** 4)


def tent(z, parameters):
    """A corner at its mode, a parameter, and a jump by a factor of e at 0.5."""
    return -3 * jnp.abs(z - parameters["mode"]) + jnp.where(z < 0.5, 0.0, 1.0)


def waves(z, parameters):
    return jnp.sin(5 * z)


LOG_CONCAVE = {
    "triangular": accuracy.rows(
        Triangular, [(0.2, -1, 1), (-1, -1, 1), (1, -1, 1), (0.9999, -1, 1), (5.1, 5, 5.5), (-30, -100, 900)]
    ),
    "truncated exponential": accuracy.rows(
        TruncatedExponential, [(0, -1, 1), (1e-9, 0, 1), (1.5, -1, 1), (-3, -1, 2), (40, 5, 7), (-250, -1, 1)]
    ),
    "truncated laplace": accuracy.rows(
        TruncatedLaplace, [(0.2, 0.5, -1, 1), (-3, 0.5, -1, 1), (0.3, 0.01, -1, 1), (0, 1e3, -1, 1), (2, 0.1, -1, 1)]
    ),
    "truncated logistic": accuracy.rows(
        TruncatedLogistic, [(0.2, 0.5, -1, 1), (-3, 0.5, -1, 1), (0.3, 0.01, -1, 1), (0, 1e3, -1, 1), (2, 0.1, -1, 1)]
    ),
    "kumaraswamy": accuracy.rows(
        Kumaraswamy,
        [(1, 1, -1, 1), (2, 3, -1, 1.5), (1.5, 1.2, -1, 1), (1.01, 1.02, 0, 1), (30, 2, 0, 1), (1, 100, 0, 2)],
    ),
}
TWO_HUMPS = (TruncatedNormal(-0.5, 0.2, -1.0, 1.0), TruncatedNormal(0.6, 0.1, -1.0, 1.0))
NESTED = Mixture(
    (Mixture((Uniform(-1.0, 0.4), Beta(2.0, 3.0, -1.0, 1.0)), [0.5, 0.5]), Triangular(0.7, 0.0, 1.3)), [2.0, 1.0]
)
DATA = Mixture(
    (Histogram([-1.0, 0.1, 1.0], [1.0, 2.0]), PiecewiseLinear([-0.5, 0.3, 1.5], [0.0, 1.0, 0.2])), [1.0, 1.0]
)
IRREGULAR = {
    "student": accuracy.rows(
        TruncatedStudent,
        [(0, 0.3, 3, -1, 1), (0.2, 0.01, 1, -1, 1), (0.5, 0.5, 0.5, -4, 4), (0, 1, 30, 2, 5), (-2, 0.1, 2, -1, 1)],
    ),
    "mixture of two humps": Mixture(TWO_HUMPS, [[0.4, 0.999], [0.6, 0.001]]),
    "mixture of touching supports": Mixture((Uniform(-1.0, [0.0, 0.9]), Uniform([0.0, 0.9], 1.0)), [0.2, 0.8]),
    "mixture of laws that share an end": Mixture(
        (TruncatedExponential(0.5, -1.0, 1.0), Uniform(-1.0, 1.4)), [0.4, 0.6]
    ),
    "mixture of triangles that share an end": Mixture(
        (Triangular(-0.4, -1.0, 1.0), Triangular(0.6, -1.0, 1.0)), [1.0, 1.0]
    ),
    "mixture of differing supports": Mixture((Uniform(-1.0, 0.5), Triangular(0.2, -0.5, 1.5)), [0.3, 0.7]),
    "mixture with a narrow component": Mixture(
        (Uniform(-1.0, 1.0), TruncatedLogistic(0.3, 1e-3, 0.25, 0.4)), [9.0, 1.0]
    ),
    "mixture of mixtures": NESTED,
    "mixture of data laws": DATA,
    "histogram": Histogram([-1.0, -0.7, 0.0, 0.1, 1.0, 1.5], [0.1, 0.3, 0.05, 0.35, 0.2]),
    "histogram with deep valleys": Histogram([-1.0, -0.5, 0.5, 0.6, 1.0], [1.0, 1e-3, 1.0, 1e-8]),
    "histogram of one bin": Histogram([[-1.0, 5.0], [1.0, 5.5]], [3.0]),
    "line that starts and ends at zero": PiecewiseLinear([-1.0, -0.2, 0.3, 1.2], [0.0, 1.0, 0.4, 0.0]),
    "line through a valley": PiecewiseLinear([-1.0, 0.1, 1.0], [[1.0, 2.0], [1e-3, 1e-3], [1.0, 0.5]]),
    "line of two knots": PiecewiseLinear([-1.0, 1.0], [[0.0, 1.0, 2.0], [1.0, 1.0, 0.0]]),
    "density with parameters": Density(quartic, {"loc": [0.1, -0.3], "scale": [0.6, 2.0]}, -1.0, 1.0),
    "density with a corner and a jump": Density(tent, {"mode": -0.3}, -1.0, 1.0, kinks=[-0.3, 0.5]),
    "density of nothing else": Density(waves, {}, -1.0, 1.0),
}
GIVEN = LOG_CONCAVE | IRREGULAR


def column(law, group):
    """One group of a law: lists keep their axis, all else is a number."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[..., group], law)


@singledispatch
def witness(law):
    """A frozen distribution of SciPy, or something with its pdf and cdf, for one group of a law."""
    raise NotImplementedError(f"write the witness of {type(law).__name__} in laws.py")


class Cut(NamedTuple):
    """A distribution of SciPy cut to [lower, upper]."""

    whole: object
    lower: float
    upper: float

    def _between(self, low, high):
        left = self.whole.cdf(high) - self.whole.cdf(low)
        return np.where(low > self.whole.median(), self.whole.sf(low) - self.whole.sf(high), left)

    def pdf(self, z):
        return self.whole.pdf(z) / self._between(self.lower, self.upper)

    def cdf(self, z):
        return self._between(self.lower, z) / self._between(self.lower, self.upper)


class Weighed(NamedTuple):
    """A mixture of witnesses."""

    shares: np.ndarray
    parts: list

    def pdf(self, z):
        return sum(share * part.pdf(z) for share, part in zip(self.shares, self.parts, strict=True))

    def cdf(self, z):
        return sum(share * part.cdf(z) for share, part in zip(self.shares, self.parts, strict=True))


class Integrated(NamedTuple):
    """A density up to a factor, integrated by SciPy between its breaks; or one whose cdf is known besides."""

    density: object
    breaks: tuple

    def pdf(self, z):
        return np.vectorize(self.density)(z) / self._upto(self.breaks[-1])

    def cdf(self, z):
        return np.vectorize(self._upto)(z) / self._upto(self.breaks[-1])

    def _upto(self, z):
        ends = [*[one for one in self.breaks if one < z], z]
        return sum(quad(self.density, a, b, epsabs=1e-14)[0] for a, b in pairwise(ends))


class Lined(Lines):
    """The straight lines of the quadratic programme's tests, with their density."""

    def pdf(self, z):
        return np.interp(z, self.points, self.heights) / self._masses().sum()


class KumaraswamyLaw(NamedTuple):
    """By its formulas."""

    law: Kumaraswamy

    def pdf(self, z):
        (a, b), x = (self.law.a, self.law.b), (z - self.law.lower) / self.law.width
        return a * b * x ** (a - 1) * (1 - x**a) ** (b - 1) / self.law.width

    def cdf(self, z):
        x = (z - self.law.lower) / self.law.width
        return -np.expm1(self.law.b * np.log1p(-(x**self.law.a)))


@witness.register
def _(law: Uniform):
    return scipy.stats.uniform(law.lower, law.width)


@witness.register
def _(law: Beta):
    return scipy.stats.beta(law.a, law.b, law.lower, law.width)


@witness.register
def _(law: TruncatedNormal):
    ends = (law.lower - law.loc) / law.scale, (law.upper - law.loc) / law.scale
    return scipy.stats.truncnorm(*ends, law.loc, law.scale)


@witness.register
def _(law: Triangular):
    return scipy.stats.triang((law.mode - law.lower) / law.width, law.lower, law.width)


@witness.register
def _(law: TruncatedExponential):
    if law.rate < 0:
        return Integrated(lambda z: np.exp(law.rate * (law.upper - z)), (law.lower, law.upper))
    if law.rate == 0:
        return scipy.stats.uniform(law.lower, law.width)
    return scipy.stats.truncexpon(law.rate * law.width, law.lower, 1 / law.rate)


@witness.register
def _(law: TruncatedLaplace):
    return Cut(scipy.stats.laplace(law.loc, law.scale), law.lower, law.upper)


@witness.register
def _(law: TruncatedLogistic):
    return Cut(scipy.stats.logistic(law.loc, law.scale), law.lower, law.upper)


@witness.register
def _(law: TruncatedStudent):
    return Cut(scipy.stats.t(law.freedom, law.loc, law.scale), law.lower, law.upper)


@witness.register
def _(law: Kumaraswamy):
    return KumaraswamyLaw(law)


@witness.register
def _(law: Histogram):
    return scipy.stats.rv_histogram((law.masses, law.edges), density=False)


@witness.register
def _(law: PiecewiseLinear):
    return Lined(tuple(law.knots), tuple(law.heights))


@witness.register
def _(law: Mixture):
    return Weighed(law.weights / np.sum(law.weights), [witness(part) for part in law.laws])


@witness.register
def _(law: Density):
    return Integrated(
        lambda z: float(np.exp(law.log_density(z / law.unit, law.parameters))),
        (law.lower, *sorted(law.kinks), law.upper),
    )
