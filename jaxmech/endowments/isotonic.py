"""Isotonic regression: batches along the trailing axes, no host."""

import jax.numpy as jnp
from jax import lax

from jaxmech.endowments.search import pick


def isotonic(values, weights):
    """Weighted isotonic regression along the first axis: the nearest nondecreasing sequence in weighted squares.

    Adjacent violators are pooled (Ayer et al., Annals of Mathematical Statistics 26, 1955): each value is laid on a
    stack of pools, whose last two are joined while they fall. At most 2n steps, all lanes of a batch at once.

    Args:
      values: shape (n, ...).
      weights: ≥ 0, the same shape; all shapes are those of numbers without derivatives.
    """
    size = values.shape[0]
    number = lax.broadcasted_iota(values.dtype, values.shape, 0)
    given = jnp.stack([values, weights, number], axis=1)

    def step(state):
        pools, top, seen = state
        (level, mass, first), (before, joint, begun), own = (
            _at(stack, place) for stack, place in ((pools, top), (pools, top - 1), (given, jnp.minimum(seen, size - 1)))
        )
        falls = (top > 0) & (before > level)
        fresh = (seen < size) & ~falls
        # What weighs nothing must not draw a pool towards 0.
        weighs = joint + mass > 0
        mean = jnp.where(weighs, (joint * before + mass * level) / jnp.where(weighs, joint + mass, 1.0), level)
        joined = jnp.stack([mean, joint + mass, begun])
        new = jnp.where(falls, joined, jnp.where(fresh, own, jnp.stack([level, mass, first])))
        top = top - falls + fresh
        place = jnp.broadcast_to(top, (1, *new.shape))
        return jnp.put_along_axis(pools, place, new[None], axis=0, inplace=False), top, seen + fresh

    def unfinished(state):
        pools, top, seen = state
        return jnp.any((seen < size) | ((top > 0) & (_at(pools, top - 1)[0] > _at(pools, top)[0])))

    nowhere = jnp.zeros(values.shape, int)
    pools, top, _ = lax.while_loop(unfinished, step, (given, nowhere[0], nowhere[0] + 1))
    first = jnp.where(number <= top, pools[:, 2].astype(int), size)
    lanes = jnp.indices(values.shape, sparse=True)[1:]
    begins = nowhere.at[(first, *lanes)].add(1, mode="drop")
    return pick(pools[:, 0], jnp.cumsum(begins, axis=0) - 1)


def _at(stack, place):
    return pick(stack, jnp.maximum(place, 0)[None, None])[0]
