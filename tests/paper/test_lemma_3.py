"""Lemma 3: who has a binding participation constraint.

The proof uses Condition 1 at the optimum, l < η < h, where X̄ vanishes inside the support. The paper states it at the
first best. One does not imply the other; both sides are shown.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from direct_mechanisms import expectation, integral_up_to, types_along, virtual_type
from jaxmech.testing.random_markets import random_markets

ROUNDING = 1e-12


class Solved:
    """A mechanism on a grid of types. Expected purchases and gains are integrals of V: no multiplier enters."""

    def __init__(self, mechanism):
        market = mechanism.market
        self.mechanism, self.eta = mechanism, np.asarray(mechanism.eta)
        self.lower, self.upper = np.asarray(market.endowment.lower), np.asarray(market.endowment.upper)
        self.low, self.high = np.asarray(mechanism.ends[0]), -np.asarray(mechanism.ends[1])
        self.types = types_along(mechanism, 201)
        self.virtual = virtual_type(mechanism, self.types)
        mean = expectation(mechanism.virtual_type, mechanism, self.types)
        share, others = np.asarray(mechanism.share), np.sum(np.asarray(market.count) * mean, axis=0) - mean
        self.allocation = share * others - (1 - share) * self.virtual
        bought_below = integral_up_to(lambda z: share * others - (1 - share) * mechanism.virtual_type(z), self.types)
        self.gain = bought_below.max(axis=0) - bought_below  # κ times Eq. (3), the least gain being 0
        self.width = self.upper - self.lower
        self.binding = self.gain < 1e-12 * self.width**2
        self.within = (self.types >= self.low - 1e-9 * self.width) & (self.types <= self.high + 1e-9 * self.width)
        self.inside = (self.lower < self.eta) & (self.eta < self.upper)

    def types_of(self, groups):
        """Mask over (types, groups, ...)."""
        return np.broadcast_to(groups, self.types.shape)

    def always_trades(self, sign):
        """η beyond ψ at the end of the support: he expects to buy (sign 1), or to sell (−1), whatever he has."""
        reach = np.asarray(self.mechanism.weight) * self.width
        return self.eta > self.upper + reach if sign > 0 else self.eta < self.lower - reach


@pytest.fixture(scope="module")
def uniform():
    return Solved(jm.solve_at_weight(random_markets((3, 0, 0), 40, seed=1), np.linspace(0, 1, 40)))


@pytest.fixture(scope="module")
def mixed():
    normal = jm.Traders(jm.TruncatedNormal([0.2, -0.1], [0.5, 0.9], -1.0, [1.0, 1.2]), [0.7, 0.5], [2, 1])
    market = jm.Market.of(normal, jm.Traders(jm.Uniform(-1.0, 1.3), 0.9))
    assert np.all(jm.condition_1(market)) and np.all(jm.condition_2(market))
    return Solved(jm.solve_at_weight(market, 0.4))


@pytest.fixture(params=["uniform", "mixed"])
def solved(request):
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_binding_types_are_an_interval_of_zero_interim_allocation(solved):
    inside = solved.types_of(solved.inside)
    assert inside[0].sum() >= min(50, inside[0].size)
    np.testing.assert_array_equal(solved.binding[inside], solved.within[inside])
    assert np.abs(solved.allocation / solved.width)[inside & solved.within].max() < ROUNDING
    assert np.all((solved.lower < solved.low)[solved.inside] & (solved.high < solved.upper)[solved.inside])


def test_below_the_interval_types_buy_above_it_they_sell_and_all_gain(solved):
    inside = solved.types_of(solved.inside)
    outside = inside & ~solved.within
    below, above = outside & (solved.types < solved.low), outside & (solved.types > solved.high)
    assert below.any() and above.any()
    assert solved.allocation[below].min() > 0 > solved.allocation[above].max()
    assert solved.gain[outside].min() > 0


def test_virtual_types_rise_weakly_so_purchases_fall_weakly(solved):
    """With or without Condition 1. X falls in his own type whatever the others have, by 1 − s of the rise of V."""
    size = np.abs(solved.virtual).max(axis=0)
    assert np.all(np.diff(solved.virtual, axis=0) >= -1e-14 * size)
    assert np.all(np.diff(solved.allocation, axis=0) <= 1e-14 * size)


def test_purchases_fall_weakly_in_ones_own_endowment(mixed):
    others = np.random.default_rng(2).uniform(-1, 1, (20, 1, 4))
    z = np.repeat(others, 101, axis=1)
    z[..., 1] = np.linspace(-1, 1, 101)
    bought = np.asarray(mixed.mechanism.allocation(jnp.asarray(z)))
    assert np.diff(bought[..., 1], axis=1).max() <= 1e-15
    assert np.diff(bought[..., [0, 2, 3]], axis=1).min() >= -1e-15  # the others take over what he sells


@pytest.mark.parametrize("sign", [1, -1])
def test_without_condition_1_only_the_end_of_the_support_binds_and_it_trades(uniform, sign):
    """The lemma's E X = 0 fails there."""
    groups = uniform.always_trades(sign)
    assert groups.sum() >= 5
    end = (uniform.upper if sign > 0 else uniform.lower)[groups]
    np.testing.assert_array_equal(uniform.low[groups], end)
    np.testing.assert_array_equal(uniform.high[groups], end)
    only = uniform.types_of(groups)
    np.testing.assert_array_equal(uniform.binding[only], uniform.within[only])
    assert (sign * uniform.allocation[only]).min() > 0


def test_between_the_two_cases_the_interval_reaches_the_end_of_the_support(uniform):
    """h ≤ η < ψ⁻(h), or its mirror image: nobody is left on one side, but E X = 0 on the binding types."""
    groups = ~(uniform.inside | uniform.always_trades(1) | uniform.always_trades(-1))
    assert groups.any()
    assert np.all((uniform.low == uniform.lower)[groups] | (uniform.high == uniform.upper)[groups])
    only = uniform.types_of(groups)
    np.testing.assert_array_equal(uniform.binding[only], uniform.within[only])
    assert np.abs(uniform.allocation / uniform.width)[only & uniform.within].max() < ROUNDING


def test_condition_1_at_the_first_best_does_not_carry_over_to_the_optimum():
    """Common support [−1, 1], Conditions 1 and 2 as printed, α = 0.6. At the first best the middle trader buys or
    sells, as he is endowed; at the optimum he always buys, and the only type that binds expects to buy too."""
    market = jm.Market.of(
        jm.Traders(jm.TruncatedNormal([1.0, 2.5], [0.5, 0.3], -1.0, 1.0), [0.05, 25.0]),
        jm.Traders(jm.Uniform(-1.0, 1.0), 16.0),
    )
    assert np.all(jm.condition_1(market)) and np.all(jm.condition_2(market))
    solved = Solved(jm.solve_at_weight(market, 0.6))
    assert jm.certify(solved.mechanism).ok
    np.testing.assert_array_equal(solved.inside, [True, False, True])
    np.testing.assert_array_equal(solved.types[:, 1][solved.binding[:, 1]], 1.0)
    assert solved.allocation[-1, 1] == pytest.approx(0.0490, abs=1e-4)
