"""Where the time goes

Twenty thousand markets of five distinct truncated normal traders in float64, beside the floor: the least that special
functions cost. Each pass of the loop needs F and f at both ends of every trader's interval, one erf and one exp each,
whatever else it does; a market needs its steps, one pass which finds that all is done, and one evaluation at the top of
the support. The floor has that many of each and nothing else, measured on the same machine in the same rounds. Markets
of a chunk go on until the last of them has ended: that is what `idle` counts.

Then the public functions, law by law, two groups of three traders and α = 0.4, each part compiled by itself from what
the one before gave: the market prepared, `solve_at_weight` and `solve`, which prepare it too, `outcomes`, `certify`;
and `solve`, `outcomes` and `certify` as one program, with the batch behind the groups and under `vmap`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from harness import Measured, repeated, require, table
from main_case import (
    CHUNK,
    CHUNKS,
    POINT_CHUNK,
    TRADERS,
    chunked,
    first_derivatives,
    full_point,
    in_chunks,
    multipliers,
    multipliers_and_outcomes,
    passes,
    random_markets,
    require_proved,
    special_functions,
    special_points,
)

import jaxmech as jm
from sections.laws import LAWS, Draws

MARKETS = 20_000
PUBLIC = {"Uniform": 1000, "TruncatedNormal": 1000, "Beta": 1000} | dict.fromkeys(
    ("Triangular", "Kumaraswamy", "Histogram of 10 bins", "Mixture of two normals, ironed"), 200
)


def measured(quick=False):
    markets, chunks = (500, (500,)) if quick else (MARKETS, CHUNKS)
    patience = 0.01 if quick else 8.0
    market, weight = random_markets(markets)
    require_proved(market, weight)
    steps = np.asarray(multipliers_of(market, weight, chunks[0])[3])
    parts, figures = components(market, weight, steps, patience)
    sizes = by_chunk(market, weight, steps, chunks, patience)
    histogram = zip(*np.unique(steps, return_counts=True), strict=True)
    counts = [[int(taken), int(number), f"{number / markets:.2%}"] for taken, number in histogram]
    return Measured(
        [
            table(["part", "µs a market", "over multipliers"], parts),
            table(["markets a chunk", "multipliers, µs a market", "steps of its slowest, mean", "idle"], sizes),
            table(["steps", "markets", "share"], counts),
            by_law({"Uniform": 4} if quick else PUBLIC, 0.2 * patience),
        ],
        notes=[
            f"Mean {steps.mean():.2f} steps, largest {steps.max()}. In the first table multipliers are found for "
            f"{CHUNK:,} markets at a time, the rest for {POINT_CHUNK}."
        ],
        figures=figures,
    )


def multipliers_of(market, weight, chunk):
    return in_chunks(multipliers, chunk)(market, weight)


def components(market, weight, steps, patience):
    """Rows of what a full point and its derivatives consist of, and the figures that are marked."""
    markets = weight.shape[-1]
    chunk, few = min(CHUNK, markets), min(POINT_CHUNK, markets)
    mechanism = in_chunks(jm.solve_at_weight, chunk)(market, weight)
    calls = {
        "multipliers": chunked(multipliers, market, weight),
        "one pass of erf and exp": partial(in_chunks(special_functions, chunk), special_points(TRADERS, markets)),
        "outcomes of given multipliers": partial(in_chunks(jm.outcomes, few), mechanism),
        "certificate of given multipliers": partial(in_chunks(jm.certify, few), mechanism),
        "multipliers and outcomes": chunked(multipliers_and_outcomes, market, weight, few),
        "full point: multipliers, outcomes, certificate": chunked(full_point, market, weight, few),
        "2 × 31 first derivatives, with outcomes": chunked(first_derivatives, market, weight, few),
    }
    times = repeated(list(calls.values()), patience) / markets * 1e6
    slowest = np.mean(np.max(steps.reshape(-1, chunk), axis=1))
    times = dict(zip(calls, times.T, strict=True))
    times["floor: erf and exp alone"] = passes(steps) * times["one pass of erf and exp"]
    times["one pass of the loop, over those that the slowest of a chunk needs"] = times["multipliers"] / (slowest + 1)
    base = times["multipliers"]
    rows = [[name, float(np.median(time)), float(np.median(time / base))] for name, time in times.items()]
    ratios = {
        "multipliers over floor": base / times["floor: erf and exp alone"],
        "full point over multipliers": times["full point: multipliers, outcomes, certificate"] / base,
    }
    figures = {name: float(np.median(ratio)) for name, ratio in ratios.items()}
    return rows, figures | {"multipliers": rows[0][1], "floor": float(np.median(times["floor: erf and exp alone"]))}


def by_chunk(market, weight, steps, chunks, patience):
    """Rows by markets a chunk: time, steps of its slowest, and the share of passes in which a market waits."""
    calls = [partial(multipliers_of, market, weight, chunk) for chunk in chunks]
    times = np.median(repeated(calls, 0.5 * patience), axis=0) / len(steps) * 1e6
    slowest = [float(np.mean(np.max(steps.reshape(-1, chunk), axis=1))) for chunk in chunks]
    return [
        [chunk, float(time), most, f"{1 - (steps.mean() + 1) / (most + 1):.0%}"]
        for chunk, time, most in zip(chunks, times, slowest, strict=True)
    ]


def by_law(laws, patience):
    """µs a market of the public functions for so many markets of each law."""
    parts = ["prepared", "at a weight", "solve", "outcomes", "certify", "all three", "all three, vmap"]
    rows = [[name, markets, *public_times(LAWS[name], markets, patience)] for name, markets in laws.items()]
    return table(["law, µs a market", "markets", *parts], rows)


def public_times(law, markets, patience):
    draws, alpha = Draws(markets), jnp.full(markets, 0.4)
    market = jm.Market(law(draws), draws(0.3, 3), jnp.full((2, markets), 3.0))
    front = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), market)
    mechanism = jm.solve(market, alpha)

    def all_three(market, alpha):
        found = jm.solve(market, alpha)
        return jm.outcomes(found), jm.certify(found)

    calls = [
        partial(jax.jit(lambda market: market.prepared()), market),
        *(partial(jax.jit(function), market, alpha) for function in (jm.solve_at_weight, jm.solve)),
        *(partial(jax.jit(function), mechanism) for function in (jm.outcomes, jm.certify)),
        partial(jax.jit(all_three), market, alpha),
        partial(jax.jit(jax.vmap(all_three)), front, alpha),
    ]
    require(bool(jnp.all(calls[-1]()[1].ok)), "some mechanisms are not certified")
    return [float(time) for time in np.median(repeated(calls, patience), axis=0) / markets * 1e6]
