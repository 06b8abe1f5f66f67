"""Figures of beyond_the_paper.py: blue is what the exchange earns, light blue what traders gain, grey what is lost."""

from functools import wraps

import beyond_curves as curves
import matplotlib
import numpy as np
from beyond_curves import FAVOURED, GAMMAS, shares

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator

from jaxmech.reports.plots import STYLE

EXCHANGE, TRADERS, TRADING, REBATE, LOST = "#1f4fb4", "#c3d3f3", "#f3c79b", "#d9822b", "#e6e6e6"
LINES = ({"color": "#1f4fb4", "ls": "-"}, {"color": "#d9822b", "ls": "--"}, {"color": "#2a7d4f", "ls": "-."})
GAINS = "% of first-best gains from trade"
OUTSIDE = "none", "as deep as one trader", "as deep as ten"
LEGEND = {"fontsize": 8, "title": "market outside", "title_fontsize": 8, "alignment": "left"}
COLUMN, PAGE = (4.6, 3.4), (7.2, 3.2)


def styled(draw):
    """Drawn in the house's style, sharp enough for print."""

    @wraps(draw)
    def drawn():
        with plt.rc_context(STYLE | {"figure.dpi": 200, "savefig.dpi": 200}):
            return draw()

    return drawn


def stack(axes, places, parts):
    """Areas above each other, (name, size, colour); the rest up to 100 is lost."""
    low = np.zeros_like(places)
    for _, size, colour in parts:
        axes.fill_between(places, low, low + size, color=colour, lw=0)
        low = low + size
    axes.fill_between(places, low, 100, color=LOST, lw=0)
    axes.set(ylim=(0, 100), xlim=(places[0], places[-1]), ylabel=GAINS)
    axes.grid(False)


@styled
def example_1():
    """Lines in closed form, dots solved."""
    revenue, _, lost = shares(curves.example_1_outside())
    figure, (left, right) = plt.subplots(1, 2, figsize=PAGE)
    for gamma, style in zip((0.0, 0.4, 0.64), LINES, strict=True):
        at, theta = int(np.argmin(np.abs(GAMMAS - gamma))), 1 - 1.25 * gamma
        y = np.linspace(0, theta / (1 + theta), 201)
        left.plot(100 * y**2, 100 * (2 * y - (1 + 1 / theta) * y**2), label=f"γ = {gamma:g} (θ = {theta:.1g})", **style)
        left.plot(lost[at, ::8], revenue[at, ::8], "o", ms=3, color=style["color"])
    left.set(xlabel="gains lost, " + GAINS, ylabel="revenue, " + GAINS)
    theta = 1 - 1.25 * GAMMAS[:-1]
    for line, solved, name, style in (
        (theta / (1 + theta), revenue, "largest revenue", LINES[0]),
        (theta**2 / (1 + theta) ** 2, lost, "gains lost at it", LINES[1]),
    ):
        right.plot(GAMMAS[:-1], 100 * line, label=name, **style)
        right.plot(GAMMAS[:-1:8], solved[:-1:8, -1], "o", ms=3, color=style["color"])
    right.set(xlabel="γ, quality of the market outside", ylabel=GAINS, xlim=(0, 0.8), ylim=(0, None))
    left.legend(fontsize=8, loc="lower right")
    right.legend(fontsize=8)
    return figure


@styled
def outside():
    """Who gets the gains of the Treasury market beside a market of each depth, and what becomes of the fees."""
    outcomes, virtual, tax, _ = curves.treasury_outside()
    revenue, traders, _ = (part[:-3] for part in shares(outcomes))
    depths = curves.depths()[:-3]
    figure, (left, right) = plt.subplots(1, 2, figsize=PAGE)
    stack(left, depths, [("exchange", revenue, EXCHANGE), ("traders", np.sum(traders, axis=1), TRADERS)])
    left.set(
        xscale="log", xlabel="depth 1/ρ of the market outside, in average\ntraders; at the right end all others inside"
    )
    left.set_xticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    left.xaxis.set_minor_locator(NullLocator())
    left.text(0.014, 15, "exchange", color="white")
    left.text(0.014, 56, "traders")
    left.text(0.014, 86, "lost")
    for depth, style in zip(curves.SHOWN[1:], LINES[1:], strict=True):
        left.axvline(depth, lw=1.2, **style)
    for place, name, style in zip((-3, -2, -1), OUTSIDE, LINES, strict=True):
        right.plot(virtual[place, :, FAVOURED], tax[place, :, FAVOURED], label=name, **style)
    right.axhline(0, color="black", lw=0.5)
    right.set(xlabel="offer of an asset manager,\nthousand contracts", ylabel="marginal fee T′, money per thousand")
    right.set_ylim(-1.2, 1.9)
    right.legend(**LEGEND, loc="upper right")
    return figure


