"""Paths of modules before they moved into rooms, which work until jaxmech 0.3, with a warning."""

import sys
import warnings
from importlib import import_module
from types import ModuleType

MOVED = {
    "answers": "derivatives.answers",
    "auction_blocks": "auctions.auction_blocks",
    "audit": "auctions.audit",
    "bands": "estimation.bands",
    "batching": "numerics.batching",
    "binding_ends": "optimum.binding_ends",
    "bracket": "numerics.roots",
    "budget": "optimum.budget",
    "bunching": "optimum.ironing.bunching",
    "calibration": "derivatives.calibration",
    "calibration_problem": "derivatives.calibration_problem",
    "calibration_report": "derivatives.calibration_report",
    "calibration_search": "derivatives.calibration_search",
    "calibration_spec": "cli.specs",
    "cara": "optimum.cara",
    "certificate": "optimum.certificate",
    "checks": "market.checks",
    "clearing": "auctions.clearing",
    "cli_cot": "cli",
    "cli_fit": "cli",
    "cli_sweep": "cli.sweep",
    "closed_forms": "optimum.closed_forms",
    "columns": "auctions.columns",
    "competition": "derivatives.competition",
    "conditions": "optimum.conditions",
    "cot": "estimation.cot",
    "cot_files": "estimation.cot",
    "cot_market": "estimation.cot_market",
    "curves": "optimum.ironing.curves",
    "derivative_report": "reports.tables",
    "double_auction": "auctions.double_auction",
    "endowments.contract": "endowments.law",
    "endowments.isotonic": "numerics.isotonic",
    "endowments.polynomials": "numerics.polynomials",
    "endowments.search": "numerics.search",
    "fees": "auctions.fee_notice",
    "first_best": "optimum.first_best",
    "fit_densities": "estimation.densities",
    "fit_diagnostics": "estimation.diagnostics",
    "fit_estimates": "estimation.estimates",
    "fit_families": "estimation.families",
    "fit_market": "estimation.market_from_table",
    "fit_search": "estimation.likelihood_search",
    "fitting": "estimation.fit",
    "fixed_rule": "derivatives.fixed_rule",
    "frontier": "derivatives.frontier",
    "frontier_curve": "derivatives.frontier_curve",
    "frontier_trace": "derivatives.frontier_trace",
    "global_sensitivity": "sweep.global_sensitivity",
    "groups": "arrays",
    "hull": "optimum.ironing.hull",
    "identification": "derivatives.identification",
    "ironing": "optimum.ironing.ironed",
    "mechanism": "optimum.mechanism",
    "memory_maps": "programs",
    "multipliers": "optimum.multipliers",
    "named_outcomes": "derivatives.named_outcomes",
    "number_texts": "estimation.number_texts",
    "observation_files": "estimation.observation_files",
    "observations": "estimation.observations",
    "outcomes": "optimum.outcomes",
    "parameters": "market.parameters",
    "plots": "reports.plots",
    "prepared": "market.prepared",
    "pytrees": "arrays",
    "report": "reports.tables",
    "robust_design": "auctions.worst_case",
    "robustness": "auctions.robustness",
    "schedule_moments": "auctions.schedule_moments",
    "schedule_search": "auctions.schedule_search",
    "sensitivity": "derivatives.sensitivity",
    "sensitivity_plots": "reports.plots",
    "side_payments": "auctions.side_payments",
    "simple_schedule": "auctions.simple_schedule",
    "simulation": "auctions.simulation",
    "solve": "optimum.solve",
    "sweep_report": "reports.sweep",
    "sweep.functions": "sweep.description",
    "sweep.layout": "sweep.store",
    "sweep.progress": "extras",
    "sweep.spec": "cli.specs",
    "tables": "inputs",
    "tabulated": "auctions.tabulated",
    "tangents": "numerics.tangents",
    "virtual_types": "optimum.virtual_types",
    "witness": "optimum.witness",
    "worst_case": "auctions.worst_case",
}
# What was in one module and is in two.
ELSEWHERE = {
    "pytrees": dict.fromkeys(("compiled", "derived"), "programs"),
    "endowments.contract": dict.fromkeys(("LeftTail", "Ratios", "Witnesses", "Sides"), "endowments.sides"),
}


class _Moved(ModuleType):
    def __getattr__(self, name):
        old = self.__name__.removeprefix("jaxmech.")
        return moved(old, ELSEWHERE.get(old, {}).get(name, MOVED[old]), name)


def moved(old, new, name):
    """What is now in another module."""
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        found = getattr(import_module(f"jaxmech.{new}"), name)
    except ModuleNotFoundError as error:  # of an extra: who looks through all modules for a name must not fall over it
        raise AttributeError(f"jaxmech.{new} cannot be imported: {error}", name=name) from error
    said = f"jaxmech.{old} is now jaxmech.{new}; the old path goes with jaxmech 0.3"
    warnings.warn(said, DeprecationWarning, stacklevel=3)
    return found


def install():
    """Let the old paths be imported. They are no attributes of the package, where functions have their names."""
    for old in MOVED:
        sys.modules.setdefault(f"jaxmech.{old}", _Moved(f"jaxmech.{old}"))
