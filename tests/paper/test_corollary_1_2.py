"""Corollary 1.2: transfers that depend on one's own report alone implement the optimal allocation.

With quadratic holding costs these are (4). With CARA utility they are not (erratum E8), but `cara_schedule` has some.
E over the others is a product rule over their types, every purchase taken from the allocation ex post.
"""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import jaxmech as jm
from direct_mechanisms import expectation, types_along

TYPES = 33
LOWER, UPPER = np.array([-1.0, -0.4, -0.8]), np.array([1.3, 0.9, 0.7])


@functools.cache
def trio(size=1.0, capacity_factor=1.0):
    """Three different traders at α = 0.4, endowments and risk capacities scaled."""
    capacity = capacity_factor * np.array([0.7, 1.1, 0.4])
    return jm.solve_at_weight(jm.Market.of(jm.Traders(jm.Uniform(size * LOWER, size * UPPER), capacity)), 0.4)


@functools.cache
def example_1(alpha=1.0, size=1.0):
    return jm.solve(jm.Market.of(jm.Traders(jm.Uniform(-size, size), 0.5, 5)), alpha)


def along_support(mechanism, types=TYPES):
    law = mechanism.market.endowment
    return np.linspace(np.asarray(law.lower), np.asarray(law.upper), types)


def purchases(mechanism, trader, reports, nodes=12):
    """What one of the trio buys at each report and each pair of the others' types, and the pairs' probabilities."""
    kinks = types_along(mechanism, 2)
    law, (x, w) = mechanism.market.endowment, np.polynomial.legendre.leggauss(nodes)
    steps = np.diff(kinks, axis=0)[:, None]
    types = (kinks[:-1, None] + steps * (x[:, None] + 1) / 2).reshape(-1, 3)
    chance = (steps * w[:, None] / 2).reshape(-1, 3) / np.asarray(law.width)
    one, two = (place for place in range(3) if place != trader)
    z = np.empty((len(reports), len(types), len(types), 3))
    z[..., trader] = reports[:, None, None]
    z[..., one], z[..., two] = types[:, None, one], types[None, :, two]
    bought = np.asarray(mechanism.allocation(jnp.asarray(z)))[..., trader]
    return bought.reshape(len(reports), -1), (chance[:, None, one] * chance[None, :, two]).ravel()


def quadratic_value(mechanism, trader, types, reports):
    """−E[(z + X(report))²]/(2κ), shape (types, reports)."""
    bought, chance = purchases(mechanism, trader, reports)
    return -((types[:, None, None] + bought) ** 2 @ chance) / (2 * mechanism.market.risk_capacity[trader])


def cara_value(mechanism, trader, types, reports, nodes=12):
    """−κ log E exp((z + X(report))²/(2κ²)), the certainty equivalent once the payoff is averaged out."""
    bought, chance = purchases(mechanism, trader, reports, nodes)
    kappa = float(mechanism.market.risk_capacity[trader])
    return -kappa * logsumexp((types[:, None, None] + bought) ** 2 / (2 * kappa**2), axis=-1, b=chance)


def best_misreport(utility):
    """The most that any type gains by another report than the truth."""
    return np.max(utility - np.diag(utility)[:, None])


# Quadratic holding costs.


@pytest.mark.parametrize("trader", range(3))
def test_deterministic_transfers_of_eq_4_make_truth_best_and_lose_nobody(trader):
    mechanism = trio()
    z = along_support(mechanism)
    paid = np.asarray(mechanism.deterministic_transfer(jnp.asarray(z)))
    utility = quadratic_value(mechanism, trader, z[:, trader], z[:, trader]) - paid[:, trader]
    assert best_misreport(utility) < 1e-13
    gain = np.diag(utility) + z[:, trader] ** 2 / (2 * mechanism.market.risk_capacity[trader])
    assert -1e-13 < gain.min() < 1e-13


