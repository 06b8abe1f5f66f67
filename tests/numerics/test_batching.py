"""`vmap` runs the program of trailing axes, whatever it is mixed with, and gives the same numbers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from every_law import bell
from jaxmech.numerics import batching
from jaxmech.numerics.batching import batch_behind, differentiable_behind
from jaxmech.optimum import pieces
from jaxmech.optimum.budget import solve_within_budget

BATCH = 6


def revenue(weight, capacity, loc):
    """R of three groups; count and one end of the supports are the same in every lane."""
    market = jm.Market.of(jm.Traders(jm.Uniform(loc - 1.0, 1.0), capacity, 4))
    return jm.outcomes(jm.solve(market, weight)).revenue


@pytest.fixture(scope="module")
def lanes():
    draws = np.random.default_rng(3)
    return (
        jnp.asarray(draws.uniform(0, 1, BATCH)),
        jnp.asarray(draws.uniform(0.5, 1.5, (BATCH, 3))),
        jnp.asarray(draws.uniform(-0.2, 0.2, (BATCH, 3))),
    )


def one_by_one(function, lanes):
    return jnp.stack([function(*(part[lane] for part in lanes)) for lane in range(BATCH)])


def loops(jaxpr):
    """Shapes that the loops of a jaxpr carry."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            found.append([variable.aval.shape for variable in equation.outvars])
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            found += loops(inner) if hasattr(inner, "eqns") else []
    return found


def test_the_loops_of_a_vmapped_solve_have_the_batch_behind(lanes):
    carried = loops(jax.make_jaxpr(jax.vmap(revenue))(*lanes).jaxpr)
    assert carried
    assert all(shape[-1] == BATCH for shapes in carried for shape in shapes if len(shape) > 0)
    assert any(shape == (2, 3, BATCH) for shapes in carried for shape in shapes)


@pytest.mark.slow
def test_derivatives_pass_through_vmap_in_either_order(lanes):
    gradient = jax.grad(revenue, argnums=2)
    alone = one_by_one(gradient, lanes)
    of_sum = jax.grad(lambda *at: jax.vmap(revenue)(*at).sum(), argnums=2)
    for found in (jax.vmap(gradient)(*lanes), of_sum(*lanes)):
        np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-14)


@pytest.mark.exhaustive
def test_second_derivatives_pass_through_vmap_in_either_order(lanes):
    forwards = jax.jit(jax.vmap(jax.jacfwd(revenue, argnums=2)))
    np.testing.assert_allclose(forwards(*lanes), jax.vmap(jax.grad(revenue, argnums=2))(*lanes), rtol=1e-11, atol=1e-14)
    alone = jax.jacfwd(jax.jacrev(revenue, argnums=2), argnums=2)(*(part[0] for part in lanes))
    of_sum = jax.hessian(lambda *at: jax.vmap(revenue)(*at).sum(), argnums=2)(*lanes)
    np.testing.assert_allclose(jax.vmap(jax.hessian(revenue, argnums=2))(*lanes)[0], alone, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(of_sum[0, :, 0], alone, rtol=1e-10, atol=1e-13)


@pytest.mark.slow
def test_nested_batches_are_one(lanes):
    nested = tuple(part.reshape(2, 3, *part.shape[1:]) for part in lanes)
    found = jax.jit(jax.vmap(jax.vmap(revenue)))(*nested)
    np.testing.assert_allclose(found.ravel(), jax.vmap(revenue)(*lanes), rtol=1e-14)


def test_a_large_table_that_lanes_share_is_not_copied_for_each():
    table = jnp.arange(2.0 * batching._COPIED).reshape(-1, 2)
    weights = jnp.arange(1.0, 5.0)
    looked = batch_behind(lambda table, weight: jnp.sum(table, axis=0) * weight)
    text = str(jax.make_jaxpr(jax.vmap(looked, in_axes=(None, 0)))(table, weights))
    assert f"{table.shape[0]},2,4" not in text
    np.testing.assert_array_equal(
        jax.vmap(looked, in_axes=(None, 0))(table, weights), weights[:, None] * jnp.sum(table, axis=0)
    )


def test_what_does_not_depend_on_the_batch_is_the_same_in_every_lane_also_beside_derivatives():
    function = differentiable_behind(lambda x, y: (x * y, jnp.sin(y)))

    @jax.jit
    def both(x, y):
        product, other = function(x, y)
        return product + other

    x = jnp.arange(3.0)
    np.testing.assert_allclose(jax.grad(lambda x: jax.vmap(both, (0, None))(x, 2.0).sum())(x), [2.0] * 3)


@pytest.mark.parametrize("lanes", [21, 24, 40])
def test_a_batch_in_pieces_is_the_whole_batch(lanes, monkeypatch):
    draws = np.random.default_rng(lanes)
    law = jm.Uniform(jnp.asarray(draws.uniform(-2, -1, (3, lanes))), jnp.asarray(draws.uniform(1, 2, (3, lanes))))
    capacity, count = jnp.asarray(draws.uniform(0.5, 1.5, (3, lanes))), jnp.asarray([2.0, 1.0, 3.0])[:, None]
    market, alpha = jm.Market(law, capacity, count), jnp.linspace(0, 1, lanes)
    loops, answers = [], []

    def solved(market, alpha):
        prepared = market.prepared()

        def weights(capacity):
            return jnp.sum(solve_within_budget(replace(prepared, risk_capacity=capacity), alpha)[0])

        return solve_within_budget(prepared, alpha), jax.grad(weights)(prepared.risk_capacity)

    for held in (0, 10**9):
        monkeypatch.setattr(pieces, "_HELD", held)
        program = jax.jit(lambda *at: solved(*at))
        loops.append(str(jax.make_jaxpr(program)(market, alpha)).count("scan["))
        answers.append(program(market, alpha))
    assert loops[0] > loops[1]
    jax.tree.map(lambda *pair: np.testing.assert_allclose(*pair, rtol=1e-12, atol=1e-15), *answers)


@pytest.mark.slow
def test_a_list_as_long_as_the_batch_that_all_markets_share_is_left_whole(monkeypatch):
    lanes, one = 24, jnp.ones((2, 24))
    kinks = jnp.linspace(-0.5, 0.5, lanes)  # the density's own is the last, which the first piece would lose

    def certificate(kinks):
        law = jm.Density(tent, {"slope": 0.5 * one}, -one, one, kinks=kinks)
        return jm.certify(jm.solve(jm.Market(law, one, 2 * one), jnp.linspace(0, 1, lanes)))

    monkeypatch.setattr(pieces, "_HELD", 0)
    proof = certificate(kinks)
    assert proof.ok.all()
    jax.tree.map(np.testing.assert_array_equal, proof, certificate(kinks[:, None, None]))


def tent(z, parameters):
    return -jnp.exp(parameters["slope"] * jnp.abs(z - 0.5))


@pytest.mark.slow
def test_a_batch_of_densities_without_kinks_is_certified_in_pieces():
    lower = jnp.asarray(np.linspace(-1.2, -0.8, 40)[None])
    law = jm.Density(bell, {"s": 0.5 + 0 * lower}, lower, 1 + 0 * lower)
    assert jm.Market(law.stretched(2.0).shifted(lower), lower, lower).endowment.kinks == ()
    market, alpha = jm.Market(law, 1 + 0 * lower, 3 + 0 * lower), jnp.linspace(0.2, 1, 40)
    certificate = jax.jit(lambda market, alpha: jm.certify(jm.solve(market, alpha)))(market, alpha)
    assert np.all(certificate.ok)
