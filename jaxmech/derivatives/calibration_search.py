"""The search behind `calibrate`: all starts in one batch by optax, the best few to the end by scipy."""

from contextlib import nullcontext
from functools import lru_cache
from importlib.util import find_spec

import numpy as np

from jaxmech.extras import progress_bar
from jaxmech.programs import compiled

_RATE = 0.3  # of Adam, in the logit of a bounded parameter: the best of 0.03, 0.1, 0.3 and 1 in 50 to 200 steps
_EDGE = 1e-3  # how near to a bound the batched search may start
_NOWHERE = 1e10  # loss where there is no solved market, finite for line searches
_SNAP = 1e-6  # of the range: nearer to a bound, the bound itself is tried


def start_places(given, parameters, starts, seed):
    """Where the starts lie, (parameters, starts): a Latin hypercube, the given place first when there is one."""
    generator = np.random.default_rng(seed)
    ranks = generator.permuted(np.tile(np.arange(starts), (parameters, 1)), axis=1)
    spread = (ranks + generator.random((parameters, starts))) / starts
    if given is not None:
        spread[:, 0] = given
    return np.clip(spread, _EDGE, 1 - _EDGE)


def descend(problem, t, steps, bar):
    """The best places that Adam found from each start, and their losses: (parameters, B) and (B,), ∞ where none.

    Adam moves every coordinate of every lane by itself, in u = log t/(1 − t), so that lanes stay apart.
    """
    begun, update = _adam(steps)
    u = np.log(t) - np.log1p(-t)
    state, best, least = begun(u), t, np.full(t.shape[1], np.inf)
    for _ in range(steps):
        t = 1 / (1 + np.exp(-u))
        loss, slope = problem.loss(t)
        better = loss < least  # False for NaN
        best, least = np.where(better, t, best), np.where(better, loss, least)
        move, state = update(np.nan_to_num(slope * t * (1 - t), posinf=0.0, neginf=0.0), state)
        u = np.clip(u + np.asarray(move), -35, 35)
        if bar:
            bar.update()
    return best, least


@lru_cache(maxsize=8)
def _adam(steps):
    """How Adam begins and how it goes on, each one program for all calibrations of so many steps."""
    import optax  # only now: it would double the time that `import jaxmech` takes

    search = optax.adam(optax.cosine_decay_schedule(_RATE, steps))
    return compiled(search.init), compiled(search.update)


def distinct(t, losses, apart, most):
    """Lanes in order of loss, at most `most`, each at least `apart` from those before it in some coordinate."""
    chosen = []
    for lane in np.argsort(losses, kind="stable"):
        far = all(np.max(np.abs(t[:, lane] - t[:, other])) >= apart for other in chosen)
        if np.isfinite(losses[lane]) and far and len(chosen) < most:
            chosen.append(int(lane))
    return chosen


def finished(problem, start, lanes):
    """The local optimum near one place, (parameters,): least squares, or a bounded quasi-Newton search.

    Args:
      start: where to begin, in [0, 1].
      lanes: size of the batch that is compiled already; one place fills it.
    """
    from scipy import optimize

    @lru_cache(maxsize=1)  # asked for residuals first, for the Jacobian at the same place then
    def residuals(*t):
        t = np.array(t)
        found, slopes = problem.outcomes(np.repeat(t[:, None], lanes, axis=1))
        return (found[:, 0] - problem.targets) / problem.scales, slopes[..., 0] / problem.scales[:, None]

    def loss(t):
        value, slope = problem.loss(np.repeat(t[:, None], lanes, axis=1))
        return (value[0], slope[:, 0]) if np.isfinite(value[0]) else (_NOWHERE, np.zeros_like(t))

    if problem.targets.size:
        tight = {"ftol": 1e-14, "xtol": 1e-12, "gtol": 1e-14, "max_nfev": 40}
        end = optimize.least_squares(
            lambda t: residuals(*t)[0], start, lambda t: np.nan_to_num(residuals(*t)[1]), (0, 1), x_scale="jac", **tight
        ).x
    else:
        box, tight = [(0, 1)] * len(start), {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 200}
        end = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=box, options=tight).x
    # Interior methods stop short of a bound that they run into.
    snapped = np.where(end < _SNAP, 0.0, np.where(end > 1 - _SNAP, 1.0, end))
    return min((snapped, end, start), key=lambda t: loss(t)[0])


def steps_bar(total, progress):
    """A bar, or None in its place where tqdm is not installed or not wanted; None: on a terminal only."""
    missing = progress is False or find_spec("tqdm") is None
    return nullcontext() if missing else progress_bar(total, "step", progress)
