"""The audit finds no gain where there is none, and the gain where a schedule is spoiled."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.audit import _search, payment_of

FEW = {"types": 9, "prices": 5, "quantities": 33}


def market():
    return jm.Market.of(jm.Traders(jm.Uniform([0.0, 0.0, -1.0], 1.0), [0.5, 3.5, 0.7], [2, 1, 2]))


def rule(unit="natural", alpha=0.5):
    return jm.side_payments(jm.solve(market(), alpha), unit)


class Changed:
    """A rule with some of its functions replaced."""

    def __init__(self, rule, **functions):
        for name in ("market", "demand", "clearing_price", "side_payment", "utility_gain"):
            setattr(self, name, functions.get(name, getattr(rule, name)))


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["natural", "paper"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_nobody_gains_by_deviating_from_the_optimal_schedule(unit, alpha):
    found = jm.audit(rule(unit, alpha), **FEW)
    assert found.deviation_gain <= 1e-12 * found.surplus
    assert found.participation_slack >= -1e-12 * found.surplus
    assert found.ok


def test_nobody_gains_by_deviating_from_the_double_auction():
    found = jm.audit(jm.double_auction(market()), **FEW)
    assert found.ok


@pytest.mark.slow
def test_a_changed_size_term_is_found_with_its_gain():
    honest = rule()
    extra = 0.05
    spoiled = Changed(honest, side_payment=lambda p, q: honest.side_payment(p, q) + extra * q**2)
    found = jm.audit(spoiled, **FEW)
    assert found.deviation_gain > 1e-3 * found.surplus
    types = honest.market.endowment.mean.at[found.trader].set(found.endowment)
    truth = float(honest.demand(types, found.price)[found.trader])
    new_price = found.price + honest.price_impact[found.trader] * (found.quantity - truth)

    def gain(price, quantity):
        asked = jnp.zeros(5).at[found.trader].set(quantity)
        return float(honest.ex_post_gain(types, price, asked)[found.trader]) - extra * float(quantity) ** 2

    assert gain(new_price, found.quantity) - gain(found.price, truth) == pytest.approx(float(found.deviation_gain))


@pytest.mark.slow
def test_a_scaled_tax_and_a_wrong_demand_are_found():
    honest = rule()
    cheap = Changed(honest, side_payment=lambda p, q: honest.side_payment(p, q) - 0.1 * jnp.abs(q))
    timid = Changed(honest, demand=lambda z, p: 0.9 * honest.demand(z, p))
    for spoiled in (cheap, timid):
        assert not jm.audit(spoiled, **FEW).ok


@pytest.mark.slow
def test_what_a_trader_pays_for_the_quantities_of_others_is_found():
    """They are the negative of his own, so it is a price on that."""
    honest = rule()
    spoiled = Changed(honest, side_payment=lambda p, q: honest.side_payment(p, q) + 0.1 * (jnp.sum(q) - q))
    assert jm.audit(spoiled, **FEW).deviation_gain > 1e-3


def test_a_fee_that_is_too_high_keeps_some_type_away():
    honest = rule()
    found = jm.audit(replace(honest, participation_fee=honest.participation_fee + 0.001), **FEW)
    assert found.participation_slack == pytest.approx(-0.001)
    assert not found.ok


def test_the_best_reply_of_a_misjudged_trader_solves_his_first_order_condition():
    """V⁻¹(l) = (κ/κ')z + (κ/κ' − 1)q, for a trader of capacity κ' whom the schedule takes to have κ."""
    schedule, price, trader, true = rule(), 0.05, 0, 0.35
    for endowment in (0.1, 0.5, 0.95):
        quantity, gain = jm.best_reply(schedule, trader, endowment, price, risk_capacity=true)
        types = schedule.market.endowment.mean.at[trader].set(endowment)
        truth = float(schedule.demand(types, jnp.asarray(price))[trader])
        new_price = price + float(schedule.price_impact[trader]) * (float(quantity) - truth)
        kappa = float(schedule.market.risk_capacity[trader])
        offer = -float(quantity) - kappa * new_price
        wanted = kappa / true * endowment + (kappa / true - 1) * float(quantity)
        below, above = (inverse(schedule, trader, offer + step) for step in (-1e-5, 1e-5))
        assert below - 1e-4 <= wanted <= above + 1e-4
        assert gain >= 0


def inverse(schedule, trader, offer):
    """V⁻¹(l) = l − T'(l) κ/(1 − s), in natural units."""
    offers = jnp.zeros(5).at[trader].set(offer)
    share = schedule.columns.share[trader]
    return offer - float(schedule.marginal_tax(offers)[trader] * schedule.market.risk_capacity[trader] / (1 - share))


def test_one_trader_of_each_kind_is_audited():
    from jaxmech.auctions.audit import distinct_traders

    assert distinct_traders(rule().market) == [0, 2, 3]


def test_a_trader_pays_what_the_column_of_his_group_says():
    offered, price = jnp.linspace(-1.0, 1.0, 5), jnp.asarray(0.2)
    for trader in range(5):
        payment = payment_of(rule(), rule().market, trader)
        assert payment.columns.shape == (3,)
        of_all = rule().side_payment(price, offered)[trader]
        np.testing.assert_allclose(payment.side_payment(price, offered[trader], offered), of_all, rtol=1e-13)


@pytest.mark.exhaustive
def test_memory_is_enough_for_ironed_laws_of_many_traders():
    humps = jm.Mixture([jm.TruncatedNormal(-0.5, 0.2, -1.0, 1.0), jm.TruncatedNormal(0.5, 0.2, -1.0, 1.0)], [0.5, 0.5])
    ironed = jm.side_payments(jm.solve(jm.Market.of(jm.Traders(humps, 1.0, 20), jm.Traders(humps, 2.0, 20)), 0.5))
    one, payment = jnp.zeros(1, int), payment_of(ironed, ironed.market, [0])
    program = jax.jit(partial(_search, types=33, prices=17, quantities=65)).lower(ironed, payment, ironed.market, one)
    assert program.compile().memory_analysis().temp_size_in_bytes < 2**29


def test_what_is_not_a_rule_is_refused():
    with pytest.raises(jm.MarketError, match=r"rule is Mechanism without \.demand"):
        jm.audit(jm.solve(market(), 0.5))
    assert np.isfinite(float(jm.audit(rule(), **FEW).surplus))


def test_traders_and_grids_that_cannot_be_are_refused():
    with pytest.raises(jm.MarketError, match="trader is 7; the rule has columns 0 to 4"):
        jm.audit(rule(), traders=[7])
    with pytest.raises(jm.MarketError, match="trader is -1"):
        jm.best_reply(rule(), -1, 0.5, 0.1)
    with pytest.raises(jm.MarketError, match="quantities is 1; give a whole number ≥ 3"):
        jm.audit(rule(), quantities=1)
