"""Places in sorted arrays, and runs: batches along the trailing axes, no host, no loop over elements."""

import math

import jax
import jax.numpy as jnp
from jax import lax

_FEW = 64  # values or, sixteen times less, targets that are compared one by one


def count_below(values: jax.Array, target: jax.Array, strictly: bool = True) -> jax.Array:
    """How many of the values, sorted along the first axis, lie below the target (or are equal to it: not `strictly`).

    Args:
      values: shape (n, ...).
      target: shape (m, ...).

    Returns:
      Integers of the shape of target. No derivative passes.
    """
    values, target = lax.stop_gradient((values, target))
    size = values.shape[0]
    if _are_few(values, target):
        inside = values[:, None] < target if strictly else values[:, None] <= target
        return jnp.sum(inside, axis=0, dtype=int)

    def halved(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        at = pick(values, jnp.minimum(middle, size - 1))
        inside = ((at < target) if strictly else (at <= target)) & (low < high)
        return jnp.where(inside, middle + 1, low), jnp.where(inside, high, middle)

    low = jnp.zeros(jnp.broadcast_shapes(target.shape, (1, *values.shape[1:])), int)
    return lax.fori_loop(0, math.ceil(math.log2(size + 1)), halved, (low, low + size))[0]


def _are_few(values, target):
    return len(values) <= _FEW or len(target) <= _FEW // 16


def first_reached(values: jax.Array, target: jax.Array) -> jax.Array:
    """The first place where the values, which need not be sorted, reach the target; shapes as in `count_below`."""
    if not _are_few(values, target):
        return count_below(lax.cummax(values, axis=0), target)
    place = lax.broadcasted_iota(int, values.shape, 0)[:, None]
    return jnp.min(jnp.where(values[:, None] >= target, place, len(values)), axis=0)


def pick(values: jax.Array, place: jax.Array) -> jax.Array:
    """values[place] along the first axis, lane by lane: shapes (n, ...) and (m, ...), integers, give (m, ...)."""
    return jnp.take_along_axis(values, place, axis=0, mode="promise_in_bounds")


def runs(linked: jax.Array, most: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """First and last places of the runs of linked neighbours, in order.

    Args:
      linked: whether place j and place j + 1 belong together, shape (n − 1, ...).
      most: how many runs are reported.

    Returns:
      first, last, exists: shape (most, ...); where a run does not exist the places are n − 1.
      number: how many there are, shape (...).
    """
    edge = jnp.zeros_like(linked[:1])
    before, after = jnp.concatenate([edge, linked]), jnp.concatenate([linked, edge])
    number = jnp.arange(1, most + 1).reshape((-1,) + (1,) * (linked.ndim - 1))
    number = jnp.broadcast_to(number, (most, *linked.shape[1:]))
    started, ended = (jnp.cumsum(where, axis=0, dtype=int) for where in (after & ~before, before & ~after))
    exists = number <= started[-1]
    first, last = (jnp.minimum(count_below(count, number), linked.shape[0]) for count in (started, ended))
    return first, last, exists, started[-1]
