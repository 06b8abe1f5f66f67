"""Where virtual types and participation multipliers fall, and must be ironed."""

from collections.abc import Sequence
from typing import TypeGuard

import jax
import jax.numpy as jnp

from jaxmech.endowments import Law, Panels, Sides
from jaxmech.endowments.panels import known_to
from jaxmech.endowments.sides import LeftTail
from jaxmech.optimum.ironing.curves import Curve, Point
from jaxmech.optimum.ironing.hull import Bunches, Bunching, FamilyBunches, bunches_at, located, pooled


class VirtualTypes(Curve):
    """ψ⁻ over F; parameters: w."""

    def point(self, tail: LeftTail, density: jax.Array, slope: jax.Array, z: jax.Array) -> Point:
        (weight,) = self.parameters
        return Point(
            value=z + weight * tail.ratio,
            slope=1 + weight * tail.ratio_slope,
            integral=z * tail.cdf - (1 - weight) * tail.integral,
            measure=tail.cdf,
        )

    def node_values(self) -> tuple[jax.Array, jax.Array]:
        (weight,) = self.parameters
        return self.types + weight * self.cdf / self.density, self.widths * self.density

    def node_integrals(self) -> tuple[jax.Array, jax.Array]:
        (weight,) = self.parameters
        return self.types * self.cdf - (1 - weight) * self.cdf_integral, self.cdf

    def pieces(self) -> tuple[jax.Array, jax.Array]:
        (weight,) = self.parameters
        mass, excess, length, cdf = self.masses()
        over = length * (weight * cdf + mass) - (1 - weight) * excess
        mass = mass + self.table.floor * length  # that of the density at the nodes: of use where next to nobody is
        return self.types[:-1] + over / jnp.where(mass > 0, mass, 1.0), mass

    @property
    def span(self) -> jax.Array:
        return self.law.width

    def rounding(self) -> jax.Array:
        (weight,) = self.parameters
        ratio = self.cdf / self.density
        rounded = known_to(1e-12, ratio.dtype) * (self.span + weight * ratio)
        return rounded + weight * ratio * self.density_error() / self.density


Curves = tuple[VirtualTypes | None, ...] | None  # of each family, None where it is regular; None where all are


class _Multipliers(Curve):
    """w F + f·(z − η) over z, which Ω/(1 + λ) is where it rises; parameters: w and η."""

    def point(self, tail, density, slope, z):
        weight, eta = self.parameters
        return Point(
            value=weight * tail.cdf + density * (z - eta),
            slope=(1 + weight) * density + slope * (z - eta),
            integral=(z - eta) * tail.cdf - (1 - weight) * tail.integral,
            measure=z,
        )

    def node_values(self):
        weight, eta = self.parameters
        return weight * self.cdf + self.density * (self.types - eta), self.widths

    def node_integrals(self):
        weight, eta = self.parameters
        return (self.types - eta) * self.cdf - (1 - weight) * self.cdf_integral, self.types

    def pieces(self):
        weight, eta = self.parameters
        mass, excess, length, cdf = self.masses()
        rise = (self.types[:-1] - eta) * mass + length * (weight * cdf + mass) - (1 - weight) * excess
        return rise / jnp.where(length > 0, length, 1.0), length

    @property
    def span(self):
        return 1 + jnp.max(self.law.values, axis=(0, 1)) * self.law.width

    def rounding(self):
        _, eta = self.parameters
        return known_to(1e-12, self.types.dtype) * self.span + self.density_error() * jnp.abs(self.types - eta)


def multiplier_bunching(sides: Sides, eta: jax.Array, weight: jax.Array) -> FamilyBunches:
    """Where w F + f·(z − η) of each family falls over z: `hull.Bunches`, None for those where it cannot."""
    left = sides.one(0)
    parts = zip(left.families(), left.columns(eta), left.weights(weight), strict=True)
    return tuple(
        _multiplier_bunches(law, table, own, weight) if may_fall(law) else None for (law, table), own, weight in parts
    )


def _multiplier_bunches(law, table, eta, weight) -> Bunches:
    eta = jnp.broadcast_to(eta, law.lower.shape)
    curve = _Multipliers(law, table, jnp.asarray(weight, law.values.dtype), eta)
    return bunches_at(curve, located(curve.still()))


def ironed_multiplier(sides: Sides, bunching: FamilyBunches, z: jax.Array, raw: jax.Array) -> jax.Array:
    """Ω(z)/(1 + λ) on the binding interval, for z of shape (..., G).

    `raw` = w F + f·(z − η) where that rises, as it does for regular laws. For others its ironed version: the slope of
    the lower convex hull, over z, of ∫ (ψ⁻ − η) dF. Its virtual types z − (Ω − wF)/f, ironed over F, are V again:
    Lemma 3 without Condition 2.
    """
    left, found = sides.one(0), []
    for (law, _), bunches, own, at in zip(left.families(), bunching, left.columns(z), left.columns(raw), strict=True):
        if bunches is not None and isinstance(law, Panels):
            rows, shape = law.rows(own)
            at = pooled(bunches, rows, law.rows(at)[0]).reshape(shape)
        found.append(at)
    return left.joined(found)


