"""The weight and the cuts: what the programme is solved at."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.optimum.budget import left_over
from jaxmech.optimum.first_best import first_best_revenue, first_best_surplus
from jaxmech.optimum.irregular.mesh import Kinds, Seen, kinds, mesh_of, moved_cuts, no_cuts, piece_ends, with_lone
from jaxmech.optimum.irregular.programme import Point, Programme, interior_point, settled
from jaxmech.optimum.irregular.rule import Rule, lines_of, moments_of, rule_from
from jaxmech.optimum.outcomes import Interim

MAX_STEPS = 24
_MOVING = 3  # steps in which w is far off; later no cut is given up: some come and go for ever
_NEAR = 1e-5  # part of the first-best surplus: of smaller R − R_min the sign is not believed while cuts move
_LEEWAY = 1e-3  # by which Newton's steps in w may leave their bracket, for the same reason
_EARNED = 1e-9  # to what the budget is met
_SETTLED = 1e-10  # part of the support to which cuts are found


class Found(NamedTuple):
    """The optimum at a weight."""

    eta: jax.Array  # (G, ...)
    rule: Rule
    gains: jax.Array  # see `gains_from`
    moments: Interim


class _Cut:
    """A market on the nodes that these cuts leave."""

    def __init__(self, market: Prepared, fixed: jax.Array, cuts: jax.Array) -> None:
        self.market, self.fixed, self.line = market, fixed, lines_of(market)
        self.pieces = piece_ends(fixed, cuts)
        self.mesh = mesh_of(market.sides, self.pieces)

    def programme(self, weight):
        market, mesh, line = self.market, self.mesh, self.line
        return Programme(
            (mesh.types - market.lower) / market.width,
            mesh.widths / market.width,
            mesh.widths * mesh.density + jnp.finfo(mesh.types.dtype).tiny,
            mesh.above,
            line.slope * (mesh.types - line.centre) / market.width,
            jnp.broadcast_to(market.weights(weight), market.mean.shape),
            market.lower,
            market.width,
            market.risk_capacity,
            market.count,
        )

    def found(self, weight, point) -> Found:
        """The optimum, from where the path has ended."""
        market, programme = self.market, self.programme(weight)
        kind, eta, nodes = self._seen(programme, point, settled(programme, point))
        target = self.line.at(eta, self.mesh.types)
        rule = rule_from(market.sides, self.pieces, nodes, target, programme.weight, kind)
        moments, gains = moments_of(market, rule, nodes, eta, self.line)
        return Found(eta, rule, gains, moments)

    def new_cuts(self, weight, point):
        """Where V changes its kind."""
        programme = self.programme(weight)
        kind, eta, nodes = self._seen(programme, point, point)
        return moved_cuts(self.market.sides, self.fixed, nodes, kind, eta, programme.weight, self.line)

    def _seen(self, programme, end, point):
        """Kinds of the nodes, η and the nodes in units of the asset, from the end of the path and the point there.

        At w = 0 V is z, also where next to nobody is and the path, which needs some weight, would not know.
        """
        nothing = programme.weight <= 0
        kind = Kinds(*(part & ~nothing for part in kinds(end, programme.widths)))
        eta, virtual = (self.market.lower + self.market.width * part for part in (point.eta, point.virtual))
        # Derivatives stay those of the point.
        virtual = virtual + jnp.where(nothing, lax.stop_gradient(self.mesh.types - virtual), 0.0)
        omega = lax.stop_gradient(jnp.where(nothing, 0.0, point.omega))
        # Multipliers change by what g changes times next to infinity, all rounding: Ω by how V does, bunches excepted.
        by_virtual = programme.weight * self.mesh.below + self.mesh.density * (self.mesh.types - virtual)
        change = jnp.where(kind.bunched, point.omega, by_virtual)
        omega = omega + (change - lax.stop_gradient(change))
        return kind, eta, Seen(self.mesh, virtual, omega)


@differentiable_behind
def solve_on_nodes(
    market: Prepared, fixed: jax.Array, floor: jax.Array
) -> tuple[jax.Array, Found, jax.Array, jax.Array]:
    """The smallest w ≥ floor with R(w) ≥ R_min, and the optimum there; w = 1 where there is none.

    With welfare weights u stands in place of w.

    Args:
      market: Prepared.
      fixed: cuts, see `fixed_cuts`.
      floor: see `budget.solve_within_budget`.

    Returns:
      (w, Found, error, steps): error is by how much w and the cuts would still move, those in parts of the supports; ∞
      where no path arrived. Differentiable once: what binds does not change to first order, nor do cuts matter.
    """
    end = _search(*lax.stop_gradient((market, fixed, floor)))
    at = _Cut(market, fixed, end.cuts)
    earned = left_over(market, at.found(end.weight, end.point).moments)
    moved = jnp.where(end.binds, (earned - lax.stop_gradient(earned)) / jnp.where(end.binds, end.slope, 1.0), 0.0)
    # Where there is no budget to meet it is the floor, and moves with it.
    weight = jnp.where(end.weight > lax.stop_gradient(floor), end.weight - moved, floor)
    error = jnp.where(market.possible, end.error, jnp.inf)
    return weight, at.found(weight, end.point), error, end.steps


class _State(NamedTuple):
    weight: jax.Array
    cuts: jax.Array
    point: Point  # there
    slope: jax.Array  # of R there
    low: jax.Array  # weights with R < R_min and R > R_min, beyond rounding
    high: jax.Array
    at_floor: jax.Array  # R − R_min at the floor
    binds: jax.Array  # whether R = R_min is sought
    error: jax.Array
    running: jax.Array
    steps: jax.Array
    count: jax.Array | int


def _search(market, fixed, floor) -> _State:
    """Newton's steps for R = R_min, safe because R rises in w; the cuts move along."""
    surplus, at_first_best = first_best_surplus(market), first_best_revenue(market)
    at_first_best = at_first_best if market.target is None else at_first_best - market.target
    first_best = jnp.all(jnp.broadcast_to(market.weights(floor), market.mean.shape) <= 0, axis=0)
    eps = float(jnp.finfo(floor.dtype).eps)

    def step(state):
        at = _Cut(market, fixed, state.cuts)
        point, product = interior_point(at.programme(state.weight))
        earned, slope = jax.jvp(
            lambda weight: left_over(market, at.found(weight, point).moments),
            (state.weight,),
            (jnp.ones_like(state.weight),),
        )
        earned = jnp.where((state.count == 0) & first_best, at_first_best, earned)
        new = _next_weight(state, floor, earned, slope, _NEAR * surplus)
        cuts = at.new_cuts(state.weight, point)
        cuts = jnp.where(state.count < _MOVING, cuts, with_lone(cuts, state.cuts))
        move = jnp.max(jnp.abs(cuts - state.cuts), axis=(0, 1))
        error = jnp.where(product < jnp.inf, move + jnp.abs(new.weight - state.weight), jnp.inf)
        there = (jnp.abs(new.weight - state.weight) <= 64 * eps) & (move <= max(_SETTLED, 64 * eps))
        there = there & (~new.binds | (jnp.abs(earned) <= _EARNED * surplus))
        last = state.count + 1 == MAX_STEPS
        on = state.running & ~there & ~last
        new = new._replace(
            weight=jnp.where(on, new.weight, state.weight),
            cuts=jnp.where(on, cuts, state.cuts),
            point=point,
            slope=slope,
            error=error,
            running=on,
            steps=state.steps + state.running,
            count=state.count + 1,
        )
        keep = lambda old, new: jnp.where(state.running, new, old)  # noqa: E731
        return jax.tree.map(keep, state, new)._replace(count=new.count)

    weight, cuts, no = floor, no_cuts(fixed), jnp.zeros_like(floor, bool)
    shape = jax.eval_shape(lambda: interior_point(_Cut(market, fixed, cuts).programme(weight))[0])
    point = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
    on = ~no & market.possible
    start = _State(weight, cuts, point, weight, floor, jnp.ones_like(floor), floor, ~no, floor, on, 0 * no, 0)
    return lax.while_loop(lambda state: jnp.any(state.running), step, start)


