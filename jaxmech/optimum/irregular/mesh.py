"""Supports cut into pieces on which V and Ω are smooth: at what the law tells, and at where V changes its kind.

Each panel between two landmarks of the law, or two points of an even grid, is cut twice more, in thirds to begin with.
Once V is known the cuts go to where it changes over from ψ at one Ω to the target line or to a bunch, at most two places
a panel. So sums over Gauss nodes become integrals, and nothing of a grid is left.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.arrays import mirrored_types
from jaxmech.endowments import Law, Sides
from jaxmech.endowments.landmarks import beside
from jaxmech.endowments.panels import known_to
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.numerics.search import pick
from jaxmech.optimum.irregular.programme import Point
from jaxmech.optimum.target_lines import TargetLine

NODES = 4  # of each piece
_EVEN = 32  # panels at least
_CLOSE = 1e-6  # part of the support by which landmarks must differ
_NARROW = 1e-4  # part of a panel that a piece must be
ALIKE = 1e-7  # parts of w, and of a support
_HALVINGS = 45
_TIGHT, _LEVEL = 1e-3, 1e-9  # at the end of the path products are 1e-18
_NOBODY = 1e-14  # of the mean density: below it V would be rounding over next to nothing


class Mesh(NamedTuple):
    """Nodes in order, (nodes, G, ...), and the law there."""

    types: jax.Array
    widths: jax.Array  # weights of ∫ dz
    density: jax.Array
    below: jax.Array  # F
    above: jax.Array  # 1 − F


def panel_ends(law: Law) -> jax.Array:
    """Ends of the panels, (panels + 1, G, ...); what the law tells twice lies at the upper end."""
    landmarks, lower, upper = law.landmarks(), law.lower, law.upper
    landmarks = jnp.broadcast_to(landmarks, (len(landmarks), *jnp.shape(lower)))
    width = upper - lower
    even = lower + width * beside(np.linspace(0, 1, _EVEN + 1)[1:-1], lower)
    apart = jnp.concatenate([jnp.ones_like(landmarks[:1], bool), jnp.diff(landmarks, axis=0) > _CLOSE * width])
    away = jnp.min(jnp.abs(even[:, None] - landmarks), axis=1) > 0.1 / _EVEN * width
    inside = apart & (upper - landmarks > _CLOSE * width)
    ends = jnp.concatenate([jnp.where(inside, landmarks, upper), jnp.where(away, even, upper), upper[None]])
    return jnp.sort(ends, axis=0)


def thirds(ends: jax.Array) -> jax.Array:
    """The cuts to begin with, parts of each panel, (2, panels, G, ...)."""
    third = jnp.ones_like(ends[1:]) / 3
    return jnp.stack([third, 2 * third])


def piece_ends(ends: jax.Array, cuts: jax.Array) -> jax.Array:
    """Ends of the pieces, (3 panels + 1, G, ...)."""
    inside = ends[:-1] + cuts * jnp.diff(ends, axis=0)
    starts = jnp.stack([ends[:-1], *inside], axis=1)
    return jnp.concatenate([starts.reshape(-1, *ends.shape[1:]), ends[-1:]])


def mesh_of(sides: Sides, pieces: jax.Array, count: int = NODES) -> Mesh:
    """So many nodes in each piece, given by its ends, and the law there."""
    nodes, weights = (beside(part, pieces[0]) for part in unit_rule(count))
    lengths = jnp.diff(pieces, axis=0)[:, None]
    types, widths = (
        part.reshape(-1, *pieces.shape[1:]) for part in (pieces[:-1, None] + lengths * nodes, lengths * weights)
    )
    return Mesh(types, widths, *law_at(sides, types))


def law_at(sides: Sides, types: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """f, F and 1 − F at types of shape (n, G, ...). Where there is next to nobody f is a little more."""
    found = sides.ratios(mirrored_types(types, types, types.ndim - 1))
    density = jnp.maximum(found.density[:, 0], known_to(_NOBODY, types.dtype) / sides.width[0])
    return density, found.cdf[:, 0], found.cdf[:, 1]


def rent(weight: jax.Array, omega: jax.Array, below: jax.Array, above: jax.Array) -> jax.Array:
    """wF − Ω, as exact next to h as next to l: f times what ψ at Ω has over z."""
    return (weight - omega) * below - omega * above


class Kinds(NamedTuple):
    """What V is at each node, (nodes, ...); where neither it is ψ at Ω."""

    binds: jax.Array  # the target line
    bunched: jax.Array


def kinds(point: Point, widths: jax.Array) -> Kinds:
    """What binds has by far the larger multiplier, as steep as V is: the line where g = 0 on both sides of a node, a bunch
    where V stays on one of them.

    Args:
      widths: of the nodes' cells in parts of the support.
    """
    before, after = widths[:-1], widths[1:]
    apart = jnp.maximum(before, after)
    tight = point.participation * jnp.concatenate([before[:1], apart, after[-1:]]) > _TIGHT * point.gain
    level = point.monotonicity * apart > _LEVEL * point.steps
    contact, no = tight[1:] & tight[:-1], jnp.zeros_like(tight[:1])
    return Kinds(contact, (jnp.concatenate([no, level]) | jnp.concatenate([level, no])) & ~contact)


class _Node(NamedTuple):
    """What is known of nodes, (panels, a few, G, ...)."""

    types: jax.Array
    virtual: jax.Array  # in units of the asset
    omega: jax.Array
    binds: jax.Array
    bunched: jax.Array

    @property
    def free(self):
        return ~(self.binds | self.bunched)

    def at(self, place):
        return jax.tree.map(lambda part: jnp.take_along_axis(part, place[:, None], axis=1)[:, 0], self)

    def differs(self, width):
        """From the one before."""
        before, after = (jax.tree.map(lambda part, way=way: part[:, way], self) for way in (np.s_[:-1], np.s_[1:]))
        other = (before.binds != after.binds) | (before.bunched != after.bunched)
        leap = before.free & after.free & (after.omega - before.omega > ALIKE)
        return other | leap | before.bunched & after.bunched & (after.virtual - before.virtual > ALIKE * width)


def moved_cuts(
    sides: Sides,
    ends: jax.Array,
    mesh: Mesh,
    point: Point,
    kind: Kinds,
    eta: jax.Array,
    weight: jax.Array,
    line: TargetLine,
) -> jax.Array:
    """The cuts where V changes its kind, (2, panels, G, ...); no derivatives.

    Args:
      point: with V in units of the asset.
    """
    count = 3 * NODES
    nodes = _Node(mesh.types, point.virtual, point.omega, kind.binds, kind.bunched)
    nodes = jax.tree.map(lambda part: part.reshape(-1, count, *part.shape[1:]), nodes)
    wide = jnp.concatenate([ends[1:] > ends[:-1], jnp.zeros_like(ends[:1], bool)])  # the panel, and the one behind it
    nodes = jax.tree.map(lambda part: _with_neighbours(part, wide[1:]), nodes)
    differs = nodes.differs(ends[-1] - ends[0])
    first = jnp.argmax(differs, axis=1)
    last = count - jnp.argmax(differs[:, ::-1], axis=1)
    both = [_change(nodes, place, ends, early) for place, early in ((first, True), (last, False))]
    low, high, curve = jax.tree.map(lambda *parts: jnp.stack(parts), *both)
    root = _root(sides, low, high, curve, weight, line, eta)
    length, near = jnp.diff(ends, axis=0), 1e-6 * (high - low)  # where nothing changes sign it ends beside either
    part = (root - ends[:-1]) / jnp.where(length > 0, length, 1.0)
    inside = (root > low + near) & (root < high - near) & (part > _NARROW) & (part < 1 - _NARROW)
    found = jnp.any(differs, axis=1) & inside
    return _cuts(part, found)


def _with_neighbours(part, follows):
    """With the last node of the panel before in front, and the first of the next behind."""
    before = jnp.concatenate([part[:1, :1], part[:-1, -1:]])
    after = jnp.concatenate([part[1:, :1], part[-1:, -1:]])
    return jnp.concatenate([before, part, jnp.where(follows[:, None], after, part[:, -1:])], axis=1)


class _Curve(NamedTuple):
    """ψ at Ω less what it crosses upwards: a level, or the target line."""

    omega: jax.Array
    level: jax.Array
    to_level: jax.Array


def _change(nodes, place, ends, early):
    """Where to look for the change between node `place` and the next, and what crosses 0 there.

    Between two that are ψ at different Ω lies the line, between a bunch and the line ψ at the Ω of the bunch: then there
    are two crossings, of which this is the early or the late one.
    """
    one, other = nodes.at(place), nodes.at(place + 1)
    if not early:
        one, other = other, one
    omega = jnp.where(one.free | (one.bunched & ~other.free), one.omega, other.omega)
    to = jax.tree.map(lambda a, b: jnp.where(one.free, b, a), one, other)
    low = nodes.at(jnp.maximum(place - 1, 0)).types
    high = nodes.at(jnp.minimum(place + 2, 3 * NODES + 1)).types
    curve = _Curve(omega, to.virtual, to.bunched)
    return jnp.maximum(low, ends[:-1]), jnp.minimum(high, ends[1:]), curve


def _root(sides, low, high, curve, weight, line, eta):
    """By halving."""

    def halved(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        density, below, above = (
            part.reshape(middle.shape) for part in law_at(sides, middle.reshape(-1, *middle.shape[2:]))
        )
        crossed = jnp.where(curve.to_level, curve.level, line.at(eta, middle))
        short = density * (middle - crossed) + rent(weight, curve.omega, below, above) < 0
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, high = lax.fori_loop(0, _HALVINGS, halved, (low, high))
    return 0.5 * (low + high)


def _cuts(part, found):
    """Both where there are two, one and the middle of the longer side where there is one, else thirds."""
    first, last = part
    two = found[0] & found[1] & (last - first > _NARROW)
    one = jnp.where(found[0], first, last)
    with_middle = jnp.where(one > 0.5, jnp.stack([0.5 * one, one]), jnp.stack([one, 0.5 * (1 + one)]))
    third = jnp.ones_like(first) / 3
    cuts = jnp.where(found[0] | found[1], with_middle, jnp.stack([third, 2 * third]))
    return jnp.where(two, part, cuts)
