"""How well a fitted law agrees with its data, and whether it is regular; a report and a figure."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.endowments.binning import binned
from jaxmech.estimation.estimates import padding
from jaxmech.extras import extra
from jaxmech.inputs import MarketError
from jaxmech.optimum.ironing.bunching import virtual_curves
from jaxmech.optimum.ironing.ironed import bunch_ends, bunches_of, still_bunching
from jaxmech.programs import compiled

_MOST_QUANTILES = 500
_MOST_ROWS = 16  # of parameters in a report
_SHORTEST_SERIES = 20  # whose order tells anything
_SUFFIXES = (".png", ".pdf", ".svg")


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


def quantile_pairs(law, sample):
    """Quantiles of the law and of the data at the same probabilities, (m,) and (m,), at most 500 of them."""
    shares = (np.cumsum(sample.weights) - 0.5 * sample.weights) / sample.observations
    if shares.size > _MOST_QUANTILES:
        shares = (np.arange(_MOST_QUANTILES) + 0.5) / _MOST_QUANTILES
    return *values_of(law, shares, "quantile"), sample.quantiles(shares)


@compiled
def _ironed_share(law, weight):
    sides = jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., None], law).sides()
    bunches = bunches_of(still_bunching(virtual_curves(sides, weight)))
    if bunches is None:
        return jnp.zeros(2)
    start, stop = (jnp.where(end < jnp.inf, end, sides.lower) for end in bunch_ends(sides, bunches))
    return jnp.sum(sides.tail(stop).cdf - sides.tail(start).cdf, axis=(0, 2))


def ironed_share(law, weight=1.0):
    """Probability of the types that are ironed at effective weight w: buyers (ψ⁻), then sellers (ψ⁺). Shape (2,).

    0 for a regular law. In a market only types outside the binding interval matter: `Mechanism.bunching_intervals`.
    """
    return np.asarray(_ironed_share(law, float(weight)))


def fit_text(fit) -> str:
    """What `Fit.report` says."""
    missing = f", {fit.missing} missing" if fit.missing else ""
    lines = [f"{fit.family} law of {fit.observations:g} observations{missing}, on [{fit.lower:.6g}, {fit.upper:.6g}]"]
    rows = list(fit.parameters.items())
    if rows:
        lines.append(f"  {'parameter':<16}{'estimate':>14}{'standard error':>18}")
    for name, value in rows[:_MOST_ROWS]:
        lines.append(f"  {name:<16}{value:>14.6g}{fit.standard_errors[name]:>18.3g}")
    if len(rows) > _MOST_ROWS:
        lines.append(f"  … and {len(rows) - _MOST_ROWS} more")
    if fit.bandwidth is not None:
        lines.append(f"  bandwidth {fit.bandwidth:.6g}")
    lines.append(f"  log likelihood {fit.log_likelihood:.6g}, AIC {fit.aic:.6g}, BIC {fit.bic:.6g}")
    lines.append(f"  Kolmogorov–Smirnov {fit.ks_statistic:.4g}, p {fit.ks_p_value:.3g} as if nothing had been fitted")
    bought, sold = ironed_share(fit.law)
    ironed = f"{bought:.2%} of the types ironed where they buy, {sold:.2%} where they sell"
    lines.append(f"  not regular: at w = 1 {ironed}" if bought + sold > 0 else "  regular: nothing to iron")
    if fit.comparison:
        lines.append(f"  {'compared':<24}{'AIC':>12}{'above the best':>18}")
    for row in fit.comparison:
        numbers = f"{row.aic:>12.6g}{row.aic - fit.aic:>18.4g}" if np.isfinite(row.aic) else f"{'':>30}"
        lines.append(f"  {row.label:<24}{numbers}{'  ' if row.said else ''}{row.said}")
    return "\n".join([*lines, *(f"  note: {note}" for note in fit.notes)])


def fit_figure(fit, path) -> Path:
    """The density over a histogram of the data, and quantiles against quantiles, as PNG, PDF or SVG; returns the path.

    Raises:
      MarketError: another suffix.
    """
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise MarketError(f"{path}: figures are written as {', '.join(_SUFFIXES)}; give a path that ends so")
    with extra("plot"):
        import matplotlib as mpl
        from matplotlib.figure import Figure

    from jaxmech.reports.plots import STYLE

    theory, data = fit.qq()
    edges, masses = binned(fit.sample, fit.lower, fit.upper)
    places = np.linspace(fit.lower, fit.upper, 512)
    (density,) = values_of(fit.law, places, "pdf")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.2))
        left, right = figure.subplots(1, 2)
        left.stairs(masses / np.diff(edges), edges, fill=True, color="0.85", label="data")
        left.plot(places, density, color="#1f4fb4", label=fit.family.replace("_", " "))
        left.set(xlabel="endowment (asset units)", ylabel="density")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8)
        right.plot([fit.lower, fit.upper], [fit.lower, fit.upper], color="black", lw=0.6)
        right.plot(theory, data, "o", color="#1f4fb4", ms=2.5)
        right.set(xlabel="quantile of the law", ylabel="quantile of the data")
        figure.savefig(path)
    return path
