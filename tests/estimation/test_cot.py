"""Files of the Commitments of Traders: every report and year, several at once, and what is wrong with one."""

import csv
import zipfile

import numpy as np
import pytest

import jaxmech as jm
from commitments import RAW, THREE_CONTRACTS, disaggregated, legacy, tff, written


@pytest.fixture(scope="module")
def published():
    return jm.read_cot(THREE_CONTRACTS)


def equal(one, other):
    assert [contract.summary() for contract in one.contracts] == [contract.summary() for contract in other.contracts]
    for a, b in zip(one.contracts, other.contracts, strict=True):
        assert list(a.categories) == list(b.categories)
        for name in a.categories:
            for left, right in zip(a.categories[name], b.categories[name], strict=True):
                np.testing.assert_array_equal(left, right)


def test_every_number_of_a_published_file_is_read(published):
    """The witness reads the file line by line."""
    assert (published.report, published.combined) == ("Traders in Financial Futures", False)
    with THREE_CONTRACTS.open(newline="") as file:
        lines = sorted(csv.DictReader(file), key=lambda line: line["Report_Date_as_YYYY-MM-DD"])
    assert len(published.contracts) == 3
    for contract in published.contracts:
        own = [line for line in lines if line["CFTC_Contract_Market_Code"] == contract.code]
        assert contract.name == own[0]["Market_and_Exchange_Names"]
        assert contract.open_interest == int(own[-1]["Open_Interest_All"])
        for name, stem in (("dealer", "Dealer"), ("asset_manager", "Asset_Mgr"), ("leveraged_fund", "Lev_Money")):
            series = contract.categories[name]
            assert series.dates.astype(str).tolist() == [line["Report_Date_as_YYYY-MM-DD"] for line in own]
            for side in ("long", "short", "spread"):
                column = f"{stem}_Positions_{side.capitalize()}_All"
                assert getattr(series, side).tolist() == [int(line[column]) for line in own]
            for side in ("long", "short"):
                cells = [line[f"Traders_{stem}_{side.capitalize()}_All"].strip() for line in own]
                found = getattr(series, f"traders_{side}")
                assert [cell == "." for cell in cells] == np.isnan(found).tolist()
                assert found[~np.isnan(found)].tolist() == [int(cell) for cell in cells if cell != "."]


def test_a_disaggregated_report_is_told_by_its_columns(tmp_path):
    found = jm.read_cot(written(tmp_path / "c_year.txt", disaggregated(weeks=3, kind="Combined")))
    assert (found.report, found.combined) == ("Disaggregated", True)
    series = found.contract("WHEAT").categories
    assert list(series) == ["producer_merchant", "swap_dealer", "managed_money", "other_reportable"]
    assert series["swap_dealer"].short.tolist() == [2010, 2011, 2012]
    assert series["swap_dealer"].spread.tolist() == [20, 20, 20]
    assert series["producer_merchant"].spread.tolist() == [0, 0, 0]


def test_a_legacy_report_is_told_by_its_columns_and_does_not_say_what_it_counts(tmp_path):
    found = jm.read_cot(written(tmp_path / "annual.txt", legacy(weeks=2)))
    assert (found.report, found.combined) == ("Legacy", None)
    series = found.contract("wheat").categories
    assert series["noncommercial"].long.tolist() == [1000, 1001]
    assert series["noncommercial"].spread.tolist() == [20, 20]
    assert series["commercial"].short.tolist() == [2010, 2011]
    assert "not said in the files" in str(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.upper(),
        lambda name: name.lower().replace("_", " "),
        lambda name: name.removesuffix("_All"),
        lambda name: name.replace("YYYY-MM-DD", "MM_DD_YYYY"),
        lambda name: name.replace("Report_Date_as", "As of Date in Form"),
    ],
)
def test_headers_of_other_years_mean_the_same(tmp_path, change):
    head, *rows = tff(weeks=3)
    one = jm.read_cot(written(tmp_path / "one.txt", [head, *rows]))
    equal(jm.read_cot(written(tmp_path / "other.csv", [[change(name) for name in head], *rows])), one)


@pytest.mark.parametrize("form", ["{1:02}/{2:02}/{0}", "{0}-{1:02}-{2:02}T00:00:00.000", "{1}/{2}/{0} 12:00:00 AM"])
def test_dates_of_other_years_mean_the_same(tmp_path, form):
    head, *rows = tff(weeks=3)
    one = jm.read_cot(written(tmp_path / "one.txt", [head, *rows]))
    place = head.index("Report_Date_as_YYYY-MM-DD")
    for row in rows:
        row[place] = form.format(*map(int, row[place].split("-")))
    equal(jm.read_cot(written(tmp_path / "other.txt", [head, *rows])), one)


def test_six_digits_are_a_date_where_there_is_no_other(tmp_path):
    head, *rows = tff(weeks=3)
    one = jm.read_cot(written(tmp_path / "one.txt", [head, *rows]))
    place = head.index("Report_Date_as_YYYY-MM-DD")
    equal(jm.read_cot(written(tmp_path / "two.txt", [row[:place] + row[place + 1 :] for row in (head, *rows)])), one)


