"""What was observed beside a law: a histogram whose area is one."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.explorer.observed import observed
from jaxmech.inputs import MarketError

MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 4, "dealer"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 3, "fund")
)


def test_density_integrates_to_one_and_the_latest_is_the_last_that_is_known():
    values = np.append(np.random.default_rng(0).normal(size=300), np.nan)
    found = observed(MARKET, {"fund": values})
    assert set(found) == {"fund"}
    one = found["fund"]
    assert np.sum(one["density"] * np.diff(one["edges"])) == pytest.approx(1.0)
    assert one["count"] == 300 and one["latest"] == values[-2]
    assert observed(MARKET, None) == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bank": [1.0]}, "observations are of 'bank'; the market has dealer, fund"),
        ({"fund": ["many"]}, "observations of fund"),
        ({"fund": [np.nan]}, "observations of fund are .*; give finite numbers"),
        ({"fund": [np.inf, 1.0]}, "give finite numbers"),
        ([1.0, 2.0], "give numbers by group"),
    ],
)
def test_what_are_no_observations_of_the_market_is_told(given, said):
    with pytest.raises(MarketError, match=said):
        observed(MARKET, given)
