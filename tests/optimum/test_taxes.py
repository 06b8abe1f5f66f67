"""A tax on revenue is another α (beyond §15)."""

import jax
import numpy as np
import pytest

import jaxmech as jm


@pytest.mark.parametrize(("alpha", "rate"), [(0.7, 0.3), (1.0, 0.9), (0.0, 0.5), (0.4, 0.0)])
def test_the_taxed_objective_is_a_multiple_of_the_one_at_the_new_alpha(alpha, rate):
    found, revenue, efficiency, gain = jm.after_tax(alpha, rate), 0.31, -0.87, 0.11
    taxed = alpha * (1 - rate) * revenue + (1 - alpha) * efficiency + 0.2 * gain
    plain = found.alpha * revenue + (1 - found.alpha) * efficiency + 0.2 * found.welfare_factor * gain
    np.testing.assert_allclose(plain / found.welfare_factor, taxed, rtol=1e-14)
    np.testing.assert_allclose(0.05 * found.revenue_factor * (1 - rate), 0.05, rtol=1e-14)


def test_a_taxed_exchange_chooses_no_other_mechanism_where_it_wants_revenue_alone():
    assert jm.after_tax(1.0, 0.25).alpha == 1
    assert 0 < jm.after_tax(0.8, 0.25).alpha < 0.8


def test_it_is_differentiable():
    """dα'/dt = −α(1 − α)/(1 − αt)²."""
    slope = jax.grad(lambda rate: jm.after_tax(0.7, rate).alpha)(0.3)
    np.testing.assert_allclose(slope, -0.7 * 0.3 / (1 - 0.21) ** 2, rtol=1e-14)


@pytest.mark.parametrize(("alpha", "rate"), [(1.2, 0.3), (0.5, 1.0), (0.5, -0.1), (np.nan, 0.1), ("a", 0.1)])
def test_numbers_that_cannot_be_are_refused(alpha, rate):
    with pytest.raises(jm.MarketError, match=r"alpha|rate"):
        jm.after_tax(alpha, rate)
