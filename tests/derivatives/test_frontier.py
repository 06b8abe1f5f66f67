"""The traced frontier: as exact as asked between its points, tangent everywhere, and honest where it gave up."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.derivatives.frontier import frontier
from jaxmech.market.parameters import market_with, named_parameter, present_values
from jaxmech.testing.random_markets import random_markets
from marks import cases

TREASURY = Path(__file__).parents[2] / "experiments" / "markets" / "us_treasury_10y.toml"
UNIFORM = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5, name="trader"))
SURPLUS = 4 / 3  # of UNIFORM: (N − 1)h²/(6κ)


def closed_form(weight):
    """(R, A) of UNIFORM at weight w, theory §10."""
    return 8 / 3 * weight / (1 + weight) ** 2, -5 / 3 * (1 - 0.8 * (1 + 2 * weight) / (1 + weight) ** 2)


def lane(tree, number):
    return jax.tree.map(lambda leaf: leaf[..., number], tree)


@pytest.fixture(scope="module")
def exact():
    return frontier(UNIFORM)


@pytest.fixture(scope="module")
def unequal():
    """U[0, 1]² with κ = (½, 3/2): the budget binds below w* = 0.1636."""
    return frontier(jm.Market.of(jm.Traders(jm.Uniform(0, 1), np.array([0.5, 1.5]))))


@pytest.fixture(scope="module")
def normals():
    """50 random markets and their frontiers."""
    markets = random_markets((0, 2, 0), 50, seed=81)
    return markets, frontier(markets, tolerance=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_between_its_points_it_is_as_exact_as_asked(tolerance):
    """Against the closed form, at random efficiencies and random revenues."""
    traced = frontier(UNIFORM, tolerance)
    assert traced.error <= tolerance
    revenue, efficiency = closed_form(np.random.default_rng(82).uniform(1e-3, 1 - 1e-3, 500))
    np.testing.assert_allclose(traced.revenue_at(efficiency), revenue, rtol=0, atol=tolerance * SURPLUS)
    np.testing.assert_allclose(traced.efficiency_at(revenue), efficiency, rtol=0, atol=tolerance * SURPLUS)


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_random_markets_lie_on_their_frontiers_within_the_tolerance(tolerance):
    """Fresh solves at random weights in 50 markets. The error is measured, not bounded: where a binding interval leaves
    the end of a support H has a jump in its third derivative, and one check in 4,000 came out at twice the tolerance.
    """
    markets = random_markets((0, 2, 0), 50, seed=81)
    traced = frontier(markets, tolerance)
    assert np.all(traced.error <= tolerance)
    first = np.maximum(traced.weight[0], 1e-3)
    weights = first + (1 - 1e-3 - first) * np.random.default_rng(83).uniform(size=(40, 50))
    wide = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None, :], (*leaf.shape[:-1], 40, 50)), markets)
    achieved = jm.outcomes(jm.solve_at_weight(wide, weights))
    surplus = achieved.first_best_surplus
    for name, other in (("revenue", "efficiency"), ("efficiency", "revenue")):
        found = getattr(traced, f"{name}_at")(getattr(achieved, other))
        error = np.abs(found - getattr(achieved, name)) / surplus
        assert np.max(error) <= 3 * tolerance, name
        assert np.mean(error > tolerance) <= 1e-3, name


def test_sixty_solves_trace_eight_digits(exact):
    assert exact.error <= 1e-8
    assert exact.solves <= 60


@pytest.mark.slow
def test_sixty_solves_trace_eight_digits_of_the_treasury_market():
    traced = frontier(jm.Market.from_toml(TREASURY))
    assert traced.error <= 1e-8
    assert traced.solves <= 60


@pytest.mark.slow
def test_a_batch_is_traced_as_each_market_alone(normals):
    markets, traced = normals
    for number in (0, 7, 49):
        alone, together = frontier(lane(markets, number), tolerance=1e-6), lane(traced, number)
        assert alone.error <= 1e-6
        surplus = jm.outcomes(jm.first_best(alone.market)).first_best_surplus
        for end in (0, -1):
            for name in ("weight", "revenue", "efficiency"):
                one, other = getattr(alone, name)[end], getattr(together, name)[end]
                assert abs(one - other) <= 1e-12 * (1 + abs(other)), (number, name)
        efficiency = together.efficiency[: int(together.points)]
        off = np.abs(alone.revenue_at(efficiency) - together.revenue[: int(together.points)])
        assert np.max(off[1:]) <= 1e-6 * surplus  # the first is vertical to rounding
        assert abs(alone.points - together.points) <= 2


def test_its_slope_is_the_rate_of_exchange(exact):
    """dR/dA = −(1 − w)/w, by differences of the interpolated curve."""
    weight, step = np.linspace(0.05, 0.95, 19), 1e-4
    (more, kept), (less, lost) = exact.at_weight(weight + step), exact.at_weight(weight - step)
    np.testing.assert_allclose((more - less) / (kept - lost), -(1 - weight) / weight, rtol=2e-6)


@pytest.mark.slow
def test_it_bends_one_way_only(unequal):
    assert np.all(unequal.curvature >= 0)
    assert np.all(np.diff(unequal.weight) > 0)
    assert np.all(np.diff(unequal.revenue) > 0)
    assert np.all(np.diff(unequal.efficiency) < 0)


def test_it_starts_where_the_budget_just_balances(unequal):
    """Theory §10: w* = 0.1636, A = −0.2968; at w = 1 R = 0.0626, A = −0.3458."""
    first = [part[0] for part in (unequal.weight, unequal.revenue, unequal.efficiency)]
    last = [part[-1] for part in (unequal.weight, unequal.revenue, unequal.efficiency)]
    np.testing.assert_allclose(first, [0.163594559781125, 0, -0.296794199127357], rtol=0, atol=1e-13)
    np.testing.assert_allclose(last, [1, 0.062561761064339, -0.345849453730380], rtol=0, atol=1e-13)
    assert unequal.alpha[0] == 0
    np.testing.assert_array_equal(unequal.alpha[1:], unequal.weight[1:])


def test_the_double_auction_of_five_earns_exactly_half(exact):
    """Theory §10: R = 1/4 where the frontier has 1/2, at A = −5/12."""
    auction = jm.outcomes(jm.double_auction(UNIFORM))
    gap = exact.gap(auction)
    np.testing.assert_allclose(auction.revenue, 1 / 4, rtol=1e-12)
    np.testing.assert_allclose(gap.revenue, 1 / 4, rtol=0, atol=2e-8)
    assert gap.efficiency > 0
    optimum = jm.outcomes(exact.mechanism_at(efficiency=auction.efficiency))
    np.testing.assert_allclose(optimum.revenue / auction.revenue, 2, rtol=1e-11)


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.3, 0.9, 1.0])
def test_a_mechanism_hits_the_revenue_or_efficiency_asked_for(unequal, share):
    surplus = jm.outcomes(jm.solve(unequal.market, 1.0)).first_best_surplus
    for name in ("revenue", "efficiency"):
        ends = getattr(unequal, name)
        wanted = (1 - share) * ends[0] + share * ends[-1]
        found = getattr(jm.outcomes(unequal.mechanism_at(**{name: wanted})), name)
        assert abs(found - wanted) <= 1e-11 * surplus, name


def flat(z, parameters):
    """A density that is no polynomial; at the top of the module, so that it compiles once."""
    return -parameters["steepness"] * jnp.abs(z)


LISTED = {
    "mixture": lambda more: jm.Mixture([jm.Uniform(-1.0, 0.5), jm.Uniform(0.0, 1.0)], [0.5 + more, 0.5]),
    "histogram": lambda more: jm.Histogram([-1.0, 0.0, 1.0], [0.4, 0.6 + more]),
    "piecewise linear": lambda more: jm.PiecewiseLinear([-1.0, 0.1 + more, 1.0], [0.5, 1.0, 0.5]),
    "density with a kink": lambda more: jm.Density(flat, {"steepness": 1.0 + more}, -1.0, 1.0, [0.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", cases([*LISTED, "families side by side"], ["histogram"]))
def test_laws_that_hold_lists_have_a_frontier(name):
    """Groups come last in a list of numbers, (n, G): a batch goes behind them."""
    law = LISTED.get(name, LISTED["histogram"])
    first = law(0.0) if name in LISTED else jm.Uniform(-1.0, 1.0)
    market = jm.Market.of(jm.Traders(first, 1.0, 5, "a"), jm.Traders(law(0.1), 2.0, 4, "b"))
    traced = frontier(market, tolerance=1e-4)
    assert traced.error <= 1e-4
    wanted = 0.5 * (traced.efficiency[0] + traced.efficiency[-1])
    found = jm.outcomes(traced.mechanism_at(efficiency=wanted))
    assert abs(found.efficiency - wanted) <= 1e-11 * found.first_best_surplus
    assert abs(found.revenue - traced.revenue_at(wanted)) <= 1e-3 * found.first_best_surplus


@pytest.mark.parametrize("name", ["revenue", "efficiency"])
def test_a_coarse_frontier_hits_as_well(name):
    """Newton's iteration on the solver, not on the curve."""
    coarse = frontier(UNIFORM, tolerance=1e-2)
    wanted = dict(zip(("revenue", "efficiency"), closed_form(0.37), strict=True))[name]
    mechanism = coarse.mechanism_at(**{name: wanted})
    assert abs(getattr(jm.outcomes(mechanism), name) - wanted) <= 1e-11 * SURPLUS
    assert mechanism.weight == pytest.approx(0.37, abs=1e-10)


