"""Lemma 2: under the first best everybody ends up with his share κ/K of the total endowment, X = −Z + s ΣZ."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm

CAPACITY, COUNT = [0.7, 0.2, 1.9], [2, 1, 2]
KAPPA = np.repeat(CAPACITY, COUNT)


@pytest.fixture(scope="module")
def market():
    return jm.Market.of(jm.Traders(jm.Uniform([-1.0, -0.4, 0.2], [1.3, 0.9, 1.5]), CAPACITY, COUNT))


@pytest.fixture(scope="module")
def endowments(market):
    group = np.repeat(range(3), COUNT)
    law = market.endowment
    return np.asarray(law.lower)[group] + np.asarray(law.width)[group] * np.random.default_rng(0).uniform(size=(200, 5))


def holding_cost(z, bought):
    return np.sum((z + bought) ** 2 / (2 * KAPPA), axis=-1)


def test_the_first_best_is_the_formula_of_the_lemma(market, endowments):
    formula = -endowments + KAPPA / KAPPA.sum() * endowments.sum(axis=-1, keepdims=True)
    bought = jm.first_best(market).allocation(jnp.asarray(endowments))
    np.testing.assert_allclose(bought, formula, rtol=0, atol=1e-14)


def test_the_first_best_solves_the_first_order_conditions_at_every_profile(market, endowments):
    """(z + X)/κ equal to one price for all, ΣX = 0: one linear system."""
    system = np.block([[np.diag(1 / KAPPA), np.ones((5, 1))], [np.ones((1, 5)), np.zeros((1, 1))]])
    right = np.concatenate([-endowments / KAPPA, np.zeros((200, 1))], axis=1)
    exact = np.linalg.solve(system, right.T).T[:, :5]
    bought = jm.first_best(market).allocation(jnp.asarray(endowments))
    np.testing.assert_allclose(bought, exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_any_other_clearing_purchases_cost_more_by_the_square_of_the_difference(market, endowments, size):
    bought = np.asarray(jm.first_best(market).allocation(jnp.asarray(endowments)))
    other = size * np.random.default_rng(1).normal(size=(50, *endowments.shape))
    other -= other.mean(axis=-1, keepdims=True)
    extra = holding_cost(endowments, bought + other) - holding_cost(endowments, bought)
    np.testing.assert_allclose(extra, np.sum(other**2 / (2 * KAPPA), axis=-1), rtol=1e-6, atol=1e-13)
    assert extra.min() > 0


def test_the_first_best_is_the_mechanism_without_multipliers(market, endowments):
    """α = λ = 0: virtual types are the endowments."""
    first_best, at_zero = jm.first_best(market), jm.solve_at_weight(market, 0.0)
    z = jnp.asarray(endowments)
    np.testing.assert_allclose(at_zero.allocation(z), first_best.allocation(z), rtol=0, atol=1e-14)
    own = z[:, [0, 2, 3]]  # one column a group
    np.testing.assert_array_equal(first_best.virtual_type(own), own)


def test_no_other_design_is_as_efficient(market):
    best = float(jm.outcomes(jm.first_best(market)).efficiency)
    exact = -(np.dot(COUNT, market.endowment.variance) + np.dot(COUNT, market.endowment.mean) ** 2) / (2 * KAPPA.sum())
    assert best == pytest.approx(exact, rel=1e-13)
    assert float(jm.outcomes(jm.solve_at_weight(market, 0.1)).efficiency) < best - 1e-4
    assert float(jm.outcomes(jm.double_auction(market)).efficiency) < best - 1e-4
