"""What a sweep shows, found in one pass over the chunks of its store."""

import numpy as np

from jaxmech.market.parameters import group_entries, is_location
from jaxmech.sweep.engine import STATUS
from jaxmech.sweep.view import stored_dataset

_KEPT, _SHOWN = 1000, 5  # failures in summary.json and on the screen
_GAPS = 10.0 ** np.arange(-15, -5, 2)


def sweep_summary(store, interrupted=False) -> dict:
    """What a sweep shows: how it went, the frontier, where the budget binds, what matters, the worst certificate.

    Chunks not computed so far, or damaged, are left out.
    """
    tally = _Tally(store)
    for chunk in store.sound():
        tally.add(store.read(chunk), store.design.chunk_points(chunk).ravel())
    counts = {name: int(tally.status[code]) for name, code in STATUS.items()}
    counts["not_computed"] = store.design.points - sum(counts.values())
    summary = {
        "points": store.design.points,
        "status": counts,
        "interrupted": bool(interrupted),
        "silent_nan": tally.silent,
        "failures": tally.failures,
    }
    if not counts["ok"]:
        return summary
    dataset = stored_dataset(store)
    return summary | {
        "budget_binds_share": tally.binding / counts["ok"],
        "budget_weight_range": list(tally.weights),
        "largest_alpha_where_budget_binds": tally.binding_alpha,
        "worst_duality_gap": tally.gap,
        "worst_duality_gap_at": store.design.coordinates_of(tally.gap_point),
        "duality_gaps": tally.histogram(),
        "worst_residual": tally.residual,
        "frontier": frontier_rows(dataset),
        "most_sensitive": tally.most_sensitive(),
    }


class _Tally:
    """What is counted, chunk by chunk."""

    def __init__(self, store):
        self.design = store.design
        self.status = np.zeros(len(STATUS), int)  # the last is "not computed", code −1
        self.silent, self.failures, self.binding, self.binding_alpha = 0, [], 0, 0.0
        self.gap, self.gap_point, self.residual, self.weights = -1.0, None, 0.0, (np.inf, -np.inf)
        self.gaps = np.zeros(len(_GAPS) + 1, int)
        self.changes = {}  # (group, field) → sum of elasticities, and of how many points
        self.fields = {}
        market = self.design.market
        width = np.asarray(market.endowment.upper) - np.asarray(market.endowment.lower)
        for place, (group, entries) in enumerate(zip(market.names, group_entries(market), strict=True)):
            for field, value in entries.items():
                if f"d_revenue_d_{field}" in store.columns:
                    self.fields[group, field] = place, width[place] if is_location(field) else float(value)

    def add(self, results, points):
        status = results["status"]
        np.add.at(self.status, status, 1)
        for place in np.flatnonzero(status == STATUS["certificate_failed"])[: _KEPT - len(self.failures)]:
            self.failures.append({"point": int(points[place])} | self.design.coordinates_of(points[place]))
        good = status == STATUS["ok"]
        if not good.any():
            return
        results = {name: value[good] for name, value in results.items()}
        points = points[good]
        self._add_certificates(results, points)
        binds, floor, (low, high) = results["budget_multiplier"] > 0, results["budget_weight"], self.weights
        self.binding += int(np.sum(binds))
        highest = float(np.max(self.design.alpha_of(points), where=binds, initial=0))
        self.binding_alpha = max(self.binding_alpha, highest)
        self.weights = min(low, float(np.min(floor))), max(high, float(np.max(floor)))
        for name, (place, unit) in self.fields.items():
            change = np.abs(results[f"d_revenue_d_{name[1]}"][:, place] * unit) / results["first_best_surplus"]
            known = ~np.isnan(change)
            total, number = self.changes.get(name, (0.0, 0))
            self.changes[name] = total + float(np.sum(change[known])), number + int(np.sum(known))

    def _add_certificates(self, results, points):
        told = (name for name in results if not name.startswith("d_") and name != "largest_revenue")
        plain = [results[name].reshape(len(points), -1) for name in told]
        self.silent += int(np.sum(np.isnan(np.concatenate(plain, axis=1)).any(axis=1)))
        gap = np.abs(results["certificate_duality_gap"])
        worst = int(np.argmax(gap))
        if gap[worst] > self.gap:
            self.gap, self.gap_point = float(gap[worst]), int(points[worst])
        self.gaps += np.bincount(np.searchsorted(_GAPS, gap), minlength=len(self.gaps))
        self.residual = max(self.residual, float(np.max(results["certificate_residual"])))

    def histogram(self):
        """Certified points by their duality gap over the first-best surplus."""
        names = [f"≤ {edge:.0e}" for edge in _GAPS] + [f"above {_GAPS[-1]:.0e}"]
        return {name: int(number) for name, number in zip(names, self.gaps, strict=True) if number}

    def most_sensitive(self, rows=6):
        """Parameters whose one-percent change moves revenue most, on average over solved points: elasticities.

        Changes of parameters that can be negative (ends of supports, means) count as one percent of the width.
        """
        means = {".".join(name): total / number for name, (total, number) in self.changes.items() if number}
        largest = sorted(means, key=means.get, reverse=True)[:rows]
        return [{"parameter": name, "revenue_change_over_surplus": means[name]} for name in largest]


