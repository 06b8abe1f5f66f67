"""The fitted market of the 10-year US Treasury note, and the script that fits it."""

import datetime
import importlib
from pathlib import Path

import numpy as np
import pytest

import jaxmech as jm

COLUMNS = ("contract", "date", "category", "long", "short", "spread", "traders_long", "traders_short")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
MARKET = EXPERIMENTS / "markets" / "us_treasury_10y.toml"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        yield importlib.import_module("fit_us_treasury_10y")


@pytest.fixture(scope="module")
def market():
    return jm.Market.from_toml(MARKET)


def positions(weeks, contract="us_treasury_10y", long="100"):
    """A data file of four categories whose counts of traders on the short side are withheld."""
    lines = [",".join(COLUMNS)]
    for category in ("dealer", "asset_manager", "leveraged_fund", "other_reportable"):
        for week in range(weeks):
            day = datetime.date(2020, 1, 7) + datetime.timedelta(weeks=week)
            row = {"contract": contract, "date": f"{day}", "category": category, "long": long}
            row |= {"short": str(10 * (week % 7)), "spread": "5", "traders_long": "4", "traders_short": ""}
            lines.append(",".join(row[name] for name in COLUMNS))
    return "\n".join(lines) + "\n"


def test_market_has_the_four_categories_with_mean_risk_capacity_one(market):
    assert market.names == ("dealer", "asset_manager", "leveraged_fund", "other_reportable")
    mean = np.average(np.asarray(market.risk_capacity), weights=np.asarray(market.count))
    assert mean == pytest.approx(1, abs=1e-5)  # six digits are kept


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_answer_is_certified(market, alpha):
    assert jm.certify(jm.solve(market, alpha)).ok


@pytest.mark.slow
def test_script_writes_a_market_that_solves(script, tmp_path, capsys):
    data, out = tmp_path / "data.csv", tmp_path / "deep" / "market.toml"
    data.write_text(positions(60))
    assert script.main([str(data), "--out", str(out)]) == 0
    assert jm.Market.from_toml(out).count.tolist() == [4, 4, 4, 4]
    assert "condition 2: [True, True, True, True]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("contract,date\nx,2020-01-07\n", "no report of the Commission, and no extract"),
        (positions(60, contract="other"), "contract 'us_treasury_10y': none of 1"),
        (positions(20), "0 of 20 weeks have 26 reports in the 52 weeks before them"),
        (positions(60, long="many"), "line 2: long is 'many'; give a whole number"),
    ],
)
def test_bad_data_file_is_refused_in_words(script, tmp_path, capsys, text, message):
    data = tmp_path / "data.csv"
    if text is not None:
        data.write_text(text)
    assert script.main([str(data), "--out", str(tmp_path / "market.toml")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "market.toml").exists()
