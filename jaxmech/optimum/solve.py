"""From a market to its optimal mechanism, and to the first best."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, mirrored, on_device
from jaxmech.inputs import real_numbers
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.optimum.budget import solve_within_budget
from jaxmech.optimum.first_best import neutral_type
from jaxmech.optimum.mechanism import Mechanism, mechanism_at, mechanism_of
from jaxmech.optimum.multipliers import solve_multipliers
from jaxmech.optimum.outcomes import interim_moments
from jaxmech.programs import compiled


def solve(market: Market, alpha: NumbersLike) -> Mechanism:
    """The mechanism that maximises αR + (1 − α)A subject to budget balance R ≥ 0: Eq. (6), Theorem 1.

    Args:
      market: a Market; batches carry trailing axes, or use `vmap`.
      alpha: weight on revenue, in [0, 1]; a number, or an array of the batch's shape.

    Returns:
      Mechanism, differentiable in the market and in α. Nothing raises inside jit: see `.error` and `certify`.

    Raises:
      MarketError: market is not a Market, or alpha is outside [0, 1] or not finite (outside jit only).
    """
    weight = weight_of(market, alpha, "alpha")
    return replace(_solve(market, weight), market=market)


@compiled
def _solve(market, weight):
    prepared = market.prepared().provided(_is_weight(weight))
    return mechanism_of(market, weight, *solve_within_budget(prepared, weight))


def budget_weight(market: Market) -> jax.Array:
    """w*: the smallest effective weight in [0, 1] at which revenue covers costs, 0 where first best breaks even.

    The weight of `solve` at α = 0, and by the same program.

    Args:
      market: a Market, or a batch with trailing axes.

    Returns:
      w*, scalar or of the batch's shape; NaN, inside jit, of what is no market. Smooth where positive, derivative 0
      where it is 0. A w* between 0 and 3e-62 (float32: 3e-8) is given as that.

    Raises:
      MarketError: market is not a Market.
    """
    return _solve(market, weight_of(market, np.zeros(()), "weight")).weight


def solve_at_weight(market: Market, weight: NumbersLike, alpha: NumbersLike | None = None) -> Mechanism:
    """The mechanism at a given effective weight w, budget balanced or not.

    With w = max(α, w*) this is `solve` without searching for w*: sweeps over α on one market find w* once.

    Args:
      market: a Market, or a batch.
      weight: w in [0, 1].
      alpha: the α it stands for; w itself if not given.
    """
    weight = weight_of(market, weight, "weight")
    alpha = weight if alpha is None else weight_of(market, alpha, "alpha")
    return replace(_solve_at_weight(market, weight, alpha), market=market)


@compiled
def _solve_at_weight(market, weight, alpha):
    prepared = market.prepared().provided(_is_weight(weight))
    solution = solve_multipliers(prepared, weight)
    return mechanism_of(market, alpha, weight, solution, interim_moments(prepared, weight, solution))


def first_best(market: Market) -> Mechanism:
    """The first best (Lemma 2): everybody ends with his share of the total endowment, budget balanced or not.

    The mechanism at w = 0, where V(z) = z, in closed form. Its outcomes count the largest participation fees that
    everybody accepts, so revenue is Proposition 1's: negative where a subsidy is needed (`minimum_subsidy`).

    Args:
      market: a Market; batches carry trailing axes.

    Returns:
      Mechanism with α = w = 0.

    Raises:
      MarketError: market is not a Market.
    """
    return replace(_first_best(checked_market(market)), market=market)


@compiled
def _first_best(market):
    prepared = market.prepared()
    eta = neutral_type(prepared)
    lower, upper = prepared.lower, prepared.upper
    binding = jnp.where(eta < lower, lower, jnp.where(eta > upper, upper, eta))
    nothing = jnp.zeros_like(eta[0])
    return mechanism_at(market, prepared, nothing, eta, mirrored(binding, binding), nothing)


def _is_weight(value):
    """Whether a traced number can be a weight at all."""
    return (value >= 0) & (value <= 1)


def weight_of(market: Any, value: NumbersLike, name: str) -> jax.Array:
    """A weight in [0, 1] as an array of the batch's shape; MarketError, outside jit, when it is not one."""
    checked_market(market)
    shape, dtype = jnp.shape(market.risk_capacity)[1:], market.risk_capacity.dtype
    if is_traced(value):
        return jnp.broadcast_to(jnp.asarray(value, dtype), shape)
    array = real_numbers(name, value, "one number in [0, 1] for each market")
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise MarketError(f"{name} is {value!r}; give one number in [0, 1] for each market") from None
    bad = ~((array >= 0) & (array <= 1))
    if np.any(bad):
        raise MarketError(f"{name} is {array[bad].flat[0]:g}; it must lie in [0, 1], 1 for revenue alone")
    return on_device(array.astype(dtype))
