"""The certificate has a witness of its own: an error in ∫F²/f, which bound and value share, is told."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.market.outside import OutsideOption
from jaxmech.optimum import certificate
from jaxmech.optimum import witness as witnesses
from jaxmech.optimum.ironing.ironed import _Ironing
from jaxmech.optimum.witness import witness
from jaxmech.testing.random_markets import panel_markets, random_alphas, random_markets
from marks import cases

SUPPORT = {"lower": -1.0, "upper": 1.3}
LAWS = {
    jm.Uniform: (jm.Uniform(**SUPPORT), jm.Uniform, "squared_ratio_integral_from"),
    jm.TruncatedNormal: (
        jm.TruncatedNormal(0.2, 0.5, **SUPPORT),
        jm.TruncatedNormal,
        "squared_ratio_integral_from",
    ),
    jm.Beta: (jm.Beta(2.0, 3.0, **SUPPORT), jm.Beta, "squared_ratio_integral_from"),
    jm.Histogram: (jm.Histogram([-1.0, -0.2, 0.4, 1.3], [0.3, 0.1, 0.6]), _Ironing, "_outside"),
}


@pytest.fixture
def fresh():
    """What is compiled with a law spoilt on purpose must not outlive the test."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.slow
@pytest.mark.parametrize("family", LAWS, ids=lambda family: family.__name__)
def test_an_integral_off_by_one_in_ten_thousand_is_not_certified(family, monkeypatch, fresh):
    law, owner, name = LAWS[family]
    right = getattr(owner, name)
    market = jm.Market.of(jm.Traders(law, [0.7, 1.4], [2, 3]))
    assert jm.certify(jm.solve(market, 0.8)).ok
    monkeypatch.setattr(owner, name, lambda *at: 1.0001 * right(*at))
    jax.clear_caches()
    wrong = jm.solve(market, 0.8)
    assert not jm.certify(wrong).ok
    # Bound and value alone do not notice.
    monkeypatch.setattr(certificate, "_disagreement", lambda *_: certificate.Disagreement(*(jnp.zeros(()),) * 5))
    jax.clear_caches()
    assert jm.certify(wrong).ok


def small_market(kind):
    law = jm.TruncatedNormal(0.2, 0.5, **SUPPORT)
    more = {} if kind == "plain" else {"welfare_weight": [0.1, 0.9], "outside": OutsideOption([0.3, 0.5], 0.15, 0.01)}
    return jm.Market.of(jm.Traders(law, [0.7, 1.4], [2, 3], **more))


@pytest.mark.parametrize("kind", ["plain", "extended"])
@pytest.mark.parametrize("field", ["mean", "variance", "cross", "rent"])
def test_a_moment_that_is_not_that_of_the_virtual_types_is_not_certified(field, kind):
    """Mechanisms carry their moments; the certificate does not take their word for it."""
    mechanism = jm.solve(small_market(kind), 0.8)
    moments = mechanism.moments
    wrong = moments._replace(**{field: getattr(moments, field) * (1 + 1e-6)})
    assert jm.certify(mechanism).ok
    assert not jm.certify(replace(mechanism, moments=wrong)).ok


@pytest.mark.parametrize("off", [1e-7, -1e-7])
@pytest.mark.parametrize("field", ["eta", "ends", "weight", "budget_share", "rebate", "minimum_revenue"])
def test_a_number_of_an_extended_mechanism_that_is_off_by_one_in_ten_million_is_not_certified(field, off):
    """Under a budget that binds, with a group whose welfare weight exceeds α, and without one."""
    market, target = small_market("extended"), -0.01 if field == "rebate" else 0.05
    mechanism = jm.solve(market, 0.8, target)
    assert jm.certify(mechanism).ok
    assert (float(mechanism.rebate[1]) > 0) == (field == "rebate")
    right = getattr(mechanism, field)
    wrong = right + off * jnp.sign(right)
    told = {"market": mechanism.market.earning(wrong)} if field == "minimum_revenue" else {field: wrong}
    wrong = jm.certify(replace(mechanism, **told))
    assert not wrong.ok or field == "weight", "what is at stake is by the groups' weights alone"


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["ordinary", "edge"])
@pytest.mark.parametrize("structure", cases([(2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 1)], [(1, 1, 1)]), ids=str)
def test_the_witness_agrees_with_the_closed_forms(structure, regime):
    mechanism = jm.solve(random_markets(structure, 500, 7, regime), random_alphas(500, 8))
    off = _disagreement(mechanism)
    assert float(jnp.max(off.square + off.rent)) < 2e-10
    assert float(jnp.max(off.mean + off.cross)) < 2e-10


