"""The market of the 10-year US Treasury note future, fitted to public weekly positions of four kinds of traders.

    python experiments/fit_us_treasury_10y.py DATA.csv [--out experiments/markets/us_treasury_10y.toml]

DATA.csv holds "Traders in Financial Futures" of the US Commodity Futures Trading Commission (futures only), one row a
contract, week and category. What is observed and what is not:

- count: the median over weeks of max(traders long, traders short), the number of reporting traders.
- endowment: each trader is given the category's average. Its shock is the category's net position per trader,
  (long − short)/count, less the mean of the 26 weeks before; a truncated normal law is fitted to the shocks by maximum
  likelihood, its support being the observed range stretched by a tenth of its width on either side. Shocks that
  traders of one category do not share cancel in the category's total: the law understates one trader's spread.
- risk capacity is NOT observed: proportional to the category's mean gross position per trader, long + short +
  2 spread (a spread is a long and a short contract of one trader), scaled to a mean of 1 over traders.

A figure that rests on this market rests on those choices. Positions are in thousands of contracts.
"""

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy.optimize import minimize

import jaxmech as jm

CONTRACT = "us_treasury_10y"
CATEGORIES = ("dealer", "asset_manager", "leveraged_fund", "other_reportable")
COLUMNS = ("contract", "date", "category", "long", "short", "spread", "traders_long", "traders_short")
TRAILING_WEEKS = 26
STRETCH = 0.1  # of the observed range, on either side
SCALE_BOUNDS = (0.05, 2.0)  # of the support's width: neither a spike nor a law that is uniform to all purposes
DEFAULT_OUT = Path(__file__).parent / "markets" / f"{CONTRACT}.toml"


class DataError(ValueError):
    """The data file is not what the script reads; the message says what to change."""


class Category(NamedTuple):
    """Weekly series of one category, in order of date; contracts held, and reporting traders (NaN where withheld)."""

    dates: tuple
    net: np.ndarray
    gross: np.ndarray
    traders: np.ndarray


class Group(NamedTuple):
    """One fitted group."""

    name: str
    count: int
    risk_capacity: float
    endowment: dict  # loc, scale, lower, upper
    at_bounds: tuple  # parameters that the likelihood pushed to a bound