def test_deterministic_transfers_earn_the_expected_revenue():
    mechanism = trio()
    paid = expectation(mechanism.deterministic_transfer, mechanism, types_along(mechanism))
    np.testing.assert_allclose(paid, jm.outcomes(mechanism).revenue_by_group, rtol=0, atol=1e-13)


# CARA utility: what the allocation is worth.


@pytest.mark.parametrize("capacity_factor", [1.0, 0.2])
def test_cara_certainty_equivalent_is_the_product_quadrature_over_the_others(capacity_factor):
    mechanism = trio(capacity_factor=capacity_factor)
    z = along_support(mechanism, 7)
    worth = jm.cara_certainty_equivalent(mechanism, jnp.asarray(z)[:, None], jnp.asarray(z)[None])
    for trader in range(3):
        exact = cara_value(mechanism, trader, z[:, trader], z[:, trader], nodes=32)
        np.testing.assert_allclose(worth[..., trader], exact, rtol=1e-11, atol=1e-12)


def test_cara_certainty_equivalent_is_what_simulated_traders_would_pay():
    """Everything drawn: the others' endowments and the asset's payoff ε; Example 1."""
    mechanism, generator, draws = example_1(), np.random.default_rng(7), 100_000
    payoff, others = generator.normal(size=draws), generator.uniform(-1, 1, (draws, 4))
    for z, report in ((0.2, 0.2), (-0.7, -0.9), (0.8, 0.1)):
        endowments = jnp.asarray(np.column_stack([np.full(draws, report), others]))
        held = z + np.asarray(mechanism.allocation(endowments))[:, 0]
        utility = -np.exp(-payoff * held / 0.5)
        worth = float(jm.cara_certainty_equivalent(mechanism, jnp.array([z]), jnp.array([report]))[0])
        assert abs(utility.mean() + np.exp(-worth / 0.5)) < 5 * utility.std() / np.sqrt(draws)


def test_cara_certainty_equivalent_is_nan_where_the_quadrature_would_not_reach():
    mechanism = trio(capacity_factor=0.002)
    z = jnp.asarray(along_support(mechanism, 7))
    assert np.all(np.isnan(jm.cara_certainty_equivalent(mechanism, z[:, None], z[None])))
    assert np.all(np.isnan(jm.cara_schedule(mechanism, TYPES).transfer))


# CARA utility: transfers.


