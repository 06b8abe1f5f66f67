"""`jaxmech sweep`: interrupted, resumed, verified and repaired, with the exit codes that scripts rely on."""

import json
import re
import signal

import pytest
import xarray as xr

import jaxmech as jm
from cheap_sweeps import cheap_kernel
from jaxmech.cli import main
from jaxmech.reports import plots
from jaxmech.testing.random_markets import DEALERS_AND_FUND as MARKET

SPEC = """
market = "market.toml"
design = "random"
points = 9000
batch = 64
alpha = { from = 0.0, to = 0.9 }
[over]
"fund.risk_capacity" = { from = 0.5, to = 2.0 }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "market.toml").write_text(MARKET)
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def sweep(folder, *options):
    common = ["--out", str(folder / "out"), "--no-figures", "--format", "zarr"]
    return main(["sweep", str(folder / "spec.toml"), *common, *options])


def test_what_a_batch_system_sends_before_it_kills_keeps_what_is_done(monkeypatch, folder, capsys):
    cheap_kernel(monkeypatch, lambda call: call == 70 and signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert sweep(folder) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    assert "4,904 not computed, 4,096 ok" in capsys.readouterr().out
    calls = cheap_kernel(monkeypatch)
    assert sweep(folder) == 2
    assert "holds 1 of 3 chunks of this sweep; add --resume" in capsys.readouterr().err
    assert not calls
    assert sweep(folder, "--resume") == 0
    assert len(calls) == 64 + 13
    assert json.loads((folder / "out" / "summary.json").read_text())["interrupted"] is False
    assert sweep(folder, "--json") == 0 and len(calls) == 64 + 13


def test_damage_is_verified_and_repaired(monkeypatch, folder, capsys):
    calls = cheap_kernel(monkeypatch)
    assert sweep(folder) == 0
    assert main(["sweep", "verify", str(folder / "out")]) == 0
    assert "sweep.zarr: whole" in capsys.readouterr().out
    (folder / "out/sweep.zarr/values/c/0/0/2").write_bytes(b"half")
    assert main(["sweep", "verify", str(folder / "out"), "--json"]) == 1
    (damage,) = json.loads(capsys.readouterr().out)
    assert damage["where"] == 2
    calls.clear()
    assert main(["sweep", "repair", str(folder / "out"), "--no-figures", "--format", "zarr"]) == 0
    assert len(calls) == 13
    assert "1 of 3 chunks computed again" in capsys.readouterr().err
    assert main(["sweep", "verify", str(folder / "out" / "sweep.zarr")]) == 0


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["verify"], "sweep verify: give the folder of a sweep"),
        (["repair", "f", "--out", "o"], "sweep repair: give the folder of a sweep and no --out"),
        (["verify", "nowhere"], "holds no sweep"),
        (["spec.toml"], "give --out FOLDER"),
        (["spec.toml", "more", "--out", "o"], "give --out FOLDER, and no other word"),
    ],
)
def test_words_that_make_no_command_are_refused(words, match, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *words]) == 2
    assert match in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_certificates_that_fail_are_listed_with_their_market(monkeypatch, folder, capsys):
    cheap_kernel(monkeypatch)
    (folder / "spec.toml").write_text(SPEC.replace("to = 0.9", "to = 1.0"))
    assert sweep(folder) == 1
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert len(summary["failures"]) == summary["status"]["certificate_failed"] > 50
    assert all(
        one["alpha"] >= 0.99 and set(one) == {"point", "alpha", "fund.risk_capacity"} for one in summary["failures"]
    )
    assert summary["silent_nan"] == 0 and sum(summary["duality_gaps"].values()) == summary["status"]["ok"]
    assert "not certified: point = " in capsys.readouterr().out


def test_groups_of_any_name_are_swept_from_the_command_line_and_read_back(monkeypatch, folder, capsys):
    quoted = MARKET.replace('"dealer"', """'US$}/EU$: "x" [1].lower'""").replace('"fund"', "' a.b '")
    (folder / "market.toml").write_text(quoted)
    over = """[over]\n' a.b .risk_capacity' = [0.5, 2.0]\n'US$}/EU$: "x" [1].lower.count.factor' = [1, 2]\n"""
    (folder / "spec.toml").write_text("market = 'market.toml'\nalpha = { from = 0, to = 0.9, count = 10 }\n" + over)
    cheap_kernel(monkeypatch)
    assert main(["sweep", str(folder / "spec.toml"), "--out", str(folder / "out")]) == 0
    captured = capsys.readouterr()
    assert "jaxmech: no" not in captured.err and " a.b .risk_capacity" in captured.out
    store, copy = (jm.open_sweep(folder / path) for path in ("out", "out/sweep.nc"))
    assert list(store.revenue.dims) == ["alpha", " a.b .risk_capacity", 'US$}/EU$: "x" [1].lower.count.factor']
    assert store.group.values.tolist() == ['US$}/EU$: "x" [1].lower', " a.b "]
    xr.testing.assert_identical(store.load(), copy.load())
    assert store.sel({"alpha": 0.3, " a.b .risk_capacity": 2.0}).sizes == {"group": 2, store.revenue.dims[2]: 2}


@pytest.mark.parametrize("break_it", ["disk", "engine", "figures", "folder"])
def test_a_copy_that_fails_leaves_the_store_finished_and_says_what_to_do(monkeypatch, folder, capsys, break_it):
    def fail(*arguments, **named):
        raise {"disk": OSError(28, "No space left on device"), "engine": KeyError("h5netcdf")}.get(break_it, TypeError)

    cheap_kernel(monkeypatch)
    if break_it == "folder":
        (folder / "out" / "sweep.nc").mkdir(parents=True)
        (folder / "out" / "sweep.zarr").mkdir()
    monkeypatch.setattr(*((plots, "sweep_figures") if break_it == "figures" else (xr.Dataset, "to_netcdf")), fail)
    command = ["sweep", str(folder / "spec.toml"), "--out", str(folder / "out")]
    assert main(command) == 0
    name = "figures" if break_it == "figures" else "sweep.nc"
    assert re.search(
        rf"no {name}: .*sweep\.zarr is finished: mend that and run the same command again", capsys.readouterr().err
    )
    assert main(["sweep", "verify", str(folder / "out")]) == 0
    assert not (folder / "out" / "sweep.nc.partial").exists()
    monkeypatch.undo()
    if break_it != "folder":
        assert main(command) == 0
        assert "jaxmech: no" not in capsys.readouterr().err and (folder / "out" / "sweep.nc").is_file()
