"""jaxmech: which trading mechanism gets the most revenue and efficiency out of a market of risk-averse traders."""

from jaxmech.audit import Audit, audit, best_reply
from jaxmech.budget import budget_weight
from jaxmech.cara import CaraSchedule, cara_certainty_equivalent, cara_schedule
from jaxmech.certificate import Certificate, certify
from jaxmech.closed_forms import Example1, example_1, explicit_mechanism
from jaxmech.conditions import condition_1, condition_2
from jaxmech.double_auction import DoubleAuction, double_auction
from jaxmech.endowments import Beta, TruncatedNormal, Uniform
from jaxmech.fees import fee_sheet
from jaxmech.first_best import first_best_is_attainable, minimum_subsidy
from jaxmech.market import Market, MarketError, Traders
from jaxmech.mechanism import Mechanism
from jaxmech.outcomes import Outcomes, outcomes
from jaxmech.robustness import MisjudgedCapacity, Robustness, misjudged_capacity, robustness
from jaxmech.schedule_search import simple_schedule
from jaxmech.side_payments import SidePayments, side_payments
from jaxmech.simple_schedule import SimpleSchedule
from jaxmech.simulation import Simulation, simulate
from jaxmech.solve import first_best, solve, solve_at_weight
from jaxmech.sweep import Range, sweep

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "Beta",
    "CaraSchedule",
    "Certificate",
    "DoubleAuction",
    "Example1",
    "Market",
    "MarketError",
    "Mechanism",
    "MisjudgedCapacity",
    "Outcomes",
    "Range",
    "Robustness",
    "SidePayments",
    "SimpleSchedule",
    "Simulation",
    "Traders",
    "TruncatedNormal",
    "Uniform",
    "audit",
    "best_reply",
    "budget_weight",
    "cara_certainty_equivalent",
    "cara_schedule",
    "certify",
    "condition_1",
    "condition_2",
    "double_auction",
    "example_1",
    "explicit_mechanism",
    "fee_sheet",
    "first_best",
    "first_best_is_attainable",
    "minimum_subsidy",
    "misjudged_capacity",
    "outcomes",
    "robustness",
    "side_payments",
    "simple_schedule",
    "simulate",
    "solve",
    "solve_at_weight",
    "sweep",
]
