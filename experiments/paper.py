"""Everything the paper says in numbers, computed: its four figures, its claims, and the same figures where no formula
exists.

    python experiments/paper.py [FOLDER]

writes report.md, images/ (PNG and PDF) and tables/ (CSV) into experiments/results/paper, or into FOLDER.
"""

import csv
import sys
from pathlib import Path
from typing import NamedTuple

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import paper_figures as figures  # noqa: E402

import jaxmech as jm  # noqa: E402
from jaxmech.reports.tables import comparison, comparison_text  # noqa: E402

HERE = Path(__file__).parent
MANY = 10**6
SIZES = [3, 4, 5, 7, 10, 14, 20, 30, 50]


class Claim(NamedTuple):
    where: str
    statement: str
    paper: float
    ours: float


def example_1(traders):
    return jm.Market.of(jm.Traders(jm.Uniform(-1, 1), 0.5, traders))


def optimum(traders, alpha=1.0):
    return jm.outcomes(jm.solve(example_1(traders), alpha))


def auction(traders):
    return jm.outcomes(jm.double_auction(example_1(traders)))


def first_best(market):
    return jm.outcomes(jm.first_best(market))


def numbers() -> list[Claim]:
    """Every number of the text, the paper's beside ours."""
    return [*_example_1(), *_limits(), *_proposition_1()]


def _example_1():
    half_way = jm.solve(example_1(5), 0.5)
    low, high = map(float, half_way.binding_interval[0])
    omega = float(half_way.participation_multiplier(jnp.asarray([0.1]))[0])
    low_1, high_1 = map(float, jm.solve(example_1(5), 1.0).binding_interval[0])
    by_size = [float(optimum(n).no_trade_probability) for n in range(2, 21)]
    by_alpha = [float(optimum(5, alpha).no_trade_probability) for alpha in np.linspace(1, 0.05, 20)]
    ratios = [times_the_auctions_revenue(example_1(n)) for n in range(3, 31)]
    return [
        Claim("Example 1", "lower end of the binding interval, α = ½ (labels as in E4)", -1 / 3, low),
        Claim("Example 1", "upper end", 1 / 3, high),
        Claim("Example 1", "Ω(z) = (1 + α)z/2 + α/2 at α = ½, z = 0.1", 0.325, omega),
        Claim("Example 1", "share of types whose participation binds, α = 1", 1 / 2, (high_1 - low_1) / 2),
        Claim("Example 1", "probability of no trade, α = 1, N = 5: 1/2^N", 1 / 2**5, by_size[3]),
        Claim("Example 1", "revenue of the first best, N = 5: it is attainable", 0.0, float(optimum(5, 0.0).revenue)),
        Claim("Section 1", "times the no-trade probability rises, N = 2 … 20", 0.0, _rises(by_size)),
        Claim("Section 1", "times it rises as α falls from 1 to 0.05, N = 5", 0.0, _rises(by_alpha)),
        Claim("Figure 2", "frontier's revenue over the double auction's at its efficiency, N = 5", 2.0, ratios[2]),
        Claim("Figure 2", "the same for N = 3 … 30: the ratio farthest from 2", 2.0, max(ratios, key=_from_two)),
    ]


def _limits():
    best, most, double = first_best(example_1(MANY)), optimum(MANY), auction(MANY)
    return [
        Claim("Figure 3", "revenue per trader, α = 1, N = 10⁶ for N → ∞: 1/6", 1 / 6, float(most.revenue) / MANY),
        Claim("Figure 3", "double auction with fees, all traders: 1/3", 1 / 3, float(double.revenue)),
        Claim("Figure 3", "double auction with fees, per trader", 0.0, float(double.revenue) / MANY),
        Claim("Figure 4", "holding cost per trader, α = 1: 1/12", 1 / 12, -float(most.efficiency) / MANY),
        Claim("Figure 4", "holding cost per trader, first best", 0.0, -float(best.efficiency) / MANY),
        Claim("Figure 4", "holding cost per trader, double auction", 0.0, -float(double.efficiency) / MANY),
    ]


def _proposition_1():
    in_proportion = jm.Market.of(jm.Traders(jm.Uniform([-1.0, -0.5], [2.0, 2.5]), [0.5, 1.0]))
    revenue = float(first_best(in_proportion).revenue)
    return [Claim("Proposition 1", "revenue of the first best, means (½, 1), κ = (½, 1)", 0.0, revenue)]


def _rises(values):
    return float(np.sum(np.diff(values) > 0))


def _from_two(ratio):
    return abs(ratio - 2)


def times_the_auctions_revenue(market):
    """Revenue of the frontier's mechanism that is as efficient as the double auction, over that of the double auction
    with the largest fees. A(w) falls in w: bisection."""
    double = jm.outcomes(jm.double_auction(market))
    low, high = float(jm.budget_weight(market)), 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        point = jm.outcomes(jm.solve_at_weight(market, middle))
        low, high = (middle, high) if point.efficiency > double.efficiency else (low, middle)
    return float(point.revenue / double.revenue)


