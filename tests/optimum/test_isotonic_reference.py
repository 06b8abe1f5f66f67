"""The reference for irregular laws against closed forms, and against the paper's problem solved as a conic program."""

import numpy as np
import pytest
import scipy.stats as st

from jaxmech.testing.discretised import Trader, optimum
from jaxmech.testing.discretised import extrapolated as extrapolated_programme
from jaxmech.testing.irregular_laws import Histogram, Mixture, PiecewiseLinear
from jaxmech.testing.isotonic_reference import (
    budget_reference,
    dual_bound,
    edges_between,
    grid_law,
    grids_of,
    halved,
    precise_budget_reference,
    precise_reference,
    solve_reference,
)

SAME_GRID, EXTRAPOLATED = 1e-8, 5e-6
CELLS = 128


def truncated_normal(loc, scale, lower, upper):
    return st.truncnorm((lower - loc) / scale, (upper - loc) / scale, loc=loc, scale=scale)


def uniform(lower, upper):
    return st.uniform(lower, upper - lower)


PEAKS = ((-0.8, 0.1), (0.0, 0.15), (0.7, 0.1))
THREE_PEAKS = Mixture((0.3, 0.4, 0.3), tuple(truncated_normal(loc, scale, -1.2, 1.0) for loc, scale in PEAKS))
TWO_PEAKS = Mixture((0.4, 0.6), (truncated_normal(0.2, 0.12, -0.4, 1.0), truncated_normal(0.9, 0.15, -0.4, 1.2)))
STEPS = Mixture((0.5, 0.15, 0.35), (uniform(-1, -0.4), uniform(-0.7, 0.7), uniform(0.3, 1.2)))
GAP = Mixture((0.35, 0.65), (uniform(-1, -0.5), uniform(-0.1, 0.5)))
DEEP_VALLEY = Histogram((-1.0, -0.35, 0.4, 1.0), (0.45, 0.02, 0.53))
HIGHER_DEEP_VALLEY = Histogram((0.8, 1.45, 2.2, 2.8), (0.45, 0.02, 0.53))
FIVE_BINS = Histogram((-1.0, -0.7, -0.2, 0.0, 0.5, 1.1), (0.2, 0.02, 0.38, 0.1, 0.3))
EMPTY_BIN = Histogram((-0.6, -0.2, 0.3, 0.6, 1.4), (0.5, 0.0, 0.1, 0.4))
FLAT_VALLEY = PiecewiseLinear((-1.0, -0.6, -0.2, 0.8), (1.0, 0.05, 0.05, 1.4))
VALLEY_TO_ZERO = PiecewiseLinear((-0.8, -0.3, 0.3, 1.2), (2.0, 0.0, 3.0, 0.5))
TENTS = PiecewiseLinear((-1.0, -0.6, 0.1, 0.5, 1.0), (0.0, 2.0, 0.1, 2.0, 0.0))

# (law, risk capacity) of both traders.
MARKETS = {
    "mixtures of normals": [(THREE_PEAKS, 0.5), (TWO_PEAKS, 0.9)],
    "mixture of uniforms": [(STEPS, 0.8), (uniform(0.2, 1.5), 0.5)],
    "gap in a support": [(GAP, 0.7), (TWO_PEAKS, 0.5)],
    "deep valleys": [(DEEP_VALLEY, 0.8), (HIGHER_DEEP_VALLEY, 0.5)],
    "binding deep valleys": [(DEEP_VALLEY, 0.5), (DEEP_VALLEY, 1.5)],
    "histograms": [(FIVE_BINS, 1.0), (EMPTY_BIN, 0.6)],
    "valleys of linear density": [(FLAT_VALLEY, 0.5), (VALLEY_TO_ZERO, 1.2)],
    "density zero at the ends": [(TENTS, 0.8), (FIVE_BINS, 0.5)],
    "nearly certain gains from trade": [
        (Histogram((-0.5, 0.0, 0.5, 1.0), (0.45, 0.02, 0.53)), 0.5),
        (PiecewiseLinear((1.2, 1.6, 2.0, 3.0), (1.0, 0.05, 0.05, 1.4)), 0.9),
    ],
}
# (α, whether the budget must balance): without a budget α is the effective weight.
OBJECTIVES = [(0.2, False), (0.5, False), (1.0, False), (0.0, True), (0.3, True)]


