"""Laws given by the values of their density: polynomials on panels (theory §15).

The support is cut into panels; on each the density is the polynomial through its values at Gauss–Legendre nodes, and
F, its integrals, F/f and F²/f are integrals of Legendre series. At the cuts the density may jump. Everything is summed
from the lower end of the support, so that left tails keep their digits; the mirror image does the same for right tails.
"""

import math
from collections.abc import Sequence
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import pytree
from jaxmech.endowments.landmarks import beside
from jaxmech.endowments.law import Law
from jaxmech.endowments.quantiles import quantile
from jaxmech.endowments.ratio_integrals import LEAST, Inside, RatioIntegral, least_density, seen, summed
from jaxmech.endowments.sides import LeftTail, Ratios, Witnesses
from jaxmech.numerics.polynomials import Rule, chebyshev, rule_of, weighed
from jaxmech.numerics.search import count_below, pick


class Cuts(NamedTuple):
    """What is known at the cuts, (panels + 1, ...), and inside panels, (panels, nodes, ...)."""

    half: jax.Array  # half the width of the panels, (panels, ...)
    cdf: jax.Array  # F at the cuts
    first: jax.Array  # ∫F
    second: jax.Array  # ∫∫F
    floor: jax.Array  # of the density, (...)
    values: jax.Array  # f at the nodes, (panels, nodes, ...)
    ratio: jax.Array  # F/f
    square: jax.Array  # F²/f
    node_cdf: jax.Array  # F
    node_first: jax.Array  # ∫F


