"""Simple schedules: equilibrium, money, participation, derivatives, and what three numbers a group can reach."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxmech as jm
from jaxmech.auctions.schedule_search import KINDS
from jaxmech.testing.random_markets import random_markets

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
OTHER_KINDS = tuple(KINDS)[1:]
FUNCTIONS_OF_TYPE = ("virtual_type", "interim_allocation", "utility_gain", "interim_transfer")
# Five traders in two groups; the same laws for scipy.
COUNT = np.array([2, 3])
GROUP = np.repeat(np.arange(2), COUNT)
LAWS = stats.uniform(-0.8, 2.0), stats.beta(2, 3, -1, 2.5)
# Spreads, slopes: charging and rebating size, and one without any spread.
NUMBERS = (([0.5, 0.3], [0.2, 0.35]), ([0.7, 0.1], [-0.8, 0.5]), ([0.0, 0.9], [-0.3, -2.0]))


def five_traders(count=COUNT, shift=0.0):
    return jm.Market.of(
        jm.Traders(jm.Uniform(-0.8 + shift, 1.2 + shift), 0.7, count[0]),
        jm.Traders(jm.Beta(2, 3, -1, 1.5), 0.4, count[1]),
    )


def two_uniform_groups():
    return jm.Market.of(jm.Traders(jm.Uniform([-0.8, -1.0], [1.2, 0.6]), [0.7, 0.4], [2, 3]))


def near_together():
    return jm.Market.of(jm.Traders(jm.Uniform([-1.0, -0.5, -0.2], [1.3, 0.9, 1.2]), [0.7, 1.4, 0.5], [2, 1, 2]))


def very_unequal():
    return jm.Market.of(jm.Traders(jm.Uniform([-1.0, -2.0, 0.0], [1.0, 3.0, 0.5]), [0.2, 3.0, 0.3], [4, 1, 3]))


def example_1():
    return jm.Market.of(jm.Traders(jm.Uniform([-1.0] * 3, [1.0] * 3), 0.5, [1, 2, 2]))


def far_apart():
    """The first group surely buys, the last surely sells: no Condition 1."""
    return jm.Market.of(jm.Traders(jm.Uniform([0.0, 1.0, 6.0], [1.0, 5.0, 7.0]), [1.0, 1.2, 0.6], [1, 2, 1]))


def near(value, exact, tolerance):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def types(market, places):
    """Types of each group at places in [0, 1] along its support, (places, groups)."""
    law = market.endowment
    return law.lower + law.width * jnp.asarray(places)[:, None]


def by_type(schedule, z):
    return np.stack([getattr(schedule, name)(z) for name in FUNCTIONS_OF_TYPE])


def lane(markets, place):
    return jax.tree.map(lambda leaf: leaf[..., place], markets)


def rule_of_uniform_endowments(market, weight):
    return jm.SimpleSchedule.of(market, weight / (1 + weight) * market.endowment.width, weight / (1 + weight))


# Uniform endowments lose nothing


@pytest.mark.slow
@pytest.mark.parametrize("market", [near_together(), very_unequal(), example_1(), far_apart()])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_three_numbers_are_the_optimal_rule_of_uniform_endowments(market, weight):
    full, simple = jm.solve_at_weight(market, weight), rule_of_uniform_endowments(market, weight)
    for ours, exact in zip(jm.outcomes(simple), jm.outcomes(full), strict=True):
        near(ours, exact, 1e-12)
    z = types(market, np.linspace(0, 1, 41))
    near(by_type(simple, z), by_type(full, z), 1e-12)


@pytest.mark.slow
def test_and_its_side_payments_are_theorem_2s():
    market = near_together()
    simple, full = (
        rule_of_uniform_endowments(market, 0.6),
        jm.side_payments(jm.solve_at_weight(market, 0.6)),
    )
    group = np.repeat(np.arange(3), [2, 1, 2])
    z = types(market, np.random.default_rng(0).uniform(0, 1, 50))[:, group]
    price = full.clearing_price(z)
    quantity = full.demand(z, price)
    near(simple.clearing_price(z), price, 1e-13)
    near(simple.demand(z, price), quantity, 1e-13)
    near(simple.side_payment(price, quantity), full.side_payment(price, quantity), 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("market", [near_together(), very_unequal(), example_1()])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_search_finds_the_optimal_rule_of_uniform_endowments(market, alpha):
    full, simple = jm.solve(market, alpha), jm.simple_schedule(market, alpha)
    exact, ours = jm.outcomes(full), jm.outcomes(simple)
    surplus = exact.first_best_surplus
    near((ours.revenue - exact.revenue) / surplus, 0, 1e-9)
    near((ours.efficiency - exact.efficiency) / surplus, 0, 1e-9)
    weight = full.weight
    near(simple.weight, weight, 1e-7)
    near(objective(ours, weight) / surplus, objective(exact, weight) / surplus, 1e-10 if alpha else 1e-9)
    near(simple.spread / market.endowment.width, weight / (1 + weight), 1e-5)
    near(simple.slope, weight / (1 + weight), 1e-5)


def objective(outcome, weight):
    return weight * outcome.revenue + (1 - weight) * outcome.efficiency


# Nobody can do better


def gains_from_other_quantities(schedule, z):
    """What each trader gains ex post from each other quantity, the others' demands given: (steps, draws, traders)."""
    market = schedule.market
    kappa = np.asarray(market.risk_capacity)[GROUP]
    others = kappa.sum() - kappa
    offered = -np.asarray(schedule.demand(z, jnp.zeros(z.shape[0])))  # V(z)
    residual = offered.sum(axis=1, keepdims=True) - offered
    bought = np.asarray(schedule.allocation(z))
    steps = np.concatenate([[0], np.linspace(-3, 3, 240)])  # 0 itself is not among the others
    quantity = bought + steps[:, None, None]
    price = (quantity - residual) / others  # each trader's own: the one at which the others sell him his quantity
    side = [own_side_payment(schedule, price[..., trader], quantity, trader) for trader in range(len(GROUP))]
    utility = -((z + quantity) ** 2) / (2 * kappa) - price * quantity - np.stack(side, axis=-1)
    return utility[1:] - utility[0]


