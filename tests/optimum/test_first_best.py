"""The first best, what it costs, and when it pays for itself."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import OutsideOption
from jaxmech.optimum.first_best import first_best_revenue
from jaxmech.testing.random_markets import random_markets

STRUCTURES = ((2, 0, 0), (1, 1, 0))
BATCH = 200


def near(value, exact, tolerance):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def proportional_markets(seed):
    """Uniform laws whose means are 0.7 κ."""
    market = random_markets((2, 0, 0), BATCH, seed)
    half, middle = market.endowment.width / 2, 0.7 * market.risk_capacity
    return replace(market, endowment=jm.Uniform(middle - half, middle + half))


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_first_best_is_the_mechanism_at_weight_zero(structure):
    market = random_markets(structure, BATCH, seed=1)
    found, solved = jm.first_best(market), jm.solve_at_weight(market, 0.0)
    width = market.endowment.width
    near(found.eta / width, solved.eta / width, 1e-12)
    near(found.ends / width, solved.ends / width, 1e-12)
    surplus = jm.outcomes(found).first_best_surplus
    for one, other in zip(jm.outcomes(found), jm.outcomes(solved), strict=True):
        near(one / surplus, other / surplus, 1e-12)


def test_everybody_ends_with_his_share_of_the_total():
    """Lemma 2."""
    law = jm.Uniform([-1.0, 0.5], [1.0, 3.0])
    kappa, group = np.array([0.7, 0.7, 0.4]), np.array([0, 0, 1])
    z = np.array([-1.0, 0.5])[group] + np.array([2.0, 2.5])[group] * np.random.default_rng(2).uniform(size=(1000, 3))
    best = jm.first_best(jm.Market.of(jm.Traders(law, [0.7, 0.4], [2, 1])))
    near(best.allocation(jnp.asarray(z)), kappa / 1.8 * z.sum(axis=1, keepdims=True) - z, 1e-14)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_minimum_subsidy_is_what_the_first_best_loses(structure):
    market = random_markets(structure, BATCH, seed=3)
    outcome = jm.outcomes(jm.first_best(market))
    lost = np.maximum(-outcome.revenue, 0)
    assert 0 < np.count_nonzero(lost) < BATCH
    near(jm.minimum_subsidy(market) / outcome.first_best_surplus, lost / outcome.first_best_surplus, 1e-12)


@pytest.mark.parametrize("means", ["random", "proportional"])
def test_the_first_best_is_attainable_iff_the_budget_weight_is_zero(means):
    market = proportional_markets(seed=5) if means == "proportional" else random_markets((2, 0, 0), BATCH, seed=4)
    attainable = jm.first_best_is_attainable(market)
    np.testing.assert_array_equal(attainable, jm.budget_weight(market) == 0)
    assert np.all(attainable) if means == "proportional" else 0 < np.mean(attainable) < 0.5


@jax.jit
@jax.vmap
def costs(parameters):
    """Subsidy, revenue and efficiency, of κ, count, lower and upper ends of two groups, shape (4, 2)."""
    capacity, count, lower, upper = parameters
    market = jm.Market(jm.Uniform(lower, upper), capacity, count)
    outcome = jm.outcomes(jm.first_best(market))
    return jnp.stack([jm.minimum_subsidy(market), outcome.revenue, outcome.efficiency])


# η inside both supports; η outside both.
POINTS = jnp.array([[[0.7, 1.1], [2, 1], [-1, -0.4], [1.3, 0.9]], [[1.0, 1.2], [1, 1], [0, 3], [1, 4]]])
EACH = jnp.eye(8).reshape(8, 1, 4, 2) * jnp.ones((2, 1, 1))


def test_derivatives_in_every_parameter_match_central_differences():
    step = 1e-3
    for direction in EACH:
        _, exact = jax.jvp(costs, (POINTS,), (direction,))
        moved = [costs(POINTS + k * step * direction) - costs(POINTS - k * step * direction) for k in (1, 2, 3)]
        near((45 * moved[0] - 9 * moved[1] + moved[2]) / (60 * step), exact, 1e-9)


@pytest.mark.slow
def test_forward_and_backward_derivatives_agree():
    _, pull = jax.vjp(costs, POINTS)
    backward = jnp.stack([pull(jnp.zeros((2, 3)).at[:, k].set(1.0))[0] for k in range(3)], axis=1)
    forward = jnp.stack([jax.jvp(costs, (POINTS,), (direction,))[1] for direction in EACH], axis=-1)
    near(backward.reshape(2, 3, 8), forward, 1e-12)


def test_only_a_market_has_a_first_best():
    with pytest.raises(jm.MarketError, match="market is str; build one with Market"):
        jm.first_best("market")


def test_with_outside_options_the_first_best_binds_where_they_are_best():
    """The types that gain nothing are those whose target line crosses V = z, and R is the closed form (beyond §8)."""
    options = OutsideOption(0.25, 0.4), OutsideOption(0.1, -0.3, 0.01)
    laws = jm.Uniform(-1, 1.2), jm.TruncatedNormal(0.2, 0.5, -1, 1)
    market = jm.Market.of(*(jm.Traders(*one, outside=way) for *one, way in zip(laws, (1.0, 0.7), options, strict=True)))
    best = jm.first_best(market)
    z = market.endowment.lower + jnp.linspace(0, 1, 401)[:, None] * market.endowment.width
    gain = best.participation_gain(z)
    assert np.all(gain >= 0) and np.all(np.min(gain, axis=0) < 1e-5)
    near(best.participation_gain(best.binding_interval.T), 0, 1e-14)
    near(jm.outcomes(best).revenue, first_best_revenue(market.prepared()), 1e-13)
