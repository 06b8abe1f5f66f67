"""Files of observations: encodings, delimiters, workbooks, and rows that do not fit."""

import datetime

import openpyxl
import pytest

import jaxmech as jm
from jaxmech.estimation.observation_files import checked_format, file_rows

PLAIN = "who;position\nHändler;1\nfund;2\n"


def read(path, data, *columns, **form):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return file_rows(path, columns or ("who", "position"), checked_format(**form))


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ("encoding utf-16",)),
        ("utf-16-le", ("encoding utf-16-le",)),
        ("utf-16-be", ("encoding utf-16-be",)),
        ("utf-32", ("encoding utf-32",)),
        ("cp1252", ("encoding cp1252",)),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_usual_encoding_is_found_out_and_told(tmp_path, encoding, said, ends):
    found = read(tmp_path / "table.csv", PLAIN.replace("\n", ends).encode(encoding))
    assert found.cells == [["Händler", "1"], ["fund", "2"]]
    assert found.said == (*said, "delimiter ';'")
    assert found.lines == [2, 3]


def test_an_encoding_that_is_given_is_used(tmp_path):
    data = PLAIN.replace("ä", "ŕ").encode("cp1250")
    assert read(tmp_path / "t.csv", data, encoding="cp1250").cells[0][0] == "Hŕndler"
    with pytest.raises(jm.MarketError, match=r"not a text in utf-8: invalid.*; give its encoding"):
        read(tmp_path / "t.csv", data, encoding="utf-8")


@pytest.mark.parametrize("delimiter", ",;\t|")
def test_the_delimiter_is_the_one_that_the_names_stand_between(tmp_path, delimiter):
    text = f'who{delimiter} "position" {delimiter}note\n"a;b,c|d"{delimiter} "1,5"{delimiter}\n'.replace('" ', '"')
    found = read(tmp_path / "t.csv", text)
    assert found.cells == [["a;b,c|d", "1,5", ""]]
    assert found.names == ("who", "position", "note")


def test_a_single_column_is_read_whatever_its_decimal_mark(tmp_path):
    assert read(tmp_path / "t.csv", "z\n1,5\n", "z").cells == [["1,5"]]
    assert read(tmp_path / "t.csv", "z\n1.5\n", "z").said == ("one column",)


def test_titles_above_the_names_are_passed_over_and_told(tmp_path):
    for text in ("Report; of 2024\n\nwho;position\na;1\n", "sep=;\n\nwho;position\na;1\n"):
        found = read(tmp_path / "t.csv", text)
        assert (found.cells, found.lines, found.said[-1]) == ([["a", "1"]], [4], "columns' names in line 3")
    found = read(tmp_path / "t.csv", "who;position\nx\nwho;position\na;1\n", header_row=3)
    assert found.cells == [["a", "1"]]
    found = read(tmp_path / "t.csv", "who;position\nx\nwho;position\na;1\n", skip_rows=2)
    assert found.cells == [["a", "1"]]
    assert read(tmp_path / "t.csv", "a,1\nb,2\n", "2", header_row=0).cells == [["a", "1"], ["b", "2"]]


def test_rows_that_do_not_fit_are_kept_apart_by_line_and_empty_ones_left_out(tmp_path):
    found = read(tmp_path / "t.csv", 'who,position\n"a\nb",1\nc,1,956\n,\n\n  \nd\ne,2\n')
    assert found.cells == [["a\nb", "1"], ["e", "2"]]
    assert found.lines == [2, 9]
    assert found.said == ("delimiter ','", "2 empty rows left out")
    assert set(found.ragged) == {4, 8}
    assert "3 cells under 2 columns' names: ['c', '1', '956']; quote a cell that holds the delimiter" in found.ragged[4]


