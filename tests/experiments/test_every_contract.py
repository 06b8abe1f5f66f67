"""The script that makes the market of every contract in a file."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

from commitments import THREE_CONTRACTS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        return importlib.import_module("every_contract")


def test_contracts_without_a_market_are_told_with_their_reasons(script, tmp_path, capsys):
    out = tmp_path / "table.csv"
    assert script.main([str(THREE_CONTRACTS), "--window", "26", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "3 contracts: 0 certified at α = 0, ½ and 1, 0 not, 3 refused" in text
    assert "0 of 24 weeks have 26 reports in the 52 weeks before them" in text
    assert pd.read_csv(out)["groups"].tolist() == [0, 0, 0]


@pytest.mark.slow
def test_every_contract_has_a_certified_market(script, tmp_path, capsys):
    out = tmp_path / "table.csv"
    assert script.main([str(THREE_CONTRACTS), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "3 contracts: 3 certified at α = 0, ½ and 1, 0 not, 0 refused\n  2 with 4 groups\n  1 with 3 groups" in text
    assert "NANO ETHER - LMX LABS LLC: asset_manager left out: no positions in any week; dealer: the median" in text
    assert pd.read_csv(out)["largest_gap"].max() < 1e-9


def test_a_missing_file_is_told(script, tmp_path, capsys):
    assert script.main([str(tmp_path / "none.txt")]) == 2
    assert "no such file" in capsys.readouterr().err
