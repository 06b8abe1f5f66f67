"""A market of the kinds of traders in one contract, from the Commitments of Traders.

What is observed and what is not:

- count: the median over weeks of max(traders long, traders short), the number of reporting traders. Where it is
  withheld, being one, two or three, three is assumed, and a note says so.
- endowment: each trader is given the category's average. Its shock is the category's net position per trader,
  (long − short)/count, less the mean of the weeks before. The support is the observed range of the shocks stretched by
  a tenth of its width on either side. Shocks that traders of one category do not share cancel in the category's total:
  a law fitted to these understates one trader's spread.
- risk capacity is NOT observed: proportional to the category's mean gross position per trader, long + short +
  2 spread (a spread is a long and a short contract of one trader), scaled to a mean of 1 over traders.

A figure that rests on such a market rests on those choices. Positions are in thousands of contracts.
"""

import csv
import os
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmech.endowments.binning import LEAST_DISTINCT
from jaxmech.estimation.cot import CommitmentsOfTraders, Contract, kind, read_cot
from jaxmech.estimation.fit import Fit, checked_options, fit
from jaxmech.estimation.market_from_table import made_or_refused, reports_of, written_market
from jaxmech.inputs import AnyPath, MarketError, file_to_write, whole_number
from jaxmech.market.market import Market, Traders
from jaxmech.plain import plain, result

WINDOW = 26  # weeks
STRETCH = 0.1  # of the observed range, on either side
WITHHELD = 1, 3  # the counts that the Commission withholds
_SHARES = ("mixture", "histogram", "smoothed")  # laws with numbers that sum to one, which rounding would break


@result()
@dataclass(frozen=True, eq=False)
class CotMarket:
    """A market fitted to weekly positions. Made by `cot_market`."""

    contract: Contract
    market: Market  # as the file says it
    toml: str  # what a market file says, as `Market.from_toml` reads it
    fits: dict  # Fit of each group by its name, in the order of the report
    left_out: dict  # why a category is no group, by its name
    notes: tuple  # what was assumed
    observations: dict  # weekly shocks of each group by its name, (weeks,), the newest last; units of the asset

    def report(self) -> str:
        """The report of each fit under its group's name, then what was left out or assumed."""
        counts = np.asarray(self.market.count).tolist()
        capacities = np.asarray(self.market.risk_capacity).tolist()
        traders = zip(self.market.names, counts, capacities, strict=True)
        lines = [f"{name}: {count:g} traders, risk capacity {capacity:g}" for name, count, capacity in traders]
        lines += [f"{name}: left out: {reason}" for name, reason in self.left_out.items()]
        lines += [f"note: {note}" for note in self.notes]
        return "\n\n".join([self.contract.name, *reports_of(self.fits), "\n".join(lines)])

    __str__ = report

    def to_dict(self) -> dict:
        """The contract, what the market file says, the fits, what was left out or assumed, as plain values."""
        parts = {"contract": self.contract.summary(), "market": tomllib.loads(self.toml)}
        return plain(parts | {"fits": self.fits, "left_out": self.left_out, "notes": self.notes})


class _Group(NamedTuple):
    """What the data say of one group."""

    count: int
    gross: float  # mean gross position of a trader, contracts
    fit: Fit
    shocks: np.ndarray
    notes: tuple


def cot_market(
    files: AnyPath | Sequence[AnyPath] | CommitmentsOfTraders,
    contract: str,
    *,
    window: int = WINDOW,
    family: str = "truncated_normal",
    out: AnyPath | None = None,
    observations: AnyPath | None = None,
    **settings: Any,
) -> CotMarket:
    """The market of one contract: a group for each category of traders, its law fitted to weekly shocks.

    The module's docstring says how positions become counts, endowments and risk capacities, and what of it is assumed.
    Categories that cannot be a group are left out, and the result says why. Numbers of the file have six digits, but
    for mixtures, histograms and smoothed laws, whose numbers keep all.

    Args:
      files: path of a file, or several, as `read_cot` reads them; or what it returned.
      contract: a part of the contract's name, or its code.
      window: reports whose mean a week's position is compared to, those before it; 0 for the mean of all weeks. A week
        has no shock where these reports reach back over twice as many weeks, as where a year is missing.
      family: law of every group, as in `fit`; "best" chooses one for each group.
      out: market file to write, if any.
      observations: table of the weekly shocks to write, if any, with columns group and endowment, the newest last; the
        market file names it, so that pages show them.
      settings: what else `fit` takes: components, bins, bandwidth, points.

    Returns:
      CotMarket.

    Raises:
      MarketError: files that are not read, no such contract or several, or no category that can be a group, with the
        reason for each; before anything is written.
    """
    checked_options(family, settings)
    whole_number("window", window)
    out, table = file_to_write("out", out), file_to_write("observations", observations)
    reports = files if isinstance(files, CommitmentsOfTraders) else read_cot(files)
    meant = reports.contract(contract)
    groups, left_out = made_or_refused(meant.categories, lambda _, series: _group(series, window, family, settings))
    reasons = {why: ", ".join(k for k in left_out if left_out[k] == why) for why in left_out.values()}
    said = "; ".join(f"{names}: {why}" for why, names in reasons.items())
    if not groups:
        raise MarketError(f"{meant.name}: no category of traders can be a group: {said}")
    counts = {name: group.count for name, group in groups.items()}
    average = sum(counts[name] * groups[name].gross for name in groups) / sum(counts.values())
    capacities = {name: rounded(group.gross / average) for name, group in groups.items()}
    fits = {name: group.fit for name, group in groups.items()}
    written = {name: _in_six_digits(fit) for name, fit in fits.items()}
    try:
        market = Market.of(*(Traders(written[k].law, capacities[k], counts[k], k) for k in groups))
    except MarketError as error:
        raise MarketError(f"{meant.name}: {error}" + (f" (left out: {said})" if said else "")) from None
    notes = tuple(f"{name}: {note}" for name, group in groups.items() for note in group.notes)
    asked = ["--contract", contract, "--window", str(window), "--family", family]
    facts = {
        **provenance(reports, meant, window, family),
        "command": shlex.join(["jaxmech", "cot", *(name for name, _ in reports.files), *asked]),
        **{f"fit_{name}": value for name, value in settings.items()},
        "left_out": said or "none",
        "notes": "; ".join(notes) or "none",
        **({} if table is None else {"observations": os.path.relpath(table, None if out is None else out.parent)}),
    }
    remark = "Counts are observed, risk capacity is not."
    text = written_market(out, meant.name, written, counts, capacities, facts, remark)
    seen = {name: group.shocks for name, group in groups.items()}
    _write_observations(table, seen)
    return CotMarket(meant, market, text, fits, left_out, notes, seen)


