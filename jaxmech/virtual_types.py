"""Virtual types by clipping (theory §3), and the sums over types that the multiplier system needs.

Everything is written from the lower end of the support; `both_sides` supplies the upper end as the lower end of the
mirror image, so arrays here have shape (2, G): row 0 the types below the binding interval, row 1 those above it. With
`ends` = (a, −b), `eta` = (η, −η) and mirrored laws, both rows obey the same formulas.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.bunching import one_side
from jaxmech.groups import mirrored
from jaxmech.ironing import ironing


class Branch(NamedTuple):
    """One branch of the virtual type at the end of the binding interval, rows (left, right) of shape (2, G)."""

    value: jax.Array  # ψ(end), mirrored on the right
    slope: jax.Array  # ψ'(end)
    cdf: jax.Array  # probability of the types on this side
    integral: jax.Array  # ∫F up to the end
    second_integral: jax.Array  # ∫∫F
    ratio: jax.Array  # F/f at the end
    ratio_slope: jax.Array  # (F/f)'


def branch(left_tail, ends, weight):
    """ψ⁻(a) = a + w F/f and, mirrored, ψ⁺(b) = b − w (1 − F)/f, Eq. (17) and (18) corrected (erratum E1).

    With what else is known at a and b.
    """
    tail = left_tail(ends)
    return Branch(
        value=ends + weight * tail.ratio,
        slope=1 + weight * tail.ratio_slope,
        cdf=tail.cdf,
        integral=tail.integral,
        second_integral=tail.second_integral,
        ratio=tail.ratio,
        ratio_slope=tail.ratio_slope,
    )


def expected_virtual_type(eta, ends, at_ends, law, weight):
    """m = E V and the probability p of the binding interval, Eq. (14) and (16) corrected (errata E1–E3).

        m = c + (η − c) p − B⁻ + B⁺,    B⁻ = E[(c − V); Z < a] = (1 − w) G(a) + (c − a) F(a),  B⁺ mirrored,

    for any c; the point of the support nearest to η loses no digits when η lies far outside.

    Returns:
      m, p, c: shape (G,) each.
    """
    centre = jax.lax.stop_gradient(jnp.clip(eta, law.lower, law.upper))
    shortfall = (1 - weight) * at_ends.integral + (mirrored(centre, centre) - ends) * at_ends.cdf
    probability = 1 - at_ends.cdf[0] - at_ends.cdf[1]
    return centre + (eta - centre) * probability - shortfall[0] + shortfall[1], probability, centre


def virtual_type(z, law, eta, ends, weight, bunching=None):
    """Virtual type V(z) of Lemma 3, corrected (erratum E1).

        V = clip(η, z − w (1 − F)/f, z + w F/f)

    Below the binding interval [a, b] the trader expects to buy, above it to sell; on it V = η, Eq. (13).
    Eq. (12) allocates by it.

    Args:
      z: endowment, units of the asset, shape (..., G), inside the support.
      law: endowment law of the G groups.
      eta: η, shape (G,).
      ends: the pair (a, −b), shape (2, G).
      weight: effective revenue weight w in [0, 1].
      bunching: where both sides are ironed; None for regular laws.

    Returns:
      Shape of z; nondecreasing in z, where the law is not regular by ironing.
    """
    low, high = ends[0], -ends[1]
    z = jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))
    buys, sells = z <= low, z >= high
    law, low_z, high_z = law.resolved(), jnp.where(buys, z, low), jnp.where(sells, z, high)
    left, right = one_side(bunching, 0), one_side(bunching, 1)
    buying = ironed_branch(law, low_z, z + weight * law.cdf_ratio(low_z), weight, left)
    selling = -ironed_branch(law.reflected(), -high_z, weight * law.survival_ratio(high_z) - z, weight, right)
    capped = jnp.where(buys & (buying < eta), buying, eta)
    return jnp.where(sells & (selling > capped), selling, capped)


def ironed_branch(law, z, raw, weight, bunching):
    """ψ⁻ at z ironed; `raw` is ψ⁻ itself."""
    pooled = ironing(law, weight, bunching)
    return raw if pooled is None else pooled.value(z, raw)


def inverse_virtual_type(virtual, law, eta, ends, weight, bunching=None):
    """The type z with V(z) = virtual; the nearest end of the support outside the range of V, a on the flat part.

    Exact also where the binding interval sits at an end of the support (no Condition 1). Derivatives of first order.
    """
    law = law.resolved()
    below = _inverse_branch(law, jnp.where(virtual < eta, virtual, eta), ends[0], weight, one_side(bunching, 0))
    above = -_inverse_branch(
        law.reflected(), -jnp.where(virtual > eta, virtual, eta), ends[1], weight, one_side(bunching, 1)
    )
    return jnp.where(virtual > eta, above, below)


def _inverse_branch(law, target, end, weight, bunching):
    """z in [lower, end] with ψ⁻(z) = target, ironed where it must be; at a bunch's level its lower end."""
    found, pooled = _regular_inverse(law, target, end, weight), ironing(law, weight, bunching)
    if pooled is None:
        return found
    ironed = pooled.end(target, found)
    return jnp.where(ironed < law.lower, law.lower, jnp.where(ironed > end, end, ironed))


def _regular_inverse(law, target, end, weight):
    """The same without ironing, by bracketed Newton; one differentiable step from the root found."""
    frozen = jax.lax.stop_gradient((law, target, end, weight))

    def step(state):
        z, low, high, _, count = state
        here = branch(tail, z, frozen[3])
        low, high = jnp.where(here.value < frozen[1], z, low), jnp.where(here.value < frozen[1], high, z)
        newton = z - (here.value - frozen[1]) / here.slope
        new = jnp.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
        return new, low, high, jnp.abs(new - z), count + 1

    def unfinished(state):
        z, *_, move, count = state
        return (count < 60) & jnp.any(move > resolution * (jnp.abs(z) + frozen[0].width))

    tail, shape = frozen[0].prepare(), jnp.broadcast_shapes(jnp.shape(target), jnp.shape(end))
    low, high = (jnp.broadcast_to(bound, shape) for bound in (frozen[0].lower, frozen[2]))
    resolution = 4 * jnp.finfo(low.dtype).eps
    start = 0.5 * (low + high), low, high, jnp.full(shape, jnp.inf, low.dtype), 0
    root = jax.lax.while_loop(unfinished, step, start)[0]
    at_root = branch(law.prepare(), root, weight)
    moved = root - (at_root.value - target) / jax.lax.stop_gradient(at_root.slope)
    return jnp.where(moved < law.lower, law.lower, jnp.where(moved > end, end, moved))
