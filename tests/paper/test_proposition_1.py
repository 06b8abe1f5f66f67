"""Proposition 1: the first best breaks even if, and under Condition 1 only if, means are proportional to risk
capacities; with the size of the subsidy."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.endowments import SideBySide
from jaxmech.optimum.first_best import first_best_revenue
from jaxmech.testing.random_markets import random_markets

BATCH = 200
STRUCTURES = ((2, 0, 0), (1, 1, 1))


def moved(market, by):
    """The market with by, (G, ...), added to everybody's endowment."""
    parts = []
    for law, first, groups in market.laws():
        names = [name for name in ("lower", "upper", "loc") if hasattr(law, name)]
        parts.append(replace(law, **{name: getattr(law, name) + by[first : first + groups] for name in names}))
    return replace(market, endowment=parts[0] if len(parts) == 1 else SideBySide(tuple(parts)))


def revenue(market):
    return first_best_revenue(market.prepared())


@jax.jit
def verdict(market):
    """(attainable, subsidy, R, Condition 1 for all)."""
    holds = jnp.all(jm.condition_1(market), axis=0)
    return jm.first_best_is_attainable(market), jm.minimum_subsidy(market), revenue(market), holds


# If


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("price", [0.7, -20.0, 1e-3])
def test_means_proportional_to_risk_capacities_make_the_first_best_break_even_exactly(structure, price):
    """Whatever the laws, supports and counts; then everybody's neutral type is his mean, and Condition 1 holds."""
    market = random_markets(structure, BATCH, seed=1)
    attainable, subsidy, earned, holds = verdict(moved(market, price * market.risk_capacity - market.endowment.mean))
    assert np.all(attainable) and np.all(holds)
    assert not np.any(subsidy) and not np.any(earned)


# Only if


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_under_condition_1_other_means_cost_half_of_delta_squared_over_the_others_capacity(structure):
    """R = −½ Σ δ²/(K − κ), δ = μ − s Σμ."""
    market = random_markets(structure, BATCH, seed=2)
    attainable, subsidy, _, holds = verdict(market)
    mean, kappa, count = (np.asarray(x) for x in (market.endowment.mean, market.risk_capacity, market.count))
    capacity = np.sum(count * kappa, axis=0)
    delta = mean - kappa / capacity * np.sum(count * mean, axis=0)
    cost = np.sum(count * delta**2 / (capacity - kappa), axis=0) / 2
    assert np.sum(holds) > BATCH / 5
    assert not np.any(attainable[holds])
    np.testing.assert_allclose(subsidy[holds], cost[holds], rtol=1e-13)


def test_means_out_of_proportion_by_a_billionth_are_seen():
    """U[0, 1] and U[d, 1 + d], κ = 1: δ = ∓d/2, so that the subsidy is d²/4."""
    market = jm.Market.of(jm.Traders(jm.Uniform([0.0, 1e-9], [1.0, 1 + 1e-9]), 1.0))
    assert not jm.first_best_is_attainable(market)
    np.testing.assert_allclose(jm.minimum_subsidy(market), 2.5e-19, rtol=1e-6)


def test_without_condition_1_the_first_best_can_earn_59_220ths():
    """U[1, 2] twice, κ = (10, 1): −½ Σ δ²/(K − κ) = −729/880, but η = (15, 0.15) lies far outside: + 965/880."""
    market = jm.Market.of(jm.Traders(jm.Uniform(1, 2), [10.0, 1.0]))
    assert not np.any(jm.condition_1(market))
    np.testing.assert_allclose(jm.outcomes(jm.first_best(market)).revenue, 59 / 220, rtol=1e-14)
    assert jm.first_best_is_attainable(market) and jm.minimum_subsidy(market) == 0


# Invariances


