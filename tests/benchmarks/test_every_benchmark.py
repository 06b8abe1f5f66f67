"""Every benchmark runs, and its answers are right; what it measures here means nothing. The page's sections, and with
them `derivatives`, are in test_performance."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", ["multipliers", "frontiers", "irregular", "auctions", "outside_options"])
def test_benchmark_runs_and_accepts_the_answers(script, tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{script}.py"), "--quick", "--json", str(out)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert rows
    # The slope between two times may be anything; times and their ratios may not.
    assert all(math.isfinite(row["figure"]) for row in rows)
    assert all(row["figure"] > 0 for row in rows if not row["name"].startswith("exponent"))
