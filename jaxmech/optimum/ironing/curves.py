"""Curves over the support of a law given by panels, and where they cross a level."""

from functools import cached_property
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.endowments import Panels
from jaxmech.endowments.panels import Cuts, end_values, known_to, tail_at
from jaxmech.endowments.sides import LeftTail
from jaxmech.numerics.search import pick

_ALIKE = 1e-8  # densities on both sides of a cut that differ by this part are the same
_UNRESOLVED = 1e-13  # part of the largest density on a panel that rounding may hide
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


class Curve:
    """Base of the curves: a law's panels and, in the classes below it, what is to be ironed.

    Args:
      law: Panels.
      table: what `tabulated` knows of them.
      parameters: what else the curve depends on, arrays that broadcast against the law's fields.

    Its nodes are those of the panels and, so that no jump escapes, both sides of each cut; `types`, `density`, `cdf`
    and `widths`, 0 at the cuts, are (nodes, ...).
    """

    def __init__(self, law: Panels, table: Cuts, *parameters: jax.Array) -> None:
        self.law, self.table, self.parameters = law, table, parameters
        t = np.pad(law.rule.nodes, 1)
        t[0], t[-1] = -1, 1
        self.t, self.count = jnp.asarray(t, law.values.dtype), len(t)
        self.size = len(t) * law.values.shape[0]

    @cached_property
    def types(self) -> jax.Array:
        return _flat(self.law.cuts[:-1, None] + self.table.half[:, None] * (1 + self.law.column(self.t)))

    @cached_property
    def widths(self) -> jax.Array:
        return _flat(self.table.half[:, None] * self.law.column(np.pad(self.law.rule.weights, 1)))

    @cached_property
    def density(self) -> jax.Array:
        return _flat(_with_ends(self.law)) + self.table.floor

    @cached_property
    def cdf(self) -> jax.Array:
        return self._at_nodes(self.table.cdf, self.table.node_cdf)

    def _at_nodes(self, cuts, nodes):
        return _flat(jnp.concatenate([cuts[:-1, None], nodes, cuts[1:, None]], axis=1))

    @cached_property
    def cdf_integral(self) -> jax.Array:
        """∫F at the nodes, (nodes, ...)."""
        return self._at_nodes(self.table.first, self.table.node_first)

    def point(self, tail: LeftTail, density: jax.Array, slope: jax.Array, z: jax.Array) -> Point:
        """The curve at z from the law there: its LeftTail, its density and the density's slope."""
        raise NotImplementedError

    def node_values(self) -> tuple[jax.Array, jax.Array]:
        """(value, measure) at the nodes, shape (nodes, ...)."""
        raise NotImplementedError

    def node_integrals(self) -> tuple[jax.Array, jax.Array]:
        """(C, M) of `Point` at the nodes, shape (nodes, ...)."""
        raise NotImplementedError

    def pieces(self) -> tuple[jax.Array, jax.Array]:
        """(slope of C over M, rise of M) from each node to the next, (nodes − 1, ...), without cancellation."""
        raise NotImplementedError

    def masses(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """∫f and ∫(F − F at its start) from each node to the next, the length and F at the start, (nodes − 1, ...)."""
        values, half = self.law.values, self.table.half[:, None]
        parts = [
            half**times * jnp.einsum("ej,pj...->pe...", jnp.asarray(matrix, values.dtype), values, precision="highest")
            for times, matrix in enumerate(self.law.rule.between, 1)
        ]
        # Differences of the types themselves would round.
        parts.append(half * self.law.column(jnp.diff(self.t)))
        mass, excess, length = (
            _flat(jnp.pad(part, [(0, 0), (0, 1)] + [(0, 0)] * (part.ndim - 2)))[:-1] for part in parts
        )
        return jnp.maximum(mass, 0.0), jnp.maximum(excess, 0.0), length, self.cdf[:-1]

    @property
    def span(self) -> jax.Array:
        """How far the curve goes, roughly: what small falls are small against."""
        raise NotImplementedError

    @property
    def tolerance(self) -> jax.Array:
        """To what the curve is known where the density is not small."""
        return 8 * jnp.finfo(self.types.dtype).eps * (self.span + jnp.abs(self.law.lower) + jnp.abs(self.law.upper))

    @property
    def near(self) -> jax.Array:
        """Levels that differ by less are the same."""
        return known_to(1e-6, self.types.dtype) * self.span

    def rounding(self) -> jax.Array:
        """Falls that may be those of polynomials rather than of the law, (nodes, ...)."""
        raise NotImplementedError

    def density_error(self) -> jax.Array:
        """To what the density is known, (nodes, ...)."""
        error = _density_error(self.law)[:, None]
        return _flat(jnp.broadcast_to(error, (len(error), self.count, *error.shape[2:])))

    def still(self) -> Self:
        """The same curve without derivatives."""
        return type(self)(*lax.stop_gradient((self.law, self.table, *self.parameters)))

    def tail(self, panel: jax.Array, z: jax.Array) -> tuple[LeftTail, jax.Array, jax.Array]:
        """(LeftTail, density, slope) of the law at z, seen from inside the given panel."""
        start, stop = pick(self.law.cuts, panel), pick(self.law.cuts, panel + 1)
        wide = stop > start
        return tail_at(
            self.table, panel, jnp.where(wide, (2 * z - start - stop) / jnp.where(wide, stop - start, 1.0), -1)
        )

    def at(self, panel: jax.Array, z: jax.Array) -> Point:
        """The curve at z, seen from inside the given panel."""
        return self.point(*self.tail(panel, z), z)

    def at_place(self, panel: jax.Array, t: jax.Array) -> Point:
        """The curve at place t of the given panel."""
        return self.point(*tail_at(self.table, panel, t), self.type_at(panel, t))

    def type_at(self, panel: jax.Array, t: jax.Array) -> jax.Array:
        """The type at place t, from −1 to 1, of a panel."""
        return pick(self.law.cuts, panel) + pick(self.table.half, panel) * (t + 1)


def _flat(nodes):
    return nodes.reshape(-1, *nodes.shape[2:])


def _density_error(law):
    """To what the density is known on each panel, (panels, ...)."""
    return law.density_error + known_to(_UNRESOLVED, law.values.dtype) * jnp.max(law.values, axis=1)


def _with_ends(law):
    """The density at the nodes of each panel and at its ends: one value at a cut without a jump, that of the panel with
    less to round."""
    values, (left, right) = law.values, end_values(law)
    before, after = right[:-1], left[1:]
    error = _density_error(law)
    alike = jnp.abs(after - before) <= known_to(_ALIKE, values.dtype) * (after + before) + 10 * (error[1:] + error[:-1])
    largest = jnp.max(values, axis=1)
    one = jnp.where(largest[:-1] <= largest[1:], before, after)
    left = left.at[1:].set(jnp.where(alike, one, after))
    right = right.at[:-1].set(jnp.where(alike, one, before))
    return jnp.concatenate([left[:, None], values, right[:, None]], axis=1)


def crossing(
    curve: Curve,
    place: jax.Array,
    level: jax.Array,
    t: jax.Array | None = None,
    known: tuple[Any, Any] = (np.True_, np.True_),
    sought: jax.Array | bool = True,
) -> Crossing:
    """Where a curve crosses a level upwards between its nodes place − 1 and place, from 0 to the number of nodes.

    Beyond them that is an end of the support. No derivatives.

    Args:
      t: where in the panel to begin; halfway where that does not lie between the nodes.
      known: whether the curve is known to be below the level at node place − 1, and not below it at node place.
      sought: where it is False nothing is sought.
    """
    before, after = jnp.maximum(place - 1, 0), jnp.minimum(place, curve.size - 1)
    count = jnp.full_like(before, curve.count)
    left, panel = lax.div(before, count), lax.div(after, count)
    pinned = (left != panel) | (before == after) | ~jnp.asarray(sought)
    low, high = curve.t[lax.rem(before, count)], curve.t[lax.rem(after, count)]
    low = jnp.where(pinned, high, low)
    middle = 0.5 * (low + high)
    begin = middle if t is None else jnp.where((low < t) & (t < high), t, middle)
    found = _root(curve, panel, begin, low, high, level, known)
    return Crossing(panel, found, pinned, jnp.where(place == curve.size, panel + 1, panel))


def _root(curve, panel, t, low, high, level, known):
    """The place between low and high in a panel where the curve has this value, by bracketed Newton from t on.

    Where the curve is not known to cross the level towards an end, halving would end there, in many passes.
    """
    below, above = known
    half = pick(curve.table.half, panel)
    eps = jnp.finfo(half.dtype).eps

    def step(state):
        t, low, high, _, count = state
        here = curve.at_place(panel, t)
        short, slope = here.value < level, here.slope * half
        low, high = jnp.where(short, t, low), jnp.where(short, high, t)
        newton = t - (here.value - level) / jnp.where(slope > 0, slope, 1.0)
        # The step after so short a step of Newton's would be rounding; so is that it leaves the bracket.
        short_step = jnp.abs(newton - t) <= eps**0.6
        safe = (slope > 0) & (short_step | ((newton >= low) & (newton <= high)))
        halved = jnp.where(short & ~above, high, jnp.where(short | below, 0.5 * (low + high), low))
        new = jnp.where(safe, jnp.clip(newton, low, high), halved)
        return new, low, high, jnp.abs(new - t) > jnp.where(safe, eps**0.6, 4 * eps), count + 1

    def unfinished(state):
        *_, running, count = state
        return jnp.any(running) & (count < _STEPS)

    return lax.while_loop(unfinished, step, (t, low, high, high > low, 0))[0]


def settled(curve: Curve, where: Crossing, level: jax.Array) -> jax.Array:
    """The type at a crossing. It moves with the cut that it is pinned to, else as the curve says, to first order."""
    z = lax.stop_gradient(curve.type_at(where.panel, where.t))
    here = curve.at(where.panel, z)
    step = (level - here.value) / jnp.where(here.slope > 0, here.slope, jnp.inf)
    return jnp.where(where.pinned, pick(curve.law.cuts, where.cut), z + (step - lax.stop_gradient(step)))
