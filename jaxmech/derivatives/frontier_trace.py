"""Tracing a frontier: predictor and corrector along arc length, with every piece of the curve checked halfway.

The frontier is one convex function of the weight, H(w) = max wR + (1 − w)A, with H' = R − A (`frontier_curve`). An
error δH of the curve is one of δH/w in revenue at a given efficiency, and of δH/(1 − w) in efficiency at a given
revenue; the larger one counts, over the surplus. Weights nearer to 0 or 1 than STEEP count as that far away: one of the
two is vertical to rounding there, within about 1e-6 of the most efficient point.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import total
from jaxmech.numerics.tangents import directional
from jaxmech.optimum.budget import left_over, solve_within_budget
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.multipliers import moved, solve_multipliers
from jaxmech.optimum.outcomes import efficiency_by_group, interim_moments, revenue_by_group
from jaxmech.optimum.solve import aimed
from jaxmech.programs import compiled

STEEP = 1e-3  # nearer to an end the frontier is all but vertical or flat
_FIRST_STEP = 0.1  # of arc length, in units of the surplus
_SLOWEST = 0.01  # least arc length per unit of w: where nothing changes steps are large, but end
_SHORTEST = 1e-13  # step in w


def quintic(left, right, weight):
    """H and H' at a weight between two points, each (w, R, A, H'')."""
    start, width = left[0], right[0] - left[0]
    t = (weight - start) / jnp.where(width > 0, width, 1.0)
    values = [w * earned + (1 - w) * kept for w, earned, kept, _ in (left, right)]
    slopes = [width * (earned - kept) for _, earned, kept, _ in (left, right)]
    # Where a density all but vanishes H'' is astronomical at one end: beyond any use, and less is as right.
    most = 5 * jnp.abs(slopes[1] - slopes[0])
    bends = [jnp.minimum(width**2 * bend, most) for *_, bend in (left, right)]
    rise = values[1] - values[0] - slopes[0] - 0.5 * bends[0]  # what t³, t⁴, t⁵ add at t = 1
    steep, bent = slopes[1] - slopes[0] - bends[0], bends[1] - bends[0]  # and to the first two derivatives
    cubic = 10 * rise - 4 * steep + 0.5 * bent
    quartic, fifth = -15 * rise + 7 * steep - bent, 6 * rise - 3 * steep + 0.5 * bent
    value = values[0] + t * (slopes[0] + t * (0.5 * bends[0] + t * (cubic + t * (quartic + t * fifth))))
    slope = slopes[0] + t * (bends[0] + t * (3 * cubic + t * (4 * quartic + 5 * t * fifth)))
    return value, slope / jnp.where(width > 0, width, 1.0)


def prepared_for(market):
    """(the market to trace, the least weight): at α = 0, so that w is the one unknown; welfare weights β count w's way,
    a group's weight being w − β(1 − w) (beyond §2)."""
    return aimed(market, market.prepared(), jnp.zeros(market.risk_capacity.shape[1:], market.risk_capacity.dtype))


def solved(market, weight):
    """(R, A, H'') of a Prepared market at a weight, and the error of the solve."""
    solution = solve_multipliers(market, weight)
    error = solution.error
    if solution.refused is not None:
        error = jnp.where(solution.refused, jnp.inf, error)
    return money(market, weight, solution), error


def achieved(market, moments):
    """R and A of a Prepared market's interim moments; to A are added the gains Σ nβ E g."""
    by_group = (of(moments, market.risk_capacity, market.count) for of in (revenue_by_group, efficiency_by_group))
    earned, kept = map(total, by_group)
    if market.lean is not None:
        kept = kept - total(market.count * market.lean * moments.rent / market.risk_capacity)
    return earned, kept


def money(market, weight, solution):
    """R, A and H'' = dR/dw − dA/dw where the multipliers are known."""
    at, one = (market, weight, solution), jnp.ones_like(weight)
    dots = None, one, moved(solution, market, weight, None, one)
    moments, moments_dot = directional(interim_moments, at, dots)
    (earned, kept), (earned_slope, kept_slope) = directional(partial(achieved, market), (moments,), (moments_dot,))
    return earned, kept, earned_slope - kept_slope


class Step(NamedTuple):
    """Two more points of every frontier, halfway and whole, as they were found; fields (B,)."""

    middle: tuple  # (w, R, A, H'')
    end: tuple  # (w, R, A, H'')
    missed: jax.Array  # error of the curve without the middle point, there; see the module
    lost: jax.Array  # whether a solve failed


