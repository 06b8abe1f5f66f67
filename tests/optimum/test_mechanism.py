"""A mechanism's functions of type agree with each other, with its outcomes and with the paper's definitions."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import jaxmech as jm
from jaxmech.testing.random_markets import random_markets

LOWER, UPPER, CAPACITY, COUNT, ALPHA = [-1.0, -0.4], [1.3, 0.9], [0.7, 1.1], [2, 1], 0.4
WIDTH = np.subtract(UPPER, LOWER)
GROUPS = (0, 1)


@pytest.fixture(scope="module")
def mechanism():
    market = jm.Market.of(jm.Traders(jm.Uniform(LOWER, UPPER), CAPACITY, COUNT))
    return jm.solve(market, ALPHA)


def types(points=201):
    """Types along both supports, shape (points, 2)."""
    return jnp.linspace(jnp.asarray(LOWER), jnp.asarray(UPPER), points)


def of_type(function, group):
    """A function of one type of one group, for scipy."""
    return lambda z: float(function(jnp.full(2, z))[group])


def integral(function, group, low, high, ends):
    inside = sorted(float(end) for end in ends[group] if min(low, high) < end < max(low, high))
    places = [low, *(inside if low < high else inside[::-1]), high]
    return sum(quad(function, a, b, epsabs=1e-12, epsrel=1e-12)[0] for a, b in pairwise(places))


def test_the_virtual_type_rises_through_the_two_ratios_and_eta_between_them(mechanism):
    z, (low, high) = types(), np.asarray(mechanism.binding_interval).T
    virtual, w = mechanism.virtual_type(z), mechanism.weight
    assert np.all(np.diff(virtual, axis=0) >= -1e-15)
    buying, selling = z + w * (z - np.array(LOWER)), z - w * (np.array(UPPER) - z)
    expected = np.where(z < low, buying, np.where(z > high, selling, mechanism.eta))
    np.testing.assert_allclose(virtual, expected, rtol=0, atol=1e-14)


def test_types_outside_the_support_count_as_its_nearest_end(mechanism):
    outside, ends = jnp.array([[-9.0, -9.0], [9.0, 9.0]]), jnp.array([LOWER, UPPER])
    np.testing.assert_array_equal(mechanism.virtual_type(outside), mechanism.virtual_type(ends))


def test_the_participation_multiplier_rises_from_zero_at_a_to_alpha_plus_lambda_at_b(mechanism):
    omega = np.asarray(mechanism.participation_multiplier(types()))
    low, high = np.asarray(mechanism.binding_interval).T
    top = ALPHA + float(mechanism.budget_multiplier)
    assert np.all(omega >= 0)
    assert np.all(np.diff(omega, axis=0) >= -1e-14)
    np.testing.assert_allclose(mechanism.participation_multiplier(jnp.asarray(low)), 0, atol=1e-13)
    np.testing.assert_allclose(mechanism.participation_multiplier(jnp.asarray(high)), top, atol=1e-13)
    np.testing.assert_array_equal(omega[0], 0)
    np.testing.assert_allclose(omega[-1], top, rtol=1e-15)


def test_the_interim_allocation_is_the_expected_purchase(mechanism):
    share = np.array(CAPACITY) / np.dot(COUNT, CAPACITY)
    z = types()
    expected = (1 - share) * (mechanism.eta - mechanism.virtual_type(z))
    np.testing.assert_allclose(mechanism.interim_allocation(z), expected, rtol=0, atol=1e-15)


def test_expected_purchases_of_all_traders_sum_to_zero(mechanism):
    ends = mechanism.binding_interval
    mean = [integral(of_type(mechanism.interim_allocation, g), g, LOWER[g], UPPER[g], ends) / WIDTH[g] for g in GROUPS]
    assert abs(np.dot(COUNT, mean)) < 1e-12


def test_the_utility_gain_is_the_integral_of_the_allocation_from_the_binding_interval(mechanism):
    ends = np.asarray(mechanism.binding_interval)
    for group in GROUPS:
        for z in np.linspace(LOWER[group], UPPER[group], 7):
            bought = integral(of_type(mechanism.interim_allocation, group), group, float(ends[group, 0]), z, ends)
            gain = of_type(mechanism.utility_gain, group)(z)
            assert abs(gain + bought / CAPACITY[group]) < 1e-12


def test_nobody_loses_and_the_binding_interval_gains_nothing(mechanism):
    z, (low, high) = types(), np.asarray(mechanism.binding_interval).T
    gain = np.asarray(mechanism.utility_gain(z))
    assert np.all(gain >= -1e-15)
    assert np.all(np.abs(gain[(z >= low) & (z <= high)]) < 1e-15)
    assert np.all(gain[[0, -1]] > 0.01)


def test_purchases_sum_to_zero_whatever_the_endowments(mechanism):
    draws = np.random.default_rng(3).uniform(size=(1000, 3))
    z = np.array(LOWER)[[0, 0, 1]] + WIDTH[[0, 0, 1]] * draws
    np.testing.assert_allclose(np.sum(mechanism.allocation(jnp.asarray(z)), axis=-1), 0, atol=1e-14)


@pytest.mark.parametrize("trader", [0, 2])
def test_purchases_averaged_over_the_others_are_the_interim_allocation(mechanism, trader):
    group = np.array([0, 0, 1])
    for own in (0.03, 0.5, 0.97):
        draws = np.random.default_rng(4).uniform(size=(20_000, 3))
        draws[:, trader] = own
        z = jnp.asarray(np.array(LOWER)[group] + WIDTH[group] * draws)
        bought = np.asarray(mechanism.allocation(z))[:, trader]
        expected = mechanism.interim_allocation(jnp.full(2, z[0, trader]))[group[trader]]
        assert abs(bought.mean() - expected) < 5 * bought.std() / np.sqrt(len(bought))


def test_transfers_integrate_to_revenue(mechanism):
    ends, achieved = mechanism.binding_interval, jm.outcomes(mechanism)
    by_group = [
        COUNT[g] * integral(of_type(mechanism.interim_transfer, g), g, LOWER[g], UPPER[g], ends) / WIDTH[g]
        for g in GROUPS
    ]
    np.testing.assert_allclose(by_group, achieved.revenue_by_group, atol=1e-9)
    assert abs(sum(by_group) - achieved.revenue) < 1e-9


@pytest.mark.parametrize("columns", [2, 4])
def test_an_allocation_needs_one_column_a_trader(mechanism, columns):
    with pytest.raises(ValueError, match=f"z has {columns} columns, but the market has 3 traders, one column each"):
        mechanism.allocation(jnp.zeros((5, columns)))


def test_the_budget_multiplier_is_that_of_the_effective_weight(mechanism):
    assert float(mechanism.budget_multiplier) == 0.0 and float(mechanism.weight) == ALPHA
    bound = jm.solve(mechanism.market, 0.0)
    w = float(bound.weight)
    assert w == float(jm.budget_weight(mechanism.market)) > 0
    assert abs(float(bound.budget_multiplier) - w / (1 - w)) < 1e-15
    at = jm.solve_at_weight(mechanism.market, 0.5, alpha=0.2)
    assert abs(float(at.budget_multiplier) - (0.5 - 0.2) / (1 - 0.5)) < 1e-15


@pytest.fixture(scope="module")
def batch():
    market = random_markets((2, 0, 0), 6, seed=5)
    return market, jnp.linspace(0.0, 1.0, 6)


@pytest.mark.slow
def test_vmap_over_markets_equals_a_trailing_batch_axis(batch):
    market, alpha = batch
    trailing = jm.solve(market, alpha)
    stacked = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), market)
    mapped = jax.vmap(jm.solve)(stacked, alpha)
    for one, other in zip(jax.tree.leaves(mapped), jax.tree.leaves(trailing), strict=True):
        np.testing.assert_allclose(jnp.moveaxis(one, 0, -1), other, rtol=1e-13, atol=1e-13)


def test_a_bad_market_leaves_its_neighbours_untouched(batch):
    market, alpha = batch
    bad = jm.Market(market.endowment, market.risk_capacity.at[0, 2].set(jnp.nan), market.count)
    good, spoilt = jm.solve(market, alpha), jm.solve(bad, alpha)
    others = np.array([0, 1, 3, 4, 5])
    for one, other in zip(jax.tree.leaves(good), jax.tree.leaves(spoilt), strict=True):
        np.testing.assert_array_equal(one[..., others], other[..., others])
    assert jm.certify(spoilt).ok.tolist() == [True, True, False, True, True, True]
