"""Ironing: virtual types where the law is not regular (theory §14; the paper's Condition 2 is not needed).

The best nondecreasing rule follows the ironed ψ⁻ = z + w F/f: the slope of the lower convex hull, over F, of

    P(z) = ∫_l^z ψ⁻ dF = z F − (1 − w) G.

It depends on the law and on w, not on η, and changes no mean: E[V] below a is as before, because a is never inside a
bunch. Rows are left and right sides, as in `virtual_types`. What is `bunching` here are the bunches of each family of
laws, None for those that are regular, or None where all are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import T
from jaxmech.endowments import Sides
from jaxmech.endowments.ratio_integrals import RatioIntegral
from jaxmech.numerics.search import count_below, pick
from jaxmech.optimum.ironing.bunching import Curves, VirtualTypes, side_by_side
from jaxmech.optimum.ironing.curves import settled
from jaxmech.optimum.ironing.hull import (
    Bunches,
    Bunching,
    FamilyBunches,
    Standing,
    bunch_of,
    bunches_at,
    crossings,
    ironed_nodes,
    located_standing,
    pooled,
    reached,
    seen_again,
    standing_again,
)

Standings = tuple[Standing | None, ...] | None


class Sums(NamedTuple):
    """Integrals up to the ends of the binding interval, (2, G, ...); c: level of a bunch.

    The last three are what ∫F²/f and bunches add, each together because only so it does not change to first order with
    the ends of the bunches. Where nothing is ironed they are None; elsewhere the first is.
    """

    square_integral: Any  # ∫_l^a F²/f
    square: Any  # to E[(c − V)²; Z < a]: w² ∫_l^a F²/f − Σ ∫ (ψ − c)² dF
    earned: Any  # to ∫_l^a F (c − V) dz: −w ∫_l^a F²/f − Σ ∫ F (c − ψ) dz
    lever: Any  # to E[(a − Z)(c − V); Z < a]: Σ ∫ z (c − ψ) dF


def still_bunching(curves: Curves) -> Standings:
    """The bunches of each family's ψ⁻, see `virtual_curves`, and the law there: `Standing`; no derivatives."""
    return None if curves is None else tuple(curve and located_standing(curve) for curve in curves)


def standing(curves: Curves, found: Bunching) -> Standings:
    """The same of bunches that are known."""
    return _both_given(standing_again, curves, found)


def bunches_of(standing: Standings) -> Bunching:
    """The bunches alone."""
    return None if standing is None else tuple(part and part.bunches for part in standing)


def bunching(curves: Curves, found: Bunching) -> Bunching:
    """The bunches that were found, with derivatives."""
    return _both_given(lambda curve, bunches: bunches_at(curve, bunches.where), curves, found)


def _both_given(function: Callable[[VirtualTypes, Bunches], T], curves: Curves, found: Bunching):
    """function(curve, bunches) of each family that has them, None for others; None where no family has."""
    if curves is None or found is None:
        return None
    pairs = zip(curves, found, strict=True)
    return tuple(None if curve is None or bunches is None else function(curve, bunches) for curve, bunches in pairs)


def ironed(sides: Sides, z: jax.Array, raw: jax.Array, bunching: Bunching) -> jax.Array:
    """The ironed ψ⁻ at z, (..., 2, G, ...), from ψ⁻ itself there: virtual types where Condition 2 fails."""

    def one(law, table, bunches, weight, z, raw):
        return ironed_by(law, bunches, z, raw)

    return raw if bunching is None else _each(one, lambda law, z, raw: raw, sides, bunching, None, z, raw)


def ironed_by(law: Any, bunches: Bunches | None, z: jax.Array, raw: jax.Array) -> jax.Array:
    """The same of one family of laws."""
    if bunches is None:
        return raw
    rows, shape = law.rows(z)
    return pooled(bunches, rows, law.rows(raw)[0]).reshape(shape)


def ironed_end(sides: Sides, target: jax.Array, found: jax.Array, weight: jax.Array, bunching: Bunching) -> jax.Array:
    """a: the type at which the ironed ψ⁻ reaches the target, (..., 2, G, ...); `found` where nothing is ironed."""

    def one(law, table, bunches, weight, target, found):
        (rows, shape), curve = law.rows(target), _curve(law, table, weight)
        still, level = curve.still(), lax.stop_gradient(rows)
        where = crossings(still, ironed_nodes(still, lax.stop_gradient(bunches)), level)
        return settled(curve, where, rows).reshape(shape)

    regular = lambda law, target, found: found  # noqa: E731
    return found if bunching is None else _each(one, regular, sides, bunching, weight, target, found)


