"""A file of the Commitments of Traders as one table: its columns found, its report told, every cell checked."""

import hashlib
import io
import re
import warnings
from typing import NamedTuple

import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import MarketError, bytes_of

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


class Table(NamedTuple):
    """One file: rows of contract, date and category."""

    report: str
    combined: bool | None
    rows: object  # DataFrame: file, name, code, date, category, open_interest and SERIES
    file: tuple  # name and SHA-256


def file_table(path) -> Table:
    """A file as the Commission publishes it, or an extract; MarketError names the line of what is wrong."""
    with extra("data"):
        import pandas as pd

    data = bytes_of(path, "a file of the Commission, or an extract")
    sheet = _Sheet(path, _cells(path, data))
    if all(sheet.has(name) for name in _EXTRACT):
        blocks, report = [_extract(sheet)], None
    else:
        report = _report(sheet)
        blocks = [_block(sheet, category, stem) for category, stem in REPORTS[report].items()]
    rows = pd.concat(blocks, ignore_index=True).assign(file=str(path))
    file = path.name, hashlib.sha256(data).hexdigest()
    return Table(report or _report_with(path, rows), _combined(sheet), rows, file)


def _cells(path, data):
    """All cells as text, the columns' names in the first row; indexed by line."""
    with extra("data"):
        import pandas as pd

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


def _plain(name):
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
            self.columns.setdefault(_plain(name), []).append(place)

    def has(self, name):
        return _plain(name) in self.columns

    def text(self, name):
        places = self.columns[_plain(name)]
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
        with extra("data"):
            import pandas as pd

        name = next((name for name in _DATES if self.has(name)), None)
        if name is None:
            raise MarketError(f"{self.path}: no column of dates; needed is one of {', '.join(_DATES)}")
        column = self.text(name)
        days = column.str.split(r"[T ]", regex=True).str[0]
        days = days.str.zfill(6) if _DATES[name] == ("%y%m%d",) else days
        found = pd.Series(pd.NaT, column.index, dtype="datetime64[s]")
        for form in _DATES[name]:
            found = found.fillna(pd.to_datetime(days, format=form, errors="coerce").astype("datetime64[s]"))
        self.check(name, column, found.notna(), "give a date such as 2024-06-11")
        return found

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
    report = min(missing, key=lambda one: len(missing[one]))
    if missing[report]:
        lacking = ", ".join(missing[report][:3]) + (" and others" if len(missing[report]) > 3 else "")
        raise MarketError(
            f"{sheet.path}: no report of the Commission, and no extract: {lacking} missing for {report}. Columns need "
            "their names in the first row, as in the yearly files of the Commission; its files of one week have none"
        )
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
    with extra("data"):
        import pandas as pd

    names = _columns(category, stem)
    series = {key: sheet.numbers(name, (".",) if key in _COUNTS else ()) for key, name in names.items()}
    code = sheet.words(_CONTRACT["code"]).str.zfill(6)  # spreadsheets drop zeros in front
    own = {"name": sheet.words(_CONTRACT["name"]), "code": code, "date": sheet.dates()}
    interest = sheet.numbers(_CONTRACT["open_interest"])
    return pd.DataFrame({**own, "category": category, "open_interest": interest, "spread": 0.0, **series})


def _extract(sheet):
    with extra("data"):
        import pandas as pd

    category, name = sheet.words("category"), sheet.words("contract")
    known = list(dict.fromkeys(category for stems in REPORTS.values() for category in stems))
    sheet.check("category", category, category.isin(known), f"choose one of {', '.join(known)}")
    series = {key: sheet.numbers(key, ("", ".") if key in _COUNTS else ()) for key in SERIES}
    interest = sheet.numbers("open_interest") if sheet.has("open_interest") else np.nan
    own = {"name": name, "code": name, "date": sheet.dates(), "category": category}
    return pd.DataFrame({**own, "open_interest": interest, **series})


def _report_with(path, rows):
    """The report that an extract's categories are of."""
    there = set(rows["category"])
    report = next((report for report, stems in REPORTS.items() if there <= set(stems)), None)
    if report is None:
        raise MarketError(f"{path}: categories {', '.join(sorted(there))} are of no one report; keep those of one")
    return report
