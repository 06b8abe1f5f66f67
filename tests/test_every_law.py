"""Every law with every public function, for one group, two groups of it, and beside another family."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from every_law import LAWS, SHAPES, batch_of, market_of
from jaxmech import programs


def revenue(market, alpha):
    return jm.outcomes(jm.solve(market, alpha)).revenue


def certified(market):
    mechanism = jm.solve(market, 0.5)
    assert jm.certify(mechanism).ok
    return jm.outcomes(mechanism)


def traced(market):
    curve = jm.frontier(market, tolerance=1e-6)
    middle = 0.5 * (curve.efficiency[0] + curve.efficiency[-1])
    found = jm.outcomes(curve.mechanism_at(efficiency=middle))
    np.testing.assert_allclose(found.efficiency, middle, rtol=1e-6)
    return curve.revenue


def together(market, run):
    """What a batch gives, beside its markets one by one."""
    apart = [revenue(market, alpha) for alpha in (0.2, 0.8)]
    np.testing.assert_allclose(run(market, jnp.array([0.2, 0.8])), apart, rtol=1e-10)


def leaves_the_process(market):
    mechanism = jm.solve(market, 0.5)
    for result in (market, mechanism, jm.outcomes(mechanism), jm.side_payments(mechanism)):
        pickle.loads(pickle.dumps(result)), copy.deepcopy(result), repr(result)


def rule_of(market):
    return jm.side_payments(jm.solve(market, 0.5))


HALVED = {"all.risk_capacity.factor": [0.5, 1.0]}
FUNCTIONS = {
    "certified": certified,
    "budget": lambda market: revenue(market, 0.0),
    "frontier": traced,
    "double_auction": lambda market: jm.outcomes(jm.double_auction(market)).revenue,
    "fee_sheet": lambda market: str(jm.fee_sheet(rule_of(market))),
    "simulate": lambda market: jm.simulate(rule_of(market), jax.random.key(0), auctions=2000).revenue,
    "audit": lambda market: jm.audit(rule_of(market)),
    "gradient": lambda market: jax.grad(lambda alpha: revenue(market, alpha))(0.5),
    "sweep": lambda market: jm.sweep(market, alpha=[0.0, 0.5], over=HALVED, derivatives=True).revenue.values,
    "sensitivity": lambda market: jm.sensitivity(market, 0.5),
    "simple_schedule": lambda market: jm.simple_schedule(market, 0.5),
    "vmap": lambda market: together(market, lambda one, alphas: jax.vmap(lambda alpha: revenue(one, alpha))(alphas)),
    "batch": lambda market: together(market, lambda one, alphas: revenue(batch_of(one), alphas)),
    "pickle": leaves_the_process,
}


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("law", LAWS)
def test_every_public_function_takes_every_law(law, shape):
    market = market_of(law, shape)
    for name, function in FUNCTIONS.items():
        numbers = [np.asarray(leaf) for leaf in jax.tree.leaves(function(market)) if hasattr(leaf, "dtype")]
        floats = [leaf for leaf in numbers if np.issubdtype(leaf.dtype, np.floating)]
        assert not any(np.isnan(leaf).any() for leaf in floats), name


@pytest.mark.slow
def test_a_session_gives_its_memory_maps_back_before_they_run_out(monkeypatch):
    """Linux allows a process 65,530; each compiled loop holds some, and at the last one the process is aborted."""
    if not programs.used():
        pytest.skip("the system does not tell")
    monkeypatch.setattr(programs, "MOST", programs.used() + 500)
    most = 0
    for number in range(8):
        traders = jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), jnp.ones(2 + number), 5)
        certified(jm.Market.of(traders)), revenue(jm.Market.of(traders), 0.0)
        most = max(most, programs.used())
    assert most < programs.MOST + 3000
