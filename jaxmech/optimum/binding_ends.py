"""Steps of the binding interval's ends a and b towards ψ⁻(a) = η = ψ⁺(b), safeguarded (theory §4).

Rows as in `virtual_types`: a, and −b with the mirror image of the law.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.arrays import mirrored
from jaxmech.endowments.sides import LeftTail
from jaxmech.market.prepared import Prepared


class EndRange(NamedTuple):
    """What the steps of a (row 0) and −b (row 1) know of the law, each (2, G, ...)."""

    lower: jax.Array
    mean: jax.Array  # E Z, mirrored
    inside: jax.Array  # a place so close to the upper end that what lies between is rounding
    upper: jax.Array
    steepest: jax.Array  # F/f at `inside`


def end_range(market: Prepared) -> EndRange:
    """The range of both ends of each group of a Prepared market."""
    lower, upper, mean = market.sides.lower, market.sides.upper, market.mean
    inside = upper - 4 * jnp.finfo(upper.dtype).eps * (upper - lower + jnp.abs(upper))
    steepest = jnp.minimum(1 / market.sides.last_density(inside), jnp.finfo(upper.dtype).max)
    return EndRange(lower, mirrored(mean, mean), inside, upper, steepest)


def move_ends(
    ends: jax.Array,
    last: jax.Array,
    late: jax.Array,
    target: jax.Array,
    at_ends: LeftTail,
    within: EndRange,
    top: jax.Array,
    weight: jax.Array,
) -> jax.Array:
    """One step of a (row 0) and −b (row 1) towards ψ(end) = target: `_newton`, safeguarded.

    The roots are those of Eq. (17) and Eq. (18) corrected (erratum E1).

    Where the rent w F/f is beyond measure half the way to the mean is taken. The upper end of the support is the root
    where ψ short of it, `top`, does not exceed the target, and no root elsewhere. A `late` step that takes back most of
    the one before, `last`, or more, takes back half of it.
    """
    lower, mean, inside, upper, _ = within
    # Where the density vanishes at the lower end its slope there is rounding; F/f rises from 0.
    slope = jnp.where(ends > lower, at_ends.ratio_slope, jnp.maximum(at_ends.ratio_slope, 0.0))
    gap, rent, rent_slope = target - ends, weight * at_ends.ratio, weight * slope
    room, width = upper - ends, upper - lower
    new = _newton(ends, gap, rent, rent_slope, room, width, top - inside, target < top, slope > 2)
    new = jnp.where((new <= lower) & (rent > gap) & (target > lower), 0.5 * (ends + lower), new)
    new = jnp.where((rent > 1e30 * (jnp.abs(gap) + width)) & (ends > mean), 0.5 * (ends + mean), new)
    new = jnp.where(target >= top, upper, new)
    new = jnp.clip(new, lower, jnp.maximum(jnp.minimum(target, upper), lower))
    # Where F/f is infinite no step leads back from that end, and one too short to count would seem to be the last.
    short = jnp.where(ends >= upper, upper - jnp.finfo(width.dtype).eps ** 0.5 * width, ends + 0.99 * room)
    stuck = (new >= upper) | (ends >= upper) & (rent_slope > 1)
    new = jnp.where(stuck & (target < top), jnp.minimum(short, inside), new)
    swings = late & (last * (new - ends) < 0) & (jnp.abs(new - ends) > 0.6 * jnp.abs(last))
    return jnp.where(swings, ends - 0.5 * last, new)


def _newton(ends, gap, rent, rent_slope, room, width, highest, interior, steeply):
    """Newton's step on the equation in the form that is nearly linear where it stands.

    With rent = w F/f and gap = η − a, equal at the root, Newton on ψ itself divides by 1 + rent'. Near the root the
    slope 1 + rent' √(gap/rent) lies between Newton's for ψ and Newton's for gap/rent, whose errors have opposite signs.
    Far `above` the root the rent grows like an exponential at rate k = rent'/rent, and y = η − a solves
    ky + log ky = log rent' + k·gap =: L, which a rational guess at ky takes down in one step; `far` from η, y ≈ gap.
    Where the rent is next to nothing, w tiny, it is the same exponential that stops a `climb`; where F/f only rises
    from 0, by no more than z, there is none. Short of an end where F/f is infinite, rent ∝ (h − a)^−β: a step `beyond`
    that end and one `away` from it are taken in log(h − a).
    """
    below, above = rent < 0.2 * gap, (rent > 8 * gap) & (rent_slope > 1)
    balance = jnp.where((gap > 0) & (rent > 0.1 * gap), gap, 0.0) / jnp.where(rent > 0, rent, 1.0)
    move = (gap - rent) / (1 + rent_slope * jnp.where(below, 1.0, jnp.sqrt(balance)))
    beyond = (ends + move >= ends + room) & interior & (rent > 0)
    away = (room < 0.01 * width) & (room > 0) & (gap > room) & (rent > 1.001 * gap) & (rent_slope > 1)
    away = away & (highest > 1.5 * rent)
    climb = (rent > 0) & (rent < 1e-10 * gap) & steeply & ~beyond
    steep, powers = above | beyond | away | climb, beyond | away
    rate = jnp.where(steep, rent_slope, 1.0) / jnp.where(steep, rent, 1.0)
    far = above & (rate * gap > 30)
    to_gap = powers | far | climb
    size = jnp.where(to_gap, rent / jnp.where(to_gap, gap, 1.0), jnp.where(above, rent_slope, 1.0))
    size = _rough_log(size)
    level = size + rate * gap
    guess = jnp.where(level > 1, level - 2 * (level - 1) / (level + 1), 1 / (2 - jnp.minimum(level, 1.0)))
    move = jnp.where(climb, jnp.minimum(move, -size / rate), move)
    move = jnp.where(far, -size / rate, jnp.where(above, gap - guess / rate, move))
    folds = jnp.abs(size) / jnp.where(powers, rate * room, 1.0)
    folds = jnp.where(away, folds, jnp.maximum(folds, 0.7))
    growth = 1 + folds * (1 + folds * (0.5 + folds * (1 / 6 + folds / 24)))
    farther = jnp.minimum(room * growth, room + jnp.minimum(gap, 0.02 * width))
    return ends + jnp.where(away, room - farther, jnp.where(beyond, room - room / growth, move))


def _rough_log(x):
    """log x to the digits of float32, at most 85: enough for a guess, at half the cost."""
    return jnp.log(jnp.clip(x, 1e-37, 1e37).astype(jnp.float32)).astype(x.dtype)
