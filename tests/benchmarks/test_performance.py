"""The performance page: every section runs and refuses wrong answers, and the page is what was measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fresh
import harness
import jax
import main_case
import numpy as np
import page
import peers
import performance
import pytest
from sections import accelerator, quadratic_programme

from jaxmech.testing.discretised import Answer
from marks import cases

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def case():
    arrays, weight = main_case.random_arrays(60, traders=2)
    eta, ends, *_ = main_case.multipliers(main_case.market_of(*arrays), weight)
    return peers.Case(arrays, weight, eta, ends)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(page.ORDER, ["first_result"]))
def test_section_runs_and_is_rendered(name, tmp_path):
    paths = ["--json", str(tmp_path / "figures.json"), "--page", str(tmp_path / "page.md")]
    command = [sys.executable, str(ROOT / "benchmarks" / "performance.py"), "--quick", "--only", name, *paths]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), JAX_PLATFORMS="cpu")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "figures.json").read_text())[name]["measured"]
    assert measured["tables"]
    assert f"--only {name}" in (tmp_path / "page.md").read_text()
    assert len(list((tmp_path / "images").glob("*.png"))) == len(measured["plots"])


def test_the_page_is_what_was_measured():
    results = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert (ROOT / "docs" / "performance.md").read_text() == page.page(results)
    plots = [plot["name"] for result in results.values() for plot in result["measured"]["plots"]]
    assert all((ROOT / "docs" / "images" / f"performance_{name}.png").is_file() for name in plots)


def test_a_section_with_a_wrong_answer_is_not_written(monkeypatch, tmp_path):
    def wrong(quick):
        harness.require(False, "this is wrong")

    data, out = tmp_path / "figures.json", tmp_path / "page.md"
    data.write_text("{}\n")
    monkeypatch.setattr(quadratic_programme, "measured", wrong)
    status = performance.main(["--quick", "--only", "quadratic_programme", "--json", str(data), "--page", str(out)])
    assert status == 1
    assert data.read_text() == "{}\n"
    assert "## Against" not in out.read_text()


def test_exponent_is_the_power():
    sizes = np.array([2, 5, 10, 50])
    assert harness.exponent(sizes, 3.0 * sizes**1.7) == pytest.approx(1.7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimistix", "find_root", "scipy.optimize.root"])
def test_peer_gives_our_answer_and_another_is_refused(case, name):
    calls = {
        "optimistix": lambda: peers.optimistix(case, 60),
        "find_root": lambda: peers.find_root(case),
        "scipy.optimize.root": lambda: peers.scipy_root(case, True),
    }
    found = np.array(calls[name]()())
    peers.require_same(found, case, name)
    with pytest.raises(harness.WrongAnswer, match="differ"):
        peers.require_same(found + 1e-7, case, name)


def test_scalar_roots_know_traders_that_always_sell_or_always_buy(case):
    inside = (case.arrays[2] < case.eta) & (case.eta < case.arrays[3])
    assert not np.all(inside)


@pytest.mark.slow
def test_an_allocation_better_than_the_optimum_is_refused(monkeypatch):
    monkeypatch.setattr(quadratic_programme, "on_a_grid", lambda cells: Answer(1.0, 1.0, 1.0))
    with pytest.raises(harness.WrongAnswer, match="better than the optimum"):
        quadratic_programme.measured(quick=True)


def test_without_a_gpu_its_rows_say_not_measured():
    table, lowered = accelerator.measured(quick=True).tables
    assert table["rows"][0][0].startswith("not measured") and lowered["rows"][0][3] == 0


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_section_of_the_gpu_runs_on_any_device():
    found = accelerator.on_device(jax.devices("cpu")[0], (10, 40), 0.01)
    assert [row[0] for row in found.tables[0]["rows"]] == [10, 40]
    assert found.figures["solves a second"] > 0
    assert found.figures["apart"] <= accelerator.AGREEMENT


@pytest.mark.slow
def test_memory_of_a_fresh_process_is_its_own():
    held = np.ones(100 * 2**20)  # 800 MiB, which a process started from here does not hold
    assert held.sum() > 0
    assert fresh.alone("imports", 1)["most_mib"] < 600


def test_numbers_are_printed_as_readers_want_them():
    shown = [page.text_of(number) for number in (None, 1_000_000, 0.00001234, 2.345678, 12345.6, 2.5e8, 0.0)]
    assert shown == ["", "1,000,000", "1.2e-05", "2.35", "12,346", "2.50e+08", "0"]


def test_a_mark_that_is_missed_is_shown_as_missed():
    figures = {"multipliers over floor": 2.0, "full point over multipliers": 2.0}
    text = page.marks_text({"time_spent": {"measured": {"figures": figures}}})
    assert "| multipliers over the floor of erf and exp | 2 | ≤ 1.3 | **not reached** |" in text
    assert "| full point over multipliers | 2 | ≤ 2.5 | reached |" in text
    assert "| multiplier solves a second on a GPU, float64 |  | ≥ 1.00e+08 | not measured |" in text