def own_side_payment(schedule, price, quantity, trader):
    return np.asarray(schedule.side_payment(jnp.asarray(price), jnp.asarray(quantity)))[..., trader]


@pytest.mark.parametrize(("spread", "slope"), NUMBERS)
def test_nobody_gains_by_another_quantity_whatever_the_endowments(spread, slope):
    schedule = jm.SimpleSchedule.of(five_traders(), jnp.array(spread), jnp.array(slope))
    z = np.random.default_rng(0).uniform(-1.5, 1.7, (40, 5))  # beyond the supports too
    gains = gains_from_other_quantities(schedule, z)
    assert gains.max() <= 1e-12
    assert gains[[0, -1]].max() < -0.1


def test_a_spoiled_schedule_leaves_something_to_gain():
    schedule = jm.SimpleSchedule.of(five_traders(), jnp.array([0.5, 0.3]), jnp.array([0.2, 0.35]))
    spoiled = replace(schedule, slope=schedule.slope.at[0].set(0.25))
    z = np.random.default_rng(0).uniform(-0.8, 1.2, (40, 5))
    played = replace(spoiled, slope=schedule.slope)
    object.__setattr__(played, "side_payment", spoiled.side_payment)
    assert gains_from_other_quantities(played, z)[..., GROUP == 0].max() > 1e-4


@pytest.mark.parametrize(("spread", "slope"), NUMBERS)
def test_the_market_clears(spread, slope):
    schedule = jm.SimpleSchedule.of(five_traders(), jnp.array(spread), jnp.array(slope))
    z = jnp.asarray(np.random.default_rng(1).uniform(-1.5, 1.7, (40, 5)))
    bought = schedule.allocation(z)
    near(jnp.sum(bought, axis=-1), 0, 1e-14)
    near(schedule.demand(z, schedule.clearing_price(z)), bought, 1e-14)


# Money


