"""Derivatives of the whole solve, against central differences and against the envelope identities."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.testing.random_markets import random_alphas, random_markets
from marks import cases

STRUCTURES = ((3, 0, 0), (0, 3, 0), (1, 1, 1))


def achieved(market, alpha):
    """Revenue and efficiency of the optimum, shape (2, ...)."""
    result = jm.outcomes(jm.solve(market, alpha))
    return jnp.stack([result.revenue, result.efficiency])


def away_from_kinks(market, alpha, margin=1e-3):
    """Lanes whose derivatives are two-sided: α off w*, no η near a value where an end reaches the support."""
    mechanism = jm.solve(market, alpha)
    law, weight = market.endowment, mechanism.weight
    sides, target = law.sides(), jnp.stack([mechanism.eta, -mechanism.eta])
    top = sides.upper + weight * sides.tail(sides.upper).ratio
    near = margin * law.width
    kinks = (jnp.abs(target - sides.lower) < near) | (jnp.abs(target - jnp.minimum(top, 1e6)) < near)
    binds = jnp.abs(jm.budget_weight(market) - alpha) < margin
    return ~jnp.any(kinks, axis=(0, 1)) & ~binds & (alpha > margin) & (alpha < 1 - margin)


def lane(tree, number):
    return jax.tree.map(lambda leaf: leaf[..., number], tree)


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases(STRUCTURES, [(1, 1, 1)]), ids=str)
def test_every_derivative_of_the_optimum_matches_central_differences(structure):
    batch, step = 64, 1e-4
    market, alpha = random_markets(structure, batch, seed=11), random_alphas(batch, seed=12)
    _, pull = jax.vjp(achieved, market, alpha)
    gradients = [pull(jnp.zeros((2, batch)).at[k].set(1.0)) for k in range(2)]
    good = np.asarray(away_from_kinks(market, alpha))
    assert good.sum() > batch / 3
    value = jax.jit(achieved)
    leaves, tree = jax.tree.flatten((market, alpha))
    for place, leaf in enumerate(leaves):
        rows = leaf if leaf.ndim == 2 else leaf[None]
        for row in range(rows.shape[0]):

            def at(size, place=place, row=row, leaf=leaf):
                moved = leaf.at[row].add(size) if leaf.ndim == 2 else leaf + size
                return value(*jax.tree.unflatten(tree, [*leaves[:place], moved, *leaves[place + 1 :]]))

            central = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
            exact = jnp.stack([jax.tree.leaves(gradient)[place] for gradient in gradients])
            exact = exact[:, row] if leaf.ndim == 2 else exact
            scale = 1 + jnp.abs(central) + jnp.abs(value(market, alpha))
            error = np.asarray(jnp.abs(exact - central) / scale)[:, good]
            assert error.max() <= 1e-7, (place, row, error.max())


@pytest.mark.exhaustive
@pytest.mark.parametrize("structure", STRUCTURES[:2], ids=str)
def test_the_objective_obeys_the_envelope_theorem(structure):
    """dJ/dα = R − A where the budget does not bind, whatever the mechanism does (theory §2, §12)."""
    batch = 64
    market, alpha = random_markets(structure, batch, seed=21), jnp.linspace(0.5, 0.95, batch)

    def objective(alpha):
        revenue, efficiency = achieved(market, alpha)
        return alpha * revenue + (1 - alpha) * efficiency

    _, slope = jax.jvp(objective, (alpha,), (jnp.ones(batch),))
    revenue, efficiency = achieved(market, alpha)
    free = np.asarray(jm.budget_weight(market) < alpha)
    scale = jnp.abs(revenue) + jnp.abs(efficiency)
    assert np.max(np.abs(slope - (revenue - efficiency)) / scale, where=free, initial=0) <= 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases(STRUCTURES[:2], [(0, 3, 0)]), ids=str)
def test_where_the_budget_binds_alpha_does_not_matter_and_revenue_stays_zero(structure):
    batch = 64
    market = random_markets(structure, batch, seed=31)
    floor = jm.budget_weight(market)
    alpha = 0.5 * floor
    value, pull = jax.vjp(achieved, market, alpha)
    binds = np.asarray(floor > 1e-6)
    assert binds.sum() > 10
    revenue_gradient = pull(jnp.zeros((2, batch)).at[0].set(1.0))
    efficiency_gradient = pull(jnp.zeros((2, batch)).at[1].set(1.0))
    largest = max(float(np.max(np.abs(leaf)[..., binds])) for leaf in jax.tree.leaves(revenue_gradient))
    assert largest <= 1e-8 * max(1.0, float(jnp.max(jnp.abs(value))))
    assert np.max(np.abs(efficiency_gradient[1])[binds]) == 0


def example_1(alpha, traders=5):
    """Closed forms of Example 1 (theory §10): revenue and efficiency of N traders on U[−1, 1], κ = ½."""
    w, n = alpha, traders
    return (n - 1) * 2 / 3 * w / (1 + w) ** 2, -(n / 3) * (1 - (1 - 1 / n) * (1 + 2 * w) / (1 + w) ** 2)


@pytest.mark.slow
@pytest.mark.parametrize("order", [1, 2])
def test_first_and_second_derivatives_equal_those_of_example_1(order):
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5))

    def optimum(alpha):
        return jnp.stack([*achieved(market, alpha)])

    closed = lambda alpha: jnp.stack(example_1(alpha))  # noqa: E731
    for _ in range(order):
        optimum, closed = jax.jacfwd(optimum), jax.jacfwd(closed)
    np.testing.assert_allclose(optimum(0.4), closed(0.4), rtol=0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases([(2, 0, 0), (0, 2, 0)], [(0, 2, 0)]), ids=str)
def test_hessians_are_symmetric_and_match_differences_of_gradients(structure):
    from jax.flatten_util import ravel_pytree

    batch = random_markets(structure, 64, seed=41)
    good = np.flatnonzero(away_from_kinks(batch, jnp.full(64, 0.6), margin=0.02))[:3]
    assert good.size == 3
    _, build = ravel_pytree(lane(batch, 0))

    def free_optimum(x):
        """The budget does not bind in these lanes, so w = α; the search for w* would double the compilation."""
        result = jm.outcomes(jm.solve_at_weight(build(x), 0.6))
        return jnp.stack([result.revenue, result.efficiency])

    gradient = jax.jit(jax.jacfwd(free_optimum))
    hessian = jax.jit(jax.jacfwd(jax.jacfwd(free_optimum)))
    for number in good:
        x, step = ravel_pytree(lane(batch, number))[0], 1e-5
        exact = hessian(x)
        scale = 1 + np.abs(exact).max()
        np.testing.assert_allclose(exact / scale, np.swapaxes(exact, 1, 2) / scale, rtol=0, atol=1e-9)
        moves = [(gradient(x.at[k].add(step)) - gradient(x.at[k].add(-step))) / (2 * step) for k in range(x.size)]
        np.testing.assert_allclose(exact / scale, np.stack(moves, axis=-1) / scale, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_derivatives_are_one_sided_at_the_budget_weight():
    """At α = w* the derivative is that from above; just below it is 0."""
    market = jm.Market.of(jm.Traders(jm.Uniform(0, 1), np.array([0.5, 1.5])))
    floor = float(jm.budget_weight(market))
    slope = jax.jacfwd(partial(achieved, market))
    assert np.all(slope(floor - 1e-9) == 0)
    np.testing.assert_allclose(slope(floor), slope(floor + 1e-9), rtol=1e-6)
    assert slope(floor)[0] > 0.1


def test_the_budget_weight_moves_with_the_market_as_differences_say():
    def floor(capacity):
        return jm.budget_weight(jm.Market.of(jm.Traders(jm.Uniform(0, 1), jnp.stack([0.5, capacity]))))

    step = 1e-6
    central = (floor(1.5 + step) - floor(1.5 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(floor)(1.5), central, rtol=1e-7)


@pytest.mark.slow
def test_float32_agrees_with_float64_to_its_own_tolerance():
    batch = 256
    market, alpha = random_markets((0, 3, 0), batch, seed=51), random_alphas(batch, seed=52)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (market, alpha))
    exact, rough = jm.outcomes(jm.solve(market, alpha)), jm.outcomes(jm.solve(*single))
    assert rough.revenue.dtype == jnp.float32
    error = np.abs(np.asarray(rough.efficiency, float) - exact.efficiency) / exact.first_best_surplus
    assert np.isfinite(error).all()
    assert np.quantile(error, 0.95) < 1e-3
    assert float(jnp.mean(jm.certify(jm.solve(*single)).ok)) > 0.9
