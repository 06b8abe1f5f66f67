"""Every public result by name, as few computations as may be."""

from functools import cache

import jax
import numpy as np
from bad_inputs import LAWS, market, mechanism, rule

import jaxmech as jm
from commitments import THREE_CONTRACTS
from every_law import bell
from jaxmech.market.parameters import market_at

DRAWS = np.random.default_rng(0).uniform(-1.0, 1.0, 40)


@cache
def uniform_fit():
    return jm.fit(DRAWS, "uniform")


@cache
def reports():
    return jm.read_cot(THREE_CONTRACTS)


def extended():
    """The market with an outside market and a welfare weight."""
    return market_at(market().with_outside("all", jm.OutsideMarket(0.0, 2.0)), {"fund.welfare_weight": 0.3})


KEY, CAPACITY = jax.random.key(0), {"fund.risk_capacity": (0.5, 2.0)}
RESULTS = {
    "Market": market,
    "Traders": lambda: jm.Traders(jm.Uniform(-1.0, 1.3), 0.7, 2, "dealer"),
    "Range": lambda: jm.Range(0.5, 2.0),
    "Mechanism": mechanism,
    "Mechanism with bunches": lambda: jm.solve(
        jm.Market.of(jm.Traders(jm.Histogram([-1.0, 0.0, 0.5, 1.0], [0.6, 0.1, 0.3]), 1.0, 3)), 0.5
    ),
    "Mechanism of all extensions": lambda: jm.solve(extended(), 0.2, minimum_revenue=0.01),
    "OutsideMarket": lambda: jm.OutsideMarket(0.0, 2.0),
    "OutsideOption": lambda: jm.OutsideOption(0.2),
    "IrregularMechanism": lambda: jm.solve_irregular(market(), 0.5),
    "Reform": lambda: jm.reform(market(), 0.5),
    "AfterTax": lambda: jm.after_tax(0.5, 0.2),
    "Keeping": lambda: jm.keeping_everybody(mechanism()),
    "first best": lambda: jm.first_best(market()),
    "Outcomes": lambda: jm.outcomes(mechanism()),
    "Certificate": lambda: jm.certify(mechanism()),
    "Answers": lambda: jm.answers(market(), 0.5),
    "SidePayments": rule,
    "BalancedPayments": lambda: jm.balanced(rule()),
    "DoubleAuction": lambda: jm.double_auction(market()),
    "SimpleSchedule": lambda: jm.simple_schedule(market(), 0.5),
    "SimpleSchedule of numbers": lambda: jm.SimpleSchedule.of(market(), 0.1, 0.1),
    "CaraSchedule": lambda: jm.cara_schedule(mechanism(), 3),
    "Example1": lambda: jm.example_1(2, 0.5),
    "Frontier": lambda: jm.frontier(market(), 1e-2),
    "Sensitivity": lambda: jm.sensitivity(market(), 0.5),
    "GlobalSensitivity": lambda: jm.global_sensitivity(
        market(), 0.5, {name: jm.Range(*ends) for name, ends in CAPACITY.items()}, method="morris", points=8
    ),
    "Simulation": lambda: jm.simulate(rule(), KEY, auctions=16),
    "Audit": lambda: jm.audit(rule(), types=2, prices=2, quantities=3),
    "Robustness": lambda: jm.robustness(rule(), market()),
    "MisjudgedCapacity": lambda: jm.misjudged_capacity(rule(), 0, 0.9, KEY, auctions=8),
    "WorstCase": lambda: jm.worst_case_law(rule(), 0.1),
    "RobustDesign": lambda: jm.robust_design(market(), 0.5, 0.1, rounds=1),
    "LeastCompetition": lambda: jm.least_competition(market(), 0.5, "fund", "revenue", 0.1, most=3),
    "Calibration": lambda: jm.calibrate(market(), CAPACITY, {"revenue": 0.1}, starts=1, steps=1),
    "Fit": uniform_fit,
    "Fit of a histogram": lambda: jm.fit(DRAWS, "histogram"),
    "Fit of a smoothed law": lambda: jm.fit(DRAWS, "smoothed"),
    "Fit by a search": lambda: jm.fit(DRAWS, "truncated_normal"),
    "FittedMarket": lambda: jm.fit_market({"z": DRAWS}, "z", family="uniform"),
    "Bands": lambda: jm.answer_bands({"dealer": uniform_fit()}, market(), 0.5, weights=(1.0,)),
    "CommitmentsOfTraders": reports,
    "Contract": lambda: reports().contract("nano ether"),
    "CotMarket": lambda: jm.cot_market(reports(), "nano ether", window=8, family="uniform"),
    "Density": lambda: jm.Density(bell, {"s": 0.5}, -1.0, 1.0),
    **{law.__name__: lambda law=law, numbers=numbers: law(**numbers) for law, numbers in LAWS.items()},
}
COSTLY = {"Sensitivity", "GlobalSensitivity", "SimpleSchedule", "WorstCase", "RobustDesign", "Bands"}


@cache
def result(name):
    """The result, computed once."""
    return RESULTS[name]()