def _next_weight(state, floor, earned, slope, near):
    """Where to look next: at w = 1, where R is largest, if the floor earns too little; then by Newton's steps."""
    weight, count = state.weight, state.count
    low = jnp.where(earned < -near, weight, state.low)
    high = jnp.where(earned > near, weight, state.high)
    newton = weight - earned / slope
    # Cuts that are not yet in place move R a little.
    new = jnp.where((newton >= low - _LEEWAY) & (newton <= high + _LEEWAY), newton, 0.5 * (low + high))
    # From w = 1 along R ≈ R₀ + (R₁ − R₀) 4w/(1 + w)², which uniform laws have.
    share = jnp.clip(-state.at_floor / jnp.where(earned > 0, earned - state.at_floor, 1.0), 0.0, 1.0)
    bottom = 4 * floor / (1 + floor) ** 2
    aim = bottom + share * (1 - bottom)
    between = aim / (2 - aim + 2 * jnp.sqrt(1 - aim))
    new = jnp.where(count == 0, 1.0, jnp.where(count == 1, between, new))
    binds = state.binds & ~((count == 0) & (earned >= 0)) & ~((count == 1) & (earned < 0))
    return state._replace(
        weight=jnp.where(binds, jnp.clip(new, floor, 1.0), weight),
        low=low,
        high=high,
        at_floor=jnp.where(count == 0, earned, state.at_floor),
        binds=binds,
    )
