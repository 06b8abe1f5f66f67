"""Fees of simple auctions that keep every type inside where traders can go elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.reform import auction_option
from jaxmech.market.outside import OutsideOption
from jaxmech.optimum.target_lines import outside_gain

LAWS = jm.Uniform([-1.0, 0.2, -0.5], [1.2, 1.0, 0.4]), [0.7, 1.1, 0.4], [2, 1, 3]
# Flatter and steeper than what the auctions give, centres inside and far outside the supports.
WAYS = [
    OutsideOption(0.0, 0.0, 0.01),
    OutsideOption([0.1, 0.05, 0.2], [0.3, 0.5, -0.4], [0.0, 0.01, 0.0]),
    OutsideOption([0.6, 0.6, 0.8], [0.1, -2.0, 3.0], 0.002),
]


def market_of(way=None):
    return jm.Market.of(jm.Traders(*LAWS, outside=way))


def close(value, exact, tolerance=1e-13):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def auctions(market):
    return jm.double_auction(market), jm.SimpleSchedule.of(market, [0.1, 0.0, 0.2], [0.2, -0.4, 0.1])


@pytest.mark.parametrize("way", WAYS)
def test_with_the_largest_fees_no_type_would_rather_go_and_some_might_as_well(way):
    for auction in auctions(market_of(way)):
        law = auction.market.endowment
        z = law.lower + jnp.linspace(0, 1, 20_001)[:, None] * law.width
        more = auction.utility_gain(z) - outside_gain(auction.market.option, z, auction.market.risk_capacity)
        least = np.min(more, axis=0)
        assert np.all(least >= -1e-14) and np.all(least < 1e-8)
        assert jm.audit(auction, types=3, prices=3, quantities=9).ok


@pytest.mark.parametrize("way", WAYS)
def test_options_change_fees_but_neither_trade_nor_what_is_gained_from_it(way):
    for without, auction in zip(auctions(market_of()), auctions(market_of(way)), strict=True):
        z = jnp.asarray([0.1, 0.4, -0.2])
        close(auction.interim_allocation(z), without.interim_allocation(z))
        fee, before = auction.participation_fee, without.participation_fee
        close(auction.utility_gain(z) + fee, without.utility_gain(z) + before)
        given = auction.market.count * (before - fee)
        close(jm.outcomes(auction).revenue, jm.outcomes(without).revenue - jnp.sum(given))
        close(jm.outcomes(auction).utility_gain_by_group, jm.outcomes(without).utility_gain_by_group + given)


def test_who_could_have_the_double_auction_anyway_pays_nothing_for_it():
    """Its gains are a quadratic outside option (beyond §11): each type is indifferent, and the largest fee is 0."""
    free = jm.double_auction(market_of(), "none")
    auction = jm.double_auction(market_of(auction_option(free)))
    z = jnp.linspace(-1, 1, 7)[:, None] * jnp.ones(3)
    close(free.utility_gain(z), outside_gain(auction.market.option, z, free.market.risk_capacity))
    close(auction.participation_fee, 0)


def test_fees_below_nothing_and_revenue_below_nothing_where_the_option_is_better():
    better = OutsideOption(0.0, 0.0, 5.0)
    for auction in auctions(market_of(better)):
        assert np.all(auction.participation_fee < -4)
        assert jm.outcomes(auction).revenue < -24


@pytest.mark.slow
def test_the_largest_fee_is_differentiable_in_the_option():
    def fee(gamma, centre):
        return jnp.sum(jm.double_auction(market_of(OutsideOption(gamma, centre, 0.01))).largest_fee)

    at = 0.3, 0.25
    for place, slope in enumerate(jax.grad(fee, argnums=(0, 1))(*at)):
        up, down = (fee(*(x + sign * 1e-6 * (k == place) for k, x in enumerate(at))) for sign in (1, -1))
        assert slope == pytest.approx(float(up - down) / 2e-6, rel=1e-6)


@pytest.mark.slow
def test_the_best_simple_schedule_keeps_every_type_and_does_no_better_than_the_optimum():
    def objective(design):
        found = jm.outcomes(design)
        return float(0.6 * found.revenue + 0.4 * found.efficiency)

    # Of uniform endowments it is the optimum while nobody can trade outside.
    reserved, traded = (jm.simple_schedule(market_of(way), 0.6) for way in WAYS[:2])
    assert objective(reserved) == pytest.approx(objective(jm.solve(reserved.market, 0.6)), abs=1e-9)
    assert jm.audit(traded, types=9, prices=5, quantities=33).ok and traded.error < 1e-9
    unaware = jm.SimpleSchedule.of(traded.market, reserved.spread, reserved.slope)
    assert objective(unaware) < objective(traded) < objective(jm.solve(traded.market, 0.6))


def test_searches_for_another_objective_are_refused():
    law = jm.Uniform(-1, 1)
    with pytest.raises(jm.MarketError, match="welfare_weight: the search is for αR"):
        jm.simple_schedule(jm.Market.of(jm.Traders(law, 1.0, 3, welfare_weight=0.1)), 0.5)
    with pytest.raises(jm.MarketError, match="kind is 'no access fee', but outside options need fees"):
        jm.simple_schedule(market_of(WAYS[0]), 0.5, "no access fee")
