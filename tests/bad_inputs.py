"""What nobody should pass: for every public function its arguments, and values that each of them must refuse."""

from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np

import jaxmech as jm
from commitments import THREE_CONTRACTS

NO_OBSERVATIONS = (
    3,
    "file",
    [1],
    {"nobody": [0.1]},
    {"fund": []},
    {"fund": ["many"]},
    {"fund": [np.inf]},
    {"fund": None},
)
NOT_NUMBERS = (None, "1", "many", b"1", {}, [], (), object(), 1j, [None], np.array([None]), [[1.0], [1.0, 2.0]])
NOT_FINITE = (np.nan, np.inf, -np.inf, 10**400, np.float32("nan"))
BOOLS = (True, False, np.True_)
NOT_A_NUMBER = (*NOT_NUMBERS, *NOT_FINITE, *BOOLS)
NOT_ONE_NUMBER = (*NOT_A_NUMBER, [0.1, 0.2], np.ones((2, 2)))
OUTSIDE_01 = (*NOT_ONE_NUMBER, -0.1, 1.1, -1e-300, 1e308, 2)
NOT_POSITIVE = (*NOT_ONE_NUMBER, 0.0, -1.0, -1e-300)
NOT_WHOLE = (*NOT_ONE_NUMBER, 0.5, -1, 2.5)
NOT_NAMES = (None, 3, 0.5, "", "misspelt", "Uniform ", [], object(), True)
NOT_TABLES = (3, "over", [1], {"nobody.loc": [1.0]}, {"all.misspelt": [1.0]}, {3: [1.0]}, {"all": [1.0]})
NOT_DESIGNS = (None, 3, 0.5, "market", {}, [], jm.Uniform(-1.0, 1.0), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0))
NOT_PATHS = (None, 3, 0.5, [], object(), "/nowhere/at/all.toml", "/", "", "\0")


def spoilt_list(good, *more):
    """A list with each bad entry in place of its second number, and what is no list at all."""
    bad = (*NOT_FINITE, None, "a", 1j, [1.0], *more)
    return (*NOT_A_NUMBER, 0.5, *([good[0], entry, *good[2:]] for entry in bad))


class Case(NamedTuple):
    """One public function, arguments that it takes, and for each of them values that it must refuse."""

    call: object
    good: dict
    bad: dict


LAWS = {
    jm.Uniform: {"lower": -1.0, "upper": 1.0},
    jm.TruncatedNormal: {"loc": 0.0, "scale": 0.5, "lower": -1.0, "upper": 1.0},
    jm.Beta: {"a": 2.0, "b": 3.0, "lower": -1.0, "upper": 1.0},
    jm.Triangular: {"mode": 0.2, "lower": -1.0, "upper": 1.0},
    jm.TruncatedExponential: {"rate": 2.0, "lower": -1.0, "upper": 1.0},
    jm.TruncatedLaplace: {"loc": 0.0, "scale": 0.5, "lower": -1.0, "upper": 1.0},
    jm.TruncatedLogistic: {"loc": 0.0, "scale": 0.5, "lower": -1.0, "upper": 1.0},
    jm.TruncatedStudent: {"loc": 0.0, "scale": 0.5, "freedom": 3.0, "lower": -1.0, "upper": 1.0},
    jm.Kumaraswamy: {"a": 2.0, "b": 3.0, "lower": -1.0, "upper": 1.0},
    jm.Histogram: {"edges": [-1.0, 0.0, 1.0], "masses": [0.4, 0.6]},
    jm.PiecewiseLinear: {"knots": [-1.0, 0.0, 1.0], "heights": [0.4, 0.6, 0.5]},
    jm.Mixture: {"laws": (jm.Uniform(-1.0, 0.5), jm.Uniform(0.0, 1.0)), "weights": [0.4, 0.6]},
}
_FIELDS = {
    "lower": (1.0, 2.0),
    "upper": (-1.0, -3.0),
    "scale": (0.0, -1.0, -1e-300),
    "a": (0.0, -1.0, 301.0, 1e9),
    "b": (0.0, -1.0, 301.0, 1e9),
    "freedom": (0.0, -2.0),
    "mode": (-1.5, 7.0),
}
_LISTS = {
    "edges": (*spoilt_list([-1.0, 0.0, 1.0], -1.0, 1.0, 5.0), [-1.0, 1.0], [1.0, 0.0, -1.0], np.ones((3, 2, 2))),
    "masses": (*spoilt_list([0.4, 0.6], 0.0, -1.0), [1.0], [1.0, 1.0, 1.0]),
    "knots": (*spoilt_list([-1.0, 0.0, 1.0], -1.0, 1.0, 5.0), [-1.0, 1.0], [1.0, 0.0, -1.0]),
    "heights": (*spoilt_list([0.4, 0.6, 0.5], 0.0, -1.0), [1.0], [0.0, 0.0, 1.0]),
    "weights": (*spoilt_list([0.4, 0.6], 0.0, -1.0), [1.0], [1.0, 1.0, 1.0]),
    "laws": (
        *NOT_A_NUMBER,
        (),
        (jm.Uniform(-1.0, 1.0), 3.0),
        [jm.Uniform(-1.0, 1.0), 3.0],
        np.array([jm.Uniform(-1.0, 1.0), None]),
        [0.4, 0.6],
        (jm.Uniform(-1.0, -0.5), jm.Uniform(0.0, 1.0)),
        jm.Uniform,
    ),
}