def multiplier_kinks(sides: Sides, bunching: FamilyBunches) -> jax.Array:
    """Types at which `ironed_multiplier` has kinks of its own, (most, G, ...); +∞ where there are none."""
    left = sides.one(0)
    return side_by_side(
        left,
        [
            jnp.full((0, *law.lower.shape), jnp.inf, law.lower.dtype)
            if bunches is None
            else jnp.concatenate([bunches.start, bunches.stop])
            for (law, _), bunches in zip(left.families(), bunching, strict=True)
        ],
    )


def side_by_side(sides: Sides, ends: Sequence[jax.Array]) -> jax.Array:
    """Ends of the bunches of each family, (its most, ...), as one array, with +∞ behind."""
    most = max(len(own) for own in ends)
    return sides.joined([jnp.concatenate([own, jnp.full((most - len(own), *own.shape[1:]), jnp.inf)]) for own in ends])


def ratios_rise(sides: Sides) -> jax.Array:
    """Whether F/f rises from node to node, (2, G, ...); True of laws that are no panels."""
    return sides.joined([_ratio_rises(law, table) for law, table in sides.families()])


def _ratio_rises(law, table):
    if not may_fall(law):
        return jnp.ones(law.lower.shape, bool)
    curve = VirtualTypes(law, table, jnp.ones((), law.values.dtype))
    ratio = curve.cdf / curve.density
    return jnp.all(jnp.diff(ratio, axis=0) >= -known_to(1e-9, ratio.dtype) * (law.width + ratio[1:]), axis=0)


def may_fall(law: Law) -> TypeGuard[Panels]:
    """Whether the virtual types of a law, of one family, may fall."""
    return isinstance(law, Panels) and law.bunches > 0


def virtual_curves(sides: Sides, weight: jax.Array) -> Curves:
    """ψ⁻ of each family at a weight, None for those that are regular; None where all are."""
    found = tuple(
        VirtualTypes(law, table, jnp.asarray(own, law.values.dtype)) if may_fall(law) else None
        for (law, table), own in zip(sides.families(), sides.weights(weight), strict=True)
    )
    return None if all(part is None for part in found) else found


def overflows(bunching: Bunching) -> jax.Array | bool:
    """Whether some law needs more intervals than it allows for, of the batch's shape; False where none needs any."""
    found = [jnp.any(part.where.overflow, axis=(0, 1, 2)) for part in bunching or () if part is not None]
    return jnp.any(jnp.stack(found), axis=0) if found else False


def refuses(
    sides: Sides, level: jax.Array, ends: jax.Array, weight: jax.Array, slope: jax.Array, bunching: Bunching
) -> jax.Array:
    """Whether clipping to a target line is not known to be optimal for some group, of the batch's shape (beyond §16).

    It is where, of all groups with an outside option, no types beside the binding interval are bunched and Ω rises on
    it.

    Args:
      level, weight: the kernel's η̃ and w̃.
      ends: (a, −b).
      slope: σ.
      bunching: of the ψ̃.
    """
    left = sides.one(0)
    weights, columns = left.weights(weight[0]), map(left.columns, (level, ends[0], -ends[1]))
    groups = [
        jnp.zeros(own[0].shape, bool) if not may_fall(law) else _multiplier_falls(law, table, weight, *own)
        for (law, table), weight, *own in zip(left.families(), weights, *columns, strict=True)
    ]
    broken = left.joined(groups)
    if bunching is not None:
        used = [
            jnp.zeros(own.shape, bool) if bunches is None else _some_below(bunches, own)
            for bunches, own in zip(bunching, sides.columns(ends), strict=True)
        ]
        broken = broken | jnp.any(sides.joined(used), axis=0)
    return jnp.any(broken & (slope > 0), axis=0)


def _multiplier_falls(law, table, weight, level, low, high):
    """Whether what is 0 below the binding interval, w F + f·(z − η) on it and w above it falls from node to node,
    (groups, ...)."""
    curve = _Multipliers(law, table, jnp.asarray(weight, law.values.dtype), level)
    (values, _), rounding = curve.node_values(), curve.rounding()
    values = jnp.where(curve.types < low, 0.0, jnp.where(curve.types > high, weight, values))
    return jnp.any(jnp.diff(values, axis=0) < -jnp.maximum(rounding[1:], rounding[:-1]), axis=0)


def _some_below(bunches, ends):
    """Whether there are bunches below the ends, (2, groups, ...)."""
    return jnp.any(bunches.where.exists & (0.5 * (bunches.start + bunches.stop) < ends), axis=0)
