"""Twenty thousand random markets: every one returns, certified."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from markets import STRUCTURES, random_alphas, random_markets

BATCHES = {structure: 1000 if sum(structure) >= 30 else 3500 for structure in STRUCTURES}


def test_the_suite_solves_at_least_twenty_thousand_markets():
    assert sum(BATCHES.values()) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_every_random_market_is_certified(structure):
    batch = BATCHES[structure]
    market = random_markets(structure, batch, seed=1)
    mechanism = jm.solve(market, random_alphas(batch, seed=2))
    certificate = jm.certify(mechanism)
    certificate.raise_if_failed(f"structure {structure}")
    assert float(jnp.max(jnp.abs(certificate.duality_gap))) <= 1e-9
    assert int(jnp.max(mechanism.steps)) < 40
    assert np.isfinite(jm.outcomes(mechanism).revenue).all()
