"""Virtual types of laws that are not regular, against a grid, a quadratic programme, closed forms and differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

import jaxmech as jm
from jaxmech.derivatives.fixed_rule import fixed_rule_outcomes
from jaxmech.testing import discretised, irregular_laws, isotonic_reference
from jaxmech.testing.irregular_markets import KINDS, irregular_markets, lane_of
from marks import cases

BATCH = {"two histograms": 150, "six histograms": 80, "normal mixtures": 60}
VALLEY = jm.Histogram([-1.0, -0.6, -0.3, 0.0, 0.2, 0.6, 1.0], [0.15, 0.02, 0.38, 0.02, 0.3, 0.13])


def alphas(batch, seed=0, least=0.0):
    return jnp.asarray(np.clip(np.random.default_rng(seed).uniform(-0.3, 1.2, batch), least, 1))


@pytest.fixture(scope="module", params=cases(KINDS, ["two histograms", "normal mixtures"]))
def solved(request):
    """A batch of markets with its mechanisms; normal mixtures keep away from the weights near 0 at which a density of
    nearly nothing between two peaks decides."""
    batch = BATCH.get(request.param, 80)
    market, alone = irregular_markets(request.param, batch, seed=1)
    return market, alone, jm.solve(market, alphas(batch, least=0.02 if "normal" in request.param else 0.0))


@pytest.mark.slow
def test_every_random_market_is_certified_and_as_good_as_the_grid_says(solved):
    """The reference finds the best of all rules constant on its cells, extrapolated: 510 markets in all."""
    _, alone, mechanism = solved
    achieved, certificate = jm.outcomes(mechanism), jm.certify(mechanism)
    assert np.all(certificate.ok)
    assert np.max(np.abs(certificate.duality_gap)) < 1e-10
    assert np.mean(np.any(~np.isnan(mechanism.bunching_intervals), axis=(0, 1, 2))) > 0.15
    objective = mechanism.weight * achieved.revenue + (1 - mechanism.weight) * achieved.efficiency
    for lane, found in enumerate(np.asarray(objective)):
        laws, capacity, count = alone(lane)
        grid = isotonic_reference.precise_reference(laws, capacity, count, float(mechanism.weight[lane]), cells=600)
        tolerance = 1e-7 * achieved.first_best_surplus[lane] + 0.02 * grid.moved
        assert abs(found - grid.objective) < tolerance, lane


@pytest.mark.slow
def test_rules_move_as_central_differences_say():
    """Revenue, efficiency, η and p through ironing, in one random direction of all numbers, 1e-6 and better."""
    market, _ = irregular_markets("two histograms", 40, seed=3)
    alpha = jnp.asarray(np.random.default_rng(0).uniform(0.05, 0.95, 40))
    draws = np.random.default_rng(5)
    direction = jax.tree.map(lambda x: 0.1 * draws.normal(size=x.shape) * jnp.maximum(0.1, jnp.abs(x)), market)

    @jax.jit
    def found(market):
        mechanism = jm.solve(market, alpha)
        achieved = jm.outcomes(mechanism)
        money = jnp.stack([achieved.revenue, achieved.efficiency]) / achieved.first_best_surplus
        return jnp.concatenate([money, mechanism.eta, achieved.no_expected_trade_probability])

    _, exact = jax.jit(lambda m, d: jax.jvp(found, (m,), (d,)))(market, direction)

    def difference(step):
        moved = [found(jax.tree.map(lambda x, d, k=k: x + k * step * d, market, direction)) for k in (-2, -1, 1, 2)]
        return (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * step)

    # A difference across a kink is none: the better of two steps.
    error = np.min([np.abs(exact - difference(step)) for step in (1e-3, 1e-4)], axis=0)
    assert np.max(error / (1 + np.abs(exact))) < 1e-6


@pytest.mark.exhaustive
def test_the_envelope_theorem_holds_with_virtual_types_and_multipliers_held_fixed():
    """dL at fixed V and Ω is that of the optimum: V is the best rule and Ω its price, wherever laws are ironed."""
    market, _ = irregular_markets("two histograms", 40, seed=3)
    mechanism = jm.solve(market, alphas(40, seed=2))
    weight, draws = mechanism.weight, np.random.default_rng(5)
    direction = jax.tree.map(lambda x: 0.1 * draws.normal(size=x.shape) * jnp.maximum(0.1, jnp.abs(x)), market)

    def lagrangian(market):
        achieved = jm.outcomes(jm.solve_at_weight(market, weight))
        return weight * achieved.revenue + (1 - weight) * achieved.efficiency

    @jax.jit
    def slopes(market, direction):
        _, total = jax.jvp(lagrangian, (market,), (direction,))
        at, moved = jax.jvp(lambda market: fixed_rule_outcomes(mechanism, market), (market,), (direction,))
        return total, weight * moved[0] + (1 - weight) * moved[1], at

    total, fixed, (revenue, efficiency) = slopes(market, direction)
    achieved = jm.outcomes(mechanism)
    np.testing.assert_allclose(revenue, achieved.revenue, atol=1e-12)
    np.testing.assert_allclose(efficiency, achieved.efficiency, atol=1e-12)
    np.testing.assert_allclose(total, fixed, atol=1e-11)


@pytest.fixture(scope="module")
def valley():
    """One trader with valleys in his histogram, and a uniform one."""
    market = jm.Market.of(jm.Traders(VALLEY, 0.5, name="lumpy"), jm.Traders(jm.Uniform(-1, 1), 1.5, name="even"))
    return market, jm.solve_at_weight(market, 0.1)


@pytest.mark.slow
def test_two_bins_are_pooled_where_their_closed_form_says():
    """Density f₁ up to e, then f₂ > f₁: c solves P(z₂) − P(z₁) = c (F(z₂) − F(z₁)) with both ends on straight lines."""
    edges, masses, weight = np.array([-1.0, 0.2, 1.0]), np.array([0.2, 0.8]), 0.6
    first, second = masses / np.diff(edges)

    def ends(level):
        start = (level + weight * edges[0]) / (1 + weight)
        stop = (level + weight * (edges[1] - masses[0] / second)) / (1 + weight)
        return start, stop

    def missed(level):
        start, stop = ends(level)
        below = [first * (z**2 - start**2) / 2 + weight * first * (z - edges[0]) ** 2 / 2 for z in (start, edges[1])]
        above = second * (stop**2 - edges[1] ** 2) / 2
        above += weight * (masses[0] * (stop - edges[1]) + second * (stop - edges[1]) ** 2 / 2)
        chance = first * (edges[1] - start) + second * (stop - edges[1])
        return below[1] - below[0] + above - level * chance

    low, high = edges[1] + weight * masses[0] / second, edges[1] + weight * (edges[1] - edges[0])
    level = brentq(missed, low, high, xtol=1e-15)
    partner = jm.Traders(jm.Uniform(2.0, 6.0), 1.0)  # has much: the first trader mostly buys
    market = jm.Market.of(jm.Traders(jm.Histogram(edges, masses), 1.0), partner)
    mechanism = jm.solve_at_weight(market, weight)
    np.testing.assert_allclose(mechanism.bunching_intervals[0], [ends(level)], rtol=0, atol=1e-12)
    z = np.linspace(*ends(level), 7)[1:-1, None] * np.ones(2)
    np.testing.assert_allclose(mechanism.virtual_type(z)[:, 0], level, atol=1e-12)


@pytest.mark.slow
def test_virtual_types_never_fall_and_are_flat_on_bunches(valley):
    _, mechanism = valley
    z = np.linspace(-1, 1, 4001)
    virtual = np.asarray(mechanism.virtual_type(np.stack([z, z], axis=1))[:, 0])
    assert np.all(np.diff(virtual) >= -1e-14)
    bunches = np.asarray(mechanism.bunching_intervals)[0]
    assert len(bunches) == 2
    for start, stop in bunches:
        assert np.ptp(virtual[(z > start) & (z < stop)]) == 0
    assert mechanism.bunching_intervals.shape == (2, 2, 2)
    assert np.all(np.isnan(mechanism.bunching_intervals[1]))


def test_without_ironing_virtual_types_would_fall(valley):
    _, mechanism = valley
    bare = replace(mechanism, bunching=None)
    assert not jm.certify(bare).ok
    z = np.linspace(-1, 1, 4001)
    assert np.min(np.diff(bare.virtual_type(np.stack([z, z], axis=1))[:, 0])) < -1e-2


@pytest.mark.slow
def test_the_participation_multiplier_rises_from_zero_to_the_weight(valley):
    _, mechanism = valley
    z = np.linspace(-1, 1, 4001)
    omega = np.asarray(mechanism.participation_multiplier(np.stack([z, z], axis=1))[:, 0])
    assert omega[0] == 0
    assert omega[-1] == pytest.approx(0.1, abs=1e-14)
    assert np.all(np.diff(omega) >= -1e-13)


@pytest.mark.slow
def test_side_payments_implement_the_ironed_rule(valley):
    """Theorem 2 with flat pieces and jumps: what types are expected to pay and gain is what the mechanism says."""
    _, mechanism = valley
    rule = jm.side_payments(mechanism)
    z = np.linspace(-0.999, 0.999, 41)[:, None] * np.ones(2)
    np.testing.assert_allclose(rule.interim_transfer(z), mechanism.interim_transfer(z), atol=1e-12)
    np.testing.assert_allclose(rule.utility_gain(z), mechanism.utility_gain(z), atol=1e-12)
    assert np.min(mechanism.utility_gain(z)) >= -1e-15


@pytest.mark.slow
def test_the_gain_is_the_integral_of_what_types_expect_to_trade(valley):
    _, mechanism = valley
    z = np.linspace(-1, 1, 20001)
    both = np.stack([z, z], axis=1)
    slope = -np.asarray(mechanism.interim_allocation(both))[:, 0] / 0.5
    gain = np.asarray(mechanism.utility_gain(both))[:, 0]
    area = np.concatenate([[0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(z))])
    np.testing.assert_allclose(gain, gain[0] + area, atol=2e-5)  # jumps of the trapezoidal rule


@pytest.mark.slow
def test_regular_laws_are_left_alone():
    normal = jm.Traders(jm.TruncatedNormal(0.2, 0.5, -1, 1), 0.7, 3)
    mechanism = jm.solve(jm.Market.of(normal, jm.Traders(jm.Beta(2, 3, -1, 1.5), 1.1)), 0.4)
    assert mechanism.bunching is None
    assert mechanism.bunching_intervals.shape == (2, 0, 2)
    triangular = jm.solve(jm.Market.of(jm.Traders(jm.Triangular(0.2, -1, 1), jnp.array([0.7, 1.2]), 3)), 0.4)
    assert triangular.bunching_intervals.shape == (2, 0, 2)
    cosine = jm.Density(lambda z, depth: jnp.log1p(depth["depth"] * jnp.cos(jnp.pi * z)), {"depth": 0.9}, -1.0, 1.0)
    hump = jm.solve(jm.Market.of(jm.Traders(cosine, 0.7, 5)), 0.4)
    assert not np.any(np.isfinite(hump.bunching_intervals))


@pytest.mark.slow
def test_a_tail_so_thin_that_its_density_is_next_to_the_floor_is_not_ironed():
    """A Student's tail 28 scales out, where f is 1e-17 of its peak: once there was a bunch at every cut."""
    student = jm.TruncatedStudent(-0.104, 0.088, 18.5, -0.56, 2.37)
    mechanism = jm.solve(jm.Market.of(jm.Traders(student, 1.6, 2), jm.Traders(jm.Uniform(-1, 1), 1.1)), 0.72)
    assert mechanism.error < 1e-9
    assert not np.any(np.isfinite(mechanism.bunching_intervals))


