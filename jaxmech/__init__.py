"""jaxmech: which trading mechanism gets the most revenue and efficiency out of a market of risk-averse traders."""

from jaxmech.answers import Answers, answers
from jaxmech.audit import Audit, audit, best_reply
from jaxmech.bands import Bands, answer_bands
from jaxmech.calibration import Calibration, calibrate
from jaxmech.cara import CaraSchedule, cara_certainty_equivalent, cara_schedule
from jaxmech.certificate import Certificate, certify
from jaxmech.closed_forms import Example1, example_1, explicit_mechanism
from jaxmech.competition import LeastCompetition, least_competition
from jaxmech.compile_cache import compile_cache
from jaxmech.conditions import condition_1, condition_2
from jaxmech.cot import CommitmentsOfTraders, read_cot
from jaxmech.cot_market import CotMarket, cot_market
from jaxmech.double_auction import DoubleAuction, double_auction
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
from jaxmech.fees import fee_sheet
from jaxmech.first_best import first_best_is_attainable, minimum_subsidy
from jaxmech.fit_market import fit_market
from jaxmech.fitting import Fit, fit
from jaxmech.frontier import frontier
from jaxmech.frontier_curve import Frontier
from jaxmech.global_sensitivity import GlobalSensitivity, global_sensitivity
from jaxmech.market import Market, MarketError, Traders
from jaxmech.mechanism import Mechanism
from jaxmech.outcomes import Outcomes, outcomes
from jaxmech.robust_design import RobustDesign, robust_design
from jaxmech.robustness import MisjudgedCapacity, Robustness, misjudged_capacity, robustness
from jaxmech.schedule_search import simple_schedule
from jaxmech.sensitivity import Sensitivity, sensitivity
from jaxmech.side_payments import SidePayments, side_payments
from jaxmech.simple_schedule import SimpleSchedule
from jaxmech.simulation import Simulation, simulate
from jaxmech.solve import budget_weight, first_best, solve, solve_at_weight
from jaxmech.sweep import Range, open_sweep, sweep
from jaxmech.worst_case import WorstCase, worst_case_law

__version__ = "0.1.0"

__all__ = [
    "Answers",
    "Audit",
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
    "Kumaraswamy",
    "LeastCompetition",
    "Market",
    "MarketError",
    "Mechanism",
    "MisjudgedCapacity",
    "Mixture",
    "Outcomes",
    "PiecewiseLinear",
    "Range",
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
    "answer_bands",
    "answers",
    "audit",
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
    "fee_sheet",
    "first_best",
    "first_best_is_attainable",
    "fit",
    "fit_market",
    "frontier",
    "global_sensitivity",
    "least_competition",
    "minimum_subsidy",
    "misjudged_capacity",
    "open_sweep",
    "outcomes",
    "read_cot",
    "robust_design",
    "robustness",
    "sensitivity",
    "side_payments",
    "simple_schedule",
    "simulate",
    "solve",
    "solve_at_weight",
    "sweep",
    "worst_case_law",
]
