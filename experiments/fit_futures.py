"""Four futures markets from public weekly positions, their laws fitted by several families: does the law matter?

    python experiments/fit_futures.py DATA.csv [--folder experiments/results/fit_futures]

DATA.csv is an extract as `jaxmech.read_cot` describes it; `jaxmech.cot_market` says what of a market is observed and
what is not. For each contract and family the script fits one law to each category of traders, solves the market at
α = 1/2 and along its frontier, and certifies the answers; for truncated normal laws and mixtures it carries the errors
of the fit to them. It writes table.csv, one row a market, groups.csv, one row a law, and two pictures; and the mixture
markets, which are not regular, as market files into experiments/markets.
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm
from jaxmech.reports.plots import STYLE, written

CONTRACTS = {
    "us_treasury_10y": "10-year Treasury note",
    "sp500_emini": "E-mini S&P 500",
    "euro_fx": "euro",
    "japanese_yen": "Japanese yen",
}
FAMILIES = {
    "truncated_normal": ({}, "#1f4fb4"),
    "mixture": ({"components": 2}, "#e08214"),
    "histogram": ({"bins": 16}, "0.6"),
    "smoothed": ({}, "#2a9d55"),
}
ALPHA = 0.5
WEIGHTS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # of the frontier; w* is below all of them
BANDED = ("truncated_normal", "mixture")
HERE = Path(__file__).parent


class Solved(NamedTuple):
    """One contract by one family of laws."""

    contract: str
    family: str
    fits: dict  # Fit by group
    toml: str  # the market's file
    mechanism: jm.Mechanism
    frontier: list  # Outcomes at `WEIGHTS`
    bands: jm.Bands | None


def solved(reports, contract, family) -> Solved:
    """The market at α = 1/2 with bands at 90%; ValueError where the answer is not certified."""
    options, _ = FAMILIES[family]
    found = jm.cot_market(reports, contract, family=family, **options)
    market = found.market
    mechanisms = {alpha: jm.solve(market, alpha) for alpha in (ALPHA, *WEIGHTS)}
    for alpha, mechanism in mechanisms.items():
        jm.certify(mechanism).raise_if_failed(f"{contract}, {family}, alpha {alpha:g}")
    frontier = [jm.outcomes(mechanisms[weight]) for weight in WEIGHTS]
    bands = jm.answer_bands(found.fits, market, ALPHA, weights=WEIGHTS) if family in BANDED else None
    return Solved(contract, family, found.fits, found.toml, mechanisms[ALPHA], frontier, bands)


def row_of(one: Solved):
    """What the table says of a market."""
    achieved = jm.outcomes(one.mechanism)
    surplus = float(achieved.first_best_surplus)
    revenue = float(achieved.revenue)
    low, _, high = one.bands.of("revenue") if one.bands else (np.nan,) * 3
    return {
        "contract": one.contract,
        "family": one.family,
        "aic": sum(found.aic for found in one.fits.values()),
        "regular_groups": int(np.sum(jm.condition_2(one.mechanism.market))),
        "first_best_surplus": surplus,
        "revenue": revenue,
        "revenue_low": low,
        "revenue_high": high,
        "revenue_over_surplus": revenue / surplus,
        "efficiency_lost_over_surplus": float(achieved.first_best_efficiency - achieved.efficiency) / surplus,
        "types_ironed": float(np.average(ironed(one), weights=one.mechanism.market.count)),
    }


def ironed(one: Solved):
    """Share of the types of each group that the mechanism bunches for want of regularity, (G,)."""
    shares = []
    for found, intervals in zip(one.fits.values(), np.asarray(one.mechanism.bunching_intervals), strict=True):
        ends = intervals[~np.isnan(intervals[:, 0])]
        shares.append(float(np.sum(np.diff(np.asarray(found.law.cdf(ends)), axis=1))) if len(ends) else 0.0)
    return shares


def group_rows(one: Solved):
    """What the other table says of a law."""
    for (name, found), share in zip(one.fits.items(), ironed(one), strict=True):
        yield {
            "contract": one.contract,
            "family": one.family,
            "group": name,
            "observations": found.observations,
            "aic": found.aic,
            "bic": found.bic,
            "ks_statistic": found.ks_statistic,
            "ks_p_value": found.ks_p_value,
            "ironed_in_the_mechanism": share,
            "notes": "; ".join(found.notes),
        }


def draw_laws(contract, markets, axes):
    """Data and densities of each group; types ironed in the mixture's mechanism are shaded."""
    for place, panel in enumerate(axes):
        name, found = list(markets["mixture"].fits.items())[place]
        z = np.linspace(found.lower, found.upper, 600)[1:-1]
        panel.hist(found.sample.values, bins=24, density=True, color="0.85", weights=found.sample.weights)
        for family, one in markets.items():
            if family == "histogram":
                continue
            law = one.fits[name].law
            panel.plot(z, law.pdf(z), color=FAMILIES[family][1], lw=1.2, label=family.replace("_", " "))
        for start, stop in np.asarray(markets["mixture"].mechanism.bunching_intervals)[place]:
            panel.axvspan(start, stop, color=FAMILIES["mixture"][1], alpha=0.18, lw=0)
        panel.set_title(f"{CONTRACTS[contract]}: {name.replace('_', ' ')}", fontsize=8)
        panel.set_yticks([])


