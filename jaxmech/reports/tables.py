"""Reports in words: one mechanism, the designs of a market beside each other, and beside its frontier."""

import numpy as np

from jaxmech.arrays import on_host
from jaxmech.auctions.double_auction import double_auction
from jaxmech.optimum.certificate import certify
from jaxmech.optimum.first_best import first_best_money
from jaxmech.optimum.keeping import keeping_everybody
from jaxmech.optimum.outcomes import outcomes
from jaxmech.optimum.solve import first_best, solve
from jaxmech.plain import plain
from jaxmech.programs import compiled

_OUTCOMES = ("revenue", "efficiency", "first_best_efficiency", "first_best_surplus", "no_trade_probability")
_SHOWN = 9  # rows of a frontier on the screen


def mechanism_report(mechanism) -> dict:
    """Everything a reader asks of one mechanism, as plain numbers: outcomes, groups, certificate."""
    interval, bunches, multiplier = _shape(mechanism)
    status, besides = mechanism.status, _besides(mechanism)
    achieved, certificate, mechanism = on_host((outcomes(mechanism), certify(mechanism), mechanism))
    market, interval, bunches = mechanism.market, np.asarray(interval), np.asarray(bunches)
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
            **{name: float(values[k]) for name, values in besides.items()},
        }
        for k, name in enumerate(market.names)
    ]
    return {
        "alpha": float(mechanism.alpha),
        "weight": float(mechanism.weight),
        "budget_multiplier": float(multiplier),
        **{name: float(getattr(achieved, name)) for name in _OUTCOMES},
        **({} if mechanism.minimum_revenue is None else {"minimum_revenue": float(mechanism.minimum_revenue)}),
        "groups": groups,
        "status": status,
        "certificate": {name: float(value) for name, value in certificate._asdict().items() if name != "ok"},
        "ok": bool(certificate.ok),
    }


def _besides(mechanism):
    """What groups have besides, by name: arrays (G,)."""
    market, found = mechanism.market, {}
    if market.welfare_weight is not None:
        found = {"welfare_weight": market.welfare_weight, "weight": mechanism.group_weight, "rebate": mechanism.rebate}
    if market.option is not None:
        option, kept = market.option, keeping_everybody(mechanism)
        found |= {f"outside_{name}": getattr(option, name) for name in ("gamma", "centre", "reserve")}
        found |= {"worth_of_keeping": kept.worth, "worth_of_keeping_at": kept.endowment}
    return on_host({name: value for name, value in found.items() if value is not None})


@compiled
def _shape(mechanism):
    return mechanism.binding_interval, mechanism.bunching_intervals, mechanism.budget_multiplier


def mechanism_text(report) -> str:
    """A report on one screen."""
    if report["status"] != "optimal":
        return f"No mechanism at α = {report['alpha']:g}: {report['status']}"
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
    idle = "of expecting no trade"
    if any(group.get("outside_gamma", 0.0) for group in report["groups"]):
        idle += ", or no more than outside"
    lines.append(f"  (idle: probability {idle}; gain: expected utility gained by participating)")
    bunched = [(group["name"], pair) for group in report["groups"] for pair in group["bunching_intervals"]]
    if bunched:
        where = ", ".join(f"{name} [{low:.5g}, {high:.5g}]" for name, (low, high) in bunched)
        lines.append(f"  ironed, all types trade the same on: {where}")
    lines += _besides_text(report)
    lines.append("")
    verdict = "certified" if report["ok"] else "NOT CERTIFIED"
    evidence = ", ".join(f"{name.replace('_', ' ')} {value:.1e}" for name, value in report["certificate"].items())
    return "\n".join([*lines, f"  {verdict}: {evidence}"])


def _besides_text(report):
    """What groups have besides, a line each."""
    lines = [f"  revenue is to be at least {report['minimum_revenue']:g}"] if "minimum_revenue" in report else []
    for group in report["groups"]:
        said = []
        if "welfare_weight" in group:
            said.append(f"welfare weight {group['welfare_weight']:g}, so weight {group['weight']:.4g}")
            said += [f"a rebate of {group['rebate']:.6g} to each trader"] if group["rebate"] > 0 else []
        if group.get("outside_gamma", 0.0) or group.get("outside_reserve", 0.0):
            said.append("outside option γ = {outside_gamma:.4g}, c = {outside_centre:.4g}".format(**group))
            said[-1] += f", r = {group['outside_reserve']:.4g}" if group["outside_reserve"] else ""
        if group.get("worth_of_keeping", 0.0) < 0:
            said.append("type {worth_of_keeping_at:.4g} costs more to keep inside than it brings".format(**group))
        lines += [f"  {group['name']}: {'; '.join(said)}"] if said else []
    return lines


