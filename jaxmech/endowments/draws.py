"""Random draws from laws whose quantile is quick; `Law.sample` searches for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from jaxmech.endowments.law import Law
    from jaxmech.endowments.truncated_normal import TruncatedNormal

FARTHEST, NARROWEST = 30.0, 1e-3  # standard deviations; beyond them the normal quantile has lost its digits


def uniform_draws(law: "Law", key: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Independent draws from [0, 1), shape + the shape of the law's fields; those that `Law.sample` inverts."""
    fields = jnp.broadcast_shapes(*(jnp.shape(leaf) for leaf in jax.tree.leaves(law)))
    return jax.random.uniform(key, tuple(shape) + fields, dtype=jnp.result_type(float))


def truncated_normal_sample(law: "TruncatedNormal", key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
    """Independent draws, shape + the shape of the fields, by inversion; without a loop unless a law is extreme."""
    lower, upper = (law.lower - law.loc) / law.scale, (law.upper - law.loc) / law.scale
    extreme = (jnp.maximum(lower, -upper) > FARTHEST) | (upper - lower < NARROWEST)

    def inverted(probability):
        """F⁻¹(p), from the tail that it is nearer to."""
        below, above = ndtr(lower), ndtr(-upper)
        mass = jnp.where(lower > 0, ndtr(-lower) - above, ndtr(upper) - below)
        from_left, from_right = below + probability * mass, above + (1 - probability) * mass
        left = from_left < 0.5
        at = jnp.where(left, 1.0, -1.0) * ndtri(jnp.where(left, from_left, from_right))
        z = law.loc + law.scale * at
        return jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))

    return jax.lax.cond(jnp.any(extreme), law.quantile, inverted, uniform_draws(law, key, shape))
