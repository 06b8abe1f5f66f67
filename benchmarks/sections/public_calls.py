"""What people write

Twenty thousand markets of five distinct truncated normal traders in float64, through the public functions:
`Market.of`, `solve` (budget included), `outcomes` and `certify` of one market under `jax.vmap`, and the same with the
batch behind the groups; a thousand markets a call. Beside them optimistix, a vmapped dense Newton on the paper's 4N
unknowns, which finds the multipliers alone. Then one market of a million distinct traders, from NumPy arrays to its
certificate, compiled.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from harness import Measured, repeated, require, table
from main_case import market_of
from peers import Case, optimistix, require_same

import jaxmech as jm

TRADERS, CHUNK, MANY = 5, 1000, 1_000_000
PEER = "optimistix: multipliers"


def measured(quick=False):
    markets, chunk, many, patience = (500, 500, 1_000, 0.01) if quick else (20_000, CHUNK, MANY, 8.0)
    arrays, weight = random_arrays(markets)
    answer = jm.solve(market_of(*arrays), weight)
    case = Case(arrays, weight, answer.eta, answer.ends)
    front = (*(array.T for array in arrays), weight)
    calls = {
        PEER: optimistix(case, chunk),
        "vmap: solve, outcomes": pieces(jax.vmap(point), front, chunk),
        "vmap: solve, outcomes, certify": pieces(jax.vmap(certified), front, chunk),
        "batch behind: solve, outcomes": pieces(behind(point_of), front, chunk),
        "batch behind: solve, outcomes, certify": pieces(behind(certified_of), front, chunk),
    }
    require_same(calls[PEER](), case, "optimistix")
    require(all(bool(jnp.all(ok)) for *_, ok in calls["vmap: solve, outcomes, certify"]()), "not certified")
    times = dict(zip(calls, repeated(list(calls.values()), patience).T / markets * 1e6, strict=True))
    rows = [[name, float(np.median(time)), float(np.median(times[PEER] / time))] for name, time in times.items()]
    seconds, door = million(many)
    _, (_, point_time, point_ratio), (_, proof_time, proof_ratio), *_ = rows
    _, *ours = times.values()
    over = [float(np.median(vmapped / behind)) for vmapped, behind in zip(ours[:2], ours[2:], strict=True)]
    return Measured(
        [table(["call", "µs a market", "optimistix takes … times as long"], rows)],
        notes=[
            f"One market of {many:,} distinct traders: {seconds:.2f} s from arrays to certificate, "
            f"of which `Market.of` {door:.2f} s."
        ],
        figures={
            "optimistix over vmap": point_ratio,
            "optimistix over vmap, certified": proof_ratio,
            "vmap over trailing axes": max(over),
            "vmapped point": point_time,
            "vmapped certified point": proof_time,
            "seconds of a million traders": seconds,
        },
    )


def random_arrays(markets, traders=TRADERS, seed=0):
    """loc, scale, lower, upper, κ, each (traders, markets), and weights at which every budget is balanced."""
    draws = np.random.default_rng(seed)
    shape = traders, markets
    loc, scale, capacity = (draws.uniform(*ends, shape) for ends in ((-0.2, 0.2), (0.4, 1.0), (0.5, 1.5)))
    arrays = [jnp.asarray(array) for array in (loc, scale, np.full(shape, -1.0), np.full(shape, 1.0), capacity)]
    return arrays, jnp.asarray(draws.uniform(0.46, 1, markets))


def mechanism(loc, scale, lower, upper, capacity, weight):
    """Of one market, as people write it."""
    return jm.solve(jm.Market.of(jm.Traders(jm.TruncatedNormal(loc, scale, lower, upper), capacity)), weight)


def point_of(found):
    achieved = jm.outcomes(found)
    return found.eta, achieved.revenue, achieved.efficiency


def certified_of(found):
    return *point_of(found), jm.certify(found).ok


def point(*arrays):
    return point_of(mechanism(*arrays))


def certified(*arrays):
    return certified_of(mechanism(*arrays))


def behind(of):
    """The same of markets in front, turned so that the batch is behind."""
    return lambda *arrays: of(jm.solve(market_of(*(array.T for array in arrays[:-1])), arrays[-1]))


def pieces(function, arrays, size):
    """The call: the function on so many markets at a time."""
    compiled = jax.jit(function)
    parts = [[array[start : start + size] for array in arrays] for start in range(0, len(arrays[-1]), size)]
    return lambda: [compiled(*part) for part in parts]


def million(traders):
    """Seconds from arrays to the certificate of one market, the second time; and those of `Market.of`."""
    for seed in (1, 2):
        arrays, _ = random_arrays(1, traders, seed)
        loc, scale, lower, upper, capacity = (np.asarray(array)[:, 0] for array in arrays)
        began = time.perf_counter()
        market = jm.Market.of(jm.Traders(jm.TruncatedNormal(loc, scale, lower, upper), capacity))
        door = time.perf_counter() - began
        found = jm.solve(market, 0.5)
        achieved, proof = jax.block_until_ready((jm.outcomes(found), jm.certify(found)))
        seconds = time.perf_counter() - began
        require(bool(proof.ok) and bool(jnp.isfinite(achieved.revenue)), "a large market is not certified")
    return seconds, door
