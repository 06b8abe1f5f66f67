"""Whether some type would better be let go (beyond §16)."""

import clarabel
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats as st

import jaxmech as jm
from jaxmech.testing import discretised

FAIR = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 5))


def test_without_outside_options_everybody_is_worth_the_risk_that_he_absorbs():
    mechanism = jm.solve(FAIR, 1.0)
    found, others = jm.keeping_everybody(mechanism), 4 * mechanism.interim().variance
    np.testing.assert_allclose(found.worth, 0.2**2 * others / (2 * 0.5 * 0.8), rtol=1e-14)
    assert np.all(found.wise)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.79])
def test_at_a_fair_price_without_a_reserve_nobody_should_be_let_go(gamma):
    assert np.all(jm.keeping_everybody(jm.solve(FAIR.with_outside("all", jm.OutsideOption(gamma)), 1.0)).wise)


def test_a_reserve_above_what_a_type_absorbs_is_reported_with_the_group_and_the_type():
    market = jm.Market.of(
        jm.Traders(jm.Uniform(-1.0, 1.2), 1.0, name="dealer"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 2, "fund")
    ).with_outside("dealer", jm.OutsideOption(0.1, 0.0, 0.2))
    mechanism = jm.solve(market, 1.0, minimum_revenue=-1.0)
    found, (low, high) = jm.keeping_everybody(mechanism), mechanism.binding_interval[0]
    assert list(found.wise) == [False, True]
    assert low <= found.endowment[0] <= high


@pytest.mark.parametrize("centre", [0.5, -0.8])
def test_the_type_reported_is_the_one_worth_least_of_the_binding_interval(centre):
    mechanism = jm.solve(FAIR.with_outside("all", jm.OutsideOption(0.4, centre)), 1.0, minimum_revenue=-np.inf)
    found, (low, high) = jm.keeping_everybody(mechanism), mechanism.binding_interval[0]
    zeta = np.linspace(low, high, 1001) - centre
    share, sigma, others = 0.2, 0.5, 4 * mechanism.interim().variance[0]
    eta = float(mechanism.eta[0])
    worth = 0.4 * (1 - sigma) * zeta**2 + 2 * 0.4 * zeta * (centre - eta) + share**2 * others / (1 - share)
    np.testing.assert_allclose(found.worth[0], np.min(worth), rtol=1e-4, atol=1e-6)


def largest_revenue(traders, count, cell=None):
    """On the whole joint grid, with the types of one cell of the first trader, if any, let go."""
    cells = [discretised.cells_of(trader.law, count) for trader in traders]
    kappa, written, n = [trader.risk_capacity for trader in traders], discretised.every_allocation(cells), len(traders)
    states = len(written.weight)
    square = np.concatenate([written.weight / k for k in kappa] + [np.zeros(n * (2 * count + 1))])
    efficiency, rents = discretised._linear_parts(cells, kappa, n * states)
    equal, below, least = discretised._constraints(cells, traders, written)
    equal, right, saved = equal.tolil(), np.zeros(equal.shape[0]), 0.0
    if cell is not None:
        own, first, (gamma, centre, reserve) = n * states + cell, cells[0], traders[0].outside
        outside = lambda z: reserve + gamma * (z - centre) ** 2 / (2 * kappa[0])  # noqa: E731
        # What he buys outside stands for his interim purchase, so that his gain is o; inside he trades nothing.
        equal[cell], equal[cell, own] = 0, 1.0
        right[cell] = -gamma * (np.mean(first.edges[cell : cell + 2]) - centre)
        efficiency[own] = 0.0
        absent = np.flatnonzero(np.arange(states) // count ** (n - 1) == cell)
        fixed = sp.identity(equal.shape[1], format="csr")[[*absent, n * states + count + cell]]
        equal = sp.vstack([equal, fixed])
        right = np.concatenate([right, np.zeros(len(absent)), [outside(first.edges[cell])]])
        nodes = first.edges[cell] + first.width[cell] * (discretised._NODES + 1) / 2
        saved = 0.5 * first.width[cell] * discretised._WEIGHTS @ (traders[0].law.pdf(nodes) * outside(nodes))
    rows = sp.vstack([sp.csr_matrix(equal), below], format="csc")
    kinds = [clarabel.ZeroConeT(equal.shape[0]), clarabel.NonnegativeConeT(below.shape[0])]
    linear, right = efficiency - sum(rents), np.concatenate([right, least])
    x = discretised._solve(sp.diags(square, format="csc"), -linear, rows, right, kinds)
    return linear @ x - 0.5 * x @ (square * x) + saved


@pytest.mark.parametrize(("gamma", "centre", "reserve"), [(0.3, 0.4, 0.0), (0.2, -0.5, 0.02)])
def test_worth_is_what_revenue_loses_where_a_cell_of_types_is_let_go(gamma, centre, reserve):
    """To first order in the cell's probability; errors are those of cells, some 1/K."""
    count, traders = 20, [discretised.Trader(st.uniform(-1, 2), 1.0, 0.0, (gamma, centre, reserve))] * 3
    option = jm.OutsideOption(gamma, centre, reserve)
    mechanism = jm.solve(jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 3, outside=option)), 1.0, -np.inf)
    found, (low, high) = jm.keeping_everybody(mechanism), np.asarray(mechanism.binding_interval[0])
    middles = np.linspace(-1.0, 1.0, 2 * count + 1)[1::2]
    bound = np.flatnonzero((middles - 1 / count > low) & (middles + 1 / count < high))
    least = bound[np.argmin(np.abs(middles[bound] - found.endowment[0]))]
    everybody = largest_revenue(traders, count)
    lost = {cell: count * (everybody - largest_revenue(traders, count, cell)) for cell in (bound[0], least, bound[-1])}
    assert lost[least] == min(lost.values()) < 0
    assert lost[least] == pytest.approx(float(found.worth[0]), abs=3e-3)
