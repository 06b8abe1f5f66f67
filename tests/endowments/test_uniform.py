"""Uniform endowments, against their moments in many digits."""

import jax
import numpy as np
import pytest

from jaxmech.endowments import Uniform

from . import accuracy

LAWS = accuracy.rows(Uniform, [(0, 1), (-1, 2), (5, 5.5), (-3e4, 1e3)])
POINTS = [(0, 1, 0.3), (-1, 2, 1.9), (5, 5.5, 5.01)]
ENDS = [(-1, 2, -1), (-1, 2, 2)]


@pytest.fixture(scope="module")
def value_errors():
    return accuracy.value_errors(LAWS, (1e-9, 0.1, 0.5, 0.99))


@pytest.fixture(scope="module")
def derivatives():
    return accuracy.derivatives(accuracy.differentiated(Uniform), POINTS + ENDS)


@pytest.mark.parametrize("name", accuracy.NAMES)
def test_every_function_is_right_to_1e_12(value_errors, name):
    assert value_errors[name] <= 1e-12


def test_squared_ratio_integral_is_right_to_1e_12():
    assert accuracy.squared_ratio_error(LAWS, (0.1, 0.5, 0.99)) <= 1e-12


def test_first_derivatives_are_right_in_z_and_both_ends(derivatives):
    expected, _ = accuracy.exact_gradients(Uniform, POINTS)
    assert accuracy.derivative_error(derivatives[0][: len(POINTS)], expected) <= 1e-9


def test_second_derivatives_are_right_in_z_and_both_ends(derivatives):
    _, expected = accuracy.exact_gradients(Uniform, POINTS)
    assert accuracy.derivative_error(derivatives[2][: len(POINTS)], expected) <= 1e-7


def test_reverse_mode_gives_the_forward_derivatives(derivatives):
    np.testing.assert_allclose(derivatives[1], derivatives[0], rtol=1e-9, atol=1e-12)


def test_squared_ratio_integral_has_right_derivatives():
    found = accuracy.derivatives(accuracy.squared_ratio(Uniform), POINTS)
    expected = accuracy.exact_squared_ratio_gradients(Uniform, POINTS)
    assert max(map(accuracy.derivative_error, (found[0], found[2]), expected)) <= 1e-9


def test_cdf_ratio_leaves_the_lower_end_at_zero_with_slope_one():
    tail = jax.jit(Uniform.left_tail)(LAWS, LAWS.lower)
    np.testing.assert_array_equal(np.stack([tail.ratio, tail.ratio_slope - 1]), 0)
