"""The double auction without side payments: its equilibrium, fees, outcomes and derivatives."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxmech as jm
from jaxmech.testing.random_markets import random_markets

FEES = ("by trader", "common", "none", 0.02)
LAWS = (
    stats.uniform(-1, 2.3),
    stats.uniform(0.2, 0.7),
    stats.truncnorm(-2.4, 1.6, 0.2, 0.5),
    stats.beta(2, 3, -1, 2.5),
)
COUNT = np.array([2, 1, 2, 1])
GROUP = np.repeat(np.arange(4), COUNT)
FIRST_OF_GROUP = (0, 2, 3, 5)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def mixed():
    """Six traders in four groups that differ in law, mean and risk capacity: LAWS as jaxmech has them."""
    uniform = jm.Traders(jm.Uniform([-1.0, 0.2], [1.3, 0.9]), [0.7, 2.0], [2, 1])
    normal = jm.Traders(jm.TruncatedNormal(0.2, 0.5, -1, 1), 0.4, 2)
    return jm.Market.of(uniform, normal, jm.Traders(jm.Beta(2, 3, -1, 1.5), 1.1))


def symmetric(traders):
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, traders))


def near_together():
    return jm.Market.of(jm.Traders(jm.Uniform([-1.0, -0.4, 0.1], [1.3, 0.9, 1.2]), [0.7, 1.1, 0.8], [1, 2, 3]))


def far_apart():
    """The first group surely buys, the last surely sells: their neutral types lie outside their supports."""
    return jm.Market.of(jm.Traders(jm.Uniform([0.0, 1.0, 6.0], [1.0, 5.0, 7.0]), [1.0, 1.2, 0.6], [1, 2, 1]))


def random_auctions_market(structure, batch, seed):
    """`random_markets` with one more trader in each group: three at least."""
    market = random_markets(structure, batch, seed)
    return replace(market, count=market.count + 1)


def lanes_in_front(tree):
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), tree)


allocation, clearing_price, demand = map(
    jax.jit, (jm.DoubleAuction.allocation, jm.DoubleAuction.clearing_price, jm.DoubleAuction.demand)
)


def near(value, exact, tolerance):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def auction():
    return jm.double_auction(mixed())


@pytest.fixture(scope="module")
def draws():
    """Endowments of everybody, drawn by scipy, shape (draws, traders)."""
    generator = np.random.default_rng(1)
    return np.column_stack([LAWS[group].rvs(100_000, random_state=generator) for group in GROUP])


# Slopes


@pytest.mark.parametrize(
    ("groups", "dtype", "tolerance"),
    [(1, np.float64, 1e-12), (3, np.float64, 1e-12), (1000, np.float64, 1e-12), (3, np.float32, 1e-5)],
)
def test_slopes_solve_the_best_reply_equation_over_six_decades_of_risk_capacity(groups, dtype, tolerance):
    """b (1/κ + 1/(B − b)) = 1."""
    generator = np.random.default_rng(groups)
    capacity = 10 ** generator.uniform(-3, 3, (groups, 200))
    count = generator.integers(1, 9, capacity.shape) + 2 * (groups == 1)
    law = jm.Uniform(jnp.full_like(capacity, -1, dtype), jnp.full_like(capacity, 1, dtype))
    found = jm.double_auction(jm.Market(law, jnp.asarray(capacity, dtype), jnp.asarray(count, dtype)), "none")
    assert found.slope.dtype == dtype
    slope, capacity = np.asarray(found.slope, float), np.asarray(capacity.astype(dtype), float)
    others = np.sum(count * slope, axis=0) - slope
    np.testing.assert_allclose(slope * (1 / capacity + 1 / others), 1, rtol=0, atol=tolerance)
    assert np.all(found.error <= 20 * np.finfo(dtype).eps)


def test_a_million_distinct_traders_are_one_market():
    generator = np.random.default_rng(5)
    capacity, lower = np.exp(generator.normal(size=1_000_000)), generator.uniform(-2, 0, 1_000_000)
    market = jm.Market(jm.Uniform(jnp.asarray(lower), jnp.ones(1_000_000)), jnp.asarray(capacity), jnp.ones(1_000_000))
    slope = np.asarray(jm.double_auction(market).slope)
    np.testing.assert_allclose(slope * (1 / capacity + 1 / (slope.sum() - slope)), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("traders", [3, 40])
def test_symmetric_traders_trade_all_but_a_traders_share_of_the_first_best(traders):
    """(N − 2)/(N − 1) of what takes everybody to the mean."""
    z = np.random.default_rng(2).uniform(-1, 1, (100, traders))
    first_best = z.mean(axis=1, keepdims=True) - z
    bought = allocation(jm.double_auction(symmetric(traders)), z)
    near(bought, (traders - 2) / (traders - 1) * first_best, 1e-14)


@pytest.mark.parametrize("traders", [3, 40])
def test_price_impact_of_symmetric_traders_is_that_of_all_but_two(traders):
    """1/(κ (N − 2))."""
    near(jm.double_auction(symmetric(traders)).price_impact, [1 / (0.5 * (traders - 2))], 1e-14)


@pytest.mark.parametrize("traders", [3, 40])
def test_fee_of_symmetric_traders_is_what_the_mean_type_gains(traders):
    """(N − 1)/(3N²) (2c − c²), c = (N − 2)/(N − 1)."""
    unloaded = (traders - 2) / (traders - 1)
    fee = (traders - 1) / (3 * traders**2) * (2 * unloaded - unloaded**2)
    near(jm.double_auction(symmetric(traders)).participation_fee, [fee], 1e-14)


def test_double_auction_of_example_1_earns_a_quarter():
    outcome = jm.outcomes(jm.double_auction(symmetric(5)))
    near([outcome.revenue, outcome.efficiency], [1 / 4, -5 / 12], 1e-14)


# The market clears


def test_purchases_sum_to_zero(auction, draws):
    near(np.sum(allocation(auction, draws), axis=-1), 0, 1e-14)


def test_demand_at_the_clearing_price_is_the_allocation(auction, draws):
    near(demand(auction, draws, clearing_price(auction, draws)), allocation(auction, draws), 1e-14)


# Nobody can do better


def after_trade(kappa, z, bought, price):
    return -((z + bought) ** 2) / (2 * kappa) - price * bought


def gain_from_other_quantities(auction, z):
    """Most that each trader gains ex post by another quantity on the others' residual demand, (draws, traders)."""
    slope, kappa = np.asarray(auction.slope)[GROUP], np.asarray(auction.market.risk_capacity)[GROUP]
    bought, steps, gain = np.asarray(allocation(auction, z)), np.linspace(-1, 1, 401), np.empty(z.shape)
    for trader in range(len(GROUP)):
        others = np.arange(len(GROUP)) != trader
        offered = np.sum((slope / kappa * z)[:, others], axis=1, keepdims=True)
        quantity = bought[:, [trader]] + steps
        price = (quantity - offered) / slope[others].sum()
        utility = after_trade(kappa[trader], z[:, [trader]], quantity, price)
        gain[:, trader] = utility.max(axis=1) - utility[:, 200]
    return gain


