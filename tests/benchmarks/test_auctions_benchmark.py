"""The benchmark of the simulation runs, and its answers are right; what it measures here means nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_benchmark_runs_and_accepts_the_revenues(tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "auctions.py"), "--quick", "--json", str(out)]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(row["auctions_per_second"] > 0 for row in json.loads(out.read_text())["rows"])
