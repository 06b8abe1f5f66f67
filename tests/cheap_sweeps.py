"""Sweeps whose kernel is a line of arithmetic, so that stores can be tested by the hundred; nothing is compiled."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm
from jaxmech.sweep import engine, make_design

MARKET = jm.Market.of(
    jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"), jm.Traders(jm.Uniform(-0.4, 0.9), 1.1, 1, "fund")
)


def small_design(**changes):
    """8 α, 5 values of a capacity, one of them no market, and 2 of a count: six chunks, ragged at both ends."""
    over = {"fund.risk_capacity": [0.3, 1.0, -1.0, 3.0, 4.0], "all.count.factor": [1.0, 2.0]}
    design = make_design(MARKET, np.linspace(0, 1, 8), over)
    return replace(design, **{"chunk_shape": (5, 4)} | changes)


def cheap_kernel(monkeypatch, before=lambda call: None):
    """Replace the compiled functions; `before` sees the number of each call, from 1. Returns the calls so far."""
    calls = []

    def point_results(market, parameters, derivatives, alpha, floor, values, hurry=None):
        if not isinstance(alpha, jax.core.Tracer):
            calls.append(len(calls) + 1)
            before(calls[-1])
        capacity = values[0] if len(parameters) else jnp.ones_like(alpha)
        revenue = alpha * capacity + floor
        return {
            "revenue": revenue,
            "efficiency": -revenue,
            "first_best_efficiency": 0 * revenue,
            "first_best_surplus": 1 + revenue,
            "budget_weight": floor,
            "budget_multiplier": 0 * revenue,
            "certificate_duality_gap": 1e-14 * revenue,
            "certificate_residual": 1e-16 * revenue,
            "certificate_ok": alpha < 0.99,
            "eta": jnp.stack([alpha, -capacity]),
            "steps": jnp.ones_like(alpha),
        }

    monkeypatch.setattr(engine, "point_results", point_results)
    monkeypatch.setattr(engine, "_weight_floors", lambda market, parameters, values: np.full(values.shape[-1], 0.01))
    return calls
