"""Isotonic regression: batches along the trailing axes, no host, no loop over elements."""

import jax.numpy as jnp
from jax import lax

_FEW = 8  # neighbours regressed by one formula
_NEAR = 32  # places on each side of a seam between long halves where pools are looked for first


def isotonic(values, weights):
    """Weighted isotonic regression along the first axis: the nearest nondecreasing sequence in weighted squares.

    Few neighbours at a time are regressed by a formula; then nondecreasing halves are merged pairwise, log n times.
    Costs nothing but a look where no value falls, and is linear in n while pools are short.

    Args:
      values: shape (n, ...).
      weights: ≥ 0, the same shape; all shapes are those of numbers without derivatives.
    """
    size = values.shape[0]

    def regressed(_):
        last, half = jnp.max(values, axis=0), _FEW
        found, mass = _filled(values, last, half), _filled(weights, jnp.zeros_like(last), half)
        found = _regressed_blocks(found, mass)
        while half < size:
            found, mass = _filled(found, last, 2 * half), _filled(mass, jnp.zeros_like(last), 2 * half)
            pairs = (-1, 2, half, *found.shape[1:])
            found = _merged_pairs(found.reshape(pairs), mass.reshape(pairs)).reshape(found.shape)
            half *= 2
        return found[:size], jnp.asarray(False)

    falls = jnp.any(values[1:] < values[:-1])
    return lax.while_loop(lambda state: state[1], regressed, (values, falls))[0]


def _filled(values, last, block):
    """The values, and `last` behind them until their number is a multiple of the block."""
    short = -values.shape[0] % block
    return jnp.concatenate([values, jnp.broadcast_to(last, (short, *values.shape[1:]))]) if short else values


def _regressed_blocks(values, weights):
    """Each block of few neighbours regressed: x_i = max over j ≤ i of the min over k ≥ i of the mean of j to k."""
    blocks = (-1, _FEW, *values.shape[1:])
    x, weight = (jnp.moveaxis(of.reshape(blocks), 1, 0) for of in (values, weights))
    weight = jnp.maximum(weight, 1e8 * jnp.finfo(weight.dtype).tiny)  # what weighs nothing moves nobody
    result = list(x)
    for first in range(_FEW):
        mass, moment, means = weight[first], weight[first] * x[first], [x[first]]
        for place in range(first + 1, _FEW):
            mass, moment = mass + weight[place], moment + weight[place] * x[place]
            means.append(moment / mass)
        least = means[-1]
        for place in range(_FEW - 1, first - 1, -1):
            least = jnp.minimum(least, means[place - first])
            result[place] = jnp.maximum(result[place], least) if first else least
    return jnp.stack(result, axis=1).reshape(values.shape)


def _merged_pairs(values, weights):
    """Each pair of nondecreasing halves, shape (pairs, 2, half, ...), made one: near the seam if that is enough."""
    if values.shape[2] <= 4 * _NEAR:
        return _joined(values, weights)
    near_values, near_weights = (jnp.stack([of[:, 0, -_NEAR:], of[:, 1, :_NEAR]], axis=1) for of in (values, weights))
    near = _joined(near_values, near_weights)
    beyond = jnp.any((near[:, 0, 0] != near_values[:, 0, 0]) | (near[:, 1, -1] != near_values[:, 1, -1]))
    near = values.at[:, 0, -_NEAR:].set(near[:, 0]).at[:, 1, :_NEAR].set(near[:, 1])

    def whole(_):
        return _joined(values, weights), jnp.asarray(False)

    # A loop entered once or never: a cond would be entered always under vmap.
    return lax.while_loop(lambda state: state[1], whole, (near, beyond))[0]


def _joined(values, weights):
    """Each pair of nondecreasing halves, shape (pairs, 2, half, ...), made one nondecreasing sequence.

    What of the left half exceeds the level c, and what of the right half falls short of it, becomes c, with c such that
    the weighted mean stays:

        Σ_left w (x − c)⁺ = Σ_right w (c − x)⁺,

    found by Newton's method on that decreasing piecewise linear function.
    """
    sign = jnp.asarray([1.0, -1.0], values.dtype).reshape((1, 2) + (1,) * (values.ndim - 2))
    low, high = values[:, 1, 0], values[:, 0, -1]

    def seen(level):
        """What is on the wrong side of the level."""
        return sign * (values - level[:, None, None]) > 0

    def step(state):
        level, low, high, running, before, count = state
        outside = seen(level)
        mass, change, over = (
            jnp.sum(jnp.where(outside, of, 0.0), axis=(1, 2))
            for of in (weights, sign * weights, weights * (values - level[:, None, None]))
        )
        low, high = jnp.where(over > 0, level, low), jnp.where(over > 0, high, level)
        newton = level + over / jnp.where(mass > 0, mass, 1.0)
        slack = 4 * jnp.finfo(level.dtype).eps * jnp.abs(newton)
        # Weights of 0 may send it in circles.
        safe = (newton >= low - slack) & (newton <= high + slack) & (count % 8 < 7)
        # A step of Newton's that ended on the linear piece it set out from has found the answer.
        found = ~running | (change == before) | (jnp.abs(newton - level) <= slack)
        new = jnp.where(found, level, jnp.where(safe, jnp.clip(newton, low, high), 0.5 * (low + high)))
        return new, low, high, ~found & (new != level), jnp.where(safe, change, jnp.inf), count + 1

    def unfinished(state):
        *_, running, _, count = state
        return jnp.any(running) & (count < 80)

    pooled = high > low
    low, high = jnp.where(pooled, low, 0.0), jnp.where(pooled, high, 0.0)
    start = 0.5 * (low + high), low, high, pooled, jnp.full_like(low, jnp.inf), 0
    level, *_ = lax.while_loop(unfinished, step, start)
    return jnp.where(pooled[:, None, None] & seen(level), level[:, None, None], values)
