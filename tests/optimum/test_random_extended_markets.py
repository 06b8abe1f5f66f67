"""Random markets with outside options, welfare weights and revenue targets: each is certified, proved to be infeasible,
or refused because the optimum of a law that is not regular is not known; none ends in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.testing.irregular_markets import KINDS, irregular_markets
from jaxmech.testing.random_markets import (
    FAILED,
    INFEASIBLE,
    OK,
    REFUSED,
    STRUCTURES,
    extended,
    panel_markets,
    random_alphas,
    random_markets,
    verdicts,
)
from marks import cases

USUAL = (1, 1, 0), (3, 3, 2)


def all_of(market, lanes, seed=3):
    verdict, mechanism, certificate = verdicts(extended(market, random_alphas(lanes, seed), seed))
    assert np.flatnonzero(verdict == FAILED).tolist() == []
    assert float(jnp.max(jnp.where(verdict == OK, jnp.abs(certificate.duality_gap), 0.0))) <= 1e-9
    for lane in (verdict == REFUSED, verdict == INFEASIBLE):
        assert np.all(np.isnan(np.asarray(mechanism.eta)[:, lane]))
    assert np.all(np.isinf(np.asarray(mechanism.largest_revenue)[verdict != INFEASIBLE]))
    return [np.mean(verdict == kind) for kind in (OK, INFEASIBLE, REFUSED)]


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["ordinary", "edge"])
@pytest.mark.parametrize("structure", cases(STRUCTURES, USUAL), ids=str)
def test_every_random_market_is_certified_or_proved_to_be_infeasible(structure, regime):
    lanes = 250 if sum(structure) < 30 else 60
    certified, infeasible, refused = all_of(random_markets(structure, lanes, 5, regime), lanes)
    assert certified > 0.6 and infeasible > 0.1 and refused == 0


@pytest.mark.slow
def test_vmap_and_single_markets_agree_with_a_trailing_batch():
    given = extended(random_markets((1, 1, 0), 40, 8), random_alphas(40, 8), 8)
    trailing = jm.solve(*given)
    mapped = jax.jit(jax.vmap(jm.solve))(*jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), given))
    for one, other in zip(jax.tree.leaves(mapped), jax.tree.leaves(trailing), strict=True):
        np.testing.assert_allclose(jnp.moveaxis(one, 0, -1), other, rtol=1e-11, atol=1e-11)
    feasible = np.flatnonzero(np.isfinite(trailing.eta[0]))
    for lane in feasible[:3]:
        alone = jm.solve(*jax.tree.map(lambda leaf, lane=lane: leaf[..., lane], given))
        np.testing.assert_allclose(alone.eta, trailing.eta[:, lane], rtol=1e-12, atol=1e-13)


@pytest.mark.exhaustive
def test_named_laws_without_closed_forms_are_certified_proved_to_be_infeasible_or_refused():
    certified, _, refused = all_of(panel_markets(250, 5), 250)
    assert certified > 0.6 and refused < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", cases(KINDS, ["two histograms"]))
def test_laws_that_are_not_regular_are_certified_proved_to_be_infeasible_or_refused(kind):
    certified, _, refused = all_of(irregular_markets(kind, 60, 5)[0], 60)
    assert certified > 0.15 and refused > 0.2


@pytest.mark.exhaustive
@pytest.mark.parametrize("structure", STRUCTURES[:6], ids=str)
def test_thousands_of_random_markets_are_certified_or_proved_to_be_infeasible(structure):
    for seed in range(4):
        all_of(random_markets(structure, 2500, seed), 2500, seed)
