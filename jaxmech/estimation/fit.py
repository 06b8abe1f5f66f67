"""Endowment laws fitted to data."""

from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxmech import endowments as laws
from jaxmech.arrays import on_device, on_host
from jaxmech.endowments.binning import LEAST_DISTINCT, Sample, clean_samples, sample_numbers, support_of
from jaxmech.estimation.densities import histogram_estimate, smoothed_estimate
from jaxmech.estimation.diagnostics import (
    effective_observations,
    ironed_share,
    ks_distance,
    repeated_observations,
    values_of,
)
from jaxmech.estimation.estimates import Estimate, parametric_estimate, uniform_estimate
from jaxmech.estimation.families import NAMES, parametric
from jaxmech.inputs import AnyPath, MarketError
from jaxmech.plain import result

FITTED = (*NAMES, "mixture", "histogram", "smoothed")
_COMPARED = [(name, {}) for name in NAMES] + [("mixture", {"components": k}) for k in (2, 3, 4)]
_COMPARED += [("histogram", {}), ("smoothed", {})]
_OPTIONS = {"components": ("mixture",), "bins": ("histogram",), "bandwidth": ("smoothed",), "points": ("smoothed",)}
_MOST_COMPONENTS = 6
_MOST_QUANTILES = 500
_MOST_ROWS = 16  # of parameters in a report
_REJECTED = 0.01  # p-value of the Kolmogorov–Smirnov distance


class Compared(NamedTuple):
    """A family in a comparison of all. Made by `fit`."""

    label: str  # its name, with the number of a mixture's components
    aic: float  # NaN where there is none
    said: str  # why there is none, or what is doubtful


@result("lower", "upper", "ks_p_value", without=("sample", "estimate"))
@dataclass(frozen=True)
class Fit:
    """A law fitted to data. Made by `fit`."""

    law: laws.Law
    family: str
    parameters: dict  # numbers by name, as in `Law.entries`; the ends of the support only where they are estimated
    standard_errors: dict  # of the same; NaN where they are not known, and `notes` say why
    covariance: np.ndarray  # (P, P), in the order of `parameters`
    log_likelihood: float
    aic: float  # 2k − 2 log L, k the parameters and the ends of the support that the data chose; NaN for "smoothed"
    bic: float  # k log n − 2 log L
    observations: float  # Σ weights
    effective_observations: float  # independent ones that would tell as much, see `effective_observations`
    missing: int  # entries that were NaN, left out
    ks_statistic: float  # Kolmogorov–Smirnov distance of the data from the law
    bandwidth: float | None  # of "smoothed", units of the asset
    notes: tuple  # what to know before trusting the rest
    sample: Sample  # the data, cleaned
    estimate: Estimate  # how the law follows from its parameters, and how it is estimated again
    comparison: tuple = ()  # of "best": Compared, the least AIC first

    lower = property(lambda self: float(self.law.lower))
    upper = property(lambda self: float(self.law.upper))

    @property
    def ks_p_value(self) -> float:
        """P(a larger distance) if the law had been known beforehand and without ties. It was fitted to the same data,
        so a true law's value is larger than uniform: small values speak against the law, large ones hardly for it."""
        from scipy.stats import kstwo

        return float(kstwo.sf(self.ks_statistic, max(round(self.observations), 1)))

    def ironed_share(self, weight: float = 1.0) -> np.ndarray:
        """Probability of the types that are ironed at effective weight w: buyers, then sellers, shape (2,).

        0 for a regular law. In a market only types outside the binding interval matter: `Mechanism.bunching_intervals`.
        """
        return np.asarray(ironed_share(self.law, float(weight)))

    def qq(self) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles of the law and of the data at the same probabilities, two arrays (m,), m ≤ 500; asset units."""
        sample = self.sample
        shares = (np.cumsum(sample.weights) - 0.5 * sample.weights) / sample.observations
        if shares.size > _MOST_QUANTILES:
            shares = (np.arange(_MOST_QUANTILES) + 0.5) / _MOST_QUANTILES
        return *values_of(self.law, shares, "quantile"), sample.quantiles(shares)

    def report(self) -> str:
        """The fit in words and numbers."""
        seen = f"{self.observations:g} observations" + (f", {self.missing} missing" if self.missing else "")
        lines = [f"{self.family} law of {seen}, on [{self.lower:.6g}, {self.upper:.6g}]"]
        rows = list(self.parameters.items())
        if rows:
            lines.append(f"  {'parameter':<16}{'estimate':>14}{'standard error':>18}")
        for name, value in rows[:_MOST_ROWS]:
            lines.append(f"  {name:<16}{value:>14.6g}{self.standard_errors[name]:>18.3g}")
        if len(rows) > _MOST_ROWS:
            lines.append(f"  … and {len(rows) - _MOST_ROWS} more")
        if self.bandwidth is not None:
            lines.append(f"  bandwidth {self.bandwidth:.6g}")
        lines.append(f"  log likelihood {self.log_likelihood:.6g}, AIC {self.aic:.6g}, BIC {self.bic:.6g}")
        distance = f"{self.ks_statistic:.4g}, p {self.ks_p_value:.3g}"
        lines.append(f"  Kolmogorov–Smirnov {distance} as if nothing had been fitted")
        bought, sold = self.ironed_share()
        ironed = f"{bought:.2%} of the types ironed where they buy, {sold:.2%} where they sell"
        lines.append(f"  not regular: at w = 1 {ironed}" if bought + sold > 0 else "  regular: nothing to iron")
        if self.comparison:
            lines.append(f"  {'compared':<24}{'AIC':>12}{'above the best':>18}")
        for row in self.comparison:
            numbers = f"{row.aic:>12.6g}{row.aic - self.aic:>18.4g}" if np.isfinite(row.aic) else f"{'':>30}"
            lines.append(f"  {row.label:<24}{numbers}{'  ' if row.said else ''}{row.said}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    __str__ = report

    def plot(self, path: AnyPath) -> Path:
        """Write the density over a histogram, and a QQ plot, as PNG, PDF or SVG; returns the path. Needs `plot`."""
        from jaxmech.reports.plots import fit_figure

        return fit_figure(self, path)

    def endowment_table(self) -> dict:
        """The law as the `endowment` table of a market file: plain numbers, lists, and tables for a mixture's laws."""
        return in_float64(lambda: _law_of(self.estimate).to_dict())