def end_finder(sides: Sides, curves: Curves, bunching: Bunching) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The function of (target, found), (2, G, ...), that does the same without derivatives: loops call that."""
    if curves is None or bunching is None:
        return lambda target, found: found
    nodes = _both_given(ironed_nodes, curves, bunching) or ()

    def find(target, found):
        columns = zip(curves, nodes, sides.columns(target), sides.columns(found), strict=True)
        return sides.joined(
            [
                own if curve is None or at is None else reached(curve, at, aim[None])[0]
                for curve, at, aim, own in columns
            ]
        )

    return find


def sums(sides: Sides, ends: jax.Array, weight: jax.Array, curves: Curves, standing: Standings) -> Sums:
    """The sums up to the ends, (2, G, ...)."""
    if curves is None or standing is None:
        return Sums(sides.squared_ratio_integral(ends), None, None, None)
    found = []
    parts = zip(sides.families(), sides.weights(weight), curves, standing, sides.columns(ends), strict=True)
    for (law, table), weight, curve, there, own in parts:
        if there is None:
            integral = law.squared_ratio_integral_from(own, table)
            found.append(Sums(None, weight**2 * integral, -weight * integral, jnp.zeros_like(own)))
        else:
            found.append(_Ironing(curve, there).sums(own))
    return jax.tree.map(lambda *parts: sides.joined(parts), *found)


def ironed_gain(
    sides: Sides, z: jax.Array, ends: jax.Array, eta: jax.Array, raw: jax.Array, weight: jax.Array, bunching: Bunching
) -> jax.Array:
    """∫_z^end (η − ironed ψ⁻) for z ≤ end, (..., 2, G, ...); `raw` is that of ψ⁻ itself."""

    def one(law, table, bunches, weight, z, ends, eta, raw):
        curve = _curve(law, table, weight)
        return _Ironing(curve, seen_again(curve, bunches)).gain(z, ends, eta)

    regular = lambda law, z, ends, eta, raw: raw  # noqa: E731
    return raw if bunching is None else _each(one, regular, sides, bunching, weight, z, ends, eta, raw)


def faults(sides: Sides, eta: jax.Array, weight: jax.Array, bunching: Bunching) -> tuple[jax.Array, jax.Array]:
    """(largest fall of the virtual types below η from node to node, largest shortfall of the hull), (2, G, ...).

    The rule is optimal where D(z) = ∫_l^z (ψ⁻ − V) dF is never negative; looked at on all nodes of the panels.
    """

    def one(law, table, bunches, weight, eta):
        curve = _curve(law, table, weight)
        return _Ironing(curve, seen_again(curve, bunches)).faults(eta)

    return _each(one, lambda law, eta: (jnp.zeros_like(eta),) * 2, sides, bunching, weight, eta)


def bunch_ends(sides: Sides, bunching: FamilyBunches) -> tuple[jax.Array, jax.Array]:
    """(start, stop) of all bunches, (most, 2, G, ...) each; +∞ where there is none."""
    most = [part or _nothing(law) for (law, _), part in zip(sides.families(), bunching, strict=True)]
    return side_by_side(sides, [part.start for part in most]), side_by_side(sides, [part.stop for part in most])


class _Nothing(NamedTuple):
    start: jax.Array
    stop: jax.Array


def _nothing(law):
    none = jnp.full((0, *law.lower.shape), jnp.inf, law.lower.dtype)
    return _Nothing(none, none)


def _curve(law, table, weight):
    return VirtualTypes(law, table, jnp.asarray(weight, law.values.dtype))


def _each(one, regular, sides, bunching, weight, *arrays):
    """one(law, table, bunches, weight, columns) of each family, regular(law, columns) of those that are, joined."""
    weights = [weight] * len(bunching) if weight is None else sides.weights(weight)
    columns = zip(sides.families(), bunching, weights, *(sides.columns(array) for array in arrays), strict=True)
    found = [
        regular(law, *own) if bunches is None else one(law, table, bunches, weight, *own)
        for (law, table), bunches, weight, *own in columns
    ]
    return jax.tree.map(lambda *parts: sides.joined(parts), *found)


class _Ironing:
    """The ironed ψ⁻ of one family of laws given by panels."""

    def __init__(self, curve, standing):
        self.curve, self.law, self.table, (self.weight,) = curve, curve.law, curve.table, curve.parameters
        bunches, types, tail = standing
        self.bunches, self.exists, law = bunches, bunches.where.exists, self.law
        self._within = count_below(bunches.start, law.cuts[1:]) > count_below(
            bunches.stop, law.cuts[:-1], strictly=False
        )
        self.start, self.stop = (jnp.where(self.exists, end, law.lower) for end in jnp.split(types, 2))
        self.low, self.high = (jax.tree.map(lambda part, k=k: jnp.split(part, 2)[k], tail) for k in (0, 1))
        self.level = jnp.where(self.exists, bunches.level, 0.0)

    def gain(self, z, ends, eta):
        types = jnp.stack(jnp.broadcast_arrays(ends, z))
        of_end, of_z = self._integral(types)
        return eta * (ends - z) - (of_end - of_z)

    def faults(self, eta):
        curve = self.curve
        bunch, inside = bunch_of(self.bunches, curve.types)
        begun = self.start * self.low.cdf - (1 - self.weight) * self.low.integral
        hull = pick(begun, bunch) + pick(self.level, bunch) * (curve.cdf - pick(self.low.cdf, bunch))
        virtual = jnp.where(inside & pick(self.exists, bunch), pick(self.level, bunch), curve.node_values()[0])
        rounding = curve.rounding()
        falls = -jnp.diff(jnp.minimum(virtual, eta), axis=0) - jnp.maximum(rounding[1:], rounding[:-1])
        short = jnp.where(inside, jnp.maximum(0.0, hull - curve.node_integrals()[0]), 0.0)
        return jnp.maximum(0.0, jnp.max(falls, axis=0)), jnp.max(short, axis=0)

    def sums(self, ends) -> Sums:
        level, change = self.level, lambda function: function(self.stop, self.high) - function(self.start, self.low)
        cdf, first = change(lambda z, at: at.cdf), change(lambda z, at: at.integral)
        mean = change(lambda z, at: z * at.cdf - at.integral)
        square = change(lambda z, at: z * (z * at.cdf - 2 * at.integral) + 2 * at.second_integral)
        overlap = change(lambda z, at: z * at.integral - at.second_integral)  # ∫ zF dz
        below = self.exists & (0.5 * (self.start + self.stop) < ends)

        def counted(of):
            return jnp.sum(jnp.where(below, of, 0.0), axis=0)

        outside = self.weight * self._outside(ends[None], 2)[0]
        return Sums(
            square_integral=None,
            square=self.weight * outside + counted(level**2 * cdf - square - 2 * self.weight * overlap),
            earned=counted(overlap - level * first) - outside,
            lever=counted(level * mean - square - self.weight * overlap),
        )

    def _integral(self, z):
        """∫_l^z of the ironed ψ⁻; units of the asset squared."""
        rows, shape = self.law.rows(z)
        until = jnp.clip(rows[:, None], self.start, self.stop)
        of_bunches = jnp.sum((until - self.start) * (self.level - 0.5 * (until + self.start)), axis=1)
        raw = 0.5 * (rows - self.law.lower) * (rows + self.law.lower)
        return (raw + of_bunches + self.weight * self._outside(rows, 1)).reshape(shape)

    def _outside(self, rows, power):
        """∫_l^z F^power/f but for the bunches, (m, ...): it may be huge in them, between two peaks of a density."""
        begun = jnp.concatenate([self.law.lower[None], self.stop])
        bunch, inside = bunch_of(self.bunches, rows)
        passed = jnp.where(rows < pick(self.start, bunch), bunch, bunch + 1)
        since = pick(begun, passed)
        pieces = RatioIntegral(self.law, self.table, power, self._within).between(
            jnp.concatenate([begun[:-1], since]),
            jnp.concatenate([self.start, jnp.where(inside, since, jnp.maximum(rows, since))]),
        )
        whole = jnp.concatenate([jnp.zeros_like(begun[:1]), jnp.cumsum(pieces[: len(self.start)], axis=0)])
        return pick(whole, passed) + pieces[len(self.start) :]
