"""Kumaraswamy's law: a beta law's shapes with a distribution function in closed form."""

import jax
import jax.numpy as jnp

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import FromDensity

LARGEST_SHAPE = 100.0


@pytree
class Kumaraswamy(FromDensity):
    """Kumaraswamy's law on [lower, upper]: F = 1 − (1 − x^a)^b, x = (z − lower)/(upper − lower).

    Args:
      a, b: shapes, from 1 to 100.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    a: Numbers
    b: Numbers
    lower: Numbers
    upper: Numbers

    unitless_fields = ("a", "b")

    bunches = 0  # log-concave

    def log_density(self, z: jax.Array) -> jax.Array:
        x = jnp.maximum(z - self.lower, 1e-15 * self.width) / self.width
        rest = jnp.maximum(-jnp.expm1(self.a * jnp.log(x)), 1e-15)
        return (self.a - 1) * jnp.log(x) + (self.b - 1) * jnp.log(rest)

    def rules(self) -> Rules:
        shapes = [(name, (one >= 1) & (one <= LARGEST_SHAPE)) for name, one in (("a", self.a), ("b", self.b))]
        return [*super().rules(), *((name, good, "must lie between 1 and 100") for name, good in shapes)]
