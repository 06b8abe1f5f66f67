"""Which parameters move an outcome over whole ranges of them: Sobol' and Morris indices, estimated by SALib.

Derivatives say what matters at one market; these say what matters between here and there. SALib draws the points and
estimates; the sweep's engine solves them, and a point whose answer is not certified takes its whole block with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from jaxmech.extras import extra
from jaxmech.inputs import MarketError, one_number, one_of, whole_number, yes_or_no
from jaxmech.market.market import Market, checked_market
from jaxmech.market.parameters import name_parts, named_parameter, refuse_overlaps
from jaxmech.plain import aligned, result
from jaxmech.sweep.dataset import MONEY, OF_MARKET
from jaxmech.sweep.design import Range, make_design
from jaxmech.sweep.engine import STATUS, run

if TYPE_CHECKING:
    import pandas as pd

OUTCOMES = tuple(OF_MARKET)
LEAST_BLOCKS = {"sobol": 16, "morris": 4}  # fewer say nothing; bootstrapped intervals want hundreds and dozens


class SobolIndices(NamedTuple):
    """Shares of an outcome's variance, (O, D) for O outcomes and D parameters; half-widths are of 95 % intervals."""

    first_order: np.ndarray  # of the parameter alone
    first_order_half_width: np.ndarray
    total: np.ndarray  # of the parameter and all its interactions
    total_half_width: np.ndarray
    second_order: np.ndarray  # (O, D, D), of two parameters' interaction; symmetric, NaN on the diagonal or not asked
    second_order_half_width: np.ndarray  # (O, D, D)


class MorrisIndices(NamedTuple):
    """Elementary effects (change of the outcome per whole range of a parameter), (O, D), units of the outcome."""

    mu: np.ndarray  # mean
    mu_star: np.ndarray  # mean size
    mu_star_half_width: np.ndarray  # of a 95 % interval
    sigma: np.ndarray  # standard deviation: 0 where the parameter acts linearly and alone


