"""A bracket around the root of a rising function: (low, value there < 0, high, value there ≥ 0, side last moved)."""

import jax
import jax.numpy as jnp

Bracket = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]


def narrowed(bracket: Bracket, at: jax.Array, value: jax.Array) -> Bracket:
    """The bracket once the value at a point inside it is known.

    Anderson and Björck: when one end moves twice running, the value kept at the other is scaled down.
    """
    low, short, high, over, side = bracket
    below = value < 0
    now = jnp.where(below, -1.0, 1.0)
    scale = 1 - value / jnp.where(below, short, over)
    scale = jnp.where(now == side, jnp.where(scale > 0, scale, 0.5), 1.0)
    return (
        jnp.where(below, at, low),
        jnp.where(below, value, short * scale),
        jnp.where(below, high, at),
        jnp.where(below, over * scale, value),
        now,
    )


def secant(bracket: Bracket) -> jax.Array:
    """Root of the straight line through both ends."""
    low, short, high, over, _ = bracket
    return jnp.clip(low - short * (high - low) / (over - short), low, high)
