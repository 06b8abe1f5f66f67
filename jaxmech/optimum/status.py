"""What became of a mechanism, in words."""

from typing import Any

import numpy as np


def status_text(error: Any, largest_revenue: Any, refused: Any) -> str:
    """ "optimal", or why there is none; of a batch, how many lanes are what."""
    error, nothing = np.asarray(error), np.full(np.shape(error), np.nan)
    largest, broken = (nothing if part is None else np.asarray(part) for part in (largest_revenue, refused))
    refused = broken == 1
    infeasible = np.isfinite(largest) & ~refused
    failed = ~(error < np.inf) & ~infeasible & ~refused
    found = {name: int(np.sum(lanes)) for name, lanes in _named(infeasible, refused, failed)}
    if error.ndim:
        found = {"optimal": error.size - sum(found.values())} | found
        return ", ".join(f"{number} {name}" for name, number in found.items() if number)
    said = {
        "infeasible": f"the largest revenue of any mechanism that keeps every type is {float(largest):.6g}",
        "refused": "a group with an outside option has a law that is not regular: solve_irregular finds the optimum",
        "failed": "the multiplier system was not solved",
    }
    return next((f"{name}: {said[name]}" for name, number in found.items() if number), "optimal")


def _named(*lanes):
    return zip(("infeasible", "refused", "failed"), lanes, strict=True)
