"""What people meet who bring data: each situation has its right value or its exact refusal.

Here stand those that no other test holds; `ELSEWHERE` says where the others are.
"""

import ast
import datetime
import gzip
import os
import threading
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import xarray as xr

import jaxmech as jm
from commitments import THREE_CONTRACTS, tff, written
from jaxmech.estimation.observation_files import checked_format
from jaxmech.estimation.observations import observations

VALUES = [-1.0, 0.5, 2.0]
LINES = [f"a,{value}\n" for value in VALUES]
DRAWS = np.linspace(-1.0, 1.0, 20)

# What the other tests hold: file, test, situations.
ELSEWHERE = {
    "test_observations": {
        "test_what_cannot_be_read_is_refused_by_line_and_cell": (
            "thousands marks that are not quoted",
            "short rows",
            "texts among numbers",
            "dates in a column of numbers",
            "truth values",
            "rows without a group",
        ),
        "test_all_problems_are_in_one_message_in_the_order_of_the_lines": ("many problems at once",),
        "test_a_gap_written_as_a_number_is_one_in_whatever_digits": ("a number that means a gap, -999",),
        "test_ordinary_exports_are_read_without_options": ("blanks around names and cells",),
        "test_a_workbook_is_read_cell_by_cell": ("workbooks",),
        "test_tables_in_memory_are_read": ("pandas, polars, dictionaries, xarray",),
        "test_dimensions_of_a_dataset_can_be_groups_and_its_unit_is_told": ("units in attributes",),
    },
    "test_observation_files": {
        "test_rows_that_do_not_fit_are_kept_apart_by_line_and_empty_ones_left_out": ("rows torn apart, empty rows",),
        "test_what_is_no_table_is_refused": ("two columns of one name", "quotes that do not end"),
        "test_every_usual_encoding_is_found_out_and_told": ("marks before the text, CRLF, UTF-16, cp1252",),
        "test_titles_above_the_names_are_passed_over_and_told": ("titles above the names, sep=;",),
        "test_the_sheet_of_a_workbook_is_the_one_with_the_columns": ("formulas that were never calculated",),
    },
    "test_number_texts": {
        "test_marked_numbers_that_are_thousands_or_decimals_are_refused_with_the_option_to_give": (
            "1.956: thousands or decimals",
        ),
        "test_the_mark_is_that_of_most_and_the_others_are_named": ("both decimal marks in one column",),
        "test_numbers_are_read_as_they_are_meant": ("decimal commas", "(198), $ 5, #N/A, a lone dash"),
        "test_infinite_numbers_and_two_currencies_are_refused": ("two currencies, 1e999",),
        "test_what_is_no_number_is_refused_and_the_others_are_read": ("12%, 5 EUR, 5-, 1_000",),
    },
    "test_cells": {
        "test_numbers_and_gaps_are_read": ("masked arrays, NA, None, Decimal",),
        "test_what_is_no_number_is_kept_apart_with_its_place": ("complex numbers, integers beyond floats",),
        "test_an_array_with_a_unit_is_refused": ("quantities with a unit",),
        "test_a_bad_sample_or_weight_is_named_by_place_and_value": ("weights with NaN",),
    },
    "test_fit_market": {
        "test_one_bad_group_does_not_stop_the_others": ("one bad group among good ones, constant",),
        "test_the_command_takes_numbers_by_group_and_tells_of_groups_left_out": ("a group without a number",),
    },
    "test_float32": {
        "test_a_fit_is_in_float64_and_its_law_works_in_a_session_without": ("sessions in float32",),
    },
    "test_extras": {
        "test_a_missing_package_is_an_import_error_with_its_remedy": ("packages that are not installed",),
    },
    "test_fitting": {
        "test_observations_carried_forward_are_told_from_ties": ("values carried forward",),
        "test_the_order_of_a_series_is_told_and_only_of_a_series": ("observations that resemble each other",),
        "test_a_parameter_at_a_bound_has_no_standard_error_and_a_note": ("an estimate on its bound",),
        "test_a_law_that_the_data_reject_is_told_also_when_it_is_the_best": ("the best law rejected",),
    },
    "test_cot_market": {
        "test_withheld_counts_are_below_four": ("counts that the Commission withholds",),
        "test_what_cannot_be_a_group_is_left_out_with_its_reason": ("categories that can be no group",),
    },
    "test_cot": {
        "test_headers_of_other_years_mean_the_same": ("headers of other years",),
        "test_dates_of_other_years_mean_the_same": ("dates of other years",),
        "test_years_in_any_order_and_zips_are_one_history_in_which_a_week_counts_once": (
            "a week twice, years in any order",
        ),
        "test_files_that_contradict_each_other_are_refused": ("files that contradict each other",),
        "test_a_whole_name_goes_before_names_that_hold_it": ("a contract's name that several bear",),
    },
}


