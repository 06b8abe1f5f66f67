"""Isotonic regression: batches along the trailing axes, no host."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxmech.numerics.search import pick


class Pools(NamedTuple):
    """A nondecreasing sequence, equal on each pool; all (n, ...)."""

    level: jax.Array
    begins: jax.Array  # where a pool begins
    apart: jax.Array  # whether the level of the pool is further from one of its values than told


def isotonic(values: jax.Array, weights: jax.Array, rounding: ArrayLike = 0.0) -> Pools:
    """Weighted isotonic regression along the first axis: the nearest nondecreasing sequence in weighted squares.

    Adjacent violators are pooled (Ayer et al., Annals of Mathematical Statistics 26, 1955): each value begins a pool,
    which joins the one before it while that is higher. All lanes of a batch are at the same value, so that a pool has
    its row where it ends.

    Args:
      values: shape (n, ...).
      weights: ≥ 0, the same shape; all shapes are those of numbers without derivatives.
      rounding: distances from the level that mean nothing, the same shape or a number.
    """
    size = len(values)
    number = lax.broadcasted_iota(values.dtype, values.shape, 0)
    given = jnp.stack([values, weights, number, values + rounding, values - rounding], axis=1)

    def add(place, state):
        pools, before = state
        pools = lax.dynamic_update_index_in_dim(pools, before, place - 1, 0)
        here = lax.dynamic_index_in_dim(given, place, 0, keepdims=False)
        rising = lax.while_loop(lambda pair: jnp.any(_falls(*pair)), lambda pair: joined(pools, *pair), (before, here))
        return pools, rising[1]

    def joined(pools, before, here):
        falls, (level, mass, first, least, most), (own, more, _, lowest, highest) = _falls(before, here), before, here
        # What weighs nothing must not draw a pool towards 0.
        weighs = mass + more > 0
        mean = jnp.where(weighs, (mass * level + more * own) / jnp.where(weighs, mass + more, 1.0), own)
        both = jnp.stack([mean, mass + more, first, jnp.minimum(least, lowest), jnp.maximum(most, highest)])
        row = jnp.maximum(first.astype(int) - 1, 0)
        return jnp.where(falls, pick(pools, row[None, None])[0], before), jnp.where(falls, both, here)

    def spread(turn, state):
        pools, after = state
        place = size - 1 - turn
        row = lax.dynamic_index_in_dim(pools, place, 0, keepdims=False)
        own = jnp.where(place < after[2], row, after)
        level, _, first, least, most = own
        apart = ((least < level) | (most > level)).astype(level.dtype)
        told = jnp.stack([level, (place == first).astype(level.dtype), apart, least, most])
        return lax.dynamic_update_index_in_dim(pools, told, place, 0), own

    pools, last = lax.fori_loop(1, size, add, (jnp.zeros_like(given), given[0]))
    pools = lax.dynamic_update_index_in_dim(pools, last, size - 1, 0)
    level, begins, apart, *_ = jnp.moveaxis(lax.fori_loop(0, size, spread, (pools, jnp.full_like(last, size)))[0], 1, 0)
    return Pools(level, begins > 0, apart > 0)


def _falls(before, here):
    """Whether a pool is lower than the one before it, if there is one."""
    return (here[2] > 0) & (before[0] > here[0])
