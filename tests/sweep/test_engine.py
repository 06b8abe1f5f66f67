"""At every point a sweep gives what a direct solve gives, whatever the batches, neighbours or interruptions."""

import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.sweep import STATUS, engine, make_design, run

MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"), jm.Traders(jm.Uniform(-0.4, 0.9), 1.1, 1, "fund")
)
ALPHA = np.linspace(0.0, 1.0, 30)
CAPACITY = [0.3, 1.0, -1.0, 3.0, np.nan]
INVALID = 2


@pytest.fixture(scope="module")
def design():
    return make_design(MARKET, ALPHA, {"fund.risk_capacity": CAPACITY})


@pytest.fixture(scope="module")
def results(design):
    found, interrupted = run(design, derivatives=True, size=64)
    assert not interrupted
    return found


def good_points(design):
    return np.flatnonzero(np.isin(design.market_of(np.arange(design.points)), [0, 1, 3]))


@pytest.mark.slow
def test_every_point_equals_a_direct_solve(design, results):
    points = good_points(design)
    alpha = design.alpha_of(points)
    market = design.market_at(design.parameter_values(design.market_of(points)))
    mechanism = jm.solve(market, alpha)
    expected = jm.outcomes(mechanism)._asdict() | {"eta": mechanism.eta, "weight": mechanism.weight}
    expected |= {"budget_weight": jm.budget_weight(market), "budget_multiplier": mechanism.budget_multiplier}
    expected |= {"binding_lower": mechanism.ends[0], "binding_upper": -mechanism.ends[1]}
    for name, value in expected.items():
        np.testing.assert_allclose(
            results[name][points], np.moveaxis(value, -1, 0), rtol=1e-12, atol=1e-12, err_msg=name
        )
    assert np.all(results["status"][points] == STATUS["ok"])


def test_points_that_are_no_market_are_nan_and_say_so(design, results):
    bad = np.setdiff1d(np.arange(design.points), good_points(design))
    assert len(bad) == 60
    assert np.all(results["status"][bad] == INVALID)
    for name, value in results.items():
        if value.dtype.kind == "f":
            assert np.isnan(value[bad]).all(), name


def test_neither_padding_nor_bad_neighbours_change_a_bit(design, results):
    alone = make_design(MARKET, ALPHA, {"fund.risk_capacity": [0.3, 1.0, 3.0]})
    others, _ = run(alone, derivatives=True, size=64)
    points = good_points(design)
    for name, value in results.items():
        np.testing.assert_array_equal(value[points], others[name], err_msg=name)


@pytest.mark.slow
def test_the_size_of_a_batch_changes_rounding_only(design, results):
    others, _ = run(design, derivatives=True, size=100)
    for name, value in results.items():
        np.testing.assert_allclose(others[name], value, rtol=1e-9, atol=1e-11, err_msg=name)


def test_chunks_change_no_bit(design, results):
    """A chunk is a function of the design and its number alone; here one of 7 α and 2 markets."""
    cut = replace(design, chunk_shape=(7, 2))
    assert cut.chunks == 15
    others, _ = run(cut, derivatives=True, size=64)
    for name, value in results.items():
        np.testing.assert_array_equal(others[name], value, err_msg=name)


DEVICES = """
import hashlib, jax, numpy as np
jax.config.update("jax_enable_x64", True)
import jaxmech as jm
from jaxmech.sweep import make_design, run
law = jm.Uniform(np.array([-1.0, -0.4]), np.array([1.3, 0.9]))
market = jm.Market.of(jm.Traders(law, np.array([0.7, 1.1]), np.array([2, 1])))
results, _ = run(make_design(market, np.linspace(0, 1, 30), {"all.count.factor": [1, 2, 3, 4, 0, 6, 7]}), size=64)
every_byte = b"".join(results[name].tobytes() for name in sorted(results))
print(jax.local_device_count(), hashlib.sha256(every_byte).hexdigest())
"""