def market_of(endowment=None, risk_capacity=0.7, count=3, name="fund", welfare_weight=0.0, outside=None):
    return jm.Market.of(
        jm.Traders(endowment, risk_capacity, count, name, welfare_weight, outside),
        jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 2, "b"),
    )


def market_with_outside(family):
    """Of an outside option of that kind the market."""
    return lambda **numbers: market_of(jm.Uniform(-1.0, 1.0), outside=family(**numbers))


def _law_case(family, good):
    def call(**numbers):
        return market_of(family(**numbers))

    shapes = (np.ones((2, 2)), [[1.0, 2.0], [3.0, 4.0]], np.zeros(0))
    bad = {name: _LISTS[name] if name in _LISTS else (*NOT_A_NUMBER, *shapes, *_FIELDS.get(name, ())) for name in good}
    return Case(call, good, bad)


def market_cases():
    """Doors that are passed before anything is compiled: laws, traders, markets."""
    uniform = jm.Uniform(-1.0, 1.0)
    numbers = (*NOT_A_NUMBER, 0.0, -1.0, np.ones((2, 2)), np.zeros(0))
    traders = {
        "endowment": (*NOT_NUMBERS, 3.0, jm.Uniform, "uniform", jm.Traders(uniform, 1.0), jm.Uniform(uniform, 2.0)),
        "risk_capacity": (*numbers, uniform, [1.0, -1.0], [1.0, np.nan]),
        "count": (*numbers, 0.5, -1, 2.5, 1e-9, [1, 0], [1, 1.5], uniform),
        "name": (None, 3, 0.5, [], object(), True, "b"),
        "welfare_weight": (*NOT_A_NUMBER, uniform, [0.1, np.nan], np.ones((2, 2))),
        "outside": (
            3,
            "dealer",
            [],
            {},
            object(),
            uniform,
            jm.OutsideOption,
            jm.OutsideOption(-0.1),
            jm.OutsideMarket(0.0, 0.0),
        ),
    }
    money = {"reserve": (*NOT_A_NUMBER, -1e-9)}
    good = {"endowment": uniform, "risk_capacity": 0.7, "count": 3, "name": "fund"}
    cases = {f"Market.of({law.__name__})": _law_case(law, fields) for law, fields in LAWS.items()}
    return cases | {
        "Traders": Case(market_of, good, traders),
        "OutsideMarket": Case(
            market_with_outside(jm.OutsideMarket),
            {"price": 0.0, "cost": 2.0},
            money | {"price": NOT_A_NUMBER, "cost": (*NOT_A_NUMBER, 0.0, -1.0, 0.29)},
        ),
        "OutsideOption": Case(
            market_with_outside(jm.OutsideOption),
            {"gamma": 0.2},
            money | {"gamma": (*NOT_A_NUMBER, -0.1, 1.0, 0.83), "centre": NOT_A_NUMBER},
        ),
        "Market.of": Case(
            lambda traders: jm.Market.of(traders), {"traders": None}, {"traders": (*NOT_NUMBERS, 3, uniform)}
        ),
        "compile_cache": Case(jm.compile_cache, {}, {"folder": (3, 0.5, True, [], object(), "", "\0")}),
        "Market.from_toml": Case(jm.Market.from_toml, {}, {"path": NOT_PATHS}),
    }


@cache
def market():
    groups = jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"), jm.Traders(jm.Uniform(-0.4, 0.9), 1.1, 1, "fund")
    return jm.Market.of(*groups)