@result()
@dataclass(frozen=True)
class GlobalSensitivity:
    """Indices of every outcome to every parameter, and what they rest on. Made by `global_sensitivity`."""

    method: str  # "sobol" or "morris"
    outcomes: tuple  # names of the O outcomes
    parameters: tuple  # names of the D parameters
    indices: SobolIndices | MorrisIndices
    evaluations: int  # points solved or found to be no market
    blocks: int  # Saltelli blocks or Morris trajectories drawn
    share_masked: float  # of the blocks: with a point that is no market or not certified, left out

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per outcome and parameter, one column an index (second order left to `indices`). Needs pandas."""
        with extra("global"):
            import pandas as pd

        index = pd.MultiIndex.from_product([self.outcomes, self.parameters], names=["outcome", "parameter"])
        return pd.DataFrame({name: value.ravel() for name, value in self._columns().items()}, index).reset_index()

    def __str__(self):
        columns = self._columns()
        names = [f"{outcome}, {name}" for outcome in self.outcomes for name in self.parameters]
        numbers = np.stack([value.ravel() for value in columns.values()], 1)
        rows = [[name, *(f"{value:13.4g}" for value in row)] for name, row in zip(names, numbers, strict=True)]
        lines = aligned([["", *(name.replace("half_width", "±") for name in columns)], *rows])
        masked = f"{self.share_masked:.1%} of {self.blocks} blocks left out"
        return "\n".join([*lines, f"{self.method}: {self.evaluations} evaluations; {masked}"])

    def _columns(self):
        return {name: value for name, value in self.indices._asdict().items() if value.ndim == 2}


def global_sensitivity(
    market: Market,
    alpha: float,
    over: Mapping[str, Range],
    method: Literal["sobol", "morris"] = "sobol",
    points: int = 1024,
    seed: int = 0,
    outcomes: Sequence[str] = ("revenue", "efficiency"),
    progress: bool | None = None,
    second_order: bool = False,
) -> GlobalSensitivity:
    """How much each parameter moves the outcomes when all of them vary at once, independently, over their ranges.

    Args:
      market: the market to start from.
      alpha: weight on revenue in [0, 1]; ignored when `over` has a Range for "alpha".
      over: Ranges by name: "alpha", "GROUP.FIELD", "GROUP.FIELD.factor", as in `sweep`; values are even in the range
        or in its logarithm. Counts and their factors take the whole numbers of the range, whose ends must be whole.
      method: "sobol" for shares of variance, "morris" for the cheaper screening by elementary effects.
      points: blocks: base points of the scrambled Sobol' sequence, a power of two; or trajectories of Morris. A block
        is D + 2 evaluations for Sobol', 2 D + 2 with the second order, D + 1 for Morris.
      seed: of draws and bootstrap; the same seed gives the same numbers.
      outcomes: names among OUTCOMES.
      progress: a bar; None shows it on a terminal.
      second_order: also Sobol' indices of pairs.

    Returns:
      GlobalSensitivity. Blocks with a point that is no market, or whose answer fails its certificate, are left out
      whole and counted; the indices are then those of the remaining part of the ranges, where parameters are no
      longer quite independent. Sobol' indices of an outcome that does not vary, up to the solver's error, are NaN.
      Needs SALib and the extra `data`.

    Raises:
      MarketError: bad names, ranges, alpha, method, points, seed or outcomes, before anything is compiled; or fewer
        than LEAST_BLOCKS left. Ctrl-C ends the run: half a design gives no indices.

    Source: Saltelli et al. 2010 (first order, total), Saltelli 2002 (second order), Campolongo et al. 2007 (μ*).
    """
    outcomes = _checked_outcomes(outcomes)
    _check_ranges(market, over)
    _check_draws(method, points, seed, second_order)
    if "alpha" not in over:
        one_number("alpha", alpha, "one number in [0, 1], or a Range for 'alpha' in over", 0, 1)
    sample = _sample(method, over, points, seed, second_order)
    columns = {k: _values(span, _is_count(k), unit) for (k, span), unit in zip(over.items(), sample.T, strict=True)}
    design = make_design(market, columns.pop("alpha", alpha), columns, "zip")
    results, interrupted = run(design, progress=progress)
    if interrupted:
        raise KeyboardInterrupt
    kept = np.all(results["status"].reshape(points, -1) == STATUS["ok"], axis=1)
    _check_enough(method, kept)
    sample = sample.reshape(points, -1, len(over))[kept].reshape(-1, len(over))
    values = {name: results[name].reshape(points, -1)[kept].ravel() for name in OUTCOMES}
    rows = [_indices(method, over, sample, values, name, seed, second_order) for name in outcomes]
    indices = type(rows[0])(*(np.stack(column) for column in zip(*rows, strict=True)))
    return GlobalSensitivity(method, outcomes, tuple(over), indices, design.points, points, float(np.mean(~kept)))


def _sample(method, over, points, seed, second_order):
    """SALib's points in the unit cube, block after block, shape (evaluations, D)."""
    with extra("global"):
        from SALib.sample import morris, sobol

    if method == "morris":
        return morris.sample(_unit_cube(over), points, seed=seed)
    return sobol.sample(_unit_cube(over), points, calc_second_order=second_order, seed=seed)


def _indices(method, over, sample, values, outcome, seed, second_order):
    """SALib's indices of one outcome; NaN for shares of a variance that there is not."""
    with extra("global"):
        from SALib.analyze import morris, sobol

    problem, seed = _unit_cube(over), seed + 1  # SALib's Sobol' takes seed 0 for none
    if method == "morris":
        estimated = morris.analyze(problem, sample, values[outcome], seed=seed)
        return MorrisIndices(*(np.asarray(estimated[key]) for key in ("mu", "mu_star", "mu_star_conf", "sigma")))
    nothing, pairs = np.full(len(over), np.nan), np.full((len(over), len(over)), np.nan)
    if not _varies(values, outcome):
        return SobolIndices(nothing, nothing, nothing, nothing, pairs, pairs)
    estimated = sobol.analyze(problem, values[outcome], calc_second_order=second_order, seed=seed)
    singles = (estimated[key] for key in ("S1", "S1_conf", "ST", "ST_conf"))
    seconds = (estimated.get(key, pairs) for key in ("S2", "S2_conf"))
    return SobolIndices(*singles, *(np.where(np.isnan(upper), upper.T, upper) for upper in seconds))


