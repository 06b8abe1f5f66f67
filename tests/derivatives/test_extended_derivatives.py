"""Outside options, welfare weights and a minimum revenue in everything that is derived of the optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.derivatives.answers import answers
from jaxmech.market.parameters import every_parameter, market_at, market_with, present_values

MAIN = ("objective", "revenue", "efficiency")


def market_of(welfare=0.2, least=0.0):
    return jm.Market.of(
        jm.Traders(jm.Uniform(-1.0, 1.2), 1.0, 2, "dealer", outside=jm.OutsideMarket(-0.05, 2.0, 0.001)),
        jm.Traders(jm.TruncatedNormal(0.2, 0.5, -1.0, 1.0), 0.7, 2, "fund", welfare_weight=welfare),
        minimum_revenue=least,
    )


# Where the budget is free, where it binds, and where what is left over goes to the funds as a rebate.
REGIMES = {"free": (0.6, 0.2, 0.01), "binding": (0.1, 0.05, 0.15), "rebate": (0.3, 0.9, 0.02)}


@pytest.mark.parametrize("regime", REGIMES)
def test_every_derivative_is_that_of_differences_and_the_rule_adds_nothing_to_the_objective(regime):
    alpha, welfare, least = REGIMES[regime]
    market = market_of(welfare, least)
    found, parameters = jm.sensitivity(market, alpha), every_parameter(market)
    mechanism = jm.solve(market, alpha)
    assert (float(mechanism.budget_multiplier) > 0) == (regime != "free")
    assert (float(mechanism.rebate[1]) > 0) == (regime == "rebate")
    assert "minimum_revenue" in found.parameters and "fund.outside_gamma" in found.parameters
    at, step = np.asarray(present_values(market, parameters)), 1e-5
    moves = np.concatenate([step * np.eye(len(at)), -step * np.eye(len(at))])
    moved = jnp.asarray((at + moves).T)
    there = answers(market_with(market, parameters, moved), jnp.full(len(moves), alpha))
    for name in MAIN:
        up, down = np.split(np.asarray(getattr(there, name)), 2)
        row = found.derivative[found.outcomes.index(name), 1:]
        np.testing.assert_allclose(row, (up - down) / (2 * step), atol=1e-7 * max(1, np.max(np.abs(row))), err_msg=name)
    np.testing.assert_allclose(found.through_mechanism[0], 0.0, atol=1e-10)


def test_a_minimum_revenue_that_binds_costs_its_multiplier():
    market = market_of(0.05, 0.15)
    found = jm.sensitivity(market, 0.1)
    multiplier = float(jm.solve(market, 0.1).budget_multiplier)
    np.testing.assert_allclose(found.of("objective", "minimum_revenue"), -multiplier, rtol=1e-9)
    np.testing.assert_allclose(found.of("revenue", "minimum_revenue"), 1.0, rtol=1e-9)


@pytest.mark.parametrize("welfare", [0.0, 0.2])
def test_a_frontier_is_the_optimum_at_each_of_its_weights(welfare):
    """With welfare weights β its efficiency counts the gains nβE g too, and a weight is α at β(1 − α) (beyond §2)."""
    market = market_of(welfare)
    curve = jm.frontier(market)
    assert np.isfinite(curve.error)
    for weight in (0.6, 0.9):
        own = market if welfare == 0 else market_at(market, {"fund.welfare_weight": welfare * (1 - weight)})
        there = jm.outcomes(jm.solve(own, weight))
        gains = welfare * there.utility_gain_by_group[1]
        earned, kept = curve.at_weight(weight)
        scale = float(there.first_best_surplus)
        np.testing.assert_allclose(earned, there.revenue, atol=1e-6 * scale)
        np.testing.assert_allclose(kept, there.efficiency + gains, atol=1e-6 * scale)


def test_a_frontier_begins_at_the_minimum_revenue_and_has_none_beyond_the_largest():
    market = market_of(0.0)
    whole = jm.frontier(market)
    curve = jm.frontier(market.earning(0.12))
    np.testing.assert_allclose(curve.revenue[0], 0.12, rtol=1e-9)
    np.testing.assert_allclose(curve.revenue[-1], whole.revenue[-1], rtol=1e-9)
    assert not np.isfinite(jm.frontier(market.earning(2 * float(whole.revenue[-1]))).error)
    exact = jm.outcomes(curve.mechanism_at(revenue=0.17))
    np.testing.assert_allclose(exact.revenue, 0.17, rtol=1e-9)


def test_a_frontier_shifts_with_the_outside_market():
    market, step = market_of(0.0), 1e-5
    curve = jm.frontier(market)
    moved = curve.shift("dealer.outside_cost")
    weight = float(curve.weight[3])

    def at(cost):
        return jm.outcomes(jm.solve_at_weight(market_at(market, {"dealer.outside_cost": cost}), weight))

    up, down = at(2.0 + step), at(2.0 - step)
    np.testing.assert_allclose(moved.revenue[3], (up.revenue - down.revenue) / (2 * step), rtol=1e-6)
    np.testing.assert_allclose(moved.efficiency[3], (up.efficiency - down.efficiency) / (2 * step), rtol=1e-6)


def test_calibration_finds_the_outside_market_that_explains_a_revenue():
    market = market_of(0.0)
    wanted = float(jm.outcomes(jm.solve(market_at(market, {"dealer.outside_cost": 3.0}), 0.7)).revenue)
    free = {"dealer.outside_cost": (1.0, 10.0, "log")}
    found = jm.calibrate(market, free, {"revenue": wanted}, alpha=0.7, starts=2, progress=False)
    assert found.reached
    np.testing.assert_allclose(found.parameters["dealer.outside_cost"], 3.0, rtol=1e-5)


def test_answers_of_what_cannot_be_are_not_solved_and_harm_no_other():
    markets = market_with(market_of(0.0, 0.1), every_parameter(market_of(0.0, 0.1))[-1:], jnp.array([[0.1, 5.0]]))
    found = answers(markets, jnp.full(2, 0.5))
    assert list(found.solved) == [True, False]
    assert np.isnan(found.revenue[1])
    np.testing.assert_allclose(found.revenue[0], answers(market_of(0.0, 0.1), 0.5).revenue, rtol=1e-13)
    gradient = jax.grad(lambda least: answers(market_of(0.0).earning(least), 0.1).objective)(0.15)
    assert np.isfinite(gradient) and gradient < 0
