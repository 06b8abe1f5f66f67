"""Normal endowments cut off at the ends of a support.

In units ζ = (z − loc)/scale, with λ and υ the ends of the support, every quantity comes from three bounded moments

    R_k(ζ, λ; p) = ∫_λ^ζ (ζ − t)^k exp((p² − t²)/2) dt,     k = 0, 1, 2,

where p is the point of [λ, ζ] nearest to the mode. Nothing is subtracted from one, nothing over- or underflows: the
support may lie many standard deviations out, and the scale may be tiny or huge beside the support.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.draws import truncated_normal_sample
from jaxmech.endowments.landmarks import FALLS, around, beside, gathered_rule, nodes_from
from jaxmech.endowments.law import Law, Rules
from jaxmech.endowments.mills import (
    AT_MODE,
    bounded_moments,
    cdf_ratio,
    log_decay,
    positive,
    signed_mills,
    squared_mills_integral,
)
from jaxmech.endowments.sides import LeftTail, Ratios

_WITNESSES = gathered_rule(14, 1.0)


class Known(NamedTuple):
    """What `TruncatedNormal` knows of both sides before it is asked about z; rows (2, ...)."""

    peak: jax.Array  # P, the point of the support nearest to the mode
    moments: jax.Array  # R_k below P, (3, 2, ...): row 1, of the mirror image, has those above it
    mass: jax.Array  # that of the whole support, the same in both rows
    mills: jax.Array  # ±M(|λ|), see `signed_mills`


@pytree
class TruncatedNormal(Law):
    """Normal law with mean `loc` and standard deviation `scale` before it is cut to [lower, upper].

    Args:
      loc: mode of the untruncated law, units of the asset; may lie outside the support.
      scale: its standard deviation, > 0.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    loc: Numbers
    scale: Numbers
    lower: Numbers
    upper: Numbers

    def _standard(self, z: Any) -> jax.Array:
        return (z - self.loc) / self.scale

    def constants(self) -> Known:
        lower, upper = self._standard(self.lower), self._standard(self.upper)
        peak, mills = jax.lax.stop_gradient(jnp.clip(0.0, lower, upper)), signed_mills(lower)
        # At the peak, which is 0 or an end, the ratio is known: the mirror image's lower end is −υ.
        beside = jnp.where(upper < 0, -mills[::-1], jnp.where(lower > 0, mills, -AT_MODE))
        moments = jnp.stack(bounded_moments(peak, peak - lower, peak, mills, beside))
        mass = jnp.broadcast_to(jnp.sum(moments[0], axis=0, keepdims=True), peak.shape)
        return Known(peak, moments, mass, mills)

    def moments(self, known: Known) -> tuple[jax.Array, jax.Array]:
        _, first, second = known.moments
        off = (first[::-1] - first) / known.mass
        second = (second + second[::-1]) / known.mass
        return self.loc + self.scale * (known.peak + off), self.scale**2 * (second - off**2)

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        known = self.sides().one(0).known
        return log_decay(known.peak, self._standard(z)) - jnp.log(known.mass * self.scale)

    def score(self, z: ArrayLike) -> jax.Array:
        return -self._standard(z) / self.scale

    def tail(self, z: jax.Array, known: Known) -> LeftTail:
        at, lower = self._standard(z), self._standard(self.lower)
        near = jax.lax.stop_gradient(jnp.clip(0.0, lower, at))
        zeroth, first, second = bounded_moments(at, (z - self.lower) / self.scale, near, known.mills, signed_mills(at))
        height, fallen = jnp.exp(log_decay(known.peak, near)) / known.mass, positive(jnp.exp(log_decay(near, at)))
        ratio = zeroth / fallen
        return LeftTail(
            cdf=height * zeroth,
            ratio=self.scale * ratio,
            ratio_slope=1 + at * ratio,
            integral=self.scale * height * first,
            second_integral=0.5 * self.scale**2 * height * second,
            density=height * fallen / self.scale,
        )

    def ratios(self, z: jax.Array, known: Known) -> Ratios:
        at = self._standard(z)
        height, far = jnp.exp(log_decay(known.peak, at)), 1 + jnp.abs(at)
        ratio = cdf_ratio(at, (z - self.lower) / self.scale, known.mills, signed_mills(at), height)
        # XLA computes what ends in a division once, and anything cheaper anew for every use.
        ratio, density = ratio / far * (far * self.scale), height / (known.mass * self.scale)
        # So far above the mode that the density underflows, everybody lies below.
        below = jnp.where((at > known.peak) & (height < positive(height)), 1.0, ratio * density)
        return Ratios(below, ratio, density)

    def density(self, z: jax.Array, known: Known) -> jax.Array:
        return jnp.exp(log_decay(known.peak, self._standard(z))) / (known.mass * self.scale)

    def squared_ratio_integral_from(self, z: jax.Array, known: Known) -> jax.Array:
        at, lower = self._standard(z), self._standard(self.lower)
        near = jax.lax.stop_gradient(jnp.clip(0.0, lower, at))
        height = jnp.exp(log_decay(known.peak, near)) / known.mass
        return self.scale**2 * height * squared_mills_integral(at, lower, near, known.mills)

    def nodes_to(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        # On either side of the mode, or of a place not too near the ends, to where the density is e⁻³³ of what it is at
        # the mode or, where the mode lies outside, at the nearest type.
        at, lower = self._standard(z), self._standard(self.lower)
        near = jnp.clip(0.0, lower, at)
        reach = 66 / (jnp.sqrt(near**2 + 66) + jnp.abs(near))
        bottom = jnp.maximum(lower, jnp.minimum(near, 0.0) - reach)
        top = jnp.minimum(at, jnp.maximum(near, 0.0) + reach)
        middle = jnp.clip(0.0, bottom + 0.4 * (top - bottom), top - 0.4 * (top - bottom))
        places, weights = nodes_from(middle, bottom, top, _WITNESSES)
        return z - self.scale * (at - places), self.scale * weights

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        return truncated_normal_sample(self, key, shape)

    def landmarks(self) -> jax.Array:
        peak = jnp.clip(self.loc, self.lower, self.upper)
        away = jnp.abs(peak - self.loc) / self.scale
        steps = jnp.sqrt(away**2 + 2 * beside(FALLS, away)) - away
        return around(peak, self.scale * steps, self.lower, self.upper)

    def rules(self) -> Rules:
        return [("scale", self.scale > 0, "must be > 0"), *super().rules()]

    def reflected(self) -> "TruncatedNormal":
        return TruncatedNormal(-self.loc, self.scale, -self.upper, -self.lower)
