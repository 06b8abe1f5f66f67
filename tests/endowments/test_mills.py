"""The scaled complementary error function is that of mpmath."""

import mpmath
import numpy as np

from jaxmech.endowments.mills import erfcx


def test_erfcx_is_right_to_rounding_from_zero_to_far_out():
    points = np.concatenate([np.linspace(0, 8, 200), np.geomspace(8, 1e3, 30)])
    with mpmath.workdps(30):
        exact = [float(mpmath.exp(mpmath.mpf(x) ** 2) * mpmath.erfc(x)) for x in points]
    np.testing.assert_allclose(erfcx(points), exact, rtol=1e-15)


def test_erfcx_vanishes_as_one_over_x():
    np.testing.assert_allclose(erfcx(np.array([1e8, 1e100])) * np.array([1e8, 1e100]), np.pi**-0.5, rtol=1e-15)
