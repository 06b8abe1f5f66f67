"""Twenty markets solved once with mpmath at 25 digits (tests/reference/make_cases.py)."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxmech as jm

CASES = json.loads((Path(__file__).parents[1] / "reference" / "cases.json").read_text())
pytestmark = pytest.mark.slow
FAMILIES = {"uniform": jm.Uniform, "truncated_normal": jm.TruncatedNormal, "beta": jm.Beta}


def sorted_by_family(case):
    """The case with traders of one law side by side: fewer markets of a new structure, so fewer to compile."""
    order = sorted(range(len(case["traders"])), key=lambda i: case["traders"][i]["family"])
    return case | {key: [case[key][i] for i in order] for key in ("traders", "eta", "intervals")}


def market_of(case):
    def endowment(trader):
        numbers = {key: value for key, value in trader.items() if key not in ("family", "risk_capacity")}
        return FAMILIES[trader["family"]](**numbers)

    return jm.Market.of(*(jm.Traders(endowment(t), t["risk_capacity"]) for t in case["traders"]))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case["name"])
def case_and_mechanism(request):
    case = sorted_by_family(request.param)
    return case, jm.solve(market_of(case), case["alpha"])


def close(value, exact, tolerance=1e-10):
    np.testing.assert_allclose(value, exact, rtol=0, atol=tolerance)


def test_effective_weight_is_the_larger_of_alpha_and_budget_weight(case_and_mechanism):
    case, mechanism = case_and_mechanism
    close(mechanism.weight, case["weight"])
    close(jm.solve(mechanism.market, 0.0).weight, case["budget_weight"])


def test_revenue_and_efficiency_match(case_and_mechanism):
    case, mechanism = case_and_mechanism
    outcome = jm.outcomes(mechanism)
    close(outcome.revenue, case["revenue"])
    close(outcome.efficiency, case["efficiency"])


def test_multipliers_and_binding_intervals_match(case_and_mechanism):
    case, mechanism = case_and_mechanism
    eta = np.array(case["eta"])
    close(np.asarray(mechanism.eta) / (1 + np.abs(eta)), eta / (1 + np.abs(eta)))
    close(mechanism.binding_interval, case["intervals"])
