"""Pictures of sweeps, fees, sensitivities, frontiers, laws and mechanisms. Needs the extra `plot`."""

from itertools import cycle, pairwise
from pathlib import Path

import numpy as np

from jaxmech.endowments.binning import binned
from jaxmech.estimation.diagnostics import values_of
from jaxmech.extras import extra
from jaxmech.inputs import MarketError
from jaxmech.market.parameters import name_parts
from jaxmech.optimum.first_best import first_best_money
from jaxmech.plain import brief

with extra("plot"):
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

_MARKS = [m * 10.0**k for k in range(-6, 7) for m in (1, 2, 5)]
_SUFFIXES = (".png", ".pdf", ".svg")
_POINTS = 401  # of a curve
_MOST = 8  # lines in one picture of groups
_UP, _DOWN = "#1f4fb4", "#d9822b"
_SHARES = {
    "xlabel": "efficiency lost, % of first-best gains from trade",
    "ylabel": "revenue, % of first-best gains from trade",
}
_ENDOWMENT = "endowment, asset units"
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
    axes.set(**_SHARES)
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
    line, dashes = _good(data, names, _middle(data, others)), ("-", "--", "-.", ":")
    for axes, outcome in zip(panels, ("revenue", "efficiency"), strict=True):
        slope = line[f"d_{outcome}_d_risk_capacity"] / line.first_best_surplus
        for place, name in enumerate(line.group.values):
            style = {"ls": dashes[place % 4], "color": plt.cm.viridis(0.85 * place / max(1, line.group.size - 1))}
            axes.plot(line.alpha, slope.isel(group=place), label=in_figures(str(name)), **style)
        axes.set(xlabel="α, weight on revenue", ylabel=f"∂ {outcome}/∂κ over first-best surplus")
        axes.axhline(0, color="black", lw=0.5)
    panels[0].legend(fontsize=8)
    return figure


def fee_figures(rule, sheet, folder) -> list:
    """Side payments against quantity at the prices of their `fee_sheet`, a panel a group, and the tax with its kink.

    Returns:
      Paths of fees.png and kink.png in the folder, a PDF beside each.
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
    quantities = np.linspace(group["sizes"][0], group["sizes"][-1], _POINTS)
    columns = quantities[:, None] * np.eye(rule.market.groups)[place]
    for price, shade, dash in zip(sheet["prices"], ("#6f93dd", _UP, "black"), ("--", "-", "-."), strict=True):
        paid = rule.side_payment(np.full(quantities.size, price), columns)[:, place]
        axes.plot(quantities, paid, color=shade, ls=dash, label=f"at price {price:.3g}")
    axes.axhline(0, color="black", lw=0.5)
    axes.set(xlabel="quantity bought (asset units)", ylabel="side payment (money)")


def _kink(axes, rule, sheet, group, place):
    law, eta, line = rule.market.endowment, rule.columns.eta, rule.columns.line()
    kinks = [eta, eta] if line is None else list(line.at(eta, rule.columns.binding_interval.T))
    kinks = sorted({float(kink[place]) for kink in kinks})
    for start, end in pairwise(sorted({float(law.lower[place]), float(law.upper[place]), *kinks})):
        offers = np.linspace(start, end, _POINTS)[1:-1]
        columns = offers[:, None] * np.eye(rule.market.groups)[place]
        axes.plot(offers, rule.marginal_tax(columns)[:, place], color=_UP)
    said = "η, who expects no trade" if len(kinks) == 1 else "between them: no better than outside"
    for kink, label in zip(kinks, (said, None), strict=False):
        axes.axvline(kink, color="grey", lw=0.8, ls=":", label=label)
    axes.axhline(0, color="black", lw=0.5)
    axes.set(xlabel="offer l = −q − κp (asset units)", ylabel="marginal tax T′ (money per unit)")


def tornado_plot(sensitivity, ax, outcome, largest):
    """Bars of what one percent more of each parameter's unit does to an outcome, the longest on top.

    Parameters with a kink get both sides: one percent up, and one percent down, each with its own derivative.
    """
    row = sensitivity.outcomes.index(outcome)
    up, down = (0.01 * side[row] * sensitivity.unit for side in (sensitivity.right, -sensitivity.left))
    size = np.nan_to_num(np.fmax(np.abs(up), np.abs(down)))
    shown = [k for k in np.argsort(-size, kind="stable")[:largest] if size[k] > 1e-9 * sensitivity.scale[row]][::-1]
    names = (name_parts(sensitivity.parameters[k]) for k in shown)
    labels = [in_figures(f"{name.group}: {name.field}") if name.group else "α" for name in names]
    ax = ax or _axes(5.4, 1.0 + 0.26 * max(len(shown), 4))
    ax.barh(range(len(shown)), up[shown], color=_UP, height=0.7, label="1% up")
    ax.barh(range(len(shown)), down[shown], color=_DOWN, height=0.7, label="1% down")
    ax.set_yticks(range(len(shown)), labels)
    ax.axvline(0, color="black", lw=0.6)
    ax.grid(axis="y", visible=False)
    # In lines so short that they fit below the axes, which long names of parameters leave little room.
    said = f"""change of {in_figures(outcome)} (of {sensitivity.value[row]:.4g})
at α = {sensitivity.alpha:g}
1% of α is 0.01, of loc, lower
and upper the support's width"""
    ax.set_xlabel(said, fontsize=8, loc="right")
    ax.legend(fontsize=8, loc="lower right")
    return ax


