"""Simulated auctions agree with the integrals, repeat themselves to the last bit, and know when nothing clears."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import jaxmech as jm
from jaxmech.auctions.clearing import unique_price, with_deviation
from jaxmech.auctions.columns import traders_of, unfolded_market
from jaxmech.auctions.tabulated import TabulatedBeta, TabulatedSidePayments, quick_sampler, tabulated
from jaxmech.endowments.law import Law
from jaxmech.testing.random_markets import random_markets
from marks import cases

KEY = jax.random.key(20)
THREE = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), jnp.array([0.5, 0.8]), jnp.array([2, 1])))
DIFFERENT = jm.Market.of(
    jm.Traders(jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0), 0.8),
    jm.Traders(jm.TruncatedNormal(0.4, 0.6, -1.2, 0.9), 0.6, 2),
)


def rule_of(market, alpha=0.5, unit="natural"):
    return jm.side_payments(jm.solve(market, alpha), unit)


def fields_that_differ(one, other, tolerance=0.0):
    return [
        name
        for name in one._fields
        if not np.allclose(getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance, equal_nan=True)
    ]


def largest_z_score(simulated, mechanism):
    """Of revenue, efficiency, every trader's payment, his gain, and the price, against the integrals."""
    exact, market = jm.outcomes(mechanism), mechanism.market
    group, interim = traders_of(market), mechanism.interim()
    pairs = [
        (simulated.revenue, simulated.revenue_error, exact.revenue),
        (simulated.efficiency, simulated.efficiency_error, exact.efficiency),
        (simulated.payment, simulated.payment_error, (exact.revenue_by_group / market.count)[group]),
        (simulated.utility_gain, simulated.utility_gain_error, (exact.utility_gain_by_group / market.count)[group]),
    ]
    scores = [np.max(np.abs(got - np.asarray(right)) / (error + 1e-12)) for got, error, right in pairs]
    total, variance = jnp.sum(market.count * interim.mean), jnp.sum(market.count * interim.variance)
    return max(scores), float(total), float(variance)


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases([(2, 0, 0), (1, 1, 1)], [(2, 0, 0)]))
def test_simulation_agrees_with_the_integrals_in_random_markets(structure):
    markets = replace(random_markets(structure, 6, 5), count=jnp.arange(1.0, sum(structure) + 1))
    for place in range(6):
        market = jax.tree.map(lambda leaf, k=place: leaf[..., k] if leaf.ndim > 1 else leaf, markets)
        for unit, alpha in (("natural", 0.2 * place), ("paper", 1 - 0.2 * place)):
            rule = rule_of(market, alpha, unit)
            simulated = jm.simulate(rule, jax.random.fold_in(KEY, place), 40_000)
            score, total, variance = largest_z_score(simulated, rule.design)
            scale = float(rule.price_scale / market.total_risk_capacity)
            price = abs(simulated.price + scale * total) / simulated.price_error
            spread = abs(simulated.price_deviation - scale * np.sqrt(variance)) / simulated.price_deviation_error
            assert max(score, price, spread) <= 4.5


def test_double_auction_and_simple_schedule_are_simulated_too():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 5))
    auction = jm.double_auction(market)
    simulated, exact = jm.simulate(auction, KEY, 40_000), jm.outcomes(auction)
    assert abs(simulated.efficiency - exact.efficiency) <= 4.5 * simulated.efficiency_error
    # Fees are the same in each auction: no error but rounding.
    np.testing.assert_allclose(simulated.revenue, exact.revenue, rtol=1e-12)


@pytest.mark.slow
def test_trade_ceases_as_often_as_it_should():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 3))
    rule = rule_of(market, 1.0)
    simulated, exact = jm.simulate(rule, KEY, 40_000), float(jm.outcomes(rule.design).no_trade_probability)
    assert abs(simulated.no_trade_share - exact) <= 4.5 * np.sqrt(exact * (1 - exact) / 40_000)
    assert simulated.no_price_share == 0  # there is a price, and the fee is paid