def fit(
    samples: Any,
    family: str = "truncated_normal",
    *,
    weights: Any = None,
    lower: float | None = None,
    upper: float | None = None,
    components: int | None = None,
    bins: int | None = None,
    bandwidth: float | None = None,
    points: int | None = None,
) -> Fit:
    """The endowment law of a family that fits data best: maximum likelihood, with standard errors.

    The support is the one given. An end not given is the outermost observation moved outwards by range/(n − 1): the
    unbiased estimate of least variance under a uniform law. The other parameters are estimated on that support as if it
    were known; their standard errors come from the observed information (Hessian of the log likelihood), by the delta
    method. A uniform law's ends, and the masses of a histogram, have exact ones; laws with a kink, triangular and
    Laplace, those of the scores' outer products. All of them are those of independent observations: where these follow
    each other in time and resemble each other, a note says by how much they are too small; nothing is corrected.

    Everything is computed in 64-bit floats, whatever the session's precision; the law has the session's.

    Args:
      samples: observed endowments of one kind of trader, units of the asset, any shape, in a list, an array, a column
        of a DataFrame, a DataArray; NaN, None and NA mean missing. If they are one series without weights, notes say
        what its order tells: see `effective_observations`.
      family: "uniform", "truncated_normal", "beta" (shapes ≥ 1), "triangular", "truncated_exponential",
        "truncated_laplace", "truncated_logistic", "truncated_student" (0.5 to 100 degrees of freedom), "kumaraswamy",
        "mixture" of truncated normal laws, "histogram", or "smoothed": a kernel density, see `smoothed_estimate`.
        "best" fits all, mixtures of 2 to 4 components, and returns the one of least AIC; `comparison` has the others.
      weights: how often each sample was seen, ≥ 0, same shape. Weight 3 is the sample three times over.
      lower, upper: ends of the support, where they are known.
      components: of a mixture, 2 to 6; 2 if not given.
      bins: of a histogram, see `histogram_from_samples`.
      bandwidth: of a smoothed law, units of the asset; chosen by leave-one-out cross-validation if not given.
      points: knots of a smoothed law, 9 to 513; 65 if not given.

    Returns:
      Fit.

    Raises:
      MarketError: data that no law can be fitted to (`clean_samples`), a support that does not hold them, an unknown
        family, or an option that the family does not have.
    """
    given = {"components": components, "bins": bins, "bandwidth": bandwidth, "points": points}
    options = checked_options(family, given)
    values = sample_numbers("samples", samples)
    sample = clean_samples(values, weights)
    ends = support_of(sample, lower, upper)
    known = lower is not None, upper is not None
    series = values if weights is None and values.ndim == 1 else np.empty(0)
    effective = effective_observations(series) if series.size else sample.observations
    with jax.enable_x64(True):
        fitted = _best(sample, ends, known) if family == "best" else _fitted(family, sample, ends, known, options)
    # By way of NumPy: JAX would keep the 64 bits of an array of its own.
    law = on_device(on_host(fitted.law))
    fitted = replace(fitted, law=law, effective_observations=effective)
    return replace(fitted, notes=(*fitted.notes, *_notes(fitted, known), *_order_notes(series, effective)))


def _fitted(family, sample, ends, known, options) -> Fit:
    estimate = _estimate(family, sample, ends, known, options)
    law = _law_of(estimate)
    log_density, distribution = values_of(law, sample.values, "log_pdf", "cdf")
    likelihood = float(np.sum(sample.weights * log_density))
    chosen = estimate.degrees + (0 if family == "uniform" else 2 - sum(known))
    deviations = np.sqrt(np.maximum(np.diag(estimate.covariance), 0.0))
    return Fit(
        law=law,
        family=family,
        parameters=dict(zip(estimate.names, estimate.vector.tolist(), strict=True)),
        standard_errors=dict(zip(estimate.names, deviations.tolist(), strict=True)),
        covariance=estimate.covariance,
        log_likelihood=likelihood,
        aic=2 * chosen - 2 * likelihood,
        bic=chosen * float(np.log(sample.observations)) - 2 * likelihood,
        observations=sample.observations,
        effective_observations=sample.observations,
        missing=sample.missing,
        ks_statistic=ks_distance(distribution, sample),
        bandwidth=estimate.bandwidth,
        notes=estimate.notes,
        sample=sample,
        estimate=estimate._replace(redrawn=partial(in_float64, estimate.redrawn)),
    )