@cache
def mechanism():
    return jm.solve(market(), 0.5)


@cache
def rule():
    return jm.side_payments(mechanism())


@cache
def fitted():
    return jm.fit(np.random.default_rng(0).normal(size=200), "truncated_normal")


def solver_cases():
    """Functions of one market, mechanism or schedule."""
    one = {"market": market()}
    at = one | {"alpha": 0.5}
    no_market, no_alpha = {"market": NOT_DESIGNS}, {"alpha": OUTSIDE_01}
    no_target = tuple(value for value in NOT_ONE_NUMBER if not (value is None or value is NOT_FINITE[2]))
    key = jax.random.key(0)
    no_key = {"key": (None, "key", 0.5, [], object())}
    cases = {
        "solve": Case(jm.solve, at, no_market | no_alpha | {"minimum_revenue": no_target}),
        "reform": Case(jm.reform, at, no_market | no_alpha),
        "solve_irregular": Case(jm.solve_irregular, at, no_market | no_alpha),
        "keeping_everybody": Case(jm.keeping_everybody, {"mechanism": mechanism()}, {"mechanism": NOT_DESIGNS}),
        "after_tax": Case(
            jm.after_tax,
            {"alpha": 0.5, "rate": 0.2},
            {"alpha": (*NOT_A_NUMBER, -0.1, 1.1), "rate": (*NOT_A_NUMBER, -0.1, 1.0)},
        ),
        "solve_at_weight": Case(
            jm.solve_at_weight, one | {"weight": 0.5}, no_market | {"weight": OUTSIDE_01, "alpha": OUTSIDE_01[1:]}
        ),
        "answers": Case(jm.answers, at, no_market | no_alpha),
        "double_auction": Case(
            jm.double_auction, one, no_market | {"fee": [name for name in NOT_NAMES if name not in (3, 0.5)]}
        ),
        "example_1": Case(
            jm.example_1,
            {"traders": 3, "weight": 0.5},
            {
                "traders": (*NOT_WHOLE, 0, 1),
                "weight": (*NOT_A_NUMBER, -0.1, 1.1),
                "half_width": (*NOT_A_NUMBER, 0.0, -1.0),
                "risk_capacity": (*NOT_A_NUMBER, 0.0, -1.0),
                "mean": NOT_A_NUMBER,
                "gamma": (*NOT_A_NUMBER, -0.1, 2 / 3, 1.0),
                "reserve": (*NOT_A_NUMBER, -1e-9),
            },
        ),
        "explicit_mechanism": Case(jm.explicit_mechanism, one | {"weight": 0.5}, no_market | {"weight": OUTSIDE_01}),
        "condition_2": Case(jm.condition_2, one, no_market | {"points": (*NOT_WHOLE, 0, 1)}),
        "side_payments": Case(
            jm.side_payments, {"mechanism": mechanism()}, {"mechanism": NOT_DESIGNS, "price_unit": NOT_NAMES}
        ),
        "balanced": Case(jm.balanced, {"rule": rule()}, {"rule": NOT_DESIGNS, "form": NOT_NAMES[1:]}),
        "cara_schedule": Case(
            jm.cara_schedule, {"mechanism": mechanism()}, {"mechanism": NOT_DESIGNS, "types": (*NOT_WHOLE, 0, 1)}
        ),
        "fee_sheet": Case(
            jm.fee_sheet, {"side_payments": rule()}, {"side_payments": NOT_DESIGNS, "sizes": (*NOT_WHOLE, 0)}
        ),
        "robustness": Case(
            jm.robustness,
            {"side_payments": rule(), "true_market": market()},
            {"side_payments": NOT_DESIGNS, "true_market": NOT_DESIGNS},
        ),
        "simulate": Case(
            jm.simulate,
            {"rule": rule(), "key": key, "auctions": 100},
            {"rule": NOT_DESIGNS, "auctions": (*NOT_WHOLE, 0), "batch": (*NOT_WHOLE[1:], 0)} | no_key,
        ),
        "audit": Case(
            jm.audit,
            {"rule": rule(), "types": 5, "prices": 3, "quantities": 5},
            {
                "rule": NOT_DESIGNS,
                "types": (*NOT_WHOLE, 0),
                "prices": (*NOT_WHOLE, 0),
                "quantities": (*NOT_WHOLE, 0),
                "traders": (3, "a", [99], [-1], [0.5], [None], object()),
            },
        ),
        "best_reply": Case(
            jm.best_reply,
            {"rule": rule(), "trader": 0, "endowment": 0.1, "price": 0.1},
            {
                "rule": NOT_DESIGNS,
                "trader": (*NOT_WHOLE, 3, 99),
                "endowment": NOT_NUMBERS + NOT_FINITE,
                "price": NOT_NUMBERS + NOT_FINITE,
                "risk_capacity": NOT_POSITIVE[1:],
                "quantities": (*NOT_WHOLE, 0, 1),
            },
        ),
        "misjudged_capacity": Case(
            jm.misjudged_capacity,
            {"side_payments": rule(), "trader": 0, "risk_capacity": 0.5, "key": key, "auctions": 100},
            {
                "side_payments": NOT_DESIGNS,
                "trader": (*NOT_WHOLE, 3, 99),
                "risk_capacity": NOT_POSITIVE,
                "auctions": (*NOT_WHOLE, 0),
            }
            | no_key,
        ),
        "simple_schedule": Case(jm.simple_schedule, at, no_market | no_alpha | {"kind": NOT_NAMES}),
        "worst_case_law": Case(
            jm.worst_case_law,
            {"side_payments": rule(), "radius": 0.1},
            {
                "side_payments": NOT_DESIGNS,
                "radius": (*NOT_POSITIVE, 3.0),
                "market": NOT_DESIGNS[1:],
                "alpha": OUTSIDE_01[1:],
                "seed": NOT_WHOLE,
            },
        ),
        "robust_design": Case(
            jm.robust_design,
            at | {"radius": 0.1},
            no_market | no_alpha | {"radius": (*NOT_POSITIVE, 3.0), "rounds": (*NOT_WHOLE, 0), "seed": NOT_WHOLE},
        ),
    }
    cases |= {
        function.__name__: Case(function, one, no_market)
        for function in (
            jm.budget_weight,
            jm.first_best,
            jm.condition_1,
            jm.minimum_subsidy,
            jm.first_best_is_attainable,
        )
    }
    return cases | {
        "outcomes": Case(jm.outcomes, {}, {"design": NOT_DESIGNS}),
        "certify": Case(jm.certify, {}, {"mechanism": NOT_DESIGNS}),
        "cara_certainty_equivalent": Case(
            jm.cara_certainty_equivalent,
            {"mechanism": mechanism(), "z": np.zeros(2), "report": np.zeros(2)},
            {
                "mechanism": NOT_DESIGNS,
                "z": (None, "a", {}, np.zeros(5), object()),
                "report": (None, "a", {}, np.zeros(5), object()),
            },
        ),
    }


