"""The optimum at given weights as a convex programme on nodes: V of every type, by an interior point.

Seen from one group, with t(z) = η + σ(z − c) and y = ψ at Ω (beyond §3, §16), the best V minimises

    ½ E (V − Z)² + w [g(l) + ∫ (1 − F)(V − t) dz],    g' = V − t,    g ≥ 0,    V nondecreasing,

g what participating adds to what there is outside, times κ/(1 − s). The multipliers of g ≥ 0, summed up, are Ω; those
of V' ≥ 0 are what irons V. Nothing is assumed of the law, nor of where they bind. All groups move together, η by (*),
so that there is one loop. Nodes are those of Gauss on pieces of the supports: where V is smooth on each of them the
sums are integrals.

Steps are found by dynamic programming over (V, g) from node to node, in O(nodes) and with nothing that cancels. Units
are those of each support, from 0 to 1. Shapes are (nodes, G, ...).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import total
from jaxmech.optimum.multipliers import arrowhead_solve, system_residual

MAX_STEPS = 90
_FEASIBLE = 1e-13  # part of what the start lacks of the conditions of the optimum that may be left
_LEAST_WEIGHT = 1e-9  # at w = 0 nothing holds g(l) down


class Programme(NamedTuple):
    """What is to be solved; x = (z − l)/(h − l)."""

    places: jax.Array  # x
    widths: jax.Array  # weights of ∫ dx
    mass: jax.Array  # and of E
    above: jax.Array  # 1 − F
    tilt: jax.Array  # t − η
    weight: jax.Array  # w, (G, ...); like all below
    lower: jax.Array
    width: jax.Array  # h − l
    risk_capacity: jax.Array
    count: jax.Array

    def mean(self, virtual: jax.Array) -> jax.Array:
        """E V in units of the asset."""
        return self.lower + self.width * jnp.sum(self.mass * virtual, axis=0)

    def gain(self, virtual: jax.Array, eta: jax.Array, first: jax.Array) -> jax.Array:
        """g at the edges of the nodes' cells, (nodes + 1, ...), from that of the lowest type."""
        steps = self.widths * (virtual - self.tilt - eta)
        return first + jnp.concatenate([jnp.zeros_like(first)[None], jnp.cumsum(steps, axis=0)])


class Point(NamedTuple):
    """V, g and η with their multipliers: where the programme stands."""

    virtual: jax.Array
    gain: jax.Array  # (nodes + 1, ...)
    steps: jax.Array  # of V from node to node, (nodes − 1, ...)
    eta: jax.Array  # (G, ...)
    participation: jax.Array  # of g ≥ 0, by which Ω rises, (nodes + 1, ...)
    monotonicity: jax.Array  # of V' ≥ 0, (nodes − 1, ...)

    @property
    def omega(self) -> jax.Array:
        """Ω at the nodes."""
        return jnp.cumsum(self.participation, axis=0)[:-1]


_POSITIVE = ("gain", "steps", "participation", "monotonicity")


class Spring(NamedTuple):
    """A convex function of g, or of the steps of V, to second order."""

    slope: jax.Array
    curvature: jax.Array


def _after(number, like):
    return jnp.concatenate([jnp.broadcast_to(number, like[:1].shape), like])


def direction(programme: Programme, point: Point, of_gain: Spring, of_steps: Spring) -> tuple[jax.Array, ...]:
    """Newton's step (dV, dg, dη) from a point for the objective and these springs, with η of the V that it leads to."""
    widths, mass, eta = programme.widths, programme.mass, point.eta
    # In front the step there, behind it what dη = 1 makes of V: g falls with t, and nothing else changes.
    nothing = jnp.zeros_like(widths)
    slope = mass * (point.virtual - programme.places) + programme.weight * widths * programme.above
    pull = of_gain.slope.at[0].add(programme.weight)
    fall = _after(0.0, of_steps.slope)
    link, drift = _after(0.0, of_steps.curvature), jnp.stack([nothing, nothing + 1], axis=1)
    slope, pull, fall = (jnp.stack([part, 0 * part], axis=1) for part in (slope, pull, fall))
    virtual, gain = _least(widths, mass, of_gain.curvature, link, slope, pull, fall, drift)
    mean = programme.mean(point.virtual) + programme.width * jnp.sum(mass * virtual[:, 0], axis=0)
    probability = jnp.sum(mass * virtual[:, 1], axis=0)  # dm/dη
    residual = system_residual(programme.lower + programme.width * eta, mean, programme.risk_capacity, programme.count)
    move = arrowhead_solve(residual, probability, programme.risk_capacity, programme.count) / programme.width
    return virtual[:, 0] + virtual[:, 1] * move, gain[:, 0] + gain[:, 1] * move, move


