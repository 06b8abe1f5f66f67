"""Endowments whose density rises and falls along straight lines."""

import jax
import jax.numpy as jnp

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.landmarks import TOWARDS_ZERO, beside, told_apart
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import FromDensity


@pytree
class Triangular(FromDensity):
    """Triangular law on [lower, upper]: the density rises from 0 to its mode and falls to 0.

    Args:
      mode: where the density is largest, in [lower, upper]; scalar or (groups,) array, as are
      lower, upper: ends of the support, lower < upper.
    """

    mode: Numbers
    lower: Numbers
    upper: Numbers

    bunches = 0  # log-concave

    def log_density(self, z: jax.Array) -> jax.Array:
        below = z < self.mode
        side = jnp.where(below, self.mode - self.lower, self.upper - self.mode)
        reach = jnp.where(below, z - self.lower, self.upper - z)
        return jnp.log(jnp.where(side > 0, reach, 1.0)) - jnp.log(jnp.where(side > 0, side, 1.0))

    def landmarks(self) -> jax.Array:
        lower, mode, upper = jnp.broadcast_arrays(self.lower, self.mode, self.upper)
        shares = beside(told_apart(TOWARDS_ZERO, mode), mode)
        rising, falling = lower + (mode - lower) * shares, upper - (upper - mode) * shares[::-1]
        return jnp.concatenate([lower[None], rising, mode[None], falling, upper[None]])

    def rules(self) -> Rules:
        inside = (self.lower <= self.mode) & (self.mode <= self.upper)
        return [*super().rules(), ("mode", inside, "must lie in [lower, upper]")]