def played(schedule, z):
    """(payment, −holding cost after trade, gain over staying away) of every trader in every draw."""
    group = schedule.market.trader_groups(z.shape[1])
    kappa = np.asarray(schedule.market.risk_capacity)[group]
    bought, price = np.asarray(schedule.allocation(z)), np.asarray(schedule.clearing_price(z))
    paid = price[:, None] * bought + np.asarray(schedule.side_payment(price, bought))
    held = -((z + bought) ** 2) / (2 * kappa)
    return paid, held, held + z**2 / (2 * kappa) - paid


def assert_mean(samples, exact):
    """The mean of the first axis lies within four standard errors."""
    error = samples.std(axis=0) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - exact) <= 4 * error + 1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("fee", ["by trader", "common", "none", 0.02])
def test_outcomes_are_the_averages_of_play(fee):
    generator = np.random.default_rng(2)
    z = np.column_stack([LAWS[group].rvs(100_000, random_state=generator) for group in GROUP])
    for spread, slope in NUMBERS:
        schedule = jm.SimpleSchedule.of(five_traders(), jnp.array(spread), jnp.array(slope), fee)
        outcome = jm.outcomes(schedule)
        paid, held, gain = (samples @ np.eye(2)[GROUP] for samples in played(schedule, z))
        assert_mean(paid, outcome.revenue_by_group)
        assert_mean(held, outcome.efficiency_by_group)
        assert_mean(gain, outcome.utility_gain_by_group)
        assert_mean(paid.sum(axis=1), outcome.revenue)


def quadrature(schedule, group, law):
    """Nodes and weights of one trader's law, pieces split at the kinks of V."""
    low, high = np.asarray(schedule.binding_interval)[group]
    start, end = law.support()
    pieces = [(a, b) for a, b in ((start, low), (low, high), (high, end)) if b > a]
    z = np.concatenate([a + (b - a) * (NODES + 1) / 2 for a, b in pieces])
    return z, np.concatenate([(b - a) / 2 * WEIGHTS for a, b in pieces]) * law.pdf(z)


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "slope"), NUMBERS)
@pytest.mark.parametrize("shift", [0.0, 2.5])
def test_two_traders_expect_what_the_closed_forms_say(spread, slope, shift):
    """By quadrature over both; with the shift one surely buys and the other surely sells."""
    schedule = jm.SimpleSchedule.of(five_traders((1, 1), shift), jnp.array(spread), jnp.array(slope))
    laws = stats.uniform(-0.8 + shift, 2.0), LAWS[1]
    (first, chance), (second, other_chance) = (quadrature(schedule, g, law) for g, law in enumerate(laws))
    z = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1)
    paid, held, gain = (part.reshape(z.shape) for part in played(schedule, z.reshape(-1, 2)))
    outcome = jm.outcomes(schedule)
    near(np.einsum("i,j,ijt->t", chance, other_chance, paid), outcome.revenue_by_group, 1e-12)
    near(np.einsum("i,j,ijt->t", chance, other_chance, held), outcome.efficiency_by_group, 1e-12)
    near(np.einsum("i,j,ijt->t", chance, other_chance, gain), outcome.utility_gain_by_group, 1e-12)
    for function, of_both in ((schedule.utility_gain, gain), (schedule.interim_transfer, paid)):
        near(of_both[..., 0] @ other_chance, function(jnp.stack([first, first], axis=1))[:, 0], 1e-12)
        near(chance @ of_both[..., 1], function(jnp.stack([second, second], axis=1))[:, 1], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("market", [five_traders(), far_apart()])
def test_largest_fee_leaves_the_worst_type_nothing(market):
    schedule = jm.SimpleSchedule.of(market, 0.3, 0.25)
    worst = jnp.clip(schedule.eta, *schedule.binding_interval.T)
    everybody = jnp.concatenate([types(market, np.linspace(0, 1, 1001)), schedule.binding_interval.T, worst[None]])
    near(jnp.min(schedule.utility_gain(everybody), axis=0), 0, 1e-13)
    assert np.all(jm.outcomes(schedule).utility_gain_by_group > 0)
    near(jm.SimpleSchedule.of(market, 0.3, 0.25, "none").largest_fee, schedule.participation_fee, 1e-13)


# What the search reaches


SEARCHED = tuple(range(3))
MARKETS = random_markets((0, 0, 2), len(SEARCHED), 3)


@pytest.fixture(scope="module")
def searched():
    """Outcomes in units of the first-best surplus, and schedules, by (market, α, kind)."""
    found = {}
    for place in SEARCHED:
        market = lane(MARKETS, place)
        for alpha in (0.0, 0.5, 1.0):
            for kind in KINDS:
                schedule = jm.simple_schedule(market, alpha, kind)
                found[place, alpha, kind] = schedule, jm.outcomes(schedule)
            mechanism = jm.solve(market, alpha)
            found[place, alpha, "full"] = mechanism, jm.outcomes(mechanism)
    return found


@pytest.mark.slow
def test_revenue_covers_costs_and_every_search_ends_well(searched):
    for (place, alpha, kind), (design, outcome) in searched.items():
        case = place, alpha, kind
        assert design.error <= 1e-10, case
        assert outcome.revenue >= -1e-12 * outcome.first_best_surplus, case
        assert design.weight >= alpha, case


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_more_numbers_never_do_worse_and_the_optimum_best(searched, alpha):
    for place in SEARCHED:
        full, best = searched[place, alpha, "full"][1], searched[place, alpha, "by group"][1]
        tolerance = 1e-8 * full.first_best_surplus
        assert objective(full, alpha) >= objective(best, alpha) - tolerance
        for kind in OTHER_KINDS:
            assert objective(best, alpha) >= objective(searched[place, alpha, kind][1], alpha) - tolerance


def test_kinds_are_what_they_say(searched):
    for (_, _, kind), (design, _) in searched.items():
        if kind == "common":
            for values in (design.spread_in_money, design.slope_in_money, design.participation_fee):
                near(values[0], values[1], 1e-12)
            near(design.participation_fee[0], jnp.min(design.largest_fee), 1e-13)
        if kind == "no rebate":
            assert np.all(design.size_charge >= -1e-13 / design.market.risk_capacity)
        if kind == "no access fee":
            assert np.all(design.participation_fee == 0)
        if kind in ("by group", "no rebate"):
            near(design.participation_fee, design.largest_fee, 1e-13)


@jax.jit
def perturbed_objectives(schedule, spreads, slopes, charged):
    def at(spread, slope):
        other = jm.SimpleSchedule.of(schedule.market, spread, slope)
        kept = other.participation_fee * charged
        return objective(jm.outcomes(replace(other, participation_fee=kept)), schedule.weight)

    return jax.vmap(at)(spreads, slopes)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "common"])