INVARIANCES = {
    "endowments in another unit": (lambda m: replace(m, endowment=m.endowment.stretched(3.0)), 9.0),
    "capacities in another unit": (lambda m: replace(m, risk_capacity=3 * m.risk_capacity), 1 / 3),
    "endowments mirrored": (lambda m: replace(m, endowment=m.endowment.reflected()), 1.0),
    "everybody given a multiple of his capacity": (lambda m: moved(m, 0.4 * m.risk_capacity), 1.0),
    "groups in another order": (lambda m: jax.tree.map(lambda leaf: leaf[::-1], m), 1.0),
    "a group of two as two groups": (
        lambda m: replace(jax.tree.map(lambda leaf: leaf[np.array([0, 0, 1])], m), count=jnp.array([1.0, 1.0, 3.0])),
        1.0,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INVARIANCES)
@pytest.mark.parametrize("lower", [[-1.0, 0.0], [-1.0, 3.0]], ids=["inside", "outside"])
def test_revenue_of_the_first_best_scales_as_its_units(name, lower):
    market = jm.Market.of(jm.Traders(jm.Uniform(lower, np.add(lower, [2.3, 1.3])), [0.7, 1.1], [2, 3]))
    change, factor = INVARIANCES[name]
    assert np.all(jm.condition_1(market)) == (lower == [-1.0, 0.0])
    assert abs(revenue(market)) > 1e-3
    np.testing.assert_allclose(revenue(change(market)), factor * revenue(market), rtol=1e-13)


# A witness that knows only Lemma 2 and the envelope condition (3)


def densities():
    """(density, lower, upper) of U[1, 2], U[−1, 0.6], N(0.2, 0.5²) on [−1, 1], Beta(2, 3) on [−1, 1.5]."""
    normal = mpmath.quad(lambda z: mpmath.npdf(z, 0.2, 0.5), [-1, 1])
    return {
        "high": (lambda z: mpmath.mpf(1), 1, 2),
        "low": (lambda z: 1 / mpmath.mpf("1.6"), -1, mpmath.mpf("0.6")),
        "normal": (lambda z: mpmath.npdf(z, mpmath.mpf("0.2"), mpmath.mpf("0.5")) / normal, -1, 1),
        "beta": (lambda z: 12 * ((z + 1) / 2.5) * ((1.5 - z) / 2.5) ** 2 / 2.5, -1, 1.5),
    }


def witness(names, capacities):
    """Surplus of the first best less what traders keep when the least gain of each is 0; one trader a law."""
    laws, total = [densities()[name] for name in names], sum(capacities)
    moments = [[mpmath.quad(lambda z, f=f, k=k: z**k * f(z), [low, high]) for k in (1, 2)] for f, low, high in laws]
    sum_of_means = sum(mean for mean, _ in moments)
    sum_squared = sum(second - mean**2 for mean, second in moments) + sum_of_means**2
    surplus = sum(second / kappa for (_, second), kappa in zip(moments, capacities, strict=True)) / 2
    kept = 0
    for (density, low, high), (mean, _), kappa in zip(laws, moments, capacities, strict=True):

        def bought(z, mean=mean, kappa=kappa):
            return -z + kappa / total * (z + sum_of_means - mean)

        def gain(z, low=low, kappa=kappa, bought=bought):
            return -mpmath.quad(bought, [low, z]) / kappa

        neutral = min(max(mpmath.findroot(bought, 0), low), high)
        kept += mpmath.quad(lambda z, f=density, gain=gain: gain(z) * f(z), [low, high]) - gain(neutral)
    return surplus - sum_squared / (2 * total) - kept


LAWS = {
    "high": jm.Uniform(1, 2),
    "low": jm.Uniform(-1, 0.6),
    "normal": jm.TruncatedNormal(0.2, 0.5, -1, 1),
    "beta": jm.Beta(2, 3, -1, 1.5),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "capacities", "holds"),
    [(("low", "normal", "beta"), (0.5, 0.75, 1.25), True), (("high", "low"), (1.5, 0.5), False)],
    ids=["condition_1", "no_condition_1"],
)
def test_revenue_of_the_first_best_is_what_quadrature_finds(names, capacities, holds):
    market = jm.Market.of(*(jm.Traders(LAWS[name], kappa) for name, kappa in zip(names, capacities, strict=True)))
    assert np.all(jm.condition_1(market)) == holds
    np.testing.assert_allclose(revenue(market), float(witness(names, capacities)), rtol=1e-13)
