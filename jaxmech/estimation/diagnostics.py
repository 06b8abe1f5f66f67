"""How well a fitted law agrees with its data, what their order tells, and whether it is regular."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.estimation.estimates import padding
from jaxmech.optimum.ironing.bunching import virtual_curves
from jaxmech.optimum.ironing.ironed import bunch_ends, bunches_of, still_bunching
from jaxmech.programs import compiled

_SHORTEST_SERIES = 20  # whose order tells anything


@partial(compiled, static_argnums=0)
def _of_law(names, law, at):
    return tuple(getattr(law, name)(at) for name in names)


def values_of(law, at, *names):
    """Functions of a law, such as "cdf", "log_pdf" and "quantile", at points (n,): one array (n,) each."""
    at = np.asarray(at, float)
    padded = np.pad(at, (0, padding(at.size)), mode="edge")
    return [np.asarray(values)[: at.size] for values in _of_law(names, law, padded)]


def ks_distance(expected, sample) -> float:
    """The largest distance of the empirical distribution function, weights as frequencies, from a law's, `expected`."""
    after = np.cumsum(sample.weights) / sample.observations
    before = np.concatenate([[0.0], after[:-1]])
    return float(max(np.max(after - expected), np.max(expected - before)))


def effective_observations(values) -> float:
    """How many independent observations tell as much about a mean as these do, which may be a series in time.

        n / (1 + 2 Σ_k ρ_k)

    The autocorrelations are summed as long as those of neighbouring lags, ρ_2k + ρ_2k+1, sum to more than 0 (Geyer,
    Statistical Science 7, 1992, §3.3). n where the first is within three standard errors of 0, and where the values
    rise or fall all along: those were sorted.

    Args:
      values: in order, (n,); NaN where missing, which are passed over.
    """
    values = values[~np.isnan(values)]
    n = values.size
    if _tells_nothing(values):
        return float(n)
    spectrum = np.abs(np.fft.rfft(values - np.mean(values), 2 * n)) ** 2
    covariance = np.fft.irfft(spectrum, 2 * n)[:n]
    correlation = covariance / covariance[0]
    if correlation[1] <= 3 / np.sqrt(n):
        return float(n)
    pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
    last = np.argmax(pairs <= 0) if np.any(pairs <= 0) else pairs.size
    return float(n / max(2 * np.sum(pairs[:last]) - 1, 1.0))


def repeated_observations(values) -> int:
    """How many observations equal the one before them, where chance alone would not repeat that many; else 0."""
    values = values[~np.isnan(values)]
    if _tells_nothing(values):
        return 0
    repeats, shares = int(np.sum(np.diff(values) == 0)), np.unique(values, return_counts=True)[1] / values.size
    expected = values.size * np.sum(shares**2) - 1  # of shuffled values
    return repeats if repeats > expected + 4 * np.sqrt(expected + 1) else 0


def _tells_nothing(values):
    """Whether a series is too short for its order to tell anything, or was sorted."""
    rising = np.diff(values)
    return values.size < _SHORTEST_SERIES or np.all(rising >= 0) or np.all(rising <= 0)


@compiled
def ironed_share(law, weight):
    """Probability of the types that are ironed at effective weight w: buyers (ψ⁻), then sellers (ψ⁺). Shape (2,)."""
    sides = jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], law).sides()
    bunches = bunches_of(still_bunching(virtual_curves(sides, weight)))
    if bunches is None:
        return jnp.zeros(2)
    start, stop = (jnp.where(end < jnp.inf, end, sides.lower) for end in bunch_ends(sides, bunches))
    return jnp.sum(sides.tail(stop).cdf - sides.tail(start).cdf, axis=(0, 2))