@pytest.mark.parametrize("size", [1e-3, 0.3])
def test_other_numbers_do_worse(searched, kind, size):
    generator = np.random.default_rng(4)
    for place in SEARCHED:
        schedule, outcome = searched[place, 0.5, kind]
        share = schedule.share
        most = -share / (1 - share) ** 2 if kind == "no rebate" else 0.99
        spreads = schedule.spread * np.exp(size * generator.normal(size=(100, 2)))
        slopes = jnp.minimum(1 - (1 - schedule.slope) * np.exp(size * generator.normal(size=(100, 2))), most)
        values = perturbed_objectives(schedule, spreads, slopes, kind != "no access fee")
        best = objective(outcome, schedule.weight)
        assert np.max(values) <= best + 1e-11 * outcome.first_best_surplus
        assert np.min(values) < best - 1e-9 * outcome.first_best_surplus


@pytest.mark.slow
def test_below_its_own_budget_weight_alpha_does_not_matter(searched):
    binding = [key for key, (design, _) in searched.items() if key[2] != "full" and design.weight > key[1]]
    assert binding
    for place, alpha, kind in binding[:4]:
        schedule = searched[place, alpha, kind][0]
        again = jm.simple_schedule(lane(MARKETS, place), alpha + 0.5 * (schedule.weight - alpha), kind)
        near(again.weight, schedule.weight, 1e-6)


# Derivatives and batches


@jax.jit
def both(numbers, market):
    outcome = jm.outcomes(jm.SimpleSchedule.of(market, *numbers))
    return jnp.stack([outcome.revenue, outcome.efficiency])


