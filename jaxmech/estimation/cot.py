"""Commitments of Traders: weekly futures positions by kind of trader, as the US Commodity Futures Trading Commission
publishes them. A file becomes one table: its columns found, its report told, every cell checked. Reading needs pandas
(extra `data`)."""

import hashlib
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from typing import NamedTuple

import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import AnyPath, MarketError, bytes_of, path_of, shown
from jaxmech.plain import aligned, result

# Categories of each report, with what the Commission calls them in the names of its columns.
REPORTS = {
    "Traders in Financial Futures": {
        "dealer": "Dealer",
        "asset_manager": "Asset_Mgr",
        "leveraged_fund": "Lev_Money",
        "other_reportable": "Other_Rept",
    },
    "Disaggregated": {
        "producer_merchant": "Prod_Merc",
        "swap_dealer": "Swap",
        "managed_money": "M_Money",
        "other_reportable": "Other_Rept",
    },
    "Legacy": {"noncommercial": "NonComm", "commercial": "Comm"},
}
_WITHOUT_SPREADS = ("producer_merchant", "commercial")
_CONTRACT = {
    "name": "Market_and_Exchange_Names",
    "code": "CFTC_Contract_Market_Code",
    "open_interest": "Open_Interest_All",
}
_DATES = {  # formats by column; a header of months, days and years stands above dates of either form
    "Report_Date_as_YYYY-MM-DD": ("%Y-%m-%d", "%m/%d/%Y"),
    "As_of_Date_in_Form_YYYY-MM-DD": ("%Y-%m-%d", "%m/%d/%Y"),
    "Report_Date_as_MM_DD_YYYY": ("%Y-%m-%d", "%m/%d/%Y"),
    "date": ("%Y-%m-%d",),
    "As_of_Date_In_Form_YYMMDD": ("%y%m%d",),
}
_KIND = "FutOnly_or_Combined"
_COUNTS = ("traders_long", "traders_short")  # where the Commission withholds what is below four
SERIES = ("long", "short", "spread", *_COUNTS)
_EXTRACT = ("contract", "category", *SERIES)


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
        meant = [held for held in self.contracts if asked in _titles(held)]
        meant = meant or [held for held in self.contracts if any(asked in name.casefold() for name in held.names)]
        if len(meant) == 1:
            return meant[0]
        said = f"contract {text!r}:"
        if meant:
            listed = "; ".join(f"{held.name} (code {held.code})" for held in meant)
            raise MarketError(f"{said} {len(meant)} match; give the code, or more of the name: {listed}")
        titles = {title: held.name for held in self.contracts for title in _titles(held)}
        near = dict.fromkeys(titles[title] for title in get_close_matches(asked, titles, n=5, cutoff=0.4))
        raise MarketError(f"{said} none of {len(self.contracts)}; near it: {'; '.join(near) or 'none'}; --list has all")

    def __str__(self):
        summaries = [contract.summary() for contract in self.contracts]
        head, numbers = [key.replace("_", " ") for key in summaries[0]], ("weeks", "open interest")
        rows = [["not said" if value is None else str(value) for value in row.values()] for row in summaries]
        lines = aligned([head, *rows], [head.index(name) for name in numbers])
        return "\n".join([f"{self.report}, {kind(self.combined)}: {len(rows)} contracts", *lines])


def kind(combined) -> str:
    """What positions are counted, in words."""
    if combined is None:
        return "futures only or combined: not said in the files"
    return "futures and options combined" if combined else "futures only"