def _tried(market, twice, here, reach):
    """The curve from the points `here` to those `reach` further on, checked halfway."""
    weight, room = here[0], 1 - here[0]
    end = jnp.where(reach > 0.8 * room, 1.0, weight + reach)
    middle = 0.5 * (weight + end)
    found, error = solved(twice, jnp.concatenate([middle, end]))
    half, whole = zip(*(jnp.split(part, 2) for part in found), strict=True)
    half, whole = (middle, *half), (end, *whole)
    off = jnp.abs(quintic(here, whole, middle)[0] - middle * half[1] - (1 - middle) * half[2])
    missed = off / (first_best_surplus(market) * jnp.maximum(jnp.minimum(middle, 1 - middle), STEEP))
    lost = ~((jnp.max(error.reshape(2, -1), axis=0) <= _trusted(error)) & jnp.isfinite(missed))
    return Step(half, whole, missed, lost)


def _trusted(error):
    return jnp.finfo(error.dtype).eps ** 0.5


def _speed(point, surplus):
    """Arc length per unit of w, in units of the surplus: |(dA, dR)| = H'' |(w, 1 − w)| dw."""
    weight, _, _, bend = point
    return jnp.maximum(bend * jnp.hypot(weight, 1 - weight) / surplus, _SLOWEST)


@partial(compiled, static_argnames="points")
def trace(market, tolerance, points):
    """Points of the frontiers of a batch of markets, from w* to 1.

    Args:
      market: a batch, fields (G, B).
      tolerance: largest error, in units of the surplus.
      points: most points of one frontier.

    Returns:
      ([w, R, A, H''], number, error, solves): arrays (points, B), the last point repeated behind it, and three (B,).
    """
    market, floor = prepared_for(market)
    surplus = first_best_surplus(market)
    lane, twice = jnp.arange(surplus.size), jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=-1), market)

    def step(state):
        nodes, place, reach, worst, solves, running = state
        here = [part[place, lane] for part in nodes]
        middle, end, missed, lost = _tried(market, twice, here, reach)
        width = end[0] - here[0]
        good = running & (missed <= tolerance) & ~lost
        accepted = good & (place + 2 < points)
        stuck = running & (lost | (good & ~accepted) | ((width <= _SHORTEST) & (end[0] < 1)))
        rows = jnp.where(accepted, jnp.stack([place + 1, place + 2]), points)  # beyond the last one: dropped
        new = [jnp.stack(pair) for pair in zip(middle, end, strict=True)]
        nodes = [part.at[rows, lane].set(value, mode="drop") for part, value in zip(nodes, new, strict=True)]
        growth = jnp.clip(0.9 * (tolerance / jnp.where(missed > 0, missed, 1e-30)) ** (1 / 6), 0.2, 3.0)
        chord = jnp.hypot(end[1] - here[1], end[2] - here[2]) / surplus
        onward = jnp.minimum(growth * chord / _speed(end, surplus), 4 * width)
        return (
            nodes,
            jnp.where(accepted, place + 2, place),
            # Back by at least as much as the last step to 1 may have been stretched.
            jnp.where(accepted, onward, jnp.minimum(growth, 0.7) * width),
            jnp.where(stuck, jnp.inf, jnp.where(accepted, jnp.maximum(worst, missed), worst)),
            solves + 2 * running,
            running & ~stuck & ~(accepted & (end[0] >= 1)),
        )

    def unfinished(state):
        *_, solves, running = state
        return jnp.any(running & (solves < 4 * points))

    weight, solution, moments = solve_within_budget(market, floor)
    first = (weight, *money(market, weight, solution))
    good = (solution.error <= _trusted(surplus)) & jnp.isfinite(first[1])
    if market.extended:  # R_min may be more than anything earns
        good = good & (left_over(market, moments) >= -1e-9 * surplus)
    worst = jnp.where(good, 0.0, jnp.inf)
    nodes = [jnp.broadcast_to(part, (points, part.size)) for part in first]
    reach = (1 - weight) * jnp.clip(_FIRST_STEP / _speed(first, surplus), 1e-3, 1.0)
    nothing = jnp.zeros(lane.shape, int)
    start = nodes, nothing, reach, worst, nothing + 1, (worst == 0) & (weight < 1)
    nodes, place, _, worst, solves, running = lax.while_loop(unfinished, step, start)
    behind = jnp.arange(points)[:, None] > place
    nodes = [jnp.where(behind, part[place, lane], part) for part in nodes]
    return nodes, place + 1, jnp.where(running, jnp.inf, worst), solves
