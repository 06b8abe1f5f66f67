"""A curve over the support of a law given by panels, and its ironed version: where it falls it is pooled.

The ironed version is the slope of the lower convex hull of the curve's integral over a measure. It is the curve itself
but for bunches [z₁, z₂], on which it is constant at the level c, and there, C the integral and M the measure,

    curve(z₁) = c = curve(z₂) = (C(z₂) − C(z₁)) / (M(z₂) − M(z₁)),

unless the curve jumps up over c at z₁ or z₂. Bunches are found on the nodes of the panels by isotonic regression, then
polished. Batches along the trailing axes; no host, and next to no work where nothing falls.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.endowments.panels import tail_at
from jaxmech.endowments.search import count_below, isotonic, pick, runs

_RAMP = 1e-12  # falls from node to node below this part of the value are rounding
_ALIKE = 1e-8  # densities on both sides of a cut that differ by this part are the same
_POLISHES = 40
_STEPS = 60


class Point(NamedTuple):
    """A curve at one type."""

    value: jax.Array  # what is to be ironed
    slope: jax.Array  # of the value in z
    integral: jax.Array  # C = ∫ value d measure
    measure: jax.Array  # M


class Crossing(NamedTuple):
    """Where a curve crosses a level: at place t of a panel, or `pinned` to a cut, where it jumps over the level."""

    panel: jax.Array
    t: jax.Array
    pinned: jax.Array
    cut: jax.Array


class Located(NamedTuple):
    """Where the bunches of a curve are, in order; those that do not exist come last. Nothing here has derivatives."""

    first: jax.Array  # node, (most, ...)
    last: jax.Array  # node, (most, ...)
    exists: jax.Array  # (most, ...)
    ends: Crossing  # starts, then stops: (2 most, ...)
    overflow: jax.Array  # whether there are more than the law allows for, (1, ...)


class Bunches(NamedTuple):
    """Bunches in order, shape (most, ...). Those that do not exist come last, with start, stop and level +∞."""

    start: jax.Array
    stop: jax.Array
    level: jax.Array
    panels: list  # of start and of stop
    exists: jax.Array


class Curve:
    """Base of the curves: a law's panels and, in the classes below it, what is to be ironed.

    Args:
      law: Panels.
      parameters: what else the curve depends on, arrays that broadcast against the law's fields.

    Its nodes are those of the panels and, so that no jump escapes, both sides of each cut; `types`, `density`, `cdf` and
    `widths`, 0 at the cuts, are (nodes, ...).
    """

    def __init__(self, law, *parameters):
        self.law, self.parameters, self.table = law, parameters, law.tabulated()
        t, weights = np.pad(law.rule.nodes, 1), np.pad(law.rule.weights, 1)
        t[0], t[-1] = -1, 1
        self.t, self.count, half = jnp.asarray(t, law.values.dtype), len(t), self.table.half[:, None]
        self.types = _flat(law.cuts[:-1, None] + half * (1 + law.column(t)))
        self.widths = _flat(half * law.column(weights))
        self.density = _flat(_with_ends(law))
        self.cdf = self._at_nodes(self.table.cdf, self.table.node_cdf)
        self.size = len(self.types)

    def _at_nodes(self, cuts, nodes):
        return _flat(jnp.concatenate([cuts[:-1, None], nodes, cuts[1:, None]], axis=1))

    @property
    def cdf_integral(self):
        """∫F at the nodes, (nodes, ...)."""
        return self._at_nodes(self.table.first, self.table.node_first)

    def point(self, tail, density, slope, z) -> Point:
        """The curve at z from the law there: its LeftTail, its density and the density's slope."""
        raise NotImplementedError

    def node_values(self):
        """(value, measure) at the nodes, shape (nodes, ...)."""
        raise NotImplementedError

    def still(self) -> "Curve":
        """The same curve without derivatives."""
        return type(self)(*lax.stop_gradient((self.law, *self.parameters)))

    def tail(self, panel, z):
        """(LeftTail, density, slope) of the law at z, seen from inside the given panel."""
        start, stop = pick(self.law.cuts, panel), pick(self.law.cuts, panel + 1)
        wide = stop > start
        return tail_at(
            self.table, panel, jnp.where(wide, (2 * z - start - stop) / jnp.where(wide, stop - start, 1.0), -1)
        )

    def at(self, panel, z) -> Point:
        """The curve at z, seen from inside the given panel."""
        return self.point(*self.tail(panel, z), z)

    def at_place(self, panel, t) -> Point:
        """The curve at place t of the given panel."""
        return self.point(*tail_at(self.table, panel, t), self.type_at(panel, t))

    def type_at(self, panel, t):
        """The type at place t, from −1 to 1, of a panel."""
        return pick(self.law.cuts, panel) + pick(self.table.half, panel) * (t + 1)


