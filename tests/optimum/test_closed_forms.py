"""Markets whose solution is known in closed form, or to more digits than float64 carries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm


def symmetric(traders, half_width=1.0, risk_capacity=0.5, mean=0.0):
    law = jm.Uniform(mean - half_width, mean + half_width)
    return jm.Market.of(jm.Traders(law, risk_capacity, count=traders))


def lopsided():
    return jm.Market.of(jm.Traders(jm.Uniform(0, 1), [0.5, 1.5]))


def unequal_uniforms():
    lower, upper = [-1.0, -0.4, 0.1], [1.3, 0.9, 1.2]
    return jm.Market.of(jm.Traders(jm.Uniform(lower, upper), [0.7, 1.1, 0.8], [1, 2, 3]))


def truncated_normal_and_beta():
    normal = jm.Traders(jm.TruncatedNormal(0.2, 0.5, -1, 1), 0.7)
    return jm.Market.of(normal, jm.Traders(jm.Beta(2, 3, -1, 1.5), 1.1))


MARKETS = {
    "symmetric": lambda: symmetric(4),
    "lopsided": lopsided,
    "unequal_uniforms": unequal_uniforms,
    "truncated_normal_and_beta": truncated_normal_and_beta,
}


def close(value, exact, tolerance=1e-12):
    np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


def test_symmetric_first_best_breaks_even_exactly():
    assert float(jm.budget_weight(symmetric(5, 1.0, 0.5, 0.3))) == 0.0


def test_lopsided_uniform_market_at_budget_weight():
    mechanism = jm.solve(lopsided(), 0.0)
    outcome = jm.outcomes(mechanism)
    close(mechanism.weight, 0.163594559781125, 1e-14)
    close(outcome.efficiency, -0.296794199127357, 1e-14)
    assert abs(float(outcome.revenue)) < 1e-14


def test_lopsided_uniform_market_at_revenue_optimum():
    outcome = jm.outcomes(jm.solve(lopsided(), 1.0))
    close(outcome.revenue, 0.062561761064339, 1e-14)
    close(outcome.efficiency, -0.345849453730380, 1e-14)


@pytest.mark.slow
def test_truncated_normal_and_beta_market_at_budget_weight():
    mechanism = jm.solve(truncated_normal_and_beta(), 0.0)
    close(mechanism.weight, 0.038272750616853, 1e-14)
    close(jm.outcomes(mechanism).efficiency, -0.127808521409967, 1e-14)


def test_truncated_normal_and_beta_market_at_revenue_optimum():
    mechanism = jm.solve(truncated_normal_and_beta(), 1.0)
    outcome = jm.outcomes(mechanism)
    close(outcome.revenue, 0.059730987479837, 1e-14)
    close(outcome.efficiency, -0.164073782256952, 1e-14)
    intervals = [[-0.272458108058, 0.425397727508], [-0.294504023700, 0.532965183260]]
    close(mechanism.binding_interval, intervals, 1e-12)


def first_best_revenue(market):
    """R = −½ Σ δ²/(K − κ) + Σ (K − κ)/(2Kκ) dist(η, support)²."""
    mean, kappa, count = (np.asarray(x) for x in (market.endowment.mean, market.risk_capacity, market.count))
    capacity, total = np.sum(count * kappa), np.sum(count * mean)
    delta, eta = mean - kappa / capacity * total, kappa * (total - mean) / (capacity - kappa)
    outside = eta - np.clip(eta, market.endowment.lower, market.endowment.upper)
    others = capacity - kappa
    return np.sum(count * (-(delta**2) / (2 * others) + others / (2 * capacity * kappa) * outside**2))


def far_apart():
    """Nearly certain gains from trade: both traders violate Condition 1, and first best runs a surplus."""
    return jm.Market.of(jm.Traders(jm.Uniform([0.0, 3.0], [1.0, 4.0]), [1.0, 1.2]))


@pytest.mark.slow
@pytest.mark.parametrize("market", [*MARKETS.values(), far_apart], ids=[*MARKETS, "far_apart"])
def test_revenue_at_weight_zero_is_first_best_revenue(market):
    outcome = jm.outcomes(jm.solve_at_weight(market(), 0.0))
    close(outcome.revenue, first_best_revenue(market()))
    close(outcome.efficiency, outcome.first_best_efficiency)


def test_condition_1_fails_for_the_larger_lopsided_trader_and_for_both_far_apart():
    assert jm.condition_1(lopsided()).tolist() == [True, False]
    assert jm.condition_1(far_apart()).tolist() == [False, False]


def test_first_best_can_run_a_surplus_where_condition_1_fails():
    assert first_best_revenue(far_apart()) > 0.1
    assert float(jm.budget_weight(far_apart())) == 0.0


def test_lopsided_first_best_loses_one_sixteenth():
    close(jm.outcomes(jm.solve_at_weight(lopsided(), 0.0)).revenue, -1 / 16, 1e-14)


def frontier_slopes(market, weight):
    def point(w):
        outcome = jm.outcomes(jm.solve_at_weight(market, w))
        return outcome.revenue, outcome.efficiency

    return jax.jvp(point, (jnp.asarray(weight),), (jnp.ones(()),))[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("w", [0.05, 0.35, 0.8, 1.0])
def test_frontier_obeys_the_envelope_theorem(name, w):
    revenue_slope, efficiency_slope = frontier_slopes(MARKETS[name](), w)
    close(w * revenue_slope + (1 - w) * efficiency_slope, 0.0)
    assert revenue_slope > 0 or w == 1.0
