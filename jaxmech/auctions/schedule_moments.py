"""Moments of simple schedules, and η, the offer of those who expect no trade.

With three numbers a group, the spread δ, the slope σ and the group's mean endowment μ, type z offers

    V(z) = clip(η, ψ⁺, ψ⁻),    ψ∓(z) = (z − σμ ± ½δ)/(1 − σ),    flat on [a, b] = (1 − σ)η + σμ ∓ ½δ.

η solves the system (*) of theory §3 with these V. All moments of V are sums of F, ∫F and ∫∫F at a and b. With
c = clip(η, V(l), V(h)), the value of V next to η, and G, H the first two integrals of F at a, the types below a add

    E[c − V] = G/(1 − σ),    E[(c − V)²] = 2H/(1 − σ)²,    E[(a − Z)(c − V)] = 2H/(1 − σ),    ∫F (c − V) = H/(1 − σ)

and those above b the same for the mirror image.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import mirrored, norm, standard, total
from jaxmech.auctions.participation import least_over_outside
from jaxmech.numerics.tangents import directional
from jaxmech.optimum.multipliers import arrowhead_solve, system_residual, uniform_eta
from jaxmech.optimum.outcomes import absorbed_variance

MAX_STEPS = 100
_TOLERANCE = 100
_STALL = 1e-11


class ScheduleMoments(NamedTuple):
    """V of one trader of each group, shape (G, ...)."""

    ends: jax.Array  # (a, −b) within the support, (2, G, ...)
    mean: jax.Array  # E V
    flat: jax.Array  # F(b) − F(a)
    variance: jax.Array  # Var V
    pull: jax.Array  # E[Z (η − V)]
    rent: jax.Array  # ∫ F (η − V)⁺ + (1 − F)(V − η)⁺
    shared_risk_gain: jax.Array  # s² v₋/(2κ(1 − s)), gain of the types on [a, b] without fee, money
    least_gain: jax.Array  # of any type without fee, money
    largest_fee: jax.Array  # the same; with outside options, over what he can do instead
    endowment_mean: jax.Array  # E Z
    endowment_variance: jax.Array  # Var Z


def schedule_moments(market, spread, slope, eta) -> ScheduleMoments:
    """Closed forms of the module's docstring at a given η, all of shape (G, ...); market is Prepared."""
    mean, risk_capacity, count, steepness = market.mean, market.risk_capacity, market.count, 1 / (1 - slope)
    free, ends = _flat_ends(market, spread, slope, eta)
    tail = market.sides.tail(ends)
    short, square = steepness * tail.integral, 2 * steepness**2 * tail.second_integral
    lever, earned = 2 * steepness * tail.second_integral, steepness * tail.second_integral
    beyond = positive(free - ends)  # how far [a, b] lies beyond the support: row 0 above it, row 1 below it
    off = steepness * (beyond[0] - beyond[1])  # η − c
    variance = square[0] + square[1] - (short[0] - short[1]) ** 2
    sure = positive(off) * (market.upper - mean) + positive(-off) * (mean - market.lower)
    share = risk_capacity / total(count * risk_capacity)
    shared = absorbed_variance(variance, share, count) / (2 * risk_capacity * (1 - share))
    rise = (1 - share) / risk_capacity * 0.5 * steepness
    least = largest = shared + rise * (beyond[0] + beyond[1]) ** 2
    if market.outside is not None:
        starts = jnp.stack([free[0], -free[1]])

        def gain(z):
            return shared + rise * (positive(starts[0] - z) + positive(z - starts[1])) ** 2

        largest = least_over_outside(gain, starts, rise, market.outside, market.lower, market.upper, risk_capacity)
    return ScheduleMoments(
        ends=ends,
        mean=eta - off - short[0] + short[1],
        flat=1 - tail.cdf[0] - tail.cdf[1],
        variance=variance,
        pull=jnp.sum(ends * short - lever, axis=0) + off * mean,
        rent=earned[0] + earned[1] + sure,
        shared_risk_gain=shared,
        least_gain=least,
        largest_fee=largest,
        endowment_mean=mean,
        endowment_variance=market.variance,
    )