def _flat(nodes):
    return nodes.reshape(-1, *nodes.shape[2:])


def _with_ends(law):
    """The density at the nodes of each panel and at its ends: one value at a cut without a jump, that of the panel with
    less to round."""
    values = law.values
    ends = jnp.einsum("ej,pj...->ep...", jnp.asarray(law.rule.ends, values.dtype), values, precision="highest")
    # Rounding may reach below a density that vanishes there.
    left, right = jnp.maximum(ends, jnp.min(values, axis=1) * 1e-3)
    before, after = right[:-1], left[1:]
    alike = jnp.abs(after - before) <= _ALIKE * (after + before)
    largest = jnp.max(values, axis=1)
    one = jnp.where(largest[:-1] <= largest[1:], before, after)
    left = left.at[1:].set(jnp.where(alike, one, after))
    right = right.at[:-1].set(jnp.where(alike, one, before))
    return jnp.concatenate([left[:, None], values, right[:, None]], axis=1)


def crossing(curve, place, level, sought=True) -> Crossing:
    """Where a curve crosses a level upwards between its nodes place − 1 and place, from 0 to the number of nodes.

    Beyond them that is an end of the support. Nothing is sought where `sought` is False. No derivatives.
    """
    before, after = jnp.maximum(place - 1, 0), jnp.minimum(place, curve.size - 1)
    left, panel = before // curve.count, after // curve.count
    pinned = (left != panel) | (before == after) | ~jnp.asarray(sought)
    low, high = curve.t[before % curve.count], curve.t[after % curve.count]
    t = _root(curve, panel, jnp.where(pinned, high, low), high, level)
    return Crossing(panel, t, pinned, jnp.where(place == curve.size, panel + 1, panel))


def _root(curve, panel, low, high, level):
    """The place between low and high in a panel where the curve has this value, by bracketed Newton."""
    half = pick(curve.table.half, panel)
    eps = jnp.finfo(half.dtype).eps

    def step(state):
        t, low, high, _, count = state
        here = curve.at_place(panel, t)
        short, slope = here.value < level, here.slope * half
        low, high = jnp.where(short, t, low), jnp.where(short, high, t)
        newton = t - (here.value - level) / jnp.where(slope > 0, slope, 1.0)
        safe = (newton >= low) & (newton <= high) & (slope > 0)
        new = jnp.where(safe, newton, 0.5 * (low + high))
        # The step after so short a step of Newton's would be rounding.
        return new, low, high, jnp.abs(new - t) > jnp.where(safe, eps**0.6, 4 * eps), count + 1

    def unfinished(state):
        *_, running, count = state
        return jnp.any(running) & (count < _STEPS)

    return lax.while_loop(unfinished, step, (0.5 * (low + high), low, high, high > low, 0))[0]


def settled(curve, where, level):
    """The type at a crossing. It moves with the cut that it is pinned to, else as the curve says, to first order."""
    z = lax.stop_gradient(curve.type_at(where.panel, where.t))
    here = curve.at(where.panel, z)
    step = (level - here.value) / jnp.where(here.slope > 0, here.slope, jnp.inf)
    return jnp.where(where.pinned, pick(curve.law.cuts, where.cut), z + (step - lax.stop_gradient(step)))


