"""Global indices are those of the closed form, rest on whole blocks only, and come again with the seed.

N traders with Uniform(−h, h) endowments and one risk capacity κ: w* = 0, and

    revenue = (N − 1) h²/(3κ) · w/(1 + w)²

is a product of functions of one parameter each. With r = Var/mean² of each factor, Π(1 + r) − 1 is the variance.
"""

import importlib

import jax
import numpy as np
import pytest
from SALib.analyze import morris, sobol
from SALib.sample import morris as morris_sample
from SALib.sample import sobol as sobol_sample
from scipy.integrate import quad

import jaxmech as jm
from jaxmech.sweep.global_sensitivity import LEAST_BLOCKS, OUTCOMES, global_sensitivity

module = importlib.import_module("jaxmech.sweep.global_sensitivity")  # jm.global_sensitivity is the function

TRADERS, HALF_WIDTH, CAPACITY = 5, 1.0, 0.5
MARKET = jm.Market.of(jm.Traders(jm.Uniform(-HALF_WIDTH, HALF_WIDTH), CAPACITY, TRADERS, "dealer"))
RANGES = {
    "alpha": jm.Range(0.2, 0.8),
    "dealer.risk_capacity": jm.Range(0.5, 2.0, log=True),
    "dealer.endowment.factor": jm.Range(0.8, 1.2),
    "dealer.count": jm.Range(3, 8),
}
ASKED = ("revenue", "first_best_surplus", "budget_weight")


def found(seed=0, **other):
    return global_sensitivity(MARKET, None, RANGES, seed=seed, outcomes=ASKED, progress=False, **other)


@pytest.fixture(scope="module")
def result():
    return found(second_order=True)


@pytest.fixture(scope="module")
def exact():
    """r = Var/mean² of the factors of revenue."""

    def relative_variance(factor, low, high):
        mean = quad(factor, low, high)[0] / (high - low)
        return quad(lambda x: (factor(x) / mean - 1) ** 2, low, high)[0] / (high - low)

    others = np.arange(3, 9) - 1
    return np.array(
        [
            relative_variance(lambda w: w / (1 + w) ** 2, 0.2, 0.8),
            relative_variance(lambda log: np.exp(-log), np.log(0.5), np.log(2.0)),
            relative_variance(lambda h: h**2, 0.8, 1.2),
            np.var(others) / np.mean(others) ** 2,
        ]
    )


def assert_within_interval(estimate, half_width, value):
    assert np.all(np.abs(estimate - value) < np.minimum(half_width, 0.03)), (estimate, value)


@pytest.mark.slow
def test_first_order_total_and_second_order_indices_are_those_of_the_closed_form(result, exact):
    variance, revenue = np.prod(1 + exact) - 1, result.outcomes.index("revenue")
    indices = type(result.indices)(*(value[revenue] for value in result.indices))
    assert_within_interval(indices.first_order, indices.first_order_half_width, exact / variance)
    total = exact * np.prod(1 + exact) / (1 + exact) / variance
    assert_within_interval(indices.total, indices.total_half_width, total)
    pairs = np.triu_indices(len(exact), 1)
    second = (np.outer(exact, exact) / variance)[pairs]
    assert_within_interval(indices.second_order[pairs], indices.second_order_half_width[pairs], second)
    np.testing.assert_array_equal(indices.second_order, indices.second_order.T)


def test_a_parameter_without_effect_has_index_zero(result):
    place = result.outcomes.index("first_best_surplus"), result.parameters.index("alpha")
    assert abs(result.indices.first_order[place]) < 1e-10
    assert abs(result.indices.total[place]) < 1e-10


def test_an_outcome_that_does_not_vary_has_no_shares_of_variance(result):
    for value in result.indices:
        assert np.isnan(value[result.outcomes.index("budget_weight")]).all()