def _write_observations(path, seen):
    """As `observations` reads them, if there is a path."""
    if path is None:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["group", "endowment"])
        rows.writerows([name, rounded(value)] for name, values in seen.items() for value in values)


def _group(series, window, family, settings):
    """A _Group from a Category; MarketError says why it can be none."""
    gross = series.long + series.short + 2 * series.spread
    if not gross.any():
        raise MarketError("no positions in any week")
    count, notes = _count(series)
    if count == 0:
        raise MarketError("no reporting traders in the median week")
    sample = shocks((series.long - series.short) / count / 1000, series.dates, window)
    if sample.size < LEAST_DISTINCT:
        few = f"{sample.size} of {gross.size} weeks have {window} reports in the {2 * window} weeks before them"
        remedy = f"at least {LEAST_DISTINCT} are needed: choose a smaller window, or 0 for deviations from the mean"
        raise MarketError(f"{few}; {remedy}" if window else f"{gross.size} weeks; {LEAST_DISTINCT} are needed")
    margin = STRETCH * np.ptp(sample)
    if margin == 0:
        raise MarketError("the net position never departs from its level")
    ends = {"lower": rounded(sample.min() - margin), "upper": rounded(sample.max() + margin)}
    fitted = fit(sample, family, **ends, **settings)
    return _Group(count, np.mean(gross) / count, fitted, sample, (*notes, *fitted.notes))


def _count(series):
    """Reporting traders in the median week, and a note where that is withheld."""
    sides = np.stack([series.traders_long, series.traders_short])
    low, high = (np.median(np.max(np.where(np.isnan(sides), end, sides), axis=0)) for end in WITHHELD)
    count = int(np.rint(high))
    note = f"the median count of traders is withheld: it is from {low:g} to {high:g}, and {count} is assumed"
    return count, (note,) if low < high else ()


def shocks(series, dates, window=WINDOW):
    """Deviation of each entry from the mean of the `window` before it, where these are at most 2 `window` weeks old;
    from the mean of all if `window` is 0. The first `window` entries have none.

    Args:
      series: weekly values, (T,).
      dates: of the weeks, datetime64[D], (T,), rising.
    """
    if window == 0:
        return series - np.mean(series)
    sums = np.concatenate([[0.0], np.cumsum(series)])
    recent = dates[window:] - dates[:-window] <= np.timedelta64(14 * window, "D")
    return (series[window:] - (sums[window:-1] - sums[: -window - 1]) / window)[recent]


def rounded(value):
    """Six digits of a number."""
    return float(f"{value:.6g}")


def _in_six_digits(fit):
    """The fit with rounded numbers, but for laws whose numbers sum to one."""
    if fit.family in _SHARES:
        return fit

    def law(vector):
        return jax.tree.map(lambda leaf: np.float64(rounded(float(leaf))), fit.estimate.law(vector))

    estimate = fit.estimate._replace(law=law)
    return replace(fit, law=law(estimate.vector), estimate=estimate)


def provenance(reports, contract, window, family) -> dict:
    """Where the numbers of a contract's market come from, and what was chosen, as a market file says it."""
    dates = contract.dates
    level = f"the mean of the {window} reports before" if window else "the mean of all weeks"
    gaps = [f"{a} to {b}" for a, b in pairwise(dates) if b - a > np.timedelta64(21, "D")]
    report = f"{reports.report}, {kind(reports.combined)}"
    return {
        "source": f"US Commodity Futures Trading Commission, {report} (public domain)",
        "contract": contract.name,
        "code": contract.code,
        "files": [f"{name}, SHA-256 {digest}" for name, digest in reports.files],
        "units": "thousand contracts",
        "period": f"{dates[0]} to {dates[-1]}",
        "weeks": len(dates),
        "gaps": "; ".join(gaps) or "none longer than three weeks",
        "count": "median over weeks of max(traders long, traders short); withheld counts are from 1 to 3",
        "endowment": f"net position (long − short)/count less {level}; {family} law by jaxmech.fit",
        "support": f"observed range of the shocks, stretched by {STRETCH:g} of its width on either side",
        "risk_capacity": "NOT observed: proportional to mean (long + short + 2 spread)/count, mean over traders 1",
        "caveat": "a category's average stands for each of its traders, so shocks they do not share are understated; "
        "weeks are treated as independent draws",
    }
