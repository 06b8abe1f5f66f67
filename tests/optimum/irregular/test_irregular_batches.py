"""The optimum of laws that are not regular in batches, under vmap and jit, in float32, differentiated, and asked for
what there is not."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.testing.irregular_markets import irregular_markets
from jaxmech.testing.random_markets import extended, random_alphas

LANES = 40
KINDS = "two histograms", "normal mixtures", "uniform mixtures", "linear densities"


def given_of(kind, lanes=LANES):
    market, _ = irregular_markets(kind, lanes, 7)
    return extended(market, random_alphas(lanes, 8), 9)


def proved_infeasible(given, largest):
    """Whether a designer of revenue alone earns what is said to be the most, and his bound is below R_min."""
    greedy = replace(given.market, welfare_weight=None)
    greedy = jm.solve_irregular(greedy, jnp.ones_like(given.alpha), jnp.full_like(given.alpha, -jnp.inf))
    earned, proof = jm.outcomes(greedy), jm.certify(greedy)
    unit = earned.first_best_surplus
    below = earned.revenue + jnp.abs(proof.duality_gap) * unit < given.minimum_revenue
    same = jnp.abs(largest - earned.revenue) <= 1e-6 * (unit + jnp.abs(earned.revenue))
    return np.asarray(below & same & (proof.residual < 1e-6) & (proof.participation_slack > -1e-6))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_random_markets_are_certified_or_infeasible_with_proof_or_said_to_have_failed(kind):
    """Some of mixtures, where next to nobody is, are found to 1e-6 alone, or not at all: see beyond §16."""
    given = given_of(kind)
    refused = np.asarray(jm.solve(*given).refused)
    mechanism = jm.solve_irregular(*given)
    certified, error = np.asarray(jm.certify(mechanism).ok), np.asarray(mechanism.error)
    infeasible = np.isfinite(np.asarray(mechanism.largest_revenue))
    assert refused.sum() >= 15
    assert np.all(proved_infeasible(given, mechanism.largest_revenue)[infeasible])
    assert np.all(np.isinf(error[infeasible])) and np.all(error[certified] <= 1e-9)
    nothing = ~(error < np.inf)
    assert np.all(np.isnan(np.asarray(mechanism.eta)[:, nothing]))
    assert np.all(np.isnan(np.asarray(jm.outcomes(mechanism).revenue)[nothing]))
    least = 1.0 if kind == "two histograms" else 0.7
    assert np.mean((certified | infeasible)[refused]) >= least


@pytest.mark.slow
def test_nonsense_is_nan_and_hurts_no_neighbour():
    given = given_of("two histograms", 4)
    sound = jm.solve_irregular(*given)
    capacity = given.market.risk_capacity.at[0, 1].set(jnp.nan)
    option = replace(given.market.outside, steepness=given.market.outside.steepness.at[1, 2].set(jnp.nan))
    broken = jm.solve_irregular(replace(given.market, risk_capacity=capacity, outside=option), *given[1:])
    ok, earned = np.asarray(jm.certify(broken).ok), np.asarray(jm.outcomes(broken).revenue)
    assert np.isnan(earned[1:3]).all() and not ok[1:3].any() and np.isinf(np.asarray(broken.error)[1:3]).all()
    np.testing.assert_array_equal(earned[[0, 3]], np.asarray(jm.outcomes(sound).revenue)[[0, 3]])
    assert "failed" in broken.status


@pytest.mark.slow
def test_vmap_and_single_markets_agree_with_a_trailing_batch():
    given = given_of("two histograms", 4)
    trailing = jm.solve_irregular(*given)
    mapped = jax.jit(jax.vmap(jm.solve_irregular))(*jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), given))
    for name in ("eta", "weight", "error", "largest_revenue"):
        one, other = getattr(mapped, name), getattr(trailing, name)
        np.testing.assert_allclose(jnp.moveaxis(one, 0, -1), other, rtol=1e-9, atol=1e-10)
    alone = jm.solve_irregular(*jax.tree.map(lambda leaf: leaf[..., 0], given))
    np.testing.assert_allclose(alone.eta, trailing.eta[:, 0], rtol=1e-10, atol=1e-11)


NAMES = "gamma", "centre", "reserve", "peak", "spread", "mass", "risk_capacity", "alpha", "minimum_revenue"
INTERIOR = np.array([0.425, -0.18, 0.001, 0.37, 0.06, 0.37, 1.0, 0.8, -1.0])
BINDING = np.array([0.3, -0.1, 0.001, 0.37, 0.1, 0.37, 1.2, 0.1, 0.03])


@jax.jit
def answers_and_change(numbers, move):
    """R, A, η, rents and V of some types, and how they change along a move."""
    return jax.jvp(answers, (numbers,), (move,))


def answers(numbers):
    gamma, centre, reserve, peak, spread, mass, capacity, alpha, target = numbers
    narrow = jm.TruncatedNormal(peak, spread, -1.0, 1.0)
    law = jm.Mixture((jm.Uniform(-1.0, 1.0), narrow), jnp.stack([1 - mass, mass]))
    one = jm.Traders(law, capacity, outside=jm.OutsideOption(gamma, centre, reserve))
    market = jm.Market.of(one, jm.Traders(jm.Uniform(-1.0, 1.0), 1.0))
    mechanism = jm.solve_irregular(market, alpha, target)
    achieved, moments = jm.outcomes(mechanism), mechanism.interim()
    virtual = mechanism.virtual_type(jnp.array([[-0.3, 0.2], [0.2, -0.7], [0.7, 0.9]]))
    parts = achieved.revenue, achieved.efficiency, mechanism.eta, moments.rent, virtual, mechanism.error
    return jnp.concatenate([jnp.ravel(part) for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [INTERIOR, BINDING], ids=["no budget binds", "the budget binds"])
def test_first_derivatives_are_central_differences(numbers):
    """In α, the option, R_min, the law and risk capacity."""
    step, base = 1e-5, answers_and_change(numbers, 0 * numbers)[0]
    assert base[-1] < 1e-9 and (abs(base[0] - numbers[-1]) < 1e-8) == (numbers is BINDING)
    for place, name in enumerate(NAMES):
        move = np.eye(len(numbers))[place]
        change = answers_and_change(numbers, move)[1]
        high, low = (answers_and_change(numbers + way * step * move, move)[0] for way in (1, -1))
        by_difference = (high - low) / (2 * step)
        np.testing.assert_allclose(change[:-1], by_difference[:-1], rtol=2e-5, atol=2e-6, err_msg=name)


FLOAT32 = """
import jax.numpy as jnp
import numpy as np
import warnings
warnings.simplefilter("ignore")
import jaxmech as jm

law = jm.Mixture((jm.Uniform(-1, 1), jm.TruncatedNormal(0.37, 0.06, -1, 1)), [0.63, 0.37])
one = jm.Traders(law, 1.0, outside=jm.OutsideOption(0.425, -0.18))
market = jm.Market.of(one, jm.Traders(jm.Uniform(-1, 1), 1.0))
mechanism = jm.solve_irregular(market, 1.0, -np.inf)
earned = jm.outcomes(mechanism)
assert earned.revenue.dtype == jnp.float32
assert abs(float(earned.revenue) - 0.01587512) < 5e-4 * float(earned.first_best_surplus)
assert float(mechanism.error) < 5e-4
print("fine")
"""


@pytest.mark.slow
def test_float32_is_good_for_three_digits():
    environment = {**os.environ, "JAX_ENABLE_X64": "0", "PYTHONPATH": str(Path(jm.__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", FLOAT32], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "fine\n", done.stderr
