"""A market file from a table of observed endowments."""

import csv
import hashlib
import io
import json
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxmech.fitting import Fit, fit
from jaxmech.market import Market, Traders
from jaxmech.tables import MarketError

_MISSING = {"", "na", "nan", "n/a", "null", "none", "."}
COUNT, RISK_CAPACITY = 10, 1.0  # assumed where nothing is given


class FittedMarket(NamedTuple):
    """A market fitted to a table. Made by `fit_market`."""

    toml: str  # what a market file says, as `Market.from_toml` reads it
    fits: dict  # Fit of each group by its name, in order of appearance

    def report(self) -> str:
        """The report of each fit under its group's name."""
        return "\n\n".join(f"{name}: {found.report()}" for name, found in self.fits.items())


def fit_market(
    path,
    column,
    *,
    group_column=None,
    weights_column=None,
    family="truncated_normal",
    count=COUNT,
    risk_capacity=RISK_CAPACITY,
    out=None,
    **settings,
) -> FittedMarket:
    """Fit one law to each group of a CSV file and write the market they make.

    Args:
      path: CSV file, UTF-8, its first row the columns' names.
      column: observed endowments, units of the asset. Empty cells, NA, NaN, null and "." are missing.
      group_column: one group of traders for each of its values, in order of appearance; a single group if not given.
        Rows without a group are refused.
      weights_column: how often each row was seen.
      family: of all laws, as in `fit`.
      count: traders of each group, whole number ≥ 1: what the market has, not how many rows there are.
      risk_capacity: κ > 0 of each trader. Neither this nor the count is in the data; both are numbers, or dictionaries
        by group.
      out: market file to write, if any.
      settings: what else `fit` takes: lower, upper, components, bins, bandwidth, points.

    Returns:
      FittedMarket.

    Raises:
      MarketError: no such file or column, cells that are not numbers, a group that no law can be fitted to, or a
        market that cannot be; before anything is written.
    """
    samples, data = _samples(path, column, group_column, weights_column)
    counts = _by_group("count", count, samples, Integral)
    capacities = _by_group("risk_capacity", risk_capacity, samples, Real)
    fits = {name: _fitted(name, np.array(pairs), path, family, settings) for name, pairs in samples.items()}
    Market.of(*(Traders(found.law, capacities[name], counts[name], name) for name, found in fits.items()))
    asked = {"column": column, "group column": group_column, "weights column": weights_column}
    source = ", ".join(f"{key} {value!r}" for key, value in asked.items() if value is not None)
    facts = {
        "source": f"{Path(path).name}, {source}",
        "data_sha256": hashlib.sha256(data).hexdigest(),
        "endowment": f"{family} laws by jaxmech.fit_market",
        "not_in_the_data": "count and risk_capacity",
    }
    text = market_text(Path(path).stem, fits, counts, capacities, facts)
    if out is not None:
        Path(out).write_text(text, encoding="utf-8")
    return FittedMarket(text, fits)


def _samples(path, column, group_column, weights_column):
    """Pairs (endowment, weight) by group, and the bytes of the file."""
    rows, data = _rows(path, [column, group_column, weights_column])
    samples = {}
    for line, row in rows:
        name = _group(row, group_column, path, line)
        weight = 1.0 if weights_column is None else _number(row, weights_column, path, line)
        samples.setdefault(name, []).append((_number(row, column, path, line), weight))
    return samples, data


def market_text(name, fits, counts, capacities, facts, remark="Count and risk capacity are assumptions.") -> str:
    """The TOML of a market with fitted laws; `facts` become its provenance, by key."""
    lines = [f"# Laws fitted to data. {remark}", f"name = {_toml(name)}", ""]
    for group, found in fits.items():
        lines += ["[[traders]]", f"name = {_toml(group)}", f"count = {counts[group]}"]
        lines += [f"risk_capacity = {_toml(capacities[group])}", f"endowment = {_toml(found.endowment_table())}", ""]
    lines += ["[provenance]", *(f"{key} = {_toml(value)}" for key, value in facts.items())]
    for place, (group, found) in enumerate(fits.items(), 1):
        lines.append(f"group_{place} = {_toml(_said_of(group, found))}")
    return "\n".join(lines) + "\n"


def _said_of(group, found: Fit):
    errors = [f"{key} ± {value:.3g}" for key, value in found.standard_errors.items()][:8]
    parts = [
        f"{group}: {found.observations:g} observations",
        f"{found.missing} missing",
        f"log likelihood {found.log_likelihood:.6g}",
        f"KS distance {found.ks_statistic:.3g}",
        f"standard errors {', '.join(errors)}" if errors else "no parameters estimated",
        *found.notes,
    ]
    return "; ".join(parts)


def _toml(value):
    """A value as TOML. JSON's strings, numbers and lists are TOML's; floats keep every digit."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    # DEL is the one character that JSON leaves bare and TOML does not allow.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _rows(path, columns):
    """Rows as dictionaries with their line numbers, and the file's bytes."""
    path = Path(path)
    if not path.is_file():
        raise MarketError(f"{path}: no such file; give the path of a CSV file")
    data = path.read_bytes()
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        there = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise MarketError(f"{path}: not a CSV file in UTF-8: {error}") from None
    for column in columns:
        if column is not None and column not in there:
            raise MarketError(f"{path}: no column {column!r}; there are {', '.join(there) or 'none'}")
    if not rows:
        raise MarketError(f"{path}: no rows below the columns' names")
    return rows, data


def _group(row, column, path, line):
    if column is None:
        return "traders"
    name = (row[column] or "").strip()
    if not name:
        raise MarketError(f"{path}, line {line}: {column} is empty; name the group or leave the row out")
    return name


def _number(row, column, path, line):
    cell = (row[column] or "").strip()
    if cell.lower() in _MISSING:
        return np.nan
    try:
        return float(cell)
    except ValueError:
        raise MarketError(
            f"{path}, line {line}: {column} is {cell!r}, not a number; leave it empty if unknown"
        ) from None


def _by_group(name, given, groups, kind):
    """The number of each group; MarketError for one that is missing, of no group, or cannot be."""
    values = dict(given) if isinstance(given, dict) else dict.fromkeys(groups, given)
    for group in values:
        if group not in groups:
            raise MarketError(f"{name}: no group {group!r} in the data; there are {', '.join(groups)}")
    for group in groups:
        if group not in values:
            raise MarketError(f"{name}: none given for group {group!r}; give one for each group, or one number for all")
        value = values[group]
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < np.inf:
            remedy = "a whole number ≥ 1" if kind is Integral else "a number > 0"
            raise MarketError(f"{name} of {group} is {value!r}; give {remedy}")
    return {group: (int if kind is Integral else float)(values[group]) for group in groups}


def _fitted(name, pairs, path, family, settings):
    try:
        return fit(pairs[:, 0], family, weights=pairs[:, 1], **settings)
    except MarketError as error:
        raise MarketError(f"{path}, group {name}: {error}") from None
