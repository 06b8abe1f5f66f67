"""A reform that harms nobody: what today's auction leaves every type is kept, and what it wastes is earned or saved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.auctions.reform import auction_option, reform_text
from jaxmech.optimum.target_lines import outside_gain

ASYMMETRIC = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.2), 1.0, name="dealer"),
    jm.Traders(jm.TruncatedNormal(0.2, 0.5, -1.0, 1.0), 0.7, 2, "fund"),
    jm.Traders(jm.Beta(2.0, 3.0, -1.0, 1.5), 1.1, name="bank"),
)


def types(market, points=41):
    law = market.endowment
    return law.lower + np.linspace(0, 1, points)[:, None] * (law.upper - law.lower)


def test_the_auction_as_an_outside_option_is_what_every_type_gains_in_it():
    auction, z = jm.double_auction(ASYMMETRIC, "none"), types(ASYMMETRIC)
    option = auction_option(auction)
    np.testing.assert_allclose(outside_gain(option, z, ASYMMETRIC.risk_capacity), auction.utility_gain(z), atol=1e-15)
    assert np.all(option.gamma < 1 - auction.market.risk_capacity / auction.market.total_risk_capacity)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_no_type_of_any_trader_loses_and_the_reform_is_certified(alpha):
    found, z = jm.reform(ASYMMETRIC, alpha), types(ASYMMETRIC)
    today = jm.double_auction(ASYMMETRIC, "none").utility_gain(z)
    assert jm.certify(found.mechanism).ok
    assert np.min(found.mechanism.utility_gain(z) - today) >= -1e-12
    assert found.reformed.revenue >= -1e-12


def test_the_most_that_a_reform_earns_is_1_over_n_of_the_surplus_that_the_auction_leaves():
    """N uniform traders: h²/(6κN(N − 1)) (beyond §13)."""
    found = jm.reform(jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 5)), 1.0)
    np.testing.assert_allclose(found.reformed.revenue, 1 / 60, rtol=1e-12)
    left = found.today.first_best_efficiency - found.today.efficiency
    np.testing.assert_allclose(found.reformed.revenue, left / 5, rtol=1e-12)


def test_a_reform_of_efficiency_alone_is_at_least_as_efficient_as_the_auction():
    found = jm.reform(ASYMMETRIC, 0.0)
    assert found.today.efficiency < found.reformed.efficiency <= found.unconstrained.efficiency + 1e-12


def test_it_is_differentiable_and_takes_batches():
    def earned(size):
        traders = jm.Traders(jm.Uniform(-1.0, 1.0), size, 5), jm.Traders(jm.Uniform(-1.0, 1.3), 1.0, 2)
        return jm.reform(jm.Market.of(*traders), 1.0).reformed.revenue

    step = 1e-5
    difference = (earned(0.5 + step) - earned(0.5 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(earned)(0.5), difference, rtol=1e-7)
    np.testing.assert_allclose(jax.vmap(earned)(jnp.array([0.5, 0.8])), [earned(0.5), earned(0.8)], rtol=1e-12)


def test_two_traders_and_outside_options_are_refused():
    two = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 2))
    with pytest.raises(jm.MarketError, match="two traders"):
        jm.reform(two, 0.5)
    taken = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, 3)).with_outside("all", jm.OutsideOption(0.2))
    with pytest.raises(jm.MarketError, match="outside options"):
        jm.reform(taken, 0.5)


def test_its_text_names_the_three_designs():
    text = reform_text(jm.reform(ASYMMETRIC, 0.5))
    assert [line.split("  ")[0] for line in text.splitlines()[1:4]] == [
        "reform",
        "double auction today",
        "unconstrained optimum",
    ]
