"""A calibration in words."""


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