def test_the_same_seed_gives_the_same_numbers_and_another_one_others_within_the_intervals(result):
    again, other = found(second_order=True), found(seed=7)
    for one, two in zip(result.indices, again.indices, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (result.evaluations, other.evaluations) == (1024 * 10, 1024 * 6)
    first, second = result.indices.first_order[0], other.indices.first_order[0]
    assert np.all(first != second)
    assert_within_interval(second, other.indices.first_order_half_width[0], first)
    assert np.isnan(other.indices.second_order).all()


@pytest.mark.slow
def test_morris_gives_the_local_elasticities_in_small_ranges():
    weight, ratio = 0.5, 1.02
    base = {"alpha": weight, "dealer.risk_capacity": CAPACITY, "dealer.endowment.factor": 1.0}
    over = {name: jm.Range(value / ratio, value * ratio, log=True) for name, value in base.items()}
    mu, mu_star, _, _ = global_sensitivity(MARKET, 0.1, over, "morris", 16, outcomes="revenue", progress=False).indices

    def revenue(logs):
        w, kappa, h = jax.numpy.exp(logs)
        return (TRADERS - 1) * h**2 / (3 * kappa) * w / (1 + w) ** 2

    local = jax.grad(revenue)(np.log(list(base.values()))) * 2 * np.log(ratio)
    np.testing.assert_allclose(mu[0], local, rtol=0.02)
    assert np.argsort(mu_star[0]).tolist() == np.argsort(np.abs(local)).tolist() == [0, 1, 2]


def test_a_linear_effect_has_one_size_everywhere():
    over = {"dealer.count": jm.Range(4, 13), "alpha": jm.Range(0.2, 0.8)}
    asked = ("first_best_surplus", "revenue")
    result = global_sensitivity(MARKET, 0.5, over, "morris", 16, outcomes=asked, progress=False)
    mu, mu_star, half_width, sigma = (value[0] for value in result.indices)
    np.testing.assert_allclose(mu, [9 * HALF_WIDTH**2 / 3 / (2 * CAPACITY), 0.0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(mu_star, mu, atol=1e-9)
    assert np.all(sigma < 1e-9) and np.all(half_width < 1e-9)
    assert np.all(result.indices.sigma[1] > 0.1)  # revenue: both interact


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sobol", "morris"])
def test_blocks_with_a_point_that_is_no_market_are_left_out_whole_and_counted(method):
    over = {"dealer.lower": jm.Range(-1.0, 1.6), "dealer.risk_capacity": jm.Range(0.5, 2.0)}
    result = global_sensitivity(MARKET, 0.0, over, method, 128, seed=3, progress=False)
    problem = {"num_vars": 2, "names": list(over), "bounds": [[0.0, 1.0]] * 2}
    if method == "sobol":
        unit = sobol_sample.sample(problem, 128, calc_second_order=False, seed=3)
    else:
        unit = morris_sample.sample(problem, 128, seed=3)
    lower, capacity = unit[:, 0] * 2.6 - 1, unit[:, 1] * 1.5 + 0.5
    good = np.all((lower < 1).reshape(128, -1), axis=1)
    assert 0.3 < np.mean(good) < 0.7
    assert (result.share_masked, result.blocks) == (np.mean(~good), 128)

    mean, variance = (lower + 1) / 2, (1 - lower) ** 2 / 12
    efficiency = -(variance + TRADERS * mean**2) / (2 * capacity)  # of the first best, which α = 0 attains
    rows = np.repeat(good, len(unit) // 128)
    if method == "sobol":
        expected = sobol.analyze(problem, efficiency[rows], calc_second_order=False, seed=4)
        keys = {"first_order": "S1", "total": "ST", "total_half_width": "ST_conf"}
        assert np.isnan(result.indices.total[0]).all()  # revenue is 0 up to rounding
    else:
        expected = morris.analyze(problem, unit[rows], efficiency[rows], seed=4)
        keys = {"mu": "mu", "mu_star_half_width": "mu_star_conf", "sigma": "sigma"}
    for name, key in keys.items():
        np.testing.assert_allclose(getattr(result.indices, name)[1], expected[key], rtol=1e-9, err_msg=name)


def test_too_few_blocks_left_are_refused():
    with pytest.raises(jm.MarketError, match=r"only 0 of 16 blocks .* narrow the ranges"):
        global_sensitivity(MARKET, 0.5, {"dealer.lower": jm.Range(2.0, 3.0)}, points=16, progress=False)


def test_counts_take_every_whole_number_of_their_range_equally_often():
    unit = (np.arange(600) + 0.5) / 600
    values, times = np.unique(module._values(jm.Range(3, 8), True, unit), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6, 7, 8]
    assert times.tolist() == [100] * 6


def test_draws_are_even_in_the_range_or_in_its_logarithm_and_stay_inside():
    half = np.array([0.5])
    assert module._values(jm.Range(0.1, 10.0), False, half) == pytest.approx(5.05)
    assert module._values(jm.Range(0.1, 10.0, log=True), False, half) == pytest.approx(1.0)
    for one in (jm.Range(0.1, 1.0), jm.Range(0.1, 1.0, log=True), jm.Range(2, 5)):
        assert module._values(one, one.high > 1, np.array([0.0, 1.0])).tolist() == [one.low, one.high]


def test_a_table_has_one_row_per_outcome_and_parameter(result):
    frame = result.to_dataframe()
    assert list(frame.columns[:3]) == ["outcome", "parameter", "first_order"]
    assert len(frame) == len(ASKED) * len(RANGES)
    row = frame[(frame.outcome == "revenue") & (frame.parameter == "dealer.count")]
    assert row.total.item() == result.indices.total[0, 3]
    text = str(result).splitlines()
    assert len(text) == 2 + len(frame)
    assert text[1].split()[:3] == ["revenue,", "alpha", f"{result.indices.first_order[0, 0]:.4g}"]
    assert text[-1] == "sobol: 10240 evaluations; 0.0% of 1024 blocks left out"


def test_an_interrupted_run_gives_no_indices(monkeypatch):
    monkeypatch.setattr(module, "run", lambda *_, **__: ({}, True))
    with pytest.raises(KeyboardInterrupt):
        found()


GOOD = {"dealer.risk_capacity": jm.Range(0.5, 2.0)}
BAD = {
    "market is int": {"market": 3},
    "over is {}; give a dictionary of Ranges": {"over": {}},
    "dealer.risk_capacity is 2.0; give a Range": {"over": {"dealer.risk_capacity": 2.0}},
    "'broker.count' is not a parameter": {"over": {"broker.count": jm.Range(2, 3)}},
    "no such field": {"over": {"dealer.scale": jm.Range(2, 3)}},
    r"\[3, 2\]; give finite numbers with low below high": {"over": {"dealer.lower": jm.Range(3, 2)}},
    "inf.*; give finite": {"over": {"dealer.upper": jm.Range(3, np.inf)}},
    "needs low > 0": {"over": {"dealer.risk_capacity": jm.Range(0.0, 2.0, log=True)}},
    "alpha must lie in": {"over": {"alpha": jm.Range(0.5, 1.5)}},
    r"\[2, 3.5\]; counts are whole": {"over": {"dealer.count": jm.Range(2, 3.5)}},
    "whole ends": {"over": {"all.count.factor": jm.Range(0.5, 2)}},
    r"alpha is \[0.1, 0.2\]; give one number": {"alpha": [0.1, 0.2]},
    "alpha is Range.*; give one number": {"alpha": jm.Range(0.1, 0.2)},
    "alpha.*1.5": {"alpha": 1.5},
    "alpha.*'high'": {"alpha": "high"},
    "method is 'fast'; choose one of sobol, morris": {"method": "fast"},
    "points is 1000; .*: give 1024": {"points": 1000},
    "points is 8; sobol needs .* at least 16": {"points": 8},
    "points is 3; morris needs .* at least 4": {"points": 3, "method": "morris"},
    "points is 64.0": {"points": 64.0},
    "seed is -1": {"seed": -1},
    "seed is None": {"seed": None},
    "outcome 'profit' is unknown; choose among revenue, eff": {"outcomes": ("revenue", "profit")},
    "outcomes is empty": {"outcomes": ()},
    "second_order is True": {"second_order": True, "method": "morris"},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused_before_anything_is_solved(message, monkeypatch):
    monkeypatch.setattr(module, "run", None)
    arguments = {"market": MARKET, "alpha": 0.5, "over": GOOD} | BAD[message]
    with pytest.raises(jm.MarketError, match=message):
        global_sensitivity(**arguments)


def test_every_outcome_is_known_by_name_and_the_least_numbers_of_blocks_are_allowed():
    assert set(ASKED) < set(OUTCOMES)
    result = global_sensitivity(MARKET, 0.5, GOOD, "morris", LEAST_BLOCKS["morris"], outcomes=OUTCOMES, progress=False)
    assert result.indices.mu.shape == (len(OUTCOMES), 1)
    assert np.isfinite(result.indices.mu).all()