REFUSED = {
    "no column 'position'; there are who, size": "who,size\na,1\n",
    "2 columns are named 'position'; rename": "who,position,position\na,1,2\n",
    "no rows below": "who,position\n",
    "unexpected end of data; check the quotes": 'who,position\na,"1\n',
    "not a text; save it as .csv or .xlsx": b"\x89PNG\x00\x01",
    "not a text in utf-16: truncated data": b"\xff\xfe\x00",
    "there are none": b"",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_no_table_is_refused(tmp_path, message):
    with pytest.raises(jm.MarketError, match=message):
        read(tmp_path / "t.csv", REFUSED[message])


BAD_FORMATS = {
    "delimiter is ';;'": {"delimiter": ";;"},
    "delimiter is '\"'": {"delimiter": '"'},
    "decimal is '·'; choose one of '.', ','": {"decimal": "·"},
    "thousands is '_'; choose one of '', ','": {"thousands": "_"},
    "decimal and thousands are both ','": {"decimal": ",", "thousands": ","},
    "encoding is 'klingon'; give a name such as": {"encoding": "klingon"},
    "missing is -999; give texts": {"missing": (-999,)},
    "missing is -9; give texts": {"missing": -9},
    "skip_rows is -1; give a whole number": {"skip_rows": -1},
    "header_row is 1.5; give a whole number": {"header_row": 1.5},
    "sheet is 0; give its name": {"sheet": 0},
    "base64_codec is no encoding of texts|not a text": {"encoding": "base64_codec"},
    "sheet is not for text": {"sheet": "a"},
    "no line 9; header_row is the line": {"header_row": 9},
}


@pytest.mark.parametrize("message", BAD_FORMATS)
def test_formats_that_no_table_has_are_refused(tmp_path, message):
    with pytest.raises(jm.MarketError, match=message):
        read(tmp_path / "t.csv", PLAIN, **BAD_FORMATS[message])


@pytest.fixture
def workbook(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "cover"
    book.active.append(["Positions of 2024"])
    sheet = book.create_sheet("data")
    for row in (["as of", datetime.date(2024, 1, 5)], [], ["who", "position", "seen"]):
        sheet.append(row)
    sheet.append(["a", 1.5, 1])
    sheet.append(["b", "=B4*2", 1])
    sheet.append([None, None, None])
    sheet.append(["c", "1,956.5", None])
    book.save(tmp_path / "book.xlsx")
    return tmp_path / "book.xlsx"


def test_the_sheet_of_a_workbook_is_the_one_with_the_columns(workbook):
    found = file_rows(workbook, ("who", "position"), checked_format())
    assert found.cells == [["a", 1.5, 1], ["b", "=B4*2", 1], ["c", "1,956.5", None]]  # never calculated: no gap
    assert found.lines == [4, 5, 7]
    assert found.said == ("sheet 'data'", "columns' names in line 3", "1 empty rows left out")


def test_sheets_that_cannot_be_told_apart_or_are_not_there_are_refused(workbook):
    with pytest.raises(jm.MarketError, match="sheet is 'x'; choose one of cover, data"):
        file_rows(workbook, ("who",), checked_format(sheet="x"))
    with pytest.raises(jm.MarketError, match="no column 'who' in sheet cover; there are Positions of 2024"):
        file_rows(workbook, ("who",), checked_format(sheet="cover"))
    with pytest.raises(jm.MarketError, match="delimiter is not for workbooks"):
        file_rows(workbook, ("who",), checked_format(delimiter=";"))
    book = openpyxl.load_workbook(workbook)
    book.copy_worksheet(book["data"]).title = "copy"
    book.save(workbook)
    with pytest.raises(jm.MarketError, match="sheets data, copy have these columns; give the sheet"):
        file_rows(workbook, ("who",), checked_format())
    assert file_rows(workbook, ("who",), checked_format(sheet="copy")).said[0] == "sheet 'copy'"
    workbook.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(jm.MarketError, match=r"not a workbook: .*; save it again as .xlsx or .csv"):
        file_rows(workbook, ("who",), checked_format())
