"""jaxmech: which trading mechanism gets the most revenue and efficiency out of a market of risk-averse traders."""

from jaxmech.budget import budget_weight
from jaxmech.certificate import Certificate, certify
from jaxmech.conditions import condition_1, condition_2
from jaxmech.endowments import Beta, TruncatedNormal, Uniform
from jaxmech.market import Market, MarketError, Traders
from jaxmech.mechanism import Mechanism
from jaxmech.outcomes import Outcomes, outcomes
from jaxmech.solve import solve, solve_at_weight
from jaxmech.sweep import Range, sweep

__version__ = "0.1.0"

__all__ = [
    "Beta",
    "Certificate",
    "Market",
    "MarketError",
    "Mechanism",
    "Outcomes",
    "Range",
    "Traders",
    "TruncatedNormal",
    "Uniform",
    "budget_weight",
    "certify",
    "condition_1",
    "condition_2",
    "outcomes",
    "solve",
    "solve_at_weight",
    "sweep",
]
