"""Random markets by the million: is every one solved, certified and free of NaN?

    python experiments/random_markets.py [--markets 10000000] [--seed 0] [--kinds NAME ...] [--extended] [--out FOLDER]
    python experiments/random_markets.py --replay KIND:SEED:BATCH:LANE [--extended]

Seven batches in ten are ordinary, one is on the edge where the first best just breaks even, two are extreme:
jaxmech.testing.random_markets draws them. Every batch is drawn from (kind, seed, batch), so that any market
can be looked at alone. With --extended they have outside options, welfare weights and revenue targets; then a market
is also well where the target is proved to be infeasible, or where it is refused because an outside option meets a law
that is not regular. Writes summary.json, summary.txt and a histogram of duality gaps into
experiments/results/random_markets (random_extended_markets), or FOLDER. Exit code 1 where a market with finite-looking
status holds a NaN, or an ordinary one is not well.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

import jaxmech as jm  # noqa: E402
from jaxmech.market.parameters import group_entries, valid_market  # noqa: E402
from jaxmech.reports.tables import mechanism_report, mechanism_text  # noqa: E402
from jaxmech.testing.irregular_markets import irregular_markets  # noqa: E402
from jaxmech.testing.random_markets import (  # noqa: E402
    FAILED,
    INFEASIBLE,
    OK,
    REFUSED,
    Extended,
    extended,
    panel_markets,
    random_alphas,
    random_markets,
    verdicts,
)

HERE = Path(__file__).parent

CYCLE = ("ordinary", "extreme", "edge", "ordinary", "ordinary", "extreme", *("ordinary",) * 4)
REGIMES = ("ordinary", "edge", "extreme", "panels")
STATUS = ("ok", "infeasible", "refused", "certificate_failed", "silent_nan", "invalid_parameters")
WELL = 3  # the first ones
EVIDENCE = ("residual", "duality_gap", "participation_slack", "monotonicity_breach", "budget_shortfall")
EDGES = np.arange(-20, 3.01, 0.5)  # of the histogram of log10 |duality gap|; smaller gaps count as 1e-20
LISTED = 10_000  # failures written down with their numbers


class Kind(NamedTuple):
    """Markets of one shape."""

    share: float  # of all markets
    batch: int  # markets a batch
    structure: tuple | str  # groups of each family, or the name of an irregular kind


KINDS = {
    "uniform_2": Kind(0.14, 2048, (2, 0, 0)),
    "uniform_5": Kind(0.10, 2048, (5, 0, 0)),
    "normal_2": Kind(0.14, 2048, (0, 2, 0)),
    "normal_5": Kind(0.12, 2048, (0, 5, 0)),
    "beta_2": Kind(0.10, 2048, (0, 0, 2)),
    "beta_4": Kind(0.06, 2048, (0, 0, 4)),
    "uniform_normal": Kind(0.10, 2048, (1, 1, 0)),
    "all_3": Kind(0.14, 2048, (1, 1, 1)),
    "all_8": Kind(0.08, 2048, (3, 3, 2)),
    "all_30": Kind(0.015, 512, (12, 10, 8)),
    "all_100": Kind(0.003, 128, (40, 40, 20)),
    "histograms": Kind(4e-4, 128, "two histograms"),
    "normal_mixtures": Kind(4e-4, 64, "normal mixtures"),
    "uniform_mixtures": Kind(4e-4, 64, "uniform mixtures"),
    "linear_densities": Kind(4e-4, 64, "linear densities"),
    "named_densities": Kind(4e-4, 64, "named"),
}


def regime_of(kind, batch):
    return CYCLE[batch % len(CYCLE)] if isinstance(KINDS[kind].structure, tuple) else "panels"


def batch_of(kind, seed, batch, more):
    """The markets of a batch, their α and, if there is more than the paper's problem, their targets."""
    size, structure = KINDS[kind][1:]
    if structure == "named":
        market = panel_markets(size, [seed, batch])
    elif isinstance(structure, str):
        market = irregular_markets(structure, size, [seed, batch])[0]
    else:
        market = random_markets(structure, size, [seed, batch], regime_of(kind, batch))
    market = jm.Market(market.endowment, market.risk_capacity, market.count)
    alpha = random_alphas(size, [seed, batch, 1])
    return extended(market, alpha, [seed, batch, 2]) if more else Extended(market, alpha, 0.0)


def found_in(kind, seed, more, batch):
    """(status, evidence) of every market of a batch, NumPy arrays."""
    given = batch_of(kind, seed, batch, more)
    if more:
        verdict, mechanism, certificate = verdicts(given)
    else:
        mechanism = jm.solve(given.market, given.alpha)
        certificate = jm.certify(mechanism)
        verdict = np.where(certificate.ok, OK, FAILED)
    numbers = [*jm.outcomes(mechanism), mechanism.weight, mechanism.eta, mechanism.ends]
    finite = np.all([np.isfinite(part).reshape(-1, len(given.alpha)).all(axis=0) for part in numbers], axis=0)
    kept = certificate._asdict() | {"error": mechanism.error, "steps": mechanism.steps, "finite": finite}
    found = {name: np.asarray(value) for name, value in kept.items()}
    names = {INFEASIBLE: "infeasible", REFUSED: "refused", FAILED: "certificate_failed"}
    status = np.where(finite, STATUS.index("ok"), STATUS.index("silent_nan"))
    for code, name in names.items():
        status = np.where(verdict == code, STATUS.index(name), status)
    return np.where(valid_market(given.market), status, STATUS.index("invalid_parameters")), found