def _least(widths, mass, stiff, link, slope, pull, fall, drift):
    """(dV, dg) of the least Σ ½ mass dV² + slope dV + ½ stiff dg² + pull dg + ½ link (dV − dV₋)² + fall (dV − dV₋),
    where dg = dg₋ + widths (dV − drift). The last four are (nodes, cases, ...), what is solved for at once.

    Backwards the least of all that follows, ½ (A dV² + 2B dV dg + C dg²) + a dV + b dg; forwards where it is.
    """

    def back(after, here):
        (square, cross, curve, own, of_gain), (width, link, fall, drift, mass, stiff, slope, pull) = after, here
        free = square + width * (2 * cross + width * curve)
        held, lever = free + link, cross + width * curve
        force = own + width * of_gain + fall - lever * width * drift
        before = (
            link * free / held + mass,
            link * lever / held,
            (curve * square - cross**2 + curve * link) / held + stiff,
            link * force / held - fall + slope,
            of_gain - lever * force / held - curve * width * drift + pull,
        )
        return before, (held, lever, force)

    widths, mass, stiff, link = (part[:, None] for part in (widths, mass, stiff, link))
    zero = jnp.zeros_like(slope[:1])
    ahead = (_after(0.0, mass[:-1]), stiff[:-1], jnp.concatenate([zero, slope[:-1]]), pull[:-1])
    last = mass[-1], jnp.zeros_like(mass[-1]), stiff[-1], slope[-1], pull[-1]
    start, rules = lax.scan(back, last, (widths, link, fall, drift, *ahead), reverse=True, unroll=2)
    *_, curve, _, of_gain = start

    def forth(before, here):
        (virtual, gain), (held, lever, force, width, link, drift) = before, here
        virtual = (link * virtual - lever * gain - force) / held
        gain = gain + width * (virtual - drift)
        return (virtual, gain), (virtual, gain)

    first = -of_gain / curve
    _, (virtual, gain) = lax.scan(forth, (jnp.zeros_like(first), first), (*rules, widths, link, drift), unroll=2)
    return virtual, jnp.concatenate([first[None], gain])


def path_end(dtype: Any) -> float:
    """The product of a constraint and its multiplier that counts as 0: 1e-18; float32: 1e-8."""
    return float(jnp.finfo(dtype).eps) ** 1.15


def interior_point(programme: Programme) -> tuple[Point, jax.Array]:
    """The solution: a primal-dual path to where g, V' and their multipliers have products next to 0.

    Returns:
      (Point, the mean product where it ended, ∞ where it did not); no derivatives.
    """
    programme = programme._replace(weight=jnp.maximum(programme.weight, _LEAST_WEIGHT))
    start = _start(programme)
    tolerance = path_end(programme.mass.dtype)

    def step(state):
        point, product, reach, off, running, count = state
        aim = product * jnp.where(reach > 0.9, 0.05, jnp.where(reach > 0.5, 0.2, 0.5))
        held = (point.gain, point.participation), (point.steps, point.monotonicity)
        springs = (Spring(-aim / value, multiplier / value) for value, multiplier in held)
        virtual, gain, eta = direction(programme, point, *springs)
        steps = jnp.diff(virtual, axis=0)
        participation, monotonicity = (
            (aim - multiplier * move) / value - multiplier
            for (value, multiplier), move in zip(held, (gain, steps), strict=True)
        )
        moves = Point(virtual, gain, steps, eta, participation, monotonicity)
        rooms = [_room(getattr(point, name), getattr(moves, name)) for name in _POSITIVE]
        new_reach = jnp.minimum(1.0, 0.995 * jnp.min(jnp.stack(rooms), axis=0))
        moved = jax.tree.map(lambda old, move: old + new_reach * move, point, moves)
        point = jax.tree.map(lambda old, new: jnp.where(running, new, old), point, moved)
        product, off = _product(point), off * (1 - new_reach)
        running = running & ~((product <= tolerance) & (off <= _FEASIBLE))
        return point, product, new_reach, off, running, count + 1

    def unfinished(state):
        *_, running, count = state
        return jnp.any(running) & (count < MAX_STEPS)

    product = _product(start)
    one = jnp.ones_like(product)
    state = start, product, 0 * one, one, one > 0, 0
    point, product, _, _, running, _ = lax.while_loop(unfinished, step, state)
    return point, jnp.where(running, jnp.inf, product)


def _start(programme):
    """Strictly inside: V a little steeper than z, and g above 0."""
    size, axes = len(programme.places), programme.places.ndim - 1
    virtual = programme.places + 0.1 * jnp.linspace(0, 1, size).reshape(-1, *(1,) * axes)
    mean, count, risk_capacity = programme.mean(virtual), programme.count, programme.risk_capacity
    others = total(count * risk_capacity) - risk_capacity
    eta = (risk_capacity * (total(count * mean) - mean) / others - programme.lower) / programme.width
    gain = programme.gain(virtual, eta, jnp.zeros_like(eta))
    gain = gain - jnp.min(gain, axis=0) + 0.1
    multiplier = 0.1 + jnp.broadcast_to(programme.weight, eta.shape)
    steps = jnp.diff(virtual, axis=0)
    return Point(virtual, gain, steps, eta, 0 * gain + multiplier / (size + 1), 0 * steps + 0.1 * multiplier)


def _room(value, move):
    """How much of a move positive numbers allow, of the batch's shape."""
    falls = move < 0
    return jnp.min(jnp.where(falls, -value / jnp.where(falls, move, -1.0), jnp.inf), axis=(0, 1))


def _product(point):
    """The mean of the products with multipliers."""
    both = point.gain * point.participation, point.steps * point.monotonicity
    pairs = sum(part.shape[0] * part.shape[1] for part in both)
    return sum(jnp.sum(part, axis=(0, 1)) for part in both) / pairs


def settled(programme: Programme, point: Point) -> Point:
    """The solution, differentiable in the programme: one step more from where the path has ended, which stays."""
    point = lax.stop_gradient(point)
    gain = programme.gain(point.virtual, point.eta, point.gain[0])
    rise, stiff = gain - lax.stop_gradient(gain), point.participation / point.gain
    of_gain = Spring(stiff * rise - point.participation, stiff)
    of_steps = Spring(-point.monotonicity, point.monotonicity / point.steps)
    virtual, gain, eta = direction(programme, point, of_gain, of_steps)
    return point._replace(
        virtual=point.virtual + virtual,
        eta=point.eta + eta,
        participation=point.participation - stiff * (rise + gain),
    )