def _best(sample, ends, known) -> Fit:
    """The fit of least AIC among all families; those that fail, and those without an AIC, are compared in words."""
    fits, rows = [], []
    for family, options in _COMPARED:
        label = f"mixture of {options['components']}" if options else family
        try:
            fitted = _fitted(family, sample, ends, known, options)
        except MarketError as error:
            rows.append(Compared(label, np.nan, str(error)))
            continue
        said = [] if np.isfinite(fitted.aic) else ["no AIC: its parameters have no number"]
        said += [note for note in fitted.estimate.notes if "did not settle" in note]
        rows.append(Compared(label, fitted.aic, "; ".join(said)))
        fits += [fitted] if np.isfinite(fitted.aic) else []
    if not fits:
        raise MarketError("no family fits: " + "; ".join(f"{row.label}: {row.said}" for row in rows))
    rows.sort(key=lambda row: (np.isnan(row.aic), row.aic))
    return replace(min(fits, key=lambda fitted: fitted.aic), comparison=tuple(rows))


def _law_of(estimate):
    return on_device(on_host(estimate.law(estimate.vector)))


def in_float64(function, *arguments):
    """The function of these, with 64-bit floats inside, whatever the session's precision."""
    with jax.enable_x64(True):
        return function(*arguments)


def checked_options(family, given) -> dict:
    """The options that are given; MarketError for an unknown family, or an option that it does not have."""
    options = {name: value for name, value in given.items() if value is not None}
    choices = (*FITTED, "best")
    if not isinstance(family, str) or family not in choices:
        raise MarketError(f"family is {family!r}; choose one of {', '.join(choices)}")
    for name in options:
        if family not in _OPTIONS.get(name, choices):
            raise MarketError(f"{name} is an option of {' and '.join(_OPTIONS[name])}; {family} has none such")
    components = options.get("components", 2)
    whole = isinstance(components, Integral) and not isinstance(components, bool)
    if not whole or not 2 <= components <= _MOST_COMPONENTS:
        raise MarketError(f"components is {components!r}; give a whole number from 2 to {_MOST_COMPONENTS}")
    return options


def _estimate(family, sample, ends, known, options) -> Estimate:
    if family == "uniform":
        return uniform_estimate(sample, *ends, known)
    if family == "histogram":
        return histogram_estimate(sample, *ends, **options)
    if family == "smoothed":
        return smoothed_estimate(sample, *ends, **options)
    components, distinct = int(options.get("components", 2)), sample.values.size
    if family == "mixture" and distinct < (least := LEAST_DISTINCT * components):
        raise MarketError(f"samples: {distinct} distinct values; a mixture of {components} needs at least {least}")
    return parametric_estimate(parametric(family, components), sample, *ends)


def _notes(fitted, known):
    """What to know of the support, and whether the law is rejected."""
    sample, known = fitted.sample, (True, True) if fitted.family == "uniform" else known
    ends = " and ".join(name for name, was in zip(("lower", "upper"), known, strict=True) if not was)
    notes = [f"{ends} from the data, and held there: give them where they are known"] if ends else []
    if sample.values.size < 0.5 * sample.observations:
        ties = f"{sample.values.size} distinct values of {sample.observations:g}"
        notes.append(f"{ties}: with so many ties the KS p-value is off")
    if len(fitted.comparison) > 1:
        second = fitted.comparison[1]
        ahead = f", {second.aic - fitted.aic:.3g} below that of {second.label}" if np.isfinite(second.aic) else ""
        notes.append(f"the least AIC of {len(fitted.comparison)} laws{ahead}")
    if fitted.ks_p_value < _REJECTED:
        even = "even the best law is rejected" if fitted.comparison else "the law is rejected"
        notes.append(f"{even}: at KS distance {fitted.ks_statistic:.3g} p is {fitted.ks_p_value:.1e}")
    return notes


def _order_notes(series, effective):
    """What the order of the observations says, if it is that in time."""
    notes, repeats, number = [], repeated_observations(series), int(np.sum(~np.isnan(series)))
    if repeats:
        remedy = "if they are carried forward, and were not seen, leave them out"
        notes.append(f"{repeats} of {number} observations repeat the one before them: {remedy}")
    if series.size and effective < number:
        tell = f"the {number} tell as much as {effective:.3g} independent ones"
        errors = f"standard errors are about {np.sqrt(number / effective):.2g} times as large as given"
        notes.append(f"each observation resembles the one before: if they are in order of time, {tell}, and {errors}")
    return notes