def draw_frontier(contract, markets, axes):
    """Frontiers in shares of each market's own surplus, with 90% bands of revenue where the fit has them."""
    for family, one in markets.items():
        first = jm.outcomes(one.mechanism)
        surplus, best = float(first.first_best_surplus), float(first.first_best_efficiency)
        revenue = [float(at.revenue) / surplus for at in one.frontier]
        lost = [(best - float(at.efficiency)) / surplus for at in one.frontier]
        color = FAMILIES[family][1]
        axes.plot(lost, revenue, ".-", color=color, ms=3, lw=1, label=family.replace("_", " "))
        if one.bands:
            ends = np.array([one.bands.of(f"frontier.revenue@{weight:g}") for weight in WEIGHTS]) / surplus
            axes.fill_between(lost, ends[:, 0], ends[:, 2], color=color, alpha=0.2, lw=0)
    axes.set_title(CONTRACTS[contract], fontsize=9)
    axes.set_xlabel("efficiency lost / first-best surplus")
    axes.set_ylabel("revenue / first-best surplus")


def pictures(found, folder):
    """Both pictures, as PNG and PDF; `found` is Solved by contract and family."""
    groups = len(next(iter(found.values()))["mixture"].fits)
    with plt.rc_context(STYLE):
        laws, panels = plt.subplots(len(found), groups, figsize=(2.4 * groups, 1.9 * len(found)), squeeze=False)
        frontiers, sides = plt.subplots(1, len(found), figsize=(3.1 * len(found), 2.9), squeeze=False)
        for (contract, markets), row, axes in zip(found.items(), panels, sides[0], strict=True):
            draw_laws(contract, markets, row)
            draw_frontier(contract, markets, axes)
        panels[0, 0].legend(fontsize=6)
        sides[0, 0].legend(fontsize=7, loc="lower right")
        return [written(laws, folder, "laws"), written(frontiers, folder, "frontiers")]


def write_csv(rows, path):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="weekly positions, a CSV file")
    parser.add_argument("--folder", type=Path, default=HERE / "results" / "fit_futures", help="of tables and pictures")
    parser.add_argument("--markets", type=Path, default=HERE / "markets", help="folder of the market files")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        reports = jm.read_cot(options.data)
        for contract in CONTRACTS:
            reports.contract(contract)
    except jm.MarketError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for folder in (options.folder, options.markets):
        folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for contract in CONTRACTS:
        found[contract] = {family: solved(reports, contract, family) for family in FAMILIES}
        for one in found[contract].values():
            shown = [f"{key} {value:.5g}" if isinstance(value, float) else value for key, value in row_of(one).items()]
            print(*shown, sep=", ", flush=True)
        mixture = found[contract]["mixture"].toml
        (options.markets / f"{contract}_mixture.toml").write_text(mixture, encoding="utf-8")
    markets = [one for families in found.values() for one in families.values()]
    write_csv([row_of(one) for one in markets], options.folder / "table.csv")
    write_csv([row for one in markets for row in group_rows(one)], options.folder / "groups.csv")
    pictures(found, options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
