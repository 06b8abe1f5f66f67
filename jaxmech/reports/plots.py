"""Figures of a sweep over α and up to two more parameters. Needs the extra `plot`."""

from itertools import pairwise

import numpy as np

from jaxmech.extras import extra

with extra("plot"):
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

_MARKS = [m * 10.0**k for k in range(-6, 7) for m in (1, 2, 5)]
STYLE = {
    "figure.dpi": 160,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.constrained_layout.use": True,
}


def in_figures(text):
    """Text as figures show it: blanks for underscores, and dollars that begin no formula."""
    return text.replace("_", " ").replace("$", r"\$")


def sweep_figures(dataset, folder) -> list:
    """Write the figures that a sweep's dimensions allow into a folder; returns their paths (PNG, and PDF beside it)."""
    if "alpha" not in dataset.dims or dataset.alpha.size < 2:
        return []
    others = [name for name in dataset.revenue.dims if name != "alpha"]
    with plt.rc_context(STYLE):
        figures = {"frontier": _frontier(dataset, others)}
        if others:
            figures["budget"] = _budget(dataset, others)
        if any(name.startswith("d_revenue_d_") for name in dataset.data_vars):
            figures["sensitivity"] = _sensitivity(dataset, others)
        return [written(figure, folder, name) for name, figure in figures.items()]


def _good(dataset, names, places):
    """What a figure shows, read from the disk, and NaN where no certified answer is."""
    chosen = dataset[[*names, "status"]].isel(places).load()
    return chosen.where(chosen.status == 0)


def written(figure, folder, name):
    """Path of the PNG, a PDF beside it."""
    for suffix in ("png", "pdf"):
        figure.savefig(folder / f"{name}.{suffix}")
    plt.close(figure)
    return folder / f"{name}.png"


