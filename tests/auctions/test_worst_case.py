"""Worst laws within a ball of moments, and schedules designed for them. One structure of market, compiled once."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from every_law import LAWS, market_of
from jaxmech.auctions.worst_case import moved, robust_design, worst_case_law
from marks import cases

ALPHA, RADIUS = 0.7, 0.2


def market():
    law = jm.Uniform([-1.0, -0.8], [1.0, 1.2])
    return jm.Market.of(jm.Traders(law, [0.5, 0.9], [2, 3], "group"))


@cache
def rule():
    return jm.side_payments(jm.solve(market(), ALPHA))


@cache
def worst():
    return worst_case_law(rule(), RADIUS)


@cache
def design():
    return robust_design(market(), ALPHA, RADIUS)


def worth(schedule, true_market):
    """αR + (1 − α)A, the fees of losing groups cut: from the outcomes of `robustness` alone."""
    there = jm.robustness(schedule, true_market)
    cut = np.sum(np.asarray(true_market.count) * np.minimum(there.least_gain, 0))
    return float(ALPHA * (there.revenue + cut) + (1 - ALPHA) * there.efficiency)


def laws_in_the_ball(number, seed):
    """Uniform laws with means and deviations drawn from the ball, half of them from its surface."""
    draws = np.random.default_rng(seed)
    centre = market().endowment
    mean, deviation = np.asarray(centre.mean), np.sqrt(np.asarray(centre.variance))
    for k in range(number):
        x = draws.standard_normal((2, 2))
        x *= RADIUS / np.linalg.norm(x) * (1 if k % 2 else draws.uniform() ** 0.25)
        middle, half = mean + deviation * x[0], np.sqrt(3) * deviation * np.exp(x[1])
        yield replace(market(), endowment=jm.Uniform(jnp.asarray(middle - half), jnp.asarray(middle + half)))


@pytest.mark.slow
def test_the_worst_law_lies_in_the_ball():
    assert worst().distance <= RADIUS * (1 + 1e-9)
    law, centre = worst().market.endowment, market().endowment
    shift = (law.mean - centre.mean) / np.sqrt(centre.variance)
    stretch = 0.5 * np.log(law.variance / centre.variance)
    assert np.sum(shift**2 + stretch**2) == pytest.approx(worst().distance ** 2, rel=1e-9)


def test_no_law_drawn_from_the_ball_is_worse():
    assert min(worth(rule(), other) for other in laws_in_the_ball(300, seed=1)) > worst().objective


def test_the_objective_there_is_that_of_the_schedule_with_fees_cut():
    there = jm.robustness(rule(), worst().market)
    assert worst().objective == pytest.approx(worth(rule(), worst().market), rel=1e-12)
    np.testing.assert_allclose(worst().least_gain, there.least_gain, rtol=1e-12)
    assert np.all(worst().least_gain < 0)
    assert worst().revenue < float(there.revenue)


def test_a_larger_ball_holds_worse_laws_and_a_tiny_one_hardly_any():
    achieved = jm.outcomes(rule().design)
    nominal = float(ALPHA * achieved.revenue + (1 - ALPHA) * achieved.efficiency)
    tiny, larger = (worst_case_law(rule(), radius).objective for radius in (1e-6, 0.4))
    assert tiny == pytest.approx(nominal, abs=1e-5)
    assert larger < worst().objective < tiny


@pytest.mark.slow
def test_the_robust_design_guarantees_more_than_the_nominal_one():
    found = design()
    assert found.converged and not found.is_nominal
    assert found.guaranteed > found.nominal_guaranteed + 1e-3
    assert found.nominal_guaranteed == pytest.approx(worst().objective, rel=1e-6)
    schedule = jm.side_payments(found.design)
    assert found.guaranteed == pytest.approx(worth(schedule, found.worst.market), rel=1e-12)
    assert min(worth(schedule, other) for other in laws_in_the_ball(300, seed=2)) >= found.guaranteed - 1e-9


def test_the_guarantee_is_the_best_of_its_rounds_and_never_above_what_is_attainable():
    found = design()
    assert found.guaranteed <= np.max(found.iterates["guaranteed"]) <= found.attainable
    assert found.guaranteed == pytest.approx(np.max(found.iterates["guaranteed"]), abs=1e-6)
    rounds = len(found.iterates["guaranteed"])
    assert found.iterates["attainable"].shape == (rounds,) and found.iterates["moves"].shape == (rounds, 2, 2)
    assert not np.any(found.iterates["moves"][0])


def test_one_round_more_is_at_least_as_good_and_too_few_are_said_not_to_converge():
    found = robust_design(market(), ALPHA, RADIUS, rounds=1)
    assert not found.converged
    assert found.nominal_guaranteed <= found.guaranteed <= design().guaranteed
    assert "not converged" in str(found) and str(design()).endswith("converged")


@pytest.mark.parametrize("name", cases(LAWS, ["uniform", "normal", "mixture", "density"]))
def test_moves_shift_the_mean_and_stretch_the_deviation_of_every_law_and_keep_its_shape(name):
    law = market_of(name).endowment
    x = np.array([[0.1, -0.2, 0.3, 0.0], [0.3, -0.4, 0.0, 0.2]])[:, : law.mean.shape[0]]
    there = moved(law, x)
    np.testing.assert_allclose((there.mean - law.mean) / jnp.sqrt(law.variance), x[0], rtol=0, atol=1e-11)
    np.testing.assert_allclose(0.5 * jnp.log(there.variance / law.variance), x[1], rtol=0, atol=1e-11)
    share = np.array([[0.1], [0.4], [0.9]])
    z, image = (one.lower + share * (one.upper - one.lower) for one in (law, there))
    np.testing.assert_allclose(there.cdf(image), law.cdf(z), rtol=1e-10)
    assert jax.tree.all(jax.tree.map(partial(np.allclose, rtol=1e-14), moved(law, np.zeros_like(x)), law))


@pytest.mark.parametrize("radius", [0, -1, "wide", float("nan"), 5])
def test_a_radius_that_cannot_be_is_refused(radius):
    for ask in (lambda: worst_case_law(rule(), radius), lambda: robust_design(market(), ALPHA, radius)):
        with pytest.raises(jm.MarketError, match=r"radius is .*; give a number above 0"):
            ask()


def test_what_is_no_schedule_or_no_weight_is_refused():
    with pytest.raises(jm.MarketError, match="side_payments is Mechanism; make one with"):
        worst_case_law(rule().design, 0.1)
    with pytest.raises(jm.MarketError, match="alpha is 3"):
        robust_design(market(), 3, 0.1)
    with pytest.raises(jm.MarketError, match="rounds is 0"):
        robust_design(market(), ALPHA, 0.1, rounds=0)
