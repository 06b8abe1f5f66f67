"""On a GPU

The multipliers of the main case in float64, the whole batch in one piece on the accelerator and 2,000 at a time on the
CPU beside it, the same markets to both. Floors: special functions as above, measured on the device, and memory traffic:
inputs, outputs and the loop's state, read and written once a step, over the bandwidth that a copy reaches.

What is known without one is the program that is lowered for CUDA, of a vmapped certified point of two groups: its
operations, loops, calls of anything else than what the compiler makes, special functions (bodies of loops counted
once), bytes of a market that go in and out, and bytes that the loops carry from pass to pass.
"""

import re
from functools import partial
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from harness import Measured, medians, plot, require, table
from main_case import (
    TRADERS,
    chunked,
    multipliers,
    passes,
    random_markets,
    require_proved,
    special_functions,
    special_points,
)

import jaxmech as jm
from jaxmech.optimum import pieces
from sections.laws import LAWS, Draws

LOWERED = ("Uniform", "TruncatedNormal", "Beta", "Triangular", "Histogram of 10 bins", "Mixture of two normals, ironed")
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CPU_LARGEST = 1_000_000
AGREEMENT = 1e-11
COLUMNS = ["markets B", "GPU, ns a market", "CPU, ns a market", "solves a second on the GPU", "largest difference"]
STATE = 4 * (1 + 2 + 2) + 3  # η, the ends and their last move, doubled where a step reads and writes; three scalars


def accelerators():
    return [device for device in jax.devices() if device.platform != "cpu"]


def measured(quick=False, device=None):
    found, program = [device] if device else accelerators(), lowered(LOWERED[:1] if quick else LOWERED)
    if not found:
        columns = [*COLUMNS, "floors, ns a market"]
        return Measured([table(columns, [["not measured: no GPU here"] + [None] * (len(columns) - 1)]), program])
    on_it = on_device(found[0], (100, 1_000) if quick else SIZES, 0.01 if quick else 1.0)
    return on_it._replace(tables=[*on_it.tables, program])


def lowered(names, markets=1000):
    """What is known of the program that is lowered for CUDA, a row a law."""

    def certified(market, weight):
        mechanism = jm.solve(market, weight)
        return jm.outcomes(mechanism), jm.certify(mechanism)

    rows = []
    for name in names:
        draws = Draws(markets)
        market = jm.Market(LAWS[name](draws), draws(0.3, 3), jnp.full((2, markets), 3.0))
        front = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), market), jnp.full(markets, 0.5)
        with mock.patch.object(pieces, "_HELD", np.inf):  # pieces are for CPUs
            traced = jax.jit(jax.vmap(certified)).trace(*front)
        program = traced.lower(lowering_platforms=("cuda",))
        text, cost = program.as_text(), program.cost_analysis()
        state = list(carried(traced.jaxpr.jaxpr))
        moved = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((front, traced.out_info)))
        row = [len(re.findall(r"stablehlo\.\w+", text)), len(state), len(re.findall(r"custom_call @\w+", text))]
        rows.append([name, *row, *(round(part / markets) for part in (cost["transcendentals"], moved, sum(state)))])
    columns = ["law", "operations", "loops", "other calls", "special functions", "bytes in and out", "carried"]
    return table(columns, rows)


def carried(jaxpr):
    """Bytes that each loop of a jaxpr carries."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("while", "scan"):
            yield sum(variable.aval.size * variable.aval.dtype.itemsize for variable in equation.outvars)
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from carried(inner)


def on_device(device, sizes, patience):
    rows = [row_of(device, markets, patience) for markets in sizes]
    ahead = [markets for markets, gpu, cpu, *_ in rows if cpu is not None and gpu < cpu]
    special, traffic, steps = floors(device, sizes[-1], patience)
    crossover = f"from batches of {ahead[0]:,} on" if ahead else "at no size measured"
    notes = [
        f"{device.device_kind}: ahead of the CPU {crossover}.",
        f"Floors at {sizes[-1]:,} markets, {steps:.2f} steps each: special functions {special:.3g} ns a market, memory "
        f"traffic {traffic:.3g} ns.",
    ]
    series = {name: [(row[0], row[place]) for row in rows] for place, name in ((1, "GPU"), (2, "CPU"))}
    figures = {"solves a second": max(row[3] for row in rows), "apart": max(row[4] or 0.0 for row in rows)}
    return Measured(
        [table(COLUMNS, rows)], [plot("gpu", "markets in the batch", "ns a market", series)], notes, figures
    )


def row_of(device, markets, patience):
    """Nanoseconds a market on both, and how far the answers are apart."""
    point = random_markets(markets)
    there = jax.device_put(point, device)
    calls = {"device": chunked(multipliers, *there, chunk=markets)}
    compared = markets <= CPU_LARGEST
    if compared:
        calls["cpu"] = chunked(multipliers, *point)
    times = {name: 1e9 * time / markets for name, time in medians(calls, patience).items()}
    eta, ends, error, _ = jax.device_put(calls["device"](), jax.devices("cpu")[0])
    require(float(jnp.max(error)) <= 1e-9, f"the device's error is {float(jnp.max(error)):.1e}")
    apart = None
    if compared:
        require_proved(*point)
        expected = calls["cpu"]()
        apart = max(float(jnp.max(jnp.abs(a - b))) for a, b in zip((eta, ends), expected[:2], strict=True))
        require(apart <= AGREEMENT, f"CPU and GPU differ by {apart:.1e}")
    return [markets, times["device"], times.get("cpu"), 1e9 / times["device"], apart]


def floors(device, markets, patience):
    """Nanoseconds a market: special functions alone, memory traffic alone; and mean steps."""
    point = jax.device_put(random_markets(markets), device)
    steps = chunked(multipliers, *point, chunk=markets)()[3]
    points = jax.device_put(special_points(TRADERS, markets), device)
    copied = jnp.ravel(points)
    calls = {"special": partial(jax.jit(special_functions), points), "copy": partial(jax.jit(lambda x: x + 1), copied)}
    times = medians(calls, patience)
    bandwidth = 2 * copied.nbytes / times["copy"]  # bytes a second, read and written
    numbers = TRADERS * (5 + 3) + 3 + TRADERS * STATE * passes(steps)
    return 1e9 * passes(steps) * times["special"] / markets, 1e9 * 8 * numbers / bandwidth, float(jnp.mean(steps))
