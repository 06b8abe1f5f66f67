"""Markets fitted to four futures contracts, and the script that fits them."""

import csv
import datetime
import importlib
from pathlib import Path

import numpy as np
import pytest

import jaxmech as jm

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CATEGORIES = ("dealer", "asset_manager", "leveraged_fund", "other_reportable")


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        return importlib.import_module("fit_futures")


def table(path, contracts, weeks=90):
    """Random positions whose net is bimodal."""
    draws = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["contract", "date", "category", "long", "short", "spread", "traders_long", "traders_short"])
        for contract in contracts:
            for category in CATEGORIES:
                for week in range(weeks):
                    net = draws.choice([-40_000, 50_000]) + draws.normal(0, 9_000)
                    day = datetime.date(2020, 1, 7) + datetime.timedelta(weeks=week)
                    rows.writerow([contract, day, category, 200_000 + round(net), 200_000, 1000, 20, 18])
    return path


@pytest.mark.slow
@pytest.mark.parametrize("contract", ["us_treasury_10y", "sp500_emini", "euro_fx", "japanese_yen"])
def test_committed_markets_are_not_regular_and_certified(contract):
    market = jm.Market.from_toml(EXPERIMENTS / "markets" / f"{contract}_mixture.toml")
    assert market.names == CATEGORIES
    assert not np.all(jm.condition_2(market))
    for alpha in (0.0, 0.5, 1.0):
        jm.certify(jm.solve(market, alpha)).raise_if_failed(f"{contract}, alpha {alpha}")


@pytest.mark.slow
def test_the_treasury_mixture_bunches_leveraged_funds_that_sell():
    market = jm.Market.from_toml(EXPERIMENTS / "markets" / "us_treasury_10y_mixture.toml")
    mechanism = jm.solve(market, 0.5)
    ((start, stop),) = mechanism.bunching_intervals[2]
    assert mechanism.binding_interval[2, 1] < start < stop
    inside = np.asarray(mechanism.virtual_type(np.linspace(start, stop, 9)[:, None])[:, 2])
    assert np.ptp(inside) < 1e-9


@pytest.mark.exhaustive
def test_script_writes_tables_pictures_and_markets(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "CONTRACTS", {"x": "First", "y": "Second"})
    monkeypatch.setattr(script, "FAMILIES", {name: script.FAMILIES[name] for name in ("truncated_normal", "mixture")})
    monkeypatch.setattr(script, "BANDED", ("truncated_normal",))
    data = table(tmp_path / "data.csv", ["x", "y"])
    assert script.main([str(data), "--folder", str(tmp_path / "out"), "--markets", str(tmp_path / "markets")]) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").read_text().splitlines()))
    assert [(row["contract"], row["family"]) for row in rows] == [
        (contract, family) for contract in "xy" for family in ("truncated_normal", "mixture")
    ]
    assert float(rows[1]["aic"]) < float(rows[0]["aic"])
    assert (rows[0]["regular_groups"], rows[1]["regular_groups"]) == ("4", "0")
    groups = list(csv.DictReader((tmp_path / "out" / "groups.csv").read_text().splitlines()))
    assert len(groups) == 16
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"laws.png", "frontiers.png"}
    market = jm.Market.from_toml(tmp_path / "markets" / "x_mixture.toml")
    found = float(jm.outcomes(jm.solve(market, 0.5)).revenue)
    assert found == pytest.approx(float(rows[1]["revenue"]), rel=1e-9)


def test_missing_contract_is_refused_in_words(script, tmp_path, capsys):
    assert script.main([str(table(tmp_path / "data.csv", ["x"]))]) == 2
    assert "contract 'us_treasury_10y': none of 1" in capsys.readouterr().err