def breaks_of(law):
    return getattr(law, "breaks", law.support())


def outcomes(reference, alpha):
    return np.array(
        [alpha * reference.revenue + (1 - alpha) * reference.efficiency, reference.revenue, reference.efficiency]
    )


def references_on(edges, market, alpha, budget):
    grids = [grid_law(law.cdf, e) for (law, _), e in zip(market, edges, strict=True)]
    solve = budget_reference if budget else solve_reference
    return grids, solve(grids, [kappa for _, kappa in market], [1] * len(market), alpha)


def programme_on(edges, market, alpha, budget):
    return optimum(
        [Trader(*t) for t in market], alpha, len(edges[0]) - 1, edges=edges, target=0.0 if budget else -np.inf
    )


@pytest.fixture(scope="module", params=[(name, *objective) for name in MARKETS for objective in OBJECTIVES], ids=str)
def both(request):
    """Reference and program on a grid and on its halves."""
    name, alpha, budget = request.param
    market = MARKETS[name]
    coarse = [edges_between(breaks_of(law), CELLS) for law, _ in market]
    grids = coarse, [halved(e) for e in coarse]
    references = [references_on(edges, market, alpha, budget) for edges in grids]
    return market, alpha, budget, references, [programme_on(edges, market, alpha, budget) for edges in grids]


@pytest.mark.slow
def test_program_on_the_same_grid_agrees(both):
    _, alpha, _, references, programmes = both
    for (_, reference), programme in zip(references, programmes, strict=True):
        gap = np.abs(outcomes(reference, alpha) - programme)
        assert gap[0] < SAME_GRID
        # Nothing asks for revenue at α = 0, and the program may leave some of it to the traders.
        assert alpha == 0 or max(gap) < 1e-5


def test_extrapolated_program_agrees(both):
    market, alpha, budget, _, programmes = both
    laws, kappa = zip(*market, strict=True)
    solve = precise_budget_reference if budget else precise_reference
    gap = outcomes(solve(laws, kappa, [1, 1], alpha), alpha)[0] - extrapolated_programme(*programmes).objective
    assert abs(gap) < EXTRAPOLATED


def test_dual_bound_is_attained(both):
    market, _, _, references, _ = both
    for grids, reference in references:
        bound = dual_bound(grids, [kappa for _, kappa in market], [1, 1], reference)
        assert abs(bound - reference.objective) < 1e-13


def test_mechanism_is_feasible(both):
    market, _, budget, references, _ = both
    grids, reference = references[-1]
    assert abs(sum(g.mass @ x for g, x in zip(grids, reference.allocation, strict=True))) < 1e-14
    assert not budget or reference.revenue > -1e-12
    for grid, allocation, (_, kappa) in zip(grids, reference.allocation, market, strict=True):
        assert np.all(np.diff(allocation) <= 1e-15)
        bought = np.append(0.0, np.cumsum(allocation * np.diff(grid.edges)))
        gain = (bought.max() - bought) / kappa
        expected = grid.cdf[-1] * gain[-1] - grid.below @ (-allocation / kappa)  # by parts
        rent = grid.below @ np.maximum(allocation, 0) + grid.above @ np.maximum(-allocation, 0)
        np.testing.assert_allclose(expected, rent / kappa, atol=1e-14)


def largest_fall(grid, eta, weight):
    """How far clip(η, ψ⁺, ψ⁻) falls below an earlier value if nothing is ironed."""
    used = grid.mass > 1e-12
    low, high = (grid.moment - weight * grid.above)[used], (grid.moment + weight * grid.below)[used]
    plain = np.clip(eta, low / grid.mass[used], high / grid.mass[used])
    return np.max(np.maximum.accumulate(plain) - plain)


@pytest.mark.parametrize("name", [name for name in MARKETS if name != "binding deep valleys"])
def test_ironing_is_at_work(name):
    laws, kappa = zip(*MARKETS[name], strict=True)
    grids = [grids_of(law, CELLS)[1] for law in laws]
    reference = solve_reference(grids, kappa, [1, 1], 0.2)
    assert max(largest_fall(grid, eta, 0.2) for grid, eta in zip(grids, reference.eta, strict=True)) > 0.01


