"""The paper's four figures, for any market: blue is optimal, red first best, black the double auction.

Money is in the unit of holding costs, asset units² per unit of risk capacity.
"""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

import jaxmech as jm

# Line and marker tell the designs apart where colours do not print.
OPTIMAL = {"color": "#1f4fb4", "lw": 2.0}
HALF_WAY = {"color": "#6f93dd", "lw": 1.5}
FIRST_BEST = {"color": "#d62728", "ls": "--", "lw": 1.5}
DOUBLE_AUCTION = {"color": "black", "ls": "-.", "lw": 1.2}
_STYLE = {
    "figure.dpi": 200,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}


def save(figure, folder, name):
    """PNG and PDF; returns the PNG's name."""
    for suffix in ("png", "pdf"):
        figure.savefig(folder / f"{name}.{suffix}")
    plt.close(figure)
    return f"{name}.png"


def with_counts(market, counts):
    """A batch of markets, one a row of counts (B, G), everything else the same."""
    counts = jnp.asarray(counts, float).T
    spread = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, counts.shape[1])), market)
    return jm.Market(spread.endowment, spread.risk_capacity, counts, market.names)


def frontier(market, weights):
    """Outcomes of the mechanisms at each weight, smallest first, from w* on."""
    floor = jm.budget_weight(market)
    return jax.vmap(lambda w: jm.outcomes(jm.solve_at_weight(market, w)))(floor + (1 - floor) * weights)


def interim_allocations(market, title, unit):
    """Figure 1: what each type expects to buy, one panel a group."""
    designs = [
        ("optimal, α = 1", jm.solve(market, 1.0), OPTIMAL),
        ("optimal, α = ½", jm.solve(market, 0.5), HALF_WAY),
        ("first best", jm.first_best(market), FIRST_BEST),
        ("double auction", jm.double_auction(market), DOUBLE_AUCTION),
    ]
    law, groups = market.endowment, market.groups
    z = law.lower + jnp.linspace(0, 1, 801)[:, None] * law.width
    with plt.rc_context(_STYLE):
        columns = min(groups, 2)
        rows = -(-groups // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(3.6 * columns if groups > 1 else 4.4, 2.9 * rows))
        panels = np.atleast_1d(panels).ravel()
        for group, axes in enumerate(panels):
            for label, design, style in designs:
                axes.plot(z[:, group], design.interim_allocation(z)[:, group], label=label, **style)
            name = market.names[group].replace("_", " ")
            if groups > 1:
                axes.set_title(f"{name} (κ = {float(market.risk_capacity[group]):.3g})", fontsize=9)
            axes.axhline(0, color="grey", lw=0.5)
            axes.set_xlabel(f"endowment Z ({unit})")
            axes.set_ylabel(f"E[X | Z] ({unit})")
        panels[0].legend()
        figure.suptitle(title, fontsize=9)
    return figure


def frontier_figure(market, title):
    """Figure 2: revenue against efficiency, with first best and the double auction with and without fees."""
    points = frontier(market, jnp.linspace(0, 1, 301) ** 3)
    best = jm.outcomes(jm.first_best(market))
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.6, 3.4))
        auctions = [
            (marker, label, jm.outcomes(jm.double_auction(market, fee)))
            for fee, marker, label in (
                ("by trader", "s", "double auction, largest fee for each trader"),
                ("common", "^", "double auction, largest common fee"),
                ("none", "o", "double auction, no fee"),
            )
            if fee != "common" or market.groups > 1
        ]
        panels = [axes]
        near, far = float(best.efficiency - auctions[0][2].efficiency), float(np.ptp(points.efficiency))
        if near < 0.02 * far:
            panels.append(axes.inset_axes([0.12, 0.44, 0.4, 0.3]))
            top = 3 * float(auctions[0][2].revenue)
            panels[1].set(xlim=(best.efficiency - 3 * near, best.efficiency + near), ylim=(-0.15 * top, top))
            panels[1].tick_params(labelsize=7)
            panels[1].xaxis.set_major_locator(MaxNLocator(3))
        for panel in panels:
            panel.plot(points.efficiency, points.revenue, label="frontier, optimal for some α", **OPTIMAL)
            panel.plot(best.efficiency, best.revenue, "D", color="#d62728", label=_first_best_label(best), zorder=4)
            for marker, label, point in auctions:
                face = "none" if marker == "o" else "black"
                panel.plot(point.efficiency, point.revenue, marker, color="black", mfc=face, label=label, zorder=3)
        axes.set_xlabel("efficiency, −expected holding costs (money)")
        axes.set_ylabel("expected revenue (money)")
        axes.legend(loc="lower left")
        axes.set_ylim(bottom=min(0.0, float(best.revenue)) - 0.06 * float(points.revenue[-1]))
        axes.set_title(title, fontsize=9)
    return figure


