"""The optimum of laws that are not regular, with outside options (beyond §16): against the discretised problem, which
knows neither virtual types nor multipliers, and against `solve` where that knows the optimum."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import jaxmech as jm
from jaxmech.testing import irregular_laws
from jaxmech.testing.discretised import Trader, extrapolated, optimum
from jaxmech.testing.irregular_markets import irregular_markets
from jaxmech.testing.random_markets import extended, random_alphas, random_markets


def counterexample():
    """Beyond §16: a narrow peak on a broad law, and a line that crosses the flat piece that ironing leaves."""
    laws = jm.Uniform(-1, 1), jm.TruncatedNormal(0.37, 0.06, -1, 1)
    option = jm.OutsideOption(0.425, -0.18)
    one = jm.Traders(jm.Mixture(laws, [0.63, 0.37]), 1.0, outside=option)
    return jm.Market.of(one, jm.Traders(jm.Uniform(-1, 1), 1.0))


@pytest.fixture(scope="module")
def at_largest_revenue():
    return jm.solve_irregular(counterexample(), 1.0, -np.inf)


@pytest.mark.slow
def test_counterexample_is_worth_what_the_discretised_programme_finds(at_largest_revenue):
    achieved = jm.outcomes(at_largest_revenue)
    assert jm.certify(at_largest_revenue).ok and at_largest_revenue.error < 1e-11
    assert abs(float(achieved.revenue) - 0.015875) < 5e-7  # clipping what is ironed: 0.014083
    narrow, uniform = st.truncnorm(-1.37 / 0.06, 0.63 / 0.06, 0.37, 0.06), st.uniform(-1, 2)
    law = irregular_laws.Mixture([0.63, 0.37], [uniform, narrow])
    traders = [Trader(law, 1.0, 0.0, (0.425, -0.18, 0.0)), Trader(uniform, 1.0)]
    coarse, fine = (optimum(traders, 1.0, cells, target=-np.inf) for cells in (128, 256))
    assert max(coarse.objective, fine.objective) < float(achieved.revenue) + 1e-9
    assert abs(extrapolated(coarse, fine).objective - float(achieved.revenue)) < 1e-6


@pytest.mark.slow
def test_types_that_bind_are_two_intervals_with_a_bunch_between(at_largest_revenue):
    market, mechanism = at_largest_revenue.market, at_largest_revenue
    binding, bunch = np.asarray(mechanism.binding_intervals)[0], np.asarray(mechanism.bunching_intervals)[0, 0]
    assert binding.shape == (2, 2) and binding[0, 1] < bunch[0] < bunch[1] < binding[1, 0]
    types = np.linspace(-1, 1, 2001)[:, None] * np.ones(2)
    virtual, gain = np.asarray(mechanism.virtual_type(types)), np.asarray(mechanism.participation_gain(types))
    omega, line = (
        np.asarray(mechanism.participation_multiplier(types)),
        np.asarray(mechanism.line().at(mechanism.eta, types)),
    )
    binds = np.any((types[:, :1] > binding[:, 0]) & (types[:, :1] < binding[:, 1]), axis=1)
    assert np.max(np.abs(gain[binds, 0])) < 1e-12 and np.max(np.abs((virtual - line)[binds, 0])) < 1e-12
    assert (
        np.min(gain) > -1e-12 and np.min(np.diff(virtual, axis=0)) > -1e-12 and np.min(np.diff(omega, axis=0)) > -1e-9
    )
    inside = (types[:, 0] > bunch[0]) & (types[:, 0] < bunch[1])
    assert np.ptp(virtual[inside, 0]) < 1e-9 and np.min(gain[~binds, 0][5:-5]) >= 0
    # (g − o)' = (1 − s)(V − t)/κ, by differences over cells.
    middle = 0.5 * (types[1:] + types[:-1])
    slope = (1 - mechanism.share) / market.risk_capacity
    rise = (
        slope * (mechanism.virtual_type(middle) - mechanism.line().at(mechanism.eta, middle)) * np.diff(types, axis=0)
    )
    np.testing.assert_allclose(np.diff(gain, axis=0), rise, atol=2e-7)
    bought = mechanism.allocation(np.array([[0.1, -0.4], [0.9, 0.3]]))
    np.testing.assert_allclose(np.sum(bought, axis=-1), 0, atol=1e-15)


def test_solve_refuses_the_counterexample_and_names_what_does_not():
    assert "solve_irregular" in jm.solve(counterexample(), 1.0, -np.inf).status


def as_traders(given, alone, lane):
    """One lane's traders for the programme."""
    laws, capacity, number = alone(lane)
    option, welfare = given.market.outside, given.market.welfare_weight
    each = [np.asarray(part)[:, lane] for part in (welfare, option.steepness, option.place, option.reserve)]
    return [
        (g, Trader(laws[g], float(capacity[g]), float(each[0][g]), tuple(float(part[g]) for part in each[1:])))
        for g in range(len(laws))
        for _ in range(number[g])
    ]


