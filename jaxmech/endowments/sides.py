"""A law prepared: both sides of it, and what is known of it at a type."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.arrays import pytree

if TYPE_CHECKING:
    from jaxmech.endowments.law import Law


class LeftTail(NamedTuple):
    """A law at z, measured from the lower end l (theory §3, §5)."""

    cdf: jax.Array  # F(z)
    ratio: jax.Array  # F/f; 0 at l, also where the density vanishes there
    ratio_slope: jax.Array  # (F/f)' = 1 − (F/f)·f'/f
    integral: jax.Array  # G(z) = ∫_l^z F = E[(z − Z)⁺]
    second_integral: jax.Array  # ∫_l^z G = ½ E[((z − Z)⁺)²]
    density: jax.Array  # f(z)


class Ratios(NamedTuple):
    """What virtual types take of a law at z; like those of LeftTail."""

    cdf: jax.Array  # F(z)
    ratio: jax.Array  # F/f
    density: jax.Array  # f(z)


class Witnesses(NamedTuple):
    """Nodes of ∫_l^z of what the density does, which no formula of the law knows: for certificates."""

    types: jax.Array  # (n, ...); the last one is a place beyond, of weight 0
    weights: jax.Array
    ratios: Ratios | None  # there; None: not yet asked for
    ordered: int  # how many of them, from the first on, are in order


@pytree
class Sides:
    """A law prepared: the law and its mirror image, with all that does not depend on z computed once. Made by `sides`.

    Arrays of types have shape (..., 2, G, batch...): row 0 the left side, row 1 the right one, mirrored. Of `one` side
    they have shape (..., G, batch...), like those of the law itself.
    """

    law: "Law"
    known: Any  # what the law's functions of z need beside its fields
    lower: jax.Array  # lower ends of the supports, mirrored
    upper: jax.Array  # upper ends, mirrored

    def moments(self) -> tuple[jax.Array, jax.Array]:
        """E Z and Var Z of the law itself, (G, batch...)."""
        mean, variance = self.law.moments(self.known)
        return mean[0], variance[0]

    @property
    def width(self) -> jax.Array:
        """Lengths of the supports."""
        return self.upper - self.lower

    def one(self, side: int) -> "Sides":
        """The left side (0) or the right one (1) alone."""
        axes = jnp.ndim(self.lower)
        row = jax.tree.map(lambda leaf: jax.lax.index_in_dim(leaf, side, leaf.ndim - axes, keepdims=False), self)
        return replace(row, law=row.law.unstacked())

    def families(self) -> list[tuple["Law", Any]]:
        """(law, known) of each family side by side."""
        return self.law.families(self.known)

    def columns(self, z: jax.Array) -> list[jax.Array]:
        """An array of types cut into the groups of each family."""
        return self.law.columns(z)

    def joined(self, parts: Any) -> jax.Array:
        """What was computed of each family put together again."""
        return self.law.joined(parts)

    def weights(self, weight: jax.Array) -> list[jax.Array]:
        """A weight of all groups, or those of groups, (1, G, ...), for each family."""
        return [weight] * len(self.families()) if jnp.ndim(weight) < self.lower.ndim else self.columns(weight)

    def tail(self, z: jax.Array) -> LeftTail:
        """F, F/f, its slope, the first two integrals of F, and f at z."""
        return self.law.tail(z, self.known)

    def ratios(self, z: jax.Array) -> Ratios:
        """F, F/f and f at z."""
        return self.law.ratios(z, self.known)

    def last_density(self, inside: jax.Array) -> jax.Array:
        """f just short of the upper end, at `inside`."""
        return self.law.last_density(inside, self.known)

    def squared_ratio_integral(self, z: jax.Array) -> jax.Array:
        """∫_l^z F²/f, the one integral of theory §5 without a closed form; units of the asset squared."""
        return self.law.squared_ratio_integral_from(z, self.known)

    def jump_at(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Where z is a point at which the density jumps, that point as the law moves it, and True; else z and False."""
        return self.law.jump_at(z, self.known)
