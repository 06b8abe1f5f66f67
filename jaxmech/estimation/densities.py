"""Laws without a shape given beforehand: histograms, and kernel densities reflected at the ends of the support."""

from functools import partial

import numpy as np
from jax.tree_util import Partial

from jaxmech import endowments as laws
from jaxmech.endowments.binning import binned
from jaxmech.estimation.estimates import Estimate, resampled
from jaxmech.inputs import MarketError, one_number

KNOTS = 65
_FLOOR = 1e-3  # least height, of the uniform law's density: F/f stays in proportion where there are no observations
_MOST_COMPARED = 1000  # distinct values with which a bandwidth is chosen
_BANDWIDTHS = 60


def histogram_estimate(sample, lower, upper, bins=None) -> Estimate:
    """A histogram; its masses have the covariance of multinomial shares, its edges are held fixed.

    A resample without observations in a bin gets half an observation there.

    Args:
      bins: as in `histogram_from_samples`.
    """
    edges, masses = binned(sample, lower, upper, bins)
    place = np.clip(np.searchsorted(edges, sample.values, side="right") - 1, 0, masses.size - 1)
    covariance = (np.diag(masses) - np.outer(masses, masses)) / sample.observations
    names = tuple(f"masses_{k}" for k in range(masses.size))
    law, redrawn = Partial(laws.Histogram, edges), partial(_redrawn_masses, sample, place, masses.size)
    return Estimate(names, masses, covariance, masses.size - 1, law, redrawn)


def _redrawn_masses(sample, place, bins, draws, generator):
    def counted(weights):
        counts = np.maximum(np.stack([np.bincount(place, row, minlength=bins) for row in weights]), 0.5)
        return counts / np.sum(counts, axis=1, keepdims=True)

    return resampled(counted, sample, draws, generator), np.ones(draws, bool)


def smoothed_estimate(sample, lower, upper, bandwidth=None, points=KNOTS) -> Estimate:
    """A Gaussian kernel density, reflected at the ends, along straight lines between evenly spaced knots.

    Nowhere is it below a thousandth of the uniform law's density. Its heights have the covariance of means over the
    data; the bandwidth is held fixed.

    Args:
      bandwidth: standard deviation of the kernel, units of the asset; chosen by `best_bandwidth` if not given.
      points: knots, a whole number from 9 to 513.

    Raises:
      MarketError: a bandwidth or number of knots that cannot be.
    """
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or not 9 <= points <= 513:
        raise MarketError(f"points is {points!r}; give a whole number of knots from 9 to 513")
    width = upper - lower
    x, least = (sample.values - lower) / width, 0.5 / (points - 1)
    if bandwidth is None:
        relative = best_bandwidth(x, sample.weights, least)
    else:
        wanted = "a number > 0 in units of the asset, or None"
        relative = one_number("bandwidth", bandwidth, wanted, low=np.finfo(float).tiny) / width
    knots, share = np.linspace(0, 1, points), sample.weights / sample.observations
    kernels = _reflected(knots, x, relative)  # (points, n)
    heights = kernels @ share
    covariance = ((kernels * share) @ kernels.T - np.outer(heights, heights)) / sample.observations
    floored = np.sum(heights < _FLOOR)
    notes = [f"the density is at its floor at {floored} of {points} knots"] if floored else []
    notes += ["AIC and BIC are not defined for a kernel density"]
    places = lower + width * knots
    places[[0, -1]] = lower, upper
    return Estimate(
        names=tuple(f"heights_{k}" for k in range(points)),
        vector=np.maximum(heights, _FLOOR) / width,
        covariance=covariance / width**2,
        degrees=np.nan,
        law=Partial(laws.PiecewiseLinear, places),
        redrawn=partial(_redrawn_heights, sample, kernels, width),
        notes=tuple(notes),
        bandwidth=float(relative * width),
    )


def _redrawn_heights(sample, kernels, width, draws, generator):
    heights = resampled(lambda weights: weights @ kernels.T / round(sample.observations), sample, draws, generator)
    return np.maximum(heights, _FLOOR) / width, np.ones(draws, bool)


def _reflected(at, x, bandwidth):
    """Kernels around observations in [0, 1] and their first mirror images, (points, n); they integrate to about 1."""
    images = (x, -x, 2 - x)
    scale = bandwidth * np.sqrt(2 * np.pi)
    return sum(np.exp(-0.5 * ((at[:, None] - image) / bandwidth) ** 2) for image in images) / scale


def best_bandwidth(x, weights, least=1e-3):
    """The bandwidth under which the other observations make each one likeliest (leave-one-out cross-validation).

        max_h Σ_i w_i log [Σ_{j≠i} w_j K_h(x_i, x_j) / (W − w_i)]

    A value seen several times is left out whole: otherwise ties would ask for h → 0. With more than 1000 distinct
    values h is chosen on a random part of them, always the same, and multiplied by (1000/n)^(1/5). Reference:
    Silverman, Density Estimation for Statistics and Data Analysis, 1986, §3.4.4.

    Args:
      x: distinct observations in [0, 1], (n,).
      weights: (n,).
      least: the smallest bandwidth tried; the largest is 0.5.
    """
    shrink = 1.0
    if x.size > _MOST_COMPARED:
        draws, share = np.random.default_rng(0), weights / np.sum(weights)
        chosen = np.sort(draws.choice(x.size, _MOST_COMPARED, replace=False, p=share))
        shrink = (_MOST_COMPARED / x.size) ** 0.2
        x, weights = x[chosen], np.ones(_MOST_COMPARED)
    total = np.sum(weights)

    def score(bandwidth):
        kernels = _reflected(x, x, bandwidth)
        others = kernels @ weights - np.diag(kernels) * weights
        return np.sum(weights * np.log(np.maximum(others / (total - weights), 1e-300)))

    candidates = np.geomspace(least / shrink, 0.5, _BANDWIDTHS)
    return float(max(candidates, key=score) * shrink)
