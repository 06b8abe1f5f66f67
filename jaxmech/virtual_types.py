"""Virtual types by clipping (theory §3), and the sums over types that the multiplier system needs.

Everything is written from the lower end of the support; `both_sides` supplies the upper end as the lower end of the
mirror image, so arrays here have shape (2, G): row 0 the types below the binding interval, row 1 those above it. With
`ends` = (a, −b), `eta` = (η, −η) and mirrored laws, both rows obey the same formulas.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.groups import mirrored


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
    """ψ⁻(a) = a + w F/f and, mirrored, ψ⁺(b) = b − w (1 − F)/f, with what else is known at a and b."""
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
    """m = E V and the probability p of the binding interval, Eq. (14) and (16) corrected (errata E2, E3).

        m = c + (η − c) p − B⁻ + B⁺,    B⁻ = E[(c − V); Z < a] = (1 − w) G(a) + (c − a) F(a),  B⁺ mirrored,

    for any c; the point of the support nearest to η loses no digits when η lies far outside.

    Returns:
      m, p, c: shape (G,) each.
    """
    centre = jax.lax.stop_gradient(jnp.clip(eta, law.lower, law.upper))
    shortfall = (1 - weight) * at_ends.integral + (mirrored(centre, centre) - ends) * at_ends.cdf
    probability = 1 - at_ends.cdf[0] - at_ends.cdf[1]
    return centre + (eta - centre) * probability - shortfall[0] + shortfall[1], probability, centre


def virtual_type(z, law, eta, ends, weight):
    """Virtual type V(z), Eq. (12)–(13), corrected (erratum E1).

        V = clip(η, z − w (1 − F)/f, z + w F/f)

    Below the binding interval [a, b] the trader expects to buy, above it to sell; on it V = η.

    Args:
      z: endowment, units of the asset, shape (..., G), inside the support.
      law: endowment law of the G groups.
      eta: η, shape (G,).
      ends: the pair (a, −b), shape (2, G).
      weight: effective revenue weight w in [0, 1].

    Returns:
      Shape of z; nondecreasing in z when the law is regular.
    """
    low, high = ends[0], -ends[1]
    z = jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))
    buys, sells = z <= low, z >= high
    buying = z + weight * law.cdf_ratio(jnp.where(buys, z, low))
    selling = z - weight * law.survival_ratio(jnp.where(sells, z, high))
    capped = jnp.where(buys & (buying < eta), buying, eta)
    return jnp.where(sells & (selling > capped), selling, capped)
