"""Laws of other families and markets outside: as close to what was there as they can be."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.explorer.forms import FAMILIES, market_in_forms
from jaxmech.inputs import MarketError
from marks import cases

MARKET = jm.Market.of(
    jm.Traders(jm.TruncatedNormal(0.1, 0.5, -1.0, 1.2), 0.5, 4, "dealer", welfare_weight=0.1),
    jm.Traders(jm.Histogram([-1.0, 0.0, 1.0], [0.4, 0.6]), 1.0, 3, "fund"),
).earning(0.01)


@pytest.mark.parametrize("family", cases(FAMILIES, ("uniform", "beta")))
def test_a_law_keeps_its_support_and_all_else_stays(family):
    market = market_in_forms(MARKET, {"dealer.law": family})
    law = market.endowment
    np.testing.assert_allclose(law.lower, [-1.0, -1.0], rtol=1e-12)
    np.testing.assert_allclose(law.upper, [1.2, 1.0], rtol=1e-12)
    one, other = (float(part.mean[0]) for part in (law, MARKET.endowment))
    assert abs(one - other) < 0.12  # a triangular law's is furthest off
    assert market.names == MARKET.names and float(market.minimum_revenue) == 0.01
    np.testing.assert_array_equal(market.welfare_weight, MARKET.welfare_weight)


def test_its_own_family_gives_the_law_that_was_there():
    law = market_in_forms(MARKET, {"dealer.law": "truncated_normal"}).laws()[0][0]
    np.testing.assert_allclose([law.loc[0], law.scale[0]], [0.1, 0.5], atol=0.01)


def test_a_market_outside_is_at_the_price_to_be_expected_inside():
    market = market_in_forms(MARKET, {"fund.outside": "market"})
    assert market.outside.priced == (False, True)
    price, cost = float(market.outside.place[1]), float(market.outside.steepness[1])
    expected = -float(MARKET.endowment.mean @ MARKET.count / MARKET.total_risk_capacity)
    assert price == pytest.approx(expected, rel=1e-12)
    gamma = float(market.option.gamma[1])
    assert gamma == pytest.approx(1 / (1 + cost)) == pytest.approx(0.2 * (1 - 1.0 / 5.0))


@pytest.mark.parametrize(
    "forms", [{"nobody.law": "beta"}, {"dealer.law": "cauchy"}, {"dealer.count": "beta"}, {"fund": "x"}]
)
def test_what_there_is_none_of_is_refused(forms):
    with pytest.raises(MarketError):
        market_in_forms(MARKET, forms)