def study_cases():
    """Functions that solve many markets."""
    at = {"market": market(), "alpha": 0.5}
    no_market, no_alpha = {"market": NOT_DESIGNS}, {"alpha": OUTSIDE_01}
    values = (*NOT_NUMBERS, np.ones((2, 2)), jm.Range(0.5, 2.0))
    ranges = (
        *NOT_NUMBERS,
        1.0,
        (0.5, 2.0),
        jm.Range(2.0, 0.5),
        jm.Range(1.0, 1.0),
        jm.Range(np.nan, 1.0),
        jm.Range(0.0, np.inf),
        jm.Range(None, 1.0),
        jm.Range("a", "b"),
        jm.Range(-1.0, 1.0, True),
        jm.Range(0.0, 1.0, True),
        jm.Range([1.0], [2.0]),
    )
    over = (*NOT_TABLES, *({"all.risk_capacity.factor": value} for value in values))
    random = {"kind": "random", "points": 4, "over": {"all.risk_capacity.factor": jm.Range(0.5, 2.0)}}
    bounds = (
        *NOT_NUMBERS,
        *NOT_FINITE,
        (2.0, 1.0),
        (1.0, 1.0),
        (np.nan, 1.0),
        (1.0,),
        (0.5, 2.0, "cubic"),
        ("a", "b"),
        (0.0, 1.0),
        (-1.0, 2.0),
    )
    free = (None, 3, "free", [], {}, {"nobody.loc": (0, 1)}, *({"all.risk_capacity.factor": one} for one in bounds))
    targets = (
        3,
        "revenue",
        {},
        {"misspelt": 1.0},
        *({"revenue": one} for one in (*NOT_A_NUMBER, (1.0, 0.0), (1.0, -1.0), (1.0, np.nan), (np.nan, 1.0))),
    )
    sobol = {"over": {"all.risk_capacity.factor": jm.Range(0.5, 2.0)}, "points": 64}
    return {
        "frontier": Case(
            jm.frontier, {"market": market()}, no_market | {"tolerance": NOT_POSITIVE[1:], "points": (*NOT_WHOLE, 0, 1)}
        ),
        "explore": Case(
            jm.explore, {"market": market()}, no_market | {"port": (*NOT_WHOLE, 65536), "observations": NO_OBSERVATIONS}
        ),
        "report": Case(
            jm.report,
            at | {"path": "report.html"},
            no_market
            | {
                "alpha": OUTSIDE_01,
                "path": NOT_PATHS,
                "over": (3, "over", [1], {"nobody.loc": (0.0, 1.0)}, {"all.misspelt": (0.0, 1.0)}, {"all.count": 3}),
                "title": (3, [], object()),
                "provenance": (3, "file", [1]),
                "observations": NO_OBSERVATIONS,
            },
        ),
        "sensitivity": Case(jm.sensitivity, at, no_market | no_alpha | {"second": ("yes", 3, None, object())}),
        "sweep": Case(
            jm.sweep,
            at,
            no_market
            | {
                "alpha": (*NOT_A_NUMBER[:-3], -0.1, 1.1, [0.5, 2.0], [np.nan], np.ones((2, 2)), jm.Range(0.0, 1.0)),
                "over": over,
                "kind": NOT_NAMES,
                "batch": (*NOT_WHOLE[1:], 0),
                "path": (*NOT_PATHS[1:], b"sweep.nc", True, "sweep.csv"),
            },
        ),
        "open_sweep": Case(jm.open_sweep, {}, {"path": (*NOT_PATHS, b"sweep.zarr", True)}),
        "sweep random": Case(
            jm.sweep,
            at | random,
            {
                "points": (*NOT_WHOLE, 0),
                "seed": NOT_WHOLE,
                "alpha": (*ranges[:12], jm.Range(-1.0, 0.5), jm.Range(0.5, 2.0)),
                "over": (
                    *NOT_TABLES,
                    *({"all.risk_capacity.factor": one} for one in ranges if isinstance(one, jm.Range)),
                ),
            },
        ),
        "calibrate": Case(
            jm.calibrate,
            {
                "market": market(),
                "free": {"all.risk_capacity.factor": (0.5, 2.0)},
                "targets": {"revenue": 0.1},
                "starts": 2,
                "steps": 2,
            },
            no_market
            | no_alpha
            | {
                "free": free,
                "targets": (None, *targets),
                "maximise": ("revenue", 3, object()),
                "starts": (*NOT_WHOLE, 0),
                "steps": (*NOT_WHOLE, 0),
                "seed": NOT_WHOLE,
            },
        ),
        "calibrate maximise": Case(
            partial(jm.calibrate, targets=None),
            {"market": market(), "free": {"all.risk_capacity.factor": (0.5, 2.0)}, "starts": 2, "steps": 2},
            {"maximise": (None, 3, "misspelt", "", [], object(), {})},
        ),
        "global_sensitivity": Case(
            jm.global_sensitivity,
            at | sobol,
            no_market
            | no_alpha
            | {
                "over": (None, *NOT_TABLES, *({"all.risk_capacity.factor": one} for one in ranges)),
                "method": NOT_NAMES,
                "points": (*NOT_WHOLE, 0, 3, 100),
                "seed": NOT_WHOLE,
                "outcomes": (None, 3, (), "misspelt", ("revenue", 3), object()),
                "second_order": ("yes", 3, None, object()),
            },
        ),
        "least_competition": Case(
            jm.least_competition,
            at | {"group": "dealer", "outcome": "revenue", "target": 0.1, "most": 8},
            no_market
            | no_alpha
            | {"group": NOT_NAMES, "outcome": NOT_NAMES, "target": NOT_ONE_NUMBER, "most": (*NOT_WHOLE, 0)},
        ),
        "answer_bands": Case(
            jm.answer_bands,
            at | {"fits": {"dealer": fitted()}},
            no_market
            | no_alpha
            | {
                "fits": (None, 3, [], {}, {"nobody": fitted()}, {"dealer": 3}, "fits"),
                "method": NOT_NAMES,
                "level": (*NOT_ONE_NUMBER, 0.0, 1.0, -1.0, 2.0),
                "draws": (*NOT_WHOLE, 0),
                "seed": NOT_WHOLE,
                "weights": (3, "a", [0.0], [2.0], [np.nan], [None], object()),
                "sizes": (3, "a", [np.nan], [None], object()),
            },
        ),
    }


