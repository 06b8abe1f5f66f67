"""What a user gets who forgot x64: one warning, answers to float32's own tolerance, an honest certificate."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_X64 = """
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm
from jaxmech.testing.random_markets import random_alphas, random_markets

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    funds = jm.Traders(jm.Uniform(-1.0, 2.0), 1.0, 5, "fund")
    market = jm.Market.of(jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), 2.0, 10, "dealer"), funds)
    jm.Market.of(funds)
assert [("float32" in str(one.message), "jax_enable_x64" in str(one.message)) for one in said] == [(True, True)]

for structure in ((2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 1)):
    mechanism = jm.solve(random_markets(structure, 500, 3), random_alphas(500, 4))
    certificate, achieved = jm.certify(mechanism), jm.outcomes(mechanism)
    assert mechanism.eta.dtype == achieved.revenue.dtype == jnp.float32
    # Where much of the surplus cancels, float32 cannot show what is asked, and the certificate says so.
    assert certificate.ok.mean() >= 0.98, structure
    assert (abs(certificate.duality_gap) < 1e-3).all(), structure
    assert np.isfinite(achieved.revenue).all()
rough = jm.outcomes(jm.solve(market, 0.5)).revenue
STUDIES
jax.config.update("jax_enable_x64", True)  # too late for the market at hand: harmless
late = jm.outcomes(jm.solve(market, 0.5)).revenue
assert jm.certify(jm.solve(market, 0.5)).ok
assert abs(float(late) / float(rough) - 1) < 1e-4
dealers = jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), 2.0, 10)
fine = jm.Market.of(dealers, jm.Traders(jm.Uniform(-1.0, 2.0), 1.0, 5))
exact = jm.outcomes(jm.solve(fine, 0.5)).revenue
assert exact.dtype == jnp.float64
assert abs(float(exact) / float(rough) - 1) < 1e-4
print("fine")
"""
IRREGULAR = """
from jaxmech.testing.irregular_markets import irregular_markets

for kind, least in (("two histograms", 0.97), ("normal mixtures", 0.95), ("linear densities", 0.95)):
    irregular, _ = irregular_markets(kind, 50, 1)
    certificate = jm.certify(jm.solve(irregular, random_alphas(50, 4)))
    assert certificate.ok.mean() >= least, kind
"""
EXTENDED = """
from jaxmech.testing.random_markets import extended

for structure in ((2, 0, 0), (1, 1, 1)):
    mechanism = jm.solve(*extended(random_markets(structure, 500, 3), random_alphas(500, 4), 5))
    certificate, infeasible = jm.certify(mechanism), np.isfinite(mechanism.largest_revenue)
    assert mechanism.eta.dtype == mechanism.rebate.dtype == mechanism.largest_revenue.dtype == jnp.float32
    assert (certificate.ok | infeasible).mean() >= 0.98 and 0.1 < infeasible.mean() < 0.3, structure
    assert (infeasible | (abs(certificate.duality_gap) < 1e-3)).all(), structure
"""
STUDIES = """
from jaxmech.optimum import budget

traced = jm.frontier(market)
assert np.isfinite(traced.revenue).all() and float(traced.error) <= 1e-4 * float(traced.revenue.max())
table = jm.sensitivity(market, 0.5)
assert np.isfinite(table.value).all()
passes, loop = [], budget.newton_iteration
budget.newton_iteration = lambda *arguments: jax.debug.callback(lambda: passes.append(0)) or loop(*arguments)
jax.block_until_ready(jm.solve(random_markets((2, 0, 0), 1000, 3), 0.0).eta)
jax.effects_barrier()
budget.newton_iteration = loop
assert 0 < len(passes) < 50  # no search for w* goes on where only rounding is left
shapes, one = np.random.default_rng(0).uniform(1.5, 4, (2, 2, 50)), jnp.ones((2, 50))
vanishing = jm.Market(jm.Kumaraswamy(*map(jnp.asarray, shapes), -one, one), one, 3 * one)
assert jm.certify(jm.solve(vanishing, jnp.full(50, 0.4))).ok.all()  # next to its ends density and F are rounding
swept = jm.sweep(market, [0.0, 0.5, 1.0], {"all.risk_capacity.factor": [0.5, 1.0, 2.0]}, progress=False)
assert (swept.status == 0).all() and swept.attrs["precision"] == "float32"
"""

FITS = """
import warnings

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm

warnings.simplefilter("ignore")
z = np.random.default_rng(0).normal(1e4, 50.0, 200)  # float32 keeps 5 digits of the spread
rough = {family: jm.fit(z, family) for family in ("truncated_normal", "uniform")}
for found in rough.values():
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(found.law))
    assert np.isfinite(found.qq()[0]).all() and np.isfinite(found.ironed_share()).all()
small = jm.fit((z - 1e4) / 50, "truncated_normal")
market = jm.Market.of(jm.Traders(small.law, 1.0, 5, "fund"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 5, "dealer"))
revenue = jm.outcomes(jm.solve(market, 0.5)).revenue
assert revenue.dtype == jnp.float32
drawn = small.estimate.redrawn(5, np.random.default_rng(0))[0]
jax.config.update("jax_enable_x64", True)
for family, found in rough.items():
    fine = jm.fit(z, family)
    assert found.parameters == fine.parameters and found.endowment_table() == fine.endowment_table(), family
    assert (found.aic, found.ks_statistic) == (fine.aic, fine.ks_statistic)
    np.testing.assert_array_equal(found.covariance, fine.covariance)
fine = jm.fit((z - 1e4) / 50, "truncated_normal")
np.testing.assert_array_equal(drawn, fine.estimate.redrawn(5, np.random.default_rng(0))[0])
dealer = jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 5, "dealer")
exact = jm.outcomes(jm.solve(jm.Market.of(jm.Traders(fine.law, 1.0, 5, "fund"), dealer), 0.5)).revenue
assert exact.dtype == jnp.float64 and abs(float(revenue) / float(exact) - 1) < 1e-5, (revenue, exact)
print("fine")
"""


def run(code):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parent), str(here), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_ENABLE_X64": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "fine"


@pytest.mark.exhaustive
def test_markets_are_solved_and_certified_in_float32_and_the_user_is_told_once():
    run(WITHOUT_X64.replace("STUDIES", IRREGULAR + EXTENDED))


@pytest.mark.slow
def test_frontiers_sensitivities_and_sweeps_work_in_float32():
    run(WITHOUT_X64.replace("STUDIES", STUDIES))


@pytest.mark.slow
def test_a_fit_is_in_float64_and_its_law_works_in_a_session_without():
    run(FITS)
