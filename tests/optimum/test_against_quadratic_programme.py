"""The optimum against problem (6)–(10) solved on a grid, which knows no virtual types and no multipliers."""

import numpy as np
import pytest
import scipy.stats as st

import jaxmech as jm
from jaxmech.testing.discretised import Trader, additive_allocations, every_allocation, extrapolated, optimum

OBJECTIVE, OUTCOMES = 1e-6, 2e-5


def uniform(lower, upper):
    return jm.Uniform(lower, upper), st.uniform(lower, upper - lower)


def truncated_normal(loc, scale, lower, upper):
    ends = (lower - loc) / scale, (upper - loc) / scale
    return jm.TruncatedNormal(loc, scale, lower, upper), st.truncnorm(*ends, loc=loc, scale=scale)


def beta(a, b, lower, upper):
    return jm.Beta(a, b, lower, upper), st.beta(a, b, loc=lower, scale=upper - lower)


# (law, risk capacity) of every trader.
MARKETS = {
    "uniform and truncated normal": [(uniform(-1, 1.2), 0.5), (truncated_normal(0.2, 0.5, -1, 1), 0.8)],
    "Condition 1 violated": [(uniform(0, 1), 0.5), (uniform(0, 1), 1.5)],
    "Beta and truncated normal": [(beta(2, 3, -1, 1.5), 1.1), (truncated_normal(0.2, 0.5, -1, 1), 0.7)],
    "Beta with power-law ends": [(beta(1.4, 2.5, -1, 1.5), 1.1), (truncated_normal(0.2, 0.5, -1, 1), 0.8)],
    "three laws": [
        (uniform(-0.5, 1), 0.5),
        (truncated_normal(0.1, 0.5, -1, 1.3), 0.8),
        (beta(2, 3, -0.5, 1.5), 0.6),
    ],
    "nearly certain gains from trade": [(uniform(0, 1), 1.0), (uniform(1.5, 3), 1.2)],
}


def grid_traders(name):
    return [Trader(law, kappa) for (_, law), kappa in MARKETS[name]]


def optimal_outcome(name, alpha):
    market = jm.Market.of(*(jm.Traders(law, kappa) for (law, _), kappa in MARKETS[name]))
    outcome = jm.outcomes(jm.solve(market, alpha))
    revenue, efficiency = float(outcome.revenue), float(outcome.efficiency)
    return np.array([alpha * revenue + (1 - alpha) * efficiency, revenue, efficiency])


@pytest.fixture(scope="module", params=[(name, alpha) for name in MARKETS for alpha in (0.0, 0.5, 1.0)], ids=str)
def exact_and_grids(request):
    name, alpha = request.param
    traders = grid_traders(name)
    return optimal_outcome(name, alpha), [optimum(traders, alpha, cells) for cells in (40, 80, 160)]


@pytest.mark.slow
def test_extrapolated_programme_agrees(exact_and_grids):
    exact, grids = exact_and_grids
    gap = np.abs(np.array(extrapolated(*grids[1:])) - exact)
    assert gap[0] < OBJECTIVE
    assert max(gap) < OUTCOMES


def test_no_allocation_on_a_grid_does_better(exact_and_grids):
    exact, grids = exact_and_grids
    assert max(grid.objective for grid in grids) < exact[0] + 1e-9


def test_finer_grids_come_closer_by_the_square_of_their_cells(exact_and_grids):
    exact, grids = exact_and_grids
    missed = np.array([exact[0] - grid.objective for grid in grids])
    np.testing.assert_allclose(missed[:-1] / missed[1:], 4.0, rtol=0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("name", ["Condition 1 violated", "three laws"])
def test_additive_allocations_lose_nothing(name, alpha):
    cells = 24 if len(MARKETS[name]) == 2 else 7
    traders = grid_traders(name)
    every = optimum(traders, alpha, cells, every_allocation)
    additive = optimum(traders, alpha, cells, additive_allocations)
    np.testing.assert_allclose(additive, every, rtol=0, atol=2e-8)


@pytest.mark.parametrize("weight", [0.05, 0.1])
def test_larger_trader_binds_only_at_the_top_for_small_weights(weight):
    (law, _), _ = MARKETS["Condition 1 violated"][0]
    mechanism = jm.solve_at_weight(jm.Market.of(jm.Traders(law, 0.5), jm.Traders(law, 1.5)), weight)
    np.testing.assert_array_equal(mechanism.binding_interval[1], [1.0, 1.0])
    assert float(mechanism.eta[1]) >= 1 + weight