def test_an_exchange_rate_is_the_weight_it_stands_for(exact, unequal):
    assert exact.mechanism_at(exchange_rate=3.0).weight == 0.25
    assert exact.mechanism_at(exchange_rate=0.0).weight == 1
    assert unequal.mechanism_at(exchange_rate=1e6).weight == unequal.weight[0]


@pytest.mark.slow
def test_a_batch_hits_a_target_in_each_market(normals):
    _, traced = normals
    wanted = 0.5 * (traced.revenue[0] + traced.revenue[-1])
    achieved = jm.outcomes(traced.mechanism_at(revenue=wanted))
    assert np.max(np.abs(achieved.revenue - wanted) / achieved.first_best_surplus) <= 1e-11


def test_beyond_its_ends_there_is_nothing_or_the_best_there_is(unequal):
    low, high = unequal.efficiency[-1], unequal.efficiency[0]
    assert np.isnan(unequal.revenue_at(high + 1e-6))
    np.testing.assert_allclose(unequal.revenue_at(low - 1), unequal.revenue[-1], rtol=1e-13)
    assert np.isnan(unequal.efficiency_at(unequal.revenue[-1] + 1e-6))
    np.testing.assert_allclose(unequal.efficiency_at(-1.0), high, rtol=1e-13)
    assert np.isnan(unequal.revenue_at(np.nan)) and np.isnan(unequal.efficiency_at(np.nan))


