"""The sweep's engine: chunks of points through three compiled functions, whatever the number of points.

Which of them are markets, then w* of every market of a chunk, then everything at every point at w = max(α, w*): an
α-sweep finds w* once. A chunk is cut into fixed, padded micro-batches, handed round the devices of the process, all
started before the first is waited for. So every device runs the same program, and their number changes no bit; that of
lanes in a batch does, by rounding, as would one program split over devices. Batches lie along the last axis. Lanes are
independent, so one pull-back of ones gives every point its own derivatives.
"""

from functools import partial
from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.extras import progress_bar
from jaxmech.market.parameters import LEAST, group_entries, market_with
from jaxmech.optimum.budget import solve_at_known_weight, solve_within_budget
from jaxmech.optimum.certificate import certify
from jaxmech.optimum.mechanism import mechanism_of
from jaxmech.optimum.outcomes import outcomes
from jaxmech.optimum.solve import aimed
from jaxmech.programs import compiled
from jaxmech.sweep.design import numbers_a_group

_HURRIED = 128  # batches that take less time than a careful compiler saves on them
STATUS = {
    "not_computed": -1,
    "ok": 0,
    "certificate_failed": 1,
    "invalid_parameters": 2,
    "infeasible": 3,  # no mechanism that keeps every type earns the minimum revenue: see `largest_revenue`
    "refused": 4,  # an outside option and a law that is not regular (beyond §16)
}