def test_nobody_gains_by_another_quantity_whatever_the_endowments(auction, draws):
    assert gain_from_other_quantities(auction, draws[:300]).max() <= 1e-14


@pytest.mark.parametrize("group", range(4))
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_spoiled_slope_leaves_something_to_gain(auction, draws, group, factor):
    spoiled = replace(auction, slope=auction.slope.at[group].multiply(factor))
    assert gain_from_other_quantities(spoiled, draws[:300])[:, group == GROUP].max() > 1e-3


@pytest.mark.parametrize("trader", FIRST_OF_GROUP)
@pytest.mark.parametrize(("steeper", "shifted"), [(0.95, 0), (1.05, 0), (1, -0.05), (1, 0.05), (1.05, 0.05)])
def test_another_demand_schedule_loses_expected_utility(auction, draws, trader, steeper, shifted):
    slope, kappa = np.asarray(auction.slope)[GROUP], np.asarray(auction.market.risk_capacity)[GROUP]
    others = np.arange(len(GROUP)) != trader
    offered = np.sum((slope / kappa * draws)[:1000, others], axis=1)

    def expected_utility(own, steeper, shifted):
        tilt, intercept = steeper * slope[trader], own / kappa[trader] + shifted
        price = -(tilt * intercept + offered) / (tilt + slope[others].sum())
        return np.mean(after_trade(kappa[trader], own, -tilt * (price + intercept), price))

    for own in LAWS[GROUP[trader]].ppf([0.05, 0.5, 0.95]):
        assert expected_utility(own, steeper, shifted) < expected_utility(own, 1, 0) - 1e-6


# Outcomes against simulation


def played(auction, z):
    """(payment, −holding cost after trade, gain over staying away) of every trader in every draw."""
    fee, kappa = np.asarray(auction.participation_fee)[GROUP], np.asarray(auction.market.risk_capacity)[GROUP]
    bought, price = np.asarray(allocation(auction, z)), np.asarray(clearing_price(auction, z))
    paid = price[:, None] * bought + fee
    held = -((z + bought) ** 2) / (2 * kappa)
    return paid, held, held + z**2 / (2 * kappa) - paid


def assert_mean(samples, exact):
    """The mean of the first axis lies within four standard errors."""
    error = samples.std(axis=0) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - exact) <= 4 * error + 1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("fee", FEES)
