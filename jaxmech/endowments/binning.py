"""Data made ready for a law: cleaned samples, the support they suggest, and histograms. NumPy alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxmech.cells import cells_of, listed
from jaxmech.inputs import MarketError, one_number, shown

LEAST_DISTINCT = 5  # distinct values without which no law is fitted
MOST_BINS = 128
_NARROWEST, _WIDEST = 1e-150, 1e150  # supports, whose squares are floats
_HEAVIEST = 0.5  # share of the weight beyond which one value is an atom


class Sample(NamedTuple):
    """Cleaned data. Made by `clean_samples`."""

    values: np.ndarray  # (n,), distinct, rising, finite; units of the asset
    weights: np.ndarray  # (n,), > 0: how often each value was seen
    missing: int  # entries that were NaN

    @property
    def observations(self) -> float:
        """Σ weights: how many observations there are."""
        return float(np.sum(self.weights))

    @property
    def mean(self) -> float:
        return float(np.average(self.values, weights=self.weights))

    @property
    def deviation(self) -> float:
        """Standard deviation, weights as frequencies."""
        return float(np.sqrt(np.average((self.values - self.mean) ** 2, weights=self.weights)))

    def quantiles(self, probabilities: Any) -> np.ndarray:
        """Interpolated between the middles of the steps of the empirical distribution; shape of probabilities."""
        middles = (np.cumsum(self.weights) - 0.5 * self.weights) / self.observations
        return np.interp(probabilities, middles, self.values)


def clean_samples(samples: Any, weights: Any = None) -> Sample:
    """Samples without missing values, equal ones joined.

    Args:
      samples: numbers in units of the asset, any shape, in whatever `cells_of` reads; NaN, None and NA mean missing.
      weights: how often each was seen, ≥ 0, same shape; 1 if not given. A weight of 3 is the value three times over.
        Those of missing samples are not looked at.

    Raises:
      MarketError: no numbers, infinities, lengths that differ, weights that are negative, not finite, all 0 or sum to
        less than 5 or to 2⁵³ and more, fewer than 5 distinct values, or one value with more than half of the weight.
    """
    values = sample_numbers("samples", samples).ravel()
    counted = weights is not None
    weights = sample_numbers("weights", weights).ravel() if counted else np.ones_like(values)
    if values.shape != weights.shape:
        raise MarketError(f"samples has {values.size} entries and weights {weights.size}; give one weight a sample")
    if values.size == 0:
        raise MarketError("samples is empty; give the observed endowments")
    known = ~np.isnan(values)
    missing = int(np.sum(~known))
    if missing == values.size:
        raise MarketError(f"samples: all {missing} entries are missing (NaN); give observed endowments")
    _check_finite(values)
    if counted:
        _check_weights(weights, known)
    known &= weights > 0
    values, weights = values[known], weights[known]
    distinct, place = np.unique(values, return_inverse=True)
    joined = np.bincount(place, weights)
    _check_spread(distinct, joined)
    return Sample(distinct, joined, missing)


def sample_numbers(name: str, values: Any) -> np.ndarray:
    """Floats of the shape of the values, NaN where they have gaps; MarketError names what is no number."""
    if isinstance(values, Mapping) or hasattr(type(values), "columns"):
        raise MarketError(f"{name} is a whole table, a {type(values).__name__}; give one of its columns")
    cells = cells_of(values)
    wrong = cells.wrong | {place: f"is {shown(text)}, a text" for place, text in cells.texts.items()}
    if wrong:
        shape = cells.values.shape
        places = {place: ", ".join(str(k) for k in np.unravel_index(place, shape)) for place in sorted(wrong)}
        said = listed([f"{name}[{at}] {wrong[place]}" for place, at in places.items()])
        raise MarketError(f"{name}: not all of them are numbers; give numbers, NaN for missing ones:\n  {said}")
    return cells.values


def _check_finite(values):
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise MarketError(
            f"samples: {infinite.size} are infinite, the first samples[{infinite[0]}], {values[infinite[0]]}; remove "
            "them or mark them as NaN"
        )


def _check_weights(weights, known):
    odd = np.flatnonzero(known & ~np.isfinite(weights))
    if odd.size:
        raise MarketError(
            f"weights: some are not finite, the first weights[{odd[0]}], {weights[odd[0]]}; give how often each sample "
            "was seen"
        )
    negative = np.flatnonzero(known & (weights < 0))
    if negative.size:
        first = negative[0]
        raise MarketError(f"weights[{first}]: {weights[first]:g} is negative; give how often each sample was seen")
    weights = weights[known]
    total = np.sum(weights)
    if total == 0:
        raise MarketError("weights are all 0; give how often each sample was seen")
    if not LEAST_DISTINCT <= total < 2**53:
        raise MarketError(
            f"weights sum to {total:g}: they count observations, of which at least {LEAST_DISTINCT} and fewer than "
            "2**53 are needed; if they are only relative, multiply them by the number of observations over their sum"
        )


def _check_spread(values, weights):
    if values.size == 1:
        raise MarketError(f"samples are constant, {values[0]:g}: no law with a density has that; give data that vary")
    heaviest = int(np.argmax(weights))
    share = weights[heaviest] / np.sum(weights)
    if share > _HEAVIEST:
        raise MarketError(
            f"samples: the value {values[heaviest]:g} carries {share:.0%} of the weight; laws here have no atoms. Make "
            "those traders a group of their own, or leave that value out"
        )
    if values.size < LEAST_DISTINCT:
        raise MarketError(f"samples: {values.size} distinct values; at least {LEAST_DISTINCT} are needed to fit a law")


def support_of(sample: Sample, lower: float | None = None, upper: float | None = None) -> tuple[float, float]:
    """Ends of the support: those given, the others from the data.

    An end that is not given is the outermost observation moved outwards by range/(n − 1), n the number of
    observations: the unbiased estimate of least variance if endowments were uniform. Give an end where you know it.

    Args:
      sample: Sample.
      lower, upper: ends, units of the asset, or None.

    Returns:
      (lower, upper), floats.

    Raises:
      MarketError: an end that is no number, ends out of order, as near or as far as no float's square, or samples
        outside them.
    """
    first, last = float(sample.values[0]), float(sample.values[-1])
    margin = (last - first) / (sample.observations - 1)
    ends = []
    for name, end, default in (("lower", lower, first - margin), ("upper", upper, last + margin)):
        wanted = "a finite number, or None to take it from the data"
        ends.append(default if end is None else one_number(name, end, wanted))
    low, high = ends
    if not low < high:
        raise MarketError(f"lower is {low:g} and upper {high:g}; lower must lie below upper")
    if not _NARROWEST < high - low < _WIDEST:
        raise MarketError(f"samples: the support is {high - low:g} wide, whose square is no float; choose another unit")
    outside = (sample.values < low) | (sample.values > high)
    if np.any(outside):
        worst = sample.values[outside][0]
        raise MarketError(
            f"samples: {int(np.sum(outside))} distinct values such as {worst:g} lie outside the support "
            f"[{low:g}, {high:g}]; widen it or leave them out"
        )
    return low, high


def histogram_from_samples(
    samples: Any, bins: int | None = None, weights: Any = None, lower: float | None = None, upper: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Edges and masses of a histogram of the data.

    Bins are equally wide. Their width is Freedman and Diaconis's 2·IQR·n^(−1/3) (Probability Theory and Related Fields
    57, 1981) unless their number is given; at most 128. A bin without observations is joined to its lighter neighbour,
    so that every mass is > 0.

    Args:
      samples, weights: as in `clean_samples`.
      bins: how many, a whole number ≥ 1, before empty ones are joined.
      lower, upper: ends of the support, as in `support_of`.

    Returns:
      (edges, masses), shapes (bins + 1,) and (bins,); masses sum to 1.

    Raises:
      MarketError: as `clean_samples` and `support_of`, or a number of bins that cannot be.
    """
    sample = clean_samples(samples, weights)
    return binned(sample, *support_of(sample, lower, upper), bins)