def _varies(values, outcome):
    """Whether an outcome varies beyond rounding; money is rounded where holding costs are, so 0 ± 1e-17 is constant."""
    beside = "efficiency" if OF_MARKET[outcome][1] == MONEY else outcome
    size = np.max(np.abs([values[outcome], values[beside]]))
    return np.ptp(values[outcome]) > np.finfo(values[outcome].dtype).eps ** 0.5 * size


def _unit_cube(over):
    return {"num_vars": len(over), "names": list(over), "bounds": [[0.0, 1.0]] * len(over)}


def _values(span, whole, unit):
    """Draws from [0, 1] as values of a Range; a whole number stands for the unit interval above it."""
    values = replace(span, high=span.high + whole).at(unit)
    return np.clip(np.floor(values) if whole else values, span.low, span.high)


def _is_count(name):
    return name_parts(name).field == "count"


def _check_ranges(market, over):
    checked_market(market)
    if not isinstance(over, dict) or not over:
        raise MarketError(f"over is {over!r}; give a dictionary of Ranges, such as {{'alpha': Range(0.2, 0.8)}}")
    refuse_overlaps([named_parameter(name, market) for name in over if name != "alpha"])
    for name, span in over.items():
        if not isinstance(span, Range):
            raise MarketError(f"{name} is {span!r}; give a Range(low, high)")
        where, wanted = f"Range of {name} is [{span.low}, {span.high}]", "finite numbers with low below high"
        low, high = (one_number(f"an end of the Range of {name}", end, wanted) for end in (span.low, span.high))
        if not low < high:
            raise MarketError(f"{where}; give {wanted}")
        if span.log and low <= 0:
            raise MarketError(f"{where}; a logarithmic range needs low > 0")
        if name == "alpha" and not (low >= 0 and high <= 1):
            raise MarketError(f"{where}; alpha must lie in [0, 1]")
        if _is_count(name) and (low, high) != (round(low), round(high)):
            raise MarketError(f"{where}; counts are whole numbers: give whole ends")


def _checked_outcomes(outcomes):
    among = f"among {', '.join(OUTCOMES)}"
    if not isinstance(outcomes, str | tuple | list):
        raise MarketError(f"outcomes is {outcomes!r}; give names {among}")
    names = (outcomes,) if isinstance(outcomes, str) else tuple(outcomes)
    for name in names:
        if not isinstance(name, str) or name not in OUTCOMES:
            raise MarketError(f"outcome {name!r} is unknown; choose {among}")
    if not names:
        raise MarketError(f"outcomes is empty; choose {among}")
    return names


def _check_draws(method, points, seed, second_order):
    one_of("method", method, LEAST_BLOCKS)
    yes_or_no("second_order", second_order)
    if second_order and method != "sobol":
        raise MarketError("second_order is True, which only method='sobol' estimates; leave it out")
    least = LEAST_BLOCKS[method]
    if isinstance(points, bool) or not isinstance(points, Integral) or not least <= points < 2**31:
        raise MarketError(f"points is {points!r}; {method} needs a whole number of at least {least}")
    if method == "sobol" and points & (points - 1):
        nearest = 1 << int(points).bit_length()
        raise MarketError(f"points is {points}; the Sobol' sequence is balanced at powers of two: give {nearest}")
    whole_number("seed", seed)


def _check_enough(method, kept):
    left, least = int(np.sum(kept)), LEAST_BLOCKS[method]
    if left < least:
        free = f"only {left} of {len(kept)} blocks are free of points that are no market or not certified"
        raise MarketError(f"over: {free}, fewer than {least}; narrow the ranges or raise points")