def comparison(market, alpha) -> list[dict]:
    """The optimum at α beside the constrained efficient and the revenue-maximal mechanism, the first best, and the
    double auction with its fees: one row a design. The double auction is left out of markets of two traders."""
    designs = {
        f"optimal, α = {alpha:g}": solve(market, alpha),
        "constrained efficient, α = 0": solve(market, 0.0),
        "revenue-maximal, α = 1": solve(market, 1.0),
        "first best, fees and subsidy": first_best(market),
    }
    if np.sum(np.asarray(market.count)) > 2:
        fees = {"fees by trader": "by trader", "one common fee": "common", "no fee": "none"}
        designs |= {f"double auction, {name}": double_auction(market, fee) for name, fee in fees.items()}
    return [{"design": name, **_compared(market, on_host(outcomes(design)))} for name, design in designs.items()]


def _compared(market, achieved):
    surplus = float(achieved.first_best_surplus)
    return {
        "revenue": float(achieved.revenue),
        "efficiency": float(achieved.efficiency),
        "revenue_share": float(achieved.revenue) / surplus,
        "efficiency_loss": float(achieved.first_best_efficiency - achieved.efficiency) / surplus,
        "revenue_by_group": dict(zip(market.names, map(float, achieved.revenue_by_group), strict=True)),
    }


def comparison_text(rows) -> str:
    """A comparison on one screen."""
    lines = [f"{'design':<32}{'revenue':>14}{'efficiency':>14}{'revenue':>12}{'efficiency lost':>18}"]
    for row in rows:
        shares = (round(row[name], 9) + 0.0 for name in ("revenue_share", "efficiency_loss"))  # no −0.000%
        revenue = row["revenue"] if abs(row["revenue_share"]) > 1e-12 else 0.0
        form = "{:<32}{:>14.7g}{:>14.7g}{:>12.3%}{:>18.3%}"
        lines.append(form.format(row["design"], revenue, row["efficiency"], *shares))
    return "\n".join([*lines, "(shares of first-best gains from trade; negative revenue is a subsidy)"])


def frontier_designs(market) -> dict:
    """Outcomes to set beside a frontier: the double auction with the largest fees that everybody accepts."""
    if float(np.sum(market.count)) < 3:  # it has no equilibrium with two traders
        return {}
    return {"double auction with fees": outcomes(double_auction(market))}


def frontier_report(traced, designs) -> dict:
    """A traced frontier and the gaps of other designs to it, as JSON takes it."""
    best, surplus = map(float, first_best_money(traced.market))
    compared = {}
    for name, design in designs.items():
        gap = traced.gap(design)
        gaps = {"gap_in_revenue": gap.revenue, "gap_in_efficiency": gap.efficiency}
        compared[name] = {"revenue": design.revenue, "efficiency": design.efficiency, **gaps}
    report = {
        **{name: getattr(traced, name) for name in ("alpha", "weight", "revenue", "efficiency")},
        "first_best_efficiency": best,
        "first_best_surplus": surplus,
        "error": traced.error,
        "solves": int(traced.solves),
        "designs": compared,
        "ok": bool(np.isfinite(traced.error)),
    }
    return plain(report)


def frontier_text(report) -> str:
    """A frontier on one screen, in shares of the first-best gains from trade."""
    surplus, best = report["first_best_surplus"], report["first_best_efficiency"]
    points = len(report["weight"])
    traced = "traced" if report["ok"] else "NOT TRACED TO THE END"
    error = f", error below {report['error']:.1e} of them" if report["ok"] else ""
    lines = [
        f"Frontier {traced}: {points} points, {report['solves']} solves{error}",
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
            kept = f"{design['gap_in_efficiency'] / surplus:.4%} more efficiency"
            lines.append(f"    at its revenue the frontier keeps {kept}")
    return "\n".join(lines)
