"""Parameters of a market at which chosen outcomes match targets, or are as large as they can be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxmech.derivatives.answers import Answers
from jaxmech.derivatives.calibration_problem import calibration_problem
from jaxmech.derivatives.calibration_report import calibration_text, changes_text, values_text
from jaxmech.derivatives.calibration_search import descend, distinct, finished, start_places, steps_bar
from jaxmech.derivatives.identification import correlation, identification
from jaxmech.inputs import MarketError, whole_number
from jaxmech.market.market import Market
from jaxmech.plain import result

_FINISHED = 8  # starts followed to the end at most: least squares rarely needs more, each takes 0.1 s
_APART = 0.01  # of the range: starts nearer to each other than that count as one
_SAME = 1e-4  # of the range: solutions nearer to each other than that are one
_EXACT = 1e-6  # of its scale: a target without standard error is reached when missed by no more
_ERRORS = 2.0  # standard errors: one with standard error is reached when missed by no more
_FLAT = 1e-6  # slope in t, of the objective's scale, at which a maximum is one
_ROUNDING = 1e-9  # of a target's size, over the whole range of a parameter: slopes below that are none
_CHANGE = 0.01  # of the range: how large a change that leaves the targets unchanged is shown


@result()
@dataclass(frozen=True)
class Calibration:
    """What `calibrate` found. Dictionaries go by the names of parameters and outcomes; money as in the market."""

    parameters: dict
    market: Market  # with these parameters
    alpha: float
    answers: Answers  # of that market
    outcomes: dict  # what the outcomes asked for are
    residuals: dict  # outcome less target
    objective: float  # sum of squared scaled residuals, or the maximum
    standard_errors: dict | None  # of the parameters, from those of the targets, as if bounds did not hold them; NaN
    # where not identified
    correlations: np.ndarray | None  # of the parameters' errors, (parameters, parameters)
    rank: int | None  # how many directions of the parameters the targets see
    condition: float | None  # of the scaled Jacobian, parameters in units of their ranges
    not_identified: tuple  # parameters that can change while all targets stay
    unseen_changes: tuple  # such changes, small ones, as dictionaries
    at_bounds: tuple  # parameters at a bound
    reached: bool  # whether the targets are met, or the maximum is one
    verdict: str
    solutions: tuple  # every distinct solution found, the best first, as dictionaries
    starts: dict  # one entry a start: "start.NAME", "end.NAME", "status", and "loss": the sum of squared scaled
    # residuals, or less the maximum, in first-best surpluses (money) or widths (asset), or in the largest start's size

    def __str__(self):
        return calibration_text(self)


def calibrate(
    market: Market,
    free: Mapping[str, Sequence[float | str]],
    targets: Mapping[str, float | Sequence[float]] | None = None,
    *,
    alpha: float = 0.5,
    maximise: str | Callable[[Market, Any], Any] | None = None,
    starts: int = 16,
    steps: int = 200,
    seed: int = 0,
    progress: bool | None = None,
) -> Calibration:
    """Parameters at which outcomes match targets, or at which one is as large as it can be within the bounds.

    All starts descend in one batch (Adam); the best that differ are finished by bounded least squares with the exact
    Jacobian, or by a bounded quasi-Newton search. Neither proves that no better parameters exist.

    Residuals are measured in a target's standard error or, without one, in its own size; in 1e-3 of the market's
    first-best surplus (money), of the widest support (asset units) or of 1 where the target is smaller than that.
    Targets count as reached within 1e-6 of those units, or within two standard errors.

    Args:
      market: a Market. Its own parameters are the first start when they lie within the bounds.
      free: bounds by name, (low, high) or (low, high, "log"): "alpha", or parameters as in `jaxmech.market.parameters`.
        Counts are treated as real numbers.
      targets: by the name of an outcome (`outcome_names`), a value or (value, standard error).
      alpha: weight on revenue where "alpha" is not free.
      maximise: name of an outcome, or a function (market, alpha) -> scalar in JAX. Either this or targets.
      starts, steps, seed: how many starts, steps of the descent each, and which.
      progress: None (a bar on a terminal), True or False.

    Returns:
      Calibration; print it.

    Raises:
      MarketError: unknown names, bounds or targets that cannot be; before anything is compiled.
    """
    problem = calibration_problem(market, free, targets, alpha, maximise)
    for name, value, least in (("starts", starts, 1), ("steps", steps, 1), ("seed", seed, 0)):
        whole_number(name, value, least)
    begin = start_places(problem.given_place(), len(free), starts, seed)
    if callable(maximise):  # of unknown size until it is tried
        sizes = np.abs(problem.outcomes(begin)[0])
        problem = problem._replace(scales=np.max(sizes, axis=1, where=np.isfinite(sizes), initial=1e-300))
    with steps_bar(steps + _FINISHED, progress) as bar:
        end, losses = descend(problem, begin, steps, bar)
        lanes = distinct(end, losses, _APART, _FINISHED)
        for lane in lanes:
            end[:, lane] = finished(problem, end[:, lane], starts)
            if bar:
                bar.update()
    if not lanes:
        raise MarketError("free: no start within these bounds is a market that can be solved; narrow the bounds")
    return _result(problem, begin, end, losses, lanes)


def _result(problem, begin, end, losses, lanes):
    """The best of the finished starts, with what can be said of it."""
    (found, slopes), (loss, gradient) = problem.outcomes(end), problem.loss(end)
    losses = np.where(np.isfinite(losses), loss, np.inf)
    same = _solutions(problem, end, losses, lanes)
    best = same[0]
    t, found, slopes = end[:, best], found[:, best], slopes[..., best]
    names, fitted = problem.names, bool(problem.targets.size)
    missed = found - problem.targets if fitted else np.zeros(0)
    sizes = np.abs(problem.targets) / problem.scales if fitted else np.ones(1)
    seen = identification(slopes / problem.scales[:, None], _ROUNDING * max(1.0, np.max(sizes))) if fitted else None
    # By how much a place moves a value: what was found in t is told in values.
    slope = problem.bounds.slopes(t[:, None])[:, 0]
    unseen = [_CHANGE * slope * row / np.max(np.abs(row)) for row in seen.unseen] if fitted else []
    errors = slope * np.sqrt(np.diag(seen.covariance)) if problem.errors.size else None
    held = [name for name, place in zip(names, t, strict=True) if place in (0.0, 1.0)]
    reached = bool(np.all(_met(problem, missed)) if fitted else _is_maximum(t, -gradient[:, best]))
    market, alpha, answers = problem.answers(end, best)
    result = Calibration(
        parameters=_named(names, problem.bounds.values(t[:, None])[:, 0]),
        market=market,
        alpha=alpha,
        answers=answers,
        outcomes=_named(problem.asked_names, found),
        residuals=_named(problem.asked_names if fitted else (), missed),
        objective=float(losses[best]) if fitted else float(found[0]),
        standard_errors=None if errors is None else _named(names, errors),
        correlations=None if errors is None else correlation(seen.covariance),
        rank=seen.rank if fitted else None,
        condition=seen.condition if fitted else None,
        not_identified=tuple(np.array(names)[seen.free].tolist()) if fitted else (),
        unseen_changes=tuple(_named(names, change) for change in unseen),
        at_bounds=tuple(held),
        reached=reached,
        verdict="",
        solutions=tuple(_named(names, values) for values in problem.bounds.values(end[:, same]).T),
        starts=_table(problem, begin, end, losses, lanes),
    )
    return replace(result, verdict=_verdict(problem, result))


def _met(problem, missed):
    """Which targets are met."""
    return np.abs(missed) <= (_ERRORS if problem.errors.size else _EXACT) * problem.scales


def _is_maximum(t, slope):
    """Whether the objective rises nowhere to first order within the bounds."""
    return np.all((np.abs(slope) <= _FLAT) | ((t == 0) & (slope < 0)) | ((t == 1) & (slope > 0)))


def _solutions(problem, end, losses, lanes):
    """Lanes of the distinct finished starts that do as well as the best; of equals, the first start's first."""
    best = np.min(losses[lanes])
    # Losses are sums of squares, and a maximum is known no better than its rounding.
    as_good = losses <= best + (_EXACT**2 if problem.targets.size else 1e-9 * max(abs(best), _EXACT))
    good = [lane for lane in lanes if as_good[lane]]
    exact = np.full(losses.size, np.inf)
    # Below 1e-20 it is rounding that decides, so the first start's solution goes first.
    exact[good] = np.maximum(losses[good], 1e-20) if problem.targets.size else losses[good]
    return distinct(end, exact, _SAME, _FINISHED)


