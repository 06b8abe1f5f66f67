"""Twelve markets with welfare weights, outside options and revenue targets, solved once by other means.

Of `extension_cases.json` beyond §17 says how: a program of its own, and a discretised quadratic programme beside it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import OutsideOption
from jaxmech.optimum.first_best import first_best_revenue

CASES = json.loads((Path(__file__).parents[1] / "reference" / "extension_cases.json").read_text())
FAMILIES = {"uniform": jm.Uniform, "truncated_normal": jm.TruncatedNormal, "beta": jm.Beta}
OF_TRADERS = ("risk_capacity", "count", "welfare_weight", "outside")
pytestmark = pytest.mark.slow


def traders_of(table):
    law = {key: value for key, value in table.items() if key not in ("family", *OF_TRADERS)}
    kept = {key: table[key] for key in OF_TRADERS[:3]}
    return jm.Traders(FAMILIES[table["family"]](**law), **kept, outside=OutsideOption(**table["outside"]))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case["name"])
def case_and_mechanism(request):
    case = request.param
    market = jm.Market.of(*map(traders_of, case["traders"]))
    return case, jm.solve(market, case["alpha"], case["minimum_revenue"])


def close(value, exact, tolerance=1e-10):
    np.testing.assert_allclose(value, exact, rtol=0, atol=tolerance)


def test_multipliers_weights_and_binding_intervals_match(case_and_mechanism):
    case, mechanism = case_and_mechanism
    close(mechanism.eta, case["eta"])
    close(mechanism.binding_interval, case["intervals"])
    close(mechanism.group_weight, case["weights"])
    close(mechanism.budget_multiplier, case["multiplier"])


def test_money_matches(case_and_mechanism):
    """Revenue after and before rebates, rents, gains from trade, and what the designer maximises, beyond §1."""
    case, mechanism = case_and_mechanism
    count = np.array([table["count"] for table in case["traders"]])
    beta = np.array([table["welfare_weight"] for table in case["traders"]])
    achieved = jm.outcomes(mechanism)
    rebate = 0.0 if mechanism.rebate is None else np.dot(count, mechanism.rebate)
    close(achieved.revenue, case["revenue"])
    close(achieved.revenue + rebate, case["revenue_before_rebate"])
    close(rebate, case["rebate"])
    close(achieved.efficiency, case["efficiency"])
    close(achieved.utility_gain_by_group / count, case["rents"])
    close(achieved.revenue_by_group / count, case["revenue_by_trader"])
    gains = achieved.revenue_by_group + achieved.utility_gain_by_group
    close(gains / count, case["gains"])
    close(np.sum(gains - (case["alpha"] - beta) * achieved.utility_gain_by_group), case["value"])
    close(first_best_revenue(mechanism.market.prepared()), case["first_best_revenue"])


def test_moments_of_the_virtual_types_match(case_and_mechanism):
    case, mechanism = case_and_mechanism
    close(mechanism.moments.mean, case["virtual_mean"])
    close(mechanism.moments.variance, case["virtual_variance"])


def test_every_case_is_certified_and_its_dual_bound_is_the_one_found_by_other_means(case_and_mechanism):
    case, mechanism = case_and_mechanism
    certificate, surplus = jm.certify(mechanism), jm.outcomes(mechanism).first_best_surplus
    assert certificate.ok
    bound = case["value"] + certificate.duality_gap * surplus * (1 + mechanism.budget_multiplier)
    close(bound, case["dual_bound"], 1e-12)
