"""From a state to all that a page shows: the library's own functions, asked in turn, with programs that stay compiled.

Every number is one of `solve`, `outcomes`, `certify`, `side_payments`, `frontier`, `sensitivity`, `double_auction`.
Numbers of a market are data: turning a knob compiles nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import on_device, on_host
from jaxmech.auctions.double_auction import double_auction
from jaxmech.derivatives.frontier import frontier
from jaxmech.derivatives.frontier_curve import Frontier
from jaxmech.derivatives.sensitivity import sensitivity
from jaxmech.explorer.knobs import BESIDES, Knob, knobs_of, roomy
from jaxmech.explorer.sentences import python_lines, sentences
from jaxmech.explorer.series import curves, densities
from jaxmech.explorer.state import State
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market
from jaxmech.market.parameters import UNITS, market_with, valid_market
from jaxmech.optimum.certificate import certify
from jaxmech.optimum.first_best import first_best_money
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import outcomes
from jaxmech.optimum.solve import solve
from jaxmech.plain import plain
from jaxmech.programs import compiled
from jaxmech.reports.tables import mechanism_report

PARTS = ("curves", "frontier", "sensitivity", "outside_cost")
_NODES = 65  # most points a frontier is traced by
_TRACED_TO = 1e-6
_SHOWN = 61  # points a frontier is drawn by
_BARS = 10
_COSTS = 17  # outside costs, from a quarter to four times what it is


class Model:
    """A market that can be turned. Made once for a market's structure; `answer` is then a matter of milliseconds.

    Args:
      market: a Market, no batch, of at most 8 groups.
      besides: of "welfare_weight", "outside_gamma" and "minimum_revenue", which there are to be knobs for though the
        market has none.

    Raises:
      MarketError: no such market.
    """

    def __init__(self, market: Market, besides: Sequence[str] = BESIDES):
        self.given, self.market = market, roomy(market, besides)
        self.knobs: dict[str, Knob] = {knob.name: knob for knob in knobs_of(self.market)}
        self._parameters = tuple(knob.parameter for knob in self.knobs.values())

    def market_at(self, state: State) -> Market:
        """The market of a state; MarketError where there is none such, or a name that is no knob's."""
        for name, value in state.values.items():
            if name not in self.knobs:
                raise MarketError(f"{name!r} is no knob of this market; there are {', '.join(self.knobs)}")
            self.knobs[name].checked(value)
        values = [state.values.get(name, knob.value) for name, knob in self.knobs.items()]
        values = on_device(np.asarray(values, self.market.risk_capacity.dtype))
        market = _turned(self.market, self._parameters, values)
        if not np.all(valid_market(on_host(market))):
            turned = ", ".join(f"{name} = {value:g}" for name, value in state.values.items())
            raise MarketError(f"{turned}: there is no such market; see the rules of Market.of")
        return replace(market, names=self.market.names)

    def mechanism(self, state: State) -> Mechanism:
        """The optimum of a state; MarketError where the market, or an efficiency that is wanted, cannot be.

        A target revenue is reached as efficiently as can be: α = 0 and R_min the target, or the market's own if that
        is larger. A target efficiency, where the frontier has it.
        """
        market = self.market_at(state)
        if state.goal == "alpha":
            return solve(market, state.aim)
        if state.goal == "revenue":
            least = 0.0 if market.minimum_revenue is None else float(market.minimum_revenue)
            return solve(market, 0.0, max(least, state.aim))
        if market.welfare_weight is not None and np.any(np.asarray(market.welfare_weight)):
            raise MarketError("a target efficiency is not defined beside welfare weights; set α or a target revenue")
        return solve(market, float(_frontier(market).mechanism_at(efficiency=state.aim).weight))

    def answer(self, state: State, parts: Sequence[str] = PARTS) -> dict[str, Any]:
        """All that a page shows of a state, as plain numbers, texts, lists and dictionaries.

        Args:
          parts: which of "curves", "frontier", "sensitivity" and "outside_cost" are wanted beside the numbers.

        Returns:
          "status" ("optimal", or in words why there is nothing to show), "certified", "alpha", "numbers", which is
          `mechanism_report`, "series" by part, "sentences", what each picture shows, and "python", the lines that make
          the same numbers.
        """
        lines = python_lines(state)
        try:
            mechanism = self.mechanism(state)
        except MarketError as error:
            return {"status": f"no such design: {error}", "certified": False, "python": lines}
        numbers = mechanism_report(mechanism)
        if numbers["status"] != "optimal":
            return {"status": numbers["status"], "certified": False, "python": lines}
        made = {name: make for name, make in _MADE.items() if name in parts}
        series = {name: plain(found) for name, make in made.items() if (found := make(mechanism, state)) is not None}
        return {
            "status": "optimal",
            "certified": numbers["ok"],
            "alpha": state.aim if state.goal == "alpha" else numbers["weight"],
            "numbers": plain(numbers),
            "series": series,
            "sentences": sentences(numbers, series),
            "python": lines,
        }


