"""Compilation and the first result

Each line is a process of its own. The first call compiles; JAX keeps compiled code between processes if it is told
where (`export JAX_COMPILATION_CACHE_DIR=~/.cache/jax`), and then the first call only loads it. `One market` is what a
user does first: `solve`, `outcomes` and `certify` of two groups. The rest are batches of 2,000 markets of five traders,
of 100 for `find_root` and of 10 for `scipy.optimize.root`.
"""

import tempfile

from fresh import alone
from harness import Measured, table

CASES = (("one market", 1), ("multipliers", 2000), ("full point", 2000), ("first derivatives", 2000))
PEERS = (("optimistix", 2000), ("find_root", 100), ("scipy.optimize.root", 10))


def measured(quick=False):
    rows = [row_of(case, 10 if quick and size > 1 else size) for case, size in (CASES[:1] if quick else CASES + PEERS)]
    columns = ["case", "imports, s", "first call, s", "filling the cache, s", "from the cache, s", "again, s"]
    return Measured([table(columns, rows)], figures={"first result": rows[0][2], "from the cache": rows[0][4]})


def row_of(case, size):
    plain = alone(case, size)
    with tempfile.TemporaryDirectory() as folder:
        filling, filled = alone(case, size, folder), alone(case, size, folder)
    return [case, plain["imports"], plain["first"], filling["first"], filled["first"], plain["again"]]
