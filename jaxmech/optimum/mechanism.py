"""An optimal direct mechanism and its functions of type."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp

from jaxmech.arrays import NumbersLike, mirrored, mirrored_types, pytree, takes_arrays, total, trimmed
from jaxmech.endowments import Sides
from jaxmech.endowments.panels import known_to
from jaxmech.market.market import Market, MarketError
from jaxmech.market.prepared import Prepared, group_weights
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.ironing.bunching import ironed_multiplier, multiplier_bunching, refuses, virtual_curves
from jaxmech.optimum.ironing.hull import Bunching
from jaxmech.optimum.ironing.ironed import bunch_ends, bunches_of, bunching, ironed_gain, standing, still_bunching, sums
from jaxmech.optimum.multipliers import AtEnds, Multipliers
from jaxmech.optimum.outcomes import Interim, absorbed_variance, endowments_of, interim_moments, revenue
from jaxmech.optimum.status import status_text
from jaxmech.optimum.target_lines import (
    TargetLine,
    kernel_level,
    kernel_weight,
    lifted,
    line_of,
    outside_gain,
    target_line,
)
from jaxmech.optimum.virtual_types import virtual_type
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NODES, _WEIGHTS = unit_rule(32)


@result("binding_interval", "bunching_intervals", "budget_multiplier", "share", without=("ends", "at_ends", "bunching"))
@pytree
class Mechanism:
    """The exchange mechanism that maximises αR + (1 − α)A subject to R ≥ 0 (Theorem 1). Made by `solve`.

    Functions of type take z of shape (..., G), one column a group; `allocation` takes one column a trader. Types
    outside the support count as its nearest end.
    """

    market: Market
    alpha: jax.Array  # weight on revenue in the objective
    weight: jax.Array  # w = (α + λ)/(1 + λ), the effective revenue weight
    eta: jax.Array  # η, (G,): virtual type of those who expect no trade, Eq. (13)
    ends: jax.Array  # (a, −b), (2, G): the binding interval, its upper end mirrored
    at_ends: AtEnds  # the law at these ends
    moments: Interim  # what one trader of each group expects
    error: jax.Array  # distance to the solution of the multiplier system, relative; ∞ where it failed
    steps: jax.Array  # steps of the solver
    bunching: Bunching = None  # where laws that are not regular are ironed: see `bunching_intervals`
    # What there is besides where outside options, welfare weights or a target for revenue are given; else None.
    budget_share: jax.Array | None = None  # u = λ/(1 + λ)
    rebate: jax.Array | None = None  # (G,), money to each trader: what is left over where a welfare weight exceeds α
    largest_revenue: jax.Array | None = None  # of all mechanisms that keep every type, where R_min exceeds it; else ∞
    refused: jax.Array | None = None  # whether a law is not regular where an outside option needs it to be (beyond §16)

    @derived
    def binding_interval(self) -> jax.Array:
        """[a, b] of each group, shape (G, 2): the types whose participation constraint binds (Lemma 3)."""
        return jnp.stack([self.ends[0], -self.ends[1]], axis=1)

    @property
    def bunching_intervals(self) -> jax.Array:
        """Types beside the binding interval that all buy, or all sell, the same where Condition 2 fails: their law is
        ironed there (theory §14). Shape (G, intervals, 2), in order, NaN where a group has fewer; under jit as many
        rows as the laws allow for. None, shape (G, 0, 2), where laws are regular.
        """
        return trimmed(_bunching_intervals(self))

    @derived
    def budget_multiplier(self) -> jax.Array:
        """λ ≥ 0, the multiplier of the budget constraint, Eq. (19): 0 unless α < w*."""
        if self.budget_share is not None:
            return self.budget_share / (1 - self.budget_share)
        free = self.weight <= self.alpha
        return jnp.where(free, 0.0, (self.weight - self.alpha) / jnp.where(free, 1.0, 1 - self.weight))

    @derived
    def group_weight(self) -> jax.Array:
        """w_i, (G,): the weight of each group's revenue and rents, w but for its welfare weight (beyond §2)."""
        return jnp.broadcast_to(self._weights(), self.eta.shape)

    def _weights(self):
        welfare, share = self.market.welfare_weight, self.budget_share
        if welfare is None or share is None:
            return self.weight
        return group_weights(share, self.alpha - welfare)

    @property
    def minimum_revenue(self) -> jax.Array | None:
        """R_min; None for 0."""
        return self.market.minimum_revenue

    @property
    def status(self) -> str:
        """What became of it, in words; of a batch, how many lanes are what. Not under jit."""
        return status_text(self.error, self.largest_revenue, self.refused)

    def line(self) -> TargetLine | None:
        """The groups' target lines (beyond §4); None without outside options, where they are flat."""
        option = self.market.option
        return None if option is None else line_of(option, self.share)

    def kernel(self) -> tuple[jax.Array, jax.Array]:
        """(w̃, η̃), by which Ṽ is what V is in the paper: see `target_lines`."""
        line = self.line()
        return kernel_weight(self._weights(), line, self.eta), kernel_level(self.eta, line)

    def outside_gain(self, z: NumbersLike) -> jax.Array:
        """o(z), money: what type z gains where he goes instead; 0 without outside options."""
        types = jnp.asarray(z)
        return outside_gain(self.market.option, types, self.market.risk_capacity) + jnp.zeros_like(types)

    @takes_arrays
    @compiled
    def virtual_type(self, z: NumbersLike) -> jax.Array:
        """V(z), the virtual value of Lemma 3, corrected (erratum E1); asset units.

        With outside options η is the target line there: V = clip(t, ψ⁺, ψ⁻) (beyond §3).
        """
        return self._virtual_type(z, self.market.endowment.sides())

    def _virtual_type(self, z, sides):
        (weight, level), line = self.kernel(), self.line()
        found = virtual_type(z, sides, level, self.ends, weight, self.bunching)
        if line is None:
            return found
        return lifted(found, jnp.clip(z, sides.lower[0], sides.upper[0]), line)

    @takes_arrays
    @compiled
    def participation_multiplier(self, z: NumbersLike) -> jax.Array:
        """Ω(z) in the paper's scale, Eq. (15) corrected (erratum E1): rises from 0 at a to α + λ at b.

        Ω = (1 + λ) [w F + f·(z − V)]

        Where η lies outside the support, Ω jumps at that end of it: to α + λ, or from 0. Of laws that are not regular
        it is what ironing makes of that (theory §14). With outside options V is the target line there, and the
        largest Ω is (1 + λ) times the group's weight.
        """
        sides = self.market.endowment.sides()
        return self._participation_multiplier(z, sides, self._multiplier_bunching(sides))

    def _multiplier_bunching(self, sides):
        if self.bunching is None:
            return None
        weight, level = self.kernel()
        return multiplier_bunching(sides, level, weight if self._is_shared(weight) else weight[0])

    def _is_shared(self, weight):
        return jnp.ndim(weight) <= self.eta.ndim

    def _participation_multiplier(self, z, sides, bunching):
        low, high, (weight, level) = self.ends[0], -self.ends[1], self.kernel()
        weight = weight if self._is_shared(weight) else weight[0]
        clipped = jnp.where(z < low, low, jnp.where(z > high, high, z))
        tail = sides.one(0).ratios(clipped)
        inner = weight * tail.cdf + tail.density * (clipped - level)
        if bunching is not None:
            inner = ironed_multiplier(sides, bunching, clipped, inner)
        inner = jnp.where(inner < 0, 0.0, jnp.where(inner > weight, weight, inner))
        omega = jnp.where(z < low, 0.0, jnp.where((z > high) | (z >= sides.upper[0]), weight, inner))
        line = self.line()
        return (1 + self.budget_multiplier) * (omega if line is None else line.power * omega)

    @takes_arrays
    @compiled
    def interim_allocation(self, z: NumbersLike) -> jax.Array:
        """X̄(z) = E[X | Z = z] = (1 − s)(η − V(z)), what type z expects to buy; never rises, Eq. (10); asset units."""
        return (1 - self.share) * (self.eta - self.virtual_type(z))

    @takes_arrays
    @compiled
    def utility_gain(self, z: NumbersLike) -> jax.Array:
        """Expected gain of type z over staying away, Eq. (3) with the binding type at 0; money.

        g(z) = (1/κ) [∫_l^a X̄ − ∫_l^z X̄] ≥ 0, Eq. (9)

        With outside options it is o(z) and what participating adds to that; see `outside_gain`.
        """
        added = self.participation_gain(z)
        if self.market.outside is not None:
            added = added + self.outside_gain(z)
        return added

    @takes_arrays
    @compiled
    def participation_gain(self, z: NumbersLike) -> jax.Array:
        """g(z) − o(z) ≥ 0, money: expected gain of type z over what he could do instead; a rebate included.

        It is (1 − s)/κ · ∫ (V − t) from the nearer end of the binding interval (beyond §6).
        """
        sides, low, high, axes = self.market.endowment.sides(), self.ends[0], -self.ends[1], self.eta.ndim
        z = jnp.asarray(z)
        types = mirrored_types(jnp.where(z < low, z, low), jnp.where(z > high, z, high), axes)
        (weight, level), line = self.kernel(), self.line()
        eta, reach = mirrored(level, level), (self.ends - types)[None]
        nodes, weights = (
            jnp.asarray(v, reach.dtype).reshape((-1,) + (1,) * (reach.ndim - 1)) for v in (_NODES, _WEIGHTS)
        )
        # Squared nodes: F/f changes fastest next to the binding interval.
        rent = jnp.sum(2 * nodes * weights * reach * sides.ratios(self.ends - reach * nodes**2).ratio, axis=0)
        raw = (eta - 0.5 * (types + self.ends)) * (self.ends - types) - weight * rent
        gain = ironed_gain(sides, types, self.ends, eta, raw, weight, self.bunching)
        factor = (1 - self.share) / self.market.risk_capacity
        gain = (factor if line is None else factor * line.power) * jnp.sum(gain, axis=-axes - 1)
        return gain if self.rebate is None else gain + self.rebate

    @takes_arrays
    @compiled
    def interim_transfer(self, z: NumbersLike) -> jax.Array:
        """Expected payment of type z, Eq. (4). Also the deterministic transfer T(z) of Corollary 1.2; money."""
        expected = self.interim_allocation(z)
        square = expected**2 + absorbed_variance(self.interim().variance, self.share, self.market.count)
        return -(0.5 * square + jnp.asarray(z) * expected) / self.market.risk_capacity - self.utility_gain(z)

    deterministic_transfer = interim_transfer

    @takes_arrays
    def allocation(self, z: NumbersLike) -> jax.Array:
        """X ex post, Eq. (12): what each trader buys, given everybody's endowment.

            X_i = −V_i + s_i Σ_j V_j

        Args:
          z: endowments, shape (..., N), one column a trader, groups in order.

        Returns:
          Purchases, shape of z; they sum to zero, Eq. (1) and (8).
        """
        z = cast(jax.Array, z)
        return self._allocation(z, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _allocation(self, z, group):
        by_group = self.virtual_type(jnp.broadcast_to(z[..., None], z.shape + self.eta.shape))
        virtual = jnp.take_along_axis(by_group, jnp.broadcast_to(group[:, None], (*z.shape, 1)), axis=-1)[..., 0]
        return -virtual + jnp.take(self.share, group) * jnp.sum(virtual, axis=-1, keepdims=True)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """What each type expects to buy, group by group. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
        """
        from jaxmech.reports.plots import mechanism_plot

        return mechanism_plot(self, ax)

    @derived
    def share(self) -> jax.Array:
        """s = κ/K, (G,): part of everybody's virtual types that a trader takes over."""
        return self.market.risk_capacity / self.market.total_risk_capacity

    def interim(self) -> Interim:
        """What one trader of each group expects."""
        return self.moments


def mechanism_of(
    market: Market,
    alpha: jax.Array,
    weight: jax.Array,
    solution: Multipliers,
    moments: Interim,
    searched: bool = True,
) -> Mechanism:
    """The mechanism with these Multipliers and interim moments; NaN where there is none.

    Args:
      weight: w, or u where the market has welfare weights.
      searched: whether it is the optimum's weight, rather than one that was asked for.
    """
    error, more = solution.error, {}
    if solution.refused is not None:
        error = jnp.where(solution.refused, jnp.inf, error)
    besides = market.welfare_weight, market.outside, market.minimum_revenue
    if searched and any(part is not None for part in besides):
        error, moments, more = with_budget(market, alpha, weight, error, moments)
    if market.welfare_weight is not None:
        more["budget_share"], weight = weight, weight + (1 - weight) * alpha
    known = weight, solution.eta, solution.ends, moments, {k: v for k, v in more.items() if k != "largest_revenue"}
    weight, eta, ends, moments, known = if_solved(error, known)
    return Mechanism(
        market,
        alpha,
        weight,
        eta,
        ends,
        solution.at_ends,
        moments,
        error,
        solution.steps,
        solution.bunching,
        refused=solution.refused,
        **(more | known),
    )


def with_budget(
    market: Market, alpha: jax.Array, weight: jax.Array, error: jax.Array, moments: Interim
) -> tuple[jax.Array, Interim, dict[str, jax.Array]]:
    """(error, moments, further fields): rebates in the moments; error ∞ where revenue cannot be as large as R_min."""
    welfare, least = market.welfare_weight, 0.0 if market.minimum_revenue is None else market.minimum_revenue
    earned = revenue(market, moments)
    near = known_to(1e-9, earned.dtype) * first_best_surplus(endowments_of(market, moments))
    error = jnp.where(jnp.isfinite(earned), error, jnp.inf)
    missed = (weight >= 1) & (earned < least - near) & (error < jnp.inf)
    error, more = jnp.where(missed, jnp.inf, error), {"largest_revenue": jnp.where(missed, earned, jnp.inf)}
    if welfare is None:
        return error, moments, more
    # Where β > α the budget alone limits what goes to those it is largest for: all that is left over.
    most = jnp.max(welfare, axis=0)
    spare = jnp.where((most > alpha) & (earned > least), earned - least, 0.0)
    error, favoured = jnp.where(spare < jnp.inf, error, jnp.inf), welfare >= most
    each = spare / total(jnp.where(favoured, market.count, 0.0))
    rebate = jnp.where(favoured, each, 0.0)
    moments = moments._replace(rent=moments.rent + market.risk_capacity * rebate)
    return error, moments, more | {"rebate": rebate}


@differentiable_behind
def if_solved(error: jax.Array, found: Any) -> Any:
    """What was found, NaN where it is none: a factor makes derivatives NaN too."""
    known = 1 + 0 * jax.lax.stop_gradient(error)  # NaN where that is ∞
    return jax.tree.map(lambda part: part * known, found)


def mechanism_at(
    market: Market, prepared: Prepared, weight: jax.Array, eta: jax.Array, ends: jax.Array, error: jax.Array
) -> Mechanism:
    """The mechanism with this η and these ends, wherever they are from, and α = w, the weight of all groups."""
    sides = prepared.sides
    line = target_line(prepared)
    own, level = kernel_weight(prepared.weights(weight), line, eta), kernel_level(eta, line)
    tail, curves = sides.tail(ends), virtual_curves(sides, own)
    found = bunching(curves, bunches_of(jax.lax.stop_gradient(still_bunching(curves))))
    at_ends = AtEnds(tail.cdf, tail.integral, tail.second_integral)
    steps, integrals = jnp.zeros(weight.shape, int), sums(sides, ends, own, curves, standing(curves, found))
    refused = None if line is None else refuses(sides, level, ends, own, line.slope, found)
    solution = Multipliers(eta, ends, at_ends, integrals, error, steps, found, refused)
    moments = interim_moments(prepared, weight, solution)
    market = replace(market, welfare_weight=None)  # all groups' weight is w
    return mechanism_of(market, weight, weight, solution, moments, searched=False)


class PreparedMechanism(NamedTuple):
    """A mechanism's V and Ω, their law prepared once."""

    mechanism: Mechanism
    sides: Sides
    bunching: Bunching  # of Ω

    @classmethod
    def of(cls, mechanism: Mechanism) -> Self:
        sides = mechanism.market.endowment.sides()
        return cls(mechanism, sides, mechanism._multiplier_bunching(sides))

    def virtual_type(self, z: jax.Array) -> jax.Array:
        return self.mechanism._virtual_type(z, self.sides)

    def participation_multiplier(self, z: jax.Array) -> jax.Array:
        return self.mechanism._participation_multiplier(z, self.sides, self.bunching)


def checked_mechanism(mechanism: Any) -> Mechanism:
    """The mechanism itself; MarketError when it is something else."""
    if not isinstance(mechanism, Mechanism):
        kind = type(mechanism).__name__  # of which that may bind on several intervals
        kind += "; only outcomes and certify take that" if kind == "IrregularMechanism" else ""
        raise MarketError(f"mechanism is {kind}; make one with solve(market, alpha)")
    return mechanism


@compiled
def _bunching_intervals(mechanism):
    """Those below a and those above b, sorted, NaN behind them; (G, most, 2, ...)."""
    if mechanism.bunching is None:
        return jnp.zeros((mechanism.eta.shape[0], 0, 2, *mechanism.eta.shape[1:]))
    start, stop = bunch_ends(mechanism.market.endowment.sides(), mechanism.bunching)
    used = (start < jnp.inf) & (0.5 * (start + stop) < mechanism.ends)
    start, stop = (jnp.where(used, end, jnp.nan) for end in (start, stop))
    low, high = jnp.concatenate([start[:, 0], -stop[:, 1]]), jnp.concatenate([stop[:, 0], -start[:, 1]])
    return jnp.moveaxis(jnp.stack([jnp.sort(low, axis=0), jnp.sort(high, axis=0)], axis=1), 2, 0)
