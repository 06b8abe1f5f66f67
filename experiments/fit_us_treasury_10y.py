"""The market of the 10-year US Treasury note future, fitted to public weekly positions of four kinds of traders.

    python experiments/fit_us_treasury_10y.py DATA.csv [--out experiments/markets/us_treasury_10y.toml]

`futures_positions` says what DATA.csv is, what of the market is observed and what is not. Truncated normal laws are
fitted to the endowment shocks by maximum likelihood. A figure that rests on this market rests on those choices.
"""

import argparse
import json
import sys
from pathlib import Path

import jax
from futures_positions import DataError, groups_of, provenance, read_categories, rounded

import jaxmech as jm

CONTRACT = "us_treasury_10y"
DEFAULT_OUT = Path(__file__).parent / "markets" / f"{CONTRACT}.toml"


def market_toml(groups, facts):
    """The text of the market's TOML file; `facts` become its provenance."""
    lines = ["# Written by experiments/fit_us_treasury_10y.py; its docstring says how. Risk capacity is not observed."]
    lines += [f'name = "{CONTRACT}"', 'units = "thousand contracts"', ""]
    notes = []
    for name, group in groups.items():
        found = jm.fit(group.sample, "truncated_normal", lower=group.lower, upper=group.upper)
        notes += [f"{name}: {note}" for note in found.notes]
        numbers = found.parameters | {"lower": group.lower, "upper": group.upper}
        law = ", ".join(f"{key} = {rounded(value)!r}" for key, value in numbers.items())
        lines += ["[[traders]]", f'name = "{name}"', f"count = {group.count}"]
        lines += [f"risk_capacity = {group.risk_capacity!r}", f'endowment = {{ law = "truncated_normal", {law} }}', ""]
    facts = {
        "contract": "10-year US Treasury note, weekly",
        "command": "python experiments/fit_us_treasury_10y.py DATA.csv",
        "loc_and_scale": "maximum likelihood, jaxmech.fit",
        "notes": "; ".join(notes) or "none",
        **facts,
    }
    lines += ["[provenance]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items())]
    return "\n".join(lines) + "\n"


def verify(path):
    """Solve the fitted market and print what it does; ValueError where an answer is not certified."""
    market = jm.Market.from_toml(path)
    print("condition 1:", jm.condition_1(market).tolist(), " condition 2:", jm.condition_2(market).tolist())
    print(f"w* = {float(jm.budget_weight(market)):.6g}")
    for alpha in (0.0, 0.5, 1.0):
        mechanism = jm.solve(market, alpha)
        jm.certify(mechanism).raise_if_failed(f"{path} at alpha {alpha:g}")
        achieved = jm.outcomes(mechanism)
        shown = {name: float(getattr(achieved, name)) for name in ("revenue", "efficiency", "first_best_efficiency")}
        shown |= {"w": float(mechanism.weight)}
        print(f"alpha {alpha:g}:", ", ".join(f"{name} {value:.6g}" for name, value in shown.items()))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="weekly positions, a CSV file")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the market's TOML file")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    try:
        categories = read_categories(options.data, CONTRACT)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = market_toml(groups_of(categories), provenance(categories, options.data.read_bytes()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    verify(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
