"""Random markets by the million in memory that does not grow: peak memory of the command by number of points.

    python experiments/constant_memory.py                      # 10^5, 10^6 and 10^7 points
    python experiments/constant_memory.py --points 100000      # what fits

Each count is one `jaxmech sweep` in a process of its own, into a store; its summary, with every failure and the
histogram of duality gaps, is read back from there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARKET = """
[[traders]]
name = "dealer"
count = 3
risk_capacity = 0.7
endowment = { law = "uniform", lower = -1.0, upper = 1.3 }
[[traders]]
name = "fund"
count = 2
risk_capacity = 1.1
endowment = { law = "uniform", lower = -0.4, upper = 0.9 }
"""
SPEC = """
market = "market.toml"
design = "random"
points = {points}
alpha = {{ from = 0.0, to = 1.0 }}
[over]
"dealer.risk_capacity" = {{ from = 0.01, to = 100.0, scale = "log" }}
"fund.risk_capacity" = {{ from = 0.01, to = 100.0, scale = "log" }}
"fund.lower" = {{ from = -3.0, to = 0.8 }}
"dealer.count" = [1, 2, 3, 5, 10, 20, 50, 100]
"""


def figures(points, folder):
    """Exit code, seconds, peak memory in MiB and summary of one sweep."""
    (folder / "market.toml").write_text(MARKET)
    (folder / "spec.toml").write_text(SPEC.format(points=points))
    out = folder / "out"
    command = [sys.executable, "-m", "jaxmech.cli", "sweep", str(folder / "spec.toml"), "--out", str(out), "--no-cache"]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--format", "zarr", "--no-figures"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    summary = json.loads((out / "summary.json").read_text())
    shutil.rmtree(out)
    return os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss / 1024, summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    options = parser.parse_args()
    print(f"{'points':>12}{'seconds':>10}{'points/s':>10}{'peak MiB':>10}  ok, silent NaN, duality gaps")
    for points in options.points:
        with tempfile.TemporaryDirectory() as folder:
            _, seconds, peak, summary = figures(points, Path(folder))
        gaps = ", ".join(f"{number:,} {name}" for name, number in summary.get("duality_gaps", {}).items())
        print(
            f"{points:>12,}{seconds:>10.1f}{points / seconds:>10,.0f}{peak:>10,.0f}"
            f"  {summary['status']['ok']:,}, {summary['silent_nan']}, {gaps}",
            flush=True,
        )


if __name__ == "__main__":
    main()
