"""Files as the US Commodity Futures Trading Commission publishes them, small ones made up and where large ones lie.

The large ones are not in the repository. The variable JAXMECH_DATA names the folder that holds them:
cftc_financial_futures_2017_2021.csv, and raw/ with Traders in Financial Futures of half of 2024 and a third of 2025.
"""

import csv
import datetime
import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("JAXMECH_DATA", ROOT.parent / "shared" / "data"))
RAW = [DATA / "raw" / name for name in ("tff_2024_first_half.txt", "tff_2025_jan_apr.txt")]
FOUR_CONTRACTS = DATA / "cftc_financial_futures_2017_2021.csv"
THREE_CONTRACTS = ROOT / "docs" / "data" / "tff_2024_three_contracts.txt"  # of the first of RAW, all its columns

_PLACE = ("Market_and_Exchange_Names", "As_of_Date_In_Form_YYMMDD", "Report_Date_as_YYYY-MM-DD")
_PLACE += ("CFTC_Contract_Market_Code", "CFTC_Market_Code", "CFTC_Region_Code", "CFTC_Commodity_Code")


def written(path, rows):
    """The rows as a file of text in which all cells stand in quotes; returns its path."""
    with Path(path).open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return path


def _report(place, stems, positions, traders, name, code, weeks, kind):
    """Header and rows of one contract; in week t the k-th stem holds 1000 k + t, 2000 + 10 k + t and 20 contracts."""
    head, rows = [*place, "Open_Interest_All" if "_" in place[0] else "Open Interest (All)"], []
    head += [positions(stem, side) for stem, sides in stems for side in sides] + [positions(stems[0][0], "Long", "Old")]
    head += [traders(stem, side) for stem, sides in stems for side in sides]
    head += [] if kind is None else ["FutOnly_or_Combined"]
    for week in range(weeks):
        day = datetime.date(2024, 1, 2) + datetime.timedelta(weeks=week)
        row = [name, f"{day:%y%m%d}", f"{day}", code, "CBT ", "00", "001 ", f"{9000 + week:8d}"]
        for k, (_, sides) in enumerate(stems, 1):
            held = {"Long": 1000 * k + week, "Short": 2000 + 10 * (k - 1) + week}
            row += [f"{held.get(side, 20):8d}" for side in sides]
        row += ["     1"]
        row += [
            "." if side == "Spread" else f"{10 * k + week:6d}"
            for k, (_, sides) in enumerate(stems, 1)
            for side in sides
        ]
        rows.append(row + ([] if kind is None else [kind]))
    return [head, *rows]


_WHEAT = "WHEAT-SRW - CHICAGO BOARD OF TRADE", "001602"
_BOTH = ("Long", "Short")
_ALL = (*_BOTH, "Spread")


def tff(weeks, kind="FutOnly"):
    """Traders in Financial Futures."""
    stems = [(stem, _ALL) for stem in ("Dealer", "Asset_Mgr", "Lev_Money", "Other_Rept")]
    return _report(
        _PLACE,
        stems,
        lambda stem, side, crop="All": f"{stem}_Positions_{side}_{crop}",
        lambda stem, side: f"Traders_{stem}_{side}_All",
        "UST 10Y NOTE - CHICAGO BOARD OF TRADE",
        "043602",
        weeks,
        kind,
    )


def disaggregated(weeks, kind="FutOnly"):
    """Disaggregated, with the two underscores that the Commission writes for swap dealers' short positions."""
    stems = [("Prod_Merc", _BOTH), ("Swap", _ALL), ("M_Money", _ALL), ("Other_Rept", _ALL)]
    return _report(
        _PLACE,
        stems,
        lambda stem, side, crop="All": (
            f"{stem}_{'_' if stem == 'Swap' and side != 'Long' else ''}Positions_{side}_{crop}"
        ),
        lambda stem, side: f"Traders_{stem}_{side}_All",
        *_WHEAT,
        weeks,
        kind,
    )


def legacy(weeks):
    """Legacy: blanks instead of underscores, and no column that says whether options are counted."""
    place = ("Market and Exchange Names", "As of Date in Form YYMMDD", "As of Date in Form YYYY-MM-DD")
    place += ("CFTC Contract Market Code", "CFTC Market Code in Initials", "CFTC Region Code", "CFTC Commodity Code")
    return _report(
        place,
        [("Noncommercial", ("Long", "Short", "Spreading")), ("Commercial", _BOTH)],
        lambda stem, side, crop="All": f"{stem} Positions-{side} ({crop})",
        lambda stem, side: f"Traders-{stem}-{side} (All)",
        *_WHEAT,
        weeks,
        None,
    )