def test_bunches_lie_away_from_eta_in_many_markets():
    found = 0
    for market in MARKETS.values():
        laws, kappa = zip(*market, strict=True)
        reference = solve_reference([grids_of(law, 200)[0] for law in laws], kappa, [1, 1], 0.2)
        for bunches, binding in zip(reference.bunching, reference.binding, strict=True):
            assert all(to <= binding[0] or start >= binding[1] for start, to, _ in bunches)
            found += np.sum(bunches[:, 1] - bunches[:, 0] > 0.05)
    assert found >= 6


def random_law(generator):
    """A histogram, a piecewise linear density or a mixture of truncated normals, with valleys more often than not."""
    lower, upper = np.sort(generator.uniform(-1.5, 1.5, 2)) + np.array([-0.3, 0.3])
    inner = np.sort(generator.uniform(lower, upper, 4))
    edges = (lower, *inner, upper)
    match generator.integers(3):
        case 0:
            return Histogram(edges, tuple(generator.dirichlet(np.full(5, 0.5))))
        case 1:
            return PiecewiseLinear(edges, tuple(generator.exponential(size=6) ** 2))
    parts = tuple(truncated_normal(loc, generator.uniform(0.1, 0.4), lower, upper) for loc in inner[:3])
    return Mixture(tuple(generator.dirichlet(np.ones(3))), parts)


@pytest.mark.parametrize("seed", range(16))
def test_program_agrees_on_random_markets(seed):
    generator = np.random.default_rng(seed)
    market = [(random_law(generator), np.exp(generator.uniform(-1, 1))) for _ in range(2 + seed % 2)]
    edges = [edges_between(breaks_of(law), 40) for law, _ in market]
    alpha, budget = generator.uniform(0.05, 1), bool(generator.integers(2))
    _, reference = references_on(edges, market, alpha, budget)
    gap = np.abs(outcomes(reference, alpha) - programme_on(edges, market, alpha, budget))
    assert gap[0] < SAME_GRID
    assert max(gap) < 1e-5


def test_count_is_a_list_of_equal_traders():
    five, tents = grids_of(FIVE_BINS, 100)[0], grids_of(TENTS, 90)[0]
    grouped = budget_reference([five, tents], [0.5, 0.8], [3, 2], 0.0)
    listed = budget_reference([five] * 3 + [tents] * 2, [0.5] * 3 + [0.8] * 2, [1] * 5, 0.0)
    for name in ("weight", "revenue", "efficiency"):
        np.testing.assert_allclose(getattr(grouped, name), getattr(listed, name), rtol=0, atol=1e-12)


# Regular laws.


@pytest.mark.parametrize("weight", [0.0, 0.2, 1 / 3, 1.0])
@pytest.mark.parametrize("traders", [2, 5])
def test_symmetric_uniform_closed_form(weight, traders):
    half, kappa = 1.0, 0.5
    found = precise_reference([uniform(-half, half)], [kappa], [traders], weight)
    revenue = (traders - 1) * half**2 / (3 * kappa) * weight / (1 + weight) ** 2
    saved = (1 - 1 / traders) * (1 + 2 * weight) / (1 + weight) ** 2
    np.testing.assert_allclose(found.revenue, revenue, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.efficiency, -traders * half**2 / (6 * kappa) * (1 - saved), rtol=0, atol=1e-8)
    (binding,) = solve_reference([grids_of(uniform(-half, half), 1000)[0]], [kappa], [traders], weight).binding
    end = half * weight / (1 + weight)
    np.testing.assert_allclose(binding, [-end, end], rtol=0, atol=0.0021)


# Laws, risk capacities; w* and A there; R and A at w = 1.
REGULAR = {
    "uniform, unequal risk capacities": (
        [(uniform(0, 1), 0.5), (uniform(0, 1), 1.5)],
        (0.163594559781125, -0.296794199127357),
        (0.062561761064339, -0.345849453730380),
    ),
    "truncated normal and Beta": (
        [(truncated_normal(0.2, 0.5, -1, 1), 0.7), (st.beta(2, 3, loc=-1, scale=2.5), 1.1)],
        (0.038272750616853, -0.127808521409967),
        (0.059730987479837, -0.164073782256952),
    ),
}


