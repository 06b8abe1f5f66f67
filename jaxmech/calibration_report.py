"""A calibration in words and as plain numbers."""

import math

import numpy as np


def calibration_report(result) -> dict:
    """Everything a reader asks of a Calibration, as plain numbers that JSON can hold: NaN and ∞ become None."""
    report = {
        "verdict": result.verdict,
        "reached": result.reached,
        "objective": result.objective,
        "alpha": result.alpha,
        "parameters": result.parameters,
        "standard_errors": result.standard_errors,
        "correlations": None if result.correlations is None else result.correlations.tolist(),
        "outcomes": result.outcomes,
        "residuals": result.residuals,
        "rank": result.rank,
        "condition": result.condition,
        "not_identified": list(result.not_identified),
        "unseen_changes": list(result.unseen_changes),
        "at_bounds": list(result.at_bounds),
        "solutions": list(result.solutions),
        "starts": {name: np.asarray(column).tolist() for name, column in result.starts.items()},
    }
    return _plain(report)


def calibration_text(result) -> str:
    """A calibration on one screen."""
    errors = result.standard_errors or {}
    lines = [result.verdict, "", f"  {'parameter':<36}{'value':>16}{'standard error':>18}"]
    for name, value in result.parameters.items():
        error = f"{errors[name]:>18.4g}" if name in errors else f"{'':>18}"
        bound = "  at a bound" if name in result.at_bounds else ""
        lines.append(f"  {name:<36}{value:>16.9g}{error}{bound}{_identified(result, name)}")
    lines += ["", f"  {'outcome':<36}{'reached':>16}{'missed by':>18}"]
    for name, value in result.outcomes.items():
        missed = f"{result.residuals[name]:>18.2e}" if name in result.residuals else f"{'':>18}"
        lines.append(f"  {name:<36}{value:>16.9g}{missed}")
    if result.rank is not None:
        lines += ["", f"  rank {result.rank} of {len(result.parameters)}, condition {result.condition:.3g}"]
    finished = sum(status == "finished" for status in result.starts["status"])
    failed = sum(status == "failed" for status in result.starts["status"])
    lines.append(f"  {len(result.starts['status'])} starts, {finished} finished, {failed} failed")
    return "\n".join(lines)


def changes_text(change) -> str:
    """A change of parameters: "alpha +0.01, dealer.risk_capacity −0.02"."""
    shown = {name: value for name, value in change.items() if value}
    return ", ".join(f"{name} {'+' if value > 0 else '−'}{abs(value):.3g}" for name, value in shown.items())


def values_text(values):
    """Values of parameters: "alpha = 0.5, dealer.risk_capacity = 0.7"."""
    return ", ".join(f"{name} = {value:.6g}" for name, value in values.items())


def _identified(result, name):
    return "  not identified" if name in result.not_identified else ""


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
