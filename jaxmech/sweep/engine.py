"""The sweep's engine: fixed, padded micro-batches through two compiled functions, whatever the number of points.

First w* of every market, then everything at every point at w = max(α, w*): an α-sweep finds w* once. Batches lie along
the last axis. Lanes are independent, so one pull-back of ones gives every point its own derivatives.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.budget import budget_weight
from jaxmech.certificate import certify
from jaxmech.outcomes import outcomes
from jaxmech.parameters import market_with
from jaxmech.solve import solve_at_weight

STATUS = {"not_computed": -1, "ok": 0, "certificate_failed": 1, "invalid_parameters": 2}


def batch_size(points, market):
    """Markets a call: 4,096 is the fastest measured on two cores; a GPU gets more, unmeasured.

    Small sweeps get less, and so do laws given by panels, whose tables must stay small.
    """
    largest = 4096 if jax.default_backend() == "cpu" else 65536
    numbers = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(lambda: market.law))) // market.groups
    largest = max(16, largest // (1 + numbers // 32))
    return min(largest, max(16 if numbers > 32 else 64, 1 << (points - 1).bit_length()))


@partial(jax.jit, static_argnames=("parameters", "derivatives"))
def point_results(market, parameters, derivatives, alpha, weight_floor, values):
    """Every output at a batch of points, as a flat dictionary; group arrays are (G, B).

    Args:
      market: the market that the sweep starts from.
      parameters: what is swept (static).
      derivatives: whether to add derivatives of revenue and efficiency (static).
      alpha, weight_floor: α and w*, shape (B,).
      values: parameter values, shape (parameters, B).
    """
    market = market_with(market, parameters, values)
    weight = jnp.maximum(alpha, weight_floor)
    mechanism = solve_at_weight(market, weight, alpha)
    achieved, certificate = outcomes(mechanism), certify(mechanism)
    results = achieved._asdict() | {f"certificate_{k}": v for k, v in certificate._asdict().items()}
    interval = mechanism.binding_interval
    results |= {
        "weight": weight,
        "budget_weight": weight_floor,
        "budget_multiplier": mechanism.budget_multiplier,
        "eta": mechanism.eta,
        "binding_lower": interval[:, 0],
        "binding_upper": interval[:, 1],
        "error": mechanism.error,
        "steps": mechanism.steps,
    }
    if derivatives:
        results |= _derivatives(market, alpha, weight, weight_floor)
    return results


@partial(jax.jit, static_argnames="parameters")
def _weight_floors(market, parameters, values):
    """w* of every market."""
    return budget_weight(market_with(market, parameters, values))


def _derivatives(market, alpha, weight, weight_floor):
    """d revenue and d efficiency to α and to every number of the market, at each point.

    With R(w, θ) and A(w, θ) at a given weight: where the budget binds, w = w*(θ), dw* = −R_θ/R_w, and revenue stays 0;
    elsewhere w = α. At α = w* the derivatives are those from above.
    """

    def achieved(market, weight):
        result = outcomes(solve_at_weight(market, weight))
        return result.revenue, result.efficiency

    _, pull = jax.vjp(achieved, market, weight)
    one, zero = jnp.ones_like(weight), jnp.zeros_like(weight)
    (revenue_market, revenue_weight), (efficiency_market, efficiency_weight) = pull((one, zero)), pull((zero, one))
    binds = weight_floor > alpha
    rate = jnp.where(binds, efficiency_weight / jnp.where(binds, revenue_weight, 1.0), 0.0)
    revenue_market, efficiency_market = (
        jax.tree.map(lambda r: jnp.where(binds, 0.0, r), revenue_market),
        jax.tree.map(lambda a, r: a - rate * r, efficiency_market, revenue_market),
    )
    results = {
        "d_revenue_d_alpha": jnp.where(binds, 0.0, revenue_weight),
        "d_efficiency_d_alpha": jnp.where(binds, 0.0, efficiency_weight),
    }
    for name, gradient in (("revenue", revenue_market), ("efficiency", efficiency_market)):
        for field, rows in _rows_by_field(gradient).items():
            results[f"d_{name}_d_{field}"] = rows
    return results


def _rows_by_field(market):
    """Fields of a market-shaped tree as (G, B) arrays; NaN for groups whose law lacks the field."""
    nothing = jnp.full_like(market.risk_capacity, jnp.nan)
    rows = {"risk_capacity": market.risk_capacity, "count": market.count}
    for law, start, length in market.laws():
        for name, own in law.entries().items():
            rows[name] = rows.get(name, nothing).at[start : start + length].set(own)
    return rows


def run(design, derivatives=False, size=None, progress=None):
    """Compute a design.

    Args:
      design: a Design.
      derivatives: whether to add derivatives.
      size: points a micro-batch; measured default.
      progress: None (a bar on a terminal), True or False.

    Returns:
      (results, interrupted): a dictionary of numpy arrays with points first, and whether Ctrl-C cut it short; then the
      remaining points have status "not_computed".
    """
    size = size or batch_size(design.points, design.market)
    market_size = min(size, batch_size(design.markets, design.market))
    floors = partial(_weight_floors, design.market, design.parameters)
    evaluate = partial(point_results, design.market, design.parameters, derivatives)
    weights, results = np.full(design.markets, np.nan), _empty_results(design, evaluate, size)
    with _bar(design.points, progress) as bar:
        try:
            for markets in _batches(design.markets, market_size):
                values = design.parameter_values(markets)
                values, lanes = _replaced(design.valid(np.zeros(len(markets)), values), values)
                if lanes:
                    weights[markets] = np.asarray(floors(_padded(values, market_size)))[: len(markets)]
            for points in _batches(design.points, size):
                _store(design, points, weights, evaluate, size, results)
                bar.update(len(points))
        except KeyboardInterrupt:
            return results, True
    return results, False


def _empty_results(design, evaluate, size):
    """Arrays for every output, points first, saying "not computed" everywhere."""
    lane = jax.ShapeDtypeStruct((size,), jnp.result_type(float))
    shapes = jax.eval_shape(evaluate, lane, lane, jax.ShapeDtypeStruct((len(design.parameters), size), lane.dtype))
    results = {
        name: np.full((design.points, *shape.shape[:-1]), np.nan, shape.dtype)
        for name, shape in shapes.items()
        if name not in ("certificate_ok", "steps")
    }
    steps = np.zeros(design.points, np.int16)
    return results | {"steps": steps, "status": np.full(design.points, STATUS["not_computed"], np.int8)}


def _store(design, points, weights, evaluate, size, results):
    """Evaluate one batch of points and write it into the arrays of `results`."""
    markets, alpha = design.market_of(points), design.alpha_of(points)
    values, floor = design.parameter_values(markets), weights[markets]
    good = design.valid(alpha, values)
    columns, lanes = _replaced(good, np.vstack([alpha, floor, values]))
    results["status"][points[~good]] = STATUS["invalid_parameters"]
    if not lanes:
        return
    columns = _padded(columns, size)
    batch = evaluate(columns[0], columns[1], columns[2:])
    batch = {name: np.moveaxis(np.asarray(value), -1, 0)[: len(points)] for name, value in batch.items()}
    status = np.where(batch.pop("certificate_ok"), STATUS["ok"], STATUS["certificate_failed"])
    for name, value in (batch | {"status": status}).items():
        results[name][points[good]] = value[good]


def _batches(number, size):
    for start in range(0, number, size):
        yield np.arange(start, min(start + size, number))


def _replaced(good, columns):
    """Columns that are no market overwritten by one that is, so that they cost nobody anything; and how many are."""
    return np.where(good, columns, columns[:, [int(np.argmax(good))]]), int(np.sum(good))


def _padded(values, size):
    """Last axis padded to `size` by repeating the last lane."""
    short = size - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)], mode="edge") if short else values


def _bar(points, progress):
    from tqdm import tqdm

    disable = None if progress is None else not progress  # None: shown on a terminal only
    return tqdm(total=points, unit="point", unit_scale=True, smoothing=0.1, disable=disable)
