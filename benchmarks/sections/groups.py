"""Time by number of groups

Every trader is a group of his own, with his own truncated normal law and risk capacity. Work grows with their number,
not with its square: four numbers a trader, no matrix. `Alone` is one market in one call; `in a batch` has so many
markets that there are 100,000 traders in all, 10,000 at a time.
"""

import jax.numpy as jnp
from harness import Measured, exponent, medians, plot, table
from main_case import chunked, multipliers, random_markets, require_proved

LINEAR_FROM = 100
NAMES = ("alone, float64", "alone, float32", "in a batch, float64")


def measured(quick=False):
    sizes = (2, 100) if quick else (2, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
    traders, patience = (1_000, 0.01) if quick else (100_000, 0.5)
    rows = {groups: microseconds(groups, traders, patience) for groups in sizes}
    series = {name: [(groups, row[name]) for groups, row in rows.items()] for name in NAMES}
    large = [groups for groups in sizes if groups >= LINEAR_FROM]
    growth = exponent(large, [rows[groups][NAMES[2]] for groups in large])
    shown = [[groups, *(row[name] for name in NAMES)] for groups, row in rows.items()]
    return Measured(
        [table(["traders N", *(f"{name}, µs a market" for name in NAMES)], shown)],
        [plot("groups", "distinct traders", "µs a market", series)],
        [f"Growth exponent in a batch from N = {LINEAR_FROM} on: {growth:.2f} (1: linear)."],
        {
            "exponent in traders": growth,
            "most traders": sizes[-1],
            "seconds of the largest market": rows[sizes[-1]][NAMES[0]] / 1e6,
        },
    )


def microseconds(groups, traders, patience):
    """Microseconds a market of one size."""
    one, many = random_markets(1, groups), random_markets(max(1, traders // groups), groups)
    require_proved(*one)
    calls = {
        NAMES[0]: chunked(multipliers, *one),
        NAMES[1]: chunked(multipliers, *random_markets(1, groups, dtype=jnp.float32)),
        NAMES[2]: chunked(multipliers, *many, chunk=max(1, traders // 10 // groups)),
    }
    times = medians(calls, patience)
    times[NAMES[2]] /= many[1].shape[-1]
    return {name: 1e6 * time for name, time in times.items()}