def test_outcomes_are_the_averages_of_play(draws, fee):
    auction = jm.double_auction(mixed(), fee)
    outcome = jm.outcomes(auction)
    paid, held, gain = (samples @ np.eye(4)[GROUP] for samples in played(auction, draws))
    assert_mean(paid, outcome.revenue_by_group)
    assert_mean(held, outcome.efficiency_by_group)
    assert_mean(gain, outcome.utility_gain_by_group)
    assert_mean(paid.sum(axis=1), outcome.revenue)
    assert_mean(held.sum(axis=1), outcome.efficiency)


def types(market, nodes):
    """Types of each group at nodes in [−1, 1] along its support, (nodes, groups)."""
    law = market.endowment
    return np.asarray(law.lower) + np.asarray(law.width) * (nodes[:, None] + 1) / 2


def test_functions_of_type_are_averages_over_the_others(auction, draws):
    own = types(auction.market, NODES)
    functions = (auction.interim_allocation, auction.utility_gain, auction.interim_transfer)
    expected = np.stack([f(jnp.asarray(own)) for f in functions])
    for group, trader in enumerate(FIRST_OF_GROUP):
        for place in (1, 25, 38):
            z = draws.copy()
            z[:, trader] = own[place, group]
            paid, _, gain = (values[:, trader] for values in played(auction, z))
            bought = np.asarray(allocation(auction, z))[:, trader]
            assert_mean(np.stack([bought, gain, paid], axis=1), expected[:, place, group])


@pytest.mark.parametrize("fee", FEES)
def test_transfers_integrate_to_revenue(fee):
    auction = jm.double_auction(mixed(), fee)
    z = types(auction.market, NODES)
    density = np.stack([LAWS[group].pdf(z[:, group]) for group in range(4)], axis=1)
    chance = 0.5 * np.asarray(auction.market.endowment.width) * WEIGHTS[:, None] * density
    by_group = COUNT * np.sum(chance * auction.interim_transfer(jnp.asarray(z)), axis=0)
    near(by_group, jm.outcomes(auction).revenue_by_group, 1e-13)


# Fees


@pytest.mark.parametrize("fee", FEES)
def test_revenue_is_the_fees(fee):
    auction = jm.double_auction(mixed(), fee)
    near(jm.outcomes(auction).revenue, np.dot(COUNT, auction.participation_fee), 1e-14)


def test_without_fees_nobody_pays_one():
    assert not np.any(jm.double_auction(mixed(), "none").participation_fee)


def test_the_common_fee_is_the_least_of_the_largest(auction):
    common = jm.double_auction(mixed(), "common").participation_fee
    np.testing.assert_array_equal(common, np.full(4, np.min(auction.participation_fee)))


@pytest.mark.parametrize(
    ("market", "side"), [(near_together, [0, 0, 0]), (far_apart, [1, 0, -1])], ids=["inside", "outside"]
)
def test_with_the_largest_fees_the_worst_type_of_each_group_gains_nothing(market, side):
    """The type nearest to the neutral one, which may lie above (1) or below (−1) the support."""
    auction = jm.double_auction(market())
    law, neutral = auction.market.endowment, auction.neutral_type
    assert np.array_equal((neutral > law.upper) * 1 - (neutral < law.lower) * 1, side)
    grid = np.vstack([np.linspace(law.lower, law.upper, 2000), np.clip(neutral, law.lower, law.upper)])
    near(np.min(auction.utility_gain(jnp.asarray(grid)), axis=0), 0, 1e-15)


def test_the_neutral_type_expects_no_trade():
    auction = jm.double_auction(near_together())
    near(auction.interim_allocation(auction.neutral_type), 0, 1e-15)


# What has no equilibrium, and what is refused


def test_two_traders_have_no_linear_equilibrium():
    with pytest.raises(jm.MarketError, match="with two traders the double auction has no linear equilibrium"):
        jm.double_auction(symmetric(2))


@pytest.mark.parametrize("mapped", [False, True], ids=["jit", "vmap"])
def test_two_traders_spoil_only_their_own_lane(mapped):
    market = random_auctions_market((2, 0, 0), 200, seed=6)
    spoiled = replace(market, count=market.count.at[:, 3].set(1.0))
    if mapped:
        market, spoiled = lanes_in_front(market), lanes_in_front(spoiled)
    solve = jax.jit(jax.vmap(jm.double_auction) if mapped else jm.double_auction)
    good, bad = solve(market), solve(spoiled)
    if not mapped:
        good, bad = lanes_in_front(good), lanes_in_front(bad)
    assert np.isnan(bad.slope[3]).all() and np.isinf(bad.error[3])
    for one, other in zip(jax.tree.leaves(good), jax.tree.leaves(bad), strict=True):
        np.testing.assert_array_equal(np.delete(one, 3, axis=0), np.delete(other, 3, axis=0))


