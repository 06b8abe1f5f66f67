"""Whether some type would better be let go (beyond §16)."""

import numpy as np
import pytest

import jaxmech as jm

FAIR = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 5))


def test_without_outside_options_everybody_is_worth_the_risk_that_he_absorbs():
    mechanism = jm.solve(FAIR, 1.0)
    found, others = jm.keeping_everybody(mechanism), 4 * mechanism.interim().variance
    np.testing.assert_allclose(found.worth, 0.2**2 * others / (2 * 0.5 * 0.8), rtol=1e-14)
    assert np.all(found.wise)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.79])
def test_at_a_fair_price_without_a_reserve_nobody_should_be_let_go(gamma):
    assert np.all(jm.keeping_everybody(jm.solve(FAIR.with_outside("all", jm.OutsideOption(gamma)), 1.0)).wise)


def test_a_reserve_above_what_a_type_absorbs_is_reported_with_the_group_and_the_type():
    market = jm.Market.of(
        jm.Traders(jm.Uniform(-1.0, 1.2), 1.0, name="dealer"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 2, "fund")
    ).with_outside("dealer", jm.OutsideOption(0.1, 0.0, 0.2))
    mechanism = jm.solve(market, 1.0, minimum_revenue=-1.0)
    found, (low, high) = jm.keeping_everybody(mechanism), mechanism.binding_interval[0]
    assert list(found.wise) == [False, True]
    assert low <= found.endowment[0] <= high


@pytest.mark.parametrize("centre", [0.5, -0.8])
def test_the_type_reported_is_the_one_worth_least_of_the_binding_interval(centre):
    mechanism = jm.solve(FAIR.with_outside("all", jm.OutsideOption(0.4, centre)), 1.0, minimum_revenue=-np.inf)
    found, (low, high) = jm.keeping_everybody(mechanism), mechanism.binding_interval[0]
    zeta = np.linspace(low, high, 1001) - centre
    share, sigma, others = 0.2, 0.5, 4 * mechanism.interim().variance[0]
    eta = float(mechanism.eta[0])
    worth = 0.4 * (1 - sigma) * zeta**2 + 2 * 0.4 * zeta * (centre - eta) + share**2 * others / (1 - share)
    np.testing.assert_allclose(found.worth[0], np.min(worth), rtol=1e-4, atol=1e-6)