def frontier_rows(dataset, rows=6):
    """A few points of the frontier at the market's middle parameters: α, revenue and efficiency over the surplus."""
    if "alpha" not in dataset.dims:
        return []
    middle = {name: size // 2 for name, size in dataset.revenue.sizes.items() if name != "alpha"}
    names = ["revenue", "efficiency", "first_best_efficiency", "first_best_surplus", "status"]
    line = dataset[names].isel(middle).load()
    line = line.where(line.status == 0, drop=True)
    places = np.unique(np.linspace(0, line.alpha.size - 1, rows).astype(int)) if line.alpha.size else []
    chosen = line.isel(alpha=places)
    revenue = chosen.revenue / chosen.first_best_surplus
    loss = (chosen.first_best_efficiency - chosen.efficiency) / chosen.first_best_surplus
    columns = zip(chosen.alpha.values, revenue.values, loss.values, strict=True)
    return [{"alpha": float(a), "revenue_share": float(r), "efficiency_loss": float(x)} for a, r, x in columns]


def _where(coordinates):
    return ", ".join(f"{name} = {value:.4g}" for name, value in coordinates.items())


def sweep_text(summary, seconds=None) -> str:
    """The summary of a sweep on one screen."""
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in summary["status"].items() if number)
    rate = f" in {seconds:.1f} s ({summary['points'] / seconds:,.0f} points/s, compilation included)" if seconds else ""
    lines = [f"{summary['points']:,} points{rate}: {counts}"]
    lines += [f"  not certified: {_where(one)}" for one in summary["failures"][:_SHOWN]]
    if "worst_duality_gap" not in summary:
        return "\n".join(lines)
    low, high = summary["budget_weight_range"]
    lines += [
        f"budget binds at {summary['budget_binds_share']:.2%} of the points, up to α = "
        f"{summary['largest_alpha_where_budget_binds']:.3g}; w* from {low:.3g} to {high:.3g}",
        f"worst certificate: duality gap {summary['worst_duality_gap']:.1e} of the first-best surplus at "
        + _where(summary["worst_duality_gap_at"]),
        "duality gaps: " + ", ".join(f"{number:,} {name}" for name, number in summary["duality_gaps"].items()),
    ]
    if summary["silent_nan"]:
        lines += [f"{summary['silent_nan']:,} certified points hold a NaN: report this"]
    if summary["frontier"]:
        lines += ["", "frontier in the middle of the sweep (shares of first-best gains from trade)"]
        lines += [f"  {'α':>6}{'revenue':>12}{'efficiency lost':>18}"]
    for row in summary["frontier"]:
        lines += [f"  {row['alpha']:>6.3f}{row['revenue_share']:>12.4%}{row['efficiency_loss']:>18.4%}"]
    if summary["most_sensitive"]:
        lines += ["", "what moves revenue most (mean |∂R/∂θ|·θ over the surplus; ends and loc: times the width)"]
    for row in summary["most_sensitive"]:
        lines += [f"  {row['parameter']:<32}{row['revenue_change_over_surplus']:>10.4f}"]
    return "\n".join(lines)
