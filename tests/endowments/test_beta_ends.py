"""Where a Beta law's binding interval reaches the end of its support."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxmech as jm


@pytest.mark.slow
@pytest.mark.parametrize("b", [1.0, 1.02, 1.3, 1.6])
def test_squared_ratio_integral_is_right_up_to_the_end(b):
    """∫ F²/f from x = 1 − e^−½ to 1; the whole is infinite from b = 2 on."""
    a, start = 3.2, 0.5
    with mpmath.workdps(30):
        total = mpmath.beta(a, b)

        def integrand(u):  # with 1 − x = y = e^−u, F²/f dx is a power of y
            y = mpmath.exp(-u)
            below = 1 - mpmath.betainc(b, a, 0, y, regularized=True)
            return below**2 * y ** (2 - mpmath.mpf(b)) * (1 - y) ** (1 - mpmath.mpf(a)) * total

        exact = mpmath.quad(integrand, [start, 1, 2, 4, 8, 16, 32, 64, 128, 256])
    law = jm.Beta(a, b, 0.0, 1.0)
    found = law.squared_ratio_integral(jnp.asarray(1.0)) - law.squared_ratio_integral(jnp.asarray(1 - np.exp(-start)))
    assert float(found) == pytest.approx(float(exact), rel=1e-11)


def test_beta_laws_with_shapes_1_are_uniform_where_somebody_always_buys():
    capacity = np.array([0.5, 1.5])
    uniform = jm.Market.of(jm.Traders(jm.Uniform(0.0, 1.0), capacity))
    beta = jm.Market.of(jm.Traders(jm.Beta(1.0, 1.0, 0.0, 1.0), capacity))
    for alpha in (0.0, 0.2, 0.6, 1.0):
        one, other = (jm.answers(market, alpha) for market in (uniform, beta))
        assert float(other.revenue) == pytest.approx(float(one.revenue), abs=1e-13)
        assert float(other.efficiency) == pytest.approx(float(one.efficiency), abs=1e-13)
        assert float(other.budget_weight) == pytest.approx(float(one.budget_weight), abs=1e-12)
