"""Lemma 1: feasible if and only if nobody's gain (3) is negative, transfers are (4) and the interim allocation falls.

Incentives are tried out: every type against every report on a grid, E over the others in closed form.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from direct_mechanisms import (
    absorbed_variance,
    expected_utility,
    integral_up_to,
    misreport_gain,
    transfer_of_4,
    truthful,
    types_along,
)
from jaxmech.testing.random_markets import random_markets

ROUNDING = 1e-12


def mixed_market():
    normal = jm.Traders(jm.TruncatedNormal([0.2, -0.1], [0.5, 0.9], -1.0, [1.0, 1.2]), [0.7, 0.5], [2, 1])
    return jm.Market.of(normal, jm.Traders(jm.Uniform(-1.0, 1.3), 0.9))


MARKETS = {"uniform laws": lambda: random_markets((3, 0, 0), 40, seed=1), "two laws": mixed_market}
DESIGNS = {
    "optimal": lambda market: jm.solve_at_weight(market, np.linspace(0, 1, 40) if market.count.ndim > 1 else 0.4),
    "double auction": jm.double_auction,
    "first best": jm.first_best,
}


class Direct:
    """A design as its traders see it; the transfers are the design's own."""

    def __init__(self, design):
        self.risk_capacity = np.asarray(design.market.risk_capacity)
        self.types = types_along(design)
        self.allocation = np.asarray(design.interim_allocation(jnp.asarray(self.types)))
        self.spread = absorbed_variance(design, self.types)
        self.transfer = np.asarray(design.interim_transfer(jnp.asarray(self.types)))
        self.bought_below = integral_up_to(design.interim_allocation, self.types)

    def utility(self, transfer, allocation=None):
        allocation = self.allocation if allocation is None else allocation
        return expected_utility(self.types, allocation, self.spread, transfer, self.risk_capacity)

    def gain(self, utility):
        """Over staying away, by type."""
        return truthful(utility) + self.types**2 / (2 * self.risk_capacity)

    @property
    def scale(self):
        return np.max(self.types**2, axis=0) / self.risk_capacity


CASES = [("uniform laws", design) for design in DESIGNS] + [("two laws", "optimal"), ("two laws", "first best")]


@pytest.fixture(scope="module", params=CASES, ids=", ".join)
def direct(request):
    market, design = request.param
    return Direct(DESIGNS[design](MARKETS[market]()))


@pytest.mark.slow
def test_truth_is_the_best_report(direct):
    assert misreport_gain(direct.utility(direct.transfer)).max() < ROUNDING


def test_nobody_loses_by_taking_part_and_somebody_gains_nothing(direct):
    gain = direct.gain(direct.utility(direct.transfer)) / direct.scale
    np.testing.assert_allclose(gain.min(axis=0), 0, atol=ROUNDING)


def test_transfers_are_those_of_eq_4_and_gains_those_of_eq_3(direct):
    gain = direct.gain(direct.utility(direct.transfer))
    by_3 = gain[0] - direct.bought_below / direct.risk_capacity
    np.testing.assert_allclose(gain / direct.scale, by_3 / direct.scale, rtol=0, atol=ROUNDING)
    by_4 = transfer_of_4(direct.types, direct.allocation, direct.spread, direct.bought_below, direct.risk_capacity)
    np.testing.assert_allclose(direct.transfer / direct.scale, by_4 / direct.scale, rtol=0, atol=ROUNDING)


def test_the_interim_allocation_falls(direct):
    assert np.all(np.diff(direct.allocation, axis=0) <= 1e-15 * np.abs(direct.types).max())


