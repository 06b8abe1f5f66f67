"""Laws around a mode that fall off in units of a scale, cut to a support: Laplace, logistic, Student."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.landmarks import FALLS, around, beside
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import FromDensity


class LocationScale(FromDensity):
    """Base of the laws with fields loc, scale, lower and upper and a density of |z − loc|/scale."""

    loc: jax.Array
    scale: jax.Array

    def log_density_of_distance(self, x: jax.Array) -> jax.Array:
        """log f up to a constant; x ≥ 0, in scales."""
        raise NotImplementedError

    def log_density(self, z: jax.Array) -> jax.Array:
        # Measured from the most likely type of the support, lest everything underflow where the mode is far outside.
        peak = jnp.clip(self.loc, self.lower, self.upper)
        at, top = (self.log_density_of_distance(jnp.abs(one - self.loc) / self.scale) for one in (z, peak))
        return at - top

    def landmarks(self) -> jax.Array:
        peak = jnp.clip(self.loc, self.lower, self.upper)
        return around(peak, self.scale * beside(FALLS, peak), self.lower, self.upper)

    def rules(self) -> Rules:
        return [("scale", self.scale > 0, "must be > 0"), *super().rules()]


@pytree
class TruncatedLaplace(LocationScale):
    """Laplace law cut to [lower, upper]; its density is ∝ exp(−|z − loc|/scale), with a kink at loc.

    Args:
      loc: mode of the law before it is cut, units of the asset; may lie outside the support.
      scale: distance over which the density falls by a factor e, > 0.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    loc: Numbers
    scale: Numbers
    lower: Numbers
    upper: Numbers

    bunches = 0  # log-concave

    def log_density_of_distance(self, x: jax.Array) -> jax.Array:
        return -x


@pytree
class TruncatedLogistic(LocationScale):
    """Logistic law cut to [lower, upper]; its density is ∝ 1/cosh²((z − loc)/(2 scale)).

    Args:
      loc: mode of the law before it is cut, units of the asset; may lie outside the support.
      scale: > 0, its standard deviation is π scale/√3 before it is cut.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    loc: Numbers
    scale: Numbers
    lower: Numbers
    upper: Numbers

    bunches = 0  # log-concave

    def log_density_of_distance(self, x: jax.Array) -> jax.Array:
        return -x - 2 * jnp.log1p(jnp.exp(-x))


@pytree
class TruncatedStudent(LocationScale):
    """Student's t law cut to [lower, upper]; heavy tails, so F/f need not rise: irregular on wide supports.

    Args:
      loc: mode of the law before it is cut, units of the asset; may lie outside the support.
      scale: > 0.
      freedom: degrees of freedom ν > 0; its density is ∝ (1 + x²/ν)^(−(ν + 1)/2), x = (z − loc)/scale.
      lower, upper: ends of the support, lower < upper. All five are scalars or (groups,) arrays.
    """

    loc: Numbers
    scale: Numbers
    freedom: Numbers
    lower: Numbers
    upper: Numbers

    unitless_fields = ("freedom",)

    def log_density_of_distance(self, x: jax.Array) -> jax.Array:
        return -0.5 * (self.freedom + 1) * jnp.log1p(x**2 / self.freedom)

    def landmarks(self) -> jax.Array:
        # Its poles lie √ν scales off the axis: panels grow with the distance.
        distances = self.scale * jnp.sqrt(self.freedom) * beside(0.6 * 1.8 ** np.arange(14), self.loc)
        peak, falls = jnp.clip(self.loc, self.lower, self.upper), beside(FALLS[:8], self.loc)
        # x with (ν + x²)/(ν + y²) = e^(2 fall/(ν + 1)), y and x the distances of the peak and of the landmark from loc.
        apart, power = jnp.abs(peak - self.loc) / self.scale, 2 * falls / (self.freedom + 1)
        spread = self.freedom + apart**2
        fallen = spread * jnp.expm1(power) / (jnp.sqrt(spread * jnp.exp(power) - self.freedom) + apart)
        near = around(peak, self.scale * fallen, self.lower, self.upper)
        return jnp.sort(jnp.concatenate([around(self.loc, distances, self.lower, self.upper), near[1:-1]]), axis=0)

    def rules(self) -> Rules:
        return [("freedom", self.freedom > 0, "must be > 0"), *super().rules()]
