"""A market in the form to compute with: each law prepared once, everything by group in front."""

from dataclasses import replace
from typing import Self

import jax
import jax.numpy as jnp

from jaxmech.arrays import pytree, total
from jaxmech.endowments import Sides
from jaxmech.endowments.law import Law
from jaxmech.market.outside import OutsideOption


@pytree
class Prepared:
    """What the solver takes of a market. Made by `Market.prepared`; all but `sides` of shape (G, ...)."""

    sides: Sides
    lower: jax.Array
    upper: jax.Array
    mean: jax.Array  # E Z
    variance: jax.Array  # Var Z
    risk_capacity: jax.Array
    count: jax.Array
    possible: jax.Array | bool  # whether this is a market at all, of the batch's shape: nothing raises inside jit
    outside: OutsideOption | None = None  # what traders can do instead
    lean: jax.Array | None = None  # α − β of each group, where welfare weights β are given; see `weights`
    target: jax.Array | None = None  # R_min, of the batch's shape; None: 0

    @classmethod
    def of(cls, law: Law, risk_capacity: jax.Array, count: jax.Array, possible: jax.Array | bool = True) -> Self:
        """The market of traders with this law, of all groups."""
        sides = law.sides()
        return cls(sides, sides.lower[0], sides.upper[0], *sides.moments(), risk_capacity, count, possible)

    @property
    def extended(self) -> bool:
        """Whether it is more than the paper's problem."""
        return not (self.outside is None and self.lean is None and self.target is None)

    def weights(self, weight: jax.Array) -> jax.Array:
        """The weight of each group's revenue and rents: w_i = u + (1 − u)(α − β_i), (G, ...), where welfare weights are
        given; and without them w itself (beyond §2).
        """
        return weight if self.lean is None else group_weights(weight, self.lean)

    def provided(self, condition: jax.Array | bool) -> Self:
        """The market, impossible unless the condition holds too."""
        return replace(self, possible=self.possible & condition)

    @property
    def width(self) -> jax.Array:
        """Lengths of the supports."""
        return self.upper - self.lower

    @property
    def total_risk_capacity(self) -> jax.Array:
        """K = Σ κ over traders."""
        return total(self.count * self.risk_capacity)

    @property
    def share(self) -> jax.Array:
        """s = κ/K."""
        return self.risk_capacity / self.total_risk_capacity


def group_weights(share: jax.Array, lean: jax.Array) -> jax.Array:
    """u + (1 − u)(α − β), which is 0 of the group with the largest β at the least u: but for rounding, which is taken
    off.

    Args:
      share: u.
      lean: α − β.
    """
    found = share + (1 - share) * lean
    return jnp.where(found > 4 * jnp.finfo(found.dtype).eps * share, found, 0.0)
