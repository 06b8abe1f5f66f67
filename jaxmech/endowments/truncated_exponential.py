"""Endowments whose density rises or falls exponentially along the support."""

import jax
import jax.numpy as jnp

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.landmarks import FALLS, around, beside
from jaxmech.endowments.numerical import FromDensity


@pytree
class TruncatedExponential(FromDensity):
    """Exponential law cut to [lower, upper]; its density is ∝ exp(−rate·z).

    Args:
      rate: per unit of the asset, of any sign: below 0 the density rises; 0 is the uniform law.
      lower, upper: ends of the support, lower < upper. All three are scalars or (groups,) arrays.
    """

    rate: Numbers
    lower: Numbers
    upper: Numbers

    bunches = 0  # log-concave

    def log_density(self, z: jax.Array) -> jax.Array:
        return -self.rate * (z - jnp.where(self.rate > 0, self.lower, self.upper))

    def landmarks(self) -> jax.Array:
        peak = jnp.where(self.rate > 0, self.lower, self.upper)
        distances = beside(FALLS, self.rate) / (jnp.abs(self.rate) + 1 / self.width)
        return around(peak, distances, self.lower, self.upper)