def test_higher_transfers_keep_the_truth_but_lose_a_participant(direct):
    shift = 1e-3 * direct.scale
    utility = direct.utility(direct.transfer + shift)
    assert misreport_gain(utility).max() < ROUNDING
    np.testing.assert_allclose(direct.gain(utility).min(axis=0), -shift, rtol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_transfers_with_a_bump_let_some_type_gain_by_misreporting(direct, sign):
    place = np.random.default_rng(5).uniform(size=direct.transfer.shape[1:])
    depth = (direct.types - direct.types[0]) / (direct.types[-1] - direct.types[0])
    bump = sign * 0.05 * direct.scale * np.maximum(0, 1 - np.abs(depth - place) / 0.1)
    assert np.all(misreport_gain(direct.utility(direct.transfer + bump)).max(axis=0) > 1e-4)


def test_an_allocation_that_rises_somewhere_lets_some_type_gain_by_misreporting(direct):
    """Transfers follow (4) and lift everybody: nothing else is wrong."""
    width = direct.types[-1] - direct.types[0]
    start = direct.types[0] + np.random.default_rng(6).uniform(0, 0.9, width.shape) * width
    steps = np.diff(direct.types, axis=0)
    steepest_fall = np.max(-np.diff(direct.allocation, axis=0) / np.where(steps > 0, steps, 1.0), axis=0)
    beyond = np.clip(direct.types - start, 0, width / 10)
    allocation = direct.allocation + (steepest_fall + 1) * beyond
    bought_below = direct.bought_below + (steepest_fall + 1) * beyond * (direct.types - start - beyond / 2)
    paid = transfer_of_4(direct.types, allocation, direct.spread, bought_below, direct.risk_capacity)
    utility = direct.utility(paid, allocation)
    assert np.all(direct.gain(utility) >= -ROUNDING * direct.scale)
    assert np.all(misreport_gain(utility).max(axis=0) > 1e-5)


# Any interim allocation at all.


def random_allocations(cases=200, knots=7):
    """Piecewise linear on [−1, 1], with flat pieces; every other one rises somewhere, by 0.05 or more."""
    generator = np.random.default_rng(11)
    moves = -generator.exponential(size=(knots - 1, cases)) * (generator.uniform(size=(knots - 1, cases)) < 0.7)
    rises = np.arange(cases) % 2 == 0
    moves[generator.integers(knots - 1, size=cases)[rises], rises] = 0.05 + generator.exponential(size=rises.sum())
    values = generator.normal(size=cases) + np.concatenate([np.zeros((1, cases)), np.cumsum(moves, axis=0)])
    types = np.linspace(-1, 1, 8 * (knots - 1) + 1)[:, None]
    allocation = np.stack([np.interp(types[:, 0], types[::8, 0], column) for column in values.T], axis=1)
    return types, allocation, rises


def test_with_transfers_of_eq_4_truth_is_best_iff_the_allocation_falls_weakly():
    """Whatever the variance of the purchase, even one that depends on the report: (4) pays for it."""
    types, allocation, rises = random_allocations()
    generator = np.random.default_rng(12)
    spread, risk_capacity = generator.exponential(size=allocation.shape), generator.uniform(0.2, 2, rises.size)
    between = 0.5 * np.diff(types, axis=0) * (allocation[1:] + allocation[:-1])
    bought_below = np.concatenate([np.zeros_like(between[:1]), np.cumsum(between, axis=0)])
    paid = transfer_of_4(types, allocation, spread, bought_below, risk_capacity)
    gain = misreport_gain(expected_utility(types, allocation, spread, paid, risk_capacity)).max(axis=0)
    assert np.all(gain[~rises] < ROUNDING)
    assert np.all(gain[rises] > 1e-6)


# The closed form of E over the others.


@pytest.mark.parametrize("design", DESIGNS)
def test_purchases_have_the_interim_mean_and_a_variance_that_no_report_moves(design):
    """E X = X̄ and Var X = share² Σ_{j≠i} Var V_j, ex post purchases summed over the others' types; uniform laws."""
    market = jm.Market.of(jm.Traders(jm.Uniform([-1.0, -0.4, -0.8], [1.3, 0.9, 0.7]), [0.7, 1.1, 0.4]))
    design = DESIGNS[design](market)
    types = types_along(design, 2)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    others = (types[:-1, None] + np.diff(types, axis=0)[:, None] * (nodes[:, None] + 1) / 2).reshape(-1, 3)
    chance = (np.diff(types, axis=0)[:, None] * weights[:, None] / 2).reshape(-1, 3) * np.asarray(
        market.endowment.pdf(others)
    )
    mean, spread = np.asarray(design.interim_allocation(jnp.asarray(types))), absorbed_variance(design, types)
    for trader in range(3):
        one, two = (place for place in range(3) if place != trader)
        z = np.empty((len(types), len(others), len(others), 3))
        z[..., trader] = types[:, trader, None, None]
        z[..., one], z[..., two] = others[:, one, None], others[None, :, two]
        bought = np.asarray(design.allocation(jnp.asarray(z)))[..., trader]
        both = chance[:, one, None] * chance[None, :, two]
        expected = np.sum(both * bought, axis=(1, 2))
        np.testing.assert_allclose(expected, mean[:, trader], rtol=0, atol=ROUNDING)
        variance = np.sum(both * bought**2, axis=(1, 2)) - expected**2
        np.testing.assert_allclose(variance, spread[trader], rtol=0, atol=ROUNDING)
