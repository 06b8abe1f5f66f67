"""A small version of the experiment that kills and damages a sweep."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")
SCRIPT = Path(__file__).parents[2] / "experiments" / "survive.py"


@pytest.mark.exhaustive
def test_a_sweep_that_is_killed_starved_and_damaged_loses_nothing():
    arguments = ["--kills", "2", "--points", "9000", "--damages", "1"]
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    line = done.stdout.splitlines()[-1]
    assert "FAILED" not in line and len(re.findall("1 of 1 .*? mended", line)) == 6
    assert re.search(r": [23] kills \(.*\), full disk told and resumed, ", line)
    assert line.endswith("0 points lost, 0 wrong, bytes equal to an undisturbed run")