def test_at_its_ends_it_has_their_values(unequal):
    np.testing.assert_allclose(
        unequal.revenue_at(unequal.efficiency[jnp.array([0, -1])]), unequal.revenue[jnp.array([0, -1])], atol=1e-9
    )
    np.testing.assert_allclose(
        unequal.efficiency_at(unequal.revenue[jnp.array([0, -1])]), unequal.efficiency[jnp.array([0, -1])], atol=1e-9
    )


def test_in_a_batch_shorter_frontiers_end_where_they_end_alone(normals):
    """Their last point is repeated behind them: at w = 1 that is no interval."""
    _, traced = normals
    assert np.ptp(np.asarray(traced.points)) > 0
    earned, kept = traced.at_weight(jnp.ones(50))
    np.testing.assert_allclose(earned, traced.revenue[-1], rtol=1e-12)
    np.testing.assert_allclose(kept, traced.efficiency[-1], rtol=1e-12)


def test_revenue_at_an_efficiency_undoes_efficiency_at_a_revenue(unequal):
    revenue = jnp.linspace(unequal.revenue[0], unequal.revenue[-1], 52)[1:-1]
    np.testing.assert_allclose(unequal.revenue_at(unequal.efficiency_at(revenue)), revenue, rtol=0, atol=1e-12)
    weight = jnp.linspace(unequal.weight[0], 1, 52)[1:-1]
    earned, kept = unequal.at_weight(weight)
    np.testing.assert_allclose(unequal.weight_at(revenue=earned), weight, rtol=0, atol=1e-9)
    np.testing.assert_allclose(unequal.weight_at(efficiency=kept), weight, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trader.risk_capacity", "trader.count", "all.endowment.factor"])
def test_its_shift_is_that_of_frontiers_traced_anew(exact, name):
    parameters, step = (named_parameter(name, UNIFORM),), 1e-3
    now = present_values(UNIFORM, parameters)
    high, low = (frontier(market_with(UNIFORM, parameters, now + move)) for move in (step, -step))
    inner = np.asarray(
        (exact.weight > 0.2) & (exact.weight < 1)
    )  # nearer to 0 the frontier is too steep for differences
    shift = exact.shift(name)
    efficiency, weight = exact.efficiency[inner], exact.weight[inner]
    both = np.asarray(
        (efficiency < min(high.efficiency[0], low.efficiency[0]))
        & (efficiency > max(high.efficiency[-1], low.efficiency[-1]))
    )
    assert both.sum() >= 5
    across = (high.revenue_at(efficiency) - low.revenue_at(efficiency)) / (2 * step)
    np.testing.assert_allclose(shift.revenue_at_efficiency[inner][both], across[both], rtol=0, atol=3e-4)
    for earned, place in ((shift.revenue, 0), (shift.efficiency, 1)):
        along = (high.at_weight(weight)[place] - low.at_weight(weight)[place]) / (2 * step)
        np.testing.assert_allclose(earned[inner], along, rtol=0, atol=5e-5)


def test_too_few_points_are_admitted():
    short = frontier(UNIFORM, tolerance=1e-8, points=5)
    assert short.error == np.inf
    assert short.points <= 5


@pytest.mark.slow
def test_a_solve_that_fails_is_admitted_and_leaves_its_neighbours():
    markets = random_markets((2, 0, 0), 3, seed=84)
    broken = jm.Market(markets.endowment, markets.risk_capacity.at[0, 1].set(jnp.nan), markets.count)
    traced = frontier(broken, tolerance=1e-4)
    assert traced.error[1] == np.inf
    assert np.all(traced.error[jnp.array([0, 2])] <= 1e-4)


@pytest.mark.parametrize(
    ("market", "options", "match"),
    [
        (UNIFORM, {"tolerance": 1e-16}, "tolerance is 1e-16; give a number from 1e-14 to 1"),
        (UNIFORM, {"tolerance": 1.0}, r"tolerance is 1\.0"),
        (UNIFORM, {"tolerance": np.nan}, "tolerance is nan"),
        (UNIFORM, {"tolerance": "fine"}, "tolerance is 'fine'"),
        (UNIFORM, {"points": 2}, "points is 2; give a whole number ≥ 3"),
        (UNIFORM, {"points": 10.5}, r"points is 10\.5"),
        (jm.Uniform(0, 1), {}, r"market is Uniform; build one with Market\.of"),
        (
            jax.tree.map(lambda leaf: leaf[..., None, None], UNIFORM),
            {},
            r"market has fields of shape \(1, 1, 1\); give \(G,\), or \(G, B\) for a batch",
        ),
    ],
)
def test_frontiers_that_cannot_be_traced_are_refused(market, options, match):
    with pytest.raises(jm.MarketError, match=match):
        frontier(market, **options)


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({}, "mechanism_at got nothing; give one of revenue, efficiency, exchange_rate"),
        ({"revenue": 0.1, "efficiency": -0.5}, "mechanism_at got revenue, efficiency; give one of"),
        ({"revenue": 0.7}, r"revenue is 0\.7; the frontier has it from .* to 0\.666667"),
        ({"revenue": np.nan}, "revenue is nan"),
        ({"efficiency": 0.0}, r"efficiency is 0; the frontier has it from -0\.666667 to -0\.333333"),
        ({"exchange_rate": -1.0}, "exchange_rate is -1; the frontier has it from 0 to inf"),
    ],
)
def test_mechanisms_beyond_the_frontier_are_refused(exact, asked, match):
    with pytest.raises(jm.MarketError, match=match):
        exact.mechanism_at(**asked)


def test_only_one_market_is_shifted_and_only_by_what_it_has(exact, normals):
    with pytest.raises(jm.MarketError, match="frontier is of a batch"):
        normals[1].shift("all.scale.factor")
    with pytest.raises(jm.MarketError, match="is not a parameter of this market"):
        exact.shift("dealer.loc")


def test_queries_are_differentiable_with_the_slope_of_the_frontier(exact):
    weight = float(exact.weight_at(revenue=0.3))
    slope = jax.grad(exact.efficiency_at)(0.3)
    np.testing.assert_allclose(slope, -weight / (1 - weight), rtol=1e-9)


def test_frontier_is_not_for_jit_or_vmap_and_says_so():
    with pytest.raises(jm.MarketError, match="outside jit and vmap"):
        jax.jit(jm.frontier)(jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, count=5)))