def findings() -> list[str]:
    """What the paper leaves out or gets wrong, in numbers."""
    one_sided = jm.Market.of(jm.Traders(jm.Uniform(1, 2), [10.0, 1.0]))
    lopsided = jm.Market.of(jm.Traders(jm.Uniform(0, 1), [0.5, 1.5]))
    mechanism = jm.solve(example_1(5), 1.0)
    schedule = jm.cara_schedule(mechanism, types=513)
    z, reports = schedule.types, schedule.types[:, None]
    lie = jm.cara_certainty_equivalent(mechanism, z[None], reports) - mechanism.interim_transfer(reports)
    truth = jm.cara_certainty_equivalent(mechanism, z, z) - mechanism.interim_transfer(z)
    charged = jnp.trapezoid(schedule.transfer[:, 0], z[:, 0]) / 2 * 5
    return [
        "The frontier earns *exactly* twice the double auction's revenue at its efficiency in Example 1, for every "
        "N ≥ 3: both are explicit (w = 1/(N − 2)).",
        f'Proposition 1\'s "only if" needs Condition 1 (E6): endowments U[1, 2] twice and κ = (10, 1) are out of '
        f"proportion, yet the first best earns {float(first_best(one_sided).revenue):+.6f}. With U[0, 1] twice and "
        f"κ = (½, 1½) it needs a subsidy of {float(jm.minimum_subsidy(lopsided)):.6f} = 1/16.",
        "The transfers of Corollary 1.2 do not implement the allocation among CARA traders (E8): in Example 1 at α = 1 "
        f"some type gains {float(jnp.max(lie - truth)):.5f} by misreporting and some type loses "
        f"{-float(jnp.min(truth + z**2)):.5f} by participating (first-best surplus: 4/3). Other deterministic "
        f"transfers do (`cara_schedule`); they earn {float(charged):.5f} instead of "
        f"{float(jm.outcomes(mechanism).revenue):.5f}.",
    ]


def markets():
    """Name, title, unit, market, and counts of growing markets: Example 1, then two where no formula exists."""
    two = jm.Market.from_toml(HERE / "markets" / "two_groups.toml")
    treasury = jm.Market.from_toml(HERE / "markets" / "us_treasury_10y.toml")
    mix = np.array([3, 8, 6, 2])  # the Treasury counts over 12.4, rounded
    return [
        ("example_1", "Example 1", "units", example_1(5), np.array(SIZES)[:, None]),
        ("two_groups", "Two groups: dealers and clients", "units", two, np.outer([1, 2, 3, 4, 6, 10, 16, 32], [1, 2])),
        ("treasury", _TREASURY, "thousand contracts", treasury, np.outer([1, 2, 3, 5, 8, 12, 20], mix)),
    ]


_TREASURY = "10-year US Treasury note futures, four groups"


def draw(name, title, unit, market, counts, images):
    """The four figures of one market; names of their PNG files."""
    limits = {"limits": ((1 / 6, "1/6"), (1 / 3, "1/3"))} if name == "example_1" else {}
    limit = {"limit": (1 / 12, "1/12")} if name == "example_1" else {}
    growth = figures.by_number_of_traders(market, counts)
    drawn = {
        "interim_allocation": figures.interim_allocations(market, title, unit),
        "frontier": figures.frontier_figure(market, title),
        "revenue_by_traders": figures.revenue_by_traders(growth, title, **limits),
        "holding_cost_by_traders": figures.holding_cost_by_traders(growth, title, **limit),
    }
    return [figures.save(figure, images, f"paper_{name}_{what}") for what, figure in drawn.items()]


def claim_rows(claims):
    lines = ["| where | claim | paper | ours | difference |", "|---|---|---|---|---|"]
    return lines + [
        f"| {c.where} | {c.statement} | {c.paper:.10g} | {c.ours + 0.0:.10g} | {abs(c.ours - c.paper):.1e} |"
        for c in claims
    ]


def _caption(picture):
    return Path(picture).stem.removeprefix("paper_").replace("_", " ")


def report(claims, found, drawn):
    """The page, as Markdown."""
    lines = [
        "# The paper, reproduced",
        "",
        "Daniel Chen, *Optimal Design of a Financial Exchange: An Implementation Result* (2022): each of its numbers "
        "beside the solver's, and its four figures. `make paper` writes this page. Limits are taken at N = 10⁶ and "
        "missed by about 10⁻⁶. Misprints: `docs/errata.md`. Blue is optimal, red first best, black double auction; "
        "money is in asset units² per unit of risk capacity.",
        "",
        *claim_rows(claims),
        "",
        "## What the paper leaves out",
        "",
        *(f"- {text}" for text in found),
    ]
    for title, text, pictures in drawn:
        lines += ["", f"## {title}", "", "```text", text, "```", ""]
        lines += [f"![{_caption(name)}](images/{name})" for name in pictures]
    return "\n".join(lines) + "\n"


def write_tables(folder, claims, compared):
    """CSV: the claims, and one comparison of designs a market."""
    with open(folder / "claims.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*Claim._fields, "difference"])
        rows.writerows([*claim, claim.ours - claim.paper] for claim in claims)
    for name, table in compared.items():
        with open(folder / f"{name}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            groups = list(table[0]["revenue_by_group"])
            plain = [key for key in table[0] if key != "revenue_by_group"]
            rows.writerow([*plain, *(f"revenue of {group}" for group in groups)])
            rows.writerows([*(row[key] for key in plain), *row["revenue_by_group"].values()] for row in table)


def main(folder=HERE / "results" / "paper"):
    """Write everything; returns the claims."""
    images, tables = Path(folder) / "images", Path(folder) / "tables"
    for place in (images, tables):
        place.mkdir(parents=True, exist_ok=True)
    claims, compared, drawn = numbers(), {}, []
    for name, title, unit, market, counts in markets():
        compared[name] = comparison(market, 0.5)
        ratio = times_the_auctions_revenue(market)
        text = comparison_text(compared[name])
        text += f"\nAt the double auction's efficiency the frontier earns {ratio:.6g} times its revenue."
        drawn.append((title, text, draw(name, title, unit, market, counts, images)))
    write_tables(tables, claims, compared)
    page = Path(folder) / "report.md"
    page.write_text(report(claims, findings(), drawn))
    print("\n".join(claim_rows(claims)))
    print(f"wrote {page}, {images}, {tables}")
    return claims


if __name__ == "__main__":
    main(*sys.argv[1:2])
