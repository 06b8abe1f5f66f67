"""Endowments as data show them: histograms, and densities along straight lines."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.binning import histogram_from_samples
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import NODES, Numerical
from jaxmech.endowments.panels import Panels
from jaxmech.numerics.polynomials import unit_rule

_NODES = 5  # of each bin: three are enough for F²/f, but ironing looks between
_PIECES = 8  # panels between two knots: 1/f is no polynomial where f changes by a large factor
_LARGEST_FACTOR = 4096.0


@pytree
class Histogram(Numerical):
    """Law with a constant density on each bin. The density jumps, so it is irregular: see the ironing of `mechanism`.

    Args:
      edges: of the bins, rising, units of the asset, shape (bins + 1,) or (bins + 1, groups).
      masses: of the bins, > 0, shape (bins,) or (bins, groups); divided by their sum.
    """

    edges: Numbers
    masses: Numbers

    stacked_fields = ("edges", "masses")
    unitless_fields = ("masses",)

    @classmethod
    def from_samples(
        cls,
        samples: Any,
        bins: int | None = None,
        weights: Any = None,
        lower: float | None = None,
        upper: float | None = None,
    ) -> "Histogram":
        """The histogram of data: bins of equal width, empty ones merged with a neighbour.

        Args:
          samples: observed endowments, units of the asset; NaN means missing.
          bins: how many; by the rule of Freedman and Diaconis unless given.
          weights: how often each was seen, ≥ 0; 1 if not given.
          lower, upper: ends of the support; the observed range, a little widened, unless given.

        Raises:
          MarketError: data no law can be made of: see `endowments.binning`.
        """
        return cls(*histogram_from_samples(samples, bins, weights, lower, upper))

    bunches = property(lambda self: len(self.masses))
    lower = property(lambda self: self.edges[0])
    upper = property(lambda self: self.edges[-1])

    def panels(self) -> Panels:
        density = self.masses / jnp.sum(self.masses, axis=0) / jnp.diff(self.edges, axis=0)
        return Panels(
            self.edges, jnp.broadcast_to(density[:, None], (len(density), _NODES, *density.shape[1:])), self.bunches
        )

    def landmarks(self) -> jax.Array:
        return self.edges

    def rules(self) -> Rules:
        if len(self.edges) != len(self.masses) + 1:
            raise ValueError("one edge more than masses")
        return [
            ("edges", self.edges[:-1] < self.edges[1:], "must rise from bin to bin"),
            ("masses", self.masses > 0, "must be > 0; merge an empty bin with its neighbour, as from_samples does"),
        ]


@pytree
class PiecewiseLinear(Numerical):
    """Law with a continuous density that is a straight line between knots.

    Args:
      knots: rising, units of the asset, shape (knots,) or (knots, groups); the first and the last are the support's.
      heights: of the density there up to a common factor, ≥ 0, and > 0 but at the ends; the shape of `knots`.
    """

    knots: Numbers
    heights: Numbers

    stacked_fields = ("knots", "heights")
    unitless_fields = ("heights",)
    bunches = property(lambda self: 2 * len(self.knots))
    lower = property(lambda self: self.knots[0])
    upper = property(lambda self: self.knots[-1])

    def panels(self) -> Panels:
        left, right, width = self.heights[:-1], self.heights[1:], jnp.diff(self.knots, axis=0)
        part = self._cut_places()
        cuts = jnp.concatenate([(self.knots[:-1] + part * width).swapaxes(0, 1).reshape(-1, *left.shape[1:])])
        cuts = jnp.concatenate([cuts, self.knots[-1:]])
        ends = jnp.concatenate([part, jnp.ones_like(part[:1])])
        nodes = jnp.asarray(unit_rule(NODES)[0], left.dtype).reshape((-1,) + (1,) * (left.ndim + 1))
        place = ends[:-1] + nodes * jnp.diff(ends, axis=0)  # (nodes, pieces, knots − 1, ...)
        values = jnp.moveaxis(left + place * (right - left), (2, 1, 0), (0, 1, 2))
        mass = 0.5 * jnp.sum((left + right) * width, axis=0)
        return Panels(cuts, values.reshape(-1, NODES, *left.shape[1:]) / mass, self.bunches)

    def _cut_places(self):
        """Where between its knots each piece is cut, (pieces, knots − 1, ...): at heights in geometric progression."""
        left, right = self.heights[:-1], self.heights[1:]
        low, high = jnp.minimum(left, right), jnp.maximum(left, right)
        rise = jnp.log(jnp.maximum(high, 1e-300) / jnp.maximum(low, high / _LARGEST_FACTOR + 1e-300))
        share = jnp.arange(_PIECES).reshape((-1,) + (1,) * left.ndim) / _PIECES
        steep = rise > 1e-3
        safe = jnp.where(steep, rise, 1.0)
        from_low = jnp.where(steep, jnp.expm1(safe * share) / jnp.expm1(safe), share)
        to_high = jnp.where(steep, jnp.expm1(safe * (1 - share)) / jnp.expm1(safe), 1 - share)
        return jax.lax.stop_gradient(jnp.where(left <= right, from_low, 1 - to_high))

    def landmarks(self) -> jax.Array:
        return self.panels().cuts

    def rules(self) -> Rules:
        if len(self.knots) != len(self.heights) or len(self.knots) < 2:
            raise ValueError("as many knots as heights")
        return [
            ("knots", self.knots[:-1] < self.knots[1:], "must rise"),
            ("heights", self.heights >= 0, "must be ≥ 0"),
            ("heights", self.heights[1:-1] > 0, "must be > 0 between the ends"),
            ("heights", self.heights[:-1] + self.heights[1:] > 0, "must not be 0 twice running"),
        ]