SAMPLES = tuple(np.linspace(-1.0, 1.0, 40))


def fit_cases():
    """Data that no law can be fitted to, and options that the families do not have."""
    samples = (
        *NOT_NUMBERS,
        *NOT_FINITE,
        0.5,
        [1.0],
        [1.0, 1.0, 1.0],
        [np.nan] * 9,
        [*SAMPLES, np.inf],
        [*SAMPLES, "a"],
        np.ones((3, 4, 2)),
    )
    weights = (*NOT_NUMBERS[1:], *NOT_FINITE, [1.0], [-1.0] * 40, [0.0] * 40, [np.nan] * 40, [np.inf] * 40, np.ones(41))
    ends = (*NOT_NUMBERS[1:], *NOT_FINITE, *BOOLS, [0.0, 1.0])
    bad = {
        "samples": samples,
        "family": (*NOT_NAMES, "uniforms"),
        "weights": weights,
        "lower": (*ends, 0.5, 2.0),
        "upper": (*ends, -0.5, -2.0),
        "components": (*NOT_WHOLE[1:], 0, 1, 99),
        "bins": (*NOT_WHOLE[1:], 0),
        "bandwidth": NOT_POSITIVE[1:],
        "points": (*NOT_WHOLE[1:], 0, 1),
    }
    of = {"bins": "histogram", "components": "mixture", "bandwidth": "smoothed", "points": "smoothed"}
    cases = {
        f"fit {name}": Case(jm.fit, {"samples": SAMPLES, "family": of.get(name, "truncated_normal")}, {name: bad[name]})
        for name in bad
    }
    files, contracts = (*NOT_PATHS, [None], [THREE_CONTRACTS, 3], {}), (*NOT_NAMES, 3, "", "no such contract", "O")
    settings = {"window": NOT_WHOLE[1:], "family": bad["family"], "bins": (3,)}
    table = {"data": {"z": SAMPLES, "who": ["a"] * 40}, "column": "z", "family": "uniform"}
    numbers = {"count": (*NOT_WHOLE, 0), "risk_capacity": NOT_POSITIVE, "lower": (*ends, 0.5), "upper": (*ends, -0.5)}
    numbers = {
        name: [value for value in values if not isinstance(value, dict)] for name, values in numbers.items()
    }  # of no group
    columns = {"group_column": NOT_NAMES[1:], "weights_column": (*NOT_NAMES[1:], "who"), "out": NOT_PATHS[1:]}
    return cases | {
        "fit_market": Case(
            jm.fit_market,
            table,
            {"data": (*NOT_PATHS, 0.5, {}, ["z"], SAMPLES), "column": NOT_NAMES, "family": bad["family"]}
            | numbers
            | columns,
        ),
        "read_cot": Case(jm.read_cot, {"files": THREE_CONTRACTS}, {"files": files}),
        "cot_market": Case(
            jm.cot_market,
            {"files": THREE_CONTRACTS, "contract": "043602", "window": 4},
            {"files": files, "contract": contracts, **settings},
        ),
    }


