"""A curve over the support of a law given by panels, and its ironed version: where it falls it is pooled (theory §14).

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

from jaxmech.endowments.sides import LeftTail
from jaxmech.numerics.isotonic import Pools, isotonic
from jaxmech.numerics.search import count_below, first_reached, pick, runs
from jaxmech.optimum.ironing.curves import Crossing, Curve, crossing

_POLISHES = 40
_ROUNDS = 32  # in which the bunches that a law allows for are polished, at most
_MERGERS = 100


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
    where: Located


FamilyBunches = tuple[Bunches | None, ...]  # of each family of laws, None for those that are regular
Bunching = FamilyBunches | None  # None where all are


class Standing(NamedTuple):
    """Bunches and the law at their ends, starts before stops, (2 most, ...)."""

    bunches: Bunches
    types: jax.Array
    tail: LeftTail


def _both(one, other):
    """Two trees of arrays as one, along the first axis."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), one, other)


def _mean_slope(at):
    """The level of bunches from the curve at their ends, starts before stops; and their measure."""
    rise, mass = (jnp.diff(part.reshape(2, -1, *part.shape[1:]), axis=0)[0] for part in (at.integral, at.measure))
    return rise / jnp.where(mass > 0, mass, 1.0), mass


def located(curve: Curve) -> Located:
    """The bunches of a curve: isotonic regression on its nodes, polished, and merged while they overlap.

    No derivatives: where there are some to be kept away, of a `still` curve.
    """
    (values, _), integrals, rounding = curve.node_values(), curve.node_integrals(), curve.rounding()
    slope, linked = _pooled_pieces(curve, values, rounding)

    def step(state):
        *_, linked, count = state
        first, last, exists, number = runs(linked, curve.law.bunches)
        roughly = pick(slope, jnp.minimum(first, len(slope) - 1))
        level = jnp.where(count == 0, roughly, _chord(curve, values, integrals, first, last))
        found = _polished(curve, values, rounding, first, last, level, exists)
        linked, merged = _merged(curve, *found)
        return Located(*found, (number > curve.law.bunches)[None]), merged, linked, count + 1

    def unfinished(state):
        _, merged, _, count = state
        return jnp.any(merged) & (count < _MERGERS)

    shapes = jax.eval_shape(step, (None, None, linked, 0))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes[:2])
    start = nothing[0], jnp.any(linked) | nothing[1], linked, 0
    return lax.while_loop(unfinished, step, start)[0]