def test_every_situation_that_another_test_holds_is_held_by_it():
    for file, tests in ELSEWHERE.items():
        tree = ast.parse(next(Path(__file__).parents[1].rglob(f"{file}.py")).read_text())
        missing = tests.keys() - {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not missing, f"{file}: {missing}"


FILES = {
    "an index without a name": (",who,z\n" + "".join(f"{k},{line}" for k, line in enumerate(LINES)), "z", {}),
    "a delimiter at every end": ("who,z,\n" + "".join(LINES).replace("\n", ",\n"), "z", {}),
    "notes above the names": ("# of 2024\n# in lots\nwho,z\n" + "".join(LINES), "z", {}),
    "blanks between cells": ("who z\n" + "".join(LINES).replace(",", " "), "z", {"delimiter": " "}),
    "no names, and a number for the column": ("".join(LINES), 2, {"header_row": 0}),
}


@pytest.mark.parametrize("name", FILES)
def test_tables_of_files_are_read(tmp_path, name):
    text, column, form = FILES[name]
    (tmp_path / "t.csv").write_text(text)
    found = observations(tmp_path / "t.csv", column, form=checked_format(**form))
    assert found.values.tolist() == VALUES


REFUSED_FILES = {
    r"line 2: 3 cells under 2 columns' names: \['1', 'a', '-1.0'\]; quote": ("t.csv", "who,z\n1,a,-1.0\n2,a,0.5\n"),
    r"line 2: 3 cells under 2 columns' names: \['a', '-1.0', ''\]; quote": ("t.csv", "who,z\na,-1.0,\n"),
    "line 5: 1 cells under 2 columns' names: .'Source: nobody'": (
        "t.csv",
        "who,z\n" + "".join(LINES) + "Source: nobody",
    ),
    "line 2: z is 'lots', not a number": ("t.csv", "who,z\n,lots\n" + "".join(LINES)),
    "line 5: z is 'z', not a number": ("t.csv", "who,z\n" + "".join(LINES) + "who,z\n"),
    "no column 'z'; there are who z, one name; give the delimiter": ("t.txt", "who z\na 1\n"),
    "t.xls: not a text; save it as .csv or .xlsx": ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0"),
    "t.xlsx: not a workbook: File is not a zip file": ("t.xlsx", "who,z\n"),
    "not a text; save it as .csv or .xlsx, or give a DataFrame": ("t.csv.gz", gzip.compress(b"z\n1\n", mtime=0)),
}


@pytest.mark.parametrize("message", REFUSED_FILES)
def test_files_are_refused_by_what_is_wrong(tmp_path, message):
    name, data = REFUSED_FILES[message]
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(jm.MarketError, match=message):
        observations(tmp_path / name, "z")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["#DIV/0!"], "line 2: z is '#DIV/0!', not a number"),
        ([1.0, 2.0, 3.0], "2 problems:\n  line 3: who is empty; .*\n  line 4: who is empty"),
    ],
)
def test_errors_and_merged_cells_of_workbooks_are_refused(tmp_path, cells, message):
    book = openpyxl.Workbook()
    for row in (["who", "z"], *(["a", cell] for cell in cells)):
        book.active.append(row)
    book.active.merge_cells(f"A2:A{len(cells) + 1}")
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(jm.MarketError, match=message):
        observations(tmp_path / "t.xlsx", "z", "who")