def batch_size(points, market):
    """Markets a call: 4,096 is the fastest measured on two cores; a GPU gets more, unmeasured.

    Small sweeps get less, and so do laws given by panels, whose tables must stay small.
    """
    largest = 4096 if jax.default_backend() == "cpu" else 65536
    numbers = numbers_a_group(market)
    largest = max(16, largest // (1 + numbers // 32))
    return min(largest, max(16 if numbers > 32 else 64, 1 << (points - 1).bit_length()))


@partial(compiled, static_argnames=("parameters", "derivatives"))
def point_results(market, parameters, derivatives, alpha, weight_floor, values):
    """Every output at points of a sweep from the market, as a flat dictionary; group arrays are (G, B).

    Args:
      alpha, weight_floor: α and w*, shape (B,).
      values: of the parameters that are swept, shape (parameters, B).
    """
    market, weight = market_with(market, parameters, values), jnp.maximum(alpha, weight_floor)

    def achieved(market, alpha):
        prepared, floor = aimed(market, market.prepared(), alpha)
        if market.welfare_weight is None:
            found = solve_at_known_weight(prepared, alpha, weight)
        else:  # another budget weight for every α
            found = solve_within_budget(prepared, floor)
        mechanism = mechanism_of(market, alpha, *found)
        reached = outcomes(mechanism)
        return (reached.revenue, reached.efficiency), (reached, mechanism)

    if derivatives:
        _, pull, (reached, mechanism) = jax.vjp(achieved, market, alpha, has_aux=True)
    else:
        _, (reached, mechanism) = achieved(market, alpha)
    results = reached._asdict() | {f"certificate_{k}": v for k, v in certify(mechanism)._asdict().items()}
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
    if mechanism.largest_revenue is not None:
        results |= {"weight": mechanism.weight, "largest_revenue": mechanism.largest_revenue}
    if mechanism.refused is not None:
        results["refused"] = mechanism.refused
    return results | (_derivatives(pull, alpha) if derivatives else {})


@partial(compiled, static_argnames="parameters")
def _weight_floors(market, parameters, values):
    """w* of every market; 1 where no mechanism earns the minimum revenue."""
    market = market_with(market, parameters, values)
    prepared, floor = aimed(market, market.prepared(), jnp.zeros_like(market.count[0]))
    return solve_within_budget(prepared, floor)[0]


def _derivatives(pull, alpha):
    """d revenue and d efficiency to α and to every number of the market, at each point, from their pull-back."""
    one, zero = jnp.ones_like(alpha), jnp.zeros_like(alpha)
    results = {}
    for name, ways in (("revenue", (one, zero)), ("efficiency", (zero, one))):
        by_market, results[f"d_{name}_d_alpha"] = pull(ways)
        if by_market.minimum_revenue is not None:
            results[f"d_{name}_d_{LEAST}"] = by_market.minimum_revenue
        for field, rows in _rows_by_field(by_market).items():
            results[f"d_{name}_d_{field}"] = rows
    return results


def _rows_by_field(market):
    """Fields of a market-shaped tree as (G, B) arrays; NaN for groups whose law lacks the field."""
    nothing, entries = jnp.full_like(market.risk_capacity[0], jnp.nan), group_entries(market)
    names = dict.fromkeys(name for row in entries for name in row)
    return {name: jnp.stack([row.get(name, nothing) for row in entries]) for name in names}


def micro_batch(design, size=None):
    """Points of a micro-batch, and markets of one in the search for w*."""
    rows, across = design.chunk_shape
    size = size or batch_size(rows * across, design.market)
    return size, min(size, batch_size(across, design.market))


def columns_of(design, derivatives, size=None):
    """Names of the results and the groups each has a number for, or 0 where it is one number a point."""
    lane = jax.ShapeDtypeStruct((micro_batch(design, size)[0],), jnp.result_type(float))
    values = jax.ShapeDtypeStruct((len(design.parameters), *lane.shape), lane.dtype)
    shapes = jax.eval_shape(partial(point_results, design.market, design.parameters, derivatives), lane, lane, values)
    told = (name for name in shapes if name not in ("certificate_ok", "refused"))
    return {name: shapes[name].shape[0] if shapes[name].ndim > 1 else 0 for name in told}


def chunk_results(design, derivatives, chunk, size=None):
    """All results at the points of one chunk: a function of its arguments alone, which are those of `run`.

    Returns:
      Dictionary of arrays, floats (points,) or (points, G), points as in `design.chunk_points`, and `status`, integers.
      Points that are no market have status "invalid_parameters" and NaN.
    """
    results = _empty_results(design.chunk_points(chunk).size, columns_of(design, derivatives, size))
    size, market_size = micro_batch(design, size)
    points, floors = design.chunk_points(chunk).ravel(), _floors(design, chunk, market_size)
    hurry = design.points <= _HURRIED * size
    evaluate = partial(point_results, design.market, design.parameters, derivatives, hurry=hurry)
    batches = list(_batches(len(points), size))
    started = [
        _started(design, points[places], floors, evaluate, size, device)
        for places, device in zip(batches, cycle(jax.local_devices()), strict=False)
    ]
    for places, (good, batch) in zip(batches, started, strict=True):
        _fill({name: values[places] for name, values in results.items()}, good, batch)
    return results


def _empty_results(points, columns):
    """Arrays for every output, points first, saying "not computed" everywhere."""
    dtype = jnp.result_type(float)
    results = {name: np.full((points, groups) if groups else points, np.nan, dtype) for name, groups in columns.items()}
    return results | {"status": np.full(points, STATUS["not_computed"], np.int8)}


def _floors(design, chunk, size):
    """(w* of the chunk's markets, number of the first), NaN where there is no market."""
    columns = design.block(chunk)[1]
    markets = np.arange(columns.start, columns.stop)
    weights = np.full(len(markets), np.nan)
    for places in _batches(len(markets), size):
        values = _padded(design.parameter_values(markets[places]), size)
        values, lanes = _replaced(design.valid(np.zeros(size), values), values)
        if lanes:
            weights[places] = _weight_floors(design.market, design.parameters, values)[: len(weights[places])]
    return weights, columns.start


def _started(design, points, floors, evaluate, size, device):
    """Which of the points are markets, and the results of their micro-batch, being computed; None without a market."""
    markets, alpha = design.market_of(points), design.alpha_of(points)
    values, (weights, first) = design.parameter_values(markets), floors
    columns = _padded(np.vstack([alpha, weights[markets - first], values]), size)
    good = design.valid(columns[0], columns[2:])
    columns, lanes = _replaced(good, columns)
    good = good[: len(points)]
    if not lanes:
        return good, None
    return good, evaluate(*jax.device_put((columns[0], columns[1], columns[2:]), device))


def _fill(results, good, batch):
    """Write one micro-batch into the arrays of `results`."""
    results["status"][~good] = STATUS["invalid_parameters"]
    if batch is None:
        return
    batch = {name: np.moveaxis(np.asarray(value), -1, 0)[: len(good)] for name, value in batch.items()}
    status = np.where(batch.pop("certificate_ok"), STATUS["ok"], STATUS["certificate_failed"])
    if "largest_revenue" in batch:
        told = np.isfinite(batch["largest_revenue"])
        status = np.where(told, STATUS["infeasible"], status)
        batch["largest_revenue"] = np.where(told, batch["largest_revenue"], np.nan)
    if "refused" in batch:
        status = np.where(batch.pop("refused"), STATUS["refused"], status)
    for name, value in (batch | {"status": status}).items():
        results[name][good] = value[good]


def run(design, derivatives=False, size=None, progress=None):
    """Compute a Design in memory.

    Args:
      derivatives: whether to add derivatives.
      size: points a micro-batch; measured default.
      progress: None (a bar on a terminal), True or False.

    Returns:
      (results, interrupted): a dictionary of numpy arrays with points first, and whether Ctrl-C cut it short; then the
      points of the remaining chunks have status "not_computed".
    """
    results = _empty_results(design.points, columns_of(design, derivatives, size))
    with progress_bar(design.points, "point", progress) as bar:
        try:
            for chunk in range(design.chunks):
                points = design.chunk_points(chunk).ravel()
                for name, value in chunk_results(design, derivatives, chunk, size).items():
                    results[name][points] = value
                bar.update(len(points))
        except KeyboardInterrupt:
            return results, True
    return results, False


def _batches(number, size):
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))


def _replaced(good, columns):
    """Columns that are no market overwritten by one that is, so that they cost nobody anything; and how many are."""
    return np.where(good, columns, columns[:, [int(np.argmax(good))]]), int(np.sum(good))


def _padded(values, size):
    """Last axis padded to `size` by repeating the last lane."""
    short = size - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)], mode="edge") if short else values
