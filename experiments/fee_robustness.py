"""A fee schedule designed for one market and used in another: what errors in the mean, the spread and the shape of
endowments, and in a risk capacity, cost.

    python experiments/fee_robustness.py [FOLDER]

Market: markets/two_groups.toml, α = ½. Endowments are wrong for all clients, risk capacity for one of them. Writes
robustness.csv, robustness.png and robustness.pdf into experiments/results/fee_robustness, or into FOLDER.
"""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

import jaxmech as jm  # noqa: E402
from jaxmech.endowments import SideBySide  # noqa: E402

HERE = Path(__file__).parent
ALPHA = 0.5
MARKET = jm.Market.from_toml(HERE / "markets" / "two_groups.toml")
CLIENT = 3  # the first client's column
ERRORS = {
    "mean": np.linspace(-0.5, 0.5, 11),
    "spread": np.linspace(-0.4, 0.4, 11),
    "shape": np.linspace(-1.0, 1.5, 11),
    "risk capacity": np.linspace(-0.5, 1.0, 7),
}
MEANING = {
    "mean": "shift of the clients' mean (standard deviations)",
    "spread": "relative error of the clients' spread",
    "shape": "log of the true over the assumed scale, same variance",
    "risk capacity": "relative error of one client's risk capacity",
}


def with_client_law(law):
    return replace(MARKET, endowment=SideBySide((MARKET.endowment.laws[0], law)))


def moved(law, mean, factor):
    """The law stretched by a factor about its mean, which is moved to `mean`."""
    ends = {name: mean + factor * (getattr(law, name) - law.mean) for name in ("loc", "lower", "upper")}
    return replace(law, scale=factor * law.scale, **ends)


def true_market(kind, error):
    law = MARKET.endowment.laws[1]
    deviation = jnp.sqrt(law.variance)
    if kind == "mean":
        return with_client_law(moved(law, law.mean + error * deviation, 1.0))
    if kind == "spread":
        return with_client_law(moved(law, law.mean, 1 + error))
    reshaped = replace(law, scale=law.scale * jnp.exp(error))
    return with_client_law(moved(reshaped, law.mean, deviation / jnp.sqrt(reshaped.variance)))


def rows():
    """One row an error and price unit: what is achieved, and what the best redesign would achieve, in % of surplus."""
    mechanism = jm.solve(MARKET, ALPHA)
    surplus = float(jm.outcomes(mechanism).first_best_surplus)
    for unit in ("natural", "paper"):
        rule = jm.side_payments(mechanism, unit)
        for kind in ("mean", "spread", "shape"):
            for error in ERRORS[kind]:
                market = true_market(kind, error)
                achieved, best = jm.robustness(rule, market), jm.outcomes(jm.solve(market, ALPHA))
                yield {
                    "error": kind,
                    "size": error,
                    "unit": unit,
                    "revenue": 100 * float(achieved.revenue) / surplus,
                    "efficiency_lost": lost(achieved, surplus),
                    "best_revenue": 100 * float(best.revenue) / surplus,
                    "best_efficiency_lost": lost(best, surplus),
                    "clients_losing": 100 * float(achieved.losing_share[1]),
                }
    rule = jm.side_payments(mechanism)
    for error in ERRORS["risk capacity"]:
        true = float(MARKET.risk_capacity[1]) * (1 + error)
        achieved = jm.misjudged_capacity(rule, CLIENT, true, jax.random.key(0), auctions=1000)
        promised = 100 * float(jm.outcomes(mechanism).revenue) / surplus
        yield {
            "error": "risk capacity",
            "size": error,
            "unit": "natural",
            "revenue": promised + 100 * float(achieved.revenue_change) / surplus,
            "best_revenue": promised,
        }


def lost(outcome, surplus):
    return 100 * float(outcome.first_best_efficiency - outcome.efficiency) / surplus


def picture(table):
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False})
    figure, panels = plt.subplots(2, 2, figsize=(7.2, 5.4), layout="constrained", dpi=200)
    for axes, kind in zip(panels.flat, ERRORS, strict=True):
        own = [row for row in table if row["error"] == kind]
        for unit, style in (("natural", {"color": "#1f4fb4"}), ("paper", {"color": "#d62728", "ls": "--"})):
            line = [row for row in own if row["unit"] == unit]
            if line:
                axes.plot(
                    [r["size"] for r in line],
                    [r["revenue"] for r in line],
                    label=f"as designed, {unit} price unit",
                    **style,
                )
        line = [row for row in own if row["unit"] == "natural"]
        label = "promised" if kind == "risk capacity" else "best redesign"
        axes.plot([r["size"] for r in line], [r["best_revenue"] for r in line], color="black", ls="-.", label=label)
        losing = [r for r in line if r.get("clients_losing", 0) > 0]
        axes.plot(
            [r["size"] for r in losing],
            [r["revenue"] for r in losing],
            "o",
            color="#1f4fb4",
            mfc="white",
            ms=4,
            label="some clients lose by participating" if losing else None,
        )
        axes.set_xlabel(MEANING[kind])
        axes.set_ylabel("revenue, % of surplus")
        axes.grid(alpha=0.25)
    panels.flat[0].legend(fontsize=7)
    panels.flat[3].legend(fontsize=7)
    return figure


def main(folder=HERE / "results" / "fee_robustness"):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = list(rows())
    with open(folder / "robustness.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    figure = picture(table)
    for suffix in ("png", "pdf"):
        figure.savefig(folder / f"robustness.{suffix}")
    print(f"wrote {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
