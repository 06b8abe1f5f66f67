"""Functions of endowments, prices and quantities take lists and tuples where they take arrays."""

import jax
import numpy as np
import pytest

import jaxmech as jm

TRADERS = jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"), jm.Traders(jm.Uniform(-0.4, 0.9), 1.1, 1, "fund")
MARKET = jm.Market.of(*TRADERS)
TYPES, GROUP_TYPES, PRICE = [0, 0.2, 0.3], [0.1, 0.2], 0.5
LAWS = (
    jm.Uniform([-1.0, -2.0], [1.0, 2.0]),
    jm.Histogram([-1, 0, 1], [0.4, 0.6]),
    jm.PiecewiseLinear([-1.0, 0.1, 1.0], [0.5, 1.0, 0.5]),
    jm.Mixture([jm.Uniform(-1.0, 0.5), jm.Uniform(0.0, 1.0)], [0.4, 0.6]),
)


@pytest.fixture(scope="module")
def rules():
    return {
        "side payments": jm.side_payments(jm.solve(MARKET, 0.5)),
        "double auction": jm.double_auction(MARKET),
        "simple schedule": jm.SimpleSchedule.of(MARKET, 0.1, 0.1),
    }


def agree(function, *arguments):
    """The function of lists, and of tuples, is that of arrays."""
    expected = function(*(np.asarray(one, float) for one in arguments))
    for of in (list, tuple):
        np.testing.assert_array_equal(function(*(of(one) if np.ndim(one) else one for one in arguments)), expected)


@pytest.mark.parametrize("name", ["side payments", "double auction", "simple schedule"])
def test_schedules_take_lists(rules, name):
    rule = rules[name]
    for method in ("utility_gain", "interim_transfer"):
        agree(getattr(rule, method), TYPES if name == "side payments" else GROUP_TYPES)
    agree(rule.clearing_price, TYPES)
    agree(rule.demand, TYPES, PRICE)
    agree(rule.side_payment, PRICE, TYPES)


def test_what_only_one_kind_of_schedule_has_takes_lists(rules):
    rule = rules["side payments"]
    for method in ("offer", "tax", "marginal_tax"):
        agree(getattr(rule, method), TYPES)
    agree(rule.ex_post_gain, TYPES, PRICE, TYPES)
    agree(rules["double auction"].allocation, TYPES)
    agree(rules["double auction"].interim_allocation, GROUP_TYPES)
    agree(rules["simple schedule"].allocation, TYPES)
    agree(rules["simple schedule"].virtual_type, GROUP_TYPES)


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_laws_that_are_made_of_lists_are_used_directly(law):
    for method in ("cdf", "pdf", "survival", "cdf_ratio", "cdf_integral", "partial_mean"):
        agree(getattr(law, method), [0.1, 0.2])
    np.testing.assert_allclose(law.stretched(2.0).cdf([0.2, 0.4]), law.cdf([0.1, 0.2]), rtol=1e-14)
    assert np.all(np.isfinite(law.mean))


@pytest.mark.slow
@pytest.mark.parametrize("of", [list, tuple, np.array])
def test_bounds_and_targets_of_a_calibration_are_sequences(of):
    free, targets = {"all.risk_capacity.factor": of([0.5, 2.0])}, {"revenue": of([0.1, 0.01])}
    found, expected = (
        jm.calibrate(MARKET, free=bounds, targets=wanted, starts=2, steps=2)
        for bounds, wanted in ((free, targets), ({"all.risk_capacity.factor": (0.5, 2.0)}, {"revenue": (0.1, 0.01)}))
    )
    assert found.parameters == expected.parameters


def test_a_list_with_a_traced_number_is_taken():
    auction = jm.double_auction(MARKET)
    slope = jax.grad(lambda first: auction.clearing_price([first, 0.2, 0.3]))(0.1)
    assert slope < 0