def _pooled_pieces(curve, values, rounding):
    """Slopes of the lower convex hull of C over M at the nodes, and which pieces lie in bunches; (nodes − 1, ...).

    A piece lies in one where the hull leaves nodes out, or where the curve falls from node to node. Panels of many
    nodes show no bunch narrower than some of them but where the curve falls: every third is enough for the hull.
    """
    slope, mass = curve.pieces()
    slope = jnp.where(mass > 0, slope, values[:-1])
    rounding = jnp.maximum(rounding[1:], rounding[:-1])
    pooled, begins, inside = _pools(slope, mass, rounding, curve.count // 6)
    # Bunches that share a node are told apart.
    apart = jnp.concatenate([jnp.zeros_like(inside[:1]), inside[:-1]]) & begins
    linked = (inside & ~apart) | (jnp.diff(values, axis=0) < -rounding)
    # No η reaches levels so high.
    return pooled, linked & (pooled < curve.law.upper + 1e6 * curve.span)


def _pools(slope, mass, rounding, few):
    """`isotonic` of pieces, a few that follow each other taken as one."""
    if few == 1:
        return isotonic(slope, mass, rounding)
    parts = (jnp.concatenate([part, jnp.zeros_like(part[: -len(part) % few])]) for part in (slope, mass, rounding))
    slopes, masses, rounding = (part.reshape(-1, few, *part.shape[1:]) for part in parts)
    whole = jnp.sum(masses, axis=1)
    mean = jnp.sum(slopes * masses, axis=1) / jnp.where(whole > 0, whole, 1.0)
    mean = jnp.where(whole > 0, mean, slopes[:, 0])
    pools = isotonic(mean, whole, jnp.max(rounding, axis=1))
    level, begins, apart = (jnp.repeat(part, few, axis=0)[: len(slope)] for part in pools)
    first = (np.arange(len(slope)) % few == 0).reshape(-1, *(1,) * (slope.ndim - 1))
    return Pools(level, begins & first, apart)


def _bunch_of_nodes(first, exists, size):
    """Which bunch each node lies in or is next above, and the nodes' numbers, both (nodes, ...)."""
    number = jnp.arange(size).reshape((-1,) + (1,) * (first.ndim - 1)) + jnp.zeros_like(first[:1])
    return jnp.maximum(count_below(jnp.where(exists, first, size), number, strictly=False) - 1, 0), number


def _chord(curve, values, integrals, first, last):
    """Mean slope of the integral over the measure between two nodes; halfway between their values at a jump.

    Kept between the values before and behind, lest polishing walk off into the next bunch.
    """
    rise, mass = (pick(part, last) - pick(part, first) for part in integrals)
    level = jnp.where(mass > 0, rise / jnp.where(mass > 0, mass, 1.0), 0.5 * (pick(values, first) + pick(values, last)))
    before, after = pick(values, jnp.maximum(first - 1, 0)), pick(values, jnp.minimum(last + 1, curve.size - 1))
    level = jnp.where((first > 0) & (level < before), before, level)
    return jnp.where((last < curve.size - 1) & (level > after), after, level)


def _merged(curve, first, last, exists, ends):
    """Links between the nodes of bunches and of those that overlap, (nodes − 1, ...); and which merge with the next."""
    types = jnp.where(ends.pinned, pick(curve.law.cuts, ends.cut), curve.type_at(ends.panel, ends.t))
    start, stop = jnp.split(types, 2)
    merged = exists[:-1] & exists[1:] & (stop[:-1] > start[1:])
    bunch, number = (part[:-1] for part in _bunch_of_nodes(first, exists, curve.size))
    behind = jnp.concatenate([jnp.where(merged, first[1:], last[:-1]), last[-1:]])
    until = jnp.maximum(pick(behind, bunch), pick(last, bunch))
    return pick(exists, bunch) & (pick(first, bunch) <= number) & (number < until), merged


def standing(curve: Curve, where: Located, types: jax.Array) -> Standing:
    """The bunches that have their ends at these types, (2 most, ...), seen from inside the panels that they lie in.

    Levels and what is summed over bunches do not change to first order with the ends. So where the types are held fixed
    all first derivatives are right, those of the ends too; the next ones where the types themselves move as told.
    """
    ends, cuts = where.ends, curve.law.cuts
    types = jnp.where(ends.pinned, pick(cuts, ends.cut), types)
    tail, density, slope = curve.tail(ends.panel, types)
    here = curve.point(tail, density, slope, types)
    level, _ = _mean_slope(here)
    level = level + lax.stop_gradient(_between(level, here.value, ends.pinned) - level)
    step = (_both(level, level) - here.value) / jnp.where(here.slope > 0, here.slope, jnp.inf)
    moved = jnp.where(ends.pinned, types, types + (step - lax.stop_gradient(step)))
    return Standing(_bunches(where, moved, level), types, tail)


def _between(level, values, pinned):
    """The level, known to rounding over the measure of its bunch, as that of the curve at the ends that are crossings:
    what is left of rounding must not make the ironed curve fall."""
    (start, stop), (start_pinned, stop_pinned) = jnp.split(values, 2), jnp.split(pinned, 2)
    level = jnp.where(start_pinned, level, jnp.maximum(level, start))
    return jnp.where(stop_pinned, level, jnp.minimum(level, stop))


def located_standing(curve: Curve) -> Standing:
    """The bunches of a curve, without derivatives."""
    where = located(curve)
    return standing(curve, where, curve.type_at(where.ends.panel, where.ends.t))


def bunches_at(curve: Curve, where: Located) -> Bunches:
    """The bunches that are located there, with derivatives: those of the ends are known after one look, and make the
    level right to third order."""
    still = lax.stop_gradient(curve.type_at(where.ends.panel, where.ends.t))
    return standing_again(curve, standing(curve, where, still).bunches).bunches


def standing_again(curve: Curve, bunches: Bunches) -> Standing:
    """The same of bunches that are known, held where they are."""
    return standing(curve, bunches.where, _ends_of(curve, bunches))


def seen_again(curve: Curve, bunches: Bunches) -> Standing:
    """Bunches as they are given, and the law at their ends."""
    types = _ends_of(curve, bunches)
    return Standing(bunches, types, curve.tail(bunches.where.ends.panel, types)[0])


def _ends_of(curve, bunches):
    """Starts and stops of the bunches; something finite for those that do not exist."""
    _, _, exists, ends, _ = bunches.where
    nowhere = lax.stop_gradient(curve.type_at(ends.panel, ends.t))
    return jnp.where(_both(exists, exists), _both(bunches.start, bunches.stop), nowhere)


def _bunches(where, types, level):
    start, stop, level = (jnp.where(where.exists, part, jnp.inf) for part in (*jnp.split(types, 2), level))
    return Bunches(start, stop, level, where)


def bunch_of(bunches: Bunches, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The bunch that each z, (m, ...), lies in or is next above, and whether it lies in it."""
    bunch = count_below(bunches.start, z, strictly=False) - 1
    stop = pick(bunches.stop, jnp.maximum(bunch, 0))
    return jnp.maximum(bunch, 0), (bunch >= 0) & (z <= stop)


def pooled(bunches: Bunches, z: jax.Array, raw: jax.Array) -> jax.Array:
    """The ironed curve at z, (m, ...), from the curve itself there."""
    bunch, inside = bunch_of(bunches, z)
    return jnp.where(inside, pick(jnp.where(bunches.where.exists, bunches.level, 0.0), bunch), raw)


def ironed_nodes(curve: Curve, bunches: Bunches) -> jax.Array:
    """The ironed curve at its nodes; no derivatives."""
    (first, last, exists, *_), (values, _) = bunches.where, curve.node_values()
    bunch, number = _bunch_of_nodes(first, exists, len(values))
    inside = (pick(first, bunch) <= number) & (number <= pick(last, bunch)) & pick(exists, bunch)
    return jnp.where(inside, pick(bunches.level, bunch), values)


def crossings(curve: Curve, nodes: jax.Array, level: jax.Array) -> Crossing:
    """Where the ironed curve, whose values at its nodes these are, first reaches levels, (m, ...); no derivatives."""
    return crossing(curve, first_reached(nodes, level), level)


def reached(curve: Curve, nodes: jax.Array, level: jax.Array) -> jax.Array:
    """The type at which the ironed curve first reaches a level, (m, ...); an end of the support if none.

    Without derivatives: see `settled`.
    """
    found = crossings(curve, nodes, level)
    return jnp.where(found.pinned, pick(curve.law.cuts, found.cut), curve.type_at(found.panel, found.t))


def _polished(curve, values, rounding, first, last, level, exists):
    """First and last nodes, existence and crossings of the bunches that are roughly known; no derivatives.

    A few at a time, for most laws one: they have fewer by far than they allow for.
    """
    final, most = curve.size - 1, len(exists)
    few = -(-most // _ROUNDS)
    like = jnp.zeros_like(level[:few])
    nowhere = Crossing(jnp.zeros(like.shape, int), like, like < 0, jnp.zeros(like.shape, int))
    nowhere = jax.tree.map(lambda part: _both(part, part), nowhere)

    def begun(place):
        """The bunches from that place on before they are polished."""
        first_, last_, level_, exists_ = (
            lax.dynamic_slice_in_dim(part, place, few) for part in (first, last, level, exists)
        )
        return first_, last_, level_, nowhere, jnp.where(exists_, jnp.inf, like), like, exists_

    def step(state):
        place, count, own, found = state
        here = jnp.minimum(place, most - few)
        new = _polished_once(curve, values, rounding, final, *own)
        found = jax.tree.map(lambda all, some: _put(all, some, here, most), found, new[:-1])
        ended = ~jnp.any(new[-1]) | (count + 1 >= _POLISHES)
        place = place + jnp.where(ended, few, 0)
        following = begun(jnp.minimum(place, most - few))
        own = jax.tree.map(lambda next, this: jnp.where(ended, next, this), following, new)
        return place, jnp.where(ended, 0, count + 1), own, found

    def unfinished(state):
        return state[0] < number

    number = jnp.max(jnp.sum(exists, axis=0, dtype=int), initial=0)  # those that exist come first
    ends = jax.tree.map(lambda part: jnp.concatenate([part[:1]] * (2 * most)), nowhere)
    far = jnp.where(exists, jnp.inf, 0.0).astype(values.dtype)
    found = first, last, level, ends, far, jnp.zeros_like(far)
    first, last, level, ends, move, near = lax.while_loop(unfinished, step, (0, 0, begun(0), found))[-1]
    # Where rounding is all there is, far out in a tail, a bunch may fade away.
    low, high = jnp.split(curve.type_at(ends.panel, ends.t), 2)
    about = (pick(values, first) >= level - near) & (pick(values, last) <= level + near)
    exists = exists & (move <= near) & (low < high) & about
    order = jnp.argsort(jnp.where(exists, first, curve.size), axis=0)
    ends = jax.tree.map(lambda part: jnp.concatenate([pick(end, order) for end in jnp.split(part, 2)]), ends)
    return pick(first, order), pick(last, order), pick(exists, order), ends


def _put(all, some, place, most):
    """`all`, of one or two rows a bunch, with those of some bunches from their place on."""
    for k, part in enumerate(jnp.split(some, len(all) // most)):
        all = lax.dynamic_update_slice_in_dim(all, part, place + k * most, 0)
    return all


def _polished_once(curve, values, rounding, final, first, last, level, ends, far, near, running):
    """One step of bunches, (few, ...): their nodes one further, where they must, their ends and their levels."""
    before, after = pick(values, jnp.maximum(first - 1, 0)), pick(values, jnp.minimum(last + 1, final))
    start, stop = pick(values, first), pick(values, last)
    down = running & (first > 0) & (before >= level)
    up = running & (last < final) & (after <= level)
    # An end on the wrong side of the level has gone too far, unless the curve comes back between the nodes.
    behind, ahead = pick(values, jnp.minimum(first + 1, final)), pick(values, jnp.maximum(last - 1, 0))
    fore = running & (start < level) & (first < last) & (start <= behind + pick(rounding, first))
    back = running & (stop > level) & (last > first) & (stop >= ahead - pick(rounding, last))
    first = first + jnp.where(down, -1, jnp.where(fore, 1, 0))
    last = last + jnp.where(up, 1, jnp.where(back, -1, 0))
    place, sought, levels = _both(first, last + 1), _both(running, running), _both(level, level)
    known = pick(values, jnp.maximum(place - 1, 0)) < levels, pick(values, jnp.minimum(place, final)) >= levels
    found = crossing(curve, place, levels, ends.t, known, sought)
    ends = jax.tree.map(lambda new, old: jnp.where(sought, new, old), found, ends)
    new, mass = _mean_slope(curve.at_place(ends.panel, ends.t))
    new = jnp.where(running, new, level)
    move = jnp.where(running, jnp.abs(new - level), far)
    # Integrals round by about a quarter of the tolerance: over the measure the level is known to that and no further.
    tolerance = curve.tolerance
    near = jnp.where(running, curve.near + 0.25 * tolerance / jnp.maximum(mass, jnp.finfo(mass.dtype).tiny), near)
    still = ~(down | up | fore | back)
    stalled = still & (move > 0.5 * far) & (move < near)
    return first, last, new, ends, move, near, running & (move > tolerance) & ~stalled
