"""Against the peers by number of traders

The same markets and the same answers, to 1e-9. `optimistix` is a vmapped dense Newton on the paper's own 4N unknowns
(equations 14–17, corrected), in the faster of two batch sizes; `find_root` is scipy's vectorised root finder on nested
scalar roots, all markets at once; `scipy.optimize.root` solves the 4N unknowns a market at a time, on compiled
residuals with their Jacobian. The first and the last factor a matrix of 4N rows.
"""

import numpy as np
from harness import Measured, exponent, plot, repeated, table
from main_case import chunked, fastest, market_of, multipliers, random_arrays, require_proved
from peers import Case, find_root, optimistix, require_same, require_solved, scipy_root

OURS, PEERS = "jaxmech", ("optimistix", "find_root", "scipy.optimize.root")
TRADERS_IN_ALL = 20_000  # of our batch
SAMPLES = {2: 2000, 5: 1000, 10: 500, 20: 200, 50: 100}  # markets that peers solve
SCIPY_SAMPLE = 20


def measured(quick=False):
    samples = {2: 20, 3: 10} if quick else SAMPLES
    rows = {traders: microseconds(traders, sample, quick) for traders, sample in samples.items()}
    names = (OURS, *PEERS)
    growth = {name: exponent(list(rows), [row[name] for row in rows.values()]) for name in names}
    shown = [[traders, *(row[name] for name in names)] for traders, row in rows.items()]
    shown.append(["growth exponent", *growth.values()])
    ratios = [[traders, *(row[f"{name} / {OURS}"] for name in PEERS)] for traders, row in rows.items()]
    series = {name: [(traders, row[name]) for traders, row in rows.items()] for name in names}
    return Measured(
        [
            table(["traders N", *(f"{name}, µs a market" for name in names)], shown),
            table(["traders N", *(f"{name} / {OURS}" for name in PEERS)], ratios),
        ],
        [plot("peers", "distinct traders", "µs a market", series)],
        ["The exponents are fitted by least squares in logarithms over all sizes, ratios are medians of pairs."],
        {f"{PEERS[0]} over ours at {traders}": row[f"{PEERS[0]} / {OURS}"] for traders, row in rows.items()},
    )


def microseconds(traders, sample, quick):
    """Microseconds a market of everybody, and the peers' over ours."""
    markets = sample if quick else TRADERS_IN_ALL // traders
    arrays, weight = random_arrays(markets, traders)
    market = market_of(*arrays)
    chunk = markets if quick else markets // 2
    ours = chunked(multipliers, market, weight, chunk)
    require_proved(market, weight, chunk)
    eta, ends, *_ = ours()
    case = Case(arrays, weight, eta, ends).first(sample)
    sizes = [sample] if quick else [sample // 10, sample]
    piece, _ = fastest({size: optimistix(case, size) for size in sizes}, 1)
    few = case.first(min(sample, SCIPY_SAMPLE))
    calls = [ours, optimistix(case, piece), find_root(case), scipy_root(few, with_jacobian=True)]
    for name, call, own in zip(PEERS, calls[1:], (case, case, few), strict=True):
        found = call()
        require_same(found, own, name)
        if name != "find_root":
            require_solved(found, own.problems, name)
    times = repeated(calls, 0.01 if quick else 5.0) / [markets, sample, sample, len(few.weight)] * 1e6
    row = dict(zip((OURS, *PEERS), np.median(times, axis=0).tolist(), strict=True))
    return row | {
        f"{name} / {OURS}": float(np.median(times[:, place] / times[:, 0])) for place, name in enumerate(PEERS, 1)
    }