@styled
def welfare():
    """Who gets the gains from trade at α = ½ as those of asset managers weigh more."""
    outcomes, rebate = curves.favouring()
    order = np.argsort(curves.WELFARE)
    revenue, traders, _ = (part[order] for part in shares(outcomes))
    weights = curves.WELFARE[order]
    paid = 100 * (np.asarray(rebate)[:, FAVOURED] / np.asarray(outcomes.first_best_surplus))[order]
    favoured = traders[:, FAVOURED]
    others = np.sum(traders, axis=1) - favoured
    figure, axes = plt.subplots(figsize=COLUMN)
    parts = [("", favoured - paid, TRADING), ("", paid, REBATE), ("", others, TRADERS), ("", revenue, EXCHANGE)]
    stack(axes, weights, parts)
    axes.set(xlabel="welfare weight β of asset managers (α = ½)")
    for x, y, text, colour in (
        (0.03, 4, "asset managers, by trading", "black"),
        (0.53, 29, "asset managers, rebate", "white"),
        (0.03, 30, "other traders", "black"),
        (0.03, 72, "exchange", "white"),
        (0.53, 93, "lost", "black"),
    ):
        axes.text(x, y, text, color=colour)
    return figure


@styled
def targets():
    """What a target for revenue costs who wants efficiency alone; dots: the largest revenue that there is."""
    target, lost = curves.targets(), shares(curves.treasury_targets()[0]).lost
    figure, axes = plt.subplots(figsize=COLUMN)
    bare = slice(0, curves.FRACTIONS.size)
    for place, (name, style) in enumerate(zip(OUTSIDE, LINES, strict=True)):
        axes.plot(target[place, bare], lost[place, bare], label=name, **style)
        axes.plot(target[place, bare][-1], lost[place, bare][-1], "o", ms=4, color=style["color"], clip_on=False)
    axes.set(xlabel="revenue target, " + GAINS, ylabel="gains lost, " + GAINS, xlim=(0, 45), ylim=(0, None))
    axes.legend(**LEGEND, loc="upper left")
    return figure


@styled
def reform():
    """What types gain in the thinnest market, and what a reform that harms nobody recovers as markets grow."""
    found, types = curves.treasury_reforms(), curves.types_of(curves.treasury())[:, FAVOURED]
    figure, (left, right) = plt.subplots(1, 2, figsize=PAGE)
    gains = found.gain_after[1, 0], found.gain_before[1, 0], curves.without_promise()
    names = "reform that harms nobody", "plain double auction", "optimum without a promise"
    for gain, name, style in zip(gains, names, (LINES[0], {"color": "black", "ls": ":"}, LINES[1]), strict=True):
        left.plot(types, gain[:, FAVOURED], label=name, **style)
    left.set(
        xlabel="endowment of an asset manager,\nthousand contracts", ylabel="expected gain, money", ylim=(-0.2, 7.4)
    )
    left.legend(fontsize=8, loc="upper center")
    traders, unrealised = np.sum(curves.counts_reformed(), axis=1)[:-1], shares(found.before).lost[:, :-1]
    recovered = 100 * (1 - shares(found.after).lost[:, :-1] / unrealised)
    kept = 100 * shares(found.after).revenue[1, :-1] / unrealised[1]
    names = "recovered at α = 0", "recovered at α = 1", "revenue at α = 1"
    for line, name, style in zip((*recovered, kept), names, LINES, strict=True):
        right.loglog(traders, line, label=name, **style)
    right.set_xticks([4, 10, 20, 50, 100, 240], ["4", "10", "20", "50", "100", "240"])
    right.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    for axis in (right.xaxis, right.yaxis):
        axis.set_minor_locator(NullLocator())
    right.set(xlabel="traders, equally many of\neach category", ylabel="% of the gains the auction leaves")
    right.legend(fontsize=8)
    return figure


FIGURES = {"example_1": example_1, "outside": outside, "welfare": welfare, "targets": targets, "reform": reform}
