"""Isotonic regression by pools of adjacent violators."""

import numpy as np
from scipy.optimize import isotonic_regression

from jaxmech.numerics.isotonic import isotonic


def test_it_is_scipy_s_in_every_lane():
    generator = np.random.default_rng(0)
    values, weights = np.cumsum(generator.normal(0.05, 1, (60, 3, 7)), axis=0), generator.uniform(0.01, 2, (60, 3, 7))
    found = np.asarray(isotonic(values, weights).level)
    for lane in np.ndindex(3, 7):
        exact = isotonic_regression(values[:, *lane], weights=weights[:, *lane]).x
        np.testing.assert_allclose(found[:, *lane], exact, rtol=1e-12, atol=1e-12)


def test_what_weighs_nothing_keeps_its_level_where_it_falls_by_rounding():
    """Panels of no width at an end of a support: drawn down to the value before, they would seem to need ironing."""
    values = np.array([0.0, 1.0, 2.0, 2.0 - 1e-12, 2.0])
    found = isotonic(values, np.array([1.0, 1.0, 0.0, 0.0, 0.0])).level
    np.testing.assert_allclose(found, values, rtol=0, atol=2e-12)
