"""Endowments spread evenly over the support."""

import jax
import jax.numpy as jnp

from jaxmech.arrays import pytree
from jaxmech.endowments.draws import uniform_draws
from jaxmech.endowments.landmarks import beside
from jaxmech.endowments.law import Law
from jaxmech.endowments.sides import LeftTail, Ratios
from jaxmech.numerics.polynomials import unit_rule

_WITNESSES = unit_rule(8)


@pytree
class Uniform(Law):
    """Uniform law on [lower, upper].

    Args:
      lower, upper: ends of the support, units of the asset, scalars or (groups,) arrays, lower < upper.
    """

    lower: jax.Array
    upper: jax.Array

    def log_pdf(self, z):
        return -jnp.log(self.width) + jnp.zeros_like(z)

    def score(self, z):
        return jnp.zeros_like(z + self.lower)

    def moments(self, known):
        return self.mean, self.variance

    mean = property(lambda self: 0.5 * (self.lower + self.upper))
    variance = property(lambda self: self.width**2 / 12)

    def tail(self, z, known):
        reach, density = z - self.lower, 1 / self.width
        cdf = reach * density
        return LeftTail(
            cdf, reach, jnp.ones_like(reach), cdf * reach / 2, cdf * reach**2 / 6, jnp.broadcast_to(density, cdf.shape)
        )

    def ratios(self, z, known):
        reach, density = z - self.lower, 1 / self.width
        return Ratios(reach * density, reach, jnp.broadcast_to(density, reach.shape))

    def density(self, z, known):
        return jnp.broadcast_to(1 / self.width, jnp.broadcast_shapes(jnp.shape(z), self.width.shape))

    def squared_ratio_integral_from(self, z, known):
        reach = z - self.lower
        return reach**3 / (3 * self.width)

    def sample(self, key, shape=()):
        return self.lower + self.width * uniform_draws(self, key, shape)

    def nodes_to(self, z):
        nodes, weights = (beside(part, z) for part in _WITNESSES)
        return self.lower + (z - self.lower) * nodes, (z - self.lower) * weights

    def landmarks(self):
        return jnp.stack(jnp.broadcast_arrays(self.lower, self.upper))

    def reflected(self):
        return Uniform(-self.upper, -self.lower)