@pytest.mark.parametrize("name", REGULAR)
def test_regular_laws(name):
    market, (weight, efficient), (revenue, efficiency) = REGULAR[name]
    laws, kappa = zip(*market, strict=True)
    balanced = precise_budget_reference(laws, kappa, [1, 1], 0.0, cells=4000)
    np.testing.assert_allclose([balanced.weight, balanced.revenue], [weight, 0.0], rtol=0, atol=2e-8)
    np.testing.assert_allclose(balanced.efficiency, efficient, rtol=0, atol=1e-11)
    dearest = precise_reference(laws, kappa, [1, 1], 1.0, cells=4000)
    np.testing.assert_allclose(dearest.revenue, revenue, rtol=0, atol=1e-11)
    np.testing.assert_allclose(dearest.efficiency, efficiency, rtol=0, atol=1e-8)


def test_a_regular_law_written_in_other_ways():
    plain = precise_reference([uniform(-1, 1), TENTS], [0.5, 0.8], [1, 1], 0.4)
    halves = Mixture((0.5, 0.5), (uniform(-1, 0), uniform(0, 1)))
    for law in (halves, Histogram((-1, -0.5, 0.5, 1), (1, 2, 1)), PiecewiseLinear((-1, 0.2, 1), (3, 3, 3))):
        same = precise_reference([law, TENTS], [0.5, 0.8], [1, 1], 0.4)
        gap = np.abs(outcomes(same, 0.4) - outcomes(plain, 0.4))
        assert gap[0] < 1e-9
        assert max(gap) < 1e-6


# First best.


def gaps_around(law, eta):
    """Rows (F, length below η, length above η) of the intervals without types, those beyond the support included."""
    breaks = np.array([min(eta, law.support()[0]), *breaks_of(law), max(eta, law.support()[1])])
    cdf = law.cdf(breaks)
    empty = np.diff(cdf) < 1e-15
    below, above = np.diff(np.minimum(breaks, eta)), np.diff(np.maximum(breaks, eta))
    return np.stack([cdf[:-1], below, above], axis=1)[empty]


@pytest.mark.parametrize("name", MARKETS)
def test_first_best_revenue(name):
    """−½Σ δ²/(K − κ), and the rent saved where a support has a gap or η lies outside it."""
    laws, kappa = zip(*MARKETS[name], strict=True)
    kappa = np.array(kappa)
    others = kappa.sum() - kappa
    mean = np.array([law.moment(1) for law in laws])
    eta = kappa * (mean.sum() - mean) / others
    revenue = -0.5 * np.sum((mean - kappa / kappa.sum() * mean.sum()) ** 2 / others)
    for law, own, rest, e in zip(laws, kappa, others, eta, strict=True):
        saved = sum(cdf * below**2 + (1 - cdf) * above**2 for cdf, below, above in gaps_around(law, e))
        revenue += rest / (2 * (own + rest) * own) * saved
    found = precise_reference(laws, kappa, [1, 1], 0.0, cells=4000)
    np.testing.assert_allclose(found.eta, eta, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.revenue, revenue, rtol=0, atol=1e-5 if name == "gap in a support" else 1e-8)


# Laws and grids.


@pytest.mark.parametrize("law", [THREE_PEAKS, STEPS, GAP, EMPTY_BIN, VALLEY_TO_ZERO, TENTS])
def test_laws_hold_together(law):
    for grid in grids_of(law, 50):
        assert np.isin(law.breaks, grid.edges).all()
        np.testing.assert_allclose([grid.cdf[0], grid.cdf[-1]], [0, 1], rtol=0, atol=1e-15)
        np.testing.assert_allclose(grid.second_moment, law.moment(2), rtol=0, atol=1e-13)
        np.testing.assert_allclose(grid.moment.sum(), law.moment(1), rtol=0, atol=1e-13)
    assert tuple(law.support()) == (law.breaks[0], law.breaks[-1])


def test_grids_have_as_many_cells_as_asked():
    for cells in (4, 7, 50, 51):
        edges = edges_between(EMPTY_BIN.breaks, cells)
        assert len(edges) == cells + 1
        assert np.all(np.diff(edges) > 0)
    np.testing.assert_array_equal(edges_between((0, 1), 4), np.linspace(0, 1, 5))
    with pytest.raises(ValueError, match="breaks"):
        edges_between(EMPTY_BIN.breaks, 3)
