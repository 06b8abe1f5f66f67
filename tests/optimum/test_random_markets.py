"""Twenty thousand random markets: every one returns, certified."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.testing.random_markets import STRUCTURES, random_alphas, random_markets
from marks import cases

USUAL = (2, 0, 0), (0, 5, 0), (3, 3, 2)
BATCHES = {structure: 1000 if sum(structure) >= 30 else 3500 for structure in STRUCTURES}


def test_the_suite_solves_at_least_twenty_thousand_markets():
    assert sum(BATCHES.values()) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("structure", cases(STRUCTURES, USUAL), ids=str)
def test_every_random_market_is_certified(structure):
    batch = BATCHES[structure]
    market = random_markets(structure, batch, seed=1)
    mechanism = jm.solve(market, random_alphas(batch, seed=2))
    certificate = jm.certify(mechanism)
    certificate.raise_if_failed(f"structure {structure}")
    assert float(jnp.max(jnp.abs(certificate.duality_gap))) <= 1e-9
    assert int(jnp.max(mechanism.steps)) < 20
    assert np.isfinite(jm.outcomes(mechanism).revenue).all()


def test_a_binding_interval_leaves_the_end_where_its_ratio_is_infinite():
    """A step once landed on the end of a beta law's support, where F/f is infinite, and none led back."""
    law = jm.Beta(
        jnp.array([2.7397655578302067, 4.070910208954929]),
        jnp.array([4.584425765640886, 23.181291512203774]),
        jnp.array([-0.07172352285487085, -23.660218683007713]),
        jnp.array([0.05949392079363658, 164.372354665385]),
    )
    market = jm.Market.of(jm.Traders(law, [48.71927977514347, 77.18640297230763], [105, 1487]))
    mechanism = jm.solve(market, 0.6267028557618033)
    jm.certify(mechanism).raise_if_failed()
    assert float(mechanism.binding_interval[0, 0]) < float(law.upper[0]) - 0.01


def test_a_binding_interval_leaves_an_end_where_its_ratio_is_infinite_but_rounding_makes_it_finite():
    """With a shape just above 1 a step landed on the end while η stood far out, and stayed when η came back."""
    crowd = jm.Beta(2.131165826651803, 3.50224849218093, -2.0822905445063435, 2.79164098140369)
    few = jm.Beta(1.0008523072278357, 3.5366353134713147, -0.6247389309363753, -0.06694951082051)
    mechanism = jm.solve(jm.Market.of(jm.Traders(crowd, 4.0, 3), jm.Traders(few, 17.6, 3)), 0.7382241651258055)
    jm.certify(mechanism).raise_if_failed()
    assert float(mechanism.binding_interval[1, 1]) < -0.2


def valley(one, other, share, ends):
    """Two narrow peaks."""
    return jm.Mixture((jm.TruncatedNormal(*one, *ends), jm.TruncatedNormal(*other, *ends)), (share, 1 - share))


HARD = {
    "nobody trades where the solver starts": (
        1.0,
        jm.Traders(jm.TruncatedNormal(0.35596952, 0.02059698, 0.45546942, 0.78850441), 0.0420456, 8867),
        jm.Traders(jm.TruncatedNormal(0.04301799, 0.00185074, -0.02529392, 0.06444598), 0.05761102, 1513),
    ),
    "an end starts a hundred deviations out": (
        0.08041652106506808,
        jm.Traders(jm.TruncatedNormal(-0.0176001, 0.0002436, -0.01516405, 0.02382888), 19.79153766, 23),
        jm.Traders(jm.TruncatedNormal(0.09234729, 0.01958806, -0.03885283, 0.03712755), 0.12233001, 929),
    ),
    "the neutral type lies thousands of widths outside": (
        0.05169769134064722,
        jm.Traders(jm.Uniform(-1900.79890611, -1770.23985663), 1.22962963, 61),
        jm.Traders(jm.TruncatedNormal(5.67082184, 2.1635234, -1.1392499, 0.10449446), 0.17814283, 70),
        jm.Traders(jm.Beta(32.84413991, 114.03020318, -0.07280859, 0.00757012), 0.71684435, 62),
    ),
    "half the way to the mean leads below the root": (
        0.0,
        jm.Traders(jm.TruncatedNormal(2.16461207, 0.01275346, -0.12866476, 2.22047052), 0.0205887358, 2530),
        jm.Traders(jm.TruncatedNormal(-10.29655805, 2.40118709, -28.33142313, -6.26893039), 38.5335296, 1684),
    ),
    "an end close to where its ratio is infinite is close to the neutral type too": (
        0.37167646590141407,
        jm.Traders(jm.Beta(230.60341942, 1.97865305, -27.53513602, -13.86199318), 1.81738844, 133),
        jm.Traders(jm.Beta(15.10042949, 3.1837322, -13.73736445, 4.34218323), 0.13572134, 5),
    ),
    "densities underflow where the budget decides": (
        0.0,
        jm.Traders(jm.TruncatedNormal(-1.1615918, 0.00321215, -1.18575642, -0.66150633), 69.14348265, 37),
        jm.Traders(jm.TruncatedNormal(1.99476785, 0.3303437, -0.20912468, 0.13529492), 0.070218, 223),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HARD)
def test_a_hard_market_is_certified(what):
    alpha, *traders = HARD[what]
    mechanism = jm.solve(jm.Market.of(*traders), alpha)
    jm.certify(mechanism).raise_if_failed(what)
    assert int(mechanism.steps) < 20


@pytest.mark.slow
def test_where_a_valley_of_next_to_nobody_makes_revenue_rounding_the_budget_is_met_further_up():
    """Between two peaks is a probability of 1e-15; w* is 7.6e-13, and R near it is known to 1e-5, not more."""
    first = valley((-0.77179479, 0.09533554), (-0.0651041, 0.08729946), 0.271366, (-1.444365, 1.225072))
    second = valley((-0.414003, 0.08409756), (0.964189, 0.07993802), 0.118639, (-1.429371, 1.342927))
    market = jm.Market.of(jm.Traders(first, 2.690493, 2), jm.Traders(second, 0.248159))
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, 32)), market)
    many = replace(many, risk_capacity=many.risk_capacity * (1 + 1e-9 * jnp.arange(32)))
    mechanism = jm.solve(many, 0.0)
    certificate, achieved = jm.certify(mechanism), jm.outcomes(mechanism)
    assert jnp.sum(certificate.ok) >= 26
    np.testing.assert_array_equal(certificate.ok, achieved.revenue >= -1e-9)
    assert jnp.max(jnp.abs(certificate.duality_gap)) <= 1e-9


@pytest.mark.slow
def test_a_budget_weight_below_what_is_told_apart_is_given_as_the_least_and_stands_still():
    _, *traders = HARD["densities underflow where the budget decides"]
    market = jm.Market.of(*traders)
    weight, slope = jax.value_and_grad(lambda scale: jm.budget_weight(replace_scale(market, scale)))(0.00321215)
    assert weight == np.finfo(float).tiny ** 0.2
    assert slope == 0
    assert jm.outcomes(jm.solve(market, 0.0)).revenue >= 0


def replace_scale(market, scale):
    law = market.endowment
    return replace(market, endowment=replace(law, scale=jnp.stack([scale, law.scale[1]])))
