"""Theorem 2 where traders can go elsewhere: schedules along target lines, welfare weights, targets and rebates."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.audit import distinct_traders
from jaxmech.auctions.columns import unfolded_market
from jaxmech.auctions.fee_notice import fee_text
from jaxmech.auctions.tabulated import TabulatedSidePayments, tabulated
from jaxmech.market.outside import OutsideMarket, OutsideOption
from solved_extensions import BY_NAME, by_trader, solved

UNITS = ("natural", "paper")
# Uniform endowments, line and binding types inside the support and at an end of it: quick to compile.
QUICK = ["subsidy-partly-used", "always-buys-with-outside"]
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BY_NAME]
KEPT = ["line-leaves-the-support", "all-combined-three-groups"]  # of the costlier claims
FEWER = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in KEPT)]
FEWER += [pytest.param(name, marks=pytest.mark.exhaustive) for name in BY_NAME if name not in (*QUICK, *KEPT)]
FEW = {"types": 9, "prices": 5, "quantities": 33}


@cache
def rule_of(name, unit="natural"):
    return jm.side_payments(solved(name), unit)


def types(rule, count=41):
    law = rule.market.endowment
    return law.lower + jnp.linspace(0, 1, count)[:, None] * law.width


def outside(rule, z):
    """o(z) and what the trader is given besides."""
    rebate = rule.columns.rebate
    return rule.columns.outside_gain(z) + (0 if rebate is None else rebate)


def close(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", CASES)
def test_expected_payments_and_gains_are_those_of_the_mechanism(name, unit):
    rule = rule_of(name, unit)
    z = types(rule)
    close(rule.interim_transfer(z), rule.columns.interim_transfer(z))
    close(rule.utility_gain(z), rule.columns.utility_gain(z))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", CASES)
def test_binding_types_gain_what_they_would_gain_outside_and_others_more(name, unit):
    rule = rule_of(name, unit)
    low, high = rule.columns.binding_interval.T
    inside = low + jnp.linspace(0, 1, 9)[:, None] * (high - low)
    close(rule.utility_gain(inside), outside(rule, inside), 1e-14)
    assert np.min(rule.utility_gain(types(rule)) - outside(rule, types(rule))) >= -1e-14


@pytest.mark.parametrize("name", CASES)
def test_access_fees_are_those_of_the_solved_cases(name):
    """There T is 0 at another binding type, and the fee is told before rebates."""
    rule, case = rule_of(name), BY_NAME[name]
    binding = jnp.asarray(by_trader(case, "binding_type"))
    fee = rule.participation_fee - rule.tax(rule.columns.virtual_type(binding))
    close(fee + outside(rule, binding) - rule.columns.outside_gain(binding), by_trader(case, "access_fee"))


@pytest.mark.parametrize("name", CASES)
def test_every_trader_is_expected_to_pay_his_revenue(name):
    """Integrated over his types from the schedule, nodes dense at the ends of the support and of [a, b]."""
    rule, case = rule_of(name), BY_NAME[name]
    law = rule.market.endowment
    nodes, weights = (jnp.asarray(part) for part in np.polynomial.legendre.leggauss(48))
    place = 0.5 * (nodes + 1)
    dense, mass = (place**2 * (3 - 2 * place))[:, None], (3 * weights * place * (1 - place))[:, None]
    edges = [law.lower, *rule.columns.binding_interval.T, law.upper]
    paid = 0.0
    for start, end in pairwise(edges):
        z = start + dense * (end - start)
        paid = paid + jnp.sum(mass * (end - start) * law.pdf(z) * rule.interim_transfer(z), axis=0)
    close(paid, by_trader(case, "revenue_by_trader"), 1e-9)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", FEWER)
def test_the_inverse_returns_every_type_that_is_not_bunched(name, unit):
    rule = rule_of(name, unit)
    z, (low, high) = types(rule), rule.columns.binding_interval.T
    flat = (z >= low) & (z <= high) & ~(rule.columns.line().slope > 0 if rule.columns.line() else False)
    offered = rule.offer(z)
    # T' = (1 − s)/κ·(ρ l − V⁻¹(l))
    back = rule.price_scale * offered - rule.marginal_tax(offered) * rule.market.risk_capacity / (
        1 - rule.columns.share
    )
    close(jnp.where(flat, z, back), z, 1e-11)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", FEWER)
def test_tax_has_its_marginal_as_slope_inside_and_outside_the_range_of_offers(name, unit):
    rule = rule_of(name, unit)
    offers = jnp.linspace(-1.93, 2.41, 38)[:, None] * jnp.ones(rule.market.groups)
    close(jax.jvp(rule.tax, (offers,), (jnp.ones_like(offers),))[1], rule.marginal_tax(offers), 1e-9)
    step = 1e-5
    close((rule.tax(offers + step) - rule.tax(offers - step)) / (2 * step), rule.marginal_tax(offers), 1e-5)


def option_market(gamma, centre=0.0, reserve=0.0, count=5):
    """Symmetric U[−1, 1], κ = ½."""
    way = OutsideOption(gamma, centre, reserve)
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count, outside=way))


def test_with_an_outside_option_there_is_no_kink_but_a_parabola_across_the_spread():
    rule = jm.side_payments(jm.solve(option_market(0.4), 0.7))  # σ = ½
    line, (low, high) = rule.columns.line(), rule.columns.binding_interval.T
    start, end, step = line.at(rule.columns.eta, low), line.at(rule.columns.eta, high), 1e-9
    for edge in (start, end):
        close(rule.marginal_tax(edge - step), rule.marginal_tax(edge + step), 1e-7)
    close(rule.marginal_tax(start) - rule.marginal_tax(end), rule.spread)
    factor, inside = (1 - rule.columns.share) / 0.5, start + jnp.linspace(0.1, 0.9, 5)[:, None] * (end - start)
    slope = jax.jvp(rule.marginal_tax, (inside,), (jnp.ones_like(inside),))[1]
    close(slope, -(factor * (1 - 0.5) / 0.5) * jnp.ones_like(inside))


def test_symmetric_uniform_traders_pay_the_closed_form():
    """Beyond §13, N = 5, h = 1, κ = ½: the fee, the spread and the outer schedule, which does not know the option."""
    weight, traders, reserve = 0.7, 5, 0.003
    share, offers = 1 / traders, jnp.linspace(0.9, 1.0, 7)[:, None] * jnp.ones(traders)
    for gamma in (0.0, 0.1, 0.4, 0.7):
        rule = jm.side_payments(jm.solve(option_market(gamma, reserve=reserve), weight))
        slope = gamma / (1 - share)
        power = 1 - slope
        part = weight / (power + weight)
        variance = (slope**2 + slope * power * (1 - part) * (2 + part) + power**2 * (1 - part)) / 3
        close(rule.participation_fee, variance / (2 * traders * 0.5) - reserve)
        close(rule.spread, 2 * part * power * (1 - share) / 0.5)
        close(rule.marginal_tax(offers), -weight * (1 - offers) / (1 + weight) * (1 - share) / 0.5)


def test_a_worthless_option_leaves_the_schedule_as_it_is():
    law, at = jm.Uniform([-1.0, -0.5], [1.2, 1.4]), (0.7, 1.1)
    plain = jm.side_payments(jm.solve(jm.Market.of(jm.Traders(law, at, 2)), 0.6))
    way = OutsideOption([1e-9, 0.0], 0.3, [0.0, 1e-12])
    worthless = jm.side_payments(jm.solve(jm.Market.of(jm.Traders(law, at, 2, outside=way)), 0.6))
    offers = jnp.linspace(-1.5, 1.5, 61)[:, None] * jnp.ones(4)
    close(worthless.tax(offers), plain.tax(offers), 1e-8)
    close(worthless.participation_fee, plain.participation_fee, 1e-8)


@pytest.mark.parametrize("name", FEWER)
def test_nobody_gains_by_deviating_and_nobody_stays_away(name):
    found = jm.audit(rule_of(name), **FEW)
    assert found.deviation_gain <= 1e-12 * found.surplus
    assert abs(found.participation_slack) <= 1e-12 * found.surplus  # somebody is indifferent
    assert found.ok


def test_the_audit_measures_participation_against_what_traders_have_outside():
    rule = rule_of("subsidy-partly-used")
    way = rule.market.outside
    better = replace(rule.market, outside=replace(way, reserve=way.reserve + 0.001))
    tempted = replace(rule, columns=replace(rule.columns, market=better))
    found = jm.audit(tempted, **FEW)
    assert found.participation_slack == pytest.approx(-0.001) and not found.ok


def test_traders_who_differ_only_in_their_options_or_weights_are_audited_one_by_one():
    law, way = jm.Uniform(-1, 1), OutsideOption([0.1, 0.1, 0.1, 0.2], [0.0, 0.3, 0.0, 0.0])
    market = jm.Market.of(jm.Traders(law, 1.0, [2, 1, 1, 1], welfare_weight=[0.1, 0.1, 0.2, 0.1], outside=way))
    assert distinct_traders(unfolded_market(market)) == [0, 2, 3, 4]


def test_unfolded_traders_have_the_options_and_weights_of_their_groups():
    law = jm.Uniform(-1, 1)
    market = jm.Market.of(
        jm.Traders(law, 0.5, 2, welfare_weight=0.1, outside=OutsideMarket(0.2, 3.0, 0.01)),
        jm.Traders(law, 1.0, 3, outside=OutsideOption(0.1, 0.3)),
    )
    traders = unfolded_market(market)
    assert traders.outside.priced == (True, True, False, False, False)
    for one, group in zip(jax.tree.leaves(traders.option), jax.tree.leaves(market.option), strict=True):
        close(one, np.repeat(group, [2, 3]))
    close(traders.welfare_weight, [0.1, 0.1, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", FEWER)
def test_tables_of_a_simulation_have_the_offers_and_the_tax(name, unit):
    rule = rule_of(name, unit)
    table = tabulated(rule)
    assert isinstance(table, TabulatedSidePayments)
    law = rule.market.endowment
    z = law.lower + jnp.linspace(-0.2, 1.2, 997)[:, None] * law.width
    offers = jnp.linspace(-3, 3.5, 2003)[:, None] * jnp.ones(rule.market.groups)
    close(table.offer(z), rule.offer(z), 1e-10)
    close(table.tax(offers), rule.tax(offers), 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all-combined-three-groups", "weight-above-alpha-rebate"])
def test_simulated_traders_pay_what_they_are_expected_to(name):
    rule, case = rule_of(name), BY_NAME[name]
    played = jm.simulate(rule, jax.random.key(3), 40_000)
    off = (played.payment - by_trader(case, "revenue_by_trader")) / played.payment_error
    assert np.max(np.abs(off)) < 4
    assert played.revenue == pytest.approx(case["revenue"], abs=4 * played.revenue_error)


def test_a_mechanism_that_there_is_not_has_no_schedule():
    with pytest.raises(jm.MarketError, match="mechanism is none: infeasible: the largest revenue"):
        jm.side_payments(jm.solve(option_market(0.4), 0.7, 10.0))


def test_first_best_with_outside_options_needs_only_the_size_rebate_and_a_fee():
    rule = jm.side_payments(jm.first_best(rule_of("subsidy-partly-used").design.market))
    offers = types(rule, 9)
    close(rule.tax(offers) - rule.tax(offers[4]), 0)
    close(rule.spread, 0)
    low, _ = rule.columns.binding_interval.T
    close(rule.utility_gain(low), rule.columns.outside_gain(low))


@pytest.mark.slow
def test_fees_are_differentiable_in_the_option():
    counts = np.array([2.0, 1.0])

    def fee(gamma, centre, reserve):
        law = jm.Uniform(jnp.array([-1.0, -0.5]), jnp.array([1.2, 1.4]))
        way = OutsideOption(gamma * jnp.ones(2), centre * jnp.ones(2), reserve * jnp.ones(2))
        market = jm.Market.of(jm.Traders(law, jnp.array([0.7, 1.1]), counts, outside=way))
        rule = jm.side_payments(jm.solve(market, 0.8, -jnp.inf))
        return jnp.sum(rule.participation_fee + rule.side_payment(jnp.asarray(0.1), jnp.array([0.3, -0.2, 0.1])))

    at = 0.2, -0.9, 0.01  # z_b is an end of [a, b]
    slopes = jax.grad(fee, argnums=(0, 1, 2))(*at)
    for place, slope in enumerate(slopes):
        up, down = (fee(*(x + sign * 1e-6 * (k == place) for k, x in enumerate(at))) for sign in (1, -1))
        assert slope == pytest.approx(float(up - down) / 2e-6, rel=1e-6, abs=1e-8)


def test_a_fee_notice_tells_the_option_and_over_what_the_spread_is_spread():
    rule = rule_of("subsidy-partly-used")
    sheet = jm.fee_sheet(rule)
    first, line = sheet["groups"][0], rule.columns.line()
    low, high = (line.at(rule.columns.eta, end)[0] for end in rule.columns.binding_interval.T)
    assert first["outside"] == {"gamma": 0.2, "centre": 0.3, "reserve": 0.0}
    assert first["spread_width"] == pytest.approx(float(high - low))
    assert f"over {first['spread_width']:.6g} units" in fee_text(sheet) and "elsewhere" in fee_text(sheet)


def test_robustness_judges_participation_by_the_options_of_the_true_market():
    rule = rule_of("subsidy-partly-used")
    market = rule.design.market
    same = jm.robustness(rule, market)
    close(same.least_gain, 0, 1e-14)
    close(same.losing_share, 0)
    tempted = replace(market, outside=replace(market.outside, reserve=market.outside.reserve + 0.002))
    there = jm.robustness(rule, tempted)
    close(there.least_gain, -0.002)
    assert np.all(there.losing_share > 0)
    close(there.revenue, same.revenue)


@pytest.mark.slow
def test_the_worst_law_counts_what_welfare_weights_do():
    rule, case = rule_of("welfare-weights-only"), BY_NAME["welfare-weights-only"]
    worst = jm.worst_case_law(rule, 1e-7)
    constant = (1 - 0.6) * (jm.outcomes(rule.design).efficiency - np.sum(case["gains"]))  # A is told, not the gains
    assert worst.objective == pytest.approx(case["value"] + float(constant), abs=1e-6)


def test_a_robust_design_takes_neither_options_nor_a_minimum_revenue():
    for market in (option_market(0.2), option_market(0.0).earning(0.01)):
        with pytest.raises(jm.MarketError, match="market has outside options or a minimum revenue"):
            jm.robust_design(market, 0.5, 0.1)


@pytest.mark.exhaustive
def test_a_robust_design_counts_what_welfare_weights_do():
    market = rule_of("welfare-weights-only").design.market
    found, nominal = jm.robust_design(market, 0.6, 0.05, rounds=1), BY_NAME["welfare-weights-only"]["value"]
    held = jm.outcomes(found.nominal).efficiency - np.sum(BY_NAME["welfare-weights-only"]["gains"])
    assert found.nominal_guaranteed <= found.guaranteed < nominal + 0.4 * held
