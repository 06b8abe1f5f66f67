"""Virtual types by clipping (theory §3), and their mean, which the multiplier system needs.

Everything is written from the lower end of the support; `Sides` supplies the upper end as the lower end of the mirror
image, so arrays here have shape (2, G): row 0 the types below the binding interval, row 1 those above it. With
`ends` = (a, −b), `eta` = (η, −η) and mirrored laws, both rows obey the same formulas.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmech.arrays import mirrored, mirrored_types
from jaxmech.endowments import Sides
from jaxmech.numerics.roots import bracketed_newton
from jaxmech.optimum.ironing.hull import Bunching
from jaxmech.optimum.ironing.ironed import ironed, ironed_end
from jaxmech.optimum.target_lines import TargetLine


def expected_virtual_type(
    eta: jax.Array, ends: jax.Array, at_ends: Any, lower: jax.Array, upper: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """m = E V and the probability p of the binding interval, Eq. (14) and (16) corrected (errata E1–E3).

        m = c + (η − c) p − B⁻ + B⁺,    B⁻ = E[(c − V); Z < a] = (1 − w) G(a) + (c − a) F(a),  B⁺ mirrored,

    for any c; the point of the support nearest to η loses no digits when η lies far outside.

    Args:
      eta: η, (G, ...).
      ends: (a, −b), (2, G, ...).
      at_ends: something with F and its integral there, `.cdf` and `.integral`.
      lower, upper: ends of the supports, (G, ...).
      weight: w.

    Returns:
      m, p, c: shape (G, ...) each.
    """
    centre = jax.lax.stop_gradient(jnp.clip(eta, lower, upper))
    shortfall = (1 - weight) * at_ends.integral + (mirrored(centre, centre) - ends) * at_ends.cdf
    probability = 1 - at_ends.cdf[0] - at_ends.cdf[1]
    return centre + (eta - centre) * probability - shortfall[0] + shortfall[1], probability, centre


def virtual_type(
    z: jax.Array, sides: Sides, eta: jax.Array, ends: jax.Array, weight: jax.Array, bunching: Bunching = None
) -> jax.Array:
    """Virtual type V(z) of Lemma 3, corrected (erratum E1).

        V = clip(η, z − w (1 − F)/f, z + w F/f)

    Below the binding interval [a, b] the trader expects to buy, above it to sell; on it V = η, Eq. (13).
    Eq. (12) allocates by it.

    Args:
      z: endowment, units of the asset, shape (..., G), inside the support.
      sides: the prepared law of the G groups.
      eta: η, shape (G,).
      ends: the pair (a, −b), shape (2, G).
      weight: effective revenue weight w in [0, 1].
      bunching: where both sides are ironed; None for regular laws.

    Returns:
      Shape of z; nondecreasing in z, where the law is not regular by ironing.
    """
    low, high, (lower, upper) = ends[0], -ends[1], (sides.lower[0], sides.upper[0])
    z = jnp.where(z < lower, lower, jnp.where(z > upper, upper, z))
    buys, sells = z <= low, z >= high
    types = mirrored_types(jnp.where(buys, z, low), jnp.where(sells, z, high), eta.ndim)
    reached = ironed(sides, types, types + weight * sides.ratios(types).ratio, bunching)
    buying, selling = (jnp.squeeze(part, -eta.ndim - 1) for part in jnp.split(reached, 2, axis=-eta.ndim - 1))
    capped = jnp.where(buys & (buying < eta), buying, eta)
    return jnp.where(sells & (-selling > capped), -selling, capped)


def inverse_virtual_type(
    virtual: jax.Array,
    sides: Sides,
    eta: jax.Array,
    ends: jax.Array,
    weight: jax.Array,
    bunching: Bunching = None,
    line: TargetLine | None = None,
) -> jax.Array:
    """The type z with V(z) = virtual; the nearest end of the support outside the range of V, a on the flat part.

    What Theorem 2 needs of V. Exact also where the binding interval sits at an end of the support (no Condition 1).
    Derivatives of first order.

    Args:
      virtual: asset units, (..., G).
      sides, eta, ends: as for `virtual_type`.
      weight: w, not the kernel's; a number, or (1, G).
      bunching: where both sides are ironed.
      line: target lines; on them z = c + (virtual − η)/σ, between t(a) and t(b) (beyond §9).
    """
    low, high = (eta, eta) if line is None else (line.at(eta, ends[0]), line.at(eta, -ends[1]))
    targets = mirrored_types(jnp.where(virtual < low, virtual, low), jnp.where(virtual > high, virtual, high), eta.ndim)
    found = ironed_end(sides, targets, _regular_inverse(sides, targets, ends, weight), weight, bunching)
    found = jnp.where(found < sides.lower, sides.lower, jnp.where(found > ends, ends, found))
    below, above = (jnp.squeeze(part, -eta.ndim - 1) for part in jnp.split(found, 2, axis=-eta.ndim - 1))
    if line is not None:
        sloped = line.slope > 0
        on_line = line.centre + (virtual - eta) / jnp.where(sloped, line.slope, 1.0)
        below = jnp.where((virtual < low) | ~sloped, below, jnp.clip(on_line, ends[0], -ends[1]))
    return jnp.where(virtual > high, -above, below)


def _regular_inverse(sides, target, end, weight):
    """z in [lower, end] with ψ⁻(z) = target, without ironing: by bracketed Newton, and one differentiable step."""
    frozen, still, last, fixed = jax.lax.stop_gradient((sides, target, end, weight))

    def look(z):
        value, slope = outer_branch(frozen, z, fixed)
        return value < still, z - (value - still) / slope

    shape = jnp.broadcast_shapes(jnp.shape(target), jnp.shape(end))
    low, high = (jnp.broadcast_to(bound, shape) for bound in (frozen.lower, last))
    root = bracketed_newton(look, low, high, frozen.width, 60)
    value, slope = outer_branch(sides, root, weight)
    moved = root - (value - target) / jax.lax.stop_gradient(slope)
    return jnp.where(moved < sides.lower, sides.lower, jnp.where(moved > end, end, moved))


def outer_branch(sides: Sides, z: jax.Array, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """ψ⁻(a) = a + w F/f and, on the mirror image, ψ⁺(b) = b − w (1 − F)/f, with its slope: Eq. (17) and (18) corrected
    (erratum E1)."""
    tail = sides.tail(z)
    return z + weight * tail.ratio, 1 + weight * tail.ratio_slope