class Tally:
    """What is kept of the markets of one kind and regime: constant memory however many there are."""

    def __init__(self):
        self.status, self.histogram = np.zeros(len(STATUS), int), np.zeros(len(EDGES) - 1, int)
        self.worst, self.steps, self.nan = dict.fromkeys(EVIDENCE, 0.0), 0, 0

    def add(self, status, found):
        self.status += np.bincount(status, minlength=len(STATUS))
        good = status == 0
        self.nan += int(sum(np.isnan(found[name][good]).sum() for name in EVIDENCE))
        gaps = np.log10(np.maximum(np.abs(found["duality_gap"][good]), 1e-20))
        self.histogram += np.histogram(np.clip(gaps, EDGES[0], EDGES[-1]), EDGES)[0]
        self.steps = max(self.steps, int(found["steps"][good].max(initial=0)))
        for name in EVIDENCE:
            self.worst[name] = max(self.worst[name], float(np.abs(found[name][good]).max(initial=0)))

    def record(self):
        counts = {name: int(count) for name, count in zip(STATUS, self.status, strict=True)}
        worst = {"worst_" + name: value for name, value in self.worst.items()}
        return counts | worst | {"most_steps": self.steps, "nan_among_ok": self.nan, "gaps": self.histogram.tolist()}


def lane_of(given, lane):
    """One market of a batch, its groups named, and what is asked of it, plain numbers."""
    names = tuple(f"group_{place}" for place in range(1, given.market.groups + 1))
    one = jax.tree.map(lambda leaf: leaf[..., lane] if np.ndim(leaf) else leaf, given)
    return Extended(replace(one.market, names=names), float(one.alpha), float(one.minimum_revenue))


def numbers_of(market):
    """The numbers of one market, one dictionary a group."""
    laws = [type(law).__name__ for law, _, length in market.laws() for _ in range(length)]
    rows = group_entries(market)
    if market.outside is not None:
        more = market.outside.entries(slice(None)) | {"welfare_weight": market.welfare_weight}
        rows = [row | {name: value[place] for name, value in more.items()} for place, row in enumerate(rows)]
    return [{"law": law} | {k: float(v) for k, v in row.items()} for law, row in zip(laws, rows, strict=True)]


def failures_of(kind, seed, more, batch, status, found):
    """Every market of a batch that is not well: coordinates, numbers, evidence."""
    bad = np.flatnonzero(status >= WELL)
    drawn = batch_of(kind, seed, batch, more) if len(bad) else None
    for lane in bad:
        market, alpha, target = lane_of(drawn, lane)
        evidence = {name: float(found[name][lane]) for name in (*EVIDENCE, "error", "steps")}
        yield {
            "replay": f"{kind}:{seed}:{batch}:{lane}",
            "regime": regime_of(kind, batch),
            "status": STATUS[status[lane]],
            "alpha": alpha,
            "minimum_revenue": target,
            **evidence,
            "groups": numbers_of(market),
        }


def workers(number):
    """As many processes, each with a JAX of its own that computes in 64-bit floats."""
    return ProcessPoolExecutor(number, get_context("spawn"))


