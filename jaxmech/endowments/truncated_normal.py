"""Normal endowments cut off at the ends of a support.

In units ζ = (z − loc)/scale, with λ and υ the ends of the support, every quantity comes from three bounded moments

    R_k(ζ, λ; p) = ∫_λ^ζ (ζ − t)^k exp((p² − t²)/2) dt,     k = 0, 1, 2,

where p is the point of [λ, ζ] nearest to the mode. Nothing is subtracted from one, nothing over- or underflows: the
support may lie many standard deviations out, and the scale may be tiny or huge beside the support.
"""

import jax
import jax.numpy as jnp

from jaxmech.endowments.contract import Law, LeftTail, panel_nodes
from jaxmech.endowments.draws import truncated_normal_sample
from jaxmech.endowments.landmarks import FALLS, SIXTEEN, around, beside
from jaxmech.endowments.mills import bounded_moments, log_decay, positive, signed_mills, squared_mills_integral
from jaxmech.groups import mirrored
from jaxmech.pytrees import pytree


@pytree
class TruncatedNormal(Law):
    """Normal law with mean `loc` and standard deviation `scale` before it is cut to [lower, upper].

    Args:
      loc: mode of the untruncated law, units of the asset; may lie outside the support.
      scale: its standard deviation, > 0.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    loc: jax.Array
    scale: jax.Array
    lower: jax.Array
    upper: jax.Array

    def _standard(self, z):
        return (z - self.loc) / self.scale

    def _around_peak(self):
        """P, the point of the support nearest to the mode, and the moments R_k on its left and on its right."""
        lower, upper = self._standard(self.lower), self._standard(self.upper)
        peak = jax.lax.stop_gradient(jnp.clip(0.0, lower, upper))
        left = bounded_moments(peak, peak - lower, peak, signed_mills(lower))
        right = bounded_moments(-peak, upper - peak, -peak, signed_mills(-upper))
        return peak, left, right

    @property
    def mean(self):
        peak, left, right = self._around_peak()
        return self.loc + self.scale * (peak + (right[1] - left[1]) / (left[0] + right[0]))

    @property
    def variance(self):
        _, left, right = self._around_peak()
        mass = left[0] + right[0]
        return self.scale**2 * ((left[2] + right[2]) / mass - ((right[1] - left[1]) / mass) ** 2)

    def log_pdf(self, z):
        peak, left, right = self._around_peak()
        return log_decay(peak, self._standard(z)) - jnp.log((left[0] + right[0]) * self.scale)

    def score(self, z):
        return -self._standard(z) / self.scale

    def prepare(self):
        peak, left, right = self._around_peak()
        return self._left_tail(peak, left[0] + right[0], signed_mills(self._standard(self.lower)))

    def prepare_both_sides(self):
        peak, left, right = self._around_peak()
        mass = left[0] + right[0]
        mills = signed_mills(mirrored(self._standard(self.lower), self._standard(self.upper)))
        return self.both_sides()._left_tail(mirrored(peak, peak), jnp.stack([mass, mass]), mills)

    def _left_tail(self, peak, mass, mills):
        """What `prepare` returns, from the mode within the support, the mass there, and the Mills ratio of λ."""
        lower = self._standard(self.lower)

        def left_tail(z):
            at = self._standard(z)
            near = jax.lax.stop_gradient(jnp.clip(0.0, lower, at))
            zeroth, first, second = bounded_moments(at, (z - self.lower) / self.scale, near, mills)
            height = jnp.exp(log_decay(peak, near)) / mass
            ratio = zeroth / positive(jnp.exp(log_decay(near, at)))
            return LeftTail(
                cdf=height * zeroth,
                ratio=self.scale * ratio,
                ratio_slope=1 + at * ratio,
                integral=self.scale * height * first,
                second_integral=0.5 * self.scale**2 * height * second,
            )

        return left_tail

    def squared_ratio_integral(self, z):
        at, lower = self._standard(z), self._standard(self.lower)
        peak, left, right = self._around_peak()
        near = jax.lax.stop_gradient(jnp.clip(0.0, lower, at))
        height = jnp.exp(log_decay(peak, near)) / (left[0] + right[0])
        return self.scale**2 * height * squared_mills_integral(at, lower, near)

    def nodes_to(self, z, kinks):
        # On either side of the mode, or of a place not too near the ends, to where the density is e⁻³⁹ of what it is at
        # the mode or, where the mode lies outside, at the nearest type.
        at, lower = self._standard(z), self._standard(self.lower)
        near = jnp.clip(0.0, lower, at)
        reach = 78 / (jnp.sqrt(near**2 + 78) + jnp.abs(near))
        bottom = jnp.maximum(lower, jnp.minimum(near, 0.0) - reach)
        top = jnp.minimum(at, jnp.maximum(near, 0.0) + reach)
        middle = jnp.clip(0.0, bottom + 0.3 * (top - bottom), top - 0.3 * (top - bottom))
        places, weights = panel_nodes(jnp.stack([bottom, middle]), top, SIXTEEN)
        return z - self.scale * (at - places), self.scale * weights

    sample = truncated_normal_sample

    def landmarks(self):
        peak = jnp.clip(self.loc, self.lower, self.upper)
        away = jnp.abs(peak - self.loc) / self.scale
        steps = jnp.sqrt(away**2 + 2 * beside(FALLS, away)) - away
        return around(peak, self.scale * steps, self.lower, self.upper)

    def rules(self):
        return [("scale", self.scale > 0, "must be > 0"), *super().rules()]

    def reflected(self):
        return TruncatedNormal(-self.loc, self.scale, -self.upper, -self.lower)

    def stretched(self, factor):
        return TruncatedNormal(*(factor * field for field in (self.loc, self.scale, self.lower, self.upper)))
