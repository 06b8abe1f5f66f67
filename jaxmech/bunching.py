"""Where virtual types and participation multipliers fall, and must be ironed."""

import jax
import jax.numpy as jnp

from jaxmech.curves import Curve, Point
from jaxmech.endowments import Panels, SideBySide
from jaxmech.hull import Ironed, located


class VirtualTypes(Curve):
    """ψ⁻ over F; parameters: w."""

    def point(self, tail, density, slope, z):
        (weight,) = self.parameters
        return Point(
            value=z + weight * tail.ratio,
            slope=1 + weight * tail.ratio_slope,
            integral=z * tail.cdf - (1 - weight) * tail.integral,
            measure=tail.cdf,
        )

    def node_values(self):
        (weight,) = self.parameters
        return self.types + weight * self.cdf / self.density, self.widths * self.density

    def node_integrals(self):
        (weight,) = self.parameters
        return self.types * self.cdf - (1 - weight) * self.cdf_integral, self.cdf

    def pieces(self):
        (weight,) = self.parameters
        mass, excess, length, cdf = self.masses()
        over = length * (weight * cdf + mass) - (1 - weight) * excess
        mass = mass + self.table.floor * length  # that of the density at the nodes: of use where next to nobody is
        return self.types[:-1] + over / jnp.where(mass > 0, mass, 1.0), mass

    @property
    def span(self):
        return self.law.width

    def rounding(self):
        (weight,) = self.parameters
        ratio = self.cdf / self.density
        return 1e-12 * (self.span + weight * ratio) + weight * ratio * self.density_error() / self.density


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
        return 1e-12 * self.span + self.density_error() * jnp.abs(self.types - eta)


def ironed_multiplier(law, eta, weight, z, raw):
    """Ω(z)/(1 + λ) on the binding interval, for z of shape (..., G).

    `raw` = w F + f·(z − η) where that rises, as it does for regular laws. For others its ironed version: the slope of
    the lower convex hull, over z, of ∫ (ψ⁻ − η) dF. Its virtual types z − (Ω − wF)/f, ironed over F, are V again:
    Lemma 3 without Condition 2.
    """
    if isinstance(law, SideBySide):
        columns = zip(law.laws, *(law.columns(one) for one in (eta, z, raw)), strict=True)
        return law.joined([ironed_multiplier(one, own, weight, at, found) for one, own, at, found in columns])
    if not may_fall(law):
        return raw
    rows, shape = law.rows(z)
    return _ironed_over_types(law, eta, weight).value(rows).reshape(shape)


def _ironed_over_types(law, eta, weight):
    curve = _Multipliers(law, jnp.asarray(weight, law.values.dtype), jnp.broadcast_to(eta, law.lower.shape))
    return Ironed(curve, located(curve))


def multiplier_kinks(law, eta, weight):
    """Types at which `ironed_multiplier` has kinks of its own, (most, G, ...); +∞ where there are none."""
    if isinstance(law, SideBySide):
        found = [multiplier_kinks(one, own, weight) for one, own in zip(law.laws, law.columns(eta), strict=True)]
        most = max(len(kinks) for kinks in found)
        return law.joined([padded(kinks, most) for kinks in found])
    if not may_fall(law):
        return jnp.full((0, *law.lower.shape), jnp.inf, law.lower.dtype)
    bunches = _ironed_over_types(law, eta, weight).bunches
    return jnp.concatenate([bunches.start, bunches.stop])


def padded(ends, most):
    """With +∞ behind, `most` of them."""
    return jnp.concatenate([ends, jnp.full((most - ends.shape[0], *ends.shape[1:]), jnp.inf, ends.dtype)])


def ratios_rise(law):
    """Whether F/f rises from node to node, of the shape of the law's fields; True of laws that are no panels."""
    if isinstance(law, SideBySide):
        return law.joined([ratios_rise(one) for one in law.laws])
    if not may_fall(law):
        return jnp.ones(law.lower.shape, bool)
    curve = VirtualTypes(law, jnp.ones((), law.values.dtype))
    ratio = curve.cdf / curve.density
    return jnp.all(jnp.diff(ratio, axis=0) >= -1e-9 * (law.width + ratio[1:]), axis=0)


def may_fall(law):
    """Whether the virtual types of a law, of one family, may fall."""
    return isinstance(law, Panels) and law.bunches > 0


def bunching(law, weight):
    """Where ψ⁻ of a law and, stacked on it, of its mirror image must be ironed: a tree of arrays without derivatives.

    None where all families are regular.
    """
    if isinstance(law, SideBySide):
        parts = tuple(bunching(one, weight) for one in law.laws)
        return None if all(part is None for part in parts) else parts
    return located(VirtualTypes(law, jnp.asarray(weight, law.values.dtype))) if may_fall(law) else None


def one_side(where, side):
    """The bunching of the left side (0) or of the right one (1) alone."""
    return jax.tree.map(lambda leaf: leaf[:, side], where)


def overflows(where):
    """Whether some law needs more intervals than it allows for, of the batch's shape; False where none needs any."""
    parts = where if isinstance(where, tuple) and not hasattr(where, "overflow") else (where,)
    found = [jnp.any(part.overflow, axis=(0, 1, 2)) for part in parts if part is not None]
    return jnp.any(jnp.stack(found), axis=0) if found else False
