"""Mixtures of laws: several kinds of traders behind one name."""

import jax
import jax.numpy as jnp

from jaxmech.endowments.numerical import Numerical, panels_of
from jaxmech.pytrees import pytree


@pytree
class Mixture(Numerical):
    """A draw from one of several laws.

    Args:
      laws: tuple of laws of any kind, each for the same groups; supports may differ, together they leave no gap.
      weights: their probabilities up to a common factor, > 0, shape (laws,) or (laws, groups).
    """

    laws: tuple
    weights: jax.Array

    stacked_fields = ("weights",)
    bunches = property(lambda self: sum(law.bunches for law in self.laws))

    @property
    def lower(self):
        return jnp.min(jnp.stack([law.lower for law in self.laws]), axis=0)

    @property
    def upper(self):
        return jnp.max(jnp.stack([law.upper for law in self.laws]), axis=0)

    def log_pdf(self, z):
        shares = self.weights / jnp.sum(self.weights, axis=0)
        total = 0.0
        for law, share in zip(self.laws, shares, strict=True):
            inside = (z >= law.lower) & ((z < law.upper) | (law.upper == self.upper))
            middle = 0.5 * (law.lower + law.upper)
            total = total + jnp.where(inside, share * law.pdf(jnp.where(inside, z, middle)), 0.0)
        return jnp.log(total)

    def panels(self):
        return panels_of(self.log_pdf, self.landmarks(), self.bunches)

    def landmarks(self):
        return jnp.sort(jnp.concatenate([law.landmarks() for law in self.laws]), axis=0)

    def rules(self):
        own = [("weights", self.weights > 0, "must be > 0; leave out a law without weight")]
        return own + [
            (f"laws_{place}_{name}", good, remedy)
            for place, law in enumerate(self.laws)
            for name, good, remedy in law.rules()
        ]

    def stretched(self, factor):
        return Mixture(tuple(law.stretched(factor) for law in self.laws), self.weights)
