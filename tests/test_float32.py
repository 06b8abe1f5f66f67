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
from markets import random_alphas, random_markets

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    funds = jm.Traders(jm.Uniform(-1.0, 2.0), 1.0, 5, "fund")
    market = jm.Market.of(jm.Traders(jm.TruncatedNormal(0.0, 0.5, -1.0, 1.0), 2.0, 10, "dealer"), funds)
    jm.Market.of(funds)
assert [("float32" in str(one.message), "jax_enable_x64" in str(one.message)) for one in said] == [(True, True)]

for structure in ((2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 1)):
    mechanism = jm.solve(random_markets(structure, 50, 3), random_alphas(50, 4))
    certificate, achieved = jm.certify(mechanism), jm.outcomes(mechanism)
    assert mechanism.eta.dtype == achieved.revenue.dtype == jnp.float32
    # Where much of the surplus cancels, float32 cannot show what is asked, and the certificate says so.
    assert certificate.ok.mean() >= 0.9, structure
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
STUDIES = """
traced = jm.frontier(market)
assert np.isfinite(traced.revenue).all() and float(traced.error) <= 1e-4 * float(traced.revenue.max())
table = jm.sensitivity(market, 0.5)
assert np.isfinite(table.value).all()
swept = jm.sweep(market, [0.0, 0.5, 1.0], {"all.risk_capacity.factor": [0.5, 1.0, 2.0]}, progress=False)
assert (swept.status == 0).all() and swept.attrs["precision"] == "float32"
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
    run(WITHOUT_X64.replace("STUDIES", ""))


@pytest.mark.slow
def test_frontiers_sensitivities_and_sweeps_work_in_float32():
    run(WITHOUT_X64.replace("STUDIES", STUDIES))
