"""Endowment laws: what traders hold before they meet."""

from jaxmech.endowments.beta import Beta
from jaxmech.endowments.density import Density
from jaxmech.endowments.histogram import Histogram, PiecewiseLinear
from jaxmech.endowments.kumaraswamy import Kumaraswamy
from jaxmech.endowments.law import Law
from jaxmech.endowments.location_scale import TruncatedLaplace, TruncatedLogistic, TruncatedStudent
from jaxmech.endowments.mixture import Mixture
from jaxmech.endowments.numerical import FromDensity, Numerical
from jaxmech.endowments.panels import Panels
from jaxmech.endowments.side_by_side import SideBySide
from jaxmech.endowments.sides import LeftTail, Sides
from jaxmech.endowments.triangular import Triangular
from jaxmech.endowments.truncated_exponential import TruncatedExponential
from jaxmech.endowments.truncated_normal import TruncatedNormal
from jaxmech.endowments.uniform import Uniform

__all__ = [
    "FAMILIES",
    "Beta",
    "Density",
    "FromDensity",
    "Histogram",
    "Kumaraswamy",
    "Law",
    "LeftTail",
    "Mixture",
    "Numerical",
    "Panels",
    "PiecewiseLinear",
    "SideBySide",
    "Sides",
    "Triangular",
    "TruncatedExponential",
    "TruncatedLaplace",
    "TruncatedLogistic",
    "TruncatedNormal",
    "TruncatedStudent",
    "Uniform",
]

# The names that market files use.
FAMILIES = {
    "uniform": Uniform,
    "truncated_normal": TruncatedNormal,
    "beta": Beta,
    "triangular": Triangular,
    "truncated_exponential": TruncatedExponential,
    "truncated_laplace": TruncatedLaplace,
    "truncated_logistic": TruncatedLogistic,
    "truncated_student": TruncatedStudent,
    "kumaraswamy": Kumaraswamy,
    "histogram": Histogram,
    "piecewise_linear": PiecewiseLinear,
    "mixture": Mixture,
}
