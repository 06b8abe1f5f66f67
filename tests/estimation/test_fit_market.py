"""Market files from tables of observed endowments."""

import csv
import tomllib

import numpy as np
import pandas as pd
import polars as pl
import pytest

import jaxmech as jm
from jaxmech.cli import main
from jaxmech.estimation.fit import fit
from jaxmech.estimation.market_from_table import fit_market


@pytest.fixture
def table(tmp_path):
    """Two groups, a missing cell, weights, and a name that needs quoting."""
    path = tmp_path / "table" / "positions.csv"
    path.parent.mkdir()
    generator = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["who", "position", "seen"])
        rows.writerows(["dealer", value, 1] for value in generator.normal(0, 0.5, 40))
        rows.writerows(['fund "A", \\B', value, 2] for value in generator.uniform(-1, 2, 30))
        rows.writerow(["dealer", "", 1])
    return path


def samples(path, group):
    with path.open(newline="", encoding="utf-8") as file:
        return [float(row["position"] or "nan") for row in csv.DictReader(file) if row["who"] == group]


def test_the_file_is_the_market_of_the_fits(table, tmp_path):
    found = fit_market(
        table,
        "position",
        group_column="who",
        family="uniform",
        count=3,
        risk_capacity=0.5,
        out=tmp_path / "market.toml",
    )
    market = jm.Market.from_toml(tmp_path / "market.toml")
    assert market.names == ("dealer", 'fund "A", \\B')
    assert market.count.tolist() == [3, 3]
    assert market.risk_capacity.tolist() == [0.5, 0.5]
    for k, group in enumerate(market.names):
        alone = fit(samples(table, group), "uniform")
        assert (market.endowment.lower[k], market.endowment.upper[k]) == (alone.lower, alone.upper)
    assert found.fits["dealer"].missing == 1
    assert "dealer: uniform law of 40 observations, 1 missing" in found.report()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["histogram", "triangular", "smoothed"])
def test_every_number_survives_the_file(table, tmp_path, family):
    found = fit_market(table, "position", group_column="who", family=family, out=tmp_path / "market.toml")
    jm.Market.from_toml(tmp_path / "market.toml")
    written = tomllib.loads(found.toml)["traders"]
    for group, one in zip(written, found.fits.values(), strict=True):
        assert group["endowment"] == one.endowment_table()


def test_the_provenance_says_what_is_data_and_what_is_not(table):
    said = tomllib.loads(fit_market(table, "position", group_column="who", family="uniform").toml)["provenance"]
    assert said["source"] == "positions.csv, column 'position', group column 'who'"
    assert len(said["data_sha256"]) == 64
    assert said["not_in_the_data"] == "count and risk_capacity"
    assert said["group_1"].startswith("dealer: 40 observations; 1 missing")


def test_weights_and_a_single_group(table):
    found = fit_market(table, "position", weights_column="seen", family="uniform")
    assert list(found.fits) == ["traders"]
    assert found.fits["traders"].observations == 100


def test_counts_by_group(table):
    counts = {"dealer": 2, 'fund "A", \\B': 7}
    found = fit_market(table, "position", group_column="who", family="uniform", count=counts)
    assert [group["count"] for group in tomllib.loads(found.toml)["traders"]] == [2, 7]


REFUSALS = {
    "no column 'size'; there are who, position, seen": {"column": "size"},
    "no column 'kind'": {"group_column": "kind"},
    "line 2: position is 'much', not a number": {"change": (1, "dealer,much,1\n")},
    "line 3: who is empty": {"change": (2, ",0.5,1\n")},
    "count of dealer is 2.5; give a whole number": {"count": 2.5},
    "risk_capacity of dealer is -1; give a number above 0": {"risk_capacity": -1},
    "count: no group 'bank' in the data": {"count": {"bank": 3}},
    "count: none given for group 'fund": {"count": {"dealer": 3}},
    "group dealer: samples: .* lie outside": {"lower": 0.0},
    "family is 'normal'": {"family": "normal"},
}


