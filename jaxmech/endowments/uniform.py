"""Endowments spread evenly over the support."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmech.arrays import Numbers, pytree
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

    lower: Numbers
    upper: Numbers

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return -jnp.log(self.width) + jnp.zeros_like(z)

    def score(self, z: ArrayLike) -> jax.Array:
        return jnp.zeros_like(z + self.lower)

    def moments(self, known: Any) -> tuple[jax.Array, jax.Array]:
        return self.mean, self.variance

    mean = property(lambda self: 0.5 * (self.lower + self.upper))
    variance = property(lambda self: self.width**2 / 12)

    def tail(self, z: jax.Array, known: Any) -> LeftTail:
        reach, density = z - self.lower, 1 / self.width
        cdf = reach * density
        return LeftTail(
            cdf, reach, jnp.ones_like(reach), cdf * reach / 2, cdf * reach**2 / 6, jnp.broadcast_to(density, cdf.shape)
        )

    def ratios(self, z: jax.Array, known: Any) -> Ratios:
        reach, density = z - self.lower, 1 / self.width
        return Ratios(reach * density, reach, jnp.broadcast_to(density, reach.shape))

    def density(self, z: jax.Array, known: Any) -> jax.Array:
        return jnp.broadcast_to(1 / self.width, jnp.broadcast_shapes(jnp.shape(z), self.width.shape))

    def squared_ratio_integral_from(self, z: jax.Array, known: Any) -> jax.Array:
        reach = z - self.lower
        return reach**3 / (3 * self.width)

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        return self.lower + self.width * uniform_draws(self, key, shape)

    def nodes_to(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        nodes, weights = (beside(part, z) for part in _WITNESSES)
        return self.lower + (z - self.lower) * nodes, (z - self.lower) * weights

    def landmarks(self) -> jax.Array:
        return jnp.stack(jnp.broadcast_arrays(self.lower, self.upper))

    def reflected(self) -> "Uniform":
        return Uniform(-self.upper, -self.lower)
