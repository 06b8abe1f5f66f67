"""The optimum where laws are not regular and there are outside options, with its functions of type."""

import jax
import jax.numpy as jnp

from jaxmech.arrays import NumbersLike, pytree, takes_arrays, trimmed
from jaxmech.endowments.landmarks import beside
from jaxmech.market.market import Market
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.numerics.search import pick
from jaxmech.optimum.certificate import Certificate
from jaxmech.optimum.irregular.certificate import certificate_of
from jaxmech.optimum.irregular.rule import Rule, bunches, piece_of, rule_at, runs
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import Interim
from jaxmech.optimum.solve import aimed
from jaxmech.plain import result
from jaxmech.programs import compiled

_NODES = 8  # of integrals up to a type


@result("binding_intervals", "bunching_intervals", "budget_multiplier", "share", without=("rule", "gains"))
@pytree
class IrregularMechanism:
    """The optimal mechanism of a market whose laws need not be regular, outside options or not. Made by
    `solve_irregular`.

    Its functions of type are those of `Mechanism`, with another V: they take z of shape (..., G), `allocation` one
    column a trader. The binding types may be several intervals. `outcomes` and `certify` take it; side payments,
    simulations and sweeps, which go by one binding interval, do not.
    """

    market: Market
    alpha: jax.Array  # weight on revenue in the objective
    weight: jax.Array  # w = (α + λ)/(1 + λ), the effective revenue weight
    eta: jax.Array  # η, (G,): where the target line passes the type that would not trade outside
    rule: Rule  # V and Ω by pieces of the supports
    gains: jax.Array  # of participating at the ends of the pieces: see `gains_from`
    moments: Interim  # what one trader of each group expects
    error: jax.Array  # what its certificate finds at worst, in parts of the first-best surplus; ∞ where there is none
    steps: jax.Array  # weights and meshes tried
    # What there is besides where outside options, welfare weights or a target for revenue are given; see `Mechanism`.
    budget_share: jax.Array | None = None
    rebate: jax.Array | None = None
    largest_revenue: jax.Array | None = None

    budget_multiplier, group_weight = Mechanism.budget_multiplier, Mechanism.group_weight
    share, interim, outside_gain = Mechanism.share, Mechanism.interim, Mechanism.outside_gain
    interim_allocation, utility_gain = Mechanism.interim_allocation, Mechanism.utility_gain
    interim_transfer = deterministic_transfer = Mechanism.interim_transfer
    allocation, _allocation, _weights = Mechanism.allocation, Mechanism._allocation, Mechanism._weights
    line, minimum_revenue, status, refused = Mechanism.line, Mechanism.minimum_revenue, Mechanism.status, None

    @takes_arrays
    @compiled
    def virtual_type(self, z: NumbersLike) -> jax.Array:
        """V(z), asset units: the target line, ψ at Ω, or constant on a bunch (beyond §16)."""
        return self._at(z)[0]

    @takes_arrays
    @compiled
    def participation_multiplier(self, z: NumbersLike) -> jax.Array:
        """Ω(z) in the paper's scale: it rises from 0 to (1 + λ) times the group's weight, where participation binds."""
        return (1 + self.budget_multiplier) * jnp.clip(self._at(z)[1], 0.0, self.group_weight)

    @takes_arrays
    @compiled
    def participation_gain(self, z: NumbersLike) -> jax.Array:
        """g(z) − o(z) ≥ 0, money: (1 − s)/κ · ∫ (V − t) from a binding type (beyond §3); a rebate included."""
        types, shape = self._rows(z)
        ends, (nodes, weights) = self.rule.ends, unit_rule(_NODES)
        piece = piece_of(ends, types)
        start = pick(ends, piece)
        reach = types - start
        inside = start + beside(nodes, reach) * reach
        virtual = self._read(inside.reshape(-1, *self.eta.shape))[0].reshape(inside.shape)
        line = self.line()
        target = self.eta if line is None else line.at(self.eta, inside)
        more = reach * jnp.sum(beside(weights, reach) * (virtual - target), axis=0)
        gain = (1 - self.share) / self.market.risk_capacity * (pick(self.gains, piece) + more)
        return (gain if self.rebate is None else gain + self.rebate).reshape(shape)

    @property
    def binding_intervals(self) -> jax.Array:
        """The types whose participation constraint binds. Shape (G, intervals, 2), in order, NaN where a group has
        fewer; under jit as many rows as there are pieces."""
        return trimmed(_intervals(self)[0])

    @property
    def bunching_intervals(self) -> jax.Array:
        """Types beside those that all buy, or all sell, the same; likewise."""
        return trimmed(_intervals(self)[1])

    def certificate(self) -> Certificate:
        """What `certify` tells of it."""
        return _certificate(self)

    def _at(self, z):
        types, shape = self._rows(z)
        return tuple(part.reshape(shape) for part in self._read(types))

    def _read(self, types):
        return rule_at(self.rule, self.market.endowment.sides(), self.group_weight, types)

    def _rows(self, z):
        """z, clipped to the supports, as (n, G, ...), and the shape to give back."""
        law = self.market.endowment
        z = jnp.clip(z, law.lower, law.upper)
        shape = jnp.broadcast_shapes(z.shape, self.eta.shape)
        return jnp.broadcast_to(z, shape).reshape(-1, *self.eta.shape), shape


@compiled
def _intervals(mechanism):
    rule = mechanism.rule
    return runs(rule.ends, rule.binds), runs(rule.ends, bunches(rule), rule.virtual)


@compiled
def _certificate(mechanism):
    prepared, _ = aimed(mechanism.market, mechanism.market.prepared(), mechanism.alpha)
    return certificate_of(mechanism, prepared)
