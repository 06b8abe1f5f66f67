"""Nonsense stays nonsense inside jit: what is no market, or no weight, is NaN and not ok, and hurts no neighbour."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from every_law import batch_of, market_of
from jaxmech.market.outside import Outside


def changed_law(**changes):
    """Numbers of the law in the middle lane of three."""

    def change(market):
        law = market.endowment
        new = {name: getattr(law, name).at[..., 1].set(value) for name, value in changes.items()}
        return replace(market, endowment=replace(law, **new)), jnp.full(3, 0.4)

    return change


def changed(name, value):
    def change(market):
        return replace(market, **{name: getattr(market, name).at[..., 1].set(value)}), jnp.full(3, 0.4)

    return change


def alpha_of(value):
    return lambda market: (market, jnp.full(3, 0.4).at[1].set(value))


NONSENSE = {
    "lower above upper": changed_law(lower=2.0),
    "lower equals upper": changed_law(lower=1.0),
    "scale 0": changed_law(scale=0.0),
    "scale negative": changed_law(scale=-0.5),
    "loc NaN": changed_law(loc=jnp.nan),
    "upper infinite": changed_law(upper=jnp.inf),
    "risk capacity 0": changed("risk_capacity", 0.0),
    "risk capacity negative": changed("risk_capacity", -1.0),
    "count 0": changed("count", 0.0),
    "count NaN": changed("count", jnp.nan),
    "alpha negative": alpha_of(-0.1),
    "alpha above 1": alpha_of(1.5),
    "alpha NaN": alpha_of(jnp.nan),
}


@jax.jit
def everything(market, alpha):
    def money(market, alpha):
        achieved = jm.outcomes(jm.solve(market, alpha))
        return jnp.sum(achieved.revenue + achieved.efficiency), None

    mechanism = jm.solve(market, alpha)
    slopes = jax.grad(money, (0, 1), has_aux=True)(market, alpha)[0]
    answers, answer_slopes = jax.jvp(lambda alpha: jm.answers(market, alpha).revenue, (alpha,), (jnp.ones_like(alpha),))
    return mechanism, jm.outcomes(mechanism), jm.certify(mechanism), slopes, answers, answer_slopes


@pytest.mark.slow
@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_nan_and_not_ok_and_its_neighbours_keep_their_bytes(name):
    market = batch_of(market_of("normal"), 3)
    sound = everything(market, jnp.full(3, 0.4))
    mechanism, outcomes, certificate, slopes, answers, answer_slopes = found = everything(*NONSENSE[name](market))
    assert mechanism.error[1] == jnp.inf and not certificate.ok[1]
    assert all(np.all(np.isnan(part[..., 1])) for part in outcomes)
    assert all(np.all(np.isnan(part[..., 1])) for part in jax.tree.leaves(slopes))
    assert np.isnan(answers[1]) and np.isnan(answer_slopes[1])
    assert np.all(certificate.ok[jnp.asarray([0, 2])])
    for was, now in zip(jax.tree.leaves(sound), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(was[..., ::2], now[..., ::2])


def test_a_weight_that_no_market_has_is_nan():
    market = changed("risk_capacity", -1.0)(batch_of(market_of("normal"), 3))[0]
    assert np.array_equal(np.isnan(jm.budget_weight(market)), [False, True, False])


def test_the_budgets_multiplier_is_a_number_only_where_there_is_a_mechanism():
    market = batch_of(market_of("normal"), 3)
    most = jm.outcomes(jm.solve(market, 1.0)).revenue[0]
    multiplier = jm.solve(market, 0.4, most * jnp.asarray([0.0, 1.1, 0.9])).budget_multiplier
    assert np.array_equal(np.isnan(multiplier), [False, True, False])
    assert multiplier[0] == 0 and multiplier[2] > 0


def with_more(priced):
    """Three lanes of a market with outside options, or markets outside, and welfare weights."""
    market, one = batch_of(market_of("normal"), 3), lambda value: jnp.full((2, 3), value)
    outside = Outside(one(2.0 if priced else 0.3), one(0.1), one(0.01), (priced, priced))
    return replace(market, outside=outside, welfare_weight=one(0.1))


def spoilt(value, field):
    """The number of the first group in the middle lane, or what is asked of that lane, at a value."""

    def change(market, alpha, target):
        if field == "target":
            return market, alpha, target.at[1].set(value)
        if field == "welfare_weight":
            return replace(market, welfare_weight=market.welfare_weight.at[0, 1].set(value)), alpha, target
        changed = getattr(market.outside, field).at[0, 1].set(value)
        return replace(market, outside=replace(market.outside, **{field: changed})), alpha, target

    return change


LIMIT = 12 / 13  # of γ: κ/K is 1/13; of ρ: 1/12
NOT_FINITE = (jnp.nan, jnp.inf, -jnp.inf)
MORE_NONSENSE = {
    f"{name} {value:.3g}": (name in ("cost", "price"), spoilt(value, field))
    for name, field, values in (
        ("gamma", "steepness", (*NOT_FINITE, -0.5, LIMIT, 1.0)),
        ("centre", "place", (*NOT_FINITE, 1e300)),
        ("reserve", "reserve", NOT_FINITE),
        ("cost", "steepness", (*NOT_FINITE, 0.0, -5e3, 1 / 12)),
        ("price", "place", NOT_FINITE),
        ("welfare weight", "welfare_weight", (*NOT_FINITE, -1e300)),
        ("target", "target", (jnp.nan, jnp.inf)),
    )
    for value in values
}


@jax.jit
def more_of_everything(market, alpha, target):
    def money(market, alpha):
        achieved = jm.outcomes(jm.solve(market, alpha, target))
        return jnp.sum(achieved.revenue + achieved.efficiency)

    mechanism = jm.solve(market, alpha, target)
    slopes = jax.grad(money, (0, 1))(market, alpha)
    return mechanism, jm.outcomes(mechanism), jm.certify(mechanism), slopes


@pytest.fixture(scope="module")
def sound():
    asked = jnp.full(3, 0.4), jnp.full(3, 0.02)
    return {priced: more_of_everything(with_more(priced), *asked) for priced in (False, True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE_NONSENSE)
def test_nonsense_outside_is_nan_and_not_ok_and_its_neighbours_keep_their_bytes(name, sound):
    priced, change = MORE_NONSENSE[name]
    found = more_of_everything(*change(with_more(priced), jnp.full(3, 0.4), jnp.full(3, 0.02)))
    mechanism, outcomes, certificate, slopes = found
    assert mechanism.error[1] == jnp.inf and not certificate.ok[1]
    assert mechanism.largest_revenue[1] == jnp.inf
    assert all(np.all(np.isnan(part[..., 1])) for part in outcomes)
    assert all(np.all(np.isnan(part[..., 1])) for part in jax.tree.leaves(slopes))
    assert np.all(certificate.ok[jnp.asarray([0, 2])])
    for was, now in zip(jax.tree.leaves(sound[priced]), jax.tree.leaves(found), strict=True):
        np.testing.assert_array_equal(was[..., ::2], now[..., ::2])


def test_without_a_budget_nothing_limits_what_a_designer_gives_to_those_he_cares_for_more_than_for_revenue():
    market = jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, 3, welfare_weight=0.5))
    earned = jax.jit(jax.vmap(lambda alpha: jm.outcomes(jm.solve(market, alpha, -jnp.inf)).revenue))
    assert np.isnan(earned(jnp.array([0.4, 0.6]))).tolist() == [True, False]