def test_an_unknown_fee_is_refused():
    with pytest.raises(jm.MarketError, match="fee is 'flat'; choose 'by trader', 'common', 'none' or an amount"):
        jm.double_auction(mixed(), "flat")


def test_only_a_market_has_a_double_auction():
    with pytest.raises(jm.MarketError, match="market is int"):
        jm.double_auction(5)


def test_an_allocation_needs_one_column_a_trader(auction):
    with pytest.raises(ValueError, match="z has 4 columns, but the market has 6 traders, one column each"):
        auction.allocation(jnp.zeros((5, 4)))


# Batches, derivatives, precision


def test_trailing_batch_vmap_and_one_by_one_agree():
    market = random_auctions_market((2, 0, 0), 200, seed=7)

    @jax.jit
    def achieved(market):
        auction = jm.double_auction(market)
        return auction, jm.outcomes(auction)

    trailing, mapped = lanes_in_front(achieved(market)), jax.vmap(achieved)(lanes_in_front(market))
    lanes = [achieved(jax.tree.map(lambda leaf, lane=lane: leaf[..., lane], market)) for lane in range(9)]
    single = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    for one, other, third in zip(*map(jax.tree.leaves, (trailing, mapped, single)), strict=True):
        near(other, one, 1e-13)
        near(third, one[:9], 1e-13)


@jax.jit
@jax.vmap
def revenue_and_efficiency(parameters):
    """Of κ, count, lower and upper ends of three groups, shape (4, 3)."""
    capacity, count, lower, upper = parameters
    outcome = jm.outcomes(jm.double_auction(jm.Market(jm.Uniform(lower, upper), capacity, count)))
    return jnp.stack([outcome.revenue, outcome.efficiency])


def points_and_directions():
    """Two markets, neutral types inside and outside the supports, and two directions for each; shapes (2, 4, 3)."""
    markets = near_together(), far_apart()
    leaves = [(m.risk_capacity, m.count, m.endowment.lower, m.endowment.upper) for m in markets]
    directions = np.random.default_rng(10).uniform(-1, 1, (2, 2, 4, 3))
    return jnp.asarray(leaves), *map(jnp.asarray, directions)


def slope(at, direction):
    return jax.jvp(revenue_and_efficiency, (at,), (direction,))[1]


def along(function, at, direction, step=1e-3):
    """Derivative by central differences of sixth order."""
    moved = [function(at + k * step * direction) - function(at - k * step * direction) for k in (1, 2, 3)]
    return (45 * moved[0] - 9 * moved[1] + moved[2]) / (60 * step)


def test_derivatives_in_every_parameter_match_central_differences():
    at, first, second = points_and_directions()
    for direction in (first, second):
        near(along(revenue_and_efficiency, at, direction), slope(at, direction), 1e-9)


def test_forward_and_backward_derivatives_agree():
    at, direction, _ = points_and_directions()
    _, pull = jax.vjp(revenue_and_efficiency, at)
    backward = [jnp.sum(pull(jnp.zeros((2, 2)).at[:, k].set(1.0))[0] * direction, axis=(1, 2)) for k in range(2)]
    near(jnp.stack(backward, axis=1), slope(at, direction), 1e-12)


def test_second_derivatives_are_symmetric_and_match_central_differences():
    at, first, second = points_and_directions()

    @jax.jit
    def curvature(first, second):
        return jax.jvp(lambda at: slope(at, first), (at,), (second,))[1]

    exact = curvature(first, second)
    near(curvature(second, first), exact, 1e-12)
    near(along(lambda at: slope(at, first), at, second), exact, 1e-8)


def test_float32_agrees_with_float64_to_its_own_tolerance():
    market = random_auctions_market((2, 0, 0), 200, seed=8)
    exact, rough = (
        jm.outcomes(jm.double_auction(jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), market)))
        for dtype in (jnp.float64, jnp.float32)
    )
    assert rough.revenue.dtype == jnp.float32
    for name in ("revenue", "efficiency"):
        scale = np.abs(exact.efficiency) + exact.first_best_surplus
        near(np.asarray(getattr(rough, name), float) / scale, getattr(exact, name) / scale, 1e-5)


# Against the optimum


@pytest.mark.slow
@pytest.mark.parametrize("structure", [(2, 0, 0), (1, 1, 0)], ids=str)
def test_the_double_auction_never_lies_above_the_frontier(structure):
    market = random_auctions_market(structure, 200, seed=9)
    auction = jm.outcomes(jm.double_auction(market))
    for weight in (0.0, 0.2, 0.5, 1.0):
        best = jm.outcomes(jm.solve_at_weight(market, weight))
        excess = weight * (auction.revenue - best.revenue) + (1 - weight) * (auction.efficiency - best.efficiency)
        assert np.max(excess / auction.first_best_surplus) <= 1e-12