@pytest.mark.slow
def test_two_devices_give_the_bytes_of_one():
    """210 points, four micro-batches, the last of 18."""
    digests = []
    for devices in ("1", "2"):
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": devices}
        done = subprocess.run([sys.executable, "-c", DEVICES], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        used, digest = done.stdout.split()
        assert used == devices
        digests.append(digest)
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_derivatives_are_those_of_a_direct_solve_whether_or_not_the_budget_binds(design, results):
    def achieved(alpha, capacity, count, lower):
        law = jm.Uniform(lower, MARKET.endowment.upper[:, None])
        result = jm.outcomes(jm.solve(jm.Market(law, capacity, count), alpha))
        return jnp.stack([result.revenue[0], result.efficiency[0]])

    slopes = jax.jit(jax.jacfwd(achieved, argnums=(0, 1, 2, 3)))
    binding = results["budget_multiplier"] > 0
    assert binding[0] and not binding[5 * 15]
    for point in (0, 1, 5 * 15, 5 * 15 + 3):
        points = np.array([point])
        market = design.market_at(design.parameter_values(design.market_of(points)))
        exact = slopes(jnp.asarray(design.alpha_of(points)), market.risk_capacity, market.count, market.endowment.lower)
        for row, outcome in enumerate(("revenue", "efficiency")):
            for field, slope in zip(("alpha", "risk_capacity", "count", "lower"), exact, strict=True):
                value = results[f"d_{outcome}_d_{field}"][point]
                np.testing.assert_allclose(value, slope[row].reshape(value.shape), rtol=1e-9, atol=1e-11)


def test_fields_that_a_law_lacks_have_no_derivative():
    market = jm.Market.of(
        jm.Traders(jm.Uniform(-1.0, 1.0), 0.5), jm.Traders(jm.TruncatedNormal(0.0, 1.0, -1.0, 1.0), 0.5)
    )
    batch = jax.tree.map(lambda leaf: leaf[..., None], market)
    rows = engine._rows_by_field(batch)
    assert np.isnan(rows["scale"]).tolist() == [[True], [False]]
    assert rows["lower"].tolist() == [[-1.0], [-1.0]]


def fake_evaluate(monkeypatch, interrupt_at=None):
    """Replace the compiled evaluation of batches, so that nothing is compiled, by one that Ctrl-C hits."""
    calls = []

    def point_results(market, parameters, derivatives, alpha, floor, values, hurry=None):
        if not isinstance(alpha, jax.core.Tracer):
            calls.append(alpha)
            if len(calls) == interrupt_at:
                raise KeyboardInterrupt
        return {"revenue": 2 * alpha, "certificate_ok": alpha >= 0, "steps": jnp.ones_like(alpha)}

    monkeypatch.setattr(engine, "point_results", point_results)
    monkeypatch.setattr(engine, "_weight_floors", lambda market, parameters, values: np.zeros(values.shape[1]))


def test_an_interruption_keeps_the_chunks_that_are_done(monkeypatch):
    fake_evaluate(monkeypatch, interrupt_at=2)
    design = replace(make_design(MARKET, np.linspace(0, 1, 150)), chunk_shape=(64, 1))
    results, interrupted = run(design, size=64, progress=False)
    assert interrupted
    assert results["status"].tolist() == [0] * 64 + [STATUS["not_computed"]] * 86
    np.testing.assert_array_equal(results["revenue"], np.where(np.arange(150) < 64, 2 * design.alpha, np.nan))


def test_a_sweep_without_a_single_market_returns_without_solving(monkeypatch):
    fake_evaluate(monkeypatch)
    results, interrupted = run(make_design(MARKET, [0.1, 0.2], {"fund.risk_capacity": [0.0, -1.0]}), progress=False)
    assert not interrupted
    assert results["status"].tolist() == [INVALID] * 4


def test_a_sweep_compiles_once_whatever_the_values():
    over = {"fund.risk_capacity": [0.7, 1.3]}
    jm.sweep(MARKET, [0.2, 0.4], over, progress=False)
    compiled = engine.point_results.programs()
    jm.sweep(MARKET, [0.3, 0.6], {"fund.risk_capacity": [0.9, 1.9]}, progress=False)
    assert engine.point_results.programs() == compiled