@pytest.mark.slow
def test_a_mixture_of_one_law_with_itself_is_that_law():
    normal = jm.TruncatedNormal(0.2, 0.5, -1, 1)
    other = jm.Traders(jm.Beta(2, 3, -1, 1.5), 1.1, 2)
    one, two = (
        jm.outcomes(jm.solve(jm.Market.of(jm.Traders(law, 0.7, 3), other), 0.4))
        for law in (normal, jm.Mixture((normal, normal), (1, 2)))
    )
    for field, value in one._asdict().items():
        np.testing.assert_allclose(getattr(two, field), value, rtol=1e-11, err_msg=field)


@pytest.mark.exhaustive
def test_histograms_converge_to_the_smooth_law_at_second_order():
    """10 to 10,000 bins of a truncated normal law: ten times the bins, a hundredth of the error."""
    law = stats.truncnorm(-1.2 / 0.5, 0.8 / 0.5, 0.2, 0.5)
    other = jm.Traders(jm.Uniform(-1, 1), 1.1, 2)

    def objective(endowment):
        market = jm.Market.of(jm.Traders(endowment, 0.7, 3), other)
        mechanism = jm.solve_at_weight(market, 0.4)
        achieved = jm.outcomes(mechanism)
        return float(0.4 * achieved.revenue + 0.6 * achieved.efficiency), mechanism

    smooth, _ = objective(jm.TruncatedNormal(0.2, 0.5, -1, 1))
    errors = []
    for bins in (10, 100, 1000, 10_000):
        edges = np.linspace(-1, 1, bins + 1)
        found, mechanism = objective(jm.Histogram(edges, np.diff(law.cdf(edges))))
        assert jm.certify(mechanism).ok
        errors.append(abs(found - smooth))
    orders = np.log10(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8), (errors, orders)


