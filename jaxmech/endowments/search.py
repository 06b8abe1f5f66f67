"""Places in sorted arrays, and isotonic regression: batches along the trailing axes, no host, no loop over elements."""

import math

import jax.numpy as jnp
from jax import lax

_FEW = 64  # values or, sixteen times less, targets that are compared one by one


def count_below(values, target, strictly=True):
    """How many of the values, sorted along the first axis, lie below the target (or are equal to it: not `strictly`).

    Args:
      values: shape (n, ...).
      target: shape (m, ...).

    Returns:
      Integers of the shape of target. No derivative passes.
    """
    values, target = lax.stop_gradient((values, target))
    size, width = values.shape[0], target.shape[0]
    if size <= _FEW or width <= _FEW // 16:
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


def pick(values, place):
    """values[place] along the first axis, lane by lane: shapes (n, ...) and (m, ...), integers, give (m, ...)."""
    return jnp.take_along_axis(values, place, axis=0, mode="promise_in_bounds")


def isotonic(values, weights):
    """Weighted isotonic regression along the first axis: the nearest nondecreasing sequence in weighted squares.

    Halves that are nondecreasing are merged pairwise, log n times. What of the left half exceeds the level c, and what
    of the right half falls short of it, becomes c, with c such that the weighted mean stays:

        Σ_left w (x − c)⁺ = Σ_right w (c − x)⁺,

    found by Newton's method on that decreasing piecewise linear function. Costs nothing but a look where no value
    falls.

    Args:
      values: shape (n, ...).
      weights: ≥ 0, the same shape; all shapes are those of numbers without derivatives.
    """
    size = values.shape[0]
    full = 2 ** math.ceil(math.log2(size))

    def merged(state):
        values, _ = state
        last = jnp.broadcast_to(jnp.max(values, axis=0), (full - size, *values.shape[1:]))
        values, mass = jnp.concatenate([values, last]), jnp.concatenate([weights, jnp.zeros_like(last)])
        half = 1
        while half < full:
            pairs = (-1, 2, half, *values.shape[1:])
            values = _merged_pairs(values.reshape(pairs), mass.reshape(pairs)).reshape(values.shape)
            half *= 2
        return values[:size], jnp.asarray(False)

    falls = jnp.any(values[1:] < values[:-1])
    return lax.while_loop(lambda state: state[1], merged, (values, falls))[0]


def _merged_pairs(values, weights):
    """Each pair of nondecreasing halves, shape (pairs, 2, half, ...), made one nondecreasing sequence."""
    left, right, left_weight, right_weight = values[:, 0], values[:, 1], weights[:, 0], weights[:, 1]
    full = 4 * left.shape[1]  # more than any count
    low, high = right[:, 0], left[:, -1]

    def step(state):
        level, low, high, running, active, count = state
        above, below = left > level[:, None], right < level[:, None]
        over = jnp.sum(jnp.where(above, left_weight * (left - level[:, None]), 0.0), axis=1)
        under = jnp.sum(jnp.where(below, right_weight * (level[:, None] - right), 0.0), axis=1)
        mass = jnp.sum(jnp.where(above, left_weight, 0.0) + jnp.where(below, right_weight, 0.0), axis=1)
        low, high = jnp.where(over > under, level, low), jnp.where(over > under, high, level)
        newton = level + (over - under) / jnp.where(mass > 0, mass, 1.0)
        slack = 4 * jnp.finfo(level.dtype).eps * jnp.abs(newton)
        # Weights of 0 may send it in circles.
        safe = (newton >= low - slack) & (newton <= high + slack) & (count % 8 < 7)
        now = jnp.sum(above, axis=1) - jnp.sum(below, axis=1)  # rises as the level falls
        # A step of Newton's that ended on the linear piece it set out from has found the answer.
        found = ~running | (now == active) | (jnp.abs(newton - level) <= slack)
        new = jnp.where(found, level, jnp.where(safe, jnp.clip(newton, low, high), 0.5 * (low + high)))
        return new, low, high, ~found & (new != level), jnp.where(safe, now, full), count + 1

    def unfinished(state):
        *_, running, _, count = state
        return jnp.any(running) & (count < 80)

    pooled = high > low
    low, high = jnp.where(pooled, low, 0.0), jnp.where(pooled, high, 0.0)
    start = 0.5 * (low + high), low, high, pooled, jnp.full(low.shape, full), 0
    level, *_ = lax.while_loop(unfinished, step, start)
    level, pooled = level[:, None], pooled[:, None]
    left = jnp.where(pooled & (left > level), level, left)
    return jnp.stack([left, jnp.where(pooled & (right < level), level, right)], axis=1)


def runs(linked, most):
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