def frontier_plot(frontier, ax, designs, band, change):
    """Revenue against efficiency lost, as shares of the first-best surplus, with the points the curve was traced by.

    Designs are outcomes by name, drawn as markers. If the parameter `band` rises and falls by `change`, the frontier
    moves, to first order, within the band.
    """
    best, surplus = map(float, first_best_money(frontier.market))

    def shares(revenue, efficiency):
        return 100 * (best - np.asarray(efficiency)) / surplus, 100 * np.asarray(revenue) / surplus

    weight = np.linspace(float(frontier.weight[0]), float(frontier.weight[-1]), _POINTS)
    ax = ax or _axes(5.0, 3.6)
    if band is not None:
        moved = frontier.shift(band)
        by, off = change * moved.revenue, change * moved.efficiency
        edges = [shares(frontier.revenue + sign * by, frontier.efficiency + sign * off) for sign in (-1, 1)]
        outline = [np.concatenate([low, high[::-1]]) for low, high in zip(*edges, strict=True)]
        ax.fill(*outline, color=_UP, alpha=0.2, lw=0, label=in_figures(f"{band} ± {change:g}"))
    ax.plot(*shares(*frontier.at_weight(weight)), color=_UP, label="frontier")
    ax.plot(*shares(frontier.revenue, frontier.efficiency), "o", color=_UP, ms=2.5, label="solved")
    for (name, design), marker in zip(designs.items(), cycle("sD^vPX"), strict=False):
        style = {"marker": marker, "color": "black", "ms": 5, "ls": "none", "label": in_figures(name)}
        ax.plot(*shares(design.revenue, design.efficiency), **style)
    ax.set(**_SHARES)
    ax.legend(fontsize=8)
    return ax


def _lines(ax, x, y, names, horizontal, vertical):
    """One line for each column of y, on the caller's axes or new ones."""
    ax = ax or _axes()
    for k in range(min(y.shape[1], _MOST)):
        ax.plot(x[:, k], y[:, k], label=in_figures(str(names[k])), lw=1.4)
    ax.set(xlabel=horizontal, ylabel=vertical)
    if y.shape[1] > 1:
        ax.legend(fontsize=8)
    return ax


def _axes(width=4.6, height=3.2):
    with plt.rc_context(STYLE):
        return Figure(figsize=(width, height)).subplots()


def _over_supports(law):
    """Types over each support, a column a group."""
    return np.linspace(np.atleast_1d(np.asarray(law.lower)), np.atleast_1d(np.asarray(law.upper)), _POINTS)


def _names(market):
    return market.names or range(1, market.groups + 1)


def law_plot(law, ax=None):
    """The density of each group's law over its support."""
    z = _over_supports(law)
    density = np.asarray(law.pdf(z if np.ndim(law.lower) else z[:, 0])).reshape(z.shape)
    names = [brief(law)] if z.shape[1] == 1 else range(1, z.shape[1] + 1)
    return _lines(ax, z, density, names, _ENDOWMENT, "density")


def mechanism_plot(mechanism, ax=None):
    """What each type expects to buy, group by group: nothing on the binding interval, or what he would buy outside."""
    market, z = mechanism.market, _over_supports(mechanism.market.endowment)
    bought = np.asarray(mechanism.interim_allocation(z))
    ax = _lines(ax, z, bought, _names(market), _ENDOWMENT, "expected purchase, asset units")
    if market.option is not None:
        outside = -np.asarray(market.option.gamma * (z - market.option.centre))
        for k in range(min(market.groups, _MOST)):
            ax.plot(z[:, k], outside[:, k], ":", lw=1, color=f"C{k}", label="_outside")
    ax.axhline(0, color="black", lw=0.6)
    return ax


def payments_plot(payments, ax=None):
    """What one trader of each group pays beside price times quantity, by the quantity bought at the expected price."""
    rule = payments.by_group()
    market, moments = rule.market, rule.design.moments
    offered = float(np.sum(np.asarray(market.count * moments.mean)))
    price = 0.0 - float(rule.price_scale) * offered / float(market.total_risk_capacity)
    prices = np.full(_POINTS, price)
    quantity = rule.demand(_over_supports(market.endowment), prices)
    paid = np.asarray(rule.side_payment(prices, quantity))
    said = "quantity bought, asset units", f"side payment at price {price:.3g}, money"
    return _lines(ax, np.asarray(quantity), paid, _names(market), *said)


def simulation_plot(simulation, ax=None):
    """How the volume of an auction is distributed."""
    ax, edges = ax or _axes(), simulation.volume_edges
    ax.stairs(simulation.volume_counts / simulation.auctions / np.diff(edges), edges, fill=True, alpha=0.6)
    ax.set(xlabel="volume of an auction, asset units", ylabel="density")
    return ax


def fit_figure(fit, path) -> Path:
    """The density over a histogram of the data, and quantiles against quantiles, as PNG, PDF or SVG; returns the path.

    Raises:
      MarketError: another suffix.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise MarketError(f"{path}: figures are written as {', '.join(_SUFFIXES)}; give a path that ends so")
    theory, data = fit.qq()
    edges, masses = binned(fit.sample, fit.lower, fit.upper)
    places = np.linspace(fit.lower, fit.upper, 512)
    (density,) = values_of(fit.law, places, "pdf")
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.2))
        left, right = figure.subplots(1, 2)
        left.stairs(masses / np.diff(edges), edges, fill=True, color="0.85", label="data")
        left.plot(places, density, color=_UP, label=in_figures(fit.family))
        left.set(xlabel="endowment (asset units)", ylabel="density")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8)
        right.plot([fit.lower, fit.upper], [fit.lower, fit.upper], color="black", lw=0.6)
        right.plot(theory, data, "o", color=_UP, ms=2.5)
        right.set(xlabel="quantile of the law", ylabel="quantile of the data")
        figure.savefig(path)
    return path
