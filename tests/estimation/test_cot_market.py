"""Markets from the Commitments of Traders: counts, shocks, risk capacities, what is left out, and the shipped ones."""

import csv
import json
import shlex
import statistics
import tomllib

import numpy as np
import pandas as pd
import pytest

import jaxmech as jm
from commitments import FOUR_CONTRACTS, RAW, ROOT, THREE_CONTRACTS
from jaxmech.cli import main
from jaxmech.estimation.cot_market import shocks
from jaxmech.estimation.observations import observations

MARKETS = ROOT / "experiments" / "markets"
WEEKLY = np.arange("2020-01-07", "2024-01-01", 7, dtype="datetime64[D]")


@pytest.fixture(scope="module")
def reports():
    return jm.read_cot(THREE_CONTRACTS)


def extract(path, series, weeks=12):
    """An extract of contract x; `series` gives (long, short, traders long, traders short) by week for each category."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["contract", "date", "category", "long", "short", "spread", "traders_long", "traders_short"])
        for category, cells in series.items():
            for week in range(weeks):
                long, short, *traders = cells(week)
                rows.writerow(["x", WEEKLY[week], category, long, short, 0, *traders])
    return path


def plain(week):
    return 1000 + 37 * (week * week % 11), 900, 12, 10


def market_of(path, window=0, **settings):
    return jm.cot_market(path, "x", window=window, family="uniform", **settings)


def test_a_shock_is_the_deviation_from_the_reports_before():
    series = np.array([1.0, 2.0, 3.0, 10.0, 4.0])
    assert shocks(series, WEEKLY[:5], 3) == pytest.approx([10 - 2, 4 - 5])
    assert shocks(series, WEEKLY[:5], 0) == pytest.approx(series - 4)
    for window in (5, 9):
        assert shocks(series, WEEKLY[:5], window).size == 0


def test_a_week_has_no_shock_where_the_reports_before_it_reach_over_a_gap():
    series, dates = np.arange(8.0) ** 2, np.delete(WEEKLY[:60], slice(4, 56))
    assert shocks(series, dates, 3) == pytest.approx([9 - 5 / 3, 49 - (16 + 25 + 36) / 3])
    assert shocks(series, np.delete(WEEKLY[:10], [4, 5]), 3).size == 5  # a week or two may be missing


def test_counts_shocks_supports_and_risk_capacities_are_those_of_a_second_computation(reports):
    """The witness reads the file with pandas and rolls a mean over it."""
    found = jm.cot_market(reports, "UST 10Y NOTE", window=8, family="uniform")
    lines = pd.read_csv(THREE_CONTRACTS, dtype={"CFTC_Contract_Market_Code": str}).sort_values(
        "Report_Date_as_YYYY-MM-DD"
    )
    lines = lines[lines["CFTC_Contract_Market_Code"] == "043602"]
    stems = {"dealer": "Dealer", "asset_manager": "Asset_Mgr", "leveraged_fund": "Lev_Money"}
    counts, gross = [], []
    for name, stem in (stems | {"other_reportable": "Other_Rept"}).items():
        long, short, spread = (lines[f"{stem}_Positions_{side}_All"] for side in ("Long", "Short", "Spread"))
        traders = lines[[f"Traders_{stem}_{side}_All" for side in ("Long", "Short")]].astype(int).max(axis=1)
        counts.append(round(statistics.median(traders)))
        gross.append((long + short + 2 * spread).mean() / counts[-1])
        net = (long - short) / counts[-1] / 1000
        expected = (net - net.shift(1).rolling(8).mean()).dropna()
        sample = found.fits[name].sample
        np.testing.assert_allclose(np.sort(expected), np.repeat(sample.values, sample.weights.astype(int)), atol=1e-12)
        stretch = 0.1 * (expected.max() - expected.min())
        assert found.fits[name].lower == pytest.approx(expected.min() - stretch, rel=1e-5)
        assert found.fits[name].upper == pytest.approx(expected.max() + stretch, rel=1e-5)
    assert found.market.count.tolist() == counts
    np.testing.assert_allclose(found.market.risk_capacity, gross / np.average(gross, weights=counts), rtol=1e-5)


def test_the_file_is_the_market(reports, tmp_path):
    found = jm.cot_market(reports, "EURO FX", window=0, family="uniform", out=tmp_path / "market.toml")
    again = jm.Market.from_toml(tmp_path / "market.toml")
    assert again.names == found.market.names == ("dealer", "asset_manager", "leveraged_fund", "other_reportable")
    for one, other in ((again.endowment.lower, found.market.endowment.lower), (again.count, found.market.count)):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize(
    ("counts", "expected", "note"),
    [
        ([5] * 7 + [None] * 5, 5, None),  # a withheld week is one below four, not one that is missing
        ([9] * 7 + [None] * 5, 9, None),
        ([4] * 3 + [None] * 9, 3, "it is from 1 to 3, and 3 is assumed"),
        ([None] * 12, 3, "it is from 1 to 3, and 3 is assumed"),
        ([6] * 6 + [None] * 6, 4, "it is from 3.5 to 4.5, and 4 is assumed"),
        ([0] * 5 + [8] * 7, 8, None),
    ],
)
def test_withheld_counts_are_below_four(tmp_path, counts, expected, note):
    def cells(week):
        count = counts[week]
        return (*plain(week)[:2], "" if count is None else count, 0 if count is None else count)

    found = market_of(extract(tmp_path / "data.csv", {"dealer": cells, "leveraged_fund": plain}))
    assert found.market.count.tolist() == [expected, 12]
    assert found.notes == (() if note is None else (f"dealer: the median count of traders is withheld: {note}",))


def test_a_withheld_side_does_not_hide_the_other(tmp_path):
    found = market_of(extract(tmp_path / "data.csv", {"dealer": lambda week: (*plain(week)[:2], "", 7)}))
    assert found.market.count.tolist() == [7]
    assert not found.notes


LEFT_OUT = {
    "no positions in any week": lambda week: (0, 0, 0, 0),
    "no reporting traders in the median week": lambda week: (*plain(week)[:2], 4 * (week < 3), 0),
    "the net position never departs from its level": lambda week: (500 + week, 100 + week, 5, 5),
    "samples: the value 0.0141667 carries 58%": lambda week: (170 * (week < 7) + 11 * week * (week >= 7), 0, 5, 5),
}


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_what_cannot_be_a_group_is_left_out_with_its_reason(tmp_path, reason):
    found = market_of(extract(tmp_path / "data.csv", {"dealer": LEFT_OUT[reason], "leveraged_fund": plain}))
    assert list(found.fits) == ["leveraged_fund"]
    assert found.market.risk_capacity.tolist() == [1.0]
    assert reason.split("%")[0].split(" 0.0")[0] in found.left_out["dealer"]
    assert f"dealer: {found.left_out['dealer']}" == tomllib.loads(found.toml)["provenance"]["left_out"]
    assert f"dealer: left out: {found.left_out['dealer']}" in found.report()


def test_a_contract_with_no_group_is_refused_with_every_reason_and_nothing_is_written(tmp_path):
    series = {"dealer": LEFT_OUT["no positions in any week"], "asset_manager": plain, "leveraged_fund": plain}
    path, out = extract(tmp_path / "data.csv", series), tmp_path / "market.toml"
    few = (
        "asset_manager, leveraged_fund: 4 of 12 weeks have 8 reports in the 16 weeks before them; at least 5 are needed"
    )
    with pytest.raises(jm.MarketError, match=f"x: no category .* dealer: no positions in any week; {few}"):
        market_of(path, window=8, out=out)
    with pytest.raises(jm.MarketError, match="dealer: 3 weeks; 5 are needed"):
        market_of(extract(tmp_path / "short.csv", {"dealer": plain}, weeks=3), out=out)
    lone = extract(tmp_path / "lone.csv", {"dealer": lambda week: (*plain(week)[:2], 1, 1)})
    with pytest.raises(jm.MarketError, match="x: count: a market needs at least two traders, got one"):
        market_of(lone, out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": -1}, "window is -1; give a whole number ≥ 0"),
        ({"window": 2.5}, "window is 2.5; give a whole number"),
        ({"family": "normal"}, "family is 'normal'; choose one of"),
        ({"components": 3}, "components is an option of mixture; uniform has none such"),
    ],
)
def test_settings_that_cannot_be_are_refused(reports, settings, message):
    with pytest.raises(jm.MarketError, match=message):
        jm.cot_market(reports, "EURO FX", **({"window": 8, "family": "uniform"} | settings))


def test_fitted_numbers_of_the_file_have_six_digits(reports):
    found = jm.cot_market(reports, "EURO FX", window=8)
    for group in tomllib.loads(found.toml)["traders"]:
        law, fitted = group["endowment"], found.fits[group["name"]].parameters
        for key in ("loc", "scale"):
            assert law[key] == float(f"{fitted[key]:.6g}")
    np.testing.assert_array_equal(
        found.market.endowment.loc, [t["endowment"]["loc"] for t in tomllib.loads(found.toml)["traders"]]
    )


def test_the_best_law_of_each_group_may_be_asked_for(reports, monkeypatch):
    monkeypatch.setattr("jaxmech.estimation.fit._COMPARED", [("uniform", {})])
    found, uniform = (jm.cot_market(reports, "EURO FX", window=8, family=family) for family in ("best", "uniform"))
    assert {fit.family for fit in found.fits.values()} == {"uniform"}
    assert tomllib.loads(found.toml)["traders"] == tomllib.loads(uniform.toml)["traders"]


def test_the_provenance_says_where_the_numbers_are_from_and_what_was_chosen(reports):
    said = tomllib.loads(jm.cot_market(reports, "ETHER", window=8, family="uniform").toml)["provenance"]
    assert said["source"].endswith("Traders in Financial Futures, futures only (public domain)")
    assert (said["code"], said["weeks"], said["period"]) == ("146LM1", 24, "2024-01-02 to 2024-06-11")
    assert said["files"] == [f"{name}, SHA-256 {digest}" for name, digest in reports.files]
    assert said["risk_capacity"].startswith("NOT observed")
    assert said["left_out"] == "asset_manager: no positions in any week"
    assert "dealer: the median count of traders is withheld" in said["notes"]
    assert shlex.split(said["command"])[:5] == ["jaxmech", "cot", THREE_CONTRACTS.name, "--contract", "ETHER"]


def test_the_command_writes_what_the_function_returns(reports, tmp_path, capsys):
    out = tmp_path / "market.toml"
    asked = ["--contract", "EURO FX", "--window", "8", "--family", "uniform"]
    assert main(["cot", str(THREE_CONTRACTS), *asked, "--out", str(out)]) == 0
    found = jm.cot_market(reports, "EURO FX", window=8, family="uniform")
    assert out.read_text(encoding="utf-8") == found.toml
    assert capsys.readouterr().out == found.report() + "\n"
    assert main(["cot", str(THREE_CONTRACTS), *asked, "--json", "--out", str(out)]) == 0  # replaces its own file
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    assert found.to_dict()["market"]["traders"] == tomllib.loads(found.toml)["traders"]


def test_the_command_lists_contracts(capsys):
    assert main(["cot", str(THREE_CONTRACTS), "--list"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0] == "Traders in Financial Futures, futures only: 3 contracts"
    assert text[-1].split() == [
        *("UST", "10Y", "NOTE", "-", "CHICAGO", "BOARD", "OF", "TRADE"),
        *("043602", "24", "2024-01-02", "2024-06-11", "4308305"),
    ]
    assert main(["cot", str(THREE_CONTRACTS), "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["code"] for row in rows] == ["099741", "146LM1", "043602"]
    assert str(rows[2]["open_interest"]) == text[-1].split()[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --list alone, or --contract TEXT and --out FILE"),
        (["--list", "--contract", "EURO"], "give --list alone"),
        (["--contract", "EURO"], "give --list alone"),
        (["--contract", "EURO", "--out", "none/market.toml"], "out is 'none/market.toml'; give a file in a folder"),
        (["--contract", "CHICAGO", "--out", "market.toml"], "contract 'CHICAGO': 2 match"),
        (["--contract", "EURO", "--out", "market.toml"], "0 of 24 weeks have 26 reports in the 52 weeks before them"),
    ],
)
def test_mistakes_on_the_command_line_are_named(options, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["cot", str(THREE_CONTRACTS), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_treasury_note_of_2024_and_2025_is_certified(alpha):
    jm.certify(jm.solve(jm.Market.from_toml(MARKETS / "us_treasury_10y_2024_25.toml"), alpha)).raise_if_failed()


def shipped(name):
    return tomllib.loads((MARKETS / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.skipif(not all(path.is_file() for path in RAW), reason="needs the raw files, see tests/commitments.py")
def test_the_treasury_note_of_2024_and_2025_is_what_its_command_says():
    said = shipped("us_treasury_10y_2024_25")
    words = shlex.split(said["provenance"]["command"])
    assert words[:4] == ["jaxmech", "cot", *(path.name for path in RAW)]
    asked = dict(zip(words[4::2], words[5::2], strict=True))
    found = jm.cot_market(RAW, asked["--contract"], window=int(asked["--window"]), family=asked["--family"])
    assert tomllib.loads(found.toml)["traders"] == said["traders"]
    assert tomllib.loads(found.toml)["provenance"]["files"] == said["provenance"]["files"]


@pytest.mark.slow
@pytest.mark.skipif(not FOUR_CONTRACTS.is_file(), reason="needs the extract, see tests/commitments.py")
def test_the_shipped_treasury_market_is_reproduced_to_every_digit():
    found = jm.cot_market(FOUR_CONTRACTS, "us_treasury_10y")
    assert tomllib.loads(found.toml)["traders"] == shipped("us_treasury_10y")["traders"]


@pytest.mark.slow
@pytest.mark.skipif(not FOUR_CONTRACTS.is_file(), reason="needs the extract, see tests/commitments.py")
@pytest.mark.parametrize("contract", ["us_treasury_10y", "sp500_emini", "euro_fx", "japanese_yen"])
def test_the_shipped_mixtures_are_reproduced(contract):
    """Their parameters to 1e-7: a search for the largest likelihood ends a little elsewhere on another machine."""
    found = tomllib.loads(jm.cot_market(FOUR_CONTRACTS, contract, family="mixture").toml)["traders"]
    for one, other in zip(found, shipped(f"{contract}_mixture")["traders"], strict=True):
        laws, expected = one.pop("endowment"), other.pop("endowment")
        assert one == other
        assert laws["weights"] == pytest.approx(expected["weights"], rel=1e-7)
        for law, wanted in zip(laws["laws"], expected["laws"], strict=True):
            assert (law["lower"], law["upper"]) == (wanted["lower"], wanted["upper"])
            assert (law["loc"], law["scale"]) == pytest.approx((wanted["loc"], wanted["scale"]), rel=1e-6)


def test_weekly_shocks_are_written_for_pages_and_the_market_file_names_them(reports, tmp_path):
    out, table = tmp_path / "market.toml", tmp_path / "data" / "shocks.csv"
    table.parent.mkdir()
    found = jm.cot_market(reports, "EURO FX", window=0, family="uniform", out=out, observations=table)
    assert tomllib.loads(out.read_text())["provenance"]["observations"] == "data/shocks.csv"
    rows = observations(table, "endowment", "group").by_group()
    assert list(rows) == list(found.market.names)
    for name, (values, _) in rows.items():
        np.testing.assert_allclose(values, found.observations[name], rtol=1e-5)
        np.testing.assert_allclose(np.unique(found.observations[name]), found.fits[name].sample.values)
