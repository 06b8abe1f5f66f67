"""What outside options, welfare weights and targets tend to when they vanish: the paper's problem, exactly at 0."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import Outside
from marks import cases

MARKETS = {
    "three uniforms": lambda: jm.Traders(jm.Uniform([-1.0, -0.4, 0.1], [1.3, 0.9, 1.2]), [0.7, 1.1, 0.8], [1, 2, 3]),
    "normal": lambda: jm.Traders(jm.TruncatedNormal([0.2, -0.3], 0.5, -1, 1.2), [0.7, 1.4], [2, 3]),
    "beta": lambda: jm.Traders(jm.Beta([2.0, 1.2], 3.0, -1, 1.5), [0.7, 1.4], [2, 3]),
    "one who always buys": lambda: jm.Traders(jm.Uniform(0, 1), [0.5, 1.5]),
    "histogram": lambda: jm.Traders(jm.Histogram([-1.0, -0.2, 0.4, 1.3], [0.3, 0.1, 0.6]), [0.7, 1.4], [2, 3]),
}
PARTS = "gamma", "centre", "reserve", "welfare", "target"
NOTHING = dict.fromkeys(PARTS, 0.0)


def with_more(market, alpha, gamma, centre, reserve, welfare, target):
    """The mechanism where all groups have the same of everything, traced so that nobody sees what is 0."""
    same = lambda value: value + 0 * market.risk_capacity  # noqa: E731
    outside = Outside(same(gamma), same(centre), same(reserve), (False,) * market.groups)
    return jm.solve(replace(market, outside=outside, welfare_weight=same(welfare)), alpha, target)


def numbers_of(mechanism):
    achieved = jm.outcomes(mechanism)
    parts = mechanism.weight, mechanism.eta, mechanism.ends, achieved.revenue, achieved.efficiency
    return jnp.concatenate([jnp.ravel(part) for part in (*parts, achieved.utility_gain_by_group)])


@jax.jit
def of_more(market, alpha, more):
    mechanism = with_more(market, alpha, **more)
    return numbers_of(mechanism), jm.certify(mechanism).ok, mechanism.rebate, mechanism.refused


@pytest.fixture(scope="module", params=cases(MARKETS, ["three uniforms", "normal", "one who always buys"]))
def market(request):
    return jm.Market.of(MARKETS[request.param]())


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.6, 1.0])
def test_nothing_outside_and_no_weights_is_the_plain_problem(market, alpha):
    exact = numbers_of(jm.solve(market, alpha))
    found, ok, rebate, refused = of_more(market, alpha, NOTHING | {"centre": 0.3})
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-13)
    assert ok and not np.any(rebate) and not refused


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.6])
@pytest.mark.parametrize("part", ["gamma", "reserve", "welfare", "target"])
def test_each_part_goes_to_the_plain_problem_as_it_vanishes(market, alpha, part):
    """At 1e-12 of each nothing is 1e-10 away, and what is away vanishes in proportion to the part."""
    exact = numbers_of(jm.solve(market, alpha))
    tiny, small, double = (
        of_more(market, alpha, NOTHING | {"centre": 0.3, part: size})[0] for size in (1e-12, 1e-6, 2e-6)
    )
    if part == "gamma" and type(market.endowment) is jm.Histogram:  # however small, where Ω falls (beyond §16)
        assert of_more(market, alpha, NOTHING | {part: 1e-12})[-1] and np.isnan(tiny).all()
        return
    np.testing.assert_allclose(tiny, exact, rtol=0, atol=1e-10)
    np.testing.assert_allclose(2 * small - double, exact, rtol=0, atol=1e-9)
    assert np.max(np.abs(small - exact)) < 1e-3


def test_a_designer_who_cares_for_all_alike_is_one_of_smaller_alpha():
    """w = u + (1 − u)(α − β): equal weights β < α only move α, beyond §2."""
    market = jm.Market.of(MARKETS["three uniforms"]())
    found, *_ = of_more(market, 0.7, NOTHING | {"welfare": 0.2})
    exact = numbers_of(jm.solve(market, 0.5))
    np.testing.assert_allclose(found[1:], exact[1:], rtol=0, atol=1e-13)


def test_money_that_is_promised_to_all_and_a_target_are_the_same_to_the_allocation():
    """r and R_min act only through R_min + Σ n r: beyond §1."""
    market = jm.Market.of(MARKETS["three uniforms"]())
    number = float(jnp.sum(market.count))
    promised, *_ = of_more(market, 0.1, NOTHING | {"reserve": 0.002})
    aimed, *_ = of_more(market, 0.1, NOTHING | {"target": 0.002 * number})
    np.testing.assert_allclose(promised[:10], aimed[:10], rtol=0, atol=1e-13)
    np.testing.assert_allclose(promised[10], aimed[10] - 0.002 * number, rtol=0, atol=1e-13)