def _first_best_label(best):
    return (
        "first best" if float(best.revenue) >= -1e-12 else f"first best, needs a subsidy of {-float(best.revenue):.3g}"
    )


def by_number_of_traders(market, counts):
    """Revenue-maximal mechanism, first best and double auction in markets of growing size: N and three Outcomes."""
    markets = with_counts(market, counts)
    traders = np.sum(counts, axis=1)
    designs = jm.solve(markets, 1.0), jm.first_best(markets), jm.double_auction(markets)
    return traders, *(jm.outcomes(design) for design in designs)


def revenue_by_traders(growth, title, limits=()):
    """Figure 3: revenue per trader and in total; `growth` from by_number_of_traders."""
    traders, optimal, _, auction = growth
    with plt.rc_context(_STYLE):
        figure, (per_trader, altogether) = plt.subplots(1, 2, figsize=(7.0, 2.9))
        altogether.set_yscale("log")
        for axes, per in ((per_trader, traders), (altogether, 1)):
            axes.plot(traders, optimal.revenue / per, marker="o", ms=3, label="optimal, α = 1", **OPTIMAL)
            axes.plot(traders, auction.revenue / per, marker="s", ms=3, label="double auction, fees", **DOUBLE_AUCTION)
            _traders_axis(axes, traders)
        per_trader.set_ylabel("revenue per trader (money)")
        altogether.set_ylabel("revenue of all traders (money)")
        altogether.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        altogether.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        altogether.yaxis.set_minor_formatter(NullFormatter())
        for axes, (value, text), place in zip((per_trader, altogether), limits, (0, -1), strict=False):
            axes.axhline(value, color="grey", lw=0.8, ls=":")
            side, drop = ("left", -10) if place == 0 else ("right", 3)
            axes.annotate(text, (traders[place], value), xytext=(0, drop), textcoords="offset points", ha=side)
        per_trader.legend()
        figure.suptitle(title, fontsize=9)
    return figure


def holding_cost_by_traders(growth, title, limit=None):
    """Figure 4: expected holding cost per trader after trade."""
    traders, optimal, best, auction = growth
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.6, 3.2))
        axes.plot(traders, -optimal.efficiency / traders, marker="o", ms=3, label="optimal, α = 1", **OPTIMAL)
        axes.plot(traders, -best.efficiency / traders, marker="D", ms=3, label="first best", **FIRST_BEST)
        axes.plot(traders, -auction.efficiency / traders, marker="s", ms=3, label="double auction", **DOUBLE_AUCTION)
        if limit:
            axes.axhline(limit[0], color="grey", lw=0.8, ls=":")
            axes.annotate(limit[1], (traders[-1], limit[0]), xytext=(0, -9), textcoords="offset points", ha="right")
        _traders_axis(axes, traders)
        axes.set_ylabel("holding cost per trader (money)")
        axes.set_ylim(bottom=0)
        axes.legend()
        axes.set_title(title, fontsize=9)
    return figure


def _traders_axis(axes, traders):
    axes.set_xscale("log")
    marks = [n for n in (3, 5, 10, 20, 50, 100, 200, 500) if traders[0] <= n <= traders[-1]]
    axes.set_xticks(marks, [str(n) for n in marks])
    axes.minorticks_off()
    axes.set_xlabel("number of traders N")
