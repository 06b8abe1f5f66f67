"""The scaled complementary error function and the bounded moments are those of mpmath."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxmech.endowments.mills import bounded_moments, erfcx, signed_mills


def test_erfcx_is_right_to_rounding_from_zero_to_far_out():
    points = np.concatenate([np.linspace(0, 8, 200), np.geomspace(8, 1e3, 30)])
    with mpmath.workdps(30):
        exact = [float(mpmath.exp(mpmath.mpf(x) ** 2) * mpmath.erfc(x)) for x in points]
    np.testing.assert_allclose(erfcx(points), exact, rtol=1e-15)


def test_erfcx_vanishes_as_one_over_x():
    np.testing.assert_allclose(erfcx(np.array([1e8, 1e100])) * np.array([1e8, 1e100]), np.pi**-0.5, rtol=1e-15)


def exact_moments(at, reach, near):
    """R_0, R_1, R_2 with enough digits for all that cancel."""
    with mpmath.workdps(400):
        at, reach, near = (mpmath.mpf(float(x)) for x in (at, reach, near))
        heights = [mpmath.exp((near**2 - t**2) / 2) for t in (at, at - reach)]
        tails = [mpmath.erfc(t / mpmath.sqrt(2)) for t in (at - reach, at)]
        zeroth = mpmath.sqrt(mpmath.pi / 2) * (tails[0] - tails[1]) * mpmath.exp(near**2 / 2)
        first = at * zeroth - (heights[1] - heights[0])
        return [float(x) for x in (zeroth, first, at * first + zeroth - reach * heights[1])]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("steepness", [1e-3, 0.03, 0.15, 0.4, 0.999])
def test_the_moments_of_a_piece_much_narrower_than_its_distance_keep_every_digit(steepness, dtype):
    """|ζ|h = `steepness`; by differences the second lost ten digits at (38, 0.15) in float64, and all in float32."""
    at = np.array([0.01, 0.5, 2, 3.4, 5, 10, 20, 38])
    at = np.concatenate([-at, at]).astype(dtype)
    reach = np.minimum(steepness / np.abs(at), 0.299).astype(dtype)
    near = np.clip(0, at - reach, at)
    mills = (signed_mills(jnp.asarray(end)) for end in (at - reach, at))
    found = bounded_moments(*map(jnp.asarray, (at, reach, near)), *mills)
    exact = np.transpose([exact_moments(*x) for x in zip(at, reach, near, strict=True)])
    for moment, value in zip(found, exact, strict=True):
        np.testing.assert_allclose(moment, value, rtol=100 * np.finfo(dtype).eps)