@pytest.mark.parametrize(("alpha", "misreport", "loss"), [(0.5, 0.0029, 0.0209), (1.0, 0.0049, 0.0318)])
def test_under_cara_utility_transfers_of_eq_4_are_gamed_and_lose_participants(alpha, misreport, loss):
    mechanism = example_1(alpha)
    reports = along_support(mechanism, 97)
    types = reports[::4]
    worth = np.asarray(jm.cara_certainty_equivalent(mechanism, jnp.asarray(types)[:, None], jnp.asarray(reports)[None]))
    utility = worth[..., 0] - np.asarray(mechanism.deterministic_transfer(jnp.asarray(reports)))[:, 0]
    truth = np.diag(utility[:, ::4])
    assert np.max(utility.max(axis=1) - truth) == pytest.approx(misreport, abs=2e-4)
    assert np.min(truth + types[:, 0] ** 2) == pytest.approx(-loss, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_cara_schedule_implements_example_1(alpha):
    mechanism = example_1(alpha)
    schedule = jm.cara_schedule(mechanism, 61)
    worth = np.asarray(jm.cara_certainty_equivalent(mechanism, schedule.types[:, None], schedule.types[None]))
    utility = worth[..., 0] - schedule.transfer[:, 0]
    assert best_misreport(utility) < 1e-14
    np.testing.assert_allclose(np.diag(utility) + schedule.types[:, 0] ** 2, schedule.utility_gain[:, 0], atol=1e-14)
    assert 0 <= float(schedule.utility_gain.min()) < 1e-3


@pytest.mark.parametrize("trader", range(3))
def test_the_cara_schedule_implements_the_allocation_among_different_traders(trader):
    """The allocation itself, ex post, priced by the product rule: it is unchanged."""
    mechanism = trio()
    schedule = jm.cara_schedule(mechanism, TYPES)
    z = np.asarray(schedule.types)[:, trader]
    utility = cara_value(mechanism, trader, z, z) - np.asarray(schedule.transfer)[:, trader]
    assert best_misreport(utility) < 1e-12
    gain = np.diag(utility) + z**2 / (2 * mechanism.market.risk_capacity[trader])
    np.testing.assert_allclose(gain, schedule.utility_gain[:, trader], rtol=0, atol=1e-12)
    assert 0 <= float(schedule.utility_gain[:, trader].min()) < 1e-2


@pytest.mark.slow
def test_the_least_type_of_the_cara_schedule_gains_nothing_wherever_it_lies():
    coarse, fine = (jm.cara_schedule(trio(), types) for types in (129, 1025))
    np.testing.assert_allclose(coarse.transfer, fine.transfer[::8], rtol=0, atol=1e-8)
    least = np.asarray(fine.utility_gain.min(axis=0))
    assert np.all((least >= -1e-9) & (least < 1e-4))


def test_gains_under_cara_follow_eq_3_with_the_expectation_weighted_by_the_cost_of_risk():
    """gain' = −E*[X]/κ between two neighbouring types; V is smooth from the lowest type to the next."""
    mechanism = trio()
    schedule = jm.cara_schedule(mechanism, TYPES)
    x, w = np.polynomial.legendre.leggauss(6)
    for trader, kappa in enumerate(np.asarray(mechanism.market.risk_capacity)):
        start, end = np.asarray(schedule.types)[:2, trader]
        z = start + (end - start) * (x + 1) / 2
        bought, chance = purchases(mechanism, trader, z)
        weight = chance * np.exp((z[:, None] + bought) ** 2 / (2 * kappa**2))
        expected = np.sum(weight * bought, axis=1) / np.sum(weight, axis=1)
        rise = -0.5 * (end - start) * (w @ expected) / kappa
        assert np.diff(schedule.utility_gain[:2, trader])[0] == pytest.approx(rise, abs=1e-13)


# Small risks.


def test_the_certainty_equivalent_of_small_risks_adds_a_fourth_order_cost_to_the_quadratic_one():
    """−E y²/(2κ) − Var(y²)/(8κ³) + O(y⁶), y = z + X."""
    mechanism = trio(size=0.05)
    z = along_support(mechanism, 7)
    worth = np.asarray(jm.cara_certainty_equivalent(mechanism, jnp.asarray(z)[:, None], jnp.asarray(z)[None]))
    for trader, kappa in enumerate(np.asarray(mechanism.market.risk_capacity)):
        bought, chance = purchases(mechanism, trader, z[:, trader])
        square = (z[:, None, None, trader] + bought) ** 2
        mean = square @ chance
        variance = (square - mean[..., None]) ** 2 @ chance
        fourth = worth[..., trader] + mean / (2 * kappa)
        np.testing.assert_allclose(fourth, -variance / (8 * kappa**3), rtol=0, atol=0.03 * np.abs(fourth).max())


def test_cara_transfers_approach_those_of_eq_4_as_the_fourth_power_of_the_endowments():
    """The transfers themselves shrink as the square."""

    def difference(size):
        mechanism = example_1(size=size)
        schedule = jm.cara_schedule(mechanism, 61)
        return np.asarray(schedule.transfer - mechanism.deterministic_transfer(schedule.types))

    small, large = difference(0.05), difference(0.1)
    assert np.abs(large).max() > 1e-6
    np.testing.assert_allclose(large, 16 * small, rtol=0, atol=0.03 * np.abs(large).max())


def test_outside_options_are_refused():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 3)).with_outside("all", jm.OutsideOption(0.2))
    with pytest.raises(jm.MarketError, match="outside options"):
        jm.cara_schedule(jm.solve(market, 0.5), 3)
    with pytest.raises(jm.MarketError, match="outside options"):
        jm.cara_certainty_equivalent(jm.solve(market, 0.5), 0.0, 0.0)
