"""Tables of observations: every cell is read as it was meant, or refused with its line and what to do."""

import csv
import datetime
import io
from decimal import Decimal
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pint
import polars as pl
import pytest
import xarray as xr

import jaxmech as jm
from jaxmech.estimation.observation_files import checked_format
from jaxmech.estimation.observations import observations


def read(path, text, *columns, **form):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return observations(path, *(columns or ("position", "who")), form=checked_format(**form))


def refusal(path, text, *columns, **form):
    with pytest.raises(jm.MarketError) as refused:
        read(path, text, *columns, **form)
    return str(refused.value).removeprefix(str(path))


READ = {
    "plain": "who,position\ndealer,1956.5\nfund,-198\nfund,\n",
    "a spreadsheet's export": '\ufeffwho,position\r\ndealer,"$1,956.50"\r\nfund,(198)\r\nfund,#N/A\r\n,\r\n',
    "with decimal commas": "who;position\ndealer;1.956,5\nfund;-198\nfund; - \n",
    "with blanks": " who \t position\u00a0\ndealer\t1\u00a0956.5\nfund\t −198 \nfund\t\u00a0\n",
    "in UTF-16": "who\tposition\ndealer\t1956.5\nfund\t-198\nfund\tNULL\n".encode("utf-16"),
    "in the code page of Windows": "é|who|position\n€|dealer|1956,5\n|fund|-198,0\n|fund|n/a\n".encode("cp1252"),
    "under a title": "Positions, in lots\n\nwho,position\ndealer,1956.5\nfund,-198\nfund,.\n",
}


@pytest.mark.parametrize("name", READ)
def test_ordinary_exports_are_read_without_options(tmp_path, name):
    found = read(tmp_path / "t.csv", READ[name])
    np.testing.assert_array_equal(found.values, [1956.5, -198, np.nan])
    assert found.groups == ("dealer", "fund", "fund")
    assert found.said.startswith("read 3 rows of t.csv; ")


def test_what_was_found_out_is_told(tmp_path):
    found = read(tmp_path / "positions.csv", READ["in the code page of Windows"])
    assert found.said == "read 3 rows of positions.csv; encoding cp1252; delimiter '|'; decimal ','"
    found = read(tmp_path / "positions.csv", READ["a spreadsheet's export"])
    assert found.said.split("; ")[1:] == [
        "delimiter ','",
        "1 empty rows left out",
        "decimal '.'",
        "thousands ','",
        "currency $ left out",
    ]


