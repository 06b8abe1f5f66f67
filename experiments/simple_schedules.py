"""How much of the optimum three numbers a group keep: simple schedules against the full rule and the double auction.

    python experiments/simple_schedules.py [FOLDER]

prints a table and writes simple_schedules.csv and one picture a market (PNG and PDF) into
experiments/results/simple_schedules, or into FOLDER.
"""

import csv
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import paper_figures as figures  # noqa: E402

import jaxmech as jm  # noqa: E402

HERE = Path(__file__).parent
ALPHAS = 1.0, 0.5
SHOWN = np.linspace(0, 1, 41)  # α of the pictures; every fourth has a mark
MARKS = {"by group": ("o", "#1f4fb4"), "no access fee": ("v", "#2a9d55"), "no rebate": ("^", "#e08214")}
MARKS |= {"common": ("s", "#8e44ad")}


def markets():
    """Name and market: Example 1 with five traders, then two where no formula exists."""
    return {
        "example_1": jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, 5)),
        "two_groups": jm.Market.from_toml(HERE / "markets" / "two_groups.toml"),
        "us_treasury_10y": jm.Market.from_toml(HERE / "markets" / "us_treasury_10y.toml"),
    }


def kinds(market):
    """Kinds of schedules that differ in a market: with one group, schedules in common are those by group."""
    return [kind for kind in MARKS if kind != "common" or market.groups > 1]


def shares(design, full):
    """Revenue over the full rule's at the same α, and both outcomes in units of the first-best surplus."""
    ours, best = jm.outcomes(design), jm.outcomes(full)
    surplus = float(best.first_best_surplus)
    return {
        "revenue": float(ours.revenue),
        "efficiency": float(ours.efficiency),
        "revenue_kept": float(ours.revenue / best.revenue),
        "revenue_over_surplus": float(ours.revenue) / surplus,
        "efficiency_lost_over_surplus": float(ours.first_best_efficiency - ours.efficiency) / surplus,
    }


def rows(name, market):
    """One row a design and α."""
    found = []
    for alpha in ALPHAS:
        full = jm.solve(market, alpha)
        found.append({"market": name, "alpha": alpha, "design": "full rule"} | shares(full, full))
        for kind in kinds(market):
            schedule = jm.simple_schedule(market, alpha, kind)
            numbers = shares(schedule, full) | {"gradient": float(schedule.gradient)}
            found.append({"market": name, "alpha": alpha, "design": f"simple, {kind}"} | numbers)
        auction = shares(jm.double_auction(market), full)
        found.append({"market": name, "alpha": alpha, "design": "double auction, largest fees"} | auction)
    return found


def table(found):
    """What the CSV says, for reading."""
    lines = [f"{'market':<17}{'α':>5}  {'design':<30}{'revenue kept':>13}{'revenue':>10}{'efficiency lost':>17}"]
    for row in found:
        lines.append(
            f"{row['market']:<17}{row['alpha']:>5g}  {row['design']:<30}{row['revenue_kept']:>13.2%}"
            f"{row['revenue_over_surplus']:>10.2%}{row['efficiency_lost_over_surplus']:>17.2%}"
        )
    return "\n".join([*lines, "(revenue and efficiency lost in percent of first-best gains from trade)"])


def picture(name, market):
    """Revenue against efficiency: the frontier, the best schedules of each kind along α, the double auction."""
    points = figures.frontier(market, np.linspace(0, 1, 201) ** 2)
    best = jm.outcomes(jm.first_best(market))
    surplus, most = float(best.first_best_surplus), float(best.first_best_efficiency)

    def place(outcome):
        lost = 100 * (most - np.asarray(outcome.efficiency)) / surplus
        return lost, 100 * np.asarray(outcome.revenue) / surplus

    figure, axes = plt.subplots(figsize=(5.2, 3.8), constrained_layout=True, dpi=200)
    axes.plot(*place(points), label="frontier: full rule", **figures.OPTIMAL)
    for kind in kinds(market):
        marker, color = MARKS[kind]
        outcomes = [jm.outcomes(jm.simple_schedule(market, alpha, kind)) for alpha in SHOWN]
        path = np.array([place(outcome) for outcome in outcomes]).T
        style = {"lw": 0} if kind == "by group" else {"lw": 1.0}
        axes.plot(*path, marker=marker, markevery=4, ms=4, color=color, label=f"simple, {kind}", mfc="white", **style)
    auction = place(jm.outcomes(jm.double_auction(market)))
    axes.plot(*auction, "D", color="black", label="double auction, largest fees", zorder=4)
    axes.set_xlabel("efficiency lost, % of first-best gains from trade")
    axes.set_ylabel("revenue, % of first-best gains from trade")
    axes.set_title(f"{name.replace('_', ' ')}, α = 0, 0.1, …, 1", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, market in markets().items():
        found += rows(name, market)
        figures.save(picture(name, market), folder, f"simple_schedules_{name}")
    with open(folder / "simple_schedules.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in found for key in row}, key=list(found[1]).index))
        writer.writeheader()
        writer.writerows(found)
    print(table(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "simple_schedules")
