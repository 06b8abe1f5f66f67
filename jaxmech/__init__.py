"""jaxmech: which trading mechanism gets the most revenue and efficiency out of a market of risk-averse traders."""

from jaxmech import _moved
from jaxmech.auctions.audit import Audit, audit, best_reply
from jaxmech.auctions.balanced import BalancedPayments, balanced
from jaxmech.auctions.double_auction import DoubleAuction, double_auction
from jaxmech.auctions.fee_notice import fee_sheet
from jaxmech.auctions.reform import Reform, reform
from jaxmech.auctions.robustness import MisjudgedCapacity, Robustness, misjudged_capacity, robustness
from jaxmech.auctions.schedule_search import simple_schedule
from jaxmech.auctions.side_payments import SidePayments, side_payments
from jaxmech.auctions.simple_schedule import SimpleSchedule
from jaxmech.auctions.simulation import Simulation, simulate
from jaxmech.auctions.worst_case import RobustDesign, WorstCase, robust_design, worst_case_law
from jaxmech.compile_cache import compile_cache
from jaxmech.derivatives.answers import Answers, answers
from jaxmech.derivatives.calibration import Calibration, calibrate
from jaxmech.derivatives.competition import LeastCompetition, least_competition
from jaxmech.derivatives.frontier import frontier
from jaxmech.derivatives.frontier_curve import Frontier
from jaxmech.derivatives.sensitivity import Sensitivity, sensitivity
from jaxmech.endowments import (
    Beta,
    Density,
    FromDensity,
    Histogram,
    Kumaraswamy,
    Mixture,
    PiecewiseLinear,
    Triangular,
    TruncatedExponential,
    TruncatedLaplace,
    TruncatedLogistic,
    TruncatedNormal,
    TruncatedStudent,
    Uniform,
)
from jaxmech.estimation.bands import Bands, answer_bands
from jaxmech.estimation.cot import CommitmentsOfTraders, read_cot
from jaxmech.estimation.cot_market import CotMarket, cot_market
from jaxmech.estimation.fit import Fit, fit
from jaxmech.estimation.market_from_table import fit_market
from jaxmech.explorer.live import explore
from jaxmech.explorer.report import report
from jaxmech.market.market import Market, MarketError, Traders
from jaxmech.market.outside import OutsideMarket, OutsideOption
from jaxmech.optimum.cara import CaraSchedule, cara_certainty_equivalent, cara_schedule
from jaxmech.optimum.certificate import Certificate, certify
from jaxmech.optimum.closed_forms import Example1, example_1, explicit_mechanism
from jaxmech.optimum.conditions import condition_1, condition_2
from jaxmech.optimum.first_best import first_best_is_attainable, minimum_subsidy
from jaxmech.optimum.irregular.mechanism import IrregularMechanism
from jaxmech.optimum.irregular.solve import solve_irregular
from jaxmech.optimum.keeping import keeping_everybody
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import Outcomes, outcomes
from jaxmech.optimum.solve import budget_weight, first_best, solve, solve_at_weight
from jaxmech.optimum.taxes import after_tax
from jaxmech.sweep import Range, open_sweep, sweep
from jaxmech.sweep.global_sensitivity import GlobalSensitivity, global_sensitivity

_moved.install()
__version__ = "0.2.0"

__all__ = [
    "Answers",
    "Audit",
    "BalancedPayments",
    "Bands",
    "Beta",
    "Calibration",
    "CaraSchedule",
    "Certificate",
    "CommitmentsOfTraders",
    "CotMarket",
    "Density",
    "DoubleAuction",
    "Example1",
    "Fit",
    "FromDensity",
    "Frontier",
    "GlobalSensitivity",
    "Histogram",
    "IrregularMechanism",
    "Kumaraswamy",
    "LeastCompetition",
    "Market",
    "MarketError",
    "Mechanism",
    "MisjudgedCapacity",
    "Mixture",
    "Outcomes",
    "OutsideMarket",
    "OutsideOption",
    "PiecewiseLinear",
    "Range",
    "Reform",
    "RobustDesign",
    "Robustness",
    "Sensitivity",
    "SidePayments",
    "SimpleSchedule",
    "Simulation",
    "Traders",
    "Triangular",
    "TruncatedExponential",
    "TruncatedLaplace",
    "TruncatedLogistic",
    "TruncatedNormal",
    "TruncatedStudent",
    "Uniform",
    "WorstCase",
    "after_tax",
    "answer_bands",
    "answers",
    "audit",
    "balanced",
    "best_reply",
    "budget_weight",
    "calibrate",
    "cara_certainty_equivalent",
    "cara_schedule",
    "certify",
    "compile_cache",
    "condition_1",
    "condition_2",
    "cot_market",
    "double_auction",
    "example_1",
    "explicit_mechanism",
    "explore",
    "fee_sheet",
    "first_best",
    "first_best_is_attainable",
    "fit",
    "fit_market",
    "frontier",
    "global_sensitivity",
    "keeping_everybody",
    "least_competition",
    "minimum_subsidy",
    "misjudged_capacity",
    "open_sweep",
    "outcomes",
    "read_cot",
    "reform",
    "report",
    "robust_design",
    "robustness",
    "sensitivity",
    "side_payments",
    "simple_schedule",
    "simulate",
    "solve",
    "solve_at_weight",
    "solve_irregular",
    "sweep",
    "worst_case_law",
]
