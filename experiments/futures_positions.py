"""Weekly futures positions of four kinds of traders, as groups of a market. The other scripts import this one.

The data file holds "Traders in Financial Futures" of the US Commodity Futures Trading Commission (futures only), one
row a contract, week and category. What is observed and what is not:

- count: the median over weeks of max(traders long, traders short), the number of reporting traders.
- endowment: each trader is given the category's average. Its shock is the category's net position per trader,
  (long − short)/count, less the mean of the 26 weeks before. The support is the observed range of the shocks stretched
  by a tenth of its width on either side. Shocks that traders of one category do not share cancel in the category's
  total: a law fitted to these understates one trader's spread.
- risk capacity is NOT observed: proportional to the category's mean gross position per trader, long + short +
  2 spread (a spread is a long and a short contract of one trader), scaled to a mean of 1 over traders.

A figure that rests on such a market rests on those choices. Positions are in thousands of contracts.
"""

import csv
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

CATEGORIES = ("dealer", "asset_manager", "leveraged_fund", "other_reportable")
COLUMNS = ("contract", "date", "category", "long", "short", "spread", "traders_long", "traders_short")
TRAILING_WEEKS = 26
STRETCH = 0.1  # of the observed range, on either side


class DataError(ValueError):
    """The data file is not what the script reads; the message says what to change."""


class Category(NamedTuple):
    """Weekly series of one category, in order of date; contracts held, and reporting traders (NaN where withheld)."""

    dates: tuple
    net: np.ndarray
    gross: np.ndarray
    traders: np.ndarray


class Group(NamedTuple):
    """What the data say of one group of the market."""

    count: int
    risk_capacity: float
    sample: np.ndarray  # its endowment shocks
    lower: float
    upper: float


def read_categories(path, contract):
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


def groups_of(categories):
    """A Group a category, by name; numbers that go into market files are rounded to six digits."""
    counts = {name: int(np.rint(np.nanmedian(series.traders))) for name, series in categories.items()}
    gross = {name: np.mean(series.gross) / counts[name] for name, series in categories.items()}
    average = sum(counts[name] * gross[name] for name in gross) / sum(counts.values())
    groups = {}
    for name, series in categories.items():
        sample = shocks(series.net / counts[name] / 1000)
        margin = STRETCH * np.ptp(sample)
        ends = rounded(sample.min() - margin), rounded(sample.max() + margin)
        groups[name] = Group(counts[name], rounded(gross[name] / average), sample, *ends)
    return groups


def rounded(value):
    """Six digits of a number."""
    return float(f"{value:.6g}")


def provenance(categories, data):
    """Where the numbers come from, for a market file."""
    dates = next(iter(categories.values())).dates
    return {
        "source": "US Commodity Futures Trading Commission, Traders in Financial Futures, futures only (public domain)",
        "period": f"{dates[0]} to {dates[-1]}",
        "weeks": len(dates),
        "weeks_with_a_shock": len(dates) - TRAILING_WEEKS,
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "count": "median over weeks of max(traders long, traders short)",
        "endowment": f"net position (long − short)/count less the mean of the {TRAILING_WEEKS} weeks before",
        "support": f"observed range of the shocks, stretched by {STRETCH:g} of its width on either side",
        "risk_capacity": "NOT observed: proportional to mean (long + short + 2 spread)/count, mean over traders 1",
        "caveat": "a category's average stands for each of its traders, so shocks they do not share are understated; "
        "weeks are treated as independent draws",
    }