@pytree
class Panels(Law):
    """Law with a piecewise polynomial density. Made by the laws that have no closed form.

    Args:
      cuts: ends of the panels, nondecreasing, shape (panels + 1, G, ...); the first and the last are the support's.
      values: density at the Gauss–Legendre nodes of each panel, ≥ 0, shape (panels, nodes, G, ...).
      bunches: how many intervals may need ironing, at most.
    """

    cuts: jax.Array
    values: jax.Array
    bunches: int = field(default=4, metadata={"static": True})

    lower = property(lambda self: self.cuts[0])
    upper = property(lambda self: self.cuts[-1])

    @property
    def rule(self) -> Rule:
        """The nodes of a panel."""
        return rule_of(self.values.shape[1])

    @property
    def nodes(self) -> jax.Array:
        """Types at the nodes, shape of `values`."""
        middle, half = 0.5 * (self.cuts[1:] + self.cuts[:-1]), 0.5 * jnp.diff(self.cuts, axis=0)
        return middle[:, None] + half[:, None] * self.column(self.rule.nodes)

    def column(self, numbers: ArrayLike) -> jax.Array:
        """One number a node, to broadcast against `values`."""
        return jnp.asarray(numbers, self.values.dtype).reshape((1, -1) + (1,) * (self.values.ndim - 2))

    def tabulated(self) -> Cuts:
        """All that does not depend on z."""
        rule, half, values = self.rule, 0.5 * jnp.diff(self.cuts, axis=0), self.values

        def integrals(rows, of):
            return jnp.einsum("kj,pj...->pk...", jnp.asarray(rows, values.dtype), of, precision="highest")

        # ∫ (1 − t)^k/k! f over each panel, k from 0 to 2, and ∫ f up to its nodes: one product.
        whole = [rule.weights * (1 - rule.nodes) ** power / math.factorial(power) for power in range(3)]
        found = integrals(np.concatenate([whole, rule.integral]), values)
        once, twice, thrice = (half**power * found[:, power - 1] for power in (1, 2, 3))
        width, inside = 2 * half, half[:, None] * found[:, 3:]
        cdf = summed(once)
        first = summed(cdf[:-1] * width + twice)
        second = summed(first[:-1] * width + cdf[:-1] * width**2 / 2 + thrice)
        node_cdf = cdf[:-1, None] + jnp.where(inside > 0, inside, 0.0)
        # A floor under the density but not under F: F/f vanishes where there is nobody, and rises where it would.
        floor = LEAST * jnp.max(values, axis=(0, 1))
        ratio = node_cdf / (values + floor)
        square = node_cdf * ratio
        return Cuts(
            half,
            cdf,
            first,
            second,
            floor,
            values,
            ratio,
            square,
            node_cdf,
            first[:-1, None] + half[:, None] * integrals(rule.integral, node_cdf),
        )

    def place(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The panel of each z, shape (m, ...), the right one at a cut, and where in it, from −1 to 1."""
        panel = count_below(self.cuts[1:-1], z, strictly=False) if self.cuts.shape[0] > 2 else jnp.zeros(z.shape, int)
        start, stop = pick(self.cuts, panel), pick(self.cuts, panel + 1)
        wide = stop > start
        t = jnp.where(wide, (2 * z - start - stop) / jnp.where(wide, stop - start, 1.0), 0.0)
        return panel, jnp.where(t < -1, -1.0, jnp.where(t > 1, 1.0, t))

    def rows(self, z: ArrayLike) -> tuple[jax.Array, tuple[int, ...]]:
        """z, which broadcasts against the fields, as (m, ...), and the shape to give back."""
        z = jnp.broadcast_to(z, jnp.broadcast_shapes(jnp.shape(z), self.lower.shape))
        return z.reshape((-1, *self.lower.shape)), z.shape

    def constants(self) -> Cuts:
        return self.tabulated()

    def moments(self, known: Any) -> tuple[jax.Array, jax.Array]:
        nodes, half = self.nodes, 0.5 * jnp.diff(self.cuts, axis=0)[:, None]
        mass = half * self.column(self.rule.weights) * self.values
        mean = jnp.sum(mass * nodes, axis=(0, 1))
        return mean, jnp.sum(mass * (nodes - mean) ** 2, axis=(0, 1))

    def broadcast(self) -> "Panels":
        return self

    def tail(self, z: jax.Array, known: Cuts) -> LeftTail:
        return self._read(z, known)[0]

    def ratios(self, z: jax.Array, known: Cuts) -> Ratios:
        z, shape = self.rows(z)
        panel, t = self.place(z)
        cdf, density = (part.reshape(shape) for part in Inside(self, known)(panel, t[None]))
        return Ratios(cdf, cdf / density, density)

    def density(self, z: jax.Array, known: Cuts) -> jax.Array:
        return self.ratios(z, known).density

    def last_density(self, inside: jax.Array, known: Cuts) -> jax.Array:
        values = self.values[-1]
        found = jnp.tensordot(jnp.asarray(self.rule.ends[1], values.dtype), values, axes=1, precision="highest")
        return jnp.maximum(found, least_density(values, 0)) + known.floor

    def _read(self, z: ArrayLike, table: Cuts) -> tuple[LeftTail, jax.Array, jax.Array]:
        """LeftTail, density and slope at z."""
        z, shape = self.rows(z)
        tail, density, slope = tail_at(table, *self.place(z))
        return LeftTail(*(part.reshape(shape) for part in tail)), density.reshape(shape), slope.reshape(shape)

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return jnp.log(self._read(z, self.tabulated())[1])

    def score(self, z: ArrayLike) -> jax.Array:
        _, density, slope = self._read(z, self.tabulated())
        return slope / density

    def jump_at(self, z: jax.Array, known: Cuts) -> tuple[jax.Array, jax.Array]:
        if self.cuts.shape[0] == 2:
            return z, jnp.zeros(jnp.shape(z), bool)
        z, shape = self.rows(z)
        panel, _ = self.place(z)
        cut = pick(self.cuts, panel)
        left, right = jnp.maximum(end_values(self), least_density(self.values)) + known.floor
        before, after = pick(right, jnp.maximum(panel - 1, 0)), pick(left, panel)
        jumps = (cut == z) & (panel > 0) & (jnp.abs(after - before) > known_to(1e-9, z.dtype) * (after + before))
        return jnp.where(jumps, cut, z).reshape(shape), jumps.reshape(shape)

    def squared_ratio_integral_from(self, z: jax.Array, known: Cuts) -> jax.Array:
        return self._integral_to(z, known, 2)

    def ratio_integral(self, z: ArrayLike) -> jax.Array:
        """∫_l^z F/f; units of the asset squared."""
        return self._integral_to(z, self.tabulated(), 1)

    def _integral_to(self, z, table, power):
        z, shape = self.rows(z)
        return RatioIntegral(self, table, power).to(z).reshape(shape)

    @property
    def density_error(self) -> jax.Array:
        """What the last two terms of each panel's series weigh: about what its polynomial misses, (panels, ...)."""
        series = np.linalg.inv(np.polynomial.legendre.legvander(self.rule.nodes, len(self.rule.nodes) - 1))[-2:]
        return jnp.sum(jnp.abs(jnp.einsum("kj,pj...->pk...", jnp.asarray(series), self.values)), axis=1)

    @property
    def resolution_error(self) -> jax.Array:
        """About the probability that the polynomials miss."""
        return jnp.sum(jnp.diff(self.cuts, axis=0) * self.density_error, axis=0)

    mean = property(lambda self: self.moments(None)[0])
    variance = property(lambda self: self.moments(None)[1])

    def landmarks(self) -> jax.Array:
        return self.cuts

    def witnesses(self, z: jax.Array, kinks: jax.Array, beyond: jax.Array, known: Cuts) -> Witnesses:
        """Nodes of their own on every panel, where all is known by one product of matrices; on panels that z or a kink
        cuts in two their weight is 0, and other nodes lie on the pieces. The place beyond is a piece of no length."""
        count = self.values.shape[1]
        places, weights = np.polynomial.legendre.leggauss(12 if count > 12 else count + 1)
        basis = np.polynomial.chebyshev.chebvander(places, count + 2).T
        rows = jnp.asarray(np.stack([self.rule.value @ basis, self.rule.once @ basis]), self.values.dtype)
        density, mass = jnp.einsum("rnm,pn...->rpm...", rows, self.values, precision="highest")
        start, half, least = self.cuts[:-1], known.half, least_density(self.values)
        cdf, density = seen(density, mass, half[:, None], known.cdf[:-1, None], least[:, None], known.floor)

        # Pieces from the end or the cut before to each end, and from there to the next cut where no other end is.
        ordered = jnp.sort(jnp.concatenate([kinks, z[None]]), axis=0)
        panel, t = self.place(jnp.concatenate([ordered, beyond[None]]))
        last, there, panel, t = panel[-1:], t[-1:], panel[:-1], t[:-1]
        one, same = jnp.ones_like(t), panel[1:] == panel[:-1]
        low = jnp.concatenate([-one[:1], jnp.where(same, t[:-1], -1.0), t[:-1], there])
        high = jnp.concatenate([t, jnp.where(same | (t[:-1] <= -1), t[:-1], 1.0), there])
        pieces, reach, whole = jnp.concatenate([panel, panel[:-1], last]), 0.5 * (high - low), jnp.arange(len(start))
        cut = jnp.any((panel == beside(whole, z)[:, None]) & (t > -1), axis=1)
        whole = jnp.where(cut | (self.cuts[1:] > z), 0.0, half)[:, None] * self.column(weights)
        at = low + reach * (1 + beside(places, low))
        piece_half = pick(half, pieces)
        found = [
            (start[:, None] + half[:, None] * (1 + self.column(places)), pick(start, pieces) + piece_half * (1 + at)),
            (whole, piece_half * reach * beside(weights, low)),
            *zip((cdf, density), Inside(self, known)(pieces, at), strict=True),
        ]
        types, weights, cdf, density = (
            jnp.concatenate([part.reshape(-1, *z.shape) for part in both]) for both in found
        )
        return Witnesses(types, weights, Ratios(cdf, cdf / density, density), len(start) * len(places))

    def reflected(self) -> "Panels":
        return Panels(-self.cuts[::-1], self.values[::-1, ::-1], self.bunches)

    def both_sides(self) -> "Panels":
        mirror = self.reflected()
        cuts, values = jnp.stack([self.cuts, mirror.cuts], axis=1), jnp.stack([self.values, mirror.values], axis=2)
        return Panels(cuts, values, self.bunches)

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        uniform = jax.random.uniform(key, tuple(shape) + self.lower.shape, dtype=jnp.result_type(float))
        return quantile(self, uniform)


def known_to(part: float, dtype: Any) -> float:
    """A part of a number that means nothing: as told, and in float32 at least what rounding may make."""
    return max(part, 64 * float(jnp.finfo(dtype).eps))


def end_values(law: Panels) -> jax.Array:
    """The density's polynomials at the left and at the right end of each panel, (2, panels, ...)."""
    ends = jnp.asarray(law.rule.ends, law.values.dtype)
    found = jnp.einsum("ej,pj...->ep...", ends, law.values, precision="highest")
    # Rounding may reach below a density that vanishes there.
    return jnp.maximum(found, jnp.min(law.values, axis=1) * 1e-3)


def tail_at(table: Cuts, panel: jax.Array, t: jax.Array) -> tuple[LeftTail, jax.Array, jax.Array]:
    """LeftTail at place t of the given panels, (m, ...), the density there and its slope: one-sided at t = ±1."""
    values = jnp.moveaxis(jnp.take_along_axis(table.values, panel[:, None], axis=0, mode="promise_in_bounds"), 1, 0)
    rule, basis = rule_of(len(values)), chebyshev(t, len(values) + 3)
    rows = np.stack([rule.value, rule.once, rule.slope, rule.twice, rule.thrice])
    density, mass, slope, twice, thrice = jnp.sum(weighed(rows, basis) * values, axis=1)
    half, before, first, second = (pick(part, panel) for part in (table.half, table.cdf, table.first, table.second))
    cdf, density = seen(density, mass, half, before, least_density(values, 0), table.floor)
    ratio = cdf / density
    slope = jnp.where(half > 0, slope / jnp.where(half > 0, half, 1.0), 0.0)
    width = half * (t + 1)
    tail = LeftTail(
        cdf=cdf,
        ratio=ratio,
        ratio_slope=1 - ratio * slope / density,
        integral=first + width * before + half**2 * twice,
        second_integral=second + width * first + width**2 / 2 * before + half**3 * thrice,
        density=density,
    )
    return tail, density, slope
