"""Example 1, for any number of traders, risk capacity, half-width, mean and weight, and what the text says of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import OutsideOption

example_1 = jax.jit(jm.example_1)  # a formula of many small steps: compiled as one

WEIGHTS = np.linspace(0, 1, 21)
# (N, h, κ, μ): the paper's first; each N that Example 1 plots, and scales far from 1.
CASES = [(5, 1.0, 0.5, 0.0), (2, 1.0, 0.5, 0.0), (3, 0.3, 2.0, 0.7), (40, 7.0, 0.01, -3.0), (100, 1.0, 0.5, 50.0)]


def symmetric(traders, half_width=1.0, risk_capacity=0.5, mean=0.0):
    return jm.Market.of(jm.Traders(jm.Uniform(mean - half_width, mean + half_width), risk_capacity, traders))


def in_lanes(market, lanes):
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, lanes)), market)


def near(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


# The closed forms are the solver's answers


@pytest.mark.parametrize(("traders", "half_width", "risk_capacity", "mean"), CASES)
def test_closed_forms_are_what_the_solver_finds(traders, half_width, risk_capacity, mean):
    market = in_lanes(symmetric(traders, half_width, risk_capacity, mean), len(WEIGHTS))
    mechanism = jm.solve_at_weight(market, WEIGHTS)
    solved, exact = jm.outcomes(mechanism), example_1(traders, WEIGHTS, half_width, risk_capacity, mean)
    unit, size = traders * half_width**2 / risk_capacity, traders * (half_width**2 + mean**2) / risk_capacity
    near((mechanism.binding_interval[0] - mean).T / half_width, (exact.binding_interval - mean) / half_width, 1e-11)
    near(solved.revenue / unit, exact.revenue / unit, 1e-12 * size / unit)
    near(solved.efficiency / size, exact.efficiency / size)
    near(solved.no_trade_probability, exact.no_trade_probability, 1e-12 * traders)
    near(jm.outcomes(jm.first_best(market)).efficiency / size, exact.first_best_efficiency / size)


@pytest.mark.parametrize(("traders", "half_width", "risk_capacity", "mean"), [case for case in CASES if case[0] > 2])
def test_closed_forms_of_the_double_auction_are_its_outcomes(traders, half_width, risk_capacity, mean):
    market = in_lanes(symmetric(traders, half_width, risk_capacity, mean), len(WEIGHTS))
    found, exact = (
        jm.outcomes(jm.double_auction(market)),
        example_1(traders, WEIGHTS, half_width, risk_capacity, mean),
    )
    unit, size = traders * half_width**2 / risk_capacity, traders * (half_width**2 + mean**2) / risk_capacity
    near(found.revenue / unit, exact.double_auction_revenue / unit, 1e-12 * size / unit)
    near(found.efficiency / size, exact.double_auction_efficiency / size)


def test_two_traders_have_no_double_auction():
    exact = example_1(2, 0.5)
    assert np.all(np.isnan([value for name, value in exact._asdict().items() if "double_auction" in name]))


# What the text says


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_interval_has_its_lower_end_below(alpha):
    """[a, b] = [−α/(1 + α), α/(1 + α)]: the paper swaps the labels (erratum E4)."""
    near(example_1(5, alpha).binding_interval, [-alpha / (1 + alpha), alpha / (1 + alpha)], 1e-15)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_participation_multiplier_rises_along_a_line(alpha):
    """Ω = (1 + α)/2 · z + α/2 on [a, b]."""
    mechanism = jm.solve(symmetric(5), alpha)
    edge = alpha / (1 + alpha)
    z = jnp.linspace(-edge, edge, 7)[:, None]
    near(mechanism.participation_multiplier(z), (1 + alpha) / 2 * z + alpha / 2)


@pytest.mark.parametrize("traders", [2, 5, 40])
def test_the_revenue_optimum_trades_nothing_with_probability_two_to_the_minus_n(traders):
    near(jm.outcomes(jm.solve(symmetric(traders), 1.0)).no_trade_probability * 2.0**traders, 1)


def test_the_first_best_trades_almost_surely_and_breaks_even():
    outcome = jm.outcomes(jm.solve(symmetric(5), 0.0))
    near([outcome.no_trade_probability, outcome.revenue, outcome.efficiency], [0, 0, -1 / 3], 1e-14)


def test_no_trade_gets_rarer_with_more_traders_and_with_more_weight_on_efficiency():
    probability = example_1(np.arange(2, 201)[:, None], WEIGHTS[1:]).no_trade_probability
    assert np.all(np.diff(probability, axis=0) < 0)
    assert np.all(np.diff(probability, axis=1) > 0)


def test_the_double_auction_lies_inside_the_frontier_by_half_the_revenue_exactly():
    """The text's "roughly twice": 2, for every N, of the mechanism that is as efficient."""
    traders = np.arange(3, 201)
    auction = example_1(traders, 1.0)
    frontier = example_1(traders, auction.double_auction_weight)
    near(frontier.efficiency, auction.double_auction_efficiency)
    near(frontier.revenue / auction.double_auction_revenue, 2, 1e-13)
    near(auction.revenue_at_double_auction_efficiency / auction.double_auction_revenue, 2, 1e-14)


def test_five_traders_earn_a_quarter_in_the_double_auction_and_a_half_on_the_frontier():
    auction, frontier = example_1(5, 1.0), jm.outcomes(jm.solve_at_weight(symmetric(5), 1 / 3))
    near([auction.double_auction_revenue, auction.double_auction_efficiency], [1 / 4, -5 / 12], 1e-15)
    near([frontier.revenue, frontier.efficiency], [1 / 2, -5 / 12])


