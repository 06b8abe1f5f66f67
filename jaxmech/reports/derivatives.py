"""Frontiers beside other designs, as plain numbers and in words, for the command."""

import numpy as np

from jaxmech.auctions.double_auction import double_auction
from jaxmech.optimum.first_best import first_best_money
from jaxmech.optimum.outcomes import outcomes
from jaxmech.plain import plain

_SHOWN = 9  # rows of a frontier on the screen


def frontier_designs(market) -> dict:
    """Outcomes to set beside a frontier: the double auction with the largest fees that everybody accepts."""
    if float(np.sum(market.count)) < 3:  # it has no equilibrium with two traders
        return {}
    return {"double auction with fees": outcomes(double_auction(market))}


def frontier_report(traced, designs) -> dict:
    """A traced frontier and the gaps of other designs to it, as JSON takes it."""
    best, surplus = map(float, first_best_money(traced.market))
    names = ("alpha", "weight", "revenue", "efficiency")
    gaps = {}
    for name, design in designs.items():
        gap = traced.gap(design)
        gaps[name] = {
            "revenue": float(design.revenue),
            "efficiency": float(design.efficiency),
            "gap_in_revenue": plain(gap.revenue),
            "gap_in_efficiency": plain(gap.efficiency),
        }
    return {
        **{name: plain(getattr(traced, name)) for name in names},
        "first_best_efficiency": best,
        "first_best_surplus": surplus,
        "error": plain(traced.error),
        "solves": int(traced.solves),
        "designs": gaps,
        "ok": bool(np.isfinite(traced.error)),
    }


def frontier_text(report) -> str:
    """A frontier on one screen, in shares of the first-best gains from trade."""
    surplus, best = report["first_best_surplus"], report["first_best_efficiency"]
    points = len(report["weight"])
    found = "traced" if report["ok"] else "NOT TRACED TO THE END"
    error = f", error below {report['error']:.1e} of them" if report["ok"] else ""
    lines = [
        f"Frontier {found}: {points} points, {report['solves']} solves{error}",
        f"  first-best gains from trade {surplus:.8g}; budget binds below α = {report['weight'][0]:.4g}",
        "",
        f"  {'α':>10}{'revenue':>16}{'efficiency lost':>18}{'price of 1 more efficiency':>30}",
    ]
    for k in np.unique(np.linspace(0, points - 1, _SHOWN).astype(int)):
        weight, revenue = report["weight"][k], report["revenue"][k]
        lost = (best - report["efficiency"][k]) / surplus
        price = f"{(1 - weight) / weight:.4g} of revenue" if weight > 0 else "∞"
        lines.append(f"  {report['alpha'][k]:>10.5f}{revenue / surplus:>16.4%}{lost:>18.4%}{price:>30}")
    for name, design in report["designs"].items():
        lines += ["", f"  {name}: revenue {design['revenue'] / surplus:.4%}"]
        if design["gap_in_revenue"] is not None:
            lines.append(f"    at its efficiency the frontier earns {design['gap_in_revenue'] / surplus:.4%} more")
        if design["gap_in_efficiency"] is not None:
            lines.append(
                f"    at its revenue the frontier keeps {design['gap_in_efficiency'] / surplus:.4%} more efficiency"
            )
    return "\n".join(lines)
