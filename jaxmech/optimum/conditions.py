"""The paper's conditions on a market, group by group."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxmech.inputs import whole_number
from jaxmech.market.market import Market, checked_market
from jaxmech.optimum.first_best import neutral_type
from jaxmech.optimum.ironing.bunching import ratios_rise
from jaxmech.programs import compiled


def condition_1(market: Market) -> jax.Array:
    """Condition 1 per group: under first best the lowest type buys and the highest sells, in expectation.

    Not needed by the solver (theory §3): where it fails all types buy, or all sell, in expectation under first best.

    Args:
      market: a Market; batches carry trailing axes.

    Returns:
      Booleans, shape (G, ...).
    """
    return _condition_1(checked_market(market))


@compiled
def _condition_1(market):
    law = market.endowment
    neutral = neutral_type(market.prepared())
    return (law.lower < neutral) & (neutral < law.upper)


def condition_2(market: Market, points: int = 129) -> jax.Array:
    """Condition 2 per group: F/f increasing and (1 − F)/f decreasing, checked at `points` ≥ 2 types of the support.

    Laws given by panels are looked at on all nodes of these and on both sides of each jump instead. Not needed by the
    solver either: where it fails virtual types are ironed.

    Args:
      market: a Market; batches carry trailing axes.
      points: how many types.

    Returns:
      Booleans, shape (G, ...).
    """
    return _condition_2(checked_market(market), whole_number("points", points, 2))


@partial(compiled, static_argnames="points")
def _condition_2(market, points):
    sides = market.endowment.sides()
    steps = jnp.linspace(0, 1, points + 2)[1:-1].reshape((-1,) + (1,) * sides.lower.ndim)
    rises = sides.tail(sides.lower + steps * sides.width).ratio_slope >= -1e-9
    return jnp.all(rises, axis=(0, 1)) & jnp.all(ratios_rise(sides), axis=0)