def _both(one, other):
    """Two trees of arrays as one, along the first axis."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), one, other)


def _level_between(curve, panels, types):
    """The level of the bunches between the types, starts before stops, seen from inside the panels."""
    at = curve.at(panels, types)
    rise, mass = (jnp.diff(part.reshape(2, -1, *part.shape[1:]), axis=0)[0] for part in (at.integral, at.measure))
    return rise / jnp.where(mass > 0, mass, 1.0)


def located(curve) -> Located:
    """The bunches of a curve: isotonic regression on its nodes, polished."""
    curve = curve.still()
    values, weights = curve.node_values()
    ramped = values + jnp.cumsum(_RAMP * (curve.law.width + jnp.abs(values)), axis=0)
    pooled = isotonic(ramped, weights)
    moved = pooled != ramped
    linked = (pooled[1:] == pooled[:-1]) & (moved[1:] | moved[:-1])
    first, last, exists, number = runs(linked, curve.law.bunches)
    return Located(
        *_polished(curve, values, first, last, pick(pooled, first), exists), (number > curve.law.bunches)[None]
    )


class Ironed:
    """A curve ironed where its bunches are located.

    Attributes:
      bunches: Bunches, differentiable.
    """

    def __init__(self, curve, where):
        self.curve, self._still, self._where = curve, curve.still(), where
        self.bunches = _bunches(curve, where)

    def _nodes(self):
        """The ironed curve at its nodes, no derivatives."""
        (values, _), (first, last, exists, *_) = self._still.node_values(), self._where
        number = jnp.broadcast_to(jnp.arange(len(values)).reshape((-1,) + (1,) * (values.ndim - 1)), values.shape)
        bunch = jnp.maximum(count_below(jnp.where(exists, first, len(values)), number, strictly=False) - 1, 0)
        inside = (pick(first, bunch) <= number) & (number <= pick(last, bunch)) & pick(exists, bunch)
        return lax.cummax(jnp.where(inside, lax.stop_gradient(pick(self.bunches.level, bunch)), values), axis=0)

    def bunch_of(self, z):
        """The bunch that each z, (m, ...), lies in or is next above, and whether it lies in it."""
        bunch = count_below(self.bunches.start, z, strictly=False) - 1
        stop = pick(self.bunches.stop, jnp.maximum(bunch, 0))
        return jnp.maximum(bunch, 0), (bunch >= 0) & (z <= stop)

    def value(self, z):
        """The ironed curve at z, (m, ...)."""
        bunch, inside = self.bunch_of(z)
        panel, _ = self.curve.law.place(z)
        return jnp.where(
            inside, pick(jnp.where(self.bunches.exists, self.bunches.level, 0.0), bunch), self.curve.at(panel, z).value
        )

    def crossings(self):
        """The function that finds where the ironed curve first reaches levels, (m, ...); no derivatives."""
        nodes = self._nodes()

        def found(level):
            level = lax.stop_gradient(level)
            return crossing(self._still, count_below(nodes, level), level)

        return found

    def reaches(self, level):
        """The type at which the ironed curve first reaches a level, (m, ...); an end of the support if none."""
        return settled(self.curve, self.crossings()(level), level)

    def still_reaches(self):
        """The function that finds the same without derivatives."""
        find = self.crossings()

        def found(level):
            where = find(level)
            inside = self._still.type_at(where.panel, where.t)
            return jnp.where(where.pinned, pick(self._still.law.cuts, where.cut), inside)

        return found


def _bunches(curve, where):
    """The differentiable bunches that are located there.

    Levels do not change to first order with the ends, and are right to third order when the ends are to first.
    """
    ends, exists = where.ends, where.exists
    still = lax.stop_gradient(curve.type_at(ends.panel, ends.t))
    types = jnp.where(ends.pinned, pick(curve.law.cuts, ends.cut), still)
    level = _level_between(curve, ends.panel, types)
    types = settled(curve, ends, jnp.concatenate([level, level]))
    level = _level_between(curve, ends.panel, types)
    start, stop = (jnp.where(exists, end, jnp.inf) for end in jnp.split(types, 2))
    return Bunches(start, stop, jnp.where(exists, level, jnp.inf), jnp.split(ends.panel, 2), exists)


def _polished(curve, values, first, last, level, exists):
    """First and last nodes, existence and crossings of the bunches that are roughly known; no derivatives."""
    final = curve.size - 1

    def step(state):
        first, last, level, _, far, _, count = state
        before, after = pick(values, jnp.maximum(first - 1, 0)), pick(values, jnp.minimum(last + 1, final))
        down = (first > 0) & (before >= level)
        up = (last < final) & (after <= level)
        first = first + jnp.where(down, -1, jnp.where((pick(values, first) < level) & (first < last), 1, 0))
        last = last + jnp.where(up, 1, jnp.where((pick(values, last) > level) & (last > first), -1, 0))
        ends = crossing(curve, _both(first, last + 1), _both(level, level), _both(exists, exists))
        new = _level_between(curve, ends.panel, curve.type_at(ends.panel, ends.t))
        move = jnp.where(exists, jnp.abs(new - level), 0.0)
        stalled = (move > 0.5 * far) & (move < 1e-6 * curve.law.width)
        return first, last, new, ends, move, (move > tolerance) & ~stalled, count + 1

    def unfinished(state):
        *_, running, count = state
        return jnp.any(running) & (count < _POLISHES)

    tolerance = (
        8 * jnp.finfo(values.dtype).eps * (curve.law.width + jnp.abs(curve.law.lower) + jnp.abs(curve.law.upper))
    )
    both = _both(first, last)
    nowhere = Crossing(jnp.zeros_like(both), jnp.zeros(both.shape, values.dtype), both < 0, jnp.zeros_like(both))
    start = first, last, level, nowhere, jnp.where(exists, jnp.inf, 0.0), exists, 0
    first, last, level, ends, move, *_ = lax.while_loop(unfinished, step, start)
    # Where rounding is all there is, far out in a tail, a bunch may fade away.
    low, high = jnp.split(curve.type_at(ends.panel, ends.t), 2)
    exists = exists & (move <= 1e-6 * curve.law.width) & (low < high)
    order = jnp.argsort(jnp.where(exists, first, curve.size), axis=0)
    ends = jax.tree.map(lambda part: jnp.concatenate([pick(end, order) for end in jnp.split(part, 2)]), ends)
    return pick(first, order), pick(last, order), pick(exists, order), ends
