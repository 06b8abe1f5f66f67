"""Lemma 4: one solution only.

The objective J = wR + (1 − w)A is strongly concave in the purchases: R and A both contain −½ Σ E[X²]/κ, and the rest of
J is linear in X less information rents, which are convex. So J falls from its optimum X* by at least
½ Σ E[(X − X*)²]/κ. And the multipliers are the fixed point of a contraction.
"""

import functools

import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import ndtr

import jaxmech as jm
from direct_mechanisms import revenue_and_efficiency, types_along, virtual_type
from jaxmech.testing.random_markets import random_markets

MARKETS = 40
WEIGHTS = np.linspace(0, 1, MARKETS)


@functools.cache
def market():
    return random_markets((3, 0, 0), MARKETS, seed=1)


@functools.cache
def mechanism(weight=None):
    """Optimal at w, one number or (None) another for each market."""
    return jm.solve_at_weight(market(), WEIGHTS if weight is None else np.full(MARKETS, weight))


DESIGNS = {
    "double auction, largest fees": lambda: jm.double_auction(market()),
    "first best": lambda: jm.first_best(market()),
    "optimal at w = 0.3": lambda: mechanism(0.3),
    "optimal at w = 1": lambda: mechanism(1.0),
}


def objective(design, weight):
    achieved = jm.outcomes(design)
    return np.asarray(weight * achieved.revenue + (1 - weight) * achieved.efficiency)


def squared_distance(one, other):
    """Σ E[(X − X')²]/κ over all traders, X_i = −V_i + share_i Σ V_j; exact for uniform laws, where V is linear between
    the types."""
    law, count = one.market.endowment, np.asarray(one.market.count)
    types = np.sort(np.concatenate([types_along(one), types_along(other)]), axis=0)
    steps, virtual = np.diff(types, axis=0), [virtual_type(design, types) for design in (one, other)]
    shares = [np.asarray(design.share) for design in (one, other)]

    def moments(factors):
        """Mean and variance of Σ factor·V over the two designs, for each trader's own type."""
        value = sum(factor * v for factor, v in zip(factors, virtual, strict=True))
        middle = 0.5 * (value[1:] + value[:-1])
        mean = np.sum(steps * middle, axis=0) / np.asarray(law.width)
        square = np.sum(steps * (value[1:] ** 2 + 4 * middle**2 + value[:-1] ** 2) / 6, axis=0) / np.asarray(law.width)
        return mean, square - mean**2

    groups, total = len(shares[0]), 0.0
    for i in range(groups):
        own_mean, own_variance = (m[i] for m in moments((shares[0][i] - 1, 1 - shares[1][i])))
        mean, variance = moments((shares[0][i], -shares[1][i]))
        others = count - (np.arange(groups) == i)[:, None]
        difference = (own_mean + (others * mean).sum(axis=0)) ** 2 + own_variance + (others * variance).sum(axis=0)
        total = total + count[i] * difference / np.asarray(one.market.risk_capacity)[i]
    return total


# The objective.


@pytest.mark.parametrize("name", DESIGNS)
def test_the_objective_falls_by_half_the_squared_distance_from_the_optimum_or_more(name):
    design, best = DESIGNS[name](), mechanism()
    distance = squared_distance(best, design)
    lost = objective(best, WEIGHTS) - objective(design, WEIGHTS)
    scale = np.asarray(jm.outcomes(best).first_best_surplus)
    assert np.all((lost - 0.5 * distance) / scale > -1e-12)
    assert np.median(distance / scale) > 1e-3


