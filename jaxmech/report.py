"""Reports in words: one mechanism, and a whole sweep."""

import json

import numpy as np

from jaxmech.certificate import certify
from jaxmech.double_auction import double_auction
from jaxmech.outcomes import outcomes
from jaxmech.solve import first_best, solve


def mechanism_report(mechanism) -> dict:
    """Everything a reader asks of one mechanism, as plain numbers: outcomes, groups, certificate."""
    market, achieved, certificate = mechanism.market, outcomes(mechanism), certify(mechanism)
    interval, bunches = np.asarray(mechanism.binding_interval), np.asarray(mechanism.bunching_intervals)
    groups = [
        {
            "name": name,
            "count": int(market.count[k]),
            "risk_capacity": float(market.risk_capacity[k]),
            "eta": float(mechanism.eta[k]),
            "binding_interval": [float(end) for end in interval[k]],
            "bunching_intervals": [[float(end) for end in pair] for pair in bunches[k] if pair[0] == pair[0]],
            "no_expected_trade_probability": float(achieved.no_expected_trade_probability[k]),
            "revenue": float(achieved.revenue_by_group[k]),
            "efficiency": float(achieved.efficiency_by_group[k]),
            "utility_gain": float(achieved.utility_gain_by_group[k]),
        }
        for k, name in enumerate(market.names)
    ]
    return {
        "alpha": float(mechanism.alpha),
        "weight": float(mechanism.weight),
        "budget_multiplier": float(mechanism.budget_multiplier),
        "revenue": float(achieved.revenue),
        "efficiency": float(achieved.efficiency),
        "first_best_efficiency": float(achieved.first_best_efficiency),
        "first_best_surplus": float(achieved.first_best_surplus),
        "no_trade_probability": float(achieved.no_trade_probability),
        "groups": groups,
        "certificate": {name: float(value) for name, value in certificate._asdict().items() if name != "ok"},
        "ok": bool(certificate.ok),
    }


def mechanism_text(report) -> str:
    """A report on one screen."""
    surplus = report["first_best_surplus"]
    lost = (report["first_best_efficiency"] - report["efficiency"]) / surplus
    lines = [
        f"Optimal mechanism at α = {report['alpha']:g}  (effective weight w = {report['weight']:.6g}, "
        f"budget multiplier λ = {report['budget_multiplier']:.4g})",
        f"  revenue     {report['revenue']:>14.8g}   {report['revenue'] / surplus:7.2%} of first-best gains from trade",
        f"  efficiency  {report['efficiency']:>14.8g}   first best {report['first_best_efficiency']:.8g}, "
        f"{lost:.2%} of the gains lost",
        f"  nobody trades with probability {report['no_trade_probability']:.3g}",
        "",
        f"  {'group':<18}{'traders':>8}{'η':>12}{'binding interval':>26}{'idle':>9}{'revenue':>13}{'gain':>13}",
    ]
    for group in report["groups"]:
        low, high = group["binding_interval"]
        lines.append(
            f"  {group['name']:<18}{group['count']:>8}{group['eta']:>12.5g}{f'[{low:.5g}, {high:.5g}]':>26}"
            f"{group['no_expected_trade_probability']:>9.2%}{group['revenue']:>13.6g}{group['utility_gain']:>13.6g}"
        )
    lines.append("  (idle: probability of expecting no trade; gain: expected utility gained by participating)")
    bunched = [(group["name"], pair) for group in report["groups"] for pair in group["bunching_intervals"]]
    if bunched:
        found = ", ".join(f"{name} [{low:.5g}, {high:.5g}]" for name, (low, high) in bunched)
        lines.append(f"  ironed, all types trade the same on: {found}")
    lines.append("")
    verdict = "certified" if report["ok"] else "NOT CERTIFIED"
    evidence = ", ".join(f"{name.replace('_', ' ')} {value:.1e}" for name, value in report["certificate"].items())
    return "\n".join([*lines, f"  {verdict}: {evidence}"])


def comparison(market, alpha) -> list[dict]:
    """The optimum at α beside the constrained efficient and the revenue-maximal mechanism, the first best, and the
    double auction with its fees: one row a design. The double auction is left out of markets of two traders."""
    designs = {
        f"optimal, α = {alpha:g}": solve(market, alpha),
        "constrained efficient, α = 0": solve(market, 0.0),
        "revenue-maximal, α = 1": solve(market, 1.0),
        "first best, fees and subsidy": first_best(market),
    }
    if np.sum(market.count) > 2:
        fees = {"fees by trader": "by trader", "one common fee": "common", "no fee": "none"}
        designs |= {f"double auction, {name}": double_auction(market, fee) for name, fee in fees.items()}
    rows = []
    for name, design in designs.items():
        achieved = outcomes(design)
        surplus = float(achieved.first_best_surplus)
        rows.append(
            {
                "design": name,
                "revenue": float(achieved.revenue),
                "efficiency": float(achieved.efficiency),
                "revenue_share": float(achieved.revenue) / surplus,
                "efficiency_loss": float(achieved.first_best_efficiency - achieved.efficiency) / surplus,
                "revenue_by_group": dict(zip(market.names, map(float, achieved.revenue_by_group), strict=True)),
            }
        )
    return rows


def comparison_text(rows) -> str:
    """A comparison on one screen."""
    lines = [f"{'design':<32}{'revenue':>14}{'efficiency':>14}{'revenue':>12}{'efficiency lost':>18}"]
    for row in rows:
        shares = (round(row[name], 9) + 0.0 for name in ("revenue_share", "efficiency_loss"))  # no −0.000%
        revenue = row["revenue"] if abs(row["revenue_share"]) > 1e-12 else 0.0
        lines.append(
            "{:<32}{:>14.7g}{:>14.7g}{:>12.3%}{:>18.3%}".format(row["design"], revenue, row["efficiency"], *shares)
        )
    return "\n".join([*lines, "(shares of first-best gains from trade; negative revenue is a subsidy)"])


