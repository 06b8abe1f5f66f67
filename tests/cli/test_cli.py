"""The command: what it prints and writes, what it refuses, and its exit codes."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import jaxmech as jm
from commitments import THREE_CONTRACTS
from jaxmech.cli import main
from jaxmech.optimum import certificate
from jaxmech.testing.random_markets import DEALERS_AND_FUND as MARKET

SPEC = """
market = "market.toml"
alpha = { from = 0.0, to = 1.0, count = 5 }
[over]
"fund.risk_capacity" = { from = 0.5, to = 2.0, count = 3, scale = "log" }
"""
SPEC_WITH_AN_INVALID_POINT = SPEC.replace("{ from = 0.5, to = 2.0", "{ from = -0.5, to = 2.0").replace(
    ', scale = "log"', ""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "market.toml").write_text(MARKET)
    (folder / "spec.toml").write_text(SPEC)
    (folder / "invalid.toml").write_text(SPEC_WITH_AN_INVALID_POINT)
    return folder


@pytest.fixture
def market_file(folder):
    return str(folder / "market.toml")


def solve(folder, *options):
    return main(["solve", str(folder / "market.toml"), *options])


def sweep(folder, out, *options, spec="spec.toml"):
    return main(["sweep", str(folder / spec), "--out", str(out), *options])


def test_solve_prints_a_certified_mechanism(folder, capsys):
    assert solve(folder, "--alpha", "0.5") == 0
    text = capsys.readouterr().out
    for word in ("Optimal mechanism at α = 0.5", "revenue", "efficiency", "dealer", "fund", "  certified: residual"):
        assert word in text
    assert "nan" not in text


def test_solve_prints_the_same_numbers_as_json(folder, capsys):
    assert solve(folder, "--alpha", "0.5", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    achieved = jm.outcomes(jm.solve(jm.Market.from_toml(folder / "market.toml"), 0.5))
    assert report["ok"] is True
    assert report["revenue"] == pytest.approx(float(achieved.revenue), rel=1e-12)
    assert [group["name"] for group in report["groups"]] == ["dealer", "fund"]


@pytest.mark.parametrize("alpha", ["-0.5", "1.5", "nan"])
def test_solve_refuses_weights_outside_zero_and_one(folder, capsys, alpha):
    assert solve(folder, f"--alpha={alpha}") == 2
    assert "jaxmech: alpha is" in capsys.readouterr().err


def test_bad_files_are_refused(folder, tmp_path, capsys):
    assert main(["solve", str(tmp_path / "none.toml"), "--alpha", "0.5"]) == 2
    assert "no such file" in capsys.readouterr().err
    assert sweep(tmp_path, tmp_path / "out") == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('market = "market.toml"', "", "'market' is missing"),
        ('"market.toml"', "3", "market is 3; give the path of a market's file"),
        ("alpha =", "over = 3\nalpha =", "over is 3; give a table of parameters"),
        ("alpha =", "batch = 0\nalpha =", "batch is 0; give a whole number ≥ 1"),
        ("alpha =", "seed = 'x'\nalpha =", "seed is 'x'; give a whole number ≥ 0"),
        ("alpha =", "derivatives = 'no'\nalpha =", "derivatives is 'no'; give true or false"),
        ("from = 0.5", 'from = "low"', "fund.risk_capacity: from is 'low'; give a number"),
        ("alpha", "alhpa", "unknown key 'alhpa'"),
        ("market.toml", "market2.toml", "no such file"),
        ("from = 0.5", "form = 0.5", "fund.risk_capacity: unknown key 'form'"),
        ("count = 3", "count = 0", "fund.risk_capacity: count is 0"),
        ('"log"', '"cubic"', "scale 'cubic' is unknown; choose linear or log"),
        ("from = 0.5", "from = 0.0", "a logarithmic scale needs numbers above 0"),
        ("fund.risk_capacity", "fnud.risk_capacity", "is not a parameter of this market"),
    ],
)
def test_mistakes_in_a_spec_are_named(tmp_path, capsys, old, new, match):
    (tmp_path / "market.toml").write_text(MARKET)
    (tmp_path / "spec.toml").write_text(
        SPEC.replace(old, new, 1) if "over = 3" not in new else SPEC.split("[over]")[0].replace(old, new)
    )
    assert sweep(tmp_path, tmp_path / "out") == 2
    assert match in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_writes_data_summary_and_figures_and_may_be_run_again(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert sweep(folder, out) == 0
    printed = capsys.readouterr()
    assert "15 points" in printed.out and "15 ok" in printed.out
    files = {path.name for path in out.iterdir()}
    assert {"sweep.nc", "summary.json", "summary.txt", "sweep.zarr", "frontier.png", "frontier.pdf"} <= files
    for name in ("sweep.nc", "summary.txt", "frontier.png"):
        assert str(out / name) in printed.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["status"]["ok"] == summary["points"] == 15
    with xr.open_dataset(out / "sweep.nc", engine="h5netcdf") as data:
        np.testing.assert_allclose(data["fund.risk_capacity"], [0.5, 1.0, 2.0])
        assert np.isfinite(data.revenue).all()
    assert sweep(folder, out, "--no-figures") == 0


def test_a_sweep_prints_json_and_writes_zarr(folder, tmp_path, capsys):
    assert sweep(folder, tmp_path, "--json", "--format", "zarr", "--no-figures") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 15
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.zarr", "summary.json", "summary.txt"}
    assert jm.open_sweep(tmp_path).revenue.shape == (5, 3)


def test_results_of_another_spec_are_replaced_only_when_told_to(folder, tmp_path, capsys):
    assert sweep(folder, tmp_path, "--no-figures") == 0
    assert sweep(folder, tmp_path, "--no-figures", spec="invalid.toml") == 2
    assert "holds results of another spec; choose another folder or add --overwrite" in capsys.readouterr().err
    assert json.loads((tmp_path / "summary.json").read_text())["status"]["invalid_parameters"] == 0
    assert sweep(folder, tmp_path, "--no-figures", "--overwrite", spec="invalid.toml") == 1
    assert json.loads((tmp_path / "summary.json").read_text())["status"]["invalid_parameters"] == 5


def test_a_folder_of_other_files_is_left_alone(folder, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("")
    assert sweep(folder, tmp_path) == 2
    assert "is not empty and not from a sweep" in capsys.readouterr().err
    assert sweep(folder, tmp_path / "thesis.tex") == 2
    assert "is a file; give a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_compare_sets_the_designs_side_by_side(folder, capsys):
    assert main(["compare", str(folder / "market.toml"), "--alpha", "0.5", "--json"]) == 0
    rows = {row["design"]: row for row in json.loads(capsys.readouterr().out)}
    market = jm.Market.from_toml(folder / "market.toml")
    optimal, auction = jm.outcomes(jm.solve(market, 0.5)), jm.outcomes(jm.double_auction(market))
    assert rows["optimal, α = 0.5"]["revenue"] == pytest.approx(float(optimal.revenue))
    assert rows["double auction, fees by trader"]["efficiency"] == pytest.approx(float(auction.efficiency))
    assert rows["first best, fees and subsidy"]["efficiency_loss"] == pytest.approx(0, abs=1e-12)
    assert rows["double auction, no fee"]["revenue"] == pytest.approx(0, abs=1e-12)
    assert main(["compare", str(folder / "market.toml"), "--alpha", "0.5"]) == 0
    assert "double auction, one common fee" in capsys.readouterr().out


def test_compare_leaves_the_double_auction_out_for_two_traders(folder, capsys):
    (folder / "pair.toml").write_text(MARKET.replace("count = 2", "count = 1"))
    assert main(["compare", str(folder / "pair.toml"), "--alpha", "0.5"]) == 0
    assert "double auction" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["fees", "fit", "cot"])
def test_an_output_that_cannot_be_written_is_bad_input_and_no_traceback(folder, capsys, command):
    """The exit code was 1, which means that an answer is not certified."""
    (folder / "a_file").write_text("")
    (folder / "t.csv").write_text("z\n" + "\n".join(str(value) for value in np.linspace(-1.0, 1.0, 20)))
    market, out = str(folder / "market.toml"), ["--out", str(folder / "a_file" / "out")]
    arguments = {
        "fees": [market, "--alpha", "0.5"],
        "fit": [str(folder / "t.csv"), "--column", "z", "--family", "uniform"],
        "cot": [str(THREE_CONTRACTS), "--contract", "nano", "--window", "8", "--family", "uniform"],
    }
    out = ["--out", "/dev/full"] if command in ("fit", "cot") else out
    assert main([command, *arguments[command], *out]) == 2
    assert re.search("jaxmech: .*(No space left on device|Not a directory)", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ("{} | true; exit ${{PIPESTATUS[0]}}", "jaxmech: [Errno 32] Broken pipe\n"),
        ("{} > /dev/full", "jaxmech: [Errno 28] No space left on device\n"),
    ],
)
def test_an_output_that_nobody_takes_ends_the_command_in_one_line(shell, said):
    command = f"{sys.executable} -m jaxmech.cli cot {THREE_CONTRACTS} --list"
    ended = subprocess.run(["bash", "-c", shell.format(command)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (2, said)


def test_letters_that_the_output_cannot_carry_are_escaped(folder):
    command = [sys.executable, "-m", "jaxmech.cli", "solve", str(folder / "market.toml"), "--alpha", "0.5"]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    ended = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert ended.stdout.startswith(rb"Optimal mechanism at \u03b1 = 0.5")


@pytest.mark.parametrize("command", ["fees", "compare"])
def test_what_is_not_certified_says_so_and_ends_in_one(command, tmp_path, monkeypatch, capsys):
    def failing(mechanism, certify=certificate.certify):
        return certify(mechanism)._replace(ok=np.False_)

    (tmp_path / "market.toml").write_text(MARKET)
    arguments = [command, str(tmp_path / "market.toml"), "--alpha", "0.5"]
    assert main(arguments) == 0
    monkeypatch.setattr(certificate, "certify", failing)
    assert main(arguments) == 1
    assert "jaxmech: not certified: optimum at α = 0.5: 1 of 1 failed" in capsys.readouterr().err


def test_a_minimum_revenue_an_outside_market_and_a_welfare_weight_are_given_on_the_command_line(market_file, capsys):
    assert main(["solve", market_file, "--alpha", "0.5", "--outside", "0,3", "--json"]) == 0
    outside = json.loads(capsys.readouterr().out)
    assert all(group["outside_gamma"] > 0 for group in outside["groups"])
    assert main(["solve", market_file, "--alpha", "0.2", "--welfare-weight", "fund=0.6"]) == 0
    assert "a rebate of" in capsys.readouterr().out
    assert main(["solve", market_file, "--alpha", "0.5", "--minimum-revenue", "9"]) == 1
    assert "infeasible: the largest revenue of any mechanism that keeps every type is" in capsys.readouterr().out


def test_what_cannot_be_given_is_refused_with_its_name(market_file, capsys):
    assert main(["solve", market_file, "--alpha", "0.5", "--outside", "0,0.01"]) == 2
    assert "outside_cost of dealer" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["solve", market_file, "--alpha", "0.5", "--outside", "cheap"])
    assert main(["solve", market_file, "--alpha", "0.5", "--welfare-weight", "bank=0.3"]) == 2
    assert "bank" in capsys.readouterr().err


def test_a_reform_is_printed_beside_today_and_the_optimum(market_file, capsys):
    assert main(["reform", market_file, "--alpha", "1"]) == 0
    assert "double auction today" in capsys.readouterr().out
    assert main(["reform", market_file, "--alpha", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reformed"]["revenue"] < found["unconstrained"]["revenue"]


def test_fees_of_what_cannot_be_say_why(market_file, capsys):
    assert main(["fees", market_file, "--alpha", "0.5", "--minimum-revenue", "9"]) == 1
    assert "infeasible" in capsys.readouterr().err
