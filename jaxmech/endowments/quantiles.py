"""F⁻¹ of any law, from its F and F/f alone."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxmech.arrays import standard
from jaxmech.numerics.roots import bracketed_newton

if TYPE_CHECKING:
    from jaxmech.endowments.law import Law


@jax.custom_jvp
def quantile(law: "Law", probability: ArrayLike) -> jax.Array:
    """F⁻¹(p): bracketed Newton on log F, from the end of the support that p is nearer to."""
    probability = jnp.asarray(probability, jnp.result_type(float))
    left = probability <= 0.5
    sides = law.sides()
    from_left = _left_quantile(sides.one(0), jnp.where(left, probability, 0.5))
    from_right = -_left_quantile(sides.one(1), jnp.where(left, 0.5, 1 - probability))
    return jnp.where(left, from_left, from_right)


def _left_quantile(side, probability):
    shape = jnp.broadcast_shapes(jnp.shape(probability), jnp.shape(side.lower))
    lower, upper = (jnp.broadcast_to(end, shape).astype(probability.dtype) for end in (side.lower, side.upper))

    def look(z):
        tail = side.tail(z)
        excess = jnp.log(tail.cdf / probability)
        # Where nobody is, F/f tells nothing.
        return tail.cdf < probability, jnp.where(jnp.abs(excess) < 30, z - tail.ratio * excess, jnp.nan)

    root = bracketed_newton(look, lower, upper, upper - lower, 200)
    return jnp.where(probability > 0, root, lower)


@quantile.defjvp
@standard
def _quantile_jvp(primals, tangents):
    law, probability = primals
    z = quantile(law, probability)
    law_dot, probability_dot = tangents
    _, cdf_dot = jax.jvp(lambda one: one.cdf(lax.stop_gradient(z)), (law,), (law_dot,))
    density = law.pdf(z)
    at_end = (density == 0) | (probability <= 0) | (probability >= 1)
    moving = (probability_dot - cdf_dot) / jnp.where(at_end, 1.0, density)
    end_dot = jnp.where(jnp.asarray(probability) < 0.5, law_dot.lower, law_dot.upper)
    return z, jnp.where(at_end, end_dot, moving)
