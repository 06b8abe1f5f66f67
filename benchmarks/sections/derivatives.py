"""Derivatives

What all derivatives of the optimum cost, over the value alone. First the 17 parameters of five truncated normal
traders (means, scales, risk capacities, one support) in the objective of the whole optimum, budget included: by reverse
mode and by 34 central differences; and at a given weight the Hessian, all 17 × 17 entries, forward over reverse.
Derivatives agree with differences, of the value and of the gradient. Then the 2 × 31 first derivatives of revenue and
efficiency in everything there is at a given weight w.
"""

from derivatives import rows as objective_rows
from harness import Measured, medians, table
from main_case import chunked, first_derivatives, multipliers_and_outcomes, random_markets, require_proved


def measured(quick=False):
    markets, rounds = (16, 2) if quick else (2000, 5)
    rows = [[row.name, row.figure, row.unit, row.note] for row in objective_rows(markets, rounds)]
    figures = {name: figure for name, figure, *_ in rows if "ratio" in name}
    point = random_markets(markets)
    require_proved(*point)
    functions = {"outcomes": multipliers_and_outcomes, "derivatives": first_derivatives}
    calls = {name: chunked(function, *point) for name, function in functions.items()}
    times = medians(calls, 0.01 if quick else 1.0)
    ratio = times["derivatives"] / times["outcomes"]
    rows.append(["revenue and efficiency at w, one market", 1e6 * times["outcomes"] / markets, "µs", ""])
    rows.append(["with their 2 × 31 first derivatives: ratio", ratio, "×", ""])
    return Measured([table(["what", "figure", "unit", ""], rows)], figures=figures)
