"""Theorem 2: the double auction with side payments implements the mechanism, in both price units."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.optimum.virtual_types import inverse_virtual_type

UNITS = ("natural", "paper")


def lopsided():
    """Condition 1 fails for the second group: it always buys in expectation at small weights."""
    return jm.Market.of(jm.Traders(jm.Uniform([0.0, 0.0, -1.0], 1.0), [0.5, 3.5, 0.7], [2, 1, 2]))


def normals():
    return jm.Market.of(jm.Traders(jm.TruncatedNormal([0.2, -0.3], [0.4, 0.9], -1, [1.0, 1.5]), [0.7, 1.1], 2))


MARKETS = {"lopsided": lopsided, "normals": normals}
CASES = [(name, alpha, unit) for name in MARKETS for alpha in (0.0, 0.5, 1.0) for unit in UNITS]


def rule_of(name, alpha=0.5, unit="natural"):
    return jm.side_payments(jm.solve(MARKETS[name](), alpha), unit)


def types(rule, count=21):
    law = rule.market.endowment
    return law.lower + jnp.linspace(0, 1, count)[:, None] * law.width


def draws(rule, count=200, seed=0):
    return rule.market.endowment.sample(jax.random.key(seed), (count,))


def close(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def test_condition_1_fails_in_the_lopsided_market():
    assert jm.condition_1(lopsided()).tolist() == [True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "alpha", "unit"), CASES)
def test_expected_payments_and_gains_are_those_of_the_mechanism(name, alpha, unit):
    rule = rule_of(name, alpha, unit)
    z = types(rule)
    close(rule.interim_transfer(z), rule.columns.interim_transfer(z), 1e-11)
    close(rule.utility_gain(z), rule.columns.utility_gain(z), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", MARKETS)
def test_demands_clear_the_market_and_buy_the_optimal_allocation(name, unit):
    rule = rule_of(name, unit=unit)
    z = draws(rule)
    bought = rule.demand(z, rule.clearing_price(z))
    close(jnp.sum(bought, axis=-1), 0)
    close(bought, rule.design.allocation(z))


def test_paper_unit_prices_are_minus_the_sum_of_virtual_values_with_the_papers_curvature():
    rule = rule_of("lopsided", unit="paper")
    z, kappa = draws(rule), np.asarray(rule.market.risk_capacity)
    total = kappa.sum()
    close(rule.clearing_price(z), -jnp.sum(rule.offer(z), axis=-1))
    close(rule.curvature, -1 / kappa + total / kappa - total / (total - kappa))


def test_natural_curvature_rebates_the_traders_own_price_impact():
    rule = rule_of("lopsided")
    close(rule.curvature, -rule.price_impact)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", MARKETS)
def test_tax_has_its_marginal_as_slope_inside_and_outside_the_range_of_offers(name, unit):
    rule = rule_of(name, unit=unit)
    offers = jnp.linspace(-1.9, 2.1, 38)[:, None] * jnp.ones(rule.market.groups)
    slope = jax.jvp(rule.tax, (offers,), (jnp.ones_like(offers),))[1]
    close(slope, rule.marginal_tax(offers), 1e-9)
    step = 1e-5
    differences = (rule.tax(offers + step) - rule.tax(offers - step)) / (2 * step)
    close(differences, rule.marginal_tax(offers), 1e-6)


@pytest.mark.slow
def test_tax_is_zero_at_its_kink_whose_jump_is_the_spread():
    rule = rule_of("normals")
    eta, step = rule.columns.eta, 1e-9
    close(rule.tax(eta), 0)
    close(rule.marginal_tax(eta - step) - rule.marginal_tax(eta + step), rule.spread, 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKETS)
def test_tax_is_the_printed_integral_of_the_inverse_virtual_value(name):
    """T(l) = (K l²/2 − ∫ V⁻¹)(K − κ)/(κK), up to a constant; in the paper's unit."""
    rule = rule_of(name, unit="paper")
    kappa, total = rule.market.risk_capacity, float(rule.market.total_risk_capacity)
    law, at = rule.market.endowment, rule.columns
    trader = 1
    low, high = (float(at.virtual_type(end)[trader]) for end in (law.lower, law.upper))

    nodes, weights = (jnp.asarray(v) for v in np.polynomial.legendre.leggauss(60))
    start, end = low + 0.1 * (high - low), low + 0.9 * (high - low)
    edges = sorted({start, end, min(max(float(at.eta[trader]), start), end)})  # V⁻¹ jumps at η
    area = 0.0
    for left, right in pairwise(edges):
        offers = at.eta + 0 * nodes[:, None]
        offers = offers.at[:, trader].set(left + 0.5 * (right - left) * (nodes + 1))
        inverse = inverse_virtual_type(offers, law.sides(), at.eta, at.ends, at.weight)[:, trader]
        area += 0.5 * (right - left) * float(weights @ inverse)
    k = float(kappa[trader])
    printed = (total * (end**2 - start**2) / 2 - area) * (total - k) / (k * total)
    taxed = [float(rule.tax(at.eta.at[trader].set(x))[trader]) for x in (start, end)]
    close(taxed[1] - taxed[0], printed, 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 1.0])