def _pandas():
    with extra("data"):
        import pandas
    return pandas


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
    pd = _pandas()
    paths = [files] if isinstance(files, str | PathLike) else files
    if not isinstance(paths, list | tuple) or not paths:
        raise MarketError(f"files is {shown(files)}; give the path of a file, or a list of them")
    tables = [_file_table(path_of("files", path)) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if (table.report, table.combined) != (tables[0].report, tables[0].combined):
            first, other = (f"{held.report}, {kind(held.combined)}" for held in (tables[0], table))
            raise MarketError(f"{path}: is {other}, but {paths[0]} is {first}; read files of one kind at a time")
    rows = _weeks_once(pd.concat([table.rows for table in tables], ignore_index=True))
    contracts = [_contract(code, part, tables[0].report) for code, part in rows.groupby("code")]
    contracts.sort(key=lambda contract: contract.name)
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
        pair = rows[(rows[facts[:3]] == first[facts[:3]]).all(axis=1)].iloc[:2]
        key = next(key for key in facts[3:] if pair[key].nunique(dropna=False) > 1)
        said = " and ".join(f"{value:g} in {file}" for value, file in zip(pair[key], pair["file"], strict=True))
        week = f"{first['name']}, {first['date']:%Y-%m-%d}, {first['category']}"
        raise MarketError(f"{week}: {key} is {said}; leave one of them out")
    return rows


def _contract(code, rows, report):
    def days(part):
        return part["date"].to_numpy().astype("datetime64[D]")

    parts = {category: rows[rows["category"] == category] for category in REPORTS[report]}
    parts = {category: part for category, part in parts.items() if len(part)}
    series = {name: Category(days(part), *(part[key].to_numpy() for key in SERIES)) for name, part in parts.items()}
    names = tuple(dict.fromkeys(rows["name"].iloc[::-1]))[::-1]
    return Contract(code, names, np.unique(days(rows)), float(rows["open_interest"].iloc[-1]), series)


class _Table(NamedTuple):
    """One file: rows of contract, date and category."""

    report: str
    combined: bool | None
    rows: object  # DataFrame: file, name, code, date, category, open_interest and SERIES
    file: tuple  # name and SHA-256


def _file_table(path) -> _Table:
    """A file as the Commission publishes it, or an extract; MarketError names the line of what is wrong."""
    pd = _pandas()
    data = bytes_of(path, "a file of the Commission, or an extract")
    sheet = _Sheet(path, _cells(path, data))
    if all(sheet.has(name) for name in _EXTRACT):
        blocks, report = [_extract(sheet)], None
    else:
        report = _report(sheet)
        blocks = [_block(sheet, category, stem) for category, stem in REPORTS[report].items()]
    rows = pd.concat(blocks, ignore_index=True).assign(file=str(path))
    file = path.name, hashlib.sha256(data).hexdigest()
    return _Table(report or _report_with(path, rows), _combined(sheet), rows, file)


def _cells(path, data):
    """All cells as text, the columns' names in the first row; indexed by line."""
    pd = _pandas()
    settings = {"header": None, "dtype": str, "keep_default_na": False, "skip_blank_lines": False}
    settings |= {"encoding": "utf-8-sig", "compression": "zip" if data[:2] == b"PK" else None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            cells = pd.read_csv(io.BytesIO(data), **settings)
    except Exception as error:  # whatever a zip and pandas find wrong with damaged bytes
        raise MarketError(f"{path}: not a table in UTF-8, nor a zip that holds one: {str(error).strip()}") from None
    cells = cells.fillna("")
    cells.index += 1
    return cells[(cells != "").any(axis=1)]


def _letters(name):
    """A column's name as all years and reports write it."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    for old, new in (("commercial", "comm"), ("spreading", "spread"), ("postions", "positions")):
        letters = letters.replace(old, new)
    return letters.removesuffix("all")


class _Sheet:
    """Cells of a file, found by the names of their columns; MarketError names the line of what is wrong."""

    def __init__(self, path, cells):
        if len(cells) < 2:
            raise MarketError(f"{path}: no rows below the columns' names")
        self.path, self.body = path, cells.iloc[1:]
        self.columns = {}
        for place, name in cells.iloc[0].items():
            self.columns.setdefault(_letters(name), []).append(place)

    def has(self, name):
        return _letters(name) in self.columns

    def text(self, name):
        places = self.columns[_letters(name)]
        if len(places) > 1:
            raise MarketError(f"{self.path}: {len(places)} columns are called {name}; leave one")
        return self.body[places[0]].str.strip()

    def words(self, name):
        column = self.text(name)
        self.check(name, column, column != "", "give its name")
        return column.str.replace(r"\s+", " ", regex=True)

    def numbers(self, name, withheld=()):
        column = self.text(name)
        blank = column.isin(withheld)
        self.check(name, column, blank | column.str.fullmatch(r"\d+(\.0*)?"), "give a whole number ≥ 0")
        return column.mask(blank, "nan").astype(float)

    def dates(self):
        pd = _pandas()
        name = next((name for name in _DATES if self.has(name)), None)
        if name is None:
            raise MarketError(f"{self.path}: no column of dates; needed is one of {', '.join(_DATES)}")
        column = self.text(name)
        days = column.str.split(r"[T ]", regex=True).str[0]
        days = days.str.zfill(6) if _DATES[name] == ("%y%m%d",) else days
        dates = pd.Series(pd.NaT, column.index, dtype="datetime64[s]")
        for form in _DATES[name]:
            dates = dates.fillna(pd.to_datetime(days, format=form, errors="coerce").astype("datetime64[s]"))
        self.check(name, column, dates.notna(), "give a date such as 2024-06-11")
        return dates

    def check(self, name, column, good, remedy):
        if not good.all():
            line = good.idxmin()
            raise MarketError(f"{self.path}, line {line}: {name} is {column[line]!r}; {remedy}")


def _columns(category, stem):
    """Column of each series of a category, as the Commission calls it."""
    sides = {"long": "Long", "short": "Short"} | ({} if category in _WITHOUT_SPREADS else {"spread": "Spread"})
    held = {side: f"{stem}_Positions_{word}_All" for side, word in sides.items()}
    return held | {f"traders_{side}": f"Traders_{stem}_{sides[side]}_All" for side in ("long", "short")}


def _report(sheet):
    """The report whose columns these are."""
    missing = {}
    for report, stems in REPORTS.items():
        names = [name for category, stem in stems.items() for name in _columns(category, stem).values()]
        missing[report] = [name for name in (*_CONTRACT.values(), *names) if not sheet.has(name)]
    report = min(missing, key=lambda report: len(missing[report]))
    if missing[report]:
        lacking = ", ".join(missing[report][:3]) + (" and others" if len(missing[report]) > 3 else "")
        remedy = "Columns need their names in the first row, as in the yearly files of the Commission"
        said = f"no report of the Commission, and no extract: {lacking} missing for {report}"
        raise MarketError(f"{sheet.path}: {said}. {remedy}; its files of one week have none")
    return report


def _combined(sheet):
    if not sheet.has(_KIND):
        return None
    said, known = sheet.text(_KIND), {"futonly": False, "combined": True}
    alike = said.str.lower().isin(known) & (said == said.iloc[0])
    sheet.check(_KIND, said, alike, "give FutOnly or Combined, the same in all rows")
    return known[said.iloc[0].lower()]


def _block(sheet, category, stem):
    """Rows of one category."""
    names = _columns(category, stem)
    series = {key: sheet.numbers(name, (".",) if key in _COUNTS else ()) for key, name in names.items()}
    code = sheet.words(_CONTRACT["code"]).str.zfill(6)  # spreadsheets drop zeros in front
    row = {"name": sheet.words(_CONTRACT["name"]), "code": code, "date": sheet.dates()}
    interest = sheet.numbers(_CONTRACT["open_interest"])
    return _pandas().DataFrame({**row, "category": category, "open_interest": interest, "spread": 0.0, **series})


def _extract(sheet):
    category, name = sheet.words("category"), sheet.words("contract")
    known = list(dict.fromkeys(category for stems in REPORTS.values() for category in stems))
    sheet.check("category", category, category.isin(known), f"choose one of {', '.join(known)}")
    series = {key: sheet.numbers(key, ("", ".") if key in _COUNTS else ()) for key in SERIES}
    interest = sheet.numbers("open_interest") if sheet.has("open_interest") else np.nan
    row = {"name": name, "code": name, "date": sheet.dates(), "category": category}
    return _pandas().DataFrame({**row, "open_interest": interest, **series})


def _report_with(path, rows):
    """The report that an extract's categories are of."""
    there = set(rows["category"])
    report = next((report for report, stems in REPORTS.items() if there <= set(stems)), None)
    if report is None:
        raise MarketError(f"{path}: categories {', '.join(sorted(there))} are of no one report; keep those of one")
    return report
