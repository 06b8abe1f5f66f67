"""A schedule used in a market it was not designed for."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm


def market(shift=0.0, stretch=1.0, risk_capacity=(0.5, 0.9)):
    law = jm.TruncatedNormal([shift, 0.2 + shift], [0.5 * stretch, 0.8 * stretch], [-1.0, -1.2], [1.0, 1.5])
    return jm.Market.of(jm.Traders(law, list(risk_capacity), [2, 3]))


def rule(unit="natural", alpha=0.7):
    return jm.side_payments(jm.solve(market(), alpha), unit)


def close(value, exact, tolerance=1e-10):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["natural", "paper"])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_in_its_own_market_a_schedule_earns_what_the_mechanism_does(unit, alpha):
    achieved, promised = jm.robustness(rule(unit, alpha), market()), jm.outcomes(jm.solve(market(), alpha))
    close(achieved.revenue, promised.revenue)
    close(achieved.efficiency, promised.efficiency)
    close(achieved.revenue_by_group, promised.revenue_by_group)
    close(achieved.utility_gain_by_group, promised.utility_gain_by_group)
    close(achieved.least_gain, 0)
    close(achieved.losing_share, 0)


def sampled(schedule, true_market, draws=400_000, seed=1):
    """Revenue and efficiency of 400,000 auctions, with standard errors, from demands and payments alone."""
    columns = replace(schedule.market, endowment=jax.tree.map(lambda x: x[schedule_groups()], true_market.endowment))
    z = columns.endowment.sample(jax.random.key(seed), (draws,))
    price = schedule.clearing_price(z)
    bought = schedule.demand(z, price)
    revenue = jnp.sum(schedule.side_payment(price, bought), axis=-1)
    held = -jnp.sum((z + bought) ** 2 / (2 * columns.risk_capacity), axis=-1)
    return [(float(jnp.mean(x)), float(jnp.std(x)) / draws**0.5) for x in (revenue, held)]


def schedule_groups():
    return np.array([0, 0, 1, 1, 1])


@pytest.mark.slow
def test_outcomes_elsewhere_are_those_of_the_auctions_themselves():
    true_market = market(shift=0.15, stretch=0.8)
    achieved = jm.robustness(rule(), true_market)
    for value, (mean, error) in zip(achieved, sampled(rule(), true_market, draws=20_000), strict=False):
        assert abs(float(value) - mean) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["natural", "paper"])
def test_first_derivatives_agree_with_differences(unit):
    schedule = rule(unit)

    def revenue(shift, stretch):
        return jm.robustness(schedule, shifted(shift, stretch)).revenue

    def shifted(shift, stretch):
        law = market().endowment
        return replace(market(), endowment=replace(law, loc=law.loc + shift, scale=law.scale * stretch))

    at = jnp.asarray(0.05), jnp.asarray(0.9)
    slopes = jax.jit(jax.grad(revenue, argnums=(0, 1)))(*at)
    step = 1e-5
    for place, slope in enumerate(slopes):
        up, down = (revenue(*(a + s * step * (k == place) for k, a in enumerate(at))) for s in (1, -1))
        assert slope == pytest.approx(float(up - down) / (2 * step), rel=1e-6, abs=1e-8)


def test_a_shift_of_all_means_hurts_the_papers_unit_more():
    """The papers' price is K times the marginal value, and its side payments have to take that back."""
    lost = [
        abs(jm.robustness(rule(unit), market(shift=0.1)).revenue - jm.robustness(rule(unit), market()).revenue)
        for unit in ("natural", "paper")
    ]
    assert lost[1] > 5 * lost[0]


def test_who_loses_by_participating_is_counted():
    achieved = jm.robustness(rule(), market(stretch=0.5))  # less risk to share than the fees suppose
    assert np.all(achieved.least_gain < 0)
    assert np.all((achieved.losing_share > 0) & (achieved.losing_share < 1))


@pytest.mark.slow
def test_types_beyond_the_designed_support_still_reply_optimally():
    schedule = rule()
    for endowment in (-1.6, 1.4):
        quantity, gain = jm.best_reply(schedule, 0, endowment, 0.1)
        types = jnp.zeros(5).at[0].set(endowment)
        assert gain < 1e-12
        assert quantity == pytest.approx(float(schedule.demand(types, jnp.asarray(0.1))[0]), abs=1e-6)


def test_other_traders_or_capacities_are_refused():
    with pytest.raises(jm.MarketError, match="risk_capacity of true_market"):
        jm.robustness(rule(), market(risk_capacity=(0.5, 1.0)))
    with pytest.raises(jm.MarketError, match="has 1 groups, the schedule 2"):
        jm.robustness(rule(), jm.Market.of(jm.Traders(jm.Uniform(0, 1), 1.0, 5)))
    with pytest.raises(jm.MarketError, match="side_payments is Mechanism"):
        jm.robustness(jm.solve(market(), 0.5), market())


@pytest.mark.slow
def test_a_trader_who_is_what_the_schedule_takes_him_for_changes_nothing():
    schedule = rule()
    same = jm.misjudged_capacity(schedule, 0, float(schedule.market.risk_capacity[0]), jax.random.key(0), auctions=50)
    close(same.revenue_change, 0)
    close(same.reply_gain, 0)


def test_a_misjudged_trader_gains_by_his_reply_and_one_with_less_capacity_pays_more():
    schedule, kappa = rule(), float(rule().market.risk_capacity[0])
    less, more = (jm.misjudged_capacity(schedule, 0, f * kappa, jax.random.key(0), auctions=50) for f in (0.6, 1.6))
    assert less.reply_gain > 0 and more.reply_gain > 0
    assert less.revenue_change > 0 > more.revenue_change


def test_misjudged_traders_and_capacities_must_exist():
    with pytest.raises(jm.MarketError, match="trader is 5; the rule has columns 0 to 4"):
        jm.misjudged_capacity(rule(), 5, 1.0, jax.random.key(0))
    with pytest.raises(jm.MarketError, match="risk_capacity is -1"):
        jm.misjudged_capacity(rule(), 0, -1, jax.random.key(0))