def bins_cut(edges, parts):
    cuts = [np.linspace(*pair, parts, endpoint=False) for pair in itertools.pairwise(edges)]
    return np.append(np.concatenate(cuts), edges[-1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["two histograms", "normal mixtures", "linear densities"])
def test_random_irregular_markets_agree_with_the_discretised_programme(kind):
    """With options, weights and targets; cells end where histograms jump."""
    drawn, alone = irregular_markets(kind, 40, 7)
    given = extended(drawn, random_alphas(40, 8), 9)
    refused, mechanism = np.asarray(jm.solve(*given).refused), jm.solve_irregular(*given)
    achieved, few = jm.outcomes(mechanism), np.asarray(drawn.count).sum(axis=0) <= 9
    lanes = np.flatnonzero(refused & few & np.asarray(jm.certify(mechanism).ok))[:4]
    assert len(lanes) > 1
    for lane in lanes:
        of_lane = lambda part, lane=lane: np.asarray(part)[..., lane]  # noqa: E731
        numbers = given.alpha, given.minimum_revenue, achieved.first_best_surplus
        alpha, target, unit = (float(of_lane(part)) for part in numbers)
        welfare = np.dot(of_lane(given.market.welfare_weight), of_lane(achieved.utility_gain_by_group))
        exact = alpha * float(of_lane(achieved.revenue)) + (1 - alpha) * float(of_lane(achieved.efficiency)) + welfare
        traders = as_traders(given, alone, lane)
        answers = []
        for parts in (12, 24):
            edges = None
            if kind == "two histograms":
                edges = [bins_cut(np.asarray(trader.law.edges), parts) for _, trader in traders]
            answers.append(optimum([trader for _, trader in traders], alpha, 7 * parts, edges=edges, target=target))
        assert answers[1].objective < exact + 1e-8 * unit
        assert abs(extrapolated(*answers).objective - exact) < 2e-4 * unit


def assert_same(one, other, tolerance, missing=0):
    """R, A, η, V of many types and rents of two mechanisms of a batch, where both are known: all but so many."""
    known = np.isfinite(np.asarray(one.error)) & np.isfinite(np.asarray(other.error))
    assert np.sum(np.isfinite(np.asarray(one.error)) & ~known) <= missing, other.steps
    law, (first, second) = one.market.endowment, (jm.outcomes(mechanism) for mechanism in (one, other))
    unit, width = np.asarray(first.first_best_surplus), np.asarray(law.upper - law.lower)
    for name in ("revenue", "efficiency", "utility_gain_by_group"):
        apart = np.abs(np.asarray(getattr(first, name)) - np.asarray(getattr(second, name))) / unit
        assert np.max(apart[..., known]) < tolerance, name
    assert np.max(np.abs((one.eta - other.eta) / width)[:, known]) < tolerance
    return known, width


@pytest.mark.slow
def test_regular_laws_have_the_optimum_that_solve_finds():
    """With and without options, welfare weights and targets, in one batch; η, V of types and gains too.

    Where next to nobody is V is rounding, so that types count by their density.
    """
    given = extended(random_markets((1, 1, 0), 16, 5), random_alphas(16, 5), 5)
    one, other = jm.solve(*given), jm.solve_irregular(*given)
    known, width = assert_same(one, other, 1e-9)
    assert known.sum() > 8 and not known.all() and np.all(jm.certify(other).ok == known)
    np.testing.assert_allclose(one.largest_revenue, other.largest_revenue, rtol=1e-9)
    for lane in np.flatnonzero(known)[:6]:
        first, second = (jax.tree.map(lambda leaf, lane=lane: leaf[..., lane], each) for each in (one, other))
        law = first.market.endowment
        types = np.asarray(law.lower) + np.linspace(0, 1, 201)[:, None] * np.asarray(law.upper - law.lower)
        apart = np.abs(np.asarray(first.virtual_type(types) - second.virtual_type(types)))
        density = np.minimum(np.asarray(law.pdf(types)) * width[:, lane], 1.0)
        assert np.max(density * apart / width[:, lane]) < 1e-9
        gains = np.asarray(first.utility_gain(types)), np.asarray(second.utility_gain(types))
        assert np.max(density * np.abs(gains[0] - gains[1])) < 1e-8 * np.max(np.abs(gains[0]))


@pytest.mark.slow
def test_irregular_laws_without_options_have_the_optimum_that_ironing_finds():
    market, _ = irregular_markets("two histograms", 8, 3)
    alphas = random_alphas(8, 4)
    one, other = jm.solve(market, alphas), jm.solve_irregular(market, alphas)
    known, _ = assert_same(one, other, 1e-8, missing=1)
    np.testing.assert_array_equal(jm.certify(other).ok, known)
    first, second = np.asarray(one.binding_interval)[..., known], np.asarray(other.binding_intervals)[..., known]
    lone = np.sum(np.isfinite(second[:, :, 0]), axis=1) == 1  # (G, batch)
    assert lone.mean() > 0.5
    apart = np.abs(first - second[:, 0])[np.stack([lone, lone], axis=1)]
    assert np.median(apart) < 1e-8


@pytest.mark.slow
def test_certificate_fails_where_v_or_omega_is_broken_and_its_bound_is_one(at_largest_revenue):
    mechanism, best = at_largest_revenue, float(jm.certify(at_largest_revenue).duality_gap)
    rule = mechanism.rule

    def broken(**parts):
        return jm.certify(replace(mechanism, rule=rule._replace(**parts)))

    for amount in (1e-3, 1e-2, 0.1):
        bent = broken(omega=rule.omega + amount * (rule.omega > 0.1) * (rule.omega < 0.9))
        assert not bent.ok
        higher = broken(virtual=rule.virtual + amount, free=jnp.zeros_like(rule.free))
        assert not higher.ok
        stretched = broken(virtual=(1 + amount) * rule.virtual, free=jnp.zeros_like(rule.free))
        assert not stretched.ok
    draws = np.random.default_rng(1)
    for _ in range(5):
        # Any Ω bounds: where V is kept the bound can only rise.
        omega = jnp.sort(jnp.asarray(draws.uniform(0, 1, rule.omega.shape)).reshape(-1, 2), axis=0)
        other = broken(omega=omega.reshape(rule.omega.shape), free=jnp.zeros_like(rule.free))
        assert float(other.duality_gap) > best + 1e-4
    assert not jm.certify(replace(mechanism, eta=mechanism.eta + 1e-6)).ok


@pytest.mark.slow
@pytest.mark.parametrize("taker", [jm.side_payments, jm.keeping_everybody])
def test_what_goes_by_one_binding_interval_says_that_it_cannot_take_it(at_largest_revenue, taker):
    with pytest.raises(jm.MarketError, match="IrregularMechanism; only outcomes and certify"):
        taker(at_largest_revenue)
