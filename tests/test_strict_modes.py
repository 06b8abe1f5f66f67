"""JAX's strict modes are for the user's own code: the library runs under each of them."""

import jax
import pytest

import jaxmech as jm
from every_law import market_of
from jaxmech.market.outside import OutsideMarket, OutsideOption
from marks import cases

MODES = {
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_debug_nans": True,
    "jax_check_tracer_leaks": True,
}


@pytest.fixture(params=MODES)
def strict(request):
    before = getattr(jax.config, request.param)
    jax.config.update(request.param, MODES[request.param])
    yield
    jax.config.update(request.param, before)


@pytest.mark.slow
@pytest.mark.parametrize("law", cases(["uniform", "normal", "beta", "histogram"], ["normal"]))
def test_the_straight_line_runs_in_every_strict_mode(law, strict):
    market = market_of(law)

    def revenue(market, alpha):
        return jm.outcomes(jm.solve(market, alpha)).revenue

    mechanism = jm.solve(market, 0.5)
    assert jm.certify(mechanism).ok
    assert jax.grad(jax.jit(revenue), 1)(market, 0.5) > 0
    jax.grad(revenue)(market, 0.5)


@pytest.mark.slow
def test_outside_options_and_welfare_weights_run_in_every_strict_mode(strict):
    traders = [
        jm.Traders(
            jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0), 1.0, 5, welfare_weight=0.6, outside=OutsideOption(0.3, 0.1)
        ),
        jm.Traders(jm.Uniform(-1.0, 1.2), 2.0, 4, outside=OutsideMarket(0.1, 2.0, 0.001)),
    ]

    def revenue(market, alpha, target):
        return jm.outcomes(jm.solve(market, alpha, target)).revenue

    market = jm.Market.of(*traders)
    for target in (-1.0, 0.01):
        assert jm.certify(jm.solve(market, 0.5, target)).ok
    slopes = jax.grad(jax.jit(revenue), (0, 1, 2))(market, 0.5, 0.01)
    assert slopes[2] == 1
    jax.grad(revenue)(market, 0.5, -1.0)
