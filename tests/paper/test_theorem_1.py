"""Theorem 1: the answer satisfies its equations, corrected (errata E1–E3), and nothing feasible does better."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from direct_mechanisms import expectation, integral_between, integral_up_to, revenue_and_efficiency, types_along
from jaxmech.testing.random_markets import random_markets

ROUNDING, MARKETS = 1e-12, 40
ALPHAS = np.where(np.arange(MARKETS) % 2, np.linspace(0, 1, MARKETS), 0.0)


class Solved:
    """Mechanisms of a batch of markets with the letters of the theorem, shape (groups, markets)."""

    def __init__(self, mechanism):
        market = mechanism.market
        self.mechanism, self.market, self.law = mechanism, market, market.endowment
        self.eta, self.a, self.b = (np.asarray(v) for v in (mechanism.eta, mechanism.ends[0], -mechanism.ends[1]))
        self.alpha, self.weight = np.asarray(mechanism.alpha), np.asarray(mechanism.weight)
        self.budget_multiplier = np.asarray(mechanism.budget_multiplier)
        self.lower, self.upper = np.asarray(self.law.lower), np.asarray(self.law.upper)
        self.count, self.risk_capacity = np.asarray(market.count), np.asarray(market.risk_capacity)
        self.capacity = (self.count * self.risk_capacity).sum(axis=0)
        self.scale = self.upper - self.lower + np.abs(self.eta)
        self.inside = (self.lower < self.eta) & (self.eta < self.upper)
        self.types = types_along(mechanism)
        margin = 1e-6 * (self.upper - self.lower)
        self.inner = np.clip(self.types, self.lower + margin, self.upper - margin)

    def of_others(self, by_group):
        """Σ_{j≠i}."""
        return (self.count * by_group).sum(axis=0) - by_group

    def virtual_value(self, z):
        """V under (12), erratum E1: z − (Ω − (α + λ) F)/((1 + λ) f)."""
        lam = self.budget_multiplier
        pressure = self.mechanism.participation_multiplier(z) - (self.alpha + lam) * self.law.cdf(z)
        return z - pressure / ((1 + lam) * self.law.pdf(z))

    def between_a_and_b(self, function):
        return integral_between(function, np.stack([self.a, self.b]))[0]


@pytest.fixture(scope="module")
def solved():
    market = random_markets((3, 0, 0), MARKETS, seed=1)
    solved = Solved(jm.solve(market, ALPHAS))
    assert 5 < np.sum(solved.budget_multiplier > 0) < MARKETS - 5
    assert 20 < solved.inside.sum() < solved.inside.size - 20
    return solved


def close(left, right, scale, atol=ROUNDING):
    np.testing.assert_allclose(left / scale, right / scale, rtol=0, atol=atol)


# The equations.


def test_eq_12_purchases_are_minus_the_virtual_value_plus_a_share_of_all():
    market = jm.Market.of(jm.Traders(jm.Uniform([0.0, -0.4, 0.1], [1.3, 0.9, 0.7]), [0.7, 1.1, 0.4]))
    solved = Solved(jm.solve(market, 0.0))
    assert solved.budget_multiplier > 0.05
    z = solved.lower + (solved.upper - solved.lower) * np.random.default_rng(0).uniform(size=(200, 3))
    virtual = np.asarray(solved.virtual_value(jnp.asarray(z)))
    share = solved.risk_capacity / solved.risk_capacity.sum()
    expected = -virtual + share * virtual.sum(axis=-1, keepdims=True)
    close(np.asarray(solved.mechanism.allocation(jnp.asarray(z))), expected, 1.0)


@pytest.mark.slow
def test_eq_13_eta_is_the_expected_share_of_the_others_virtual_values(solved):
    mean = expectation(solved.virtual_value, solved.mechanism, solved.types)
    share_of_others = solved.risk_capacity / (solved.capacity - solved.risk_capacity)
    close(solved.eta, share_of_others * solved.of_others(mean), solved.scale)


def test_eq_14_eta_from_b_and_the_integral_of_omega(solved):
    lam = solved.budget_multiplier
    omega = solved.between_a_and_b(solved.mechanism.participation_multiplier)
    mean = np.asarray(solved.law.mean)
    terms = -omega + (1 - solved.alpha) * mean + (solved.alpha + lam) * solved.b
    factor = solved.risk_capacity / (solved.capacity - solved.risk_capacity) / (1 + lam)
    close(solved.eta, factor * solved.of_others(terms), solved.scale)


def test_eq_15_the_virtual_value_is_eta_on_the_binding_interval(solved):
    z = solved.a + np.linspace(0.01, 0.99, 9)[:, None, None] * (solved.b - solved.a)
    inside = np.broadcast_to(solved.inside, z.shape)
    close(np.asarray(solved.virtual_value(jnp.asarray(z)))[inside], np.broadcast_to(solved.eta, z.shape)[inside], 1.0)


def test_eq_16_its_conditional_expectation(solved):
    lam, cdf = solved.budget_multiplier, solved.law.cdf
    at_a, at_b = np.asarray(cdf(solved.a)), np.asarray(cdf(solved.b))
    omega, below = (solved.between_a_and_b(f) for f in (solved.mechanism.participation_multiplier, cdf))
    right = (1 + lam) * (solved.b * at_b - solved.a * at_a) - (1 - solved.alpha) * below - omega
    close(solved.eta * (at_b - at_a) * (1 + lam), right, (1 + lam) * solved.scale)


def test_eq_17_and_18_both_branches_meet_eta_at_the_ends_of_the_interval(solved):
    """Where η lies inside the support; elsewhere the end is that of the support."""
    w, law = solved.weight, solved.law
    below = solved.a + w * np.asarray(law.cdf(solved.a) / law.pdf(solved.a))
    above = solved.b - w * np.asarray((1 - law.cdf(solved.b)) / law.pdf(solved.b))
    for branch in (below, above):
        close(branch[solved.inside], solved.eta[solved.inside], solved.scale[solved.inside])
    assert np.all((solved.b == solved.upper) | (solved.a == solved.lower) | solved.inside)


def test_omega_rises_from_zero_to_alpha_plus_lambda(solved):
    """Inside the support; where Condition 1 fails it jumps at an end."""
    omega = np.asarray(solved.mechanism.participation_multiplier(jnp.asarray(solved.inner)))
    top = np.broadcast_to(solved.alpha + solved.budget_multiplier, solved.eta.shape)
    assert np.all(np.diff(omega, axis=0) >= -ROUNDING)
    assert np.all((omega >= -ROUNDING) & (omega <= top + ROUNDING))
    ends = np.asarray(solved.mechanism.participation_multiplier(jnp.asarray(solved.types[[0, -1]])))
    np.testing.assert_array_equal(ends[0][solved.inside], 0.0)
    close(ends[1][solved.inside], top[solved.inside], 1.0)


def test_eq_9_nobody_loses_and_omega_rises_only_where_nobody_gains(solved):
    """Complementary slackness of the participation constraints."""
    omega = np.asarray(solved.mechanism.participation_multiplier(jnp.asarray(solved.inner)))
    bought_below = integral_up_to(solved.mechanism.interim_allocation, solved.inner)
    gain = (bought_below.max(axis=0) - bought_below) / (solved.upper - solved.lower) ** 2
    rises = np.diff(omega, axis=0) > 1e-9
    assert rises.sum() > 500
    assert max(gain[1:][rises].max(), gain[:-1][rises].max()) < 1e-9
    given = np.asarray(solved.mechanism.utility_gain(jnp.asarray(solved.types)))
    assert np.all(given.min(axis=0) > -ROUNDING * solved.scale**2 / solved.risk_capacity)


def test_eq_19_revenue_is_zero_or_its_multiplier_is(solved):
    achieved = jm.outcomes(solved.mechanism)
    revenue = np.asarray(achieved.revenue / achieved.first_best_surplus)
    assert np.abs(solved.budget_multiplier * revenue).max() < 1e-10
    assert revenue.min() > -1e-10
    assert np.all(revenue[solved.budget_multiplier == 0] > 0)


# The budget.


def test_the_budget_binds_iff_alpha_is_below_the_budget_weight(solved):
    least = np.asarray(jm.budget_weight(solved.market))
    np.testing.assert_array_equal(solved.budget_multiplier > 0, solved.alpha < least)
    np.testing.assert_allclose(solved.weight, np.maximum(solved.alpha, least), rtol=1e-12)


def test_below_the_budget_weight_alpha_does_not_matter(solved):
    least = np.asarray(jm.budget_weight(solved.market))
    binds = least > 1e-3
    assert binds.sum() > 10
    other = jm.solve(solved.market, 0.9 * least)
    none = jm.solve(solved.market, np.zeros(MARKETS))
    for field in ("weight", "eta", "ends"):
        one, two = (np.asarray(getattr(m, field))[..., binds] for m in (other, none))
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-12)
    assert np.all(np.asarray(other.budget_multiplier)[binds] < np.asarray(none.budget_multiplier)[binds])


# Nothing feasible does better.


def test_revenue_and_efficiency_follow_from_the_allocation_alone(solved):
    """The purchases priced by Eq. (5) without multipliers; what the alternatives below are held against."""
    virtual = np.asarray(solved.mechanism.virtual_type(jnp.asarray(solved.types)))
    achieved = jm.outcomes(solved.mechanism)
    for given, direct in zip(achieved[:2], revenue_and_efficiency(solved.market, solved.types, virtual), strict=True):
        close(np.asarray(given), direct, achieved.first_best_surplus)


def random_alternatives(solved, draws=60):
    """(R, A) of allocations whose V rises: the optimal one perturbed, a little or beyond recognition."""
    generator = np.random.default_rng(3)
    virtual = np.asarray(solved.mechanism.virtual_type(jnp.asarray(solved.types)))
    for size in np.exp(np.linspace(-6, 1, draws)):
        walk = np.cumsum(generator.normal(size=virtual.shape), axis=0) / np.sqrt(len(virtual))
        shifted = virtual + size * (solved.upper - solved.lower) * walk
        yield revenue_and_efficiency(solved.market, solved.types, np.sort(shifted, axis=0))


def named_alternatives(solved):
    designs = [jm.solve_at_weight(solved.market, np.full(MARKETS, w)) for w in (0.0, 0.3, 0.6, 1.0)]
    for design in (*designs, jm.double_auction(solved.market)):
        achieved = jm.outcomes(design)
        yield np.asarray(achieved.revenue), np.asarray(achieved.efficiency)


@pytest.mark.parametrize("alternatives", [random_alternatives, named_alternatives])
def test_no_other_design_that_breaks_even_does_better(solved, alternatives):
    achieved = jm.outcomes(solved.mechanism)
    best = solved.alpha * achieved.revenue + (1 - solved.alpha) * achieved.efficiency
    tried = np.zeros(MARKETS)
    for revenue, efficiency in alternatives(solved):
        surplus = np.asarray(best - solved.alpha * revenue - (1 - solved.alpha) * efficiency)
        breaks_even = revenue >= 0
        assert np.all(surplus[breaks_even] > -1e-10 * np.asarray(achieved.first_best_surplus)[breaks_even])
        tried += breaks_even
    assert tried.min() >= 2


def test_without_the_budget_the_first_best_would_do_better_at_alpha_0(solved):
    """So the last test is not empty: those alternatives break the budget."""
    unbalanced = np.asarray(jm.budget_weight(solved.market)) > 1e-3
    free = jm.outcomes(jm.solve_at_weight(solved.market, np.zeros(MARKETS)))
    bound = jm.outcomes(jm.solve(solved.market, np.zeros(MARKETS)))
    assert np.all((free.efficiency > bound.efficiency)[unbalanced] & (free.revenue < 0)[unbalanced])


# A market is its traders, however they are listed.


def three_groups(order=(0, 1, 2), count=(1, 3, 2)):
    lower, upper, capacity = np.array([[0.0, 0.0, -0.8], [1.3, 1.3, 0.7], [0.7, 0.7, 0.4]])[:, list(order)]
    return jm.Market.of(jm.Traders(jm.Uniform(lower, upper), capacity, np.array(count)[list(order)]))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("other", [three_groups(count=(2, 2, 2)), three_groups(order=(2, 0, 1))])
def test_splitting_a_group_or_listing_groups_in_another_order_changes_nothing(alpha, other):
    """The first two groups are alike."""
    one, two = jm.solve(three_groups(), alpha), jm.solve(other, alpha)
    assert (float(one.budget_multiplier) > 0) == (alpha == 0.0)
    np.testing.assert_allclose(two.weight, one.weight, rtol=1e-12)
    np.testing.assert_allclose(np.sort(np.unique(np.round(two.eta, 11))), np.sort(np.unique(np.round(one.eta, 11))))
    for one_value, two_value in zip(jm.outcomes(one)[:5], jm.outcomes(two)[:5], strict=True):
        np.testing.assert_allclose(two_value, one_value, rtol=0, atol=ROUNDING)


def test_a_group_of_five_is_a_group_of_two_and_one_of_three():
    split = jm.Market.of(jm.Traders(jm.Uniform([0.0, 0.0, -0.8], [1.3, 1.3, 0.7]), [0.7, 0.7, 0.4], [2, 3, 1]))
    whole = jm.Market.of(jm.Traders(jm.Uniform([0.0, -0.8], [1.3, 0.7]), [0.7, 0.4], [5, 1]))
    one, two = jm.solve_at_weight(split, 0.5), jm.solve_at_weight(whole, 0.5)
    np.testing.assert_allclose(one.eta, two.eta[jnp.array([0, 0, 1])], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(one.ends, two.ends[:, jnp.array([0, 0, 1])], rtol=0, atol=ROUNDING)