def assert_slope(function, derivative, at, direction, tolerance=1e-8):
    """A derivative against central differences."""
    step = 1e-5
    tree = jax.tree.map
    ahead = function(tree(lambda x, d: x + step * d, at, direction))
    behind = function(tree(lambda x, d: x - step * d, at, direction))
    parts = tree(lambda j, d: jnp.tensordot(j, d, jnp.ndim(d)), derivative(at), direction)
    near(sum(jax.tree.leaves(parts)), (ahead - behind) / (2 * step), tolerance)


@pytest.mark.slow
def test_outcomes_have_exact_slopes_in_the_numbers_to_second_order():
    market = two_uniform_groups()
    once = jax.jit(jax.jacfwd(lambda numbers: both(numbers, market)))
    twice = jax.jit(jax.jacfwd(once))
    for numbers in NUMBERS[:2]:
        direction = jnp.asarray(np.random.default_rng(5).normal(size=(2, 2)))
        assert_slope(lambda numbers: both(numbers, market), once, jnp.array(numbers), direction)
        assert_slope(once, twice, jnp.array(numbers), direction, 1e-7)


@pytest.mark.slow
def test_outcomes_have_exact_slopes_in_numbers_and_market_in_reverse_mode():
    at = jnp.array(NUMBERS[0]), two_uniform_groups()
    generator = np.random.default_rng(6)
    direction = jax.tree.map(lambda leaf: jnp.asarray(generator.normal(size=leaf.shape)), at)
    assert_slope(lambda at: both(*at), jax.jacrev(lambda at: both(*at)), at, direction)


@pytest.mark.slow
def test_trailing_batches_and_vmap_agree():
    generator, markets = np.random.default_rng(7), random_markets((2, 0, 0), 6, 7)
    spread = markets.endowment.width * generator.uniform(0, 0.6, (2, 6))
    slope = jnp.asarray(generator.uniform(-1, 0.6, (2, 6)))
    trailing = jm.outcomes(jm.SimpleSchedule.of(markets, spread, slope))
    in_front = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), (markets, spread, slope))
    mapped = jax.vmap(lambda *inputs: jm.outcomes(jm.SimpleSchedule.of(*inputs)))(*in_front)
    for one, other in zip(trailing, mapped, strict=True):
        near(jnp.moveaxis(one, -1, 0), other, 1e-11)


def test_the_system_is_solved_whatever_the_numbers():
    """Spreads up to the width of the support, slopes from steep rebates to steep charges."""
    markets = random_markets((4, 0, 1), 300, 8)
    generator = np.random.default_rng(8)
    spread = markets.endowment.width * generator.uniform(0, 1, (5, 300)) ** 2
    schedule = jm.SimpleSchedule.of(markets, spread, jnp.asarray(generator.uniform(-3, 0.9, (5, 300))))
    assert np.max(schedule.error) <= 1e-12
    bought = jnp.sum(markets.count * jax.jit(jm.SimpleSchedule.interim)(schedule).allocation_mean, axis=0)
    near(bought / jnp.max(jnp.abs(schedule.eta), axis=0), 0, 1e-11)


# Arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda market: jm.simple_schedule(market, 1.0, "by size"), "kind is 'by size'"),
        (lambda market: jm.simple_schedule(market, 1.5), "alpha is 1.5"),
        (lambda market: jm.simple_schedule(market, [0.5, 1.0]), "alpha is .*vmap"),
        (lambda market: jm.simple_schedule(0.5, 1.0), "market is float"),
        (lambda market: jm.simple_schedule(MARKETS, 1.0), "market is a batch"),
        (lambda market: jm.SimpleSchedule.of(market, -0.1, 0.2), "spread is -0.1"),
        (lambda market: jm.SimpleSchedule.of(market, 0.1, 1.0), "slope is 1;"),
        (lambda market: jm.SimpleSchedule.of(market, 0.1, np.nan), "slope is nan"),
        (lambda market: jm.SimpleSchedule.of(market, "wide", 0.2), "spread is 'wide'"),
        (lambda market: jm.SimpleSchedule.of(market, 0.1, 0.2, "dear"), "fee is 'dear'"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(jm.MarketError, match=message):
        call(five_traders())
