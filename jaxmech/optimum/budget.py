"""The budget constraint: the smallest effective weight at which the exchange breaks even (theory §2, §6).

Everything depends on α and λ only through w = (α + λ)/(1 + λ), and revenue R(w) never falls in w. So w* is a property
of the market alone, the optimum at α is the mechanism at w = max(α, w*), and λ = (w − α)/(1 − w).

Where groups have welfare weights, u = λ/(1 + λ) stands in place of w here: each group's weight is u + (1 − u)(α − β)
(beyond §2), and R(u) never falls either. Where revenue has a target R_min it is R − R_min that must not be negative.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import standard
from jaxmech.endowments.panels import known_to
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import batch_behind
from jaxmech.numerics.roots import narrowed, secant
from jaxmech.numerics.tangents import directional, is_zero, scaled
from jaxmech.optimum.binding_ends import end_range
from jaxmech.optimum.first_best import first_best_revenue, first_best_surplus
from jaxmech.optimum.multipliers import Multipliers, moved, newton_iteration
from jaxmech.optimum.outcomes import Interim, interim_moments, revenue
from jaxmech.optimum.pieces import in_pieces

MAX_STEPS = 120
_LEAP = 1e-10  # by which w goes up to get over a leap of R


@jax.custom_jvp
@batch_behind
@in_pieces
def solve_within_budget(market: Prepared, floor: jax.Array) -> tuple[jax.Array, Multipliers, Interim]:
    """The smallest w ≥ floor with R(w) ≥ R_min, Eq. (7), and the solution of (*) there; w = 1 where there is none.

    Every market is tried at the floor. Whether first best breaks even is decided by its closed form, never by the sign
    of a rounding-level R. Markets that fall short go on: w ↦ R is nearly linear in u = w/(1 + w)², exactly so for
    symmetric uniform endowments, and a bracketed secant iteration in u finds its root.

    Args:
      market: Prepared.
      floor: lowest weight allowed (α; of u, λ₀/(1 + λ₀)), in [0, 1], one for each market of the batch.

    Returns:
      (weight, Multipliers, Interim). Derivatives are one-sided where floor = w*: those from above, dw = d floor.
    """
    at_first_best, within = first_best_revenue(market), end_range(market)
    at_first_best = at_first_best if market.target is None else at_first_best - market.target
    tolerance = 2 * jnp.finfo(floor.dtype).eps
    surplus = first_best_surplus(market)
    near = known_to(1e-10, floor.dtype) * surplus
    # A target is met to what R is known to: batches wait for the last market, which rounding would keep for long.
    met = 32 * tolerance if market.extended else tolerance
    # First best at the floor, if it is found by w alone, or if nobody's weight is more than 0 there.
    trusted = True if market.lean is None else jnp.all(market.weights(floor) <= 0, axis=0)

    def step(state):
        weight, bracket, running, steps, *_ = state
        solution = newton_iteration(market, within, weight)
        moments = interim_moments(market, weight, solution)
        earned = left_over(market, moments)
        seen = narrowed(bracket, weight / (1 + weight) ** 2, earned)
        if not market.extended:
            # What R is at the floor is forgotten, so that w* is the same number whatever α lies below it.
            bracket = jax.tree.map(lambda new, old: jnp.where(steps > 0, new, old), seen, bracket)
        else:
            bracket = seen
        low, _, high, *_ = bracket
        # Where R leaps over 0 the budget is met just above, or further up where R is not known to rounding.
        collapsed, short = high - low <= tolerance * high, earned < -near
        beyond = jnp.maximum(low, high) * (1 + known_to(_LEAP, floor.dtype)) + 2 * jnp.maximum(low - high, 0.0)
        new = jnp.maximum(_weight_of(jnp.where(collapsed & short, beyond, _next(bracket, steps))), least)
        enough = (steps == 0) & (trusted & ~(at_first_best < 0) | (earned >= 0)) | (weight == least) & (earned >= 0)
        if market.extended:
            # At once to w = 1, where R is largest: if that is too little there is no such mechanism.
            new = jnp.where(steps == 0, 1.0, new)
            enough = enough | (weight >= 1) & (earned < 0) | jnp.isnan(earned)
        settled = (jnp.abs(new - weight) <= tolerance * weight) & (jnp.abs(earned) <= near)
        arrived = enough | settled | collapsed & ~short | (jnp.abs(earned) <= met * surplus)
        # Where a market has arrived the weight stays, and so does all that is found there, to the last bit.
        running = running & ~arrived
        return jnp.where(running, new, weight), bracket, running, steps + 1, solution, moments

    def unfinished(state):
        _, _, running, steps, *_ = state
        return jnp.any(running & (steps < MAX_STEPS))

    zero, least = jnp.zeros_like(floor), _least(floor.dtype)
    # R(u) ≈ R(0) + 2 surplus·u, exact for symmetric uniform endowments, stands in for R at the upper end.
    guess = jnp.maximum(at_first_best + 0.5 * surplus, 0.05 * surplus)
    bracket = zero, jnp.minimum(at_first_best, 0.0), zero + 0.25, guess, zero
    if market.extended:
        bracket = zero, zero - 1, zero + 0.25, zero + 1, zero
    start = floor, bracket, jnp.broadcast_to(market.possible, floor.shape), jnp.zeros(floor.shape, int)
    found: Any = lax.while_loop(unfinished, step, (*start, *_nothing(market, within, floor)))
    weight, *_, solution, moments = found
    return weight, solution._replace(error=jnp.where(market.possible, solution.error, jnp.inf)), moments


def left_over(market: Prepared, moments: Interim) -> jax.Array:
    """R − R_min."""
    earned = revenue(market, moments)
    return earned if market.target is None else earned - market.target


def _nothing(market, within, weight) -> Any:
    """A solution and its moments, all 0."""

    def found(market, within, weight):
        solution = newton_iteration(market, within, weight)
        return solution, interim_moments(market, weight, solution)

    shapes = jax.eval_shape(found, market, within, weight)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _weight_of(u):
    """w in [0, 1] with w/(1 + w)² = u, u in [0, ¼]."""
    root = jnp.sqrt(jnp.maximum(1 - 4 * u, 0.0))
    return 2 * u / (1 - 2 * u + root)


def _least(dtype):
    """The smallest w* above 0 that is told apart, 3e-62: below it densities underflow where they decide."""
    return jnp.finfo(dtype).tiny ** 0.2


def _next(bracket, steps):
    """Where to look next: the secant's root. Late odd steps halve the bracket in log u instead, for densities so small
    somewhere that R leaps over many decades of u."""
    low, _, high, *_ = bracket
    halved = jnp.sqrt(jnp.maximum(low, _least(low.dtype))) * jnp.sqrt(high)
    return jnp.where((steps >= 9) & (steps % 2 == 1), jnp.clip(halved, low, high), secant(bracket))


@partial(solve_within_budget.defjvp, symbolic_zeros=True)
@standard
def _solve_within_budget_jvp(primals, tangents):
    found = solve_within_budget(*primals)
    return found, _tangents(found, *primals, *tangents)


@jax.custom_jvp
@batch_behind
@in_pieces
def solve_at_known_weight(
    market: Prepared, floor: jax.Array, weight: jax.Array
) -> tuple[jax.Array, Multipliers, Interim]:
    """What `solve_within_budget` finds where its weight, max(floor, w*), is known already; its derivatives, too."""
    solution = newton_iteration(market, end_range(market), weight)
    return weight, solution, interim_moments(market, weight, solution)


@partial(solve_at_known_weight.defjvp, symbolic_zeros=True)
@standard
def _solve_at_known_weight_jvp(primals, tangents):
    found, (market, floor, _), (market_dot, floor_dot, _) = solve_at_known_weight(*primals), primals, tangents
    return found, _tangents(found, market, floor, market_dot, floor_dot)


def _tangents(found, market, floor, market_dot, floor_dot):
    """Where the budget binds R(w*) = 0 gives dw* = −dR/R'(w*); elsewhere w is the floor."""
    weight, solution, moments = found
    weight_dot = jnp.zeros_like(weight) if is_zero(floor_dot) else floor_dot
    binds = (weight > floor) & (weight > _least(weight.dtype))

    def along(market_dot, weight_dot):
        solution_dot = moved(solution, market, weight, market_dot, weight_dot)
        at, dots = (market, weight, solution), (market_dot, weight_dot, solution_dot)
        _, moments_dot = directional(interim_moments, at, dots)
        _, earned_dot = directional(left_over, (market, moments), (market_dot, moments_dot))
        return (solution_dot, moments_dot), earned_dot

    by_weight, slope = along(None, jnp.ones_like(weight))
    if all(map(is_zero, jax.tree.leaves(market_dot))):
        weight_dot = jnp.where(binds, 0.0, weight_dot)
        return weight_dot, *scaled(by_weight, weight_dot)
    by_market, earned_dot = along(market_dot, None)
    weight_dot = jnp.where(binds, -earned_dot / jnp.where(binds, slope, 1.0), weight_dot)
    return weight_dot, *scaled(by_weight, weight_dot, by_market)