@pytest.mark.exhaustive
def test_the_same_key_gives_the_same_numbers_for_any_batch():
    for rule, batches in ((rule_of(THREE), (3, 5, 16)), (rule_of(DIFFERENT), (16,))):
        one = jm.simulate(rule, KEY, 30_001, batch=1)
        for batch in batches:
            assert not fields_that_differ(one, jm.simulate(rule, KEY, 30_001, batch=batch))


@pytest.mark.slow
def test_the_same_key_gives_the_same_numbers_for_any_batch_where_prices_are_searched():
    rule = rule_of(THREE)
    one, other = (jm.simulate(rule, KEY, 30_001, demand=rule.demand, batch=batch) for batch in (1, 16))
    assert not fields_that_differ(one, other)


def test_another_key_gives_other_numbers_and_the_old_kind_of_key_the_same():
    rule = rule_of(THREE)
    one, other = jm.simulate(rule, jax.random.key(1), 100), jm.simulate(rule, jax.random.key(2), 100)
    assert one.revenue != other.revenue and one.volume != other.volume
    assert not fields_that_differ(one, jm.simulate(rule, jax.random.PRNGKey(1), 100))


@pytest.mark.slow
def test_searched_prices_are_those_of_the_closed_form():
    rule = rule_of(DIFFERENT, 0.4, "paper")
    assert not fields_that_differ(jm.simulate(rule, KEY, 5000), jm.simulate(rule, KEY, 5000, demand=rule.demand), 1e-9)


def test_a_schedule_runs_in_another_market():
    other = jm.Market.of(jm.Traders(jm.Uniform(jnp.array([-1.3, 0.1]), 1.2), jnp.array([0.5, 0.8]), jnp.array([2, 1])))
    rule = rule_of(THREE)
    simulated, expected = jm.simulate(rule, KEY, 40_000, market=other), jm.robustness(rule, other)
    assert abs(simulated.revenue - expected.revenue) <= 4.5 * simulated.revenue_error
    assert abs(simulated.efficiency - expected.efficiency) <= 4.5 * simulated.efficiency_error


@pytest.mark.slow
def test_shading_one_s_offer_does_not_pay():
    rule = rule_of(THREE)
    truth = jm.simulate(rule, KEY, 20_000)

    def shaded(part, z, price):
        return -part * z - 0.5 * price

    for part in (0.3, 0.9):
        deviating = jm.simulate(rule, KEY, 20_000, demand=with_deviation(rule, 1, Partial(shaded, part)))
        assert deviating.no_price_share == 0
        assert deviating.utility_gain[1] < truth.utility_gain[1] - 4 * deviating.utility_gain_error[1]


def never_clearing(z, price):
    return jnp.ones_like(z) + 0 * price[..., None]


def flat_at_zero(z, price):
    excess = price[..., None] + 0 * z
    return jnp.where(jnp.abs(excess) < 1e-3, 0.0, -excess)


def crossing_twice(z, price):
    return (price[..., None] - 0.1) * (price[..., None] + 0.2) + 0 * z


def jumping_over_zero(z, price):
    return jnp.where(price[..., None] < 0.1234, 1.0, -2.0) + 0 * z


def inelastic(z, price):
    return z - jnp.mean(z, axis=-1, keepdims=True) + 0 * price[..., None]


@pytest.mark.slow
@pytest.mark.parametrize("demand", [never_clearing, flat_at_zero, crossing_twice, jumping_over_zero, inelastic])
def test_nobody_trades_or_pays_without_one_clearing_price(demand):
    simulated = jm.simulate(rule_of(THREE), KEY, 500, demand=demand, prices=(-1.0, 1.01))
    assert simulated.no_trade_share == simulated.no_price_share == 1
    assert simulated.volume == 0 and simulated.revenue == 0 and np.isnan(simulated.price)
    assert not np.any(simulated.payment) and not np.any(simulated.utility_gain)
    assert simulated.volume_counts.sum() == 500


@pytest.mark.slow
def test_a_root_is_found_to_rounding_wherever_it_lies():
    right = jnp.linspace(-0.99, 0.99, 41)

    def cubic(z, price):
        return -((price[..., None] - z) ** 3) - 1e-3 * (price[..., None] - z)

    for demand in (
        cubic,
        lambda z, price: -jnp.expm1(30 * (price[..., None] - z)),
        lambda z, price: z - price[..., None],
    ):
        price, clears = unique_price(demand, right[:, None], -1.0, 1.0)
        assert bool(jnp.all(clears))
        np.testing.assert_allclose(price, right, atol=1e-12)


