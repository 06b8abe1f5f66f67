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


@pytest.mark.parametrize("traders", [2, 3, 5, 100])
@pytest.mark.parametrize(("half_width", "risk_capacity"), [(1.0, 0.5), (0.3, 2.0), (7.0, 0.01)])
@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_symmetric_uniform_closed_forms(traders, half_width, risk_capacity, weight):
    n, h, kappa, w = traders, half_width, risk_capacity, weight
    mechanism = jm.solve_at_weight(symmetric(n, h, kappa), w)
    outcome = jm.outcomes(mechanism)
    unit = n * h**2 / kappa
    close(mechanism.binding_interval[0] / h, [-w / (1 + w), w / (1 + w)])
    close(outcome.revenue / unit, (n - 1) / (3 * n) * w / (1 + w) ** 2)
    close(outcome.efficiency / unit, -(1 - (1 - 1 / n) * (1 + 2 * w) / (1 + w) ** 2) / 6)
    close(outcome.no_trade_probability, (w / (1 + w)) ** n)


@pytest.mark.parametrize("mean", [-3.0, 0.7, 50.0])
def test_moving_all_endowments_moves_the_interval_and_leaves_revenue(mean):
    h, w, n, kappa = 0.8, 0.6, 4, 0.5
    mechanism = jm.solve_at_weight(symmetric(n, h, kappa, mean), w)
    close(mechanism.binding_interval[0] - mean, [-h * w / (1 + w), h * w / (1 + w)], 1e-11)
    close(jm.outcomes(mechanism).revenue, (n - 1) * h**2 / (3 * kappa) * w / (1 + w) ** 2, 1e-11)


def test_symmetric_first_best_breaks_even_exactly():
    assert float(jm.budget_weight(symmetric(5, 1.0, 0.5, 0.3))) == 0.0


@pytest.mark.parametrize("traders", [2, 5, 40])
def test_example_1_asymptotes(traders):
    outcome = jm.outcomes(jm.solve(symmetric(traders), 1.0))
    close(outcome.revenue, (traders - 1) / 6)
    close(outcome.efficiency, -(traders + 3) / 12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_example_1_interval_and_participation_multiplier(alpha):
    mechanism = jm.solve(symmetric(5), alpha)
    edge = alpha / (1 + alpha)
    z = jnp.linspace(-edge, edge, 7)[:, None]
    close(mechanism.binding_interval[0], [-edge, edge])
    close(mechanism.participation_multiplier(z), (1 + alpha) / 2 * z + alpha / 2)


def test_frontier_earns_twice_the_double_auction_revenue_at_its_efficiency():
    outcome = jm.outcomes(jm.solve_at_weight(symmetric(5), 1 / 3))
    close(outcome.efficiency, -5 / 12)
    close(outcome.revenue, 2 * 0.25)


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


def explicit_uniform_eta(market, w):
    """Corollary 1.1 corrected and solved: η_i = κ_i (M(1+w) − μ_i)/((1+w)K − κ_i), M from Σ m_i = M."""
    mean, kappa, count = (np.asarray(x) for x in (market.endowment.mean, market.risk_capacity, market.count))
    diagonal = (1 + w) * np.sum(count * kappa) - kappa
    at_zero, slope = -kappa * mean / diagonal, kappa * (1 + w) / diagonal
    total = np.sum(count * (mean + w * at_zero)) / (1 + w - w * np.sum(count * slope))
    return at_zero + slope * total


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("w", [0.0, 0.4, 1.0])
def test_uniform_markets_solve_the_linear_system_of_corollary_1_1(seed, w):
    random = np.random.default_rng(seed)
    kappa = random.uniform(0.8, 1.2, 5)
    lower = -random.uniform(0.8, 1.2, 5)
    market = jm.Market.of(jm.Traders(jm.Uniform(lower, random.uniform(0.8, 1.2, 5)), kappa, random.integers(1, 4, 5)))
    mechanism = jm.solve_at_weight(market, w)
    eta = explicit_uniform_eta(market, w)
    law = market.endowment
    ends = np.stack([(eta + w * law.lower) / (1 + w), (eta + w * law.upper) / (1 + w)], axis=1)
    assert np.all((ends[:, 0] > law.lower) & (ends[:, 1] < law.upper)), "the linear system needs interior intervals"
    close(mechanism.eta, eta)
    close(mechanism.binding_interval, ends)


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


@pytest.mark.parametrize("name", MARKETS)
@pytest.mark.parametrize("w", [0.05, 0.35, 0.8, 1.0])
def test_frontier_obeys_the_envelope_theorem(name, w):
    revenue_slope, efficiency_slope = frontier_slopes(MARKETS[name](), w)
    close(w * revenue_slope + (1 - w) * efficiency_slope, 0.0)
    assert revenue_slope > 0 or w == 1.0