def _flat_ends(market, spread, slope, eta):
    """(a, −b) as the straight lines have it, and within the support."""
    middle = (1 - slope) * eta + slope * market.mean
    free = mirrored(middle, middle) - 0.5 * spread
    lower, upper = market.sides.lower, market.sides.upper
    return free, jnp.where(free < lower, lower, jnp.where(free > upper, upper, free))


def positive(value):
    return jnp.where(value > 0, value, 0.0)


def _expected_offer(eta, market, spread, slope):
    """m = E V and dm/dη = F(b) − F(a)."""
    free, ends = _flat_ends(market, spread, slope, eta)
    tail, beyond = market.sides.tail(ends), positive(free - ends)
    shift = beyond[1] - beyond[0] - tail.integral[0] + tail.integral[1]
    return eta + shift / (1 - slope), 1 - tail.cdf[0] - tail.cdf[1]


def _most_flat(dtype):
    """Where everybody's V is flat almost surely the Jacobian is singular: F(b) − F(a) counts for this at most there."""
    return 1 - jnp.finfo(dtype).eps ** 0.7


@jax.custom_jvp
def solve_neutral_offer(market, spread, slope):
    """Solve (*) of theory §3 for η, with the V of simple schedules.

        η_i (K − κ_i) = κ_i (M − m_i(η_i)),    M = Σ_j m_j(η_j),    dm/dη = F(b) − F(a)

    Newton's step from the arrowhead Jacobian, shortened until it reduces the residual in the norm in which the system
    contracts (theory §4; that needs nothing of V but 0 ≤ dm/dη ≤ 1, so the solution is unique).

    Args:
      market: Prepared.
      spread, slope: δ ≥ 0 and σ < 1, shape (G, ...). Somebody must trade: not every [a, b] may cover its support.

    Returns:
      (η, error): shape (G, ...) and (...). The error is the length of the Newton step not taken, in units of
      width + |η|; ∞ where the solve failed. Differentiable to any order in every argument by the implicit function
      theorem.
    """
    risk_capacity, count = market.risk_capacity, market.count
    others = market.total_risk_capacity - risk_capacity
    tolerance, most = _TOLERANCE * jnp.finfo(risk_capacity.dtype).eps, _most_flat(risk_capacity.dtype)

    def step(state):
        eta, move, best, error, _, steps = state
        mean_offer, flat = _expected_offer(eta + move, market, spread, slope)
        residual = system_residual(eta + move, mean_offer, risk_capacity, count)
        missed = jnp.max(jnp.abs(residual / (others * risk_capacity)), axis=0)
        newton = arrowhead_solve(residual, jnp.minimum(flat, most), risk_capacity, count)
        now = norm(newton / (market.width + jnp.abs(eta)))
        settled = (now <= tolerance) | ((now > 0.25 * error) & (now < _STALL))
        nearer = (missed < best) | settled
        return (
            jnp.where(nearer, eta + move, eta),
            jnp.where(settled, 0.0, jnp.where(nearer, newton, 0.4 * move)),
            jnp.minimum(missed, best),
            jnp.where(nearer, now, error),
            ~settled,
            steps + 1,
        )

    def unfinished(state):
        *_, running, steps = state
        return jnp.any(running) & (steps < MAX_STEPS)

    eta = uniform_eta(market.mean, risk_capacity, count, jnp.clip(slope / (1 - slope), 0, 1))
    infinity = jnp.full(eta.shape[1:], jnp.inf, eta.dtype)
    start = eta, jnp.zeros_like(eta), infinity, infinity, jnp.full(eta.shape[1:], True), 0
    eta, _, _, error, *_ = lax.while_loop(unfinished, step, start)
    return eta, jnp.where(error >= 0, error, jnp.inf)


@partial(solve_neutral_offer.defjvp, symbolic_zeros=True)
@standard
def _solve_neutral_offer_jvp(primals, tangents):
    eta, error = solve_neutral_offer(*primals)

    def equations(market, spread, slope):
        mean_offer, flat = _expected_offer(eta, market, spread, slope)
        return system_residual(eta, mean_offer, market.risk_capacity, market.count), flat

    (_, flat), (residual_dot, _) = directional(equations, primals, tangents)
    flat = jnp.minimum(flat, _most_flat(flat.dtype))
    eta_dot = arrowhead_solve(residual_dot, flat, primals[0].risk_capacity, primals[0].count)
    return (eta, error), (eta_dot, jnp.zeros_like(error))
