"""The commands sensitivity, frontier and calibrate: what they print and write, refuse, and return."""

import json

import numpy as np
import pytest

import jaxmech as jm
from jaxmech.cli import main
from jaxmech.testing.random_markets import DEALERS_AND_FUND as MARKET

CALIBRATION = """
market = "market.toml"
starts = 2
steps = 5
[free]
alpha = { from = 0.1, to = 1.0 }
[targets]
revenue_share = SHARE
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "market.toml").write_text(MARKET)
    return folder


@pytest.fixture(scope="module")
def market(folder):
    return jm.Market.from_toml(folder / "market.toml")


def run(command, folder, *options):
    return main([command, str(folder / "market.toml"), *map(str, options)])


def test_sensitivity_prints_a_table_and_writes_numbers_and_figures(folder, tmp_path, market, capsys):
    assert run("sensitivity", folder, "--alpha", 0.5, "--out", tmp_path) == 0
    printed = capsys.readouterr()
    assert "dealer.risk_capacity" in printed.out and str(tmp_path / "tornado_revenue.png") in printed.err
    assert {"sensitivity.csv", "sensitivity.json", "tornado_revenue.pdf"} <= {path.name for path in tmp_path.iterdir()}
    report = json.loads((tmp_path / "sensitivity.json").read_text())
    column = report["parameters"].index("fund.upper")
    found = jm.sensitivity(market, 0.5).of("revenue", "fund.upper")
    assert report["derivative"]["revenue"][column] == pytest.approx(found, rel=1e-12)
    assert "second" not in report


def test_sensitivity_adds_second_derivatives_on_request(folder, capsys):
    assert run("sensitivity", folder, "--alpha", 0.5, "--second", "--json") == 0
    second = np.array(json.loads(capsys.readouterr().out)["second"]["revenue"])
    np.testing.assert_allclose(second, second.T, atol=1e-9)


@pytest.mark.slow
def test_frontier_prints_its_points_and_the_gap_of_the_double_auction(folder, tmp_path, market, capsys):
    options = ("--out", tmp_path, "--band", "all.risk_capacity.factor", "--change", 0.1)
    assert run("frontier", folder, *options) == 0
    assert "double auction with fees" in capsys.readouterr().out
    assert {"frontier.json", "frontier.png", "frontier.pdf"} == {path.name for path in tmp_path.iterdir()}
    report = json.loads((tmp_path / "frontier.json").read_text())
    np.testing.assert_allclose(report["revenue"], jm.frontier(market).revenue, rtol=1e-12, atol=1e-15)
    assert report["ok"] and report["alpha"][0] == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--tolerance", 2), "tolerance is 2"),
        (("--band", "dealer.lower"), "--band dealer.lower: needs --out"),
    ],
)
def test_frontier_refuses_what_cannot_be(folder, capsys, options, match):
    assert run("frontier", folder, *options) == 2
    assert match in capsys.readouterr().err


def test_a_misspelt_band_writes_nothing(folder, tmp_path, capsys):
    assert run("frontier", folder, "--out", tmp_path / "out", "--band", "dealer.lwoer", "--change", 0.1) == 2
    assert "dealer.lwoer" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("share", "code"), [(0.2, 0), (0.9, 1)])
def test_calibrate_says_by_its_exit_code_whether_targets_are_reached(folder, market, capsys, share, code):
    (folder / "fit.toml").write_text(CALIBRATION.replace("SHARE", str(share)))
    assert main(["calibrate", str(folder / "fit.toml"), "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    if code == 0:
        achieved = jm.outcomes(jm.solve(market, report["parameters"]["alpha"]))
        assert float(achieved.revenue / achieved.first_best_surplus) == pytest.approx(share, abs=1e-8)
    else:
        assert "cannot be reached" in report["verdict"]


def test_calibrate_names_mistakes_in_its_file(folder, capsys):
    (folder / "wrong.toml").write_text(CALIBRATION.replace("SHARE", "0.2").replace("revenue_share", "revenu"))
    assert main(["calibrate", str(folder / "wrong.toml")]) == 2
    assert "'revenu' is not an outcome" in capsys.readouterr().err
