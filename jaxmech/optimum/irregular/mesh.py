"""Supports cut into pieces on which V and Ω are smooth: where the law changes, and where V changes its kind.

V is the target line where participation binds, constant on bunches, and elsewhere ψ at an Ω that is constant there. The
law's landmarks and an even grid are cuts from the beginning. Once V is known others are put to where it changes its
kind. So sums over Gauss nodes become integrals, and nothing of a grid is left.
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
from jaxmech.numerics.polynomials import rule_of, unit_rule
from jaxmech.numerics.search import count_below, pick
from jaxmech.optimum.irregular.programme import Point, path_end
from jaxmech.optimum.target_lines import TargetLine

NODES = 5  # of each piece
ALIKE = 1e-7  # parts of w, and of a support
_EVEN = 64  # pieces at least
_CHANGES, _CUTS = 24, 32  # places at which V may change its kind, and cuts there; beyond them pieces stay as they are
_CLOSE = 1e-7  # part of the support by which cuts must differ
_MOVED = 1e-3  # part by which a cut may move
_FOLD = 1e-4  # part of a support that V may be off where the law jumps
_HALVINGS = 50
_NOBODY = 1e-14  # of the mean density: below it V would be rounding over next to nothing


class Mesh(NamedTuple):
    """Nodes in order, (nodes, G, ...), and the law there."""

    types: jax.Array
    widths: jax.Array  # weights of ∫ dz
    density: jax.Array
    below: jax.Array  # F
    above: jax.Array  # 1 − F


def fixed_cuts(law: Law) -> jax.Array:
    """Where pieces end in any case, (n, G, ...): what is told twice lies at the upper end."""
    landmarks, lower, upper = law.landmarks(), law.lower, law.upper
    landmarks = jnp.broadcast_to(landmarks, (len(landmarks), *jnp.shape(lower)))
    width = upper - lower
    even = lower + width * beside(np.linspace(0, 1, _EVEN + 1)[1:-1], lower)
    away = jnp.min(jnp.abs(even[:, None] - landmarks), axis=1) > 0.1 / _EVEN * width
    told = jnp.sort(jnp.concatenate([landmarks, jnp.where(away, even, upper)]), axis=0)
    return jnp.sort(jnp.where(_apart(told, _CLOSE * width), told, upper), axis=0)


def _apart(cuts, least):
    """Whether sorted cuts differ from the one before; the first does."""
    return jnp.concatenate([jnp.ones_like(cuts[:1], bool), jnp.diff(cuts, axis=0) > least])


def no_cuts(fixed: jax.Array) -> jax.Array:
    """Cuts besides, in parts of the supports, (n, G, ...): 1, where they cut nothing."""
    return jnp.ones((_CUTS, *fixed.shape[1:]), fixed.dtype)


def piece_ends(fixed: jax.Array, cuts: jax.Array) -> jax.Array:
    """Ends of the pieces, (pieces + 1, G, ...); those without length lie at the upper end."""
    inside = jnp.where(cuts < 1, fixed[0] + cuts * (fixed[-1] - fixed[0]), fixed[-1])
    return jnp.sort(jnp.concatenate([fixed, inside]), axis=0)


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


class Seen(NamedTuple):
    """A rule on nodes in order, so many in each piece: (nodes, G, ...)."""

    mesh: Mesh
    virtual: jax.Array
    omega: jax.Array


class Kinds(NamedTuple):
    """What V is at each node, (nodes, ...); where neither it is ψ at Ω."""

    binds: jax.Array  # the target line
    bunched: jax.Array


def kinds(point: Point, widths: jax.Array) -> Kinds:
    """The line where g = 0 on both sides of a node, a bunch where V stays on one of them.

    At the end of the path what binds has by far the larger multiplier, beside what g is some cells away, and to how V
    rises elsewhere.

    Args:
      widths: of the nodes' cells in parts of the support.
    """
    before, after, product = widths[:-1], widths[1:], path_end(widths.dtype)
    apart = jnp.maximum(before, after)
    tight = point.participation * jnp.concatenate([before[:1], apart, after[-1:]]) > product ** (1 / 6) * point.gain
    level = point.monotonicity * apart > product**0.5 * point.steps
    contact, no = tight[1:] & tight[:-1], jnp.zeros_like(tight[:1])
    return Kinds(contact, (jnp.concatenate([no, level]) | jnp.concatenate([level, no])) & ~contact)


class _Node(NamedTuple):
    """What is known of nodes, (n, G, ...)."""

    types: jax.Array
    virtual: jax.Array  # V, in units of the asset
    start: jax.Array  # V, or of the first and the last node of a piece V at the end of that
    stop: jax.Array
    omega: jax.Array
    beyond: jax.Array  # whether V is above the target line
    binds: jax.Array
    bunched: jax.Array

    @property
    def free(self):
        return ~(self.binds | self.bunched)

    def at(self, place):
        return jax.tree.map(lambda part: pick(part, place), self)


def _folded(before, after, width):
    """Whether ψ falls from one piece to the next, where the law jumps: there is a bunch too short for the nodes."""
    return before.free & after.free & (before.stop - after.start > _FOLD * width)


def _differ(before, after, width):
    """Whether V changes its kind from node to node."""
    other = (before.binds != after.binds) | (before.bunched != after.bunched)
    leap = before.free & after.free & ~before.beyond & after.beyond
    steps = before.bunched & after.bunched & (after.virtual - before.virtual > ALIKE * width)
    return other | leap | steps | _folded(before, after, width)


def moved_cuts(
    sides: Sides,
    fixed: jax.Array,
    nodes: Seen,
    kind: Kinds,
    eta: jax.Array,
    weight: jax.Array,
    line: TargetLine,
) -> jax.Array:
    """The cuts where V changes its kind, in the sense of `no_cuts`; no derivatives."""
    (mesh, virtual, omega), width = nodes, fixed[-1] - fixed[0]
    pieces = virtual.reshape(-1, NODES, *virtual.shape[1:])
    beyond = virtual > line.at(eta, mesh.types)
    start, stop = (
        pieces.at[:, place].set(jnp.einsum("j,pj...->p...", jnp.asarray(end, virtual.dtype), pieces))
        for place, end in zip((0, -1), rule_of(NODES).ends, strict=True)
    )
    start, stop = start.reshape(virtual.shape), stop.reshape(virtual.shape)
    of_nodes = _Node(mesh.types, virtual, start, stop, omega, beyond, kind.binds, kind.bunched)
    before, after = (jax.tree.map(lambda part, way=way: part[way], of_nodes) for way in (np.s_[:-1], np.s_[1:]))
    changes = jnp.cumsum(_differ(before, after, width) & (mesh.widths[1:] > 0), axis=0, dtype=int)
    wanted = beside(np.arange(1, _CHANGES + 1), eta).astype(int) + jnp.zeros_like(changes[:1])
    place = jnp.minimum(count_below(changes, wanted), len(virtual) - 2)
    both = [_change(of_nodes, place, width, early) for early in (True, False)]
    low, high, curve = jax.tree.map(lambda *parts: jnp.concatenate(parts), *both)
    root = _root(sides, low, high, curve, weight, line, eta)
    near = 1e-6 * (high - low)  # where nothing changes sign it ends beside either end
    exists = jnp.concatenate([wanted <= changes[-1]] * 2) & (root > low + near) & (root < high - near)
    beside_fixed = jnp.min(jnp.abs(root[:, None] - fixed), axis=1) <= _CLOSE * width
    part = jnp.sort(jnp.where(exists & ~beside_fixed, (root - fixed[0]) / width, 1.0), axis=0)
    return jnp.sort(jnp.where(_apart(part, _CLOSE), part, 1.0), axis=0)[:_CUTS]


def with_lone(cuts: jax.Array, before: jax.Array) -> jax.Array:
    """These cuts, and of those before what has moved to none of them: where nothing changes a cut does no harm."""
    lone = jnp.min(jnp.abs(before[:, None] - cuts), axis=1) > _MOVED
    spare = jnp.flip(jnp.sort(jnp.where(lone, before, 1.0), axis=0), axis=0)
    return jnp.sort(jnp.where(cuts < 1, cuts, spare), axis=0)


class _Curve(NamedTuple):
    """ψ at Ω less what it crosses upwards: a level, or the target line."""

    omega: jax.Array
    level: jax.Array
    to_level: jax.Array


def _change(nodes, place, width, early):
    """Where to look for the change between node `place` and the next, and what crosses 0 there.

    Where ψ leaps over the line some of that lies in between, where ψ falls a bunch, and between a bunch and the line ψ
    at the Ω of the bunch: then there are two crossings, of which this is the early or the late one.
    """
    left, right = nodes.at(place), nodes.at(place + 1)
    folded = _folded(left, right, width)
    one, other, beyond = (left, right, right.start) if early else (right, left, left.stop)
    omega = jnp.where(one.free | (one.bunched & ~other.free), one.omega, other.omega)
    to = jax.tree.map(lambda a, b: jnp.where(one.free, b, a), one, other)
    curve = _Curve(omega, jnp.where(folded, beyond, to.virtual), folded | to.bunched)
    low, high = nodes.at(jnp.maximum(place - 1, 0)), nodes.at(jnp.minimum(place + 2, len(nodes.types) - 1))
    return low.types, high.types, curve


def _root(sides, low, high, curve, weight, line, eta):
    """By halving."""

    def halved(_, bounds):
        low, high = bounds
        middle = 0.5 * (low + high)
        density, below, above = law_at(sides, middle)
        crossed = jnp.where(curve.to_level, curve.level, line.at(eta, middle))
        short = density * (middle - crossed) + rent(weight, curve.omega, below, above) < 0
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    low, high = lax.fori_loop(0, _HALVINGS, halved, (low, high))
    return 0.5 * (low + high)
