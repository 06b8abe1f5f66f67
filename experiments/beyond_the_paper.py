"""The numbers and figures of docs/beyond_the_paper.md: markets outside, welfare weights, targets for revenue, reforms
that harm nobody.

    python experiments/beyond_the_paper.py [FOLDER]

writes report.md, images/ (PNG and PDF) and tables/ (CSV) into experiments/results/beyond_the_paper, or into FOLDER.
Outside options need laws with log-concave densities, so the Treasury market here is the one of truncated normal laws,
not that of mixtures.
"""

import csv
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax

jax.config.update("jax_enable_x64", True)

import beyond_curves as curves  # noqa: E402
import beyond_figures as figures  # noqa: E402
import numpy as np  # noqa: E402
from beyond_curves import shares  # noqa: E402
from paper_figures import save  # noqa: E402


class Claim(NamedTuple):
    """A number that is known in closed form."""

    where: str  # section of docs/beyond_the_paper.md
    statement: str
    known: float
    ours: float


class Finding(NamedTuple):
    """A number of the Treasury market."""

    where: str
    statement: str
    value: float
    unit: str = "%"  # of the first-best gains from trade, if nothing else is said


@cache
def claims() -> list[Claim]:
    """Every number that is known, beside ours."""
    return [*_outside_known(), *_targets_known(), *_reforms_known()]


@cache
def findings() -> list[Finding]:
    """What the Treasury market shows."""
    return [*_outside_found(), *_welfare_found(), *_targets_found(), *_reforms_found()]


def worst(differences) -> float:
    return float(np.max(np.abs(differences)))


def power(gamma, traders=5):
    """θ in Example 1, the market power that an option of quality γ leaves the exchange."""
    return 1 - gamma * traders / (traders - 1)


def frontier_revenue(theta, lost):
    """Revenue in Example 1 where this share of the gains is lost, both over the first-best gains."""
    return 2 * np.sqrt(lost) - (1 + 1 / theta) * lost


def _outside_known():
    outcomes, theta = curves.example_1_outside(), power(curves.GAMMAS)
    revenue, _, lost = (part / 100 for part in shares(outcomes))
    most, binding = revenue[:, -1], np.asarray(outcomes.no_expected_trade_probability)[:, -1, 0]
    off_frontier = revenue - frontier_revenue(theta[:, None], lost)
    return [
        Claim("§13", "largest revenue at γ = 2/5, θ = ½, of the first-best gains", 1 / 3, most[-1]),
        Claim("§13", "gains lost there", 1 / 9, lost[-1, -1]),
        Claim("§13", "types whose participation binds there", 2 / 3, binding[-1]),
        Claim("§13", "largest revenue less θ/(1 + θ), worst of 81 γ", 0.0, worst(most - theta / (1 + theta))),
        Claim("§13", "binding types less 1/(1 + θ), worst of 81 γ", 0.0, worst(binding - 1 / (1 + theta))),
        Claim("§13", "revenue less 2y − (1 + 1/θ)y², worst of 81 γ and 96 α", 0.0, worst(off_frontier)),
    ]


def _outside_found():
    outcomes, _, _, leave = curves.treasury_outside()
    revenue, _, lost = shares(outcomes)
    beside = {-3: "no market outside", -2: "with one as deep as an average trader", -1: "with one as deep as ten"}
    at, depths, leave = slice(-3), curves.depths(), np.any(np.asarray(leave), axis=1)
    half = np.exp(np.interp(-revenue[-3] / 2, -revenue[at], np.log(depths[at])))
    return [
        *(Finding("§11", f"revenue, {what}", revenue[place]) for place, what in beside.items()),
        *(Finding("§11", f"gains lost, {what}", lost[place]) for place, what in beside.items()),
        Finding("§11", "depth outside at which half the revenue is gone", half, "average traders"),
        Finding(
            "§16", "depth from which it would pay to let some type go", depths[at][leave[at]][0], "average traders"
        ),
    ]


def _welfare_found():
    outcomes, rebate = curves.favouring()
    revenue, traders, _ = shares(outcomes)
    paid = 100 * np.asarray(rebate)[:, curves.FAVOURED] / np.asarray(outcomes.first_best_surplus)
    places = {"β = 0": 0, "β = α = ½": int(np.flatnonzero(curves.WELFARE == curves.NEUTRAL)[0]), "β above α = ½": -1}
    parts = {"revenue": revenue, "asset managers gain": traders[:, curves.FAVOURED]}
    found = [Finding("§2", f"{when}: {what}", part[at]) for when, at in places.items() for what, part in parts.items()]
    return [*found, Finding("§2", "β above α = ½: of that by a rebate", paid[-1])]


def _targets_known():
    outcomes, multiplier, largest = curves.example_1_targets()
    lost, y = shares(outcomes).lost[:-1] / 100, (1 - np.sqrt(1 - 2 * curves.EXAMPLE_TARGETS[:-1])) / 2
    price = np.asarray(multiplier)[:-1] * (1 - 2 * y) / y
    return [
        Claim("§13", "R_min = ⅜ of the first-best gains: gains lost", 1 / 16, lost[-1]),
        Claim("§13", "gains lost less y², 2y − 2y² = R_min, worst of 50 targets", 0.0, worst(lost - y**2)),
        Claim("§14", "λ(1 − 2y)/y less 1, worst of 50 targets", 0.0, worst(price - 1)),
        Claim("§2", "largest revenue, as R_min 2% above it reports it", 2 / 3, float(largest[-1])),
    ]