def test_years_in_any_order_and_zips_are_one_history_in_which_a_week_counts_once(tmp_path):
    head, *rows = tff(weeks=6)
    whole = jm.read_cot(written(tmp_path / "whole.txt", [head, *rows]))
    early = written(tmp_path / "early.txt", [head, *(row for row in rows if row[2] < "2024-01-30")])
    late = written(tmp_path / "late.txt", [head, *(row for row in rows if row[2] > "2024-01-10")])
    with zipfile.ZipFile(tmp_path / "late.zip", "w") as archive:
        archive.write(late, "FinFutYY.txt")
    found = jm.read_cot([tmp_path / "late.zip", early])
    equal(found, whole)
    assert [name for name, _ in found.files] == ["late.zip", "early.txt"]
    assert len({digest for _, digest in found.files}) == 2


def test_codes_whose_zeros_a_spreadsheet_dropped_are_the_same_contract(tmp_path):
    """They were two contracts of one name, each with half of the history."""
    head, *rows = tff(weeks=4)
    place = head.index("CFTC_Contract_Market_Code")
    later = [[*row[:place], row[place].lstrip("0"), *row[place + 1 :]] for row in rows[2:]]
    files = [written(tmp_path / "one.txt", [head, *rows[:2]]), written(tmp_path / "two.txt", [head, *later])]
    equal(jm.read_cot(files), jm.read_cot(written(tmp_path / "all.txt", [head, *rows])))


def test_files_that_contradict_each_other_are_refused(tmp_path):
    head, *rows = tff(weeks=3)
    one = written(tmp_path / "one.txt", [head, *rows])
    rows[1][head.index("Lev_Money_Positions_Short_All")] = "7"
    other = written(tmp_path / "other.txt", [head, *rows])
    with pytest.raises(jm.MarketError, match=r"2024-01-09, leveraged_fund: short is .* in .*one.txt and 7 in .*other"):
        jm.read_cot([one, other])


@pytest.mark.parametrize("other", [legacy(weeks=3), tff(weeks=3, kind="Combined")])
def test_files_of_two_kinds_are_refused(tmp_path, other):
    files = [written(tmp_path / "one.txt", tff(weeks=3)), written(tmp_path / "other.txt", other)]
    with pytest.raises(
        jm.MarketError, match=r"other.txt: is .*, but .*one.txt is Traders in Financial Futures, futures"
    ):
        jm.read_cot(files)


def test_a_contract_is_found_by_its_code_a_part_of_its_name_or_a_former_name(published, tmp_path):
    for text in ("043602", "ust 10y", "UST 10Y NOTE - CHICAGO BOARD OF TRADE"):
        assert published.contract(text).code == "043602"
    head, *rows = tff(weeks=4)
    for row in rows[:2]:
        row[0] = "10-YEAR U.S. TREASURY NOTES - CHICAGO BOARD OF TRADE"
    contract = jm.read_cot(written(tmp_path / "renamed.txt", [head, *rows])).contract("treasury")
    assert (contract.name, len(contract.dates)) == ("UST 10Y NOTE - CHICAGO BOARD OF TRADE", 4)


def test_a_whole_name_goes_before_names_that_hold_it(tmp_path):
    head, *rows = tff(weeks=2)
    names = ("E-MINI S&P 500 - CHICAGO MERCANTILE EXCHANGE", "MICRO E-MINI S&P 500 INDEX - CHICAGO MERCANTILE EXCHANGE")
    more = [
        [name, *row[1:3], code, *row[4:]]
        for name, code in zip(names, ("13874A", "13874U"), strict=True)
        for row in rows
    ]
    found = jm.read_cot(written(tmp_path / "two.txt", [head, *more]))
    assert found.contract("e-mini s&p 500").code == "13874A"
    with pytest.raises(jm.MarketError, match=r"'E-MINI': 2 match; .*\(code 13874A\); MICRO .*\(code 13874U\)"):
        found.contract("E-MINI")


def test_no_such_contract_lists_near_ones(published):
    with pytest.raises(jm.MarketError, match=r"'UST 10 YEAR NOTE': none of 3; near it: UST 10Y NOTE - CHICAGO"):
        published.contract("UST 10 YEAR NOTE")
    with pytest.raises(jm.MarketError, match=r"none of 3; near it: none"):
        published.contract("qqq")
    for text in ("", " ", None, 43602):
        with pytest.raises(jm.MarketError, match="give a part of its name, or its code"):
            published.contract(text)


def changed(name, value):
    head, *rows = tff(weeks=3)
    rows[1][head.index(name)] = value
    return [head, *rows]


def without(name):
    head, *rows = tff(weeks=3)
    place = head.index(name)
    return [row[:place] + row[place + 1 :] for row in (head, *rows)]


