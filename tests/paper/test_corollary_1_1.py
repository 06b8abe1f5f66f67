"""Corollary 1.1: uniform endowments make the mechanism explicit, whatever their supports."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.optimum.multipliers import uniform_eta
from jaxmech.testing.random_markets import random_markets

BATCH = 200
WEIGHTS = np.random.default_rng(1).uniform(0, 1, BATCH)


def near(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def mild_markets(groups, seed):
    """Supports and risk capacities alike enough for every interval to stay inside its support."""
    generator = np.random.default_rng(seed)
    lower, upper, capacity = generator.uniform(
        [[[-1.2]], [[0.8]], [[0.8]]], [[[-0.8]], [[1.2]], [[1.2]]], (3, groups, BATCH)
    )
    count = generator.integers(1, 4, capacity.shape).astype(float)
    return jm.Market(jm.Uniform(*map(jnp.asarray, (lower, upper))), jnp.asarray(capacity), jnp.asarray(count))


def test_where_intervals_stay_inside_their_supports_the_solver_finds_the_explicit_mechanism():
    market = mild_markets(5, seed=2)
    explicit, solved = jm.explicit_mechanism(market, WEIGHTS), jm.solve_at_weight(market, WEIGHTS)
    assert not np.any(explicit.error)
    near(explicit.eta, solved.eta)
    near(explicit.ends, solved.ends)
    for one, other in zip(jm.outcomes(explicit), jm.outcomes(solved), strict=True):
        near(one, other)


def test_the_explicit_mechanism_says_where_an_interval_would_leave_its_support():
    market = random_markets((2, 0, 0), BATCH, seed=3)
    explicit, solved = jm.explicit_mechanism(market, WEIGHTS), jm.solve_at_weight(market, WEIGHTS)
    law, width = market.endowment, market.endowment.width
    low, high = solved.ends[0], -solved.ends[1]
    inside = np.all((low > law.lower) & (high < law.upper), axis=0)
    assert BATCH / 3 < inside.sum() < BATCH
    np.testing.assert_array_equal(explicit.error, np.where(inside, 0, np.inf))
    near((explicit.ends / width)[..., inside], (solved.ends / width)[..., inside])
    assert np.isnan(explicit.ends[..., ~inside]).all()
    # And rightly so: what the formula would say there is wrong.
    eta = uniform_eta(law.mean, market.risk_capacity, market.count, WEIGHTS)
    formula = (np.array([eta + WEIGHTS * law.lower, -(eta + WEIGHTS * law.upper)])) / (1 + WEIGHTS)
    near((formula / width)[..., inside], (solved.ends / width)[..., inside])
    assert np.all(np.abs((formula - solved.ends) / width)[..., ~inside].max(axis=(0, 1)) > 1e-6)


def linear_system(lower, upper, kappa, w):
    """(27)–(30) with λ = 0, errata E2 and E3 corrected, for one trader a law: matrix and right-hand side.

    Unknowns (a, b, ∫Ω, η), each for all traders; b − a = w (h − l)/(1 + w) by (28).
    """
    traders = len(kappa)
    one, none, others = np.eye(traders), np.zeros((traders, traders)), 1 - np.eye(traders)
    gap = w / (1 + w)  # (b − a)/(h − l)
    rows = [
        ([(1 + w) * one, none, none, -one], w * lower),
        ([(1 + w) * one, -(1 + w) * one, none, none], w * lower - w * upper),
        ([none, -w * others, others, np.diag((kappa.sum() - kappa) / kappa)], others @ ((1 - w) * (lower + upper) / 2)),
        # η gap = bF(b) − aF(a) − (1 − w) ∫F − ∫Ω, with bF(b) − aF(a) = gap (a + b − l), ∫F = gap ((a + b)/2 − l)
        ([-gap * (1 + w) / 2 * one, -gap * (1 + w) / 2 * one, one, gap * one], -w * gap * lower),
    ]
    return np.block([left for left, _ in rows]), np.concatenate([right for _, right in rows])


@pytest.mark.parametrize("w", [0.0, 0.4, 1.0])
def test_the_linear_system_of_the_appendix_has_the_explicit_mechanism_as_its_solution(w):
    """(27)–(30), where (29) takes b instead of b − l and (30) bF(b) − aF(a) instead of b − a."""
    lower, upper = np.array([-1.0, -0.8, 0.1, 0.0]), np.array([1.3, 0.9, 1.2, 0.7])
    kappa = np.array([0.7, 1.1, 0.8, 0.6])
    low, high, _, eta = np.linalg.solve(*linear_system(lower, upper, kappa, w)).reshape(4, 4)
    explicit = jm.explicit_mechanism(jm.Market.of(jm.Traders(jm.Uniform(lower, upper), kappa)), w)
    assert explicit.error == 0
    near(explicit.eta, eta)
    near(explicit.binding_interval, np.stack([low, high], axis=1))


def test_the_integral_of_omega_in_the_linear_system_is_that_of_the_participation_multiplier():
    lower, upper, kappa, w = np.array([-1.0, -0.8, 0.1]), np.array([1.3, 0.9, 1.2]), np.array([0.7, 1.1, 0.8]), 0.4
    *_, integral, _ = np.linalg.solve(*linear_system(lower, upper, kappa, w)).reshape(4, 3)
    explicit = jm.explicit_mechanism(jm.Market.of(jm.Traders(jm.Uniform(lower, upper), kappa)), w)
    (low, high), omega = np.asarray(explicit.binding_interval).T, explicit.participation_multiplier
    simpson = (high - low) / 6 * (omega(low) + 4 * omega((low + high) / 2) + omega(high))  # exact: Ω is a line
    near(simpson, integral)


@pytest.mark.parametrize(
    "law", [jm.TruncatedNormal(0, 1, -1, 1), jm.Beta(2, 2, -1, 1)], ids=lambda law: type(law).__name__
)
def test_other_laws_are_refused(law):
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5), jm.Traders(law, 0.5))
    with pytest.raises(jm.MarketError, match=r"Corollary 1\.1 needs Uniform laws in every group"):
        jm.explicit_mechanism(market, 0.5)


def test_only_a_market_has_an_explicit_mechanism():
    with pytest.raises(jm.MarketError, match="market is NoneType"):
        jm.explicit_mechanism(None, 0.5)


def test_a_lane_of_the_batch_is_the_market_alone():
    market = mild_markets(5, seed=4)
    batch = jm.explicit_mechanism(market, WEIGHTS)
    for lane in (0, 7, 199):
        alone = jm.explicit_mechanism(jax.tree.map(lambda leaf, lane=lane: leaf[..., lane], market), WEIGHTS[lane])
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(batch), strict=True):
            near(one, other[..., lane], 1e-14)


@pytest.mark.slow
def test_derivatives_are_those_of_the_implicit_function_theorem():
    market = mild_markets(5, seed=5)
    directions = jax.tree.map(lambda leaf: jnp.cos(7 * leaf), (market, jnp.asarray(WEIGHTS)))

    def slope(design):
        def answer(market, weight):
            mechanism = design(market, weight)
            return mechanism.eta, mechanism.ends

        return jax.jvp(answer, (market, jnp.asarray(WEIGHTS)), directions)[1]

    for one, other in zip(slope(jm.explicit_mechanism), slope(jm.solve_at_weight), strict=True):
        near(one, other, 1e-11)