def read_categories(path, contract=CONTRACT):
    """The contract's four categories from the data file; DataError says what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of the weekly positions, a CSV file")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{path}: column {', '.join(missing)} is missing; needed: {', '.join(COLUMNS)}")
        rows = [row for row in reader if row["contract"] == contract]
    if not rows:
        raise DataError(f"{path}: no rows of contract {contract!r}")
    return {name: _category([row for row in rows if row["category"] == name], name, path) for name in CATEGORIES}


def _category(rows, name, path):
    if len(rows) <= TRAILING_WEEKS + 1:
        raise DataError(f"{path}: {len(rows)} weeks of category {name!r}; more than {TRAILING_WEEKS + 1} are needed")
    rows = sorted(rows, key=lambda row: row["date"])

    def column(key, withheld=False):
        return np.array([_number(row, key, withheld, path) for row in rows])

    long, short, spread = column("long"), column("short"), column("spread")
    traders = np.fmax(column("traders_long", withheld=True), column("traders_short", withheld=True))
    if not np.isfinite(traders).any():
        raise DataError(f"{path}: every count of traders of category {name!r} is withheld")
    return Category(tuple(row["date"] for row in rows), long - short, long + short + 2 * spread, traders)


def _number(row, key, withheld, path):
    if withheld and row[key] == "":
        return np.nan
    try:
        return float(row[key])
    except (TypeError, ValueError):
        where = f"{row['contract']}, {row['date']}, {row['category']}"
        raise DataError(f"{path}: {key} of {where} is {row[key]!r}, not a number") from None


def shocks(series, weeks=TRAILING_WEEKS):
    """Deviation of each entry from the mean of the `weeks` before it; the first `weeks` entries have none."""
    sums = np.concatenate([[0.0], np.cumsum(series)])
    return series[weeks:] - (sums[weeks:-1] - sums[: -weeks - 1]) / weeks


def fit_truncated_normal(sample, lower, upper):
    """Location and scale of a normal law cut to [lower, upper], by maximum likelihood.

    The location stays inside the support and the scale within `SCALE_BOUNDS` of its width: a truncated sample may
    otherwise be fitted ever better by ever larger values of both.

    Returns:
      (loc, scale), and the names of those that ended at a bound.
    """
    width, sample = upper - lower, np.asarray(sample, float)

    def loss(parameters):
        law = jm.TruncatedNormal(parameters[0], jax.numpy.exp(parameters[1]), lower, upper)
        return -jax.numpy.mean(law.log_pdf(sample))

    value_and_slope = jax.jit(jax.value_and_grad(loss))
    start = np.array([np.mean(sample), np.log(np.std(sample))])
    bounds = np.array([(lower, upper), np.log(np.multiply(SCALE_BOUNDS, width))])
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    at_bound = np.min(np.abs(bounds - found[:, None]), axis=1) < 1e-9
    return (float(found[0]), float(np.exp(found[1]))), tuple(np.array(["loc", "scale"])[at_bound].tolist())


def fitted_groups(categories):
    """One Group a category."""
    counts = {name: int(np.rint(np.nanmedian(series.traders))) for name, series in categories.items()}
    gross = {name: np.mean(series.gross) / counts[name] for name, series in categories.items()}
    average = sum(counts[name] * gross[name] for name in gross) / sum(counts.values())
    groups = []
    for name, series in categories.items():
        sample = shocks(series.net / counts[name] / 1000)
        margin = STRETCH * np.ptp(sample)
        lower, upper = _rounded(sample.min() - margin), _rounded(sample.max() + margin)
        (loc, scale), at_bounds = fit_truncated_normal(sample, lower, upper)
        endowment = {"loc": _rounded(loc), "scale": _rounded(scale), "lower": lower, "upper": upper}
        groups.append(Group(name, counts[name], _rounded(gross[name] / average), endowment, at_bounds))
    return groups


def _rounded(value):
    return float(f"{value:.6g}")


def market_toml(groups, categories, data):
    """The text of the market's TOML file."""
    lines = ["# Written by experiments/fit_us_treasury_10y.py; its docstring says how. Risk capacity is not observed."]
    lines += [f'name = "{CONTRACT}"', 'units = "thousand contracts"', ""]
    for group in groups:
        law = ", ".join(f"{key} = {value!r}" for key, value in group.endowment.items())
        lines += ["[[traders]]", f'name = "{group.name}"', f"count = {group.count}"]
        lines += [f"risk_capacity = {group.risk_capacity!r}", f'endowment = {{ law = "truncated_normal", {law} }}', ""]
    facts = provenance(groups, categories, data).items()
    lines += ["[provenance]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in facts)]
    return "\n".join(lines) + "\n"


def provenance(groups, categories, data):
    """Where each number comes from."""
    dates = next(iter(categories.values())).dates
    bounds = [f"{parameter} of {group.name}" for group in groups for parameter in group.at_bounds]
    return {
        "source": "US Commodity Futures Trading Commission, Traders in Financial Futures, futures only (public domain)",
        "contract": "10-year US Treasury note, weekly",
        "period": f"{dates[0]} to {dates[-1]}",
        "weeks": len(dates),
        "weeks_with_a_shock": len(dates) - TRAILING_WEEKS,
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "command": "python experiments/fit_us_treasury_10y.py DATA.csv",
        "count": "median over weeks of max(traders long, traders short)",
        "endowment": f"net position (long − short)/count less the mean of the {TRAILING_WEEKS} weeks before",
        "support": f"observed range of the shocks, stretched by {STRETCH:g} of its width on either side",
        "loc_and_scale": "maximum likelihood; loc within the support, scale within "
        f"{SCALE_BOUNDS[0]:g} and {SCALE_BOUNDS[1]:g} of its width",
        "at_a_bound": ", ".join(bounds) or "none",
        "risk_capacity": "NOT observed: proportional to mean (long + short + 2 spread)/count, mean over traders 1",
        "caveat": "a category's average stands for each of its traders, so shocks they do not share are understated; "
        "weeks are treated as independent draws",
    }


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
        categories = read_categories(options.data)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = market_toml(fitted_groups(categories), categories, options.data.read_bytes())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)
    verify(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