REFUSALS = {
    r"line 3: Dealer_Positions_Long_All is 'many'; give a whole number": changed("Dealer_Positions_Long_All", "many"),
    r"line 3: Dealer_Positions_Long_All is '-4'": changed("Dealer_Positions_Long_All", "-4"),
    r"line 3: Dealer_Positions_Long_All is '\.'": changed("Dealer_Positions_Long_All", "."),
    r"line 3: Open_Interest_All is ''": changed("Open_Interest_All", ""),
    r"line 3: Traders_Dealer_Long_All is '0x1f'": changed("Traders_Dealer_Long_All", "0x1f"),
    r"line 3: Traders_Dealer_Long_All is 'nan'": changed("Traders_Dealer_Long_All", "nan"),
    r"line 3: Report_Date_as_YYYY-MM-DD is '2024-02-31'; give a date": changed(
        "Report_Date_as_YYYY-MM-DD", "2024-02-31"
    ),
    r"line 3: Traders_Dealer_Long_All is ''; give a whole number": changed("Traders_Dealer_Long_All", ""),
    r"line 4: Dealer_Positions_Long_All is ''; give a whole number": [*tff(weeks=2), tff(weeks=3)[-1][:8]],
    r"line 3: CFTC_Contract_Market_Code is ''; give its name": changed("CFTC_Contract_Market_Code", " "),
    r"line 3: FutOnly_or_Combined is 'Both'; give FutOnly or": changed("FutOnly_or_Combined", "Both"),
    r"Lev_Money_Positions_Short_All missing for Traders in Financial": without("Lev_Money_Positions_Short_All"),
    r"the first row, as in the yearly files of the Commission; its files of one week have none": tff(weeks=3)[1:],
    r"2 columns are called Open_Interest_All": [[*row, row[7]] for row in tff(weeks=2)],
    r"no rows below the columns' names": tff(weeks=0),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_is_wrong_with_a_file_is_named(tmp_path, message):
    with pytest.raises(jm.MarketError, match=message):
        jm.read_cot(written(tmp_path / "data.txt", REFUSALS[message]))


def test_files_that_are_no_tables_are_refused(tmp_path):
    for name, data in (
        ("binary", b"\xff\xfe\x00"),
        ("empty", b""),
        ("broken", b"PK\x03\x04"),
        ("ragged", b"a,b\n1,2,3"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(jm.MarketError, match="not a table in UTF-8, nor a zip that holds one"):
            jm.read_cot(path)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.txt", "x")
        archive.writestr("b.txt", "x")
    with pytest.raises(jm.MarketError, match="nor a zip that holds one: Multiple files"):
        jm.read_cot(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    for header, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of what needs a password
        data[data.index(header) + place] |= 1
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(jm.MarketError, match=r"nor a zip that holds one: .*encrypted"):
        jm.read_cot(tmp_path / "locked.zip")
    with pytest.raises(jm.MarketError, match="no such file"):
        jm.read_cot(tmp_path / "none.txt")
    for files in ([], 3, None):
        with pytest.raises(jm.MarketError, match="give the path of a file, or a list of them"):
            jm.read_cot(files)


EXTRACT = "contract,date,category,long,short,spread,traders_long,traders_short\n"


def test_an_extract_is_a_row_for_each_week_and_category(tmp_path):
    path = tmp_path / "extract.csv"
    path.write_text(EXTRACT + "wheat,2024-01-09,commercial,5,6,0,,4\nwheat,2024-01-02,commercial,7,8,0,9,\n")
    found = jm.read_cot(path)
    assert (found.report, found.combined) == ("Legacy", None)
    series = found.contract("wheat").categories["commercial"]
    assert series.long.tolist() == [7, 5]
    np.testing.assert_array_equal(series.traders_long, [9, np.nan])
    assert found.contract("wheat").summary()["open_interest"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("x,2024-01-02,dealers,1,1,1,4,4\n", "line 2: category is 'dealers'; choose one of dealer, asset_manager"),
        (
            "x,2024-01-02,dealer,1,1,1,4,4\nx,2024-01-02,commercial,1,1,1,4,4\n",
            "commercial, dealer are of no one report",
        ),
        ("x,1/2/2024,dealer,1,1,1,4,4\n", "line 2: date is '1/2/2024'; give a date such as 2024-06-11"),
        ("x,2024-01-02,dealer,1,1,1,4,4\nx,2024-01-02,dealer,1,1,2,4,4\n", "dealer: spread is 1 in .* and 2 in"),
    ],
)
def test_what_is_wrong_with_an_extract_is_named(tmp_path, rows, message):
    path = tmp_path / "extract.csv"
    path.write_text(EXTRACT + rows)
    with pytest.raises(jm.MarketError, match=message):
        jm.read_cot(path)


@pytest.mark.skipif(not all(path.is_file() for path in RAW), reason="needs the raw files, see tests/commitments.py")
def test_two_raw_files_hold_78_contracts(published):
    found = jm.read_cot(RAW)
    assert len(found.contracts) == 78
    weeks = {contract.code: len(contract.dates) for contract in found.contracts}
    assert (weeks["043602"], weeks["176LM1"]) == (41, 1)
    first = found.contract("043602").categories["dealer"].long[:24]
    np.testing.assert_array_equal(first, published.contract("043602").categories["dealer"].long)
