"""Peak memory

The most resident memory of a fresh process that runs the case twice, compilation included, and what it holds beyond the
imports. Batches are of five traders, 2,000 markets at a time, so that what grows is input and output.
"""

from fresh import alone
from harness import Measured, table

CASES = (
    ("imports", (1,)),
    ("multipliers", (2_000, 100_000, 1_000_000)),
    ("full point", (2_000, 100_000)),
    ("first derivatives", (2_000, 100_000)),
    ("one market of N traders", (1_000, 1_000_000)),
    ("optimistix", (2_000, 100_000)),
    ("find_root", (1_000,)),
    ("scipy.optimize.root", (10,)),
    ("quadratic programme", (160,)),
)
QUICK = (("imports", (1,)), ("quadratic programme", (10,)))


def measured(quick=False):
    rows = []
    for case, sizes in QUICK if quick else CASES:
        for size in sizes:
            found = alone(case, size)
            rows.append([case, size, found["most_mib"], found["most_mib"] - found["imports_mib"]])
    return Measured([table(["case", "markets, traders or cells", "peak, MiB", "beyond imports, MiB"], rows)])
