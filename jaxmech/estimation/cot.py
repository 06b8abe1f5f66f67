"""Commitments of Traders: weekly futures positions by kind of trader, as the US Commodity Futures Trading Commission
publishes them. Reading needs pandas (extra `data`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from typing import NamedTuple

import numpy as np

from jaxmech.estimation.cot_files import REPORTS, SERIES, file_table
from jaxmech.extras import extra
from jaxmech.inputs import AnyPath, MarketError, path_of, shown
from jaxmech.plain import result

_RIGHT = ("weeks", "open_interest")  # columns of numbers in the list of contracts


class Category(NamedTuple):
    """Weekly series of one category, in order of date, arrays (T,)."""

    dates: np.ndarray  # datetime64[D]
    long: np.ndarray  # contracts held
    short: np.ndarray
    spread: np.ndarray  # held besides by traders with both sides, contracts of one side
    traders_long: np.ndarray  # reporting traders; NaN where the number is withheld: one, two or three
    traders_short: np.ndarray


@result("name")
@dataclass(frozen=True, eq=False)
class Contract:
    """Positions in one contract. Made by `read_cot`."""

    code: str  # of the Commission
    names: tuple  # that it has borne, the present one last
    dates: np.ndarray  # of its reports, datetime64[D], (T,)
    open_interest: float  # in the last report, contracts; NaN where the file does not say
    categories: dict  # Category by name, in the order of the report

    name = property(lambda self: self.names[-1])

    def summary(self) -> dict:
        """Name, code, weeks, first and last date and open interest, as plain values; None where not known."""
        interest = None if np.isnan(self.open_interest) else int(self.open_interest)
        period = {"first": str(self.dates[0]), "last": str(self.dates[-1])}
        return {"name": self.name, "code": self.code, "weeks": len(self.dates), **period, "open_interest": interest}


@result()
@dataclass(frozen=True, eq=False)
class CommitmentsOfTraders:
    """What files of the Commission say. Made by `read_cot`."""

    report: str  # one of REPORTS
    combined: bool | None  # futures and options combined, or futures only; None where the files do not say
    contracts: tuple  # Contract, by name
    files: tuple  # (name, SHA-256) of each file

    def contract(self, text: str) -> Contract:
        """The contract of this code or name, or the only one with `text` in a name; case does not matter.

        Raises:
          MarketError: none, with the nearest names; or several, with all of them.
        """
        if not isinstance(text, str) or not text.strip():
            raise MarketError(f"contract is {shown(text)}; give a part of its name, or its code")
        asked = text.strip().casefold()
        found = [one for one in self.contracts if asked in _titles(one)]
        found = found or [one for one in self.contracts if any(asked in name.casefold() for name in one.names)]
        if len(found) == 1:
            return found[0]
        said = f"contract {text!r}:"
        if found:
            listed = "; ".join(f"{one.name} (code {one.code})" for one in found)
            raise MarketError(f"{said} {len(found)} match; give the code, or more of the name: {listed}")
        titles = {title: one.name for one in self.contracts for title in _titles(one)}
        near = dict.fromkeys(titles[title] for title in get_close_matches(asked, titles, n=5, cutoff=0.4))
        raise MarketError(f"{said} none of {len(self.contracts)}; near it: {'; '.join(near) or 'none'}; --list has all")

    def __str__(self):
        rows = [one.summary() for one in self.contracts]
        rows = [{key: "not said" if value is None else str(value) for key, value in row.items()} for row in rows]
        wide = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
        lines = [f"{self.report}, {kind(self.combined)}: {len(rows)} contracts"]
        for row in ({key: key.replace("_", " ") for key in wide}, *rows):
            cells = [f"{row[key]:>{width}}" if key in _RIGHT else f"{row[key]:<{width}}" for key, width in wide.items()]
            lines.append("  ".join(cells))
        return "\n".join(lines)


def kind(combined) -> str:
    """What positions are counted, in words."""
    if combined is None:
        return "futures only or combined: not said in the files"
    return "futures and options combined" if combined else "futures only"


def read_cot(files: AnyPath | Sequence[AnyPath]) -> CommitmentsOfTraders:
    """Weekly positions from files of the US Commodity Futures Trading Commission, several years at once.

    The yearly files of the Commission's history as they are: text or CSV, or the zip that holds one, of the reports
    Traders in Financial Futures, Disaggregated or Legacy. Which it is, the columns say; their names may differ in case,
    blanks and underscores, as they do between years. A week that comes twice counts once. Counts of traders that are
    "." are withheld by the Commission, because they are below four.

    An extract is read too: a CSV file with a row for each contract, date (YYYY-MM-DD) and category as in REPORTS, with
    the columns contract, date, category, long, short, spread, traders_long, traders_short, and open_interest where
    known; counts that are withheld are empty.

    Args:
      files: one path, or several.

    Returns:
      CommitmentsOfTraders. Needs pandas (extra `data`).

    Raises:
      MarketError: files that are none of these, of different reports, or that contradict each other; cells that are no
        numbers or dates. It names the file and the line.
    """
    with extra("data"):
        import pandas as pd

    paths = [files] if isinstance(files, str | PathLike) else files
    if not isinstance(paths, list | tuple) or not paths:
        raise MarketError(f"files is {shown(files)}; give the path of a file, or a list of them")
    tables = [file_table(path_of("files", path)) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if (table.report, table.combined) != (tables[0].report, tables[0].combined):
            first, other = (f"{one.report}, {kind(one.combined)}" for one in (tables[0], table))
            raise MarketError(f"{path}: is {other}, but {paths[0]} is {first}; read files of one kind at a time")
    rows = _weeks_once(pd.concat([table.rows for table in tables], ignore_index=True))
    contracts = [_contract(code, own, tables[0].report) for code, own in rows.groupby("code")]
    contracts.sort(key=lambda one: one.name)
    files = tuple(table.file for table in tables)
    return CommitmentsOfTraders(tables[0].report, tables[0].combined, tuple(contracts), files)


def _titles(contract):
    """Texts that mean this contract and no other: its code, and its names with and without the exchange."""
    names = [name.casefold() for name in contract.names]
    return {contract.code.casefold(), *names, *(name.rpartition(" - ")[0].strip() or name for name in names)}


def _weeks_once(rows):
    """Rows in order of date, the same said twice dropped; MarketError where files contradict each other."""
    facts = ["code", "date", "category", "open_interest", *SERIES]
    rows = rows.drop_duplicates(facts).sort_values("date", kind="stable")
    twice = rows.duplicated(facts[:3], keep=False)
    if twice.any():
        first = rows[twice].iloc[0]
        one, other = (row for _, row in rows[(rows[facts[:3]] == first[facts[:3]]).all(axis=1)].iloc[:2].iterrows())
        key = next(key for key in facts[3:] if not (one[key] == other[key] or np.isnan([one[key], other[key]]).all()))
        raise MarketError(
            f"{first['name']}, {first['date']:%Y-%m-%d}, {first['category']}: {key} is {one[key]:g} in {one['file']} "
            f"and {other[key]:g} in {other['file']}; leave one of them out"
        )
    return rows


def _contract(code, rows, report):
    def days(part):
        return part["date"].to_numpy().astype("datetime64[D]")

    own = {category: rows[rows["category"] == category] for category in REPORTS[report]}
    series = {
        category: Category(days(part), *(part[key].to_numpy() for key in SERIES))
        for category, part in own.items()
        if len(part)
    }
    names = tuple(dict.fromkeys(rows["name"].iloc[::-1]))[::-1]
    return Contract(code, names, np.unique(days(rows)), float(rows["open_interest"].iloc[-1]), series)