COLUMNS = {
    "texts": (pd.DataFrame({"z": pd.array(["-1", "0.5", "2.0"], dtype="string")}), "z"),
    "categories": (pd.DataFrame({"z": pd.Categorical(VALUES)}), "z"),
    "sparse": (pd.DataFrame({"z": pd.arrays.SparseArray(VALUES)}), "z"),
    "two levels of names": (pd.DataFrame({("z", "lots"): VALUES}), ("z", "lots")),
    "a number for a name": (pd.DataFrame({0: VALUES}), 0),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_in_memory_are_read(name):
    assert observations(*COLUMNS[name]).values.tolist() == VALUES


FRAME = pd.DataFrame({"z": VALUES, "who": ["a", "a", "b"]})
REFUSED = {
    "an address; download it first, and give a path on this machine": ("https://example.org/z.csv", "z"),
    "no column 'who'; there are z; it is the index, of which reset_index": (FRAME.set_index("who"), "z", "who"),
    "row 0: z is Period.*, not a number": (pd.DataFrame({"z": pd.period_range("2024", periods=3)}), "z"),
    "row 0: z is Interval.*, not a number": (pd.DataFrame({"z": pd.cut(VALUES, 2)}), "z"),
    "column is .'z'.; give the name of one column": (FRAME, ["z"]),
    "column is None; give the name of one column": (FRAME, None),
    "group_column is .'who'.; give the name of one column": (FRAME, "z", ["who"]),
    "data is a pandas Series; give a path, a DataFrame": (FRAME["z"], "z"),
    "data is a list; give a path, a DataFrame": ([{"z": 1.0}], "z"),
    r"z is array\(2.\); give a list or an array": ({"z": np.array(2.0)}, "z"),
    "z is .*sparse.*; give a list or an array": ({"z": scipy.sparse.csr_matrix(VALUES)}, "z"),
    "z has 2 dimensions; give one number a row": ({"z": np.ones((3, 2)), "who": ["a"] * 3}, "z", "who"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_table_of_observations_is_refused(message):
    with pytest.raises(jm.MarketError, match=message):
        observations(*REFUSED[message])


@pytest.mark.parametrize(
    "table", [pd.DataFrame({"z": DRAWS, "seen": 1}), pl.DataFrame({"z": DRAWS, "seen": 1}), {"z": DRAWS}, xr.Dataset()]
)
def test_a_whole_table_is_no_sample(table):
    """NumPy makes one array of it, other columns included."""
    with pytest.raises(jm.MarketError, match=f"samples is a whole table, a {type(table).__name__}; give one of its"):
        jm.fit(table)
    with pytest.raises(jm.MarketError, match="weights is a whole table"):
        jm.fit(DRAWS, weights=table)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
def test_supports_whose_squares_are_no_floats_are_refused(unit):
    """Their standard errors were 0, or an OverflowError."""
    with pytest.raises(jm.MarketError, match=r"the support is .* wide, whose square is no float; choose another unit"):
        jm.fit(unit * DRAWS, "uniform")


def test_of_hundreds_of_bad_groups_ten_are_named():
    with pytest.raises(jm.MarketError) as refused:
        jm.fit_market({"z": range(300), "who": range(300)}, "z", group_column="who", family="uniform")
    assert str(refused.value).count("samples are constant") == 10
    assert str(refused.value).endswith("and 290 more")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ('a.b = "c" \\ é\u2028', 'a.b = "c" \\ é'),
        ("nan", "nan"),
        (1, "1"),
        (datetime.date(2024, 1, 5), "2024-01-05"),
        (b"dealer", "dealer"),
    ],
)
def test_names_of_groups_survive_the_market_file(tmp_path, given, name):
    table, out = {"z": [*DRAWS, *DRAWS], "who": [given] * 20 + ["other"] * 20}, tmp_path / "market.toml"
    jm.fit_market(table, "z", group_column="who", family="uniform", out=out)
    assert jm.Market.from_toml(out).names == (name, "other")


@pytest.mark.parametrize(("given", "proposed"), [("]\x07\x7f\n[", "]   ["), ("all", "")])
def test_names_that_no_report_can_show_or_that_mean_every_group_are_refused(tmp_path, given, proposed):
    table, out = {"z": [*DRAWS, *DRAWS], "who": [given] * 20 + ["other"] * 20}, tmp_path / "market.toml"
    with pytest.raises(jm.MarketError, match="name of traders 1 is") as refused:
        jm.fit_market(table, "z", group_column="who", family="uniform", out=out)
    assert proposed in str(refused.value)
    assert not out.exists()


@pytest.mark.parametrize(
    "names",
    [
        np.array([1, np.nan], np.float32),
        [1, Decimal("NaN")],
        np.array(["2024-01-05", "NaT"], "datetime64[D]"),
        np.ma.array(["a", "b"], mask=[False, True]),
        [1, pd.NaT],
        pd.array([1, None], dtype="Int64"),
    ],
)
def test_every_kind_of_gap_is_no_name_of_a_group(names):
    """They were groups called "nan", "NaT" and "--"."""
    with pytest.raises(jm.MarketError, match="a dict, row 1: who is empty; name the group"):
        observations({"z": [1.0, 2.0], "who": names}, "z", "who")


def test_rows_are_told_apart_in_one_pass_however_many_groups_there_are():
    """One comparison of all rows for each group took hours for a column of numbers taken for groups."""
    found = observations({"z": np.arange(200_000.0), "who": np.arange(200_000)}, "z", "who").by_group()
    assert [found[str(k)][0].tolist() for k in (0, 777, 199_999)] == [[0], [777], [199_999]]


def test_names_of_groups_that_may_mean_the_same_are_told():
    found = observations(
        {"z": VALUES * 2, "who": ["Hedge fund", "bank", "hedge  fund", "bank ", "HedgeFund", "b"]}, "z", "who"
    )
    assert found.said.endswith("groups 'Hedge fund' and 'hedge  fund' and 'HedgeFund' differ in case or blanks alone")
    assert list(found.by_group()) == ["Hedge fund", "bank", "hedge  fund", "HedgeFund", "b"]


DOORS = {
    "market": (jm.Market.from_toml, Path(__file__).parents[2] / "experiments" / "markets" / "us_treasury_10y.toml"),
    "commitments": (jm.read_cot, THREE_CONTRACTS),
    "table": (lambda path: observations(path, "Open_Interest_All"), THREE_CONTRACTS),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_pipe_is_read_and_a_folder_refused_for_what_it_is(tmp_path, door):
    """Both were "no such file"."""
    read, path = DOORS[door]
    with pytest.raises(jm.MarketError, match="cannot be read: Is a directory; give"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(path.read_bytes()), daemon=True)
    writer.start()
    read(tmp_path / "pipe")
    writer.join()


DAMAGED = {
    "flipped": lambda data, k: data[:k] + bytes([data[k] ^ 255]) + data[k + 1 :],
    "cut": lambda data, k: data[:k],
    "filled": lambda data, k: data[:k] + bytes(len(data) - k),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("door", ["table", "commitments"])
def test_a_workbook_or_zip_with_damaged_bytes_is_read_or_refused(tmp_path, door, kind):
    """It was zlib's, the XML parser's or openpyxl's own error."""
    if door == "table":
        path = tmp_path / "t.xlsx"
        book = openpyxl.Workbook()
        for value in ("z", *VALUES):
            book.active.append([value])
        book.save(path)
    else:
        path = tmp_path / "t.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("data.txt", THREE_CONTRACTS.read_bytes()[:9000].rpartition(b"\n")[0])
    read = jm.read_cot if door == "commitments" else lambda path: observations(path, "z")
    data, refused = path.read_bytes(), 0
    read(path)
    for place in np.random.default_rng(0).integers(0, len(data), 60):
        path.write_bytes(DAMAGED[kind](data, int(place)))
        try:
            read(path)
        except jm.MarketError:
            refused += 1
    assert refused > 10


def test_a_workbook_of_charts_alone_has_no_columns(tmp_path):
    book = openpyxl.Workbook()
    book.create_chartsheet().add_chart(openpyxl.chart.BarChart())
    del book["Sheet"]
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(jm.MarketError, match=r"t\.xlsx: no column 'z' in sheet ; there are none"):
        observations(tmp_path / "t.xlsx", "z")


def test_a_market_is_written_where_there_is_a_folder(tmp_path):
    for out, message in (
        (tmp_path / "no" / "m.toml", "m.toml'; give a file in a folder"),
        (tmp_path, "give a file in"),
    ):
        with pytest.raises(jm.MarketError, match=message):
            jm.fit_market({"z": DRAWS}, "z", family="uniform", out=out)
        with pytest.raises(jm.MarketError, match=message):
            jm.cot_market(THREE_CONTRACTS, "nano ether", window=8, out=out)


def test_files_of_the_commission_are_refused_by_what_is_wrong(tmp_path):
    with pytest.raises(jm.MarketError, match="contract '43602': none of 3; near it: UST 10Y NOTE"):
        jm.read_cot(THREE_CONTRACTS).contract("43602")
    with pytest.raises(jm.MarketError, match="an address; download it first"):
        jm.read_cot("https://www.cftc.gov/files/dea/history/fut_fin_txt_2024.zip")
    head, *rows = tff(weeks=2)
    rows[0][head.index("Dealer_Positions_Long_All")] = "1,956"
    with pytest.raises(jm.MarketError, match="line 2: Dealer_Positions_Long_All is '1,956'; give a whole number"):
        jm.read_cot(written(tmp_path / "data.txt", [head, *rows]))
    index = [["Market and Exchange Names", "CIT Positions-Long"], ["WHEAT", "3"]]
    with pytest.raises(jm.MarketError, match="no report of the Commission, and no extract"):
        jm.read_cot(written(tmp_path / "index.txt", index))
