"""Designs of sweeps: which values are reached, in which order, and what is refused before anything is compiled."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.sweep import make_design

DEALER = jm.Traders(jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0), 0.5, 4, "dealer")
FUND = jm.Traders(jm.Uniform(-2.0, 1.0), 1.5, 1, "fund")


@pytest.fixture(scope="module")
def market():
    return jm.Market.of(DEALER, FUND)


def at(design, points):
    """α and the batch of markets at some points of a design."""
    points = np.asarray(points)
    return design.alpha_of(points), design.market_at(design.parameter_values(design.market_of(points)))


def test_a_grid_reaches_all_combinations_alpha_first_and_the_last_parameter_fastest(market):
    over = {"dealer.risk_capacity": [1.0, 2.0, 3.0], "fund.count": [1, 5]}
    design = make_design(market, [0.0, 1.0], over)
    assert design.dims == {"alpha": 2, "dealer.risk_capacity": 3, "fund.count": 2}
    assert (design.points, design.markets) == (12, 6)
    alpha, markets = at(design, range(12))
    assert alpha.tolist() == [0.0] * 6 + [1.0] * 6
    assert markets.risk_capacity[0].tolist() == [1, 1, 2, 2, 3, 3] * 2
    assert markets.risk_capacity[1].tolist() == [1.5] * 12
    assert markets.count[1].tolist() == [1, 5] * 6


def test_a_zip_reads_lists_together_and_repeats_single_values(market):
    design = make_design(market, 0.5, {"fund.lower": [-3.0, -4.0], "all.risk_capacity": 2.0}, "zip")
    alpha, markets = at(design, [0, 1])
    assert design.dims == {"point": 2}
    assert alpha.tolist() == [0.5, 0.5]
    assert markets.endowment.lower.tolist() == [[-1.0, -1.0], [-3.0, -4.0]]
    assert markets.risk_capacity.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_a_market_alone_is_a_sweep_over_alpha(market):
    design = make_design(market, [0.1, 0.2])
    assert (design.points, design.markets) == (2, 1)
    assert at(design, [0, 1])[1].risk_capacity.tolist() == [[0.5, 0.5], [1.5, 1.5]]


def test_factors_multiply_the_markets_own_values(market):
    over = {"all.risk_capacity.factor": 2.0, "dealer.scale.factor": 3.0, "all.endowment.factor": 10.0}
    _, markets = at(make_design(market, 0.5, over), [0])
    normal, uniform = (law for law, *_ in markets.laws())
    assert markets.risk_capacity[:, 0].tolist() == [1.0, 3.0]
    assert [float(normal.loc[0, 0]), float(normal.scale[0, 0])] == [1.0, 15.0]
    assert markets.endowment.lower[:, 0].tolist() == [-10.0, -20.0]
    assert float(uniform.upper[0, 0]) == 10.0


def test_all_sets_the_field_where_a_law_has_it(market):
    _, markets = at(make_design(market, 0.5, {"all.loc": 0.3}), [0])
    assert float(markets.laws()[0][0].loc[0, 0]) == 0.3


def test_random_draws_lie_in_their_ranges_and_come_again_with_the_seed(market):
    over = {
        "fund.risk_capacity": jm.Range(1e-2, 1e2, log=True),
        "dealer.loc": jm.Range(-1.0, 3.0),
        "fund.count": [1, 7],
    }

    def draw(seed):
        return make_design(market, jm.Range(0.2, 0.4), over, "random", points=2000, seed=seed)

    design, again, other = draw(1), draw(1), draw(2)
    every = np.arange(2000)
    alpha, (capacity, loc, count) = design.alpha_of(every), design.parameter_values(every)
    assert design.dims == {"point": 2000}
    assert 0.2 <= alpha.min() < 0.21 and 0.39 < alpha.max() <= 0.4
    assert -1 <= loc.min() < -0.95 and 2.95 < loc.max() <= 3
    assert set(count) == {1, 7}
    decades = np.histogram(np.log10(capacity), bins=[-2, -1, 0, 1, 2])[0]
    assert decades.sum() == 2000 and np.all(np.abs(decades - 500) < 100)
    np.testing.assert_array_equal(again.parameter_values(every), [capacity, loc, count])
    assert not np.any(alpha == other.alpha_of(every))
    assert abs(np.corrcoef(alpha, loc)[0, 1]) < 0.07


@pytest.mark.parametrize(
    ("given", "count", "asked"),
    [
        (jm.Range(0, 1), 11, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (jm.Range(0.3, -0.3), 7, [0.3, 0.2, 0.1, 0, -0.1, -0.2, -0.3]),
        (jm.Range(1e-3, 1e3, log=True), 7, [1e-3, 1e-2, 0.1, 1, 10, 100, 1000]),
        (jm.Range(0.3, 300.0, log=True), 4, [0.3, 3, 30, 300]),
        (jm.Range(5e-324, 1.7e308), 2, [5e-324, 1.7e308]),
        (jm.Range(2, 3, log=True), 1, [2]),
        (jm.Range(0, 1), 4, [0, 1 / 3, 2 / 3, 1]),
    ],
)
def test_evenly_spaced_values_are_the_decimals_that_were_asked_for(given, count, asked):
    assert given.values(count).tolist() == asked


def test_evenly_spaced_values_are_those_of_numpy_but_for_rounding():
    values = jm.Range(-1.7, 3.3).values(997), jm.Range(0.25, 4, log=True).values(71)
    np.testing.assert_allclose(values[0], np.linspace(-1.7, 3.3, 997), rtol=0, atol=9e-16)
    np.testing.assert_allclose(values[1], np.geomspace(0.25, 4, 71), rtol=1e-15)


@pytest.mark.parametrize(
    ("given", "count", "match"),
    [
        (jm.Range(0, 1), 0, "count is 0; give a whole number ≥ 1"),
        (jm.Range(0, np.inf), 3, r"high of Range\(.*\) is inf; give a finite number"),
        (jm.Range(0, 1, log=True), 3, r"Range\(low=0, high=1, log=True\): a logarithmic scale needs numbers above 0"),
    ],
)
def test_ranges_that_have_no_values_are_refused(given, count, match):
    with pytest.raises(jm.MarketError, match=match):
        given.values(count)


def test_a_block_of_draws_is_that_block_of_all_draws(market):
    """So that ten million points take no memory."""
    design = make_design(market, jm.Range(0, 1), {"fund.count": [1, 5, 7]}, "random", points=10**15, seed=3)
    start = 10**15 - 1000
    block = np.arange(start, start + 1000)
    assert design.alpha_of(block)[100:200].tolist() == design.alpha_of(block[100:200]).tolist()
    assert design.parameter_values(block)[:, ::7].tolist() == design.parameter_values(block[::7]).tolist()
    assert design.coordinates_of(block[5]) == {
        "alpha": design.alpha_of(block)[5],
        "fund.count": design.parameter_values(block)[0, 5],
    }


@pytest.mark.parametrize(
    ("alphas", "values"), [(3, 5000), (41, 5000), (1, 7), (9000, 2), (70000, 3), (70000, 70000), (2, 1)]
)
def test_chunks_hold_every_point_once_and_whole_markets_where_alphas_are_few(market, alphas, values):
    design = make_design(market, np.linspace(0, 1, alphas), {"fund.risk_capacity": np.linspace(1, 2, values)})
    rows, columns = design.chunk_shape
    assert rows == min(alphas, 65536) or (rows * columns <= 65536 and columns == 1)
    blocks = [design.block(chunk) for chunk in {0, design.chunks // 2, design.chunks - 1}]
    assert all(b.stop - b.start > 0 for block in blocks for b in block)
    assert blocks[-1] and design.block(design.chunks - 1)[1].stop == values
    if design.points < 10**6:
        points = np.concatenate([design.chunk_points(chunk).ravel() for chunk in range(design.chunks)])
        assert np.array_equal(np.sort(points), np.arange(design.points))


def test_points_that_are_no_market_are_told_apart(market):
    over = {"fund.upper": [-2.0, np.nan, 1.0, 1.0, 1.0, np.inf], "fund.count": [1, 1, 0.5, 1, 3, 2]}
    design = make_design(market, [0.5], over | {"dealer.scale": [1, 1, 1, -1, 1, 1]}, "zip")
    points = np.arange(6)
    good = design.valid(design.alpha_of(points), design.parameter_values(design.market_of(points)))
    assert good.tolist() == [False, False, False, False, True, False]


def test_one_trader_alone_is_no_market():
    alone = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 2, "only"))
    design = make_design(alone, 0.5, {"only.count": [1, 2]})
    assert design.valid(np.full(2, 0.5), np.array([[1.0, 2.0]])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("broker.count", "is not a parameter of this market; write GROUP.FIELD .* one of all, dealer, fund"),
        ("risk_capacity", "is not a parameter"),
        ("dealer.loc.times", "is not a parameter"),
        ("dealer.loc.factor.factor", "is not a parameter"),
        ("fund.loc", "no such field; fund has count, lower, risk_capacity, upper, endowment.factor"),
        ("all.shape", "no such field; all has count, loc"),
        ("all.endowment", r"no such field; .*endowment\.factor"),
    ],
)
def test_unknown_names_are_refused_with_those_that_exist(market, name, match):
    with pytest.raises(jm.MarketError, match=match):
        make_design(market, 0.5, {name: [1.0]})


@pytest.mark.parametrize("kind", ["grid", "zip", "random"])
def test_what_sets_a_number_twice_is_refused(market, kind):
    over = {"fund.lower": -3.0, "dealer.risk_capacity": 2.0, "all.risk_capacity": 1.0}
    with pytest.raises(jm.MarketError, match=r"dealer\.risk_capacity and all\.risk_capacity set the same number"):
        make_design(market, 0.5, over, kind, points=3)
    with pytest.raises(jm.MarketError, match=r"over has 'alpha', .* give its values as alpha"):
        make_design(market, 0.5, {"alpha": 0.3}, kind, points=3)


RANDOM = {"kind": "random", "points": 5}


@pytest.mark.parametrize(
    ("alpha", "values", "options", "match"),
    [
        ([], [1.0], {}, r"values of alpha have shape \(0,\); the sweep is empty"),
        (0.5, [], {}, r"values of fund\.count have shape \(0,\); the sweep is empty"),
        (0.5, [[1.0, 2.0]], {}, r"values of fund\.count have shape \(1, 2\)"),
        (0.5, ["many"], {}, r"values of fund\.count is \['many'\]; give numbers"),
        (0.5, jm.Range(1, 2), {}, r"fund\.count is a Range; ranges belong to design='random'"),
        (
            [0.1, 0.2, 0.3],
            [1, 2],
            {"kind": "zip"},
            r"fund\.count has 2 values in a zipped sweep of 3; lists must match",
        ),
        (1.5, [1], {}, r"alpha is 1\.5 in the sweep; it must lie in \[0, 1\]"),
        ([0.5, np.nan], [1], {}, "alpha is nan in the sweep"),
        (0.5, [1], {"kind": "latin"}, "design 'latin' is unknown; choose one of grid, zip, random"),
        (0.5, [1], {"kind": "random"}, "points is None; give a whole number ≥ 1"),
        (0.5, [1], {"kind": "random", "points": 0}, "points is 0; give a whole number ≥ 1"),
        (0.5, jm.Range(2, 1), RANDOM, r"Range of fund\.count is \[2, 1\]; low must lie below high"),
        (0.5, jm.Range(1, np.inf), RANDOM, r"an end of the Range of fund\.count is inf; give a finite number"),
        (0.5, jm.Range(0, 1, log=True), RANDOM, r"Range of fund\.count starts at 0; a logarithmic range needs low > 0"),
        (jm.Range(0.5, 1.5), [1], {"kind": "random", "points": 50}, r"alpha is 1\.\d+ in the sweep"),
    ],
)
def test_designs_that_make_no_sense_are_refused(market, alpha, values, options, match):
    with pytest.raises(jm.MarketError, match=match):
        make_design(market, alpha, {"fund.count": values}, **options)


def test_only_markets_are_swept():
    with pytest.raises(jm.MarketError, match=r"market is Traders; build one with Market\.of"):
        make_design(FUND, 0.5)
