"""From a market to its optimal mechanism, and to the first best."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, mirrored, on_device
from jaxmech.inputs import real_numbers
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.market.prepared import Prepared
from jaxmech.optimum.budget import solve_within_budget
from jaxmech.optimum.first_best import neutral_type
from jaxmech.optimum.mechanism import Mechanism, mechanism_at, mechanism_of
from jaxmech.optimum.multipliers import solve_multipliers
from jaxmech.optimum.outcomes import interim_moments
from jaxmech.optimum.target_lines import kernel_level, target_line
from jaxmech.programs import compiled


def solve(market: Market, alpha: NumbersLike, minimum_revenue: NumbersLike | None = None) -> Mechanism:
    """The mechanism that maximises αR + (1 − α)A subject to budget balance R ≥ 0: Eq. (6), Theorem 1.

    What the market's groups have besides is part of the problem (beyond §1): with welfare weights β the objective is
    αR + (1 − α)A + Σ nβ E g, g a trader's gain from trade; with outside options every type gains at least what he would
    gain there. What is left over where some β exceeds α goes to that group as a rebate, in equal parts.

    Args:
      market: a Market; batches carry trailing axes, or use `vmap`.
      alpha: weight on revenue, in [0, 1]; a number, or an array of the batch's shape.
      minimum_revenue: R_min, money, instead of the market's own, which is 0 unless it was told otherwise; negative for
        a subsidy, −∞ for no budget at all.

    Returns:
      Mechanism, differentiable in the market, in α and in R_min. Nothing raises inside jit: see `.error` and `certify`.
      Where no mechanism that keeps every type earns R_min its numbers are NaN, and `.largest_revenue` is the most that
      one does; where an outside option meets a law that is not regular, so that the optimum is not known, they are NaN
      and `.refused` is True (beyond §16): `solve_irregular` finds it. `.status` says it in words.

    Raises:
      MarketError: market is not a Market; alpha is outside [0, 1] or not finite, minimum_revenue NaN or +∞, or −∞ with
        a welfare weight above alpha (outside jit only).
    """
    weight = weight_of(market, alpha, "alpha")
    if minimum_revenue is not None:
        market = market.earning(minimum_revenue)
    refuse_unlimited_gain(market, weight)
    return replace(_solve(market, weight), market=market)


@compiled
def _solve(market, weight):
    prepared, floor = aimed(market, market.prepared().provided(is_weight(weight)), weight)
    return mechanism_of(market, weight, *solve_within_budget(prepared, floor))


def aimed(market: Market, prepared: Prepared, alpha: jax.Array) -> tuple[Prepared, jax.Array]:
    """The market as it is seen at α, and the least weight: α, or of u, λ₀/(1 + λ₀) with λ₀ = max(0, max β − α).

    Welfare weights are held fixed, not their ratios to 1 − α (beyond §2).
    """
    floor = alpha
    if market.welfare_weight is not None:
        excess = jnp.maximum(jnp.max(market.welfare_weight, axis=0) - alpha, 0.0)
        floor, lean = excess / (1 + excess), alpha - market.welfare_weight
        prepared = replace(prepared.provided(jnp.all(jnp.isfinite(lean), axis=0)), lean=lean)
    return prepared, floor


def budget_weight(market: Market, minimum_revenue: NumbersLike | None = None) -> jax.Array:
    """w*: the smallest effective weight in [0, 1] at which revenue covers costs, 0 where first best breaks even.

    The weight of `solve` at α = 0, and by the same program.

    Args:
      market: a Market, or a batch with trailing axes.
      minimum_revenue: as in `solve`.

    Returns:
      w*, scalar or of the batch's shape; NaN, inside jit, of what is no market, and where no mechanism earns so much.
      Smooth where positive, derivative 0 where it is 0. A w* between 0 and 3e-62 (float32: 3e-8) is given as that.

    Raises:
      MarketError: market is not a Market, or minimum_revenue no number.
    """
    return solve(market, np.zeros(()), minimum_revenue).weight


def solve_at_weight(market: Market, weight: NumbersLike, alpha: NumbersLike | None = None) -> Mechanism:
    """The mechanism at a given effective weight w, budget balanced or not.

    With w = max(α, w*) this is `solve` without searching for w*: sweeps over α on one market find w* once.

    Args:
      market: a Market, or a batch.
      weight: w in [0, 1].
      alpha: the α it stands for; w itself if not given. A welfare weight β makes a group's weight w − β(1 − w)/(1 − α).
    """
    weight = weight_of(market, weight, "weight")
    alpha = weight if alpha is None else weight_of(market, alpha, "alpha")
    return replace(_solve_at_weight(market, weight, alpha), market=market)


@compiled
def _solve_at_weight(market, weight, alpha):
    prepared, _ = aimed(market, market.prepared().provided(is_weight(weight)), alpha)
    if market.welfare_weight is not None:
        weight = jnp.where(weight > alpha, (weight - alpha) / jnp.where(alpha < 1, 1 - alpha, 1.0), 0.0)
    solution = solve_multipliers(prepared, weight)
    return mechanism_of(market, alpha, weight, solution, interim_moments(prepared, weight, solution), searched=False)


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
    lower, upper, level = prepared.lower, prepared.upper, kernel_level(eta, target_line(prepared))
    binding = jnp.where(level < lower, lower, jnp.where(level > upper, upper, level))
    nothing = jnp.zeros_like(eta[0])
    return mechanism_at(market, prepared, nothing, eta, mirrored(binding, binding), nothing)


def is_weight(value: jax.Array) -> jax.Array:
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


def refuse_unlimited_gain(market: Market, alpha: jax.Array) -> None:
    """MarketError where no budget limits what a group is given that is worth more than revenue."""
    welfare, least = market.welfare_weight, market.minimum_revenue
    if welfare is None or least is None or is_traced((welfare, least, alpha)):
        return
    above = (np.asarray(least) == -np.inf) & (np.asarray(welfare) > np.asarray(alpha))
    if np.any(above):
        group = int(np.argmax(np.any(above.reshape(market.groups, -1), axis=1)))
        said = f"minimum_revenue is −∞ and the welfare weight of {market.names[group]} above alpha"
        raise MarketError(f"{said}: nothing limits its gain; give a minimum_revenue, such as 0")
