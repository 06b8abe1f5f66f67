"""Sweeps over outside options, welfare weights and minimum revenues: statuses, stores and derivatives."""

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.parameters import market_at
from jaxmech.sweep import STATUS

PLAIN = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.2), 0.5, 3, "dealer"), jm.Traders(jm.Beta(2.0, 3.0, -1.0, 1.0), 1.0, 2, "fund")
)
DEALT = PLAIN.with_outside("dealer", jm.OutsideMarket(0.0, 2.0))


def test_infeasible_invalid_and_solved_points_are_told_apart_and_each_says_what_solve_says():
    over = {"dealer.outside_cost": [0.1, 1.0, 2.0], "minimum_revenue": [0.0, 0.05, 2.0]}
    data = jm.sweep(DEALT, [0.0, 0.7], over, progress=False)
    code = data.status.values
    assert np.all(code[:, 0] == STATUS["invalid_parameters"])
    assert np.all(code[:, 1:, 2] == STATUS["infeasible"])
    assert np.all(code[:, 1:, :2] == STATUS["ok"])
    most = jm.outcomes(jm.solve(market_at(DEALT, {"dealer.outside_cost": 1.0}), 1.0)).revenue
    np.testing.assert_allclose(data.largest_revenue.values[:, 1, 2], most, rtol=1e-10)
    assert np.all(np.isnan(data.revenue.values[code != STATUS["ok"]]))
    assert np.array_equal(np.isnan(data.largest_revenue.values), code != STATUS["infeasible"])
    alone = market_at(DEALT, {"dealer.outside_cost": 2.0, "minimum_revenue": 0.05})
    np.testing.assert_allclose(data.revenue.values[1, 2, 1], jm.outcomes(jm.solve(alone, 0.7)).revenue, rtol=1e-12)


def test_welfare_weights_move_the_budget_weight_with_alpha_and_are_solved_point_by_point():
    data = jm.sweep(PLAIN, [0.1, 0.5], {"fund.welfare_weight": [0.0, 0.3, 0.9]}, derivatives=True, progress=False)
    assert np.all(data.status.values == STATUS["ok"])
    for row, alpha in enumerate((0.1, 0.5)):
        for column, welfare in enumerate((0.0, 0.3, 0.9)):
            found = jm.outcomes(jm.solve(market_at(PLAIN, {"fund.welfare_weight": welfare}), alpha))
            np.testing.assert_allclose(data.efficiency.values[row, column], found.efficiency, rtol=1e-12)
            np.testing.assert_allclose(data.revenue.values[row, column], found.revenue, rtol=1e-9, atol=1e-12)
    assert "d_efficiency_d_welfare_weight" in data


@pytest.mark.parametrize("factor", [False, True])
def test_a_law_that_is_not_regular_is_refused_only_with_an_outside_option(factor):
    law = jm.Mixture([jm.Uniform(-1.0, 1.0), jm.TruncatedNormal(0.4, 0.06, -1.0, 1.0)], [0.6, 0.4])
    market = jm.Market.of(jm.Traders(law, 1.0, 2, "fund"))
    data = jm.sweep(market, 1.0, {"fund.outside_gamma": [0.0, 0.3]}, progress=False)
    assert list(np.ravel(data.status.values)) == [STATUS["ok"], STATUS["refused"]]


def test_a_store_keeps_what_a_market_has_besides(tmp_path):
    market = market_at(DEALT.earning(0.02), {"fund.welfare_weight": 0.2})
    over = {"all.risk_capacity.factor": [1.0, 2.0]}
    in_memory = jm.sweep(market, [0.1, 0.5], over, progress=False)
    jm.sweep(market, [0.1, 0.5], over, path=tmp_path / "kept.zarr", progress=False)
    stored = jm.sweep(market, [0.1, 0.5], over, path=tmp_path / "kept.zarr", resume=True, progress=False)
    np.testing.assert_array_equal(stored.revenue.values, in_memory.revenue.values)
    other = jm.sweep(DEALT, [0.1, 0.5], over, progress=False)
    assert np.max(np.abs(other.revenue.values - stored.revenue.values)) > 1e-3
    with pytest.raises(jm.MarketError):
        jm.sweep(DEALT, [0.1, 0.5], over, path=tmp_path / "kept.zarr", resume=True, progress=False)


def test_derivatives_have_rows_for_what_there_is_besides_and_nan_for_groups_without():
    data = jm.sweep(DEALT.earning(0.05), [0.6], {}, derivatives=True, progress=False)
    assert {"d_revenue_d_outside_cost", "d_revenue_d_outside_gamma", "d_revenue_d_minimum_revenue"} <= set(data)
    cost = data.d_revenue_d_outside_cost.values[0]
    assert cost[0] > 0 and np.isnan(cost[1])
