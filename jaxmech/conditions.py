"""The paper's conditions on a market, group by group."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxmech.first_best import neutral_type


@jax.jit
def condition_1(market):
    """Condition 1 per group: under first best the lowest type buys and the highest sells, in expectation.

    Not needed by the solver (theory §3): where it fails the trader always buys, or always sells.
    """
    law = market.endowment
    neutral = neutral_type(law, market.risk_capacity, market.count)
    return (law.lower < neutral) & (neutral < law.upper)


@partial(jax.jit, static_argnames="points")
def condition_2(market, points=129):
    """Condition 2 per group: F/f increasing and (1 − F)/f decreasing, checked at `points` types of the support."""
    sides = market.endowment.both_sides()
    steps = jnp.linspace(0, 1, points + 2)[1:-1].reshape((-1,) + (1,) * sides.lower.ndim)
    slopes = sides.left_tail(sides.lower + steps * (sides.upper - sides.lower)).ratio_slope
    return jnp.all(slopes >= -1e-9, axis=(0, 1))