def run(markets, seed, kinds, more):
    """Solve them all; (tallies by (kind, regime), failures listed, seconds)."""
    from tqdm import tqdm

    tallies, failures, start = {}, [], time.perf_counter()
    shares = sum(KINDS[kind].share for kind in kinds)
    batches = {kind: -(-int(markets * KINDS[kind].share / shares) // KINDS[kind].batch) for kind in kinds}
    total = sum(KINDS[kind].batch * number for kind, number in batches.items())
    # A process a core: computations of one process follow each other. Ctrl-C keeps what is done.
    with tqdm(total=total, unit="market", unit_scale=True) as bar, workers(len(os.sched_getaffinity(0))) as pool:
        try:
            for kind in kinds:
                bar.set_description(kind)
                results = pool.map(partial(found_in, kind, seed, more), range(batches[kind]))
                for batch, (status, found) in enumerate(results):
                    tallies.setdefault((kind, regime_of(kind, batch)), Tally()).add(status, found)
                    failures += islice(failures_of(kind, seed, more, batch, status, found), LISTED - len(failures))
                    bar.update(len(status))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    return tallies, failures, time.perf_counter() - start


def summary_of(tallies, failures, seconds, seed):
    """Everything as plain numbers."""
    rows = [{"kind": kind, "regime": regime} | tally.record() for (kind, regime), tally in tallies.items()]
    markets = sum(row[name] for row in rows for name in STATUS)
    return {
        "seed": seed,
        "markets": markets,
        "seconds": seconds,
        "markets_per_second": markets / seconds,
        "nan_among_ok": sum(row["nan_among_ok"] + row["silent_nan"] for row in rows),
        "status": {name: sum(row[name] for row in rows) for name in STATUS},
        "log10_gap_edges": EDGES.tolist(),
        "rows": rows,
        "failures_listed": len(failures),
        "failures": failures,
        "device": f"jax {jax.__version__}, {jax.devices()[0].platform}",
    }


def text_of(summary):
    """The summary on one screen."""
    status, rows = summary["status"], summary["rows"]
    lines = [
        f"{summary['markets']:,} random markets in {summary['seconds']:,.0f} s: {summary['markets_per_second']:,.0f} a "
        f"second (seed {summary['seed']})",
        f"ok {status['ok']:,} ({status['ok'] / summary['markets']:.4%}), "
        + ", ".join(f"{name.replace('_', ' ')} {status[name]:,}" for name in STATUS[1:]),
        f"NaN among ok: {summary['nan_among_ok']}",
        "",
        f"{'kind':<18}{'regime':<10}{'markets':>11}{'infeasible':>11}{'refused':>8}{'not ok':>8}{'gap':>10}"
        f"{'residual':>10}{'slack':>10}{'fall':>10}{'shortfall':>11}{'steps':>7}",
    ]
    for row in rows:
        worst = [row["worst_" + name] for name in ("duality_gap", "residual", *EVIDENCE[2:])]
        number = sum(row[name] for name in STATUS)
        lines.append(
            f"{row['kind']:<18}{row['regime']:<10}{number:>11,}{row['infeasible']:>11,}{row['refused']:>8,}"
            f"{sum(row[name] for name in STATUS[WELL:]):>8,}"
            + "".join(f"{value:>{width}.0e}" for value, width in zip(worst, (10, 10, 10, 10, 11), strict=True))
            + f"{row['most_steps']:>7}"
        )
    lines += ["(the largest among those that are ok, in units of the first-best surplus)", "", "duality gaps of those:"]
    gaps = np.sum([row["gaps"] for row in rows], axis=0)
    for low, high, number in zip(EDGES[:-2:2], EDGES[2::2], gaps.reshape(-1, 2).sum(axis=1), strict=True):
        if number:
            lines.append(
                f"  1e{low:+03.0f} to 1e{high:+03.0f} {number:>11,}  " + "#" * int(np.ceil(4 * np.log10(1 + number)))
            )
    why = Counter((one["regime"], one["status"], one["replay"].split(":")[0]) for one in summary["failures"])
    lines += ["", f"not ok, first {summary['failures_listed']:,} listed in summary.json:"] if why else []
    lines += [f"  {number:>6} {kind} {regime}: {status}" for (regime, status, kind), number in sorted(why.items())]
    return "\n".join(lines)


def picture(summary, folder):
    """Histogram of duality gaps by regime."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    shown = [name for name in REGIMES if any(row["regime"] == name for row in summary["rows"])]
    gaps = [np.sum([row["gaps"] for row in summary["rows"] if row["regime"] == name], axis=0) for name in shown]
    for name, counts, colour in zip(shown, gaps, ("#1f4fb4", "#2a9d55", "#e08214", "#8e44ad"), strict=False):
        axes.stairs(counts, EDGES, label=f"{name}, {counts.sum():,}", color=colour, linewidth=1.5)
    axes.axvline(np.log10(np.finfo(float).eps ** 0.5 / 15), color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="log₁₀ of the duality gap over the first-best surplus", ylabel="markets", yscale="log")
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(folder / "random_markets.png", dpi=150)


def replay(where, more):
    """Print one market and what becomes of it, alone."""
    kind, seed, batch, lane = where.split(":")
    market, alpha, target = lane_of(batch_of(kind, int(seed), int(batch), more), int(lane))
    for row in numbers_of(market):
        print("  " + ", ".join(f"{key} {value!r}" for key, value in row.items()))
    print(f"  alpha {alpha!r}, minimum revenue {target!r}")
    print(mechanism_text(mechanism_report(jm.solve(market, alpha, target))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--extended", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--replay", metavar="KIND:SEED:BATCH:LANE")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay, options.extended)
    out = options.out or HERE / "results" / ("random_extended_markets" if options.extended else "random_markets")
    summary = summary_of(*run(options.markets, options.seed, options.kinds, options.extended), options.seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    text = text_of(summary)
    (out / "summary.txt").write_text(text + "\n")
    picture(summary, out)
    print(text)
    failed = sum(sum(row[name] for name in STATUS[WELL:]) for row in summary["rows"] if row["regime"] != "extreme")
    return 1 if summary["nan_among_ok"] or failed else 0


if __name__ == "__main__":
    sys.exit(main())
