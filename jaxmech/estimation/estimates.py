"""Laws estimated from data with what is known of their parameters, and estimates again from resampled data."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from jaxmech import endowments as laws
from jaxmech.estimation.likelihood_search import newton
from jaxmech.inputs import MarketError
from jaxmech.programs import compiled

_SHORTEST = 10  # power of two
_AT_ONCE = 2**21  # weights of resamples held at one time


class Estimate(NamedTuple):
    """A law by its parameters, a vector (P,), and their sampling errors."""

    names: tuple  # (P,), as in `Law.entries`
    vector: np.ndarray  # (P,)
    covariance: np.ndarray  # (P, P); NaN where it is not known
    degrees: float  # how many parameters the data have chosen; NaN where that is not a number
    law: Callable  # (P,), traced or not, to the law: a `Partial`, so that programs serve all fits of a kind
    redrawn: Callable  # (draws, generator) to vectors (draws, P) from resampled data and whether each settled, (draws,)
    notes: tuple = ()
    bandwidth: float | None = None


def resampled(function, sample, draws, generator):
    """What a function of how often each distinct value occurs, floats (part, n), gives of `draws` resamples."""
    number, shares = round(sample.observations), sample.weights / sample.observations
    part = int(np.clip(_AT_ONCE // sample.values.size, 1, draws))  # of one size: the last may be too long
    parts = [function(generator.multinomial(number, shares, size=part).astype(float)) for _ in range(0, draws, part)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:draws], *parts)


def uniform_estimate(sample, lower, upper, known) -> Estimate:
    """A uniform law. Ends that come from the data have the exact covariance of those unbiased estimates; resamples are
    drawn from the law itself, because a resample's range never exceeds the sample's.

    Args:
      known: whether each end was given, a pair.
    """
    n, free = sample.observations, [k for k in (0, 1) if not known[k]]
    ends = np.array([lower, upper])
    covariance = (upper - lower) ** 2 / ((n - 1) * (n + 1) * (n + 2)) * np.array([[n, -1.0], [-1.0, n]])

    law, redrawn = Partial(_UniformOn(tuple(free)), ends), partial(_redrawn_ends, ends, free, n)
    names = tuple(("lower", "upper")[k] for k in free)
    return Estimate(names, ends[free], covariance[np.ix_(free, free)], len(free), law, redrawn)


class _UniformOn(NamedTuple):
    """The uniform law with these ends, but for those that are free."""

    free: tuple

    def __call__(self, ends, vector):
        both = list(ends)
        for place, k in enumerate(self.free):
            both[k] = vector[place]
        return laws.Uniform(*both)


def _redrawn_ends(ends, free, n, draws, generator):
    least = 1 - generator.random(draws) ** (1 / n)  # of n uniform draws; of the rest, the largest
    most = least + (1 - least) * generator.random(draws) ** (1 / (n - 1))
    margin = (most - least) / (n - 1)
    drawn = np.stack([least - margin, most + margin], axis=1)
    return ends[0] + (ends[1] - ends[0]) * drawn[:, free], np.ones(draws, bool)


def parametric_estimate(family, sample, lower, upper) -> Estimate:
    """The maximum-likelihood estimate of a family's parameters on a support that is held fixed.

    The covariance is the inverse of the observed information; where the density has a kink, and no second derivative,
    of the sum of the scores' outer products. Parameters at a bound are held there.

    Raises:
      MarketError: observations at an end of the support, where a density of this family may vanish.
    """
    width = upper - lower
    x = (sample.values - lower) / width
    if family.fades and (x[0] <= 0 or x[-1] >= 1):
        where = f"on an end of the support [{lower:g}, {upper:g}], where this family's density may vanish"
        raise MarketError(f"samples: some lie {where}; widen the support")
    factor, offset = family.stretch(lower, width)
    if family.exact is not None:
        values, settled = family.exact(x, sample.weights[None])[0], True
        scores, slopes = np.asarray(_scores(family.log_pdf, values, x)), np.eye(values.size)
        information = (sample.weights[:, None] * scores).T @ scores
    else:
        start = (sample.mean - lower) / width, sample.deviation / width
        values, settled, information, slopes = _most_likely(family, sample, x, start)
    covariance, notes = _covariance(family, values, information, slopes)
    notes = notes if settled else ("the search for the largest likelihood did not settle", *notes)
    warm = family.free(values) if family.starts else None
    return Estimate(
        names=family.names,
        vector=offset + factor * values,
        covariance=covariance * np.outer(factor, factor),
        degrees=family.degrees,
        law=Partial(family.law_on, lower, upper),
        redrawn=partial(_redrawn, family, warm, x, sample, factor, offset),
        notes=notes,
    )


def _redrawn(family, warm, x, sample, factor, offset, draws, generator):
    values, good = resampled(partial(_refitted, family, warm, x), sample, draws, generator)
    return offset + factor * values, good


def _most_likely(family, sample, x, moments):
    """The best of all starts: parameters on [0, 1], (P,), whether the search settled, the observed information of the
    free parameters, (U, U), and the slopes of the parameters in those, (P, U)."""
    starts = family.free(np.array(family.starts(*moments), float))
    ends = _searched(family, starts, x, sample.weights)
    loss = np.where(np.isnan(ends.loss), np.inf, ends.loss + 1e-6 * ~ends.converged)
    best = int(np.argmin(loss))
    values, slopes = (np.asarray(part) for part in _values_and_slopes(family.values, ends.point[best]))
    order = family.order(values)
    values = np.where(family.at_bound(values), family.nearest_bound(values), values)[order]
    return values, bool(ends.converged[best]), sample.observations * ends.bend[best], slopes[order]


def _refitted(family, warm, x, weights):
    """Parameters on [0, 1] for each row of weights, (B, P), and whether each search settled, (B,)."""
    if family.exact is not None:
        return family.exact(x, weights), np.ones(len(weights), bool)
    ends = _searched(family, np.broadcast_to(warm, (len(weights), warm.size)), x, weights)
    values = np.asarray(_values_of(family.values, ends.point))
    return np.take_along_axis(values, family.order(values), axis=-1), ends.converged


def _searched(family, starts, x, weights):
    """The ends of all searches, NumPy arrays."""
    pad = padding(x.size)
    x, weights = np.pad(x, (0, pad), constant_values=0.5), np.pad(weights, [(0, 0)] * (weights.ndim - 1) + [(0, pad)])
    return jax.tree.map(np.asarray, newton(family.loss, starts, x, weights))


def padding(size) -> int:
    """How many entries to add to data of this size, so that code compiles for few: powers of two, 1024 and more."""
    return 2 ** max(int(np.ceil(np.log2(size))), _SHORTEST) - size


@partial(compiled, static_argnums=0)
def _values_of(values, free):
    return jax.vmap(values)(free)


@partial(compiled, static_argnums=0)
def _values_and_slopes(values, free):
    return values(free), jax.jacfwd(values)(free)


def _covariance(family, values, information, slopes):
    """Covariance of the parameters on [0, 1], NaN where it is not known, and notes on why."""
    bound = family.at_bound(values)
    held = np.array(family.names)[bound]
    notes = [f"{name} is at a bound of its range and held there: it has no standard error" for name in held]
    # A parameter at its bound has a slope of about 0 in the free parameter that it comes from.
    free = np.max(np.abs(slopes[~bound]), axis=0, initial=0.0) > 0
    free &= ~np.any(np.abs(slopes[bound]) > 0, axis=0)
    inner = information[np.ix_(free, free)]
    sizes = np.linalg.eigvalsh(inner) if inner.size and np.all(np.isfinite(inner)) else np.array([-1.0])
    if not sizes[0] > 1e-12 * sizes[-1]:
        reason = "the observed information is not positive definite: the data do not tell the parameters apart"
        return np.full((values.size, values.size), np.nan), (*notes, *([reason] if free.any() else []))
    covariance = slopes[:, free] @ np.linalg.solve(inner, slopes[:, free].T)
    return np.where(bound[:, None] | bound, np.nan, covariance), tuple(notes)


@partial(compiled, static_argnums=0)
def _scores(log_pdf, values, x):
    return jax.jacfwd(log_pdf)(values, x)
