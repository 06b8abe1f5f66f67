"""Figures of derivatives and frontiers. Needs the extra `plot`."""

from itertools import cycle

import numpy as np

from jaxmech.extras import extra
from jaxmech.market.parameters import name_parts
from jaxmech.reports.plots import STYLE, in_figures

with extra("plot"):
    import matplotlib as mpl
    from matplotlib.figure import Figure

_UP, _DOWN = "#1f4fb4", "#d9822b"
_MARKERS = "sD^vPX"


def tornado_figure(sensitivity, outcome, largest):
    """Bars of what one percent more of each parameter's unit does to an outcome, the longest on top.

    Parameters with a kink get both sides: one percent up, and one percent down, each with its own derivative.
    """
    row = sensitivity.outcomes.index(outcome)
    up, down = (0.01 * side[row] * sensitivity.unit for side in (sensitivity.right, -sensitivity.left))
    size = np.nan_to_num(np.fmax(np.abs(up), np.abs(down)))
    shown = [k for k in np.argsort(-size, kind="stable")[:largest] if size[k] > 1e-9 * sensitivity.scale[row]][::-1]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 0.8 + 0.26 * max(len(shown), 4)))
        axes = figure.subplots()
        axes.barh(range(len(shown)), up[shown], color=_UP, height=0.7, label="1% up")
        axes.barh(range(len(shown)), down[shown], color=_DOWN, height=0.7, label="1% down")
        axes.set_yticks(range(len(shown)), [_label(sensitivity.parameters[k]) for k in shown])
        axes.axvline(0, color="black", lw=0.6)
        axes.grid(axis="y", visible=False)
        # On the figure, not on the axes, which long names of parameters leave little room.
        figure.supxlabel(f"change of {in_figures(outcome)} (of {sensitivity.value[row]:.4g})", fontsize=9)
        said = f"at α = {sensitivity.alpha:g}; 1% of α is 0.01,\nof loc, lower and upper the support's width"
        figure.suptitle(said, fontsize=8)
        axes.legend(fontsize=8, loc="lower right")
    return figure


def frontier_figure(frontier, designs, band, change):
    """Revenue against efficiency lost, as shares of the first-best surplus, with the points the curve was traced by.

    Args:
      frontier: of one market.
      designs: outcomes by name, drawn as markers.
      band: name of a parameter, or None.
      change: by how much it rises and falls, in its own units: the frontier moves, to first order, within the band.
    """
    from jaxmech.optimum.first_best import first_best_money

    best, surplus = map(float, first_best_money(frontier.market))

    def shares(revenue, efficiency):
        return 100 * (best - np.asarray(efficiency)) / surplus, 100 * np.asarray(revenue) / surplus

    weight = np.linspace(float(frontier.weight[0]), float(frontier.weight[-1]), 401)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 3.6))
        axes = figure.subplots()
        if band is not None:
            moved = frontier.shift(band)
            by, off = change * moved.revenue, change * moved.efficiency
            edges = [shares(frontier.revenue + sign * by, frontier.efficiency + sign * off) for sign in (-1, 1)]
            outline = [np.concatenate([low, high[::-1]]) for low, high in zip(*edges, strict=True)]
            axes.fill(*outline, color=_UP, alpha=0.2, lw=0, label=in_figures(f"{band} ± {change:g}"))
        axes.plot(*shares(*frontier.at_weight(weight)), color=_UP, label="frontier")
        axes.plot(*shares(frontier.revenue, frontier.efficiency), "o", color=_UP, ms=2.5, label="solved")
        for (name, design), marker in zip(designs.items(), cycle(_MARKERS), strict=False):
            axes.plot(
                *shares(design.revenue, design.efficiency),
                marker,
                color="black",
                ms=5,
                ls="none",
                label=in_figures(name),
            )
        axes.set_xlabel("efficiency lost, % of first-best gains from trade")
        axes.set_ylabel("revenue, % of first-best gains from trade")
        axes.legend(fontsize=8)
    return figure


def _label(name):
    group, field, _ = name_parts(name)
    return in_figures(f"{group}: {field}") if group else "α"