@pytest.mark.exhaustive
def test_the_witness_agrees_with_the_panels_of_named_laws():
    """Of laws that are ironed, test_ironing demands certificates to 1e-10."""
    mechanism = jm.solve(panel_markets(32, 9), random_alphas(32, 8))
    assert float(jnp.max(_disagreement(mechanism).money)) < 2e-10


def test_nodes_integrate_the_density_to_its_distribution_function():
    law = jm.Beta(*(jnp.array(numbers) for numbers in ([1.01, 2.0, 300.0], [1.5, 40.0, 300.0], [-1.0] * 3, [1.0] * 3)))
    for probability in (1e-6, 0.3, 0.999):
        z = law.quantile(probability)
        nodes, weights = law.nodes_to(z)
        np.testing.assert_allclose(jnp.sum(weights * law.pdf(nodes), axis=0), probability, rtol=1e-10)


@pytest.mark.parametrize("at_once", [1, 100, 650])
def test_the_witness_is_the_same_however_many_types_are_looked_at_at_once(at_once, monkeypatch):
    market, alpha = random_markets((1, 1, 1), 20, 3), random_alphas(20, 4)
    mechanism = jm.solve(market, alpha)

    def seen():
        return jax.jit(lambda mechanism: witness(mechanism, mechanism.market.endowment.sides(), 1e-9))(mechanism)

    whole = seen()
    monkeypatch.setattr(witnesses, "_AT_ONCE", at_once)
    for found, exact in zip(seen(), whole, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("z", [-0.2, 0.05, 1.3])
@pytest.mark.parametrize("kinks", [[], [-0.5, 0.1, 0.15], [-0.2, -0.2, np.inf], [-1.0, 0.4, 0.41]], ids=str)
def test_witnesses_of_panels_count_everybody_once_whatever_cuts_the_panels(z, kinks):
    """Up to z, also where kinks share a panel with each other or with z, lie on cuts or are none."""
    left = jm.Histogram([-1.0, -0.2, 0.4, 1.3], [0.3, 0.1, 0.6]).sides().one(0)
    z = jnp.asarray(z)
    cuts, beyond = jnp.minimum(jnp.asarray(kinks, float), z), jnp.minimum(z + 0.01, 1.3)
    types, weights, ratios, ordered = jax.jit(lambda left, *at: left.law.witnesses(*at, left.known))(
        left, z, cuts, beyond
    )
    assert np.all(np.diff(types[:ordered]) > 0)
    np.testing.assert_allclose(types[-1], beyond, rtol=1e-15)
    assert weights[-1] == 0
    np.testing.assert_allclose(ratios.cdf, left.tail(types).cdf, rtol=1e-13, atol=1e-15)
    mass = weights * ratios.density
    np.testing.assert_allclose(jnp.sum(mass), left.tail(z).cdf, rtol=1e-13)
    for kink in cuts:  # E|Z − k|; Z ≤ z
        below, above = left.tail(kink), left.tail(z)
        exact = 2 * below.integral - above.integral + (z - kink) * above.cdf
        np.testing.assert_allclose(jnp.sum(mass * jnp.abs(types - kink)), exact, rtol=1e-13)


@jax.jit
def _disagreement(mechanism):
    market = mechanism.market
    surplus = jm.outcomes(mechanism).first_best_surplus
    assert market.groups == mechanism.eta.shape[0]
    sides = market.endowment.sides()
    off = certificate._disagreement(mechanism, sides, witness(mechanism, sides, 1e-9))
    return jax.tree.map(lambda part: part / surplus, off)
