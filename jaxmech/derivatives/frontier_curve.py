"""The frontier of revenue and efficiency as a curve that answers questions (theory §2, §12).

Every point of it is the optimum at one weight w in [w*, 1], and the whole of it is one convex function of w,

    H(w) = max wR + (1 − w)A,    H' = R − A,    R = H + (1 − w)H',    A = H − wH',    dR/dA = −(1 − w)/w,

the last three by the envelope theorem. Between two points H is the quintic with their values, slopes and curvatures;
R and A follow from it, tangent to the frontier everywhere.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxmech.arrays import NumbersLike, is_traced, on_device, on_host, pytree, takes_arrays
from jaxmech.derivatives.frontier_trace import achieved, prepared_for, quintic, solved
from jaxmech.market.market import Market, MarketError
from jaxmech.market.parameters import market_with, named_parameter, present_values
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.multipliers import solve_multipliers
from jaxmech.optimum.outcomes import Outcomes, interim_moments
from jaxmech.optimum.solve import solve_at_weight
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BISECTIONS = 60


class Gap(NamedTuple):
    """How far a design lies below the frontier, money. NaN where it lies beyond an end of it."""

    revenue: jax.Array  # that the frontier earns more at the design's efficiency
    efficiency: jax.Array  # that the frontier has more at the design's revenue


class Shift(NamedTuple):
    """Derivatives of a frontier's points to one parameter, (K,), money per unit of the parameter."""

    revenue: np.ndarray  # at the same weight
    efficiency: np.ndarray  # at the same weight
    revenue_at_efficiency: np.ndarray  # at the same efficiency: H_θ/w (envelope theorem); ∞ at w = 0


