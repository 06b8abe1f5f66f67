"""Places in sorted arrays and isotonic regression are those of NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from jaxmech.numerics.isotonic import isotonic
from jaxmech.numerics.search import count_below, first_reached, pick, runs

LANES = 40
fitted = jax.jit(lambda values, weights: isotonic(values, weights).level)
counted = jax.jit(count_below, static_argnums=2)


def lanes(size, seed=0, lanes=LANES):
    """Values of several kinds, one a lane: random, nearly sorted, falling, with ties, huge and tiny."""
    generator = np.random.default_rng([seed, size])
    values = generator.normal(size=(size, lanes))
    values[:, 1::5] = 0.1 * values[:, 1::5] + np.linspace(0, 1, size)[:, None]
    values[:, 2::5] = -np.sort(values[:, 2::5], axis=0)
    values[:, 3::5] = np.round(values[:, 3::5])
    values[:, 4::5] *= 10.0 ** generator.integers(-12, 12, values[:, 4::5].shape)
    return values, generator.uniform(0.1, 2, (size, lanes))


def regression(values, weights):
    """SciPy's, lane by lane."""
    shape = values.shape
    values, weights = values.reshape(len(values), -1), weights.reshape(len(values), -1)
    found = [isotonic_regression(v, weights=w).x for v, w in zip(values.T, weights.T, strict=True)]
    return np.stack(found, axis=-1).reshape(shape)


def assert_close(found, exact, values):
    scale = np.max(abs(values), axis=0) + 1e-300
    np.testing.assert_allclose(found / scale, exact / scale, rtol=0, atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 17, 32, 70])
def test_isotonic_regression_is_that_of_scipy(size):
    values, weights = lanes(size)
    assert_close(fitted(values, weights), regression(values, weights), values)


def test_every_length_up_to_70_is_regressed():
    """A length below 70 is one of 70 whose last weights are 0 and whose last values are large."""
    values, weights = lanes(70, lanes=70)
    lengths = np.arange(1, 71)
    beyond = np.arange(70)[:, None] >= lengths
    values, weights = np.where(beyond, 1e13, np.clip(values, -9, 9)), np.where(beyond, 0.0, weights)
    found = np.asarray(fitted(values, weights))
    for lane, length in enumerate(lengths):
        exact = isotonic_regression(values[:length, lane], weights=weights[:length, lane]).x
        np.testing.assert_allclose(found[:length, lane], exact, rtol=0, atol=1e-12)


def test_equal_values_stay_and_falling_ones_become_their_mean():
    values = np.stack([np.ones(9), np.arange(9.0)[::-1], np.repeat([2.0, 1.0, 3.0], 3)], axis=1)
    found = fitted(values, np.ones_like(values))
    np.testing.assert_allclose(found, np.stack([np.ones(9), np.full(9, 4.0), np.repeat([1.5, 3.0], [6, 3])], axis=1))


def test_values_that_rise_are_returned_as_they_are():
    values = np.sort(lanes(33)[0], axis=0)
    np.testing.assert_array_equal(fitted(values, np.ones_like(values)), values)


def test_values_of_no_weight_do_not_move_the_others():
    """Where all weigh nothing anything that rises will do."""
    values, weights = lanes(17, seed=1)
    light = np.random.default_rng(0).uniform(size=values.shape) < 0.4
    weights = np.where(light, 0.0, weights)
    found = np.asarray(fitted(values, weights))
    assert np.all(np.diff(found, axis=0) >= -1e-13 * np.max(abs(values), axis=0))
    for lane in range(LANES):
        heavy = ~light[:, lane]
        exact = isotonic_regression(values[heavy, lane], weights=weights[heavy, lane]).x
        assert_close(found[heavy, lane], exact, values[:, lane])
    assert np.all(np.isfinite(fitted(values, np.zeros_like(weights))))


def test_lanes_of_two_trailing_axes_are_regressed_apart():
    values, weights = (one.reshape(17, 8, 5) for one in lanes(17, seed=2))
    assert_close(fitted(values, weights), regression(values, weights), values)


@pytest.mark.parametrize(("strictly", "side"), [(True, "left"), (False, "right")])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 31, 64, 70])
def test_counts_below_are_the_places_that_numpy_finds(size, strictly, side):
    generator = np.random.default_rng(size)
    values = np.sort(generator.integers(-9, 9, (size, 6)) / 2, axis=0)
    target = np.concatenate(
        [generator.uniform(-6, 6, (40, 6)), values, np.full((1, 6), -np.inf), np.full((1, 6), np.inf)]
    )
    exact = [np.searchsorted(v, t, side=side) for v, t in zip(values.T, target.T, strict=True)]
    np.testing.assert_array_equal(counted(values, target, strictly), np.stack(exact, axis=1))


def test_places_are_found_and_picked_lane_by_lane_in_a_batch():
    generator = np.random.default_rng(3)
    values, target = np.sort(generator.normal(size=(20, 3, 4)), axis=0), generator.normal(size=(11, 3, 4))
    place = np.asarray(counted(values, target, True))
    exact = np.sum(values[None] < target[:, None], axis=1)
    np.testing.assert_array_equal(place, exact)
    inside = np.minimum(place, 19)
    np.testing.assert_array_equal(pick(jnp.asarray(values), inside), np.take_along_axis(values, inside, axis=0))


def runs_by_hand(linked, most):
    edges = np.diff(np.concatenate([[0], linked.astype(int), [0]]))
    found = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
    padding = [(len(linked), len(linked))] * most
    return (found + padding)[:most], len(found)


@pytest.mark.parametrize("most", [1, 3, 12])
def test_runs_are_those_counted_by_hand(most):
    linked = np.random.default_rng(4).uniform(size=(21, 50)) < np.linspace(0, 1, 50)
    first, last, exists, number = (np.asarray(one) for one in jax.jit(runs, static_argnums=1)(linked, most))
    for lane in range(50):
        exact, count = runs_by_hand(linked[:, lane], most)
        assert list(zip(first[:, lane], last[:, lane], strict=True)) == exact
        assert number[lane] == count and exists[:, lane].tolist() == [k < count for k in range(most)]


def test_runs_of_a_batch_are_those_of_its_lanes():
    linked = np.random.default_rng(5).uniform(size=(9, 4, 3)) < 0.5
    together, apart = runs(jnp.asarray(linked), 4), runs(jnp.asarray(linked.reshape(9, 12)), 4)
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.reshape(other.shape), other)


@pytest.mark.parametrize(("size", "targets"), [(5, 3), (200, 2), (200, 150)], ids=["few", "few targets", "many"])
def test_the_first_place_that_reaches_a_target_is_that_of_numpy(size, targets):
    generator = np.random.default_rng(size + targets)
    values = np.round(generator.normal(size=(size, LANES)), 1)
    target = np.round(3 * generator.normal(size=(targets, LANES)), 1)
    reached = values[:, None] >= target
    exact = np.where(reached.any(axis=0), reached.argmax(axis=0), size)
    np.testing.assert_array_equal(jax.jit(first_reached)(values, target), exact)