LIMITS = {
    "revenue of a trader": (lambda n, found: found.revenue / n, 1 / 6),
    "holding cost of a trader": (lambda n, found: -found.efficiency / n, 1 / 12),
    "revenue of the double auction": (lambda n, found: found.double_auction_revenue, 1 / 3),
    "its revenue of a trader": (lambda n, found: found.double_auction_revenue / n, 0),
    "its holding cost of a trader": (lambda n, found: -found.double_auction_efficiency / n, 0),
    "first best's holding cost of a trader": (lambda n, found: -found.first_best_efficiency / n, 0),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_in_the_number_of_traders_are_approached_from_one_side(name):
    """From N = 4 on: three and four traders pay the double auction 1/18 each."""
    value, limit = LIMITS[name]
    traders = np.unique(np.rint(np.geomspace(4, 1e6, 200)))
    distance = np.abs(value(traders, example_1(traders, 1.0)) - limit)
    assert np.all(np.diff(distance) < 0)
    assert 0 < distance[-1] < 1e-5


# With a market outside (beyond §13)

OUTSIDE = [(5, 0.3, 0.01), (5, 0.6, 0.0), (2, 0.4, 0.0), (40, 0.9, 1e-3), (3, 0.6, 0.2)]


@pytest.mark.parametrize(("traders", "gamma", "reserve"), OUTSIDE)
@pytest.mark.parametrize(("half_width", "risk_capacity", "mean"), [case[1:] for case in CASES[:4:2]])
def test_closed_forms_with_a_market_outside_are_what_the_solver_finds(
    traders, gamma, reserve, half_width, risk_capacity, mean
):
    law = jm.Uniform(mean - half_width, mean + half_width)
    outside = OutsideOption(gamma, mean, reserve)
    market = in_lanes(jm.Market.of(jm.Traders(law, risk_capacity, traders, outside=outside)), len(WEIGHTS))
    mechanism = jm.solve(market, WEIGHTS, -np.inf)
    solved = jm.outcomes(mechanism)
    exact = example_1(traders, WEIGHTS, half_width, risk_capacity, mean, gamma, reserve)
    near(mechanism.weight, WEIGHTS, 0)
    near(np.moveaxis(mechanism.binding_interval[0], 0, -1), exact.binding_interval)
    near(solved.revenue, exact.revenue)
    near(solved.efficiency, exact.efficiency)
    near(solved.utility_gain_by_group[0] / traders, exact.utility_gain)
    near(solved.no_trade_probability, exact.no_trade_probability)
    theta = 1 - gamma * traders / (traders - 1)
    sigma, q = 1 - theta, WEIGHTS / (theta + WEIGHTS)
    variance = half_width**2 / 3 * (sigma**2 + sigma * theta * (1 - q) * (2 + q) + theta**2 * (1 - q))
    near(mechanism.moments.variance[0], variance)


def test_the_frontier_loses_revenue_by_the_square_of_what_it_keeps_off_the_first_best():
    """R = R₀ [2y − (1 + 1/θ) y²] − Nr, y² the share of the first best's gains that is lost."""
    n, gamma, reserve, h, kappa = 5, np.array([[0.0], [0.2], [0.5], [0.79]]), 0.01, 1.3, 0.7
    found = example_1(n, WEIGHTS, h, kappa, 0.2, gamma, reserve)
    theta, surplus = 1 - gamma * n / (n - 1), (n - 1) * h**2 / (6 * kappa)
    lost = np.sqrt(np.maximum(found.first_best_efficiency - found.efficiency, 0) / surplus)
    near(found.revenue, surplus * (2 * lost - (1 + 1 / theta) * lost**2) - n * reserve)


def test_the_better_the_market_outside_the_less_a_revenue_maximiser_earns_and_the_more_is_traded():
    """R₀ θ/(1 + θ), from half of the first best's gains down to nothing, while trade becomes efficient."""
    gamma = np.linspace(0, 0.8 - 1e-9, 50)
    found, theta = example_1(5, 1.0, gamma=gamma), 1 - gamma * 5 / 4
    near(found.revenue, 4 / 3 * theta / (1 + theta))
    assert np.all(np.diff(found.efficiency) > 0)
    assert found.revenue[-1] < 1e-8
    assert found.first_best_efficiency[-1] - found.efficiency[-1] < 1e-8


@pytest.mark.parametrize("traders", [3, 5, 40])
def test_against_the_free_double_auction_one_nth_of_the_surplus_that_it_leaves_is_earned(traders):
    """Of the plain double auction that costs nothing, every type's gain is an outside option: beyond §11."""
    h, kappa = 1.0, 0.5
    gamma = (traders - 2) / traders
    reserve = gamma * h**2 / (6 * kappa * (traders - 1))
    found = example_1(traders, 1.0, h, kappa, gamma=gamma, reserve=reserve)
    near(found.revenue, h**2 / (6 * kappa * traders * (traders - 1)))
    left = found.first_best_efficiency - found.double_auction_efficiency
    near(found.revenue / left, 1 / traders)
    law = jm.Uniform(-h, h)
    market = jm.Market.of(jm.Traders(law, kappa, traders, outside=OutsideOption(gamma, 0.0, reserve)))
    near(jm.outcomes(jm.solve(market, 1.0)).revenue / left, 1 / traders)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.7])
def test_the_mechanism_as_efficient_as_the_double_auction_is_where_the_closed_form_says(gamma):
    found = example_1(5, 1.0, gamma=gamma)
    at = example_1(5, found.double_auction_weight, gamma=gamma)
    if gamma > 0.6:  # even the revenue-maximiser is more efficient
        assert np.isnan(found.double_auction_weight) and found.efficiency > found.double_auction_efficiency
    else:
        near(at.efficiency, found.double_auction_efficiency)
        near(at.revenue, found.revenue_at_double_auction_efficiency)