@partial(compiled, static_argnames="parameters")
def _turned(market, parameters, values):
    return market_with(market, parameters, values)


def _frontier(market) -> Frontier:
    """The frontier with as many nodes as there may be, the last one again and again: one shape, one program."""
    traced = frontier(market, _TRACED_TO, _NODES)
    nodes = (getattr(traced, name) for name in ("weight", "revenue", "efficiency", "curvature"))
    nodes = (np.pad(np.asarray(part), (0, _NODES - len(part)), "edge") for part in nodes)
    return Frontier(market, *map(on_device, nodes), traced.points, traced.error, traced.solves)


def _frontier_series(mechanism, state):
    """Points from w* to 1, and the double auction beside them, in money."""
    market = mechanism.market
    traced = _frontier(market)
    if not np.isfinite(float(traced.error)):
        return None
    weight = np.linspace(float(traced.weight[0]), 1.0, _SHOWN)
    revenue, efficiency = traced.at_weight(weight)
    best, surplus = first_best_money(market)
    found = {"weight": weight, "revenue": revenue, "efficiency": efficiency, "error": traced.error}
    found |= {"first_best_efficiency": best, "first_best_surplus": surplus, "budget_weight": weight[0]}
    if float(np.sum(np.asarray(market.count))) > 2:
        auction = outcomes(double_auction(market))
        found["double_auction"] = {"revenue": auction.revenue, "efficiency": auction.efficiency}
    return found


@compiled
def _curves(mechanism):
    return curves(mechanism) | densities(mechanism.market)


def _curve_series(mechanism, state):
    """Curves by name, one column a group."""
    found = on_host(_curves(mechanism))
    return found | {"names": mechanism.market.names}


def _sensitivity_series(mechanism, state):
    """What 1% of each number's unit does to revenue; to efficiency where revenue is what is aimed at.

    Of numbers that the market has only room for nothing is said: 1% of the surplus for each trader is out of scale.
    """
    alpha = float(np.asarray(mechanism.alpha))
    with np.errstate(invalid="ignore"):  # λ = ∞ where all revenue there is is asked for
        slopes = sensitivity(mechanism.market, alpha)
    outcome = "efficiency" if state.goal == "revenue" else "revenue"
    row = slopes.outcomes.index(outcome)
    up, down = 0.01 * slopes.right[row] * slopes.unit, -0.01 * slopes.left[row] * slopes.unit
    size = np.nan_to_num(np.fmax(np.abs(up), np.abs(down)))
    idle = [name.rpartition(".")[2] in UNITS and not at for name, at in zip(slopes.parameters, slopes.at, strict=True)]
    order = np.argsort(-np.where(idle, 0.0, size), kind="stable")[:_BARS]
    order = order[~np.asarray(idle)[order]]
    names = [slopes.parameters[k] for k in order]
    return {"outcome": outcome, "parameter": names, "up": up[order], "down": down[order], "unit": slopes.unit[order]}


@compiled
def _revenue_along(market, factors, alpha):
    """(R, certified) with the outside markets' costs times these factors; NaN and False where there is nothing."""

    def earned(factor):
        outside = market.outside
        priced = jnp.asarray(outside.priced)
        steepness = jnp.where(priced, outside.steepness * factor, outside.steepness)
        mechanism = solve(replace(market, outside=replace(outside, steepness=steepness)), alpha)
        return outcomes(mechanism).revenue, certify(mechanism).ok

    return jax.vmap(earned)(factors)


def _outside_series(mechanism, state):
    """Revenue against the cost of the outside market, where there is one."""
    market = mechanism.market
    if market.outside is None or not any(market.outside.priced):
        return None
    factors = np.geomspace(0.25, 4.0, _COSTS).astype(market.risk_capacity.dtype)
    revenue, certified = on_host(_revenue_along(market, factors, mechanism.alpha))
    return {"factor": factors, "revenue": np.where(certified, revenue, np.nan)}


_MADE = {
    "curves": _curve_series,
    "frontier": _frontier_series,
    "sensitivity": _sensitivity_series,
    "outside_cost": _outside_series,
}