def _middle(dataset, names):
    return {name: dataset.sizes[name] // 2 for name in names}


def _label(dataset, name):
    return in_figures(dataset[name].attrs.get("long_name", name))


def _frontier(data, others):
    """Revenue against efficiency, one line for each of five values of the last parameter; the rest in the middle."""
    figure, axes = plt.subplots(figsize=(4.6, 3.4))
    varied = others[-1:] if others else []
    places = np.unique(np.linspace(0, data.sizes[varied[0]] - 1, 5).astype(int)) if varied else [None]
    shades = plt.cm.viridis(np.linspace(0.1, 0.85, len(places)))
    for place, shade, marker in zip(places, shades, "osD^v", strict=False):
        names = ("revenue", "efficiency", "first_best_efficiency", "first_best_surplus")
        line = _good(data, names, _middle(data, others) | ({varied[0]: place} if varied else {}))
        label = f"{float(line[varied[0]]):.3g}" if varied else None
        loss = 100 * (line.first_best_efficiency - line.efficiency) / line.first_best_surplus
        gain = 100 * line.revenue / line.first_best_surplus
        axes.plot(loss, gain, color=shade, marker=marker, markevery=max(1, line.alpha.size // 8), ms=3, label=label)
    axes.set_xlabel("efficiency lost, % of first-best gains from trade")
    axes.set_ylabel("revenue, % of first-best gains from trade")
    if varied:
        axes.legend(title=_label(data, varied[0]), fontsize=8, title_fontsize=8, loc="lower right")
    return figure


def _budget(data, others):
    """w*, below which the budget binds whatever α: over one parameter, or a map over two if it moves with both."""
    figure, axes = plt.subplots(figsize=(4.6, 3.4))
    floor = _good(data, ["budget_weight"], _middle(data, others[:-2])).budget_weight.max("alpha")
    shown, moves = others[-2:], float(floor.max() - floor.min())
    still = [name for name in shown if float((floor.max(name) - floor.min(name)).max()) <= 1e-6 * moves]
    if len(shown) == 2 and still:
        shown = [name for name in shown if name != still[0]]
        floor = floor.max(still[0])
        axes.set_title(f"the same for every\n{_label(data, still[0])}", fontsize=8)
    if len(shown) == 1:
        axes.plot(floor[shown[0]], floor, color="black")
        axes.set_ylabel("w*: the budget binds for α below")
    else:
        mesh = axes.pcolormesh(
            floor[shown[1]], floor[shown[0]], floor.transpose(*shown), cmap="viridis", rasterized=True
        )
        figure.colorbar(mesh, label="w*: the budget binds for α below", format="%.1e")
        axes.set_ylabel(_label(data, shown[0]))
        _scale(axes.yaxis, floor[shown[0]].values)
    axes.set_xlabel(_label(data, shown[-1]))
    _scale(axes.xaxis, floor[shown[-1]].values)
    axes.grid(False)
    return figure


def _scale(axis, values):
    """A logarithmic axis with plain numbers where the values are evenly spaced in logarithms."""
    if _is_logarithmic(values):
        (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
        marks = [mark for mark in _MARKS if values.min() <= mark <= values.max()]
        axis.set_major_locator(FixedLocator(marks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())


def _is_logarithmic(values):
    if len(values) < 3 or np.min(values) <= 0:
        return False
    steps = np.diff(np.log(values))
    return np.allclose(steps, steps[0], rtol=1e-6) and not np.allclose(np.diff(values), values[1] - values[0])


def _sensitivity(data, others):
    """Elasticities of revenue and efficiency to each group's risk capacity along α, the rest in the middle."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.2), sharex=True)
    names = ("d_revenue_d_risk_capacity", "d_efficiency_d_risk_capacity", "first_best_surplus")
    line = _good(data, names, _middle(data, others))
    dashes = ["-", "--", "-.", ":"]
    for axes, outcome in zip(panels, ("revenue", "efficiency"), strict=True):
        slope = line[f"d_{outcome}_d_risk_capacity"] / line.first_best_surplus
        for place, name in enumerate(line.group.values):
            style = {"ls": dashes[place % 4], "color": plt.cm.viridis(0.85 * place / max(1, line.group.size - 1))}
            axes.plot(line.alpha, slope.isel(group=place), label=in_figures(str(name)), **style)
        axes.set_xlabel("α, weight on revenue")
        axes.set_ylabel(f"∂ {outcome}/∂κ over first-best surplus")
        axes.axhline(0, color="black", lw=0.5)
    panels[0].legend(fontsize=8)
    return figure


def fee_figures(rule, sheet, folder) -> list:
    """Side payments against quantity at the sheet's three prices, a panel a group; and the tax with its kink.

    Args:
      rule: SidePayments.
      sheet: its `fee_sheet`.
      folder: where fees.png, fees.pdf, kink.png and kink.pdf go.

    Returns:
      Paths of the PNG files.
    """
    by_group, paths = rule.by_group(), []
    with plt.rc_context(STYLE):
        for name, draw, corner in (("fees", _payments, "upper center"), ("kink", _kink, "upper right")):
            columns = min(2, len(sheet["groups"]))
            rows = -(-len(sheet["groups"]) // columns)
            figure, panels = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.9 * rows), squeeze=False)
            for place, (axes, group) in enumerate(zip(panels.flat, sheet["groups"], strict=False)):
                draw(axes, by_group, sheet, group, place)
                axes.set_title(in_figures(group["name"]), fontsize=9)
            for axes in panels.flat[len(sheet["groups"]) :]:
                axes.set_visible(False)
            panels.flat[0].legend(fontsize=8, loc=corner)
            paths.append(written(figure, folder, name))
    return paths


def _payments(axes, rule, sheet, group, place):
    quantities = np.linspace(group["sizes"][0], group["sizes"][-1], 401)
    columns = np.zeros((quantities.size, rule.market.groups))
    columns[:, place] = quantities
    for price, shade, dash in zip(sheet["prices"], ("#6f93dd", "#1f4fb4", "black"), ("--", "-", "-."), strict=True):
        paid = rule.side_payment(np.full(quantities.size, price), columns)[:, place]
        axes.plot(quantities, paid, color=shade, ls=dash, label=f"at price {price:.3g}")
    axes.axhline(0, color="black", lw=0.5)
    axes.set_xlabel("quantity bought (asset units)")
    axes.set_ylabel("side payment (money)")


def _kink(axes, rule, sheet, group, place):
    law, eta = rule.market.endowment, float(rule.columns.eta[place])
    ends = sorted([float(law.lower[place]), float(law.upper[place]), eta])
    for start, end in pairwise(ends):
        offers = np.linspace(start, end, 201)[1:-1]
        columns = np.zeros((offers.size, rule.market.groups))
        columns[:, place] = offers
        axes.plot(offers, rule.marginal_tax(columns)[:, place], color="#1f4fb4")
    axes.axvline(eta, color="grey", lw=0.8, ls=":", label="η, who expects no trade")
    axes.axhline(0, color="black", lw=0.5)
    axes.set_xlabel("offer l = −q − κp (asset units)")
    axes.set_ylabel("marginal tax T′ (money per unit)")