REFUSED = {
    "an unquoted thousands mark": ("who,position\na,1,956\n", ", line 2: 3 cells under 2 columns' names: ['a', '1'"),
    "a short row": ("who,position\na,1\nb\n", ", line 3: 1 cells under 2 columns' names"),
    "two columns of one name": ("who,position,position\na,1,2\n", ": 2 columns are named 'position'; rename all"),
    "thousands or decimals": ('who,position\na,"1,956"\nb,12\n', ", line 2: position is '1,956', 1956 or 1.9"),
    "a text": ("who,position\na,1\nb,much\n", ", line 3: position is 'much', not a number; leave it empty if unknown"),
    "a date": ("who,position\na,2024-01-05\n", ", line 2: position is '2024-01-05', not a number"),
    "a truth value": ("who,position\na,TRUE\n", ", line 2: position is 'TRUE', not a number"),
    "no group": ("who,position\n ,1\n", ", line 2: who is empty; name the group or leave the row out"),
    "infinite": ("who,position\na,1e999\n", ", line 2: position is '1e999', infinite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_line_and_cell(tmp_path, name):
    text, said = REFUSED[name]
    assert refusal(tmp_path / "t.csv", text).startswith(said)


def test_all_problems_are_in_one_message_in_the_order_of_the_lines(tmp_path):
    text = "who,position,seen\na,x,1\nb,1,956,1\n,2,1\nc,3,-1\nd,,\ne,4,\nf,5,1\n"
    said = refusal(tmp_path / "t.csv", text, "position", "who", "seen").split("\n  ")
    assert said[0] == ": 5 problems:"
    assert [[*line.split(" ", 3)[:2], line.split(": ")[1][:8]] for line in said[1:]] == [
        ["line", "2:", "position"],
        ["line", "3:", "4 cells "],
        ["line", "4:", "who is e"],
        ["line", "5:", "seen is "],
        ["line", "7:", "seen is "],
    ]
    said = refusal(tmp_path / "t.csv", "who,position\n" + "a,x\n" * 47)
    assert said.count("position is 'x'") == 10
    assert said.endswith("and 37 more")


def test_marks_of_all_columns_settle_each_other(tmp_path):
    found = read(tmp_path / "t.csv", "position;seen\n1.956;0,5\n2.000;2\n", "position", None, "seen")
    np.testing.assert_array_equal(found.values, [1956, 2000])
    np.testing.assert_array_equal(found.weights, [0.5, 2])


def test_a_gap_written_as_a_number_is_one_in_whatever_digits(tmp_path):
    found = read(tmp_path / "t.csv", "position\n-999\n-999.00\n1\n", "position", missing="-999.0")
    np.testing.assert_array_equal(found.values, [np.nan, np.nan, 1])
    found = observations({"p": [-999.0, 1.0]}, "p", form=checked_format(missing=("-999",)))
    np.testing.assert_array_equal(found.values, [np.nan, 1])
    found = read(tmp_path / "t.csv", "p;q\n0,5;\n-9,999;\n-9.999;\n-9999;\n", "p", missing="-9.999")
    np.testing.assert_array_equal(found.values, [0.5, -9.999, np.nan, np.nan])


def test_a_workbook_is_read_cell_by_cell(tmp_path):
    frame = pd.DataFrame(
        {"who": ["a", "b", "c"], "position": [1.5, None, "$1,956"], "day": [datetime.date(2024, 1, 5)] * 3}
    )
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    found = observations(tmp_path / "t.xlsx", "position", "who", form=checked_format(decimal="."))
    np.testing.assert_array_equal(found.values, [1.5, np.nan, 1956])
    with pytest.raises(jm.MarketError, match=r"line 2: day is datetime.*, a date or time, not a number"):
        observations(tmp_path / "t.xlsx", "day")


VALUES, GROUPS = [1.5, np.nan, -2.0], ("a", "b", "a")
COLUMNS = {"position": [1.5, None, -2.0], "who": ["a", "b", "a"], "seen": [1, 2, 3]}
TABLES = {
    "a dictionary": COLUMNS,
    "a dictionary of arrays": {
        "position": np.ma.array([1.5, 9, -2], mask=[0, 1, 0]),
        "who": np.array(GROUPS),
        "seen": [1, 2, 3],
    },
    "a dictionary of texts": COLUMNS | {"position": ["1,5", "", "(2)"]},
    "pandas": pd.DataFrame(COLUMNS),
    "pandas with an odd index": pd.DataFrame(COLUMNS, index=[7, 7, 7]),
    "pandas' nullable columns": pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas' categories": pd.DataFrame(COLUMNS).astype({"who": "category"}),
    "pandas' objects": pd.DataFrame(COLUMNS | {"position": [Decimal("1.5"), pd.NA, -2]}),
    "polars": pl.DataFrame(COLUMNS),
    "polars, lazily": pl.LazyFrame(COLUMNS),
    "xarray": pd.DataFrame(COLUMNS).to_xarray(),
    "a DataArray": xr.DataArray(VALUES, {"who": ("x", list(GROUPS)), "seen": ("x", [1, 2, 3])}, "x", "position"),
    "a DataArray of percents": xr.DataArray(
        np.array([150, np.nan, -200]) * pint.UnitRegistry().percent,
        {"who": ("x", list(GROUPS)), "seen": ("x", [1, 2, 3])},
        "x",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_in_memory_are_read(name):
    found = observations(TABLES[name], "position", "who", "seen")
    np.testing.assert_array_equal(found.values, VALUES)
    np.testing.assert_array_equal(found.weights, [1, 2, 3])
    assert found.groups == GROUPS
    assert found.said.startswith("read 3 rows of a")
    by_group = found.by_group()
    np.testing.assert_array_equal(by_group["a"][0], [1.5, -2])
    np.testing.assert_array_equal(by_group["b"][1], [2])


def test_dimensions_of_a_dataset_can_be_groups_and_its_unit_is_told():
    table = xr.Dataset(
        {"position": (("week", "who"), [[1.0, 2.0], [3.0, 4.0]], {"units": "lots"})}, {"who": ["a", "b"]}
    )
    found = observations(table, "position", "who")
    np.testing.assert_array_equal(found.by_group()["b"][0], [2, 4])
    assert found.said.endswith("position in lots")


REFUSED_IN_MEMORY = {
    "row 1: p is True, a truth value": pd.DataFrame({"p": [1, True]}, dtype=object),
    "row 0: p is np.True_, a truth value": pd.DataFrame({"p": [True, False]}),
    "row 1: p is -inf; leave it empty": pl.DataFrame({"p": [1.0, -np.inf]}),
    "row 0: p is .*2024.*, a date or time": pl.DataFrame({"p": [datetime.date(2024, 1, 5)]}),
    "row 1: p is 'x', not a number": {"p": [1.0, "x"]},
    "row 0: p is .*meter.*, a quantity with a unit": {"p": [1.0] * pint.UnitRegistry().meter},
    "row 1: p is .*meter.*, a quantity with a unit": {"p": [1.0, pint.UnitRegistry().meter * 3]},
    "no column 'p'; there are q": pd.DataFrame({"q": [1.0]}),
    "columns of one name; rename": pd.DataFrame([[1, 2]], columns=["p", "p"]),
    "p is 'abc'; give a list or an array": {"p": "abc"},
    "data is 3; give a path, a DataFrame": 3,
    "a dict: no rows": {"p": []},
}


@pytest.mark.parametrize("message", REFUSED_IN_MEMORY)
def test_cells_in_memory_that_are_no_numbers_are_refused_by_row(message):
    with pytest.raises(jm.MarketError, match=message):
        observations(REFUSED_IN_MEMORY[message], "p")


def test_columns_of_unequal_lengths_and_formats_of_files_are_refused():
    with pytest.raises(jm.MarketError, match="columns of unequal lengths: p 2, g 1"):
        observations({"p": [1, 2], "g": ["a"]}, "p", "g")
    with pytest.raises(jm.MarketError, match="header_row is for files; leave it out for a pandas DataFrame"):
        observations(pd.DataFrame({"p": [1.0]}), "p", form=checked_format(header_row=0))
    with pytest.raises(jm.MarketError, match="row 0: g is empty"):
        observations(pd.DataFrame({"p": [1.0], "g": [None]}), "p", "g")


class Written(NamedTuple):
    """A table and how it was written."""

    numbers: list  # Decimal, or None for a gap
    groups: list
    lines: list  # cells as written, the names first
    delimiter: str
    decimal: str
    thousands: str
    encoding: str
    ends: str
    titles: int
    dressed: bool  # whether pandas cannot read its numbers: blanks, currencies, accounting
    ragged: bool

    @property
    def data(self):
        file = io.StringIO()
        rows = csv.writer(file, delimiter=self.delimiter, lineterminator=self.ends)
        rows.writerows([["Positions of some day"]] * self.titles)
        for line in self.lines:
            if isinstance(line, str):
                file.write(line + self.ends)
            else:
                rows.writerow(line)
        return file.getvalue().encode(self.encoding)

    @property
    def expected(self):
        return [np.nan if number is None else float(number) for number in self.numbers]


GAPS = ["", "NA", "#N/A", "nan"]
NAMES = ["dealer", "Händler", "a; b", "x,y", 'say "hi"', "two\nlines", "Crédit | Cie", "1.956", "tab\there"]


def number_text(draw, number, decimal, thousands, dressed):
    if number is None:
        return draw(st.sampled_from([*GAPS, "-", " "] if dressed else GAPS))
    whole, point, rest = f"{abs(number):{',' if thousands else ''}f}".partition(".")
    text = whole.replace(",", thousands) + point.replace(".", decimal) + rest
    if not dressed:
        return f"-{text}" if number < 0 else text
    text = draw(st.sampled_from(["{}", "${}", "$ {}", " {}", "{} "])).format(text)
    return draw(st.sampled_from(["({})", "-{}", "−{}"] if number < 0 else ["{}"])).format(text)


@st.composite
def tables(draw):
    decimal = draw(st.sampled_from(".,"))
    thousands = draw(st.sampled_from(["", "", *({",", ".", "'", " "} - {decimal})]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"]))
    dressed = draw(st.booleans()) and encoding.startswith("utf")
    places = draw(st.sampled_from([0, 1, 2, 3]))
    value = st.decimals(-2_000_000, 2_000_000, places=places) | st.decimals(-9999, 9999, places=3)
    number = st.none() | (value if draw(st.booleans()) else st.decimals(-9, 9, places=3))
    numbers = draw(st.lists(number, min_size=1, max_size=6))
    groups = [draw(st.sampled_from(NAMES)) for _ in numbers]
    wide = draw(st.booleans())
    lines = [["who", "position", "Anmerkung ä"] if wide else ["position"]]
    for number, group in zip(numbers, groups, strict=True):
        text = number_text(draw, number, decimal, thousands, dressed)
        lines.append([group, text, draw(st.sampled_from(["", "ok", "0.5"]))] if wide else [text])
    delimiter, ragged = draw(st.sampled_from(",;\t|")), False
    if draw(st.integers(0, 3)) == 0:  # written without quotes: marks that are the delimiter tear a row apart
        place = draw(st.integers(1, len(numbers)))
        plain = delimiter.join(lines[place])
        if plain and not set(plain) & set('\n"'):
            lines[place], ragged = plain, plain.count(delimiter) + 1 != len(lines[0])
    ends, titles = draw(st.sampled_from(["\n", "\r\n"])), draw(st.integers(0, 2)) if wide else 0
    written = decimal, thousands, encoding, ends, titles, dressed, ragged
    return Written(numbers, groups if wide else None, lines, delimiter, *written)


def seen_by_pandas(path, table):
    frame = pd.read_csv(
        path,
        sep=table.delimiter,
        decimal=table.decimal,
        thousands=table.thousands or None,
        encoding=table.encoding,
        skiprows=table.titles,
        na_values=GAPS,
        skip_blank_lines=False,
        usecols=["position"],
    )
    return frame["position"].tolist()


def check(path, table):
    path.write_bytes(table.data)
    columns = ("position", "who" if table.groups else None)
    marks = {"decimal": table.decimal, "thousands": table.thousands}
    told = marks | {"delimiter": table.delimiter, "encoding": table.encoding, "header_row": table.titles + 1}
    for form, must in ((told, True), (marks, table.encoding != "latin-1"), ({}, False)):
        try:
            found = observations(path, *columns, form=checked_format(**form))
        except jm.MarketError as error:
            assert table.ragged or not must, error
            assert "line" in str(error)
            assert table.ragged or "tells which" in str(error), error
            continue
        # A single column's delimiter stands inside its numbers: without being told of it they are read whole.
        assert not table.ragged or (table.groups is None and form is not told)
        np.testing.assert_array_equal(found.values, table.expected)
        assert found.groups == (table.groups and tuple(table.groups))
    if not table.ragged and not table.dressed:
        np.testing.assert_allclose(seen_by_pandas(path, table), table.expected, rtol=1e-14)


SETTINGS = {"deadline": None, "derandomize": True, "database": None}
SETTINGS["suppress_health_check"] = [hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow]


@hypothesis.settings(max_examples=150, **SETTINGS)
@hypothesis.given(tables())
def test_no_table_is_read_as_other_numbers_than_it_was_made_of(tmp_path, table):
    check(tmp_path / "t.csv", table)


@pytest.mark.exhaustive
@hypothesis.settings(max_examples=2000, **SETTINGS)
@hypothesis.given(tables())
def test_none_of_two_thousand_tables_is_read_as_other_numbers_than_it_was_made_of(tmp_path, table):
    check(tmp_path / "t.csv", table)