def sweep_summary(dataset) -> dict:
    """What a sweep shows: how it went, the frontier, where the budget binds, what matters, the worst certificate."""
    status = dataset.status.values
    codes = dict(zip(dataset.status.flag_meanings.split(), dataset.status.flag_values, strict=True))
    solved = status >= 0
    good = status == codes["ok"]
    summary = {
        "points": int(status.size),
        "status": {name: int(np.sum(status == code)) for name, code in codes.items()},
        "interrupted": bool(dataset.attrs["interrupted"]),
    }
    if not good.any():
        return summary
    binds = (dataset.budget_multiplier.values > 0) & good
    gap = np.abs(np.where(good, dataset.certificate_duality_gap, 0.0))
    worst = np.unravel_index(int(np.argmax(gap)), gap.shape)
    place = dict(zip(dataset.certificate_duality_gap.dims, worst, strict=True))
    at = {name: float(value) for name, value in dataset.certificate_duality_gap[place].coords.items()}
    summary |= {
        "budget_binds_share": float(binds.sum() / good.sum()),
        "budget_weight_range": [float(np.nanmin(dataset.budget_weight)), float(np.nanmax(dataset.budget_weight))],
        "largest_alpha_where_budget_binds": float(_largest_alpha(dataset, binds)),
        "worst_duality_gap": float(gap[worst]),
        "worst_duality_gap_at": at,
        "worst_residual": float(np.nanmax(dataset.certificate_residual.values[solved & good])),
        "frontier": frontier_rows(dataset),
        "most_sensitive": most_sensitive(dataset),
    }
    return summary


def _largest_alpha(dataset, binds):
    alpha = dataset.alpha.broadcast_like(dataset.revenue).transpose(*dataset.revenue.dims).values
    return np.max(np.where(binds, alpha, 0.0))


def frontier_rows(dataset, rows=6):
    """A few points of the frontier at the market's middle parameters: α, revenue and efficiency over the surplus."""
    if "alpha" not in dataset.dims:
        return []
    middle = {name: size // 2 for name, size in dataset.revenue.sizes.items() if name != "alpha"}
    line = dataset[["revenue", "efficiency", "first_best_efficiency", "first_best_surplus", "status"]].isel(middle)
    line = line.where(line.status == 0, drop=True)
    places = np.unique(np.linspace(0, line.alpha.size - 1, rows).astype(int)) if line.alpha.size else []
    chosen = line.isel(alpha=places)
    revenue = chosen.revenue / chosen.first_best_surplus
    loss = (chosen.first_best_efficiency - chosen.efficiency) / chosen.first_best_surplus
    columns = zip(chosen.alpha.values, revenue.values, loss.values, strict=True)
    return [{"alpha": float(a), "revenue_share": float(r), "efficiency_loss": float(x)} for a, r, x in columns]


def most_sensitive(dataset, rows=6):
    """Parameters whose one-percent change moves revenue most, on average over solved points: elasticities.

    Changes of parameters that can be negative (ends of supports, means) count as one percent of the support's width.
    """
    found = []
    market = json.loads(dataset.attrs["market"])
    for name in dataset.data_vars:
        if not name.startswith("d_revenue_d_") or name == "d_revenue_d_alpha":
            continue
        field = name.removeprefix("d_revenue_d_")
        for place, (group, entries) in enumerate(market.items()):
            if field not in entries:
                continue
            unit = entries["upper"] - entries["lower"] if field in ("loc", "lower", "upper") else entries[field]
            change = np.abs(dataset[name].values[..., place] * unit) / dataset.first_best_surplus.values
            found.append({"parameter": f"{group}.{field}", "revenue_change_over_surplus": float(np.nanmean(change))})
    return sorted(found, key=lambda row: -row["revenue_change_over_surplus"])[:rows]


def sweep_text(summary, seconds=None) -> str:
    """The summary of a sweep on one screen."""
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in summary["status"].items() if number)
    rate = f" in {seconds:.1f} s ({summary['points'] / seconds:,.0f} points/s, compilation included)" if seconds else ""
    lines = [f"{summary['points']:,} points{rate}: {counts}"]
    if "worst_duality_gap" not in summary:
        return lines[0]
    low, high = summary["budget_weight_range"]
    lines += [
        f"budget binds at {summary['budget_binds_share']:.2%} of the points, up to α = "
        f"{summary['largest_alpha_where_budget_binds']:.3g}; w* from {low:.3g} to {high:.3g}",
        f"worst certificate: duality gap {summary['worst_duality_gap']:.1e} of the first-best surplus at "
        + ", ".join(f"{name} = {value:.4g}" for name, value in summary["worst_duality_gap_at"].items()),
    ]
    if summary["frontier"]:
        lines += ["", "frontier in the middle of the sweep (shares of first-best gains from trade)"]
        lines += [f"  {'α':>6}{'revenue':>12}{'efficiency lost':>18}"]
        lines += [
            f"  {row['alpha']:>6.3f}{row['revenue_share']:>12.4%}{row['efficiency_loss']:>18.4%}"
            for row in summary["frontier"]
        ]
    if summary["most_sensitive"]:
        lines += [
            "",
            "what moves revenue most (mean |∂R/∂θ|·θ over the surplus; ends and loc: times the width)",
        ]
        lines += [
            f"  {row['parameter']:<32}{row['revenue_change_over_surplus']:>10.4f}" for row in summary["most_sensitive"]
        ]
    return "\n".join(lines)
