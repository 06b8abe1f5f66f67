"""An optimal direct mechanism and its functions of type."""

from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, mirrored, mirrored_types, on_device, pytree, takes_arrays
from jaxmech.endowments import Sides
from jaxmech.market.market import Market, MarketError
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.optimum.ironing.bunching import ironed_multiplier, multiplier_bunching, virtual_curves
from jaxmech.optimum.ironing.hull import Bunching
from jaxmech.optimum.ironing.ironed import bunch_ends, bunches_of, bunching, ironed_gain, standing, still_bunching, sums
from jaxmech.optimum.multipliers import AtEnds, Multipliers
from jaxmech.optimum.outcomes import Interim, absorbed_variance, interim_moments
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
        found = _bunching_intervals(self)
        if is_traced(found):
            return found
        found = np.asarray(found)
        return on_device(found[:, : np.max(np.sum(~np.isnan(found[:, :, 0]), axis=1), initial=0)])

    @derived
    def budget_multiplier(self) -> jax.Array:
        """λ ≥ 0, the multiplier of the budget constraint, Eq. (19): 0 unless α < w*."""
        binds = self.weight > self.alpha
        return jnp.where(binds, (self.weight - self.alpha) / jnp.where(binds, 1 - self.weight, 1.0), 0.0)

    @takes_arrays
    @compiled
    def virtual_type(self, z: NumbersLike) -> jax.Array:
        """V(z), the virtual value of Lemma 3, corrected (erratum E1); asset units."""
        return self._virtual_type(z, self.market.endowment.sides())

    def _virtual_type(self, z, sides):
        return virtual_type(z, sides, self.eta, self.ends, self.weight, self.bunching)

    @takes_arrays
    @compiled
    def participation_multiplier(self, z: NumbersLike) -> jax.Array:
        """Ω(z) in the paper's scale, Eq. (15) corrected (erratum E1): rises from 0 at a to α + λ at b.

        Ω = (1 + λ) [w F + f·(z − V)]

        Where η lies outside the support, Ω jumps at that end of it: to α + λ, or from 0. Of laws that are not regular
        it is what ironing makes of that (theory §14).
        """
        sides = self.market.endowment.sides()
        return self._participation_multiplier(z, sides, self._multiplier_bunching(sides))

    def _multiplier_bunching(self, sides):
        return None if self.bunching is None else multiplier_bunching(sides, self.eta, self.weight)

    def _participation_multiplier(self, z, sides, bunching):
        low, high = self.ends[0], -self.ends[1]
        clipped = jnp.where(z < low, low, jnp.where(z > high, high, z))
        tail = sides.one(0).ratios(clipped)
        inner = self.weight * tail.cdf + tail.density * (clipped - self.eta)
        if bunching is not None:
            inner = ironed_multiplier(sides, bunching, clipped, inner)
        inner = jnp.where(inner < 0, 0.0, jnp.where(inner > self.weight, self.weight, inner))
        omega = jnp.where(z < low, 0.0, jnp.where((z > high) | (z >= sides.upper[0]), self.weight, inner))
        return (1 + self.budget_multiplier) * omega

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
        """
        sides, low, high, axes = self.market.endowment.sides(), self.ends[0], -self.ends[1], self.eta.ndim
        z = jnp.asarray(z)
        types = mirrored_types(jnp.where(z < low, z, low), jnp.where(z > high, z, high), axes)
        eta, reach = mirrored(self.eta, self.eta), (self.ends - types)[None]
        nodes, weights = (
            jnp.asarray(v, reach.dtype).reshape((-1,) + (1,) * (reach.ndim - 1)) for v in (_NODES, _WEIGHTS)
        )
        # Squared nodes: F/f changes fastest next to the binding interval.
        rent = jnp.sum(2 * nodes * weights * reach * sides.ratios(self.ends - reach * nodes**2).ratio, axis=0)
        raw = (eta - 0.5 * (types + self.ends)) * (self.ends - types) - self.weight * rent
        gain = ironed_gain(sides, types, self.ends, eta, raw, self.weight, self.bunching)
        return (1 - self.share) / self.market.risk_capacity * jnp.sum(gain, axis=-axes - 1)

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
    market: Market, alpha: jax.Array, weight: jax.Array, solution: Multipliers, moments: Interim
) -> Mechanism:
    """The mechanism with these Multipliers and interim moments; NaN where there is none."""
    weight, eta, ends, moments = _if_solved(solution.error, (weight, solution.eta, solution.ends, moments))
    return Mechanism(
        market, alpha, weight, eta, ends, solution.at_ends, moments, solution.error, solution.steps, solution.bunching
    )


@differentiable_behind
def _if_solved(error, found):
    """What was found, NaN where it is none: a factor makes derivatives NaN too."""
    known = 1 + 0 * jax.lax.stop_gradient(error)  # NaN where that is ∞
    return jax.tree.map(lambda part: part * known, found)


def mechanism_at(
    market: Market, prepared: Prepared, weight: jax.Array, eta: jax.Array, ends: jax.Array, error: jax.Array
) -> Mechanism:
    """The mechanism with this η and these ends, wherever they are from, and α = w."""
    sides = prepared.sides
    tail, curves = sides.tail(ends), virtual_curves(sides, weight)
    found = bunching(curves, bunches_of(jax.lax.stop_gradient(still_bunching(curves))))
    at_ends = AtEnds(tail.cdf, tail.integral, tail.second_integral)
    steps, integrals = jnp.zeros(weight.shape, int), sums(sides, ends, weight, curves, standing(curves, found))
    solution = Multipliers(eta, ends, at_ends, integrals, error, steps, found)
    return mechanism_of(market, weight, weight, solution, interim_moments(prepared, weight, solution))


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
        raise MarketError(f"mechanism is {type(mechanism).__name__}; make one with solve(market, alpha)")
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