@pytest.mark.parametrize("message", REFUSALS)
def test_tables_that_cannot_be_are_refused_and_nothing_is_written(table, tmp_path, message):
    options = {"column": "position", "group_column": "who", "family": "uniform"} | REFUSALS[message]
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    place, line = options.pop("change", (0, lines[0]))
    lines[place] = line
    path, out = tmp_path / "data.csv", tmp_path / "market.toml"
    path.write_text("".join(lines), encoding="utf-8")
    with pytest.raises(jm.MarketError, match=message):
        fit_market(path, options.pop("column"), out=out, **options)
    assert not out.exists()


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(jm.MarketError, match="no such file"):
        fit_market(tmp_path / "none.csv", "z")
    for name, data, message in (
        ("binary", b"\xff\xfe\x00", "not a text in utf-16"),
        ("empty", b"", "no column 'z'; there are none"),
        ("bare", b"z\n", "no rows below"),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_bytes(data)
        with pytest.raises(jm.MarketError, match=message):
            fit_market(path, "z")


def test_one_bad_group_does_not_stop_the_others(table, tmp_path):
    with table.open("a", encoding="utf-8") as file:
        file.write("bank,3,1\nbank,3,1\n")
    found = fit_market(table, "position", group_column="who", family="uniform", out=tmp_path / "market.toml")
    assert list(found.fits) == ["dealer", 'fund "A", \\B']
    assert found.refused.keys() == {"bank"}
    assert found.refused["bank"].startswith("samples are constant, 3")
    assert "bank: left out: samples are constant, 3" in found.report()
    said = tomllib.loads(found.toml)["provenance"]
    assert said["left_out_1"].startswith("bank: samples are constant, 3")
    assert jm.Market.from_toml(tmp_path / "market.toml").names == tuple(found.fits)


def test_settings_by_group_with_none_for_the_others(table):
    count, ends = {"dealer": 9, None: 3}, {"dealer": -3.0}
    found = fit_market(table, "position", group_column="who", family="uniform", count=count, lower=ends, upper=4.0)
    dealer, *others = tomllib.loads(found.toml)["traders"]
    assert dealer["count"] == 9 and dealer["endowment"]["lower"] == -3 and dealer["endowment"]["upper"] == 4
    assert {group["count"] for group in others} == {3}
    assert all(group["endowment"]["lower"] > -3 and group["endowment"]["upper"] == 4 for group in others)
    with pytest.raises(jm.MarketError, match="lower: no group 'bank' in the data"):
        fit_market(table, "position", group_column="who", lower={"bank": 3.0})


def test_how_the_table_was_read_is_in_the_report_and_the_provenance(tmp_path):
    path = tmp_path / "positions.csv"
    path.write_text("who;position\n" + "".join(f"a;{k},5\n" for k in range(9)), encoding="utf-8")
    found = fit_market(path, "position", family="uniform")
    said = "read 9 rows of positions.csv; delimiter ';'; decimal ','"
    assert found.report().startswith(said + "\n")
    assert tomllib.loads(found.toml)["provenance"]["reading"] == said
    given = fit_market(path, "position", family="uniform", delimiter=";", decimal=",", missing="8,5")
    assert given.fits["traders"].missing == 1


def test_tables_in_memory_make_the_same_market_as_their_file(table):
    from_file = fit_market(table, "position", group_column="who", weights_column="seen", family="uniform")
    frame = pd.read_csv(table)
    columns = {name: frame[name].tolist() for name in frame}
    for data in (frame, pl.from_dict(columns), columns, frame.to_xarray()):
        found = fit_market(data, "position", group_column="who", weights_column="seen", family="uniform")
        one, other = (tomllib.loads(fitted.toml) for fitted in (found, from_file))
        assert one["traders"] == other["traders"]
        assert "data_sha256" not in one["provenance"]


def test_a_misspelt_setting_is_an_error(table):
    with pytest.raises(TypeError, match="delimeter"):
        fit_market(table, "position", delimeter=";")
    with pytest.raises(jm.MarketError, match="components is an option of mixture; uniform has none such"):
        fit_market(table, "position", family="uniform", components=3)


def test_the_command_takes_numbers_by_group_and_tells_of_groups_left_out(table, tmp_path, capsys):
    path, out = tmp_path / "positions.csv", tmp_path / "market.toml"
    text = table.read_text(encoding="utf-8").replace(",", ";").replace(".", ",").replace('""A"";', '""A"",')
    path.write_text(text + "bank;k.A.;1\n", encoding="cp1252")
    line = ["fit", str(path), "--column=position", "--group-column=who", "--family=uniform", "--out", str(out)]
    line += ["--count", "dealer=9", "--count", "4", "--risk-capacity", "dealer=2", "--lower", "dealer=-3"]
    line += ["--delimiter=;", "--decimal=,", "--encoding=cp1252", "--missing=k.A."]
    assert main(line) == 1
    said = capsys.readouterr()
    assert "jaxmech: group bank is left out: samples: all 1 entries are missing" in said.err
    assert said.out.startswith("read 72 rows of positions.csv; encoding cp1252; delimiter ';'; decimal ','")
    dealer, fund = tomllib.loads(out.read_text(encoding="utf-8"))["traders"]
    assert (dealer["count"], dealer["risk_capacity"], dealer["endowment"]["lower"]) == (9, 2.0, -3.0)
    assert (fund["count"], fund["risk_capacity"]) == (4, 1.0)


def test_the_command_refuses_a_number_that_is_none(table, tmp_path, capsys):
    line = ["fit", str(table), "--column=position", "--out", str(tmp_path / "m.toml"), "--count", "dealer=many"]
    with pytest.raises(SystemExit):
        main(line)
    assert "'dealer=many': give a whole number, or GROUP=NUMBER" in capsys.readouterr().err
