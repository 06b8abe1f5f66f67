"""Truncated normal endowments hold their digits on supports far from the mode, and at scales tiny or huge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmech.endowments import TruncatedNormal

from . import accuracy

HARD = accuracy.rows(
    TruncatedNormal,
    [
        (0.2, 0.5, -1, 1),
        (0, 1, 8, 10),
        (0, 1, 10, 12),
        (0, 1, -12, -10),
        (0, 1, -10, 10),
        (5, 3, -40, 2),
        (0.3, 0.02, -1, 1),
        (0, 100, -1, 1),
        (0, 2e4, -1, 1),
        (100, 1000, 0, 1),
    ],
)
FRACTIONS = (1e-9, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-9)
# loc, scale, lower, upper, z
INTERIOR = [
    (0.2, 0.5, -1, 1, -0.9999),
    (0.2, 0.5, -1, 1, 0.3),
    (0, 1, 8, 10, 8.001),
    (0, 1, 8, 10, 9.5),
    (0, 1, -10, -8, -9.9),
    (0, 1, -10, -8, -8.1),
    (0, 1, -10, 10, -3),
    (0, 1, -10, 10, 2),
    (0, 1000, -1, 1, -0.5),
    (0, 1000, -1, 1, 0.9),
]
ENDS = [(*law, end) for law in [(0.2, 0.5, -1, 1), (0, 1, 8, 10), (0, 1, -10, -8), (0, 1000, -1, 1)] for end in law[2:]]


@pytest.fixture(scope="module")
def value_errors():
    return accuracy.value_errors(HARD, FRACTIONS)


@pytest.fixture(scope="module")
def derivatives():
    return accuracy.derivatives(accuracy.differentiated(TruncatedNormal), INTERIOR + ENDS)


@pytest.fixture(scope="module")
def exact_derivatives():
    return accuracy.exact_gradients(TruncatedNormal, INTERIOR)


@pytest.fixture(scope="module")
def squared_ratio_derivatives():
    return accuracy.derivatives(accuracy.squared_ratio(TruncatedNormal), INTERIOR[1:6:2] + ENDS)


@pytest.fixture(scope="module")
def exact_squared_ratio_derivatives():
    return accuracy.exact_squared_ratio_gradients(TruncatedNormal, INTERIOR[1:6:2])


@pytest.mark.parametrize("name", accuracy.NAMES)
def test_every_function_is_right_to_1e_12(value_errors, name):
    assert value_errors[name] <= 1e-12


@pytest.mark.slow
def test_squared_ratio_integral_is_right_to_1e_12():
    assert accuracy.squared_ratio_error(HARD, (1e-3, 0.1, 0.5, 0.9, 0.999)) <= 1e-12


@pytest.mark.slow
def test_first_derivatives_are_right_in_z_and_every_field(derivatives, exact_derivatives):
    assert accuracy.derivative_error(derivatives[0][: len(INTERIOR)], exact_derivatives[0]) <= 1e-9


def test_second_derivatives_are_right_in_z_and_every_field(derivatives, exact_derivatives):
    assert accuracy.derivative_error(derivatives[2][: len(INTERIOR)], exact_derivatives[1]) <= 1e-7


def test_reverse_mode_gives_the_forward_derivatives(derivatives):
    forward, reverse, _ = derivatives
    np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-12)


def test_derivatives_are_finite_at_both_ends(derivatives):
    assert all(np.isfinite(one[len(INTERIOR) :]).all() for one in derivatives)


@pytest.mark.slow
def test_squared_ratio_integral_has_right_first_derivatives(squared_ratio_derivatives, exact_squared_ratio_derivatives):
    found, expected = squared_ratio_derivatives[0], exact_squared_ratio_derivatives[0]
    assert accuracy.derivative_error(found[: len(expected)], expected) <= 1e-9


def test_squared_ratio_integral_has_right_second_derivatives(
    squared_ratio_derivatives, exact_squared_ratio_derivatives
):
    found, expected = squared_ratio_derivatives[2], exact_squared_ratio_derivatives[1]
    assert accuracy.derivative_error(found[: len(expected)], expected) <= 1e-7


def test_squared_ratio_integral_has_finite_derivatives_at_both_ends(squared_ratio_derivatives):
    assert all(np.isfinite(one[-len(ENDS) :]).all() for one in squared_ratio_derivatives)


def test_squared_ratio_integral_gives_the_forward_derivatives_in_reverse_mode(squared_ratio_derivatives):
    forward, reverse, _ = squared_ratio_derivatives
    np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-12)


def test_cdf_ratio_leaves_the_lower_end_at_zero_with_slope_one():
    tail = jax.jit(TruncatedNormal.left_tail)(HARD, HARD.lower)
    np.testing.assert_array_equal(jnp.stack([tail.ratio, tail.ratio_slope - 1]), 0)


def test_a_wide_normal_is_the_uniform_law():
    wide = TruncatedNormal(0.0, 1e9, -1.0, 3.0)
    z = np.linspace(-1, 3, 9)
    np.testing.assert_allclose(wide.left_tail(z).cdf, (z + 1) / 4, rtol=1e-15)


@pytest.mark.slow
def test_jax_truncnorm_has_no_gradient_at_the_ends_and_this_law_does():
    def of_jax(z):
        return jax.scipy.stats.truncnorm.cdf(z, -2.0, 2.0)

    if np.isfinite(jax.grad(of_jax)(-2.0)):
        pytest.skip("this JAX differentiates truncnorm.cdf at the ends")
    assert np.isfinite(jax.grad(TruncatedNormal(0.0, 1.0, -2.0, 2.0).cdf)(-2.0))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loc", [-3.0, -0.9, 0.0, 0.9, 3.0])
def test_what_nodes_are_asked_is_the_tail_also_where_the_density_underflows(loc, dtype):
    """F was 0 instead of 1 from 36 deviations above the mode on, where F/f is capped and f is 0."""
    scale = jnp.asarray([1.0, 0.1, 0.03, 0.01], dtype)
    law = TruncatedNormal(jnp.full(4, loc, dtype), scale, jnp.full(4, -1.0, dtype), jnp.full(4, 1.0, dtype))
    left, z = law.sides().one(0), jnp.linspace(-1, 1, 201, dtype=dtype)[:, None] * jnp.ones(4, dtype)
    found, tail = left.ratios(z), left.tail(z)
    rtol = 1e-10 if dtype == "float64" else 1e-2
    np.testing.assert_allclose(found.cdf, tail.cdf, rtol=rtol, atol=1e-30)
    np.testing.assert_allclose(found.density, tail.density, rtol=rtol, atol=1e-28)  # that of the tail is kept off 0
    finite = np.asarray(tail.ratio) < 1e30
    np.testing.assert_allclose(np.asarray(found.ratio)[finite], np.asarray(tail.ratio)[finite], rtol=rtol)