def _named(names, values):
    return dict(zip(names, map(float, values), strict=True))


def _table(problem, begin, end, losses, lanes):
    """One entry a start: where it began and ended, its loss, and what became of it."""
    status = np.where(np.isfinite(losses), "not finished", "failed")
    status[lanes] = "finished"
    table = {}
    for when, places in (("start", begin), ("end", end)):
        rows = problem.bounds.values(places)
        table |= {f"{when}.{name}": row for name, row in zip(problem.names, rows, strict=True)}
    return table | {"loss": losses, "status": status}


def _verdict(problem, result):
    """One sentence."""
    said = _verdict_on_maximum(result) if not problem.targets.size else _verdict_on_targets(problem, result)
    if len(result.solutions) > 1 and not result.not_identified:
        others = "; ".join(values_text(solution) for solution in result.solutions)
        said += f"; several distinct solutions: {others}"
    return said + (f"; at a bound: {', '.join(result.at_bounds)}" if result.at_bounds else "")


def _verdict_on_maximum(result):
    name, value = next(iter(result.outcomes.items()))
    return f"maximum found: {name} = {value:.9g}" if result.reached else f"no maximum reached: {name} = {value:.9g}"


def _verdict_on_targets(problem, result):
    if not result.reached:
        misses = np.abs(list(result.residuals.values())) / problem.scales
        name = problem.asked_names[int(np.argmax(misses))]
        wanted = problem.targets[problem.asked_names.index(name)]
        said = f"targets cannot be reached within the bounds: nearest miss {name} = {result.outcomes[name]:.9g} "
        said += f"for {wanted:.9g}"
        if not problem.errors.size:
            return said
    elif problem.errors.size:
        misses = np.abs(list(result.residuals.values())) / problem.errors
        said = f"targets reached, the worst missed by {np.max(misses):.2g} standard errors"
    else:
        said = "targets reached"
    if not result.not_identified:
        return f"{said}; all parameters identified"
    change = changes_text(result.unseen_changes[0])
    return f"{said}, but {', '.join(result.not_identified)} not identified: a change of {change} leaves them unchanged"