def _targets_found():
    outcomes, multiplier, largest = curves.treasury_targets()
    lost, most = shares(outcomes).lost[0], 100 * float(largest[0, -1]) / curves.surplus(curves.treasury())
    found = []
    for place, target in enumerate(curves.TARGETS[:-1], curves.FRACTIONS.size):
        said = f"R_min = {target:.0%} of the first-best gains"
        found += [Finding("§2", f"{said}: gains lost", lost[place])]
        found += [Finding("§2", f"{said}: λ, what the last unit costs", float(multiplier[0, place]), "")]
    return [*found, Finding("§2", "largest revenue, as R_min = 43% reports it", most)]


def harm(reforms: curves.Reforms) -> float:
    """The most that a type loses, money."""
    return float(np.max(np.maximum(np.asarray(reforms.gain_before - reforms.gain_after), 0.0)))


def _reforms_known():
    found, traders = curves.example_1_reforms(), curves.FROM_3_ON
    unrealised, revenue = shares(found.before).lost[0] / 100, shares(found.after).revenue[0] / 100
    return [
        Claim("§13", "reform of the plain auction of 5: largest revenue", 1 / 60, float(found.after.revenue[0, 2])),
        Claim(
            "§13", "that less 1/N of what the auction leaves, N = 3 … 30", 0.0, worst(revenue - unrealised / traders)
        ),
        Claim("§13", "what it leaves less 1/(N − 1)²", 0.0, worst(unrealised - 1 / (traders - 1) ** 2)),
        Claim("§11", "most that a type loses by the reform, N = 3 … 30", 0.0, harm(found)),
    ]


def _reforms_found():
    found = curves.treasury_reforms()
    unrealised, left, revenue = shares(found.before).lost, shares(found.after).lost, shares(found.after).revenue
    recovered, kept = 100 * (1 - left / unrealised), 100 * revenue / unrealised
    lines = []
    for place, market in ((0, "one trader of each category"), (-1, "all 240 traders")):
        lines += [
            Finding("§11", f"{market}: gains that the plain double auction leaves", unrealised[0, place]),
            Finding("§11", f"{market}: recovered by a reform at α = 0", recovered[0, place], "% of those"),
            Finding("§11", f"{market}: recovered at α = 1", recovered[1, place], "% of those"),
            Finding("§11", f"{market}: revenue at α = 1", kept[1, place], "% of those"),
        ]
    return [*lines, Finding("§11", "most that a type loses by any of these reforms", harm(found), "")]


def claim_rows():
    lines = ["| where | claim | known | ours | difference |", "|---|---|---|---|---|"]
    return lines + [
        f"| {c.where} | {c.statement} | {c.known:.10g} | {c.ours:.10g} | {abs(c.ours - c.known):.1e} |"
        for c in claims()
    ]


def finding_rows():
    lines = ["| where | in the Treasury market | value |", "|---|---|---|"]
    values = (0.0 if abs(f.value) < 1e-12 else f.value for f in findings())
    return lines + [
        f"| {f.where} | {f.statement} | {v:.4g} {f.unit} |" for f, v in zip(findings(), values, strict=True)
    ]


def tables():
    """The columns of every curve, by name; revenue, gains and losses in percent of the first-best gains."""
    names = curves.treasury().names
    revenue, _, lost = shares(curves.example_1_outside())
    yield "example_1", {"gamma": curves.GAMMAS[:, None], "weight": curves.WEIGHTS, "revenue": revenue, "lost": lost}
    for name, at, outcomes in (
        ("outside", {"depth": curves.depths()}, curves.treasury_outside()[0]),
        ("welfare", {"welfare weight": curves.WELFARE}, curves.favouring()[0]),
    ):
        revenue, traders, lost = shares(outcomes)
        gains = {f"gain of {who}": part for who, part in zip(names, traders.T, strict=True)}
        yield name, {**at, "revenue": revenue, "lost": lost, **gains}
    outcomes, multiplier, _ = curves.treasury_targets()
    at = {"depth": np.array(curves.SHOWN)[:, None], "target": curves.targets()}
    yield "targets", {**at, "lost": shares(outcomes).lost, "multiplier": multiplier}
    found, at = curves.treasury_reforms(), {"alpha": np.array([0.0, 1.0])[:, None]}
    parts = {"unrealised": shares(found.before).lost, "lost": shares(found.after).lost}
    traders = np.sum(curves.counts_reformed(), axis=1)
    yield "reforms", {**at, "traders": traders, **parts, "revenue": shares(found.after).revenue}


def main(folder=curves.HERE / "results" / "beyond_the_paper"):
    """Write everything; returns the claims."""
    images, sheets = Path(folder) / "images", Path(folder) / "tables"
    for place in (images, sheets):
        place.mkdir(parents=True, exist_ok=True)
    for name, columns in tables():
        with open(sheets / f"{name}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(columns)
            rows.writerows(zip(*(part.ravel() for part in np.broadcast_arrays(*columns.values())), strict=True))
    pictures = [save(draw(), images, f"beyond_{name}") for name, draw in figures.FIGURES.items()]
    lines = ["# Beyond the paper, in numbers", "", *claim_rows(), "", *finding_rows(), ""]
    (Path(folder) / "report.md").write_text("\n".join([*lines, *(f"![](images/{name})" for name in pictures), ""]))
    print("\n".join(lines))
    print(f"wrote {Path(folder) / 'report.md'}, {images}, {sheets}")
    return claims()


if __name__ == "__main__":
    main(*sys.argv[1:2])
