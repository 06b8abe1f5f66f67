"""Compilation and the first result

Each line is a process of its own. The first call compiles; JAX keeps compiled code between processes if it is told
where (`export JAX_COMPILATION_CACHE_DIR=~/.cache/jax`), and then the first call only loads it: the first column finds
that folder empty and fills it, the second finds it full. `One market` is what a user does first: `solve`, `outcomes`
and `certify` of two groups. The rest are batches of 2,000 markets of five traders, of 100 for `find_root` and of 10 for
`scipy.optimize.root`.
"""

import tempfile

from fresh import alone
from harness import Measured, table

CASES = (("one market", 1), ("multipliers", 2000), ("full point", 2000), ("first derivatives", 2000))
QUICK = (("multipliers", 10),)
PEERS = (("optimistix", 2000), ("find_root", 100), ("scipy.optimize.root", 10))


def measured(quick=False):
    rows = [row_of(case, size) for case, size in (QUICK if quick else CASES + PEERS)]
    columns = ["case", "imports, s", "first call, s", "first call from the cache, s", "again, s"]
    return Measured([table(columns, rows)], figures={"first result": rows[0][2], "from the cache": rows[0][3]})


def row_of(case, size):
    with tempfile.TemporaryDirectory() as folder:
        empty, filled = alone(case, size, folder), alone(case, size, folder)
    return [case, empty["imports"], empty["first"], filled["first"], empty["again"]]
