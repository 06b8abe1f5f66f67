"""Derivatives with outside options, welfare weights and targets, in each regime that the optimum has: those of the
optimal value are the envelope's, those of everything else are central differences."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import Outside

GROUPS = 2
NAMES = "gamma", "centre", "reserve", "welfare", "risk_capacity", "loc", "scale", "lower", "upper"
COUNT = jnp.array([2.0, 3.0])
USUAL = {
    "gamma": (0.3, 0.4),
    "centre": (0.1, 0.3),
    "reserve": (0.01, 0.02),
    "welfare": (0.1, -0.2),
    "risk_capacity": (0.5, 0.8),
    "loc": (0.2, -0.1),
    "scale": (0.5, 0.9),
    "lower": (-1.0, -0.8),
    "upper": (1.3, 1.1),
}
# (what is different, α, R_min, what is true there)
REGIMES = {
    "interior": ({}, 0.7, -0.5, lambda found: found.budget_share == 0),
    "budget binding": ({}, 0.2, 0.1, lambda found: found.budget_share > 0.01),
    "rebate": ({"welfare": (0.1, 0.5)}, 0.2, -0.3, lambda found: found.rebate[1] > 0.01),
    "target of a generous designer": ({"welfare": (0.1, 0.5)}, 0.2, 0.11, lambda found: found.group_weight[1] > 0.01),
    "line leaves the support": (
        {"gamma": (0.7, 0.6), "centre": (2.5, -1.5), "welfare": (0.0, 0.1)},
        0.8,
        -30.0,
        lambda found: np.any(found.ends <= found.market.endowment.sides().lower),
    ),
}


def numbers_of(regime):
    changed, alpha, target, _ = REGIMES[regime]
    return jnp.array([*np.ravel([(USUAL | changed)[name] for name in NAMES]), alpha, target])


def as_markets_outside(numbers):
    """The same with ρ and P₀ in place of γ and c."""
    gamma, centre, capacity = (numbers[place : place + GROUPS] for place in (0, 2, 8))
    return jnp.concatenate([(1 / gamma - 1) / capacity, -centre / capacity, numbers[4:]])


def mechanism_of(numbers, priced=False, family=jm.TruncatedNormal):
    steepness, place, reserve, welfare, capacity, *law = numbers[:-2].reshape(len(NAMES), GROUPS)
    law = family(*law) if family is jm.TruncatedNormal else family(*law[2:])
    outside = Outside(steepness, place, reserve, (priced,) * GROUPS)
    market = jm.Market(law, capacity, COUNT, (), welfare, outside)
    return jm.solve(market, numbers[-2], numbers[-1])


def value_of(mechanism):
    achieved, alpha = jm.outcomes(mechanism), mechanism.alpha
    welfare = jnp.sum(mechanism.market.welfare_weight * achieved.utility_gain_by_group)
    return alpha * achieved.revenue + (1 - alpha) * achieved.efficiency + welfare


def answers(numbers, priced=False, family=jm.TruncatedNormal):
    """R, A, η, the ends of the intervals, rents and the optimal value."""
    mechanism = mechanism_of(numbers, priced, family)
    achieved = jm.outcomes(mechanism)
    parts = achieved.revenue, achieved.efficiency, mechanism.eta, mechanism.ends, achieved.utility_gain_by_group
    return jnp.concatenate([jnp.ravel(part) for part in (*parts, value_of(mechanism))])


solved = jax.jit(mechanism_of)
forward = jax.jit(jax.jacfwd(answers), static_argnums=1)
backward = jax.jit(jax.jacrev(answers))


def money(numbers):
    """R + A of uniform laws, whose programs are smaller."""
    return jnp.sum(answers(numbers, False, jm.Uniform)[:2])


slopes, hessian = jax.jit(jax.vmap(jax.grad(money))), jax.jit(jax.hessian(money))
many = jax.jit(jax.vmap(answers, (0, None)), static_argnums=1)


def differences(function, numbers, step=1e-4):
    """Central, of fourth order: the last axis is that of the numbers."""
    moves = step * jnp.eye(len(numbers))
    near, far = (function(numbers + k * moves) - function(numbers - k * moves) for k in (1, 2))
    return jnp.moveaxis(8 * near - far, 0, -1) / (12 * step)


@pytest.fixture(scope="module", params=REGIMES)
def regime(request):
    return request.param


def test_each_regime_is_what_it_is_called_and_certified(regime):
    found = solved(numbers_of(regime))
    assert REGIMES[regime][-1](found)
    assert jm.certify(found).ok


def integral_over_types(mechanism, function):
    """E f(Z, V(Z)) of each group by Gauss–Legendre's rule between the ends of the interval."""
    law, nodes, weights = mechanism.market.endowment, *np.polynomial.legendre.leggauss(40)
    cuts = [law.lower, *np.asarray(mechanism.binding_interval).T, law.upper]
    found = 0.0
    for low, high in pairwise(cuts):
        half = 0.5 * (high - low)
        z = low + half * (1 + nodes[:, None])
        found += half * jnp.sum(weights[:, None] * law.pdf(z) * function(z, mechanism.virtual_type(z)), axis=0)
    return found


@pytest.mark.slow
def test_the_optimal_value_moves_by_the_envelope_theorem(regime):
    """Beyond §14, with E[(Z − c)(Z − V)] by quadrature."""
    numbers = numbers_of(regime)
    mechanism = solved(numbers)
    gamma, centre, _, _, capacity, *_ = numbers[:-2].reshape(len(NAMES), GROUPS)
    achieved, weight, price = jm.outcomes(mechanism), mechanism.group_weight, 1 + mechanism.budget_multiplier
    mean = integral_over_types(mechanism, lambda z, v: z)
    spread = integral_over_types(mechanism, lambda z, v: (z - centre) ** 2)
    virtual = integral_over_types(mechanism, lambda z, v: v)
    charge = weight * spread - 2 * integral_over_types(mechanism, lambda z, v: (z - centre) * (z - v))
    expected = [
        -price * COUNT * charge / (2 * capacity),
        price * COUNT * gamma / capacity * (weight * (mean - centre) + virtual - mean),
        -price * COUNT * weight,
        achieved.utility_gain_by_group,
    ]
    found = forward(numbers, False)[-1]
    np.testing.assert_allclose(found[:8].reshape(4, GROUPS), jnp.stack(expected), rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[-2], achieved.revenue - achieved.efficiency, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[-1], -mechanism.budget_multiplier, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("priced", [False, True], ids=["options", "markets outside"])
def test_derivatives_in_every_number_are_central_differences(regime, priced):
    numbers = numbers_of(regime)
    if priced:
        same, numbers = many(numbers[None], False), as_markets_outside(numbers)
        np.testing.assert_allclose(many(numbers[None], True), same, rtol=1e-12, atol=1e-12)
    expected = differences(lambda numbers: many(numbers, priced), numbers)
    np.testing.assert_allclose(forward(numbers, priced), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_reverse_mode_agrees_with_forward_mode(regime):
    numbers = numbers_of(regime)
    np.testing.assert_allclose(backward(numbers), forward(numbers, False), rtol=1e-11, atol=1e-11)


@pytest.mark.exhaustive
def test_second_derivatives_are_differences_of_first_ones_of_a_batch(regime):
    numbers = numbers_of(regime)
    found = hessian(numbers)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, differences(slopes, numbers), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found, found.T, rtol=1e-9, atol=1e-9)
