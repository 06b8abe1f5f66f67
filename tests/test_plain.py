"""Every public result leaves the process: it pickles, copies, and tells all it has as plain values that JSON holds."""

import copy
import inspect
import json
import pickle
from functools import cache
from typing import get_type_hints

import jax
import numpy as np
import pytest
from bad_inputs import LAWS, market, mechanism, rule

import jaxmech as jm
from commitments import THREE_CONTRACTS
from every_law import bell
from jaxmech.estimation.families import _FAMILIES, parametric
from jaxmech.plain import json_text, plain

DRAWS = np.random.default_rng(0).uniform(-1.0, 1.0, 40)


@cache
def uniform_fit():
    return jm.fit(DRAWS, "uniform")


@cache
def reports():
    return jm.read_cot(THREE_CONTRACTS)


KEY, CAPACITY = jax.random.key(0), {"fund.risk_capacity": (0.5, 2.0)}
RESULTS = {
    "Market": market,
    "Traders": lambda: jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"),
    "Range": lambda: jm.Range(0.5, 2.0),
    "Mechanism": mechanism,
    "Mechanism with bunches": lambda: jm.solve(
        jm.Market.of(jm.Traders(jm.Histogram([-1.0, 0.0, 0.5, 1.0], [0.6, 0.1, 0.3]), 1.0, 3)), 0.5
    ),
    "first best": lambda: jm.first_best(market()),
    "Outcomes": lambda: jm.outcomes(mechanism()),
    "Certificate": lambda: jm.certify(mechanism()),
    "Answers": lambda: jm.answers(market(), 0.5),
    "SidePayments": rule,
    "DoubleAuction": lambda: jm.double_auction(market()),
    "SimpleSchedule": lambda: jm.simple_schedule(market(), 0.5),
    "SimpleSchedule of numbers": lambda: jm.SimpleSchedule.of(market(), 0.1, 0.1),
    "CaraSchedule": lambda: jm.cara_schedule(mechanism(), 3),
    "Example1": lambda: jm.example_1(2, 0.5),
    "Frontier": lambda: jm.frontier(market(), 1e-2),
    "Sensitivity": lambda: jm.sensitivity(market(), 0.5),
    "GlobalSensitivity": lambda: jm.global_sensitivity(
        market(), 0.5, {name: jm.Range(*ends) for name, ends in CAPACITY.items()}, method="morris", points=8
    ),
    "Simulation": lambda: jm.simulate(rule(), KEY, auctions=16),
    "Audit": lambda: jm.audit(rule(), types=2, prices=2, quantities=3),
    "Robustness": lambda: jm.robustness(rule(), market()),
    "MisjudgedCapacity": lambda: jm.misjudged_capacity(rule(), 0, 0.9, KEY, auctions=8),
    "WorstCase": lambda: jm.worst_case_law(rule(), 0.1),
    "RobustDesign": lambda: jm.robust_design(market(), 0.5, 0.1, rounds=1),
    "LeastCompetition": lambda: jm.least_competition(market(), 0.5, "fund", "revenue", 0.1, most=3),
    "Calibration": lambda: jm.calibrate(market(), CAPACITY, {"revenue": 0.1}, starts=1, steps=1),
    "Fit": uniform_fit,
    "Fit of a histogram": lambda: jm.fit(DRAWS, "histogram"),
    "Fit of a smoothed law": lambda: jm.fit(DRAWS, "smoothed"),
    "Fit by a search": lambda: jm.fit(DRAWS, "truncated_normal"),
    "FittedMarket": lambda: jm.fit_market({"z": DRAWS}, "z", family="uniform"),
    "Bands": lambda: jm.answer_bands({"dealer": uniform_fit()}, market(), 0.5, weights=(1.0,)),
    "CommitmentsOfTraders": reports,
    "Contract": lambda: reports().contract("nano ether"),
    "CotMarket": lambda: jm.cot_market(reports(), "nano ether", window=8, family="uniform"),
    "Density": lambda: jm.Density(bell, {"s": 0.5}, -1.0, 1.0),
    **{law.__name__: lambda law=law, numbers=numbers: law(**numbers) for law, numbers in LAWS.items()},
}
COSTLY = {"Sensitivity", "GlobalSensitivity", "SimpleSchedule", "WorstCase", "RobustDesign", "Bands"}


def public_results():
    """Classes that can be had from the face: its own, and those that its functions say they return."""
    public = [getattr(jm, name) for name in jm.__all__]
    returned = [get_type_hints(one).get("return") for one in public if inspect.isfunction(one)]
    classes = {one for one in [*public, *returned] if inspect.isclass(one) and one.__module__.startswith("jaxmech")}
    return {one for one in classes if not issubclass(one, Exception)}


def test_every_public_result_is_among_those_that_leave_the_process():
    for cls in public_results():
        assert callable(getattr(cls, "to_dict", None)), f"{cls.__name__} has no to_dict"
        assert {name for name in RESULTS if name.split(" ")[0] == cls.__name__} or cls is jm.FromDensity, cls.__name__


def same(copied, original):
    """Whether a copy is the original to JAX, to the last bit: then the same programs answer the same of both."""
    assert type(copied) is type(original)
    assert jax.tree.structure(copied) == jax.tree.structure(original)
    for one, other in zip(jax.tree.leaves(copied), jax.tree.leaves(original), strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray | jax.Array):
            np.testing.assert_array_equal(one, other)
    assert copied.to_dict() == original.to_dict()


@pytest.mark.parametrize("name", [pytest.param(k, marks=[pytest.mark.slow] * (k in COSTLY)) for k in RESULTS])
def test_a_result_pickles_copies_and_is_json(name):
    result = RESULTS[name]()
    told = result.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    for copied in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        same(copied, result)
        if isinstance(result, jm.Fit):
            drawn, again = (one.estimate.redrawn(3, np.random.default_rng(0))[0] for one in (result, copied))
            np.testing.assert_array_equal(drawn, again)
            same(copied.estimate.law(copied.estimate.vector), result.estimate.law(result.estimate.vector))


def test_families_of_fits_pickle_by_their_name():
    for family in (*_FAMILIES.values(), parametric("mixture", 3)):
        assert pickle.loads(pickle.dumps(family)) is family


def test_what_a_mechanism_tells_is_its_own_by_group_with_names_beside():
    told = mechanism().to_dict()
    assert told["market"]["names"] == ["dealer", "fund"]
    assert told["market"]["endowment"] == {"law": "uniform", "lower": [-1.0, -0.4], "upper": [1.3, 0.9]}
    assert told["binding_interval"] == mechanism().binding_interval.tolist()


def test_nan_and_infinities_are_none_dates_texts_and_functions_names():
    held = {"numbers": np.array([1.0, np.nan, -np.inf]), "one": float("inf"), 3: (True, np.int64(2)), "f": bell}
    held["dates"] = np.array(["2024-01-02"], "datetime64[D]")
    expected = {
        "numbers": [1.0, None, None],
        "one": None,
        "3": [True, 2],
        "f": "every_law:bell",
        "dates": ["2024-01-02"],
    }
    assert plain(held) == expected and json.loads(json_text(held)) == expected
