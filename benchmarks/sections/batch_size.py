"""Time per market by batch size

Markets of five distinct truncated normal traders, B of them in one compiled call, 2,000 at a time, full points 500.
Below a thousand markets the call itself is what costs. `Multipliers` are η and the binding intervals;
`full point` adds all outcomes and the certificate. The peers solve the same markets to the same residual, as far as
waiting for them is reasonable. In float32 answers carry about five digits.
"""

from functools import partial

import jax.numpy as jnp
from harness import Measured, medians, plot, require, table
from main_case import POINT_CHUNK, chunked, full_point, is_proved, market_of, multipliers, proved, random_arrays
from peers import Case, find_root, optimistix, require_same, scipy_root

OPTIMISTIX, FIND_ROOT, SCIPY_ROOT = 10_000, 1_000, 100  # largest batches
PEERS = {
    "optimistix Newton, vmapped": (OPTIMISTIX, lambda case: optimistix(case, min(500, len(case.weight)))),
    "find_root": (FIND_ROOT, find_root),
    "scipy.optimize.root": (SCIPY_ROOT, partial(scipy_root, with_jacobian=True)),
}
OURS = ("multipliers, float64", "multipliers, float32", "full point, float64")
CLOSE, CERTIFIED = 1e-4, 100  # float32 to float64; the batch of which float32 is certified too


def measured(quick=False):
    sizes = (1, 100) if quick else (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
    patience = 0.01 if quick else 1.0
    rows = {markets: microseconds(markets, patience) for markets in sizes}
    names = [*OURS, *PEERS]
    shown = [[markets, *(row.get(name) for name in names)] for markets, row in rows.items()]
    series = {name: [(markets, row.get(name)) for markets, row in rows.items()] for name in names}
    largest = rows[sizes[-1]]
    return Measured(
        [table(["markets B", *(f"{name}, µs" for name in names)], shown)],
        [plot("batch_size", "markets in the batch", "µs a market", series)],
        figures={"microseconds a market at the largest batch": largest[OURS[0]], "largest batch": sizes[-1]},
    )


def microseconds(markets, patience):
    """Microseconds a market of everybody at one batch size."""
    arrays, weight = random_arrays(markets)
    market = market_of(*arrays)
    single = market_of(*(array.astype(jnp.float32) for array in arrays)), weight.astype(jnp.float32)
    calls = {
        OURS[0]: chunked(multipliers, market, weight),
        OURS[1]: chunked(multipliers, *single),
        OURS[2]: chunked(full_point, market, weight, POINT_CHUNK),
    }
    eta, ends, *_, proof = calls[OURS[2]]()
    require(bool(jnp.all(proved(proof))), f"{int(jnp.sum(~proved(proof)))} mechanisms are not certified")
    require_close(calls[OURS[1]]()[0], eta)
    if markets == CERTIFIED:
        share = float(jnp.mean(is_proved(*single)))
        require(share >= 0.95, f"in float32 {share:.0%} of mechanisms are certified")
    case = Case(arrays, weight, eta, ends)
    for name, (largest, peer) in PEERS.items():
        if markets <= largest:
            calls[name] = peer(case)
            require_same(calls[name](), case, name)
    return {name: 1e6 * time / markets for name, time in medians(calls, patience, least=2).items()}


def require_close(single, double):
    require(single.dtype == jnp.float32, f"float32 was asked for and {single.dtype} came")
    off = float(jnp.max(jnp.abs(single - double) / (1 + jnp.abs(double))))
    require(off <= CLOSE, f"float32 is {off:.1e} from float64")