TWO_TRADERS = {
    "valleys": (
        ([-1.0, -0.4, 0.1, 1.0], [0.3, 0.05, 0.65], 0.6),
        ([-0.8, 0.0, 0.3, 1.2], [0.5, 0.04, 0.46], 1.4),
    ),
    "far apart": (
        ([-1.0, -0.5, 0.5, 1.0], [0.45, 0.02, 0.53], 1.0),
        ([0.8, 1.3, 2.3, 2.8], [0.45, 0.02, 0.53], 0.8),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_TRADERS)
@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_two_traders_match_the_quadratic_programme_with_monotonicity(name, weight):
    """Clarabel on cells of both types; allocations constant on cells are feasible, so it never comes out above."""
    groups = TWO_TRADERS[name]
    market = jm.Market.of(*(jm.Traders(jm.Histogram(edges, masses), kappa) for edges, masses, kappa in groups))
    achieved = jm.outcomes(jm.solve_at_weight(market, weight))
    found = float(weight * achieved.revenue + (1 - weight) * achieved.efficiency)
    traders = [
        discretised.Trader(irregular_laws.Histogram(np.array(edges), np.array(masses)), kappa)
        for edges, masses, kappa in groups
    ]
    coarse, fine = (
        discretised.optimum(
            traders,
            weight,
            cells,
            target=-np.inf,
            edges=[isotonic_reference.edges_between(trader.law.breaks, cells) for trader in traders],
        ).objective
        for cells in (48, 96)
    )
    assert fine <= found + 1e-9
    assert abs(fine + (fine - coarse) / 3 - found) < 1e-5


@pytest.mark.exhaustive
def test_a_lane_of_a_batch_is_the_market_alone():
    market, _ = irregular_markets("two histograms", 5, seed=9)
    batch = jm.outcomes(jm.solve(market, jnp.full(5, 0.3)))
    alone = jm.outcomes(jm.solve(lane_of(market, 3), 0.3))
    np.testing.assert_allclose(batch.revenue[3], alone.revenue, rtol=1e-12)
    np.testing.assert_allclose(batch.efficiency[3], alone.efficiency, rtol=1e-12)


@pytest.mark.exhaustive
def test_vmap_over_markets_solves_the_same():
    market, _ = irregular_markets("two histograms", 3, seed=9)
    front = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), market)
    mapped = jax.vmap(lambda one: jm.outcomes(jm.solve(one, 0.3)).revenue)(front)
    np.testing.assert_allclose(mapped, jm.outcomes(jm.solve(market, jnp.full(3, 0.3))).revenue, rtol=1e-12)


def test_bunches_with_next_to_nobody_in_them_are_ironed_all_the_same():
    """Between two peaks a density may be 1e-14 of its largest: levels there are rounding, and yet V must not fall."""
    draws, shape = np.random.default_rng(0), (2, 200)
    one = jnp.ones(shape)

    def normal():
        return jm.TruncatedNormal(
            *map(jnp.asarray, (draws.uniform(-1, 1, shape), np.exp(draws.uniform(-3.5, -1, shape)))), -one, one
        )

    law = jm.Mixture((normal(), normal()), jnp.stack([one, one]))
    certificate = jm.certify(jm.solve_at_weight(jm.Market(law, one, 3 * one, ("a", "b")), jnp.full(200, 1e-13)))
    assert float(jnp.max(certificate.monotonicity_breach)) <= 1e-12
