"""Fees that keep everybody inside where traders have outside options."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxmech.market.outside import OutsideOption
from jaxmech.optimum.target_lines import outside_gain


def least_over_outside(
    gain: Callable[[jax.Array], jax.Array],
    starts: jax.Array,
    steepness: jax.Array,
    option: OutsideOption,
    lower: jax.Array,
    upper: jax.Array,
    risk_capacity: jax.Array,
) -> jax.Array:
    """min g(z) − o(z), (G, ...): the least gain of any type over what he can do instead, the largest fee all accept.

    g − o is made of parabolas, so it is least where one of them turns, where they meet, or at an end of the support.

    Args:
      gain: g, money: parabolas steepness·(z − start)², but for constants; takes types of shape (types, G, ...).
      starts: where they start, (parabolas, G, ...).
      steepness: of all of them, (G, ...).
      option: outside options.
      lower, upper: ends of the supports.
      risk_capacity: κ.
    """
    bend = option.gamma / (2 * risk_capacity)
    rises = steepness > bend
    turns = (steepness * starts - bend * option.centre) / jnp.where(rises, steepness - bend, 1.0)
    places = jnp.concatenate([lower[None], upper[None], starts, jnp.where(rises, turns, starts)])
    places = jnp.clip(places, lower, upper)
    return jnp.min(gain(places) - outside_gain(option, places, risk_capacity), axis=0)