def binned(sample: Sample, lower: float, upper: float, bins: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Edges and masses of a Sample on a support, as `histogram_from_samples` describes them."""
    whole = isinstance(bins, int | np.integer) and not isinstance(bins, bool)
    if bins is not None and not (whole and 1 <= bins <= MOST_BINS):
        raise MarketError(f"bins is {bins!r}; give a whole number from 1 to {MOST_BINS}, or None")
    edges = np.linspace(lower, upper, (bins or _bin_count(sample, upper - lower)) + 1)
    counts = np.histogram(sample.values, edges, weights=sample.weights)[0]
    edges, counts = _without_empty(list(edges), list(counts))
    return edges, counts / np.sum(counts)


def _bin_count(sample, width):
    low, high = sample.quantiles([0.25, 0.75])
    wanted = 2 * (high - low) * sample.observations ** (-1 / 3)
    return int(np.clip(np.ceil(width / wanted), 1, MOST_BINS))


def _without_empty(edges, counts):
    """Each empty bin joined to its lighter neighbour that is not empty; to any where both are."""
    while 0 in counts:
        place = counts.index(0)
        sides = [side for side in (place - 1, place + 1) if 0 <= side < len(counts)]
        full = [side for side in sides if counts[side] > 0] or sides
        side = min(full, key=lambda other: counts[other])
        first = min(place, side)
        counts[first : first + 2] = [counts[place] + counts[side]]
        del edges[first + 1]
    return np.array(edges), np.array(counts)