@pytest.mark.slow
def test_tables_are_as_good_as_they_say():
    rule = rule_of(DIFFERENT, 0.5, "paper")
    quick, law = tabulated(rule), unfolded_market(DIFFERENT).endowment
    assert isinstance(quick, TabulatedSidePayments)
    z = law.lower + law.width * jax.random.uniform(KEY, (2000, 3), minval=-0.2, maxval=1.2)
    np.testing.assert_allclose(quick.offer(z), rule.offer(z), atol=2 * float(quick.offer_error) + 1e-15)
    beyond = 1.5 * rule.offer(z)
    np.testing.assert_allclose(quick.tax(beyond), rule.tax(beyond), atol=2 * float(quick.error) + 1e-14)
    assert quick.error < 1e-10 and quick.offer_error < 1e-8
    assert tabulated(rule, cells=1) is rule


@pytest.mark.slow
@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.5, 0.5), (300.0, 1.0), (0.1, 0.3)])
def test_quick_draws_of_beta_laws_are_the_quantiles(a, b):
    law = jm.Beta(*(jnp.array([value]) for value in (a, b, 0.0, 1.0)))
    quick, draws = quick_sampler(law), jax.random.uniform(KEY, (3000, 1))
    assert isinstance(quick, TabulatedBeta)
    z = quick.sample(KEY, (3000,))
    off = jnp.minimum(jnp.abs(law.cdf(z) - draws), jnp.abs(law.survival(z) - (1 - draws)))
    assert float(jnp.max(off)) < 1e-8


@pytest.mark.slow
@pytest.mark.parametrize(
    "law",
    [jm.Uniform(-1.0, 3.0)]
    + [
        jm.TruncatedNormal(0.0, 1.0, *ends)
        for ends in ((-1.0, 1.0), (9.0, 11.0), (-11.0, -9.0), (50.0, 60.0), (-3.0, 40.0))
    ]
    + [jm.TruncatedNormal(0.3, 1e6, -1.0, 1.0)],
)
def test_draws_by_formula_are_those_by_search(law):
    law = jax.tree.map(jnp.asarray, law)
    np.testing.assert_allclose(
        law.sample(KEY, (3000,)), Law.sample(law, KEY, (3000,)), rtol=0, atol=1e-12 * float(law.width)
    )


def test_quantiles_of_volume_follow_the_histogram():
    simulated = jm.simulate(rule_of(THREE), KEY, 20_000)
    low, middle, high = simulated.volume_quantile([0.05, 0.5, 0.95])
    assert 0 < low < middle < simulated.volume_edges[-1] and middle < high
    centres = 0.5 * (simulated.volume_edges[1:] + simulated.volume_edges[:-1])
    np.testing.assert_allclose(simulated.volume_counts @ centres / 20_000, simulated.volume, rtol=1e-2)


class WithoutProtocol:
    market = THREE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auctions": 0}, "auctions is 0"),
        ({"auctions": 10.5}, "auctions is 10.5"),
        ({"auctions": True}, "auctions is True"),
        ({"batch": 0}, "batch is 0"),
        ({"key": 3}, "key is 3"),
        ({"key": jax.random.split(KEY)}, "key is"),
        ({"rule": WithoutProtocol()}, "lacks demand, clearing_price, side_payment"),
        ({"rule": THREE}, "lacks market"),
        ({"market": 3}, "market is int"),
        ({"market": DIFFERENT.of(jm.Traders(jm.Uniform(0.0, 1.0), 1.0, 7))}, "7 traders, the rule 3"),
        ({"demand": 3}, "demand is int"),
        ({"demand": lambda z, price: price}, "demand returns shape"),
        ({"prices": (0.0, 1.0)}, "prices is for a demand"),
        ({"prices": (1.0, 0.0), "demand": never_clearing}, r"prices is \(1, 0\)"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change, message):
    given = {"rule": rule_of(THREE), "key": KEY} | change
    with pytest.raises(jm.MarketError, match=message):
        jm.simulate(**given)
