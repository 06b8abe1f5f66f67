"""The errors of fitted laws carried to outcomes, frontier and fees."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.derivatives.named_outcomes import outcome_names
from jaxmech.estimation.bands import answer_bands
from jaxmech.estimation.fit import fit

ENDS = {"lower": -1.0, "upper": 1.5}
ASKED = {"weights": (0.5,), "sizes": (0.3,)}


@pytest.fixture(scope="module")
def market():
    law = jm.TruncatedNormal(0.0, 0.7, -1.0, 1.0)
    return jm.Market.of(jm.Traders(law, 0.7, 3, name="dealer"), jm.Traders(law, 1.0, 4, name="fund"))


@pytest.fixture(scope="module")
def fits():
    z = np.clip(np.random.default_rng(0).normal(0.2, 0.5, 400), -0.99, 1.49)
    return {"dealer": fit(z, **ENDS)}


@pytest.fixture(scope="module")
def delta(fits, market):
    return answer_bands(fits, market, 0.5, **ASKED)


@pytest.fixture(scope="module")
def bootstrap(fits, market):
    return answer_bands(fits, market, 0.5, method="bootstrap", **ASKED, draws=200)


@pytest.mark.slow
def test_values_are_the_answers_of_the_fitted_market(fits, market, delta, bootstrap):
    law = fits["dealer"].law
    there = jm.Market.of(
        jm.Traders(law, 0.7, 3, name="dealer"),
        jm.Traders(jm.TruncatedNormal(0.0, 0.7, -1.0, 1.0), 1.0, 4, name="fund"),
    )
    mechanism = jm.solve(there, 0.5)
    achieved, rule = jm.outcomes(mechanism), jm.side_payments(mechanism).by_group()
    price = jm.fee_sheet(jm.side_payments(mechanism))["prices"][1]
    expected = {
        "revenue": achieved.revenue,
        "efficiency": achieved.efficiency,
        "fund.eta": mechanism.eta[1],
        "frontier.revenue@0.5": achieved.revenue,
        "dealer.participation_fee": rule.participation_fee[0],
        "fund.spread": rule.spread[1],
        "fund.side_payment@0.3": rule.side_payment(price, [0.3, 0.3])[1],
    }
    for found in (delta, bootstrap):
        assert found.names[: len(outcome_names(market))] == outcome_names(market)
        for name, value in expected.items():
            assert found.of(name)[1] == pytest.approx(float(value), rel=1e-9)


def test_both_methods_agree(delta, bootstrap):
    assert delta.names == bootstrap.names
    assert bootstrap.failed == 0
    moving = delta.standard_error > 1e-6
    assert moving.sum() > 20
    np.testing.assert_allclose(bootstrap.standard_error[moving], delta.standard_error[moving], rtol=0.25)
    for end in ("lower", "upper"):
        off = (getattr(bootstrap, end) - getattr(delta, end))[moving] / delta.standard_error[moving]
        assert np.max(np.abs(off)) < 0.6
    np.testing.assert_allclose(bootstrap.standard_error[~moving], 0, atol=1e-6)


def test_delta_bands_are_derivatives_times_errors(fits, market, delta):
    """Against differences of whole answers along each parameter."""
    found, row = fits["dealer"], delta.names.index("revenue")
    at = found.estimate.vector

    def revenue(vector):
        traders = jm.Traders(found.estimate.law(vector), 0.7, 3, name="dealer")
        rest = jm.Traders(jm.TruncatedNormal(0.0, 0.7, -1.0, 1.0), 1.0, 4, name="fund")
        return float(jm.outcomes(jm.solve(jm.Market.of(traders, rest), 0.5)).revenue)

    slope = np.array([(revenue(at + step) - revenue(at - step)) / 2e-5 for step in 1e-5 * np.eye(2)])
    assert delta.standard_error[row] == pytest.approx(np.sqrt(slope @ found.covariance @ slope), rel=1e-6)
    low, value, high = delta.of("revenue")
    assert high - value == pytest.approx(1.6448536269514722 * delta.standard_error[row], rel=1e-9)
    assert value - low == pytest.approx(high - value, rel=1e-9)


def test_the_same_seed_gives_the_same_bands(fits, market, bootstrap):
    again = answer_bands(fits, market, 0.5, method="bootstrap", **ASKED, draws=200)
    np.testing.assert_array_equal(again.lower, bootstrap.lower)


def test_failed_draws_are_counted_and_left_out(fits, market, bootstrap):
    from dataclasses import replace

    found = fits["dealer"]

    def some_fail(draws, generator):
        vectors, good = found.estimate.redrawn(draws, generator)
        vectors[:7] = np.nan
        return vectors, good

    failing = {"dealer": replace(found, estimate=found.estimate._replace(redrawn=some_fail))}
    bands = answer_bands(failing, market, 0.5, method="bootstrap", **ASKED, draws=200)
    assert (bands.failed, bands.draws) == (7, 200)
    assert np.isfinite(bands.lower).all()
    assert "7 of 200 draws failed" in str(bands)


def test_parameters_without_errors_are_named(fits, market):
    from dataclasses import replace

    unknown = replace(fits["dealer"], covariance=np.full((2, 2), np.nan))
    bands = answer_bands({"dealer": unknown}, market, 0.5, **ASKED)
    assert "loc, scale of dealer: no standard error" in bands.notes[0]
    assert bands.of("revenue")[0] == bands.of("revenue")[2]


REFUSALS = {
    "fits must be a dictionary": {"fits": {}},
    "no group 'bank' in the market; it has dealer, fund": {"rename": "bank"},
    "method is 'jackknife'; choose one of delta, bootstrap": {"method": "jackknife"},
    "level is 90; give a probability": {"level": 90},
    "draws is 3; give a whole number ≥ 10": {"draws": 3},
    "seed is -1": {"seed": -1},
    r"weights is \(0.0,\); effective weights": {"weights": (0.0,)},
    "sizes is 'a'; give a list": {"sizes": "a"},
    "alpha is 2": {"alpha": 2.0},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_settings_that_cannot_be_are_refused(message, fits, market):
    options = dict(REFUSALS[message])
    given = options.pop("fits", {options.pop("rename", "dealer"): fits["dealer"]})
    with pytest.raises(jm.MarketError, match=message):
        answer_bands(given, market, options.pop("alpha", 0.5), **options)
