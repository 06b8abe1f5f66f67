"""Roots of rising functions within brackets."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Bracket = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def bracketed_newton(
    look: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    low: jax.Array,
    high: jax.Array,
    scale: jax.Array,
    most: int,
) -> jax.Array:
    """The root of a rising function between low and high: by Newton's steps, by halving where one leaves the bracket.

    Args:
      look: function(x) -> (whether the root lies above x, where Newton's step from x leads; NaN is halved).
      low, high, scale: of one shape; steps of 4 eps of |x| + scale are the last.
      most: of steps.

    Returns:
      The root, without derivatives.
    """
    resolution = 4 * jnp.finfo(low.dtype).eps

    def step(state):
        x, low, high, _, count = state
        above, newton = look(x)
        low, high = jnp.where(above, x, low), jnp.where(above, high, x)
        new = jnp.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        return new, low, high, jnp.abs(new - x), count + 1

    def unfinished(state):
        x, *_, move, count = state
        return (count < most) & jnp.any(move > resolution * (jnp.abs(x) + scale))

    return lax.while_loop(unfinished, step, (0.5 * (low + high), low, high, jnp.full_like(low, jnp.inf), 0))[0]


def narrowed(bracket: Bracket, point: jax.Array, value: jax.Array) -> Bracket:
    """The bracket (low, value there < 0, high, value there ≥ 0, side last moved) once the value at a point is known.

    Anderson and Björck: when one end moves twice running, the value kept at the other is scaled down.
    """
    low, short, high, over, side = bracket
    below = value < 0
    now = jnp.where(below, -1.0, 1.0)
    scale = 1 - value / jnp.where(below, short, over)
    scale = jnp.where(now == side, jnp.where(scale > 0, scale, 0.5), 1.0)
    return (
        jnp.where(below, point, low),
        jnp.where(below, value, short * scale),
        jnp.where(below, high, point),
        jnp.where(below, over * scale, value),
        now,
    )


def secant(bracket: Bracket) -> jax.Array:
    """Root of the straight line through both ends."""
    low, short, high, over, _ = bracket
    return jnp.clip(low - short * (high - low) / (over - short), low, high)
