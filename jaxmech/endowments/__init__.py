"""Endowment laws: what traders hold before they meet."""

from jaxmech.endowments.beta import Beta
from jaxmech.endowments.contract import Law, LeftTail
from jaxmech.endowments.side_by_side import SideBySide
from jaxmech.endowments.truncated_normal import TruncatedNormal
from jaxmech.endowments.uniform import Uniform

__all__ = ["FAMILIES", "Beta", "Law", "LeftTail", "SideBySide", "TruncatedNormal", "Uniform"]

# The names that market files use.
FAMILIES = {"uniform": Uniform, "truncated_normal": TruncatedNormal, "beta": Beta}