@result("alpha")
@pytree
class Frontier:
    """Points of the frontier and the curve through them. Made by `frontier`.

    Points run from the constrained-efficient end to the revenue-maximal one. Arrays are (K,), or (K, B) for a batch of
    markets, where shorter frontiers repeat their last point.
    """

    market: Market
    weight: jax.Array  # w of each point
    revenue: jax.Array  # R
    efficiency: jax.Array  # A, and Σ nβ E g where the market has welfare weights: they count w's way there, β(1 − w)
    curvature: jax.Array  # H'' = dR/dw − dA/dw ≥ 0
    points: jax.Array  # how many differ, scalar or (B,)
    error: jax.Array  # largest error of revenue at an efficiency, or the reverse, measured halfway between points
    # before the point there was added; in units of the first-best surplus; ∞ where tracing failed
    solves: jax.Array  # mechanisms solved, scalar or (B,)

    @derived
    def alpha(self) -> jax.Array:
        """The least α whose optimum each point is: 0 for the first, w for the others."""
        first = jnp.arange(self.weight.shape[0]) == 0
        return jnp.where(first.reshape((-1,) + (1,) * (self.weight.ndim - 1)), 0.0, self.weight)

    @compiled
    def at_weight(self, weight: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """(revenue, efficiency) interpolated at weights w, shape (...) or (..., B); NaN outside [w*, 1], or beyond the
        last point of a frontier that was not traced to its end."""
        weight = jnp.asarray(weight, self.weight.dtype)
        inside = (weight >= self.weight[0]) & (weight <= self.weight[-1])
        return tuple(jnp.where(inside, part, jnp.nan) for part in self._point(self._cell(self.weight, weight), weight))

    @takes_arrays
    @compiled
    def weight_at(self, revenue: NumbersLike | None = None, efficiency: NumbersLike | None = None) -> jax.Array:
        """w where the frontier has this revenue, or this efficiency; the nearest end if there is none.

        Differentiable, by dR/dw = (1 − w)H'' and dA/dw = −wH''; as the ends do not move, not there.
        """
        if (revenue is None) == (efficiency is None):
            raise MarketError("weight_at takes a revenue or an efficiency: give exactly one")
        rising, wanted = (self.revenue, revenue) if efficiency is None else (-self.efficiency, -efficiency)
        wanted = jnp.asarray(wanted, rising.dtype)
        cell = self._cell(rising, wanted)
        low, high = (self._pick(self.weight, cell + k) for k in (0, 1))

        def halve(_, bracket):
            low, high = bracket
            middle = 0.5 * (low + high)
            earned, kept = self._point(cell, middle)
            below = (earned if efficiency is None else -kept) < wanted
            return jnp.where(below, middle, low), jnp.where(below, high, middle)

        low, high = lax.stop_gradient(lax.fori_loop(0, _BISECTIONS, halve, (low, high)))
        at = 0.5 * (low + high)
        _, (earned_slope, kept_slope) = jax.jvp(partial(self._point, cell), (at,), (jnp.ones_like(at),))
        slope = earned_slope if efficiency is None else -kept_slope
        # Bisection has no derivative. One step of Newton's that goes nowhere has.
        off = wanted - lax.stop_gradient(wanted)
        at = at + off / lax.stop_gradient(jnp.where(slope > 0, slope, jnp.inf))
        first, last = self._pick(rising, 0 * cell), self._pick(rising, 0 * cell + rising.shape[0] - 1)
        found = jnp.where(wanted <= first, self.weight[0], jnp.where(wanted >= last, self.weight[-1], at))
        return jnp.where(jnp.isnan(wanted), jnp.nan, found)

    @takes_arrays
    @compiled
    def revenue_at(self, efficiency: NumbersLike) -> jax.Array:
        """Most revenue of any mechanism at least this efficient; shape of `efficiency`: (...) or (..., B).

        NaN above the constrained-efficient end; the largest revenue of all below the revenue-maximal one, or NaN where
        the frontier was not traced that far.
        """
        efficiency = jnp.asarray(efficiency, self.weight.dtype)
        revenue, _ = self.at_weight(self.weight_at(efficiency=efficiency))
        known = (efficiency <= self.efficiency[0] + self._rounding) & ~self._unknown(efficiency < self.efficiency[-1])
        return jnp.where(known, revenue, jnp.nan)

    @takes_arrays
    @compiled
    def efficiency_at(self, revenue: NumbersLike) -> jax.Array:
        """Most efficiency of any mechanism that earns at least this revenue; shape as in `revenue_at`.

        NaN above the largest revenue; the constrained-efficient efficiency for revenue below the first point's.
        """
        revenue = jnp.asarray(revenue, self.weight.dtype)
        _, efficiency = self.at_weight(self.weight_at(revenue=revenue))
        return jnp.where(revenue <= self.revenue[-1] + self._rounding, efficiency, jnp.nan)

    def gap(self, outcomes: Any) -> Gap:
        """How far another design's outcomes (anything with `.revenue` and `.efficiency`) lie below the frontier."""
        if not (hasattr(outcomes, "revenue") and hasattr(outcomes, "efficiency")):
            raise MarketError(f"outcomes is {type(outcomes).__name__}; give outcomes(design)")
        return self._gap(outcomes.revenue, outcomes.efficiency)

    @takes_arrays
    @compiled
    def _gap(self, revenue, efficiency):
        earned, kept = self.revenue_at(efficiency), self.efficiency_at(revenue)
        beyond = jnp.isnan(earned) | jnp.isnan(kept)
        gaps = earned - revenue, kept - efficiency
        return Gap(*(jnp.where(beyond, jnp.nan, gap) for gap in gaps))

    def mechanism_at(
        self,
        *,
        revenue: NumbersLike | None = None,
        efficiency: NumbersLike | None = None,
        exchange_rate: NumbersLike | None = None,
    ) -> Mechanism:
        """The optimal mechanism with this revenue, or this efficiency, or where one unit more of efficiency costs
        `exchange_rate` units of revenue: w = 1/(1 + rate), no less than w*.

        Newton's iteration on the solver itself from the interpolated weight, so exact whatever the tolerance.

        Raises:
          MarketError: not exactly one is given, or it lies beyond the frontier's ends.
        """
        given = {"revenue": revenue, "efficiency": efficiency, "exchange_rate": exchange_rate}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            got = ", ".join(given) or "nothing"
            raise MarketError(f"mechanism_at got {got}; give one of revenue, efficiency, exchange_rate")
        ((name, value),) = given.items()
        weight = _exact_weight(self, self._checked_reach(name, value), name)
        return solve_at_weight(self.market, weight, None if self.market.welfare_weight is None else 0.0)

    def shift(self, parameter: str) -> Shift:
        """How the frontier of one market moves with a parameter, named as in `sweep`: "dealer.loc", "all.count.factor".

        Raises:
          MarketError: unknown name, or a batch of markets.
        """
        if self.weight.ndim > 1:
            raise MarketError("frontier is of a batch; ask for the shift of one market's frontier")
        named = (named_parameter(parameter, self.market),)
        shifts = _shifts(self.market, named, present_values(self.market, named), self.weight)
        earned, kept, weight = on_host((*shifts, self.weight))
        with np.errstate(divide="ignore", invalid="ignore"):
            across = (weight * earned + (1 - weight) * kept) / weight
        return Shift(earned, kept, across)

    def plot(
        self,
        ax: "Axes | None" = None,
        designs: Mapping[str, Outcomes] | None = None,
        band: str | None = None,
        change: float | None = None,
    ) -> "Axes":
        """A picture of one market's frontier. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
          designs: outcomes of other designs by name, drawn as points.
          band, change: a parameter, and how far it goes up and down: where the frontier moves is drawn as a band.
        """
        from jaxmech.reports.plots import frontier_plot

        if self.weight.ndim > 1:
            raise MarketError("frontier is of a batch; draw one market's frontier")
        if (band is None) != (change is None):
            raise MarketError(f"band is {band!r} and change {change!r}; give both or neither")
        if change is not None and not (isinstance(change, int | float) and np.isfinite(change)):
            raise MarketError(f"change is {change!r}; give a finite number")
        return frontier_plot(self, ax, designs or {}, band, change)

    def figure(
        self, designs: Mapping[str, Outcomes] | None = None, band: str | None = None, change: float | None = None
    ) -> "Figure":
        """`plot` on a figure of its own."""
        return self.plot(None, designs, band, change).figure

    @property
    def _rounding(self):
        return 1e-12 * (abs(self.efficiency[0]) + abs(self.revenue[-1]))

    def _unknown(self, beyond):
        """Where the answer lies beyond the last point of a frontier that was not traced to its end."""
        return beyond & (self.weight[-1] < 1)

    def _checked_reach(self, name, value):
        """The value wanted of `mechanism_at`, one for each market; MarketError where the frontier does not have it."""
        if is_traced(value):
            return value
        try:
            value = np.broadcast_to(np.asarray(value, float), self.weight.shape[1:])
        except (TypeError, ValueError):
            raise MarketError(f"{name} is {value!r}; give one number for each market") from None
        held = on_host(self)
        low, high = {
            "revenue": (held.revenue[0], held.revenue[-1]),
            "efficiency": (held.efficiency[-1], held.efficiency[0]),
            "exchange_rate": (0.0, np.inf),
        }[name]
        bad = np.asarray(~((value >= low - held._rounding) & (value <= high + held._rounding)))
        if np.any(bad):
            worst, low, high = (np.broadcast_to(v, bad.shape)[bad].flat[0] for v in (value, low, high))
            traced = "" if np.all(np.isfinite(held.error)) else "; it was not traced to its end, see .error"
            raise MarketError(f"{name} is {worst:g}; the frontier has it from {low:g} to {high:g}{traced}")
        return on_device(value.astype(self.weight.dtype))

    def _cell(self, nodes, wanted):
        """The interval whose ends enclose `wanted`, given rising values at the points; the last may be repeated."""
        inner = jnp.where(nodes[1:-1] < nodes[-1], nodes[1:-1], jnp.inf)
        below = inner.reshape((-1,) + (1,) * (jnp.ndim(wanted) - (nodes.ndim - 1)) + nodes.shape[1:]) <= wanted
        return jnp.sum(below, axis=0)

    def _pick(self, nodes, place):
        if nodes.ndim == 1:
            return nodes[place]
        return nodes[place, jnp.arange(nodes.shape[1])]

    def _point(self, cell, weight):
        """R and A at a weight in a cell."""
        ends = [
            [self._pick(nodes, cell + k) for nodes in (self.weight, self.revenue, self.efficiency, self.curvature)]
            for k in (0, 1)
        ]
        support, slope = quintic(*ends, weight)
        return support + (1 - weight) * slope, support - weight * slope


@partial(compiled, static_argnames="name")
def _exact_weight(traced, wanted, name):
    """w where the solver's own revenue or efficiency is as wanted: Newton's iteration, which may not leave [w*, 1]; of
    an exchange rate there is a formula."""
    if name == "exchange_rate":
        return jnp.maximum(1 / (1 + wanted), traced.weight[0])
    rising, (market, _) = name == "revenue", prepared_for(traced.market)

    def step(_, weight):
        (earned, kept, bend), _ = solved(market, weight)
        missed, slope = (earned - wanted, (1 - weight) * bend) if rising else (wanted - kept, weight * bend)
        new = weight - missed / jnp.where(slope > 0, slope, jnp.inf)
        return jnp.clip(new, traced.weight[0], traced.weight[-1])

    start = traced.weight_at(**{name: wanted})
    return lax.fori_loop(0, 4, step, start)


@partial(compiled, static_argnames="named")
def _shifts(market, named, values, weight):
    """dR/dθ and dA/dθ at the same weights, (K,)."""

    def reached(value):
        there, _ = prepared_for(market_with(market, named, value))
        return achieved(there, interim_moments(there, weight, solve_multipliers(there, weight)))

    values = jnp.broadcast_to(values[:, None], (1, weight.size))
    return jax.jvp(reached, (values,), (jnp.ones_like(values),))[1]
