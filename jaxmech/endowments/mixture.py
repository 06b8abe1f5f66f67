"""Mixtures of laws: several kinds of traders behind one name."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.endowments.numerical import Numerical, panels_of
from jaxmech.pytrees import pytree

_TINY = 1e-300


@pytree
class Mixture(Numerical):
    """A draw from one of several laws.

    Args:
      laws: a list or tuple of laws of any kind, each for the same groups; supports may differ, but leave no gap.
      weights: their probabilities up to a common factor, > 0, shape (laws,) or (laws, groups).
    """

    laws: tuple
    weights: jax.Array

    stacked_fields = ("weights",)
    bunches = property(lambda self: sum(max(law.bunches, 4) for law in self.laws))

    @property
    def lower(self):
        return jnp.min(jnp.stack([law.lower for law in self.laws]), axis=0)

    @property
    def upper(self):
        return jnp.max(jnp.stack([law.upper for law in self.laws]), axis=0)

    def log_pdf(self, z):
        held = [(z >= law.lower) & ((z < law.upper) | (law.upper == self.upper)) for law in self.laws]
        return jnp.log(self._total(z, held))

    def _total(self, z, held):
        """Σ of the densities that are held to cover z, each seen from just inside its support."""
        shares, total = self.weights / jnp.sum(self.weights, axis=0), 0.0
        for law, share, covers in zip(self.laws, shares, held, strict=True):
            edge = 1e-12 * law.width
            inside = jnp.clip(z, law.lower + edge, law.upper - edge)
            total = total + jnp.where(covers, share * law.pdf(inside), 0.0)
        return total

    def panels(self):
        """Which laws cover a panel is told from the order of the cuts, so that two that coincide still move alone."""
        marks = [law.landmarks() for law in self.laws]
        order = jnp.argsort(jax.lax.stop_gradient(jnp.concatenate(marks)), axis=0, stable=True)
        rank, first, held = jnp.argsort(order, axis=0), 0, []
        place = jnp.arange(len(order) - 1).reshape((-1, 1) + (1,) * (order.ndim - 1))
        for own in marks:
            held.append((rank[first] <= place) & (place < rank[first + len(own) - 1]))
            first += len(own)
        return panels_of(lambda z: jnp.log(self._total(z, held) + _TINY), self.landmarks(), self.bunches)

    def landmarks(self):
        return jnp.sort(jnp.concatenate([law.landmarks() for law in self.laws]), axis=0)

    def rules(self):
        if len(self.laws) != len(self.weights):
            raise ValueError("one weight a law")
        own = [("weights", self.weights > 0, "must be > 0; leave out a law without weight"), *self._gaps()]
        return own + [
            (f"laws_{place}_{name}", good, remedy)
            for place, law in enumerate(self.laws)
            for name, good, remedy in law.rules()
        ]

    def _gaps(self):
        """The rule that supports leave no gap."""
        lower, upper = (np.stack([np.asarray(getattr(law, end)) for law in self.laws]) for end in ("lower", "upper"))
        order = np.argsort(lower, axis=0)
        lower, upper = (np.take_along_axis(ends, order, axis=0) for ends in (lower, upper))
        reached = np.maximum.accumulate(upper, axis=0)
        good = np.concatenate([np.full_like(lower[:1], True, dtype=bool), lower[1:] <= reached[:-1]])
        return [("weights", good, "belongs to a law with a gap before its support; let the supports touch")]

    def stretched(self, factor):
        return Mixture(tuple(law.stretched(factor) for law in self.laws), self.weights)
