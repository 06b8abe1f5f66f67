"""All that is asked of a market at an α, as one differentiable function."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import NumbersLike, total
from jaxmech.market.market import Market
from jaxmech.optimum.budget import solve_within_budget
from jaxmech.optimum.mechanism import mechanism_of
from jaxmech.optimum.outcomes import outcomes
from jaxmech.optimum.solve import aimed, weight_of
from jaxmech.plain import result
from jaxmech.programs import compiled, derived


@result("solved")
class Answers(NamedTuple):
    """The optimum at an α. Scalars have the batch's shape, arrays by group the group axis in front."""

    objective: jax.Array  # J = αR + (1 − α)A, and Σ nβ E g where there are welfare weights, money
    revenue: jax.Array  # R, money
    efficiency: jax.Array  # A, money
    first_best_efficiency: jax.Array  # A under Lemma 2, money
    first_best_surplus: jax.Array  # first-best A less that of no trade, money
    weight: jax.Array  # w = max(α, w*)
    budget_weight: jax.Array  # w*
    budget_multiplier: jax.Array  # λ
    no_trade_probability: jax.Array
    revenue_by_group: jax.Array  # (G, ...), money
    utility_gain_by_group: jax.Array  # (G, ...), money
    no_expected_trade_probability: jax.Array  # (G, ...)
    trade_size: jax.Array  # (G, ...), root of E X² of one trader, asset units
    eta: jax.Array  # η, (G, ...), asset units
    binding_lower: jax.Array  # a, (G, ...)
    binding_upper: jax.Array  # b, (G, ...)
    error: jax.Array  # distance to the solution of the multiplier system, relative; ∞ where it failed

    @derived
    def solved(self) -> jax.Array:
        """Whether the numbers are an optimum at all, of the batch's shape."""
        return (self.error <= jnp.finfo(self.error.dtype).eps ** 0.5) & jnp.isfinite(self.objective)


def answers_and_mechanism(market, alpha):
    """(Answers, the Mechanism they are of), for formulas inside a program."""
    # w* is the weight at α = 0: the market is solved twice, side by side in one program.
    prepared = market.prepared().provided((alpha >= 0) & (alpha <= 1))
    # In front of the batch: loops run along the last axis, which must be long.
    axis = -1 - alpha.ndim
    (unweighted, least), (prepared, floor) = (aimed(market, prepared, at) for at in (jnp.zeros_like(alpha), alpha))
    twice = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=axis), unweighted, prepared)
    both = solve_within_budget(twice, jnp.stack([least, floor]))
    floor, at_alpha = both[0][0], jax.tree.map(lambda leaf: lax.index_in_dim(leaf, 1, axis, keepdims=False), both)
    mechanism = mechanism_of(market, alpha, *at_alpha)
    achieved, interim = outcomes(mechanism), mechanism.interim()
    found = Answers(
        objective=objective_of(market, alpha, achieved),
        revenue=achieved.revenue,
        efficiency=achieved.efficiency,
        first_best_efficiency=achieved.first_best_efficiency,
        first_best_surplus=achieved.first_best_surplus,
        weight=mechanism.weight,
        budget_weight=floor,
        budget_multiplier=mechanism.budget_multiplier,
        no_trade_probability=achieved.no_trade_probability,
        revenue_by_group=achieved.revenue_by_group,
        utility_gain_by_group=achieved.utility_gain_by_group,
        no_expected_trade_probability=achieved.no_expected_trade_probability,
        trade_size=jnp.sqrt(interim.allocation_square),
        eta=mechanism.eta,
        binding_lower=mechanism.binding_interval[:, 0],
        binding_upper=mechanism.binding_interval[:, 1],
        error=mechanism.error,
    )
    return found, mechanism


def objective_of(market, alpha, achieved):
    """αR + (1 − α)A, and the traders' gains as far as their welfare weights count them (beyond §1)."""
    value = alpha * achieved.revenue + (1 - alpha) * achieved.efficiency
    if market.welfare_weight is None:
        return value
    return value + total(market.welfare_weight * achieved.utility_gain_by_group)


@compiled
def _answers(market, alpha):
    return answers_and_mechanism(market, alpha)[0]


def answers(market: Market, alpha: NumbersLike) -> Answers:
    """Everything that `solve` and `outcomes` say of a market at an α, flat: made to be differentiated.

    Args:
      market: a Market; batches carry trailing axes, or use `vmap`.
      alpha: weight on revenue, in [0, 1].

    Returns:
      Answers. Differentiable in the market and in α, any number of times, forwards and backwards. At α = w* derivatives
      are those from above; `sensitivity` reports both sides.

    Raises:
      MarketError: market is not a Market, or alpha is outside [0, 1] (outside jit only).
    """
    return _answers(market, weight_of(market, alpha, "alpha"))