@pytest.mark.parametrize("name", DESIGNS)
def test_efficiency_falls_by_exactly_half_the_squared_distance_from_the_first_best(name):
    """w = 0: no rent, so equality."""
    design, best = DESIGNS[name](), jm.first_best(market())
    lost, scale = objective(best, 0.0) - objective(design, 0.0), np.asarray(jm.outcomes(best).first_best_surplus)
    np.testing.assert_allclose(lost / scale, 0.5 * squared_distance(best, design) / scale, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_average_of_two_designs_beats_their_average_objective(weight):
    """By an eighth of their squared distance: two optima cannot be."""
    one, other = mechanism(0.1), mechanism(0.9)
    types = np.sort(np.concatenate([types_along(one), types_along(other)]), axis=0)
    virtual = [virtual_type(design, types) for design in (one, other)]

    def value(virtual):
        revenue, efficiency = revenue_and_efficiency(market(), types, virtual)
        return weight * revenue + (1 - weight) * efficiency

    won = value(0.5 * (virtual[0] + virtual[1])) - 0.5 * (value(virtual[0]) + value(virtual[1]))
    eighth = squared_distance(one, other) / 8
    scale = np.asarray(jm.outcomes(one).first_best_surplus)
    assert np.all((won - eighth) / scale > -1e-12)
    assert np.median(eighth / scale) > 1e-4
    if weight == 0:
        np.testing.assert_allclose(won / scale, eighth / scale, rtol=0, atol=1e-12)


# The multipliers.


def expected_virtual_type(eta, lower, upper, w):
    """m(η) = E clip(η, (1 + w) z − w h, (1 + w) z − w l), uniform laws."""
    a, b = (np.clip((eta + w * end) / (1 + w), lower, upper) for end in (lower, upper))
    below = (1 + w) * (a**2 - lower**2) / 2 - w * lower * (a - lower)
    above = (1 + w) * (upper**2 - b**2) / 2 - w * upper * (upper - b)
    return (below + eta * (b - a) + above) / (upper - lower)


def others_share(x, lower, upper, risk_capacity, count, w):
    """x_i ← Σ_{j≠i} m_j(κ_j x_j)/(K − κ_i), whose fixed point is η/κ: Eq. (13), (14), (16)–(18) corrected."""
    mean = expected_virtual_type(risk_capacity * x, lower, upper, w)
    capacity = (count * risk_capacity).sum(axis=0)
    return ((count * mean).sum(axis=0) - mean) / (capacity - risk_capacity)


def letters():
    law = market().endowment
    return tuple(np.asarray(v) for v in (law.lower, law.upper, market().risk_capacity, market().count))


def test_eta_is_the_fixed_point_of_a_contraction():
    x = np.asarray(mechanism().eta / market().risk_capacity)
    size = np.abs(x).max(axis=0) + 1
    np.testing.assert_allclose(others_share(x, *letters(), WEIGHTS) / size, x / size, rtol=0, atol=1e-12)
    generator = np.random.default_rng(0)
    for _ in range(50):
        one, other = (x + size * np.exp(generator.uniform(-5, 2)) * generator.normal(size=x.shape) for _ in range(2))
        images = (others_share(y, *letters(), WEIGHTS) for y in (one, other))
        closer = np.abs(np.subtract(*images)).max(axis=0) / np.abs(one - other).max(axis=0)
        assert closer.max() < 1


def test_the_multiplier_system_has_one_root_whatever_the_start():
    generator, eta = np.random.default_rng(1), np.asarray(mechanism().eta)
    reached = 0
    for lane in range(0, MARKETS, 4):
        own = [v[:, lane] for v in letters()]
        for _ in range(10):
            start = generator.normal(scale=5, size=3)
            found = root(lambda x, own=own, w=WEIGHTS[lane]: others_share(x, *own, w) - x, start, tol=1e-12)
            if found.success:
                reached += 1
                np.testing.assert_allclose(found.x * own[2], eta[:, lane], rtol=1e-8, atol=1e-8)
    assert reached > 80


class Normal:
    """Truncated normal laws from the error function alone."""

    def __init__(self, loc, scale, lower, upper):
        self.loc, self.scale, self.lower, self.upper = (np.array(v, float) for v in (loc, scale, lower, upper))
        ends = [(end - self.loc) / self.scale for end in (self.lower, self.upper)]
        self.start, self.mass = ndtr(ends[0]), ndtr(ends[1]) - ndtr(ends[0])
        self.mean = self.upper - self.cdf_integral(self.upper) + self.cdf_integral(self.lower)

    def pdf(self, z):
        return np.exp(-(((z - self.loc) / self.scale) ** 2) / 2) / (np.sqrt(2 * np.pi) * self.scale * self.mass)

    def cdf(self, z):
        return (ndtr((z - self.loc) / self.scale) - self.start) / self.mass

    def cdf_integral(self, z):
        """An antiderivative of F."""
        t = (z - self.loc) / self.scale
        normal = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
        return (self.scale * (t * ndtr(t) + normal) - self.start * z) / self.mass


def paper_system(unknowns, law, risk_capacity, alpha):
    """(14), (16), (17), (18) in (Z_a, Z_b, ∫Ω, η), corrected (errata E2, E3); λ = 0, one trader a group."""
    a, b, omega, eta = unknowns.reshape(4, -1)
    terms = -omega + (1 - alpha) * law.mean + alpha * b
    expected = risk_capacity / (risk_capacity.sum() - risk_capacity) * (terms.sum() - terms)
    below = (1 - alpha) * (law.cdf_integral(b) - law.cdf_integral(a))
    conditional = b * law.cdf(b) - a * law.cdf(a) - below - omega - eta * (law.cdf(b) - law.cdf(a))
    at_a = a + alpha * law.cdf(a) / law.pdf(a) - eta
    at_b = b - alpha * (1 - law.cdf(b)) / law.pdf(b) - eta
    return np.concatenate([expected - eta, conditional, at_a, at_b])


def test_the_papers_own_system_has_one_root_with_intervals_inside_the_support():
    """Truncated normals, 12 unknowns; its spurious roots have an end outside."""
    parameters, risk_capacity, alpha = ([0.2, -0.1, 0.1], [0.5, 0.9, 0.6], -1.0, [1.0, 1.2, 1.3]), [0.7, 0.5, 0.9], 0.4
    solved = jm.solve_at_weight(jm.Market.of(jm.Traders(jm.TruncatedNormal(*parameters), risk_capacity)), alpha)
    law, generator, reached = Normal(*parameters), np.random.default_rng(2), 0
    for _ in range(40):
        ends = np.sort(generator.uniform(law.lower, law.upper, (2, 3)), axis=0)
        start = np.concatenate([*ends, generator.uniform(0, 1, 3), generator.uniform(-1, 1, 3)])
        with np.errstate(all="ignore"):
            found = root(paper_system, start, (law, np.array(risk_capacity), alpha), tol=1e-12)
        a, b, _, eta = found.x.reshape(4, 3)
        if found.success and np.all((law.lower <= a) & (a <= b) & (b <= law.upper)):
            reached += 1
            np.testing.assert_allclose([eta, a, b], [solved.eta, *np.asarray(solved.binding_interval).T], atol=1e-9)
    assert reached >= 10
