"""The price at which given demand schedules clear, whatever their shape; and schedules with one trader's replaced."""

import types

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

from jaxmech.auctions.tabulated import tabulated
from jaxmech.market.market import MarketError

CELLS = 64  # the range of prices is cut into so many
_STEPS = 60


def as_schedule(demand) -> Partial:
    """The function as a pytree, so that what it is compiled for does not include the numbers it carries.

    Methods of pytrees and `jax.tree_util.Partial` are compiled once; another plain function each time anew.
    """
    if not callable(demand):
        raise MarketError(f"demand is {type(demand).__name__}; give a function demand(z, price) of all traders")
    if isinstance(demand, Partial):
        return demand
    if isinstance(demand, types.MethodType) and not jax.tree_util.all_leaves([demand.__self__]):
        return Partial(demand.__func__, demand.__self__)
    return Partial(demand)


def with_deviation(rule, trader, function) -> Partial:
    """The demands of a rule with one trader's replaced: what `simulate` takes as `demand`.

    Args:
      rule: SidePayments, DoubleAuction, or anything with their `demand`; the others demand as it says.
      trader: who deviates, counted from 0.
      function: his demand, function(z, price) -> quantity, for arrays z, his endowments, and price that broadcast.
        Give `jax.tree_util.Partial(function, parameter)` to try many parameters with one compilation.

    Returns:
      demand(z, price), z of shape (..., N), price (...).
    """
    return Partial(_deviating, tabulated(rule), as_schedule(function), trader)


def _deviating(rule, function, trader, z, price):
    demanded = rule.demand(z, price)
    return demanded.at[..., trader].set(function(jnp.take(z, trader, axis=-1), price))


def unique_price(demand, z, low, high):
    """The one price in [low, high] at which Σ demand = 0, for each auction, and whether there is exactly one.

    Excess demand is looked at on a grid of 65 prices: sign changes and zeros are counted, the only one is refined to
    rounding. Zeros over a stretch of prices are not one price, and a jump over zero is none. Two roots between
    neighbouring prices of the grid go unnoticed, as do roots outside it.

    Args:
      demand: function(z, price) -> (..., N).
      z: shape (auctions, N).
      low, high: scalars.

    Returns:
      price, shape (auctions,), and a boolean of that shape.
    """

    def excess(price):
        quantity = demand(z, price)
        noise = 8 * jnp.finfo(quantity.dtype).eps * jnp.sum(jnp.abs(quantity), axis=-1)
        value = jnp.sum(quantity, axis=-1)
        return jnp.broadcast_to(jnp.where(jnp.abs(value) <= noise, 0.0, value), price.shape)

    step = (high - low) / CELLS
    grid = (low + step * jnp.arange(CELLS + 1))[:, None] + jnp.zeros_like(z[:, 0])
    value = excess(grid)
    zeros, crossings = value == 0, value[:-1] * value[1:] < 0
    at_zero = jnp.any(zeros, axis=0)
    place = jnp.where(at_zero, jnp.argmax(zeros, axis=0), jnp.argmax(crossings, axis=0))
    after = jnp.where(at_zero, place, jnp.minimum(place + 1, CELLS))

    def pick(array, place):
        return jnp.take_along_axis(array, place[None], axis=0)[0]

    scale = jnp.maximum(jnp.abs(pick(value, place)), jnp.abs(pick(value, after)))
    price = _refined(excess, pick(grid, place), pick(grid, after), pick(value, place), pick(value, after))
    clears = jnp.abs(excess(price)) <= 1e-9 * scale
    flat = (excess(price - step / 1024) == 0) | (excess(price + step / 1024) == 0)
    return price, (jnp.sum(zeros, axis=0) + jnp.sum(crossings, axis=0) == 1) & clears & ~flat


def _refined(excess, low, high, at_low, at_high):
    """The root between two prices with excess demands of opposite signs: a secant and a bisection in turn."""
    resolution = 2 * jnp.finfo(low.dtype).eps

    def narrowed(state, price):
        low, high, at_low, at_high = state
        price = jnp.where((price >= low) & (price <= high), price, 0.5 * (low + high))
        value = excess(price)
        left, right = (value == 0) | (value * at_low > 0), (value == 0) | (value * at_low < 0)
        keep = low == high
        return (
            jnp.where(left & ~keep, price, low),
            jnp.where(right & ~keep, price, high),
            jnp.where(left & ~keep, value, at_low),
            jnp.where(right & ~keep, value, at_high),
        )

    def step(state):
        bracket, count = state
        low, high, at_low, at_high = bracket
        rise = at_high - at_low
        bracket = narrowed(bracket, low - at_low * (high - low) / jnp.where(rise == 0, 1.0, rise))
        return narrowed(bracket, 0.5 * (bracket[0] + bracket[1])), count + 1

    def unfinished(state):
        (low, high, *_), count = state
        return jnp.any(high - low > resolution * jnp.maximum(jnp.abs(low), jnp.abs(high))) & (count < _STEPS)

    (low, high, at_low, at_high), _ = lax.while_loop(unfinished, step, ((low, high, at_low, at_high), 0))
    return jnp.where(jnp.abs(at_low) <= jnp.abs(at_high), low, high)