@pytest.mark.parametrize("name", MARKETS)
def test_inverse_of_the_virtual_type_returns_the_type(name, alpha):
    at = rule_of(name, alpha).columns
    law = at.market.endowment
    z = law.lower + jnp.linspace(0, 1, 41)[:, None] * law.width
    back = inverse_virtual_type(at.virtual_type(z), law.sides(), at.eta, at.ends, at.weight)
    interval = at.binding_interval
    flat = (z >= interval[:, 0]) & (z <= interval[:, 1])
    close(jnp.where(flat, z, back), z, 1e-11)


def test_first_best_needs_only_the_size_rebate_and_a_fee():
    rule = jm.side_payments(jm.first_best(lopsided()))
    inside = types(rule, 9)
    close(rule.tax(inside) - rule.tax(inside[4]), 0, 1e-12)
    close(rule.spread, 0)


def test_types_outside_the_support_go_on_one_for_one():
    rule = rule_of("lopsided")
    law = rule.market.endowment
    close(rule.offer(law.upper + 0.3), rule.offer(law.upper) + 0.3)
    close(rule.offer(law.lower - 0.3), rule.offer(law.lower) - 0.3)


def test_columns_by_group_show_each_groups_first_trader():
    rule = rule_of("lopsided")
    group, quantity = rule.by_group(), jnp.asarray(0.3)
    by_trader = rule.side_payment(jnp.asarray(0.1), jnp.full(5, quantity))
    close(group.side_payment(jnp.asarray(0.1), jnp.full(3, quantity)), by_trader[jnp.asarray([0, 2, 3])])
    close(group.participation_fee, rule.participation_fee[jnp.asarray([0, 2, 3])])


@pytest.mark.slow
def test_side_payments_are_differentiable_in_risk_capacity_and_laws():
    market = lopsided()

    def paid(risk_capacity, upper):
        law = jm.Uniform(market.endowment.lower, upper)
        mechanism = jm.solve(jm.Market(law, risk_capacity, market.count, market.names), 0.5)
        rule = jm.side_payments(mechanism)
        return jnp.sum(rule.side_payment(jnp.asarray(0.1), jnp.asarray([0.3, -0.2, 0.5, -0.4, 0.2])))

    at = (market.risk_capacity, market.endowment.upper)
    slopes = jax.grad(paid, argnums=(0, 1))(*at)
    for place, slope in enumerate(slopes):
        for group in range(3):
            step = jnp.zeros(3).at[group].set(1e-6)
            up, down = (tuple(a + s * step * (k == place) for k, a in enumerate(at)) for s in (1, -1))
            assert slope[group] == pytest.approx(float(paid(*up) - paid(*down)) / 2e-6, rel=1e-6, abs=1e-8)


def test_bad_arguments_are_named():
    with pytest.raises(jm.MarketError, match="price_unit is 'dollars'"):
        jm.side_payments(jm.solve(lopsided(), 0.5), "dollars")
    with pytest.raises(jm.MarketError, match="mechanism is Market"):
        jm.side_payments(lopsided())
    with pytest.raises(jm.MarketError, match="count is traced"):
        jax.jit(lambda market: jm.side_payments(jm.solve(market, 0.5)).participation_fee)(lopsided())