SPEC = """
market = "market.toml"
design = "grid"
derivatives = true
alpha = { from = 0.0, to = 1.0, count = 3 }
[over]
"all.risk_capacity.factor" = { from = 0.25, to = 4.0, count = 3, scale = "log" }
"dealer.lower" = [-0.1, 0.0, 0.1]
"""
CALIBRATION = """
market = "market.toml"
starts = 4
steps = 50
[free]
alpha = { from = 0.0, to = 1.0 }
"dealer.lower" = { from = -1.5, to = -0.5 }
[targets]
revenue_share = { value = 0.3, error = 0.01 }
"dealer.trade_size" = { value = 1.4, error = 0.05 }
"""
LAWS_AS_TEXT = """
[[traders]]
name = "a"
count = 2
risk_capacity = [0.7, 1.0]
endowment = { law = "truncated_normal", loc = 0.0, scale = 0.5, lower = -1.0, upper = 1.0 }
[[traders]]
risk_capacity = 1.1
endowment = { law = "histogram", edges = [-1, 0, 1], masses = [0.2, 0.8] }
[[traders]]
risk_capacity = 1.1
endowment = { law = "beta", a = 2.0, b = 3.0, lower = [-1.0, 0.0], upper = 1.0 }
"""
ALL = market_cases, solver_cases, study_cases, fit_cases
