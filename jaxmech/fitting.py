"""Endowment laws fitted to data."""

from dataclasses import dataclass, fields
from numbers import Integral

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech import endowments as laws
from jaxmech.endowments.binning import LEAST_DISTINCT, Sample, clean_samples, support_of
from jaxmech.fit_densities import histogram_estimate, smoothed_estimate
from jaxmech.fit_diagnostics import fit_figure, fit_text, ironed_share, ks_distance, quantile_pairs, values_of
from jaxmech.fit_estimates import Estimate, parametric_estimate, uniform_estimate
from jaxmech.fit_families import NAMES, parametric
from jaxmech.tables import MarketError

FITTED = (*NAMES, "mixture", "histogram", "smoothed")
_OPTIONS = {"components": ("mixture",), "bins": ("histogram",), "bandwidth": ("smoothed",), "points": ("smoothed",)}
_MOST_COMPONENTS = 6


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
    missing: int  # entries that were NaN, left out
    ks_statistic: float  # Kolmogorov–Smirnov distance of the data from the law
    bandwidth: float | None  # of "smoothed", units of the asset
    notes: tuple  # what to know before trusting the rest
    sample: Sample  # the data, cleaned
    estimate: Estimate  # how the law follows from its parameters, and how it is estimated again

    lower = property(lambda self: float(self.law.lower))
    upper = property(lambda self: float(self.law.upper))

    @property
    def ks_p_value(self) -> float:
        """P(a larger distance) if the law had been known beforehand and without ties. It was fitted to the same data,
        so a true law's value is larger than uniform: small values speak against the law, large ones hardly for it."""
        from scipy.stats import kstwo

        return float(kstwo.sf(self.ks_statistic, max(round(self.observations), 1)))

    def ironed_share(self, weight=1.0):
        """Probability of the types that are ironed at effective weight w: buyers, then sellers, shape (2,)."""
        return ironed_share(self.law, weight)

    def qq(self):
        """Quantiles of the law and of the data at the same probabilities, two arrays (m,), m ≤ 500; asset units."""
        return quantile_pairs(self.law, self.sample)

    def report(self) -> str:
        """The fit in words and numbers."""
        return fit_text(self)

    __str__ = report

    def plot(self, path):
        """Write the density over a histogram, and a QQ plot, as PNG, PDF or SVG; returns the path. Needs `plot`."""
        return fit_figure(self, path)

    def endowment_table(self) -> dict:
        """The law as the `endowment` table of a market file: plain numbers, lists, and tables for a mixture's laws."""
        return _table(self.law)


def fit(
    samples,
    family="truncated_normal",
    *,
    weights=None,
    lower=None,
    upper=None,
    components=None,
    bins=None,
    bandwidth=None,
    points=None,
) -> Fit:
    """The endowment law of a family that fits data best: maximum likelihood, with standard errors.

    The support is the one given. An end not given is the outermost observation moved outwards by range/(n − 1): the
    unbiased estimate of least variance under a uniform law. The other parameters are estimated on that support as if it
    were known; their standard errors come from the observed information (Hessian of the log likelihood), by the delta
    method. A uniform law's ends, and the masses of a histogram, have exact ones; laws with a kink, triangular and
    Laplace, those of the scores' outer products.

    Args:
      samples: observed endowments of one kind of trader, units of the asset, any shape; NaN means missing.
      family: "uniform", "truncated_normal", "beta" (shapes ≥ 1), "triangular", "truncated_exponential",
        "truncated_laplace", "truncated_logistic", "truncated_student" (0.5 to 100 degrees of freedom), "kumaraswamy",
        "mixture" of truncated normal laws, "histogram", or "smoothed": a kernel density, see `smoothed_estimate`.
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
    options = _checked_options(family, {name: value for name, value in given.items() if value is not None})
    sample = clean_samples(samples, weights)
    ends = support_of(sample, lower, upper)
    known = lower is not None, upper is not None
    estimate = _estimate(family, sample, ends, known, options)
    law = jax.tree.map(jnp.asarray, estimate.law(jnp.asarray(estimate.vector)))
    likelihood = float(np.sum(sample.weights * values_of("log_pdf", law, sample.values)))
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
        missing=sample.missing,
        ks_statistic=ks_distance(law, sample),
        bandwidth=estimate.bandwidth,
        notes=(*estimate.notes, *_notes(sample, known if family != "uniform" else (True, True))),
        sample=sample,
        estimate=estimate,
    )


def _checked_options(family, options):
    if not isinstance(family, str) or family not in FITTED:
        raise MarketError(f"family is {family!r}; choose one of {', '.join(FITTED)}")
    for name in options:
        if family not in _OPTIONS[name]:
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
    components = int(options.get("components", 2))
    if family == "mixture" and sample.values.size < LEAST_DISTINCT * components:
        raise MarketError(
            f"samples: {sample.values.size} distinct values; a mixture of {components} needs at least "
            f"{LEAST_DISTINCT * components}"
        )
    return parametric_estimate(parametric(family, components), sample, *ends)


def _notes(sample, known):
    ends = " and ".join(name for name, was in zip(("lower", "upper"), known, strict=True) if not was)
    notes = [f"{ends} from the data, and held there: give them where they are known"] if ends else []
    if sample.values.size < 0.5 * sample.observations:
        notes.append(
            f"{sample.values.size} distinct values of {sample.observations:g}: with so many ties the KS p-value is off"
        )
    return notes


def _table(law):
    names = {family: name for name, family in laws.FAMILIES.items()}
    table = {"law": names[type(law)]}
    for entry in fields(law):
        value = getattr(law, entry.name)
        whole = isinstance(value, tuple)
        table[entry.name] = [_table(part) for part in value] if whole else np.asarray(value).tolist()
    return table
