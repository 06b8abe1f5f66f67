"""The rule held fixed while the market moves: at home it is the optimum, and it explains the optimum's derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.derivatives.answers import answers
from jaxmech.derivatives.fixed_rule import fixed_rule_outcomes
from jaxmech.market.parameters import is_location
from jaxmech.testing.random_markets import random_alphas, random_markets
from marks import cases

MARKETS, CHUNK = 10_000, 2500


def entries(market):
    """The arrays of a market by name."""
    law = market.endowment
    fields = {name: getattr(law, name) for name in ("loc", "scale", "lower", "upper") if hasattr(law, name)}
    return fields | {"risk_capacity": market.risk_capacity, "count": market.count}


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases([(2, 0, 0), (0, 2, 0), (0, 0, 2)], [(0, 2, 0)]), ids=str)
def test_in_its_own_market_a_rule_earns_what_the_mechanism_earns(structure):
    """Left out are tails of normal laws at w below 1e-15, where the outcomes' own ∫F²/f is off by 5e-10, not the rule's
    integrals (checked with mpmath, 25 digits), and beta laws there, whose density vanishes where the rule's nodes lie.
    """
    market, alpha = random_markets(structure, 500, seed=61), random_alphas(500, seed=62)
    mechanism = jm.solve(market, alpha)
    achieved, (revenue, efficiency) = jm.outcomes(mechanism), fixed_rule_outcomes(mechanism, market)
    fair = np.asarray((mechanism.weight == 0) | (mechanism.weight > 1e-15))
    assert fair.mean() > 0.97
    error = np.maximum(np.abs(revenue - achieved.revenue), np.abs(efficiency - achieved.efficiency))
    assert np.max((error / achieved.first_best_surplus)[fair]) <= 1e-10


def test_a_rule_earns_what_example_1_says():
    """R = (N − 1)h²/(3κ) · w/(1 + w)² (theory §10)."""
    mechanism = jm.solve(jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5)), 0.4)
    revenue, efficiency = fixed_rule_outcomes(mechanism, mechanism.market)
    np.testing.assert_allclose(revenue, 8 / 3 * 0.4 / 1.4**2, rtol=1e-12)
    np.testing.assert_allclose(efficiency, -5 / 3 * (1 - 0.8 * 1.8 / 1.4**2), rtol=1e-12)


@pytest.mark.slow
def test_with_the_rule_fixed_money_is_inversely_proportional_to_risk_capacity():
    """Who trades how much depends on shares κ/K alone; with V and Ω fixed only the price of risk changes."""
    market = jax.tree.map(lambda leaf: leaf[:, 0], random_markets((0, 2, 0), 1, seed=63))
    mechanism = jm.solve(market, 0.6)
    home = fixed_rule_outcomes(mechanism, market)
    away = fixed_rule_outcomes(mechanism, jm.Market(market.endowment, 3 * market.risk_capacity, market.count))
    np.testing.assert_allclose(3 * np.stack(away), np.stack(home), rtol=1e-13)


@pytest.mark.slow
def test_with_the_rule_fixed_a_change_of_risk_capacity_changes_the_optimum_too():
    """The same change with the rule free: also 1/κ for all, but not for one group alone."""

    def along(capacity, free):
        market = jm.Market.of(
            jm.Traders(jm.Uniform(np.array([0, -1]), np.array([2, 1])), jnp.stack([capacity, 1.5]), count=2)
        )
        mechanism = jm.solve(market, 0.6)
        return jm.outcomes(mechanism).revenue if free else fixed_rule_outcomes(mechanism, market)[0]

    free, fixed = jax.grad(along)(0.5, True), jax.grad(along)(0.5, False)
    assert abs(free - fixed) > 0.01 * abs(free)


@pytest.mark.slow
def test_no_derivative_passes_through_the_rule():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5))
    slopes = jax.jacfwd(lambda alpha: jnp.stack(fixed_rule_outcomes(jm.solve(market, alpha), market)))(0.4)
    assert np.all(slopes == 0)


@jax.jit
def envelope(market, alpha):
    """Gradients to the market, in all lanes: of the objective, and of the Lagrangian with the rule fixed."""

    def objective(market):
        found = answers(market, alpha)
        return found.objective, found

    rule = jm.solve(market, alpha)
    multiplier = rule.budget_multiplier

    def lagrangian(market):
        revenue, efficiency = fixed_rule_outcomes(rule, market)
        return (1 + multiplier) * (rule.weight * revenue + (1 - rule.weight) * efficiency)

    _, pull, found = jax.vjp(objective, market, has_aux=True)
    _, pull_fixed = jax.vjp(lagrangian, market)
    ones = jnp.ones_like(alpha)
    return pull(ones)[0], pull_fixed(ones)[0], multiplier, jm.outcomes(rule).first_best_surplus, found.solved


@pytest.mark.slow
def test_the_optimum_moves_with_every_parameter_as_if_its_rule_were_fixed():
    """dJ/dθ = (1 + λ)(w ∂R/∂θ + (1 − w) ∂A/∂θ), V and Ω fixed (theory §12): no lane left out, kinks included.

    A change of θ counts in units of θ, or of the support's width; a change of J in units of (1 + λ) surpluses.
    """
    everything, alphas = random_markets((0, 2, 0), MARKETS, seed=64), random_alphas(MARKETS, seed=65)
    binding = 0
    for start in range(0, MARKETS, CHUNK):
        market, alpha = jax.tree.map(lambda leaf, s=start: leaf[..., s : s + CHUNK], (everything, alphas))
        whole, fixed, multiplier, surplus, solved = envelope(market, alpha)
        assert np.all(solved)
        binding += int(np.sum(multiplier > 0))
        values, whole, fixed = entries(market), entries(whole), entries(fixed)
        for name, value in values.items():
            unit = market.endowment.width if is_location(name) else value
            error = np.abs(whole[name] - fixed[name]) * unit / ((1 + multiplier) * surplus)
            assert np.max(error) <= 1e-10, (name, start + int(np.argmax(np.max(error, axis=0))), np.max(error))
    assert binding > MARKETS / 20


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7])
def test_the_identity_holds_for_uniform_endowments_whether_or_not_the_budget_binds(alpha):
    """U[0, 1]² with κ = (0.5, 1.5) has w* = 0.1636: the first two bind."""
    market = jm.Market.of(jm.Traders(jm.Uniform(0, 1), np.array([0.5, 1.5])))
    whole, fixed, multiplier, *_ = envelope(market, jnp.asarray(alpha))
    assert (multiplier > 0) == (alpha < 0.16)
    for name, gradient in entries(fixed).items():
        np.testing.assert_allclose(entries(whole)[name], gradient, rtol=1e-10, atol=1e-13, err_msg=name)
