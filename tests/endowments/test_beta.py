"""Beta endowments hold their digits for shapes from 1 to 50, with derivatives in the shapes that JAX does not have."""

import jax
import numpy as np
import pytest

from jaxmech.endowments import Beta

from . import accuracy

SUPPORT = (-1.0, 1.5)
HARD = accuracy.rows(
    Beta,
    [
        (*shapes, *SUPPORT)
        for shapes in [(1, 1), (1.01, 1.5), (1.45, 1.683), (2, 3), (1, 50), (50, 1), (30, 3), (3.3, 30), (50, 50)]
    ],
)
FRACTIONS = (1e-9, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-9)
# a, b, lower, upper, z
INTERIOR = [
    (2, 3, *SUPPORT, -0.999),
    (2, 3, *SUPPORT, 1.0),
    (1.45, 1.683, *SUPPORT, -0.3),
    (1.01, 1.4, *SUPPORT, 0.9),
    (1, 50, *SUPPORT, -0.95),
    (30, 3, *SUPPORT, 1.2),
    (50, 50, *SUPPORT, 0.2),
    (50, 50, *SUPPORT, 0.3),
]
SHAPES_AT_ENDS = [(1, 1), (2, 3), (1, 1.5), (1.5, 2.5), (30, 3)]
LOWER_ENDS = [(*shapes, *SUPPORT, SUPPORT[0]) for shapes in SHAPES_AT_ENDS]
UPPER_ENDS = [(*shapes, *SUPPORT, SUPPORT[1]) for shapes in SHAPES_AT_ENDS]
FINITE_EVERYWHERE = [accuracy.DIFFERENTIATED.index(name) for name in ("cdf", "cdf_integral", "partial_second_moment")]
FINITE_AT_LOWER = [*FINITE_EVERYWHERE, accuracy.DIFFERENTIATED.index("cdf_ratio")]
SQUARED_RATIO = [INTERIOR[2], INTERIOR[1], INTERIOR[5]]


@pytest.fixture(scope="module")
def value_errors():
    return accuracy.value_errors(HARD, FRACTIONS)


@pytest.fixture(scope="module")
def derivatives():
    return accuracy.derivatives(accuracy.differentiated(Beta), INTERIOR + LOWER_ENDS + UPPER_ENDS)


@pytest.fixture(scope="module")
def exact_derivatives():
    return accuracy.exact_gradients(Beta, INTERIOR)


@pytest.fixture(scope="module")
def squared_ratio_derivatives():
    return accuracy.derivatives(accuracy.squared_ratio(Beta), SQUARED_RATIO + LOWER_ENDS)


@pytest.fixture(scope="module")
def exact_squared_ratio_derivatives():
    return accuracy.exact_squared_ratio_gradients(Beta, SQUARED_RATIO)


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
    inside = slice(len(INTERIOR))
    np.testing.assert_allclose(reverse[inside], forward[inside], rtol=1e-9, atol=1e-12)


def test_cdf_and_its_integrals_have_finite_derivatives_at_both_ends(derivatives):
    assert all(np.isfinite(one[len(INTERIOR) :, FINITE_EVERYWHERE]).all() for one in derivatives)


def test_cdf_ratio_has_finite_derivatives_at_the_lower_end_even_where_the_density_vanishes(derivatives):
    at_lower = slice(len(INTERIOR), len(INTERIOR) + len(LOWER_ENDS))
    assert all(np.isfinite(one[at_lower][:, FINITE_AT_LOWER]).all() for one in derivatives)


def test_cdf_ratio_leaves_the_lower_end_with_slope_one_over_a(derivatives):
    at_lower = derivatives[0][len(INTERIOR) : len(INTERIOR) + len(LOWER_ENDS)]
    slopes = at_lower[:, accuracy.DIFFERENTIATED.index("cdf_ratio"), -1]
    np.testing.assert_allclose(slopes, [1 / a for a, _ in SHAPES_AT_ENDS], rtol=1e-13)


def test_cdf_ratio_is_zero_at_the_lower_end_even_where_the_density_vanishes():
    np.testing.assert_array_equal(jax.jit(Beta.cdf_ratio)(HARD, HARD.lower), 0)


@pytest.mark.slow
def test_squared_ratio_integral_has_right_first_derivatives(squared_ratio_derivatives, exact_squared_ratio_derivatives):
    found, expected = squared_ratio_derivatives[0], exact_squared_ratio_derivatives[0]
    assert accuracy.derivative_error(found[: len(expected)], expected) <= 1e-9


def test_squared_ratio_integral_has_right_second_derivatives(
    squared_ratio_derivatives, exact_squared_ratio_derivatives
):
    found, expected = squared_ratio_derivatives[2], exact_squared_ratio_derivatives[1]
    assert accuracy.derivative_error(found[: len(expected)], expected) <= 1e-7


def test_squared_ratio_integral_has_finite_derivatives_at_the_lower_end(squared_ratio_derivatives):
    assert all(np.isfinite(one[-len(LOWER_ENDS) :]).all() for one in squared_ratio_derivatives)


def test_squared_ratio_integral_gives_the_forward_derivatives_in_reverse_mode(squared_ratio_derivatives):
    forward, reverse, _ = squared_ratio_derivatives
    np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-12)


def test_jax_betaln_loses_digits_and_this_law_does_not():
    exact = float(accuracy.exact(Beta(30.0, 3.0, 0.0, 1.0), 0.9)["log_pdf"])
    of_jax = 29 * np.log(0.9) + 2 * np.log(0.1) - jax.scipy.special.betaln(30.0, 3.0)
    if abs(of_jax - exact) < 1e-12:
        pytest.skip("this JAX has betaln right")
    assert abs(of_jax - exact) > 1e-9 > 1e4 * abs(Beta(30.0, 3.0, 0.0, 1.0).log_pdf(0.9) - exact)


def test_jax_betainc_has_no_derivative_in_its_shapes():
    try:
        slope = jax.grad(jax.scipy.special.betainc)(2.0, 3.0, 0.4)
    except (ValueError, TypeError, NotImplementedError):
        return
    exact = accuracy.exact_derivatives(Beta(2.0, 3.0, 0.0, 1.0), 0.4, ["cdf"])[1][0, 0]
    if abs(slope - exact) < 1e-9:
        pytest.skip("this JAX differentiates betainc in its shapes")


@pytest.mark.slow
@pytest.mark.parametrize("shapes", [(300.0, 300.0), (100.0, 100.0), (30.0, 200.0), (1.05, 300.0)], ids=str)
def test_the_integral_of_the_squared_ratio_sees_all_of_a_narrow_law(shapes):
    """Against 40 panels of 40 nodes; those of the law once ended 1.6 standard deviations below a mean."""
    law = Beta(*(np.full(1, number) for number in (*shapes, 0.0, 1.0)))
    top = law.quantile(np.array([0.7]))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = np.append(0.0, np.geomspace(1e-3, 1.0, 40)) * float(top[0])
    half = 0.5 * np.diff(edges)[:, None]
    tail = law.left_tail((edges[:-1, None] + half * (nodes + 1)).reshape(-1, 1))
    exact = np.sum(half * weights * np.asarray(tail.cdf * tail.ratio).reshape(40, 40))
    np.testing.assert_allclose(law.squared_ratio_integral(top)[0], exact, rtol=1e-12)
