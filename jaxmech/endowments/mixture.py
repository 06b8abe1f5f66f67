"""Mixtures of laws: several kinds of traders behind one name."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import Numbers, is_traced, pytree
from jaxmech.endowments.law import Laws, Rules
from jaxmech.endowments.numerical import Numerical, panels_of
from jaxmech.endowments.panels import Panels

_TINY = 1e-300


@pytree
class Mixture(Numerical):
    """A draw from one of several laws.

    Args:
      laws: a list or tuple of laws of any kind, each for the same groups; supports may differ, but leave no gap.
      weights: their probabilities up to a common factor, > 0, shape (laws,) or (laws, groups).
    """

    laws: Laws
    weights: Numbers

    stacked_fields = unitless_fields = ("weights",)
    bunches = property(lambda self: sum(max(law.bunches, 4) for law in self.laws))

    @property
    def lower(self) -> jax.Array:
        return jnp.min(jnp.stack([law.lower for law in self.laws]), axis=0)

    @property
    def upper(self) -> jax.Array:
        return jnp.max(jnp.stack([law.upper for law in self.laws]), axis=0)

    def _stacks(self):
        """(laws, their places): those of one family in closed form stacked, fields (laws, ...), so that each formula is
        traced once for all of them; the others one by one."""
        alike = {}
        for place, law in enumerate(self.laws):
            law = law if isinstance(law, Numerical) else law.broadcast()
            shapes = tuple(leaf.shape for leaf in jax.tree.leaves(law))
            own = place if isinstance(law, Numerical) else (jax.tree.structure(law), shapes)
            alike.setdefault(own, []).append((law, place))
        for members in alike.values():
            laws, places = zip(*members, strict=True)
            one = isinstance(laws[0], Numerical)
            yield (laws[0] if one else jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)), places

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        held = [(z >= law.lower) & ((z < law.upper) | (law.upper == self.upper)) for law in self.laws]
        z = jnp.broadcast_to(z, held[0].shape)
        return jnp.log(self._total(z, held))

    def _total(self, z, held):
        """Σ of the densities that are held to cover z, each seen from just inside its support."""
        shares, total = self.weights / jnp.sum(self.weights, axis=0), 0.0
        for laws, places in self._stacks():
            edge = 1e-12 * laws.width
            if isinstance(laws, Numerical):
                (place,) = places
                inside = jnp.clip(z, laws.lower + edge, laws.upper - edge)
                total = total + jnp.where(held[place], shares[place] * laws.pdf(inside), 0.0)
                continue
            axis = -jnp.ndim(laws.lower)
            covers = jnp.stack([held[place] for place in places], axis=axis)
            share = shares[jnp.asarray(places)]
            share = share.reshape(share.shape + (1,) * (-axis - share.ndim))
            inside = jnp.clip(jnp.expand_dims(z, axis), laws.lower + edge, laws.upper - edge)
            total = total + jnp.sum(jnp.where(covers, share * laws.pdf(inside), 0.0), axis=axis)
        return total

    def _marks(self):
        """The landmarks of each law."""
        marks = {}
        for laws, places in self._stacks():
            own = laws.landmarks()
            marks |= {place: own if isinstance(laws, Numerical) else own[:, k] for k, place in enumerate(places)}
        return [marks[place] for place in range(len(self.laws))]

    def panels(self) -> Panels:
        """Which laws cover a panel is told from the order of the cuts, so that two that coincide still move alone."""
        marks = self._marks()
        order = jnp.argsort(jax.lax.stop_gradient(jnp.concatenate(marks)), axis=0, stable=True)
        rank, first, held = jnp.argsort(order, axis=0), 0, []
        place = jnp.arange(len(order) - 1).reshape((-1, 1) + (1,) * (order.ndim - 1))
        for own in marks:
            held.append((rank[first] <= place) & (place < rank[first + len(own) - 1]))
            first += len(own)
        cuts = jnp.sort(jnp.concatenate(marks), axis=0)
        return panels_of(lambda z: jnp.log(self._total(z, held) + _TINY), cuts, self.bunches)

    def landmarks(self) -> jax.Array:
        return jnp.sort(jnp.concatenate(self._marks()), axis=0)

    def rules(self) -> Rules:
        if len(self.laws) != len(self.weights):
            raise ValueError("one weight a law")
        own = [("weights", self.weights > 0, "must be > 0; leave out a law without weight"), *self._gaps()]
        return own + [
            (f"laws_{place}_{name}", good, remedy)
            for place, law in enumerate(self.laws)
            for name, good, remedy in law.rules()
        ]

    def _gaps(self):
        """The rule that supports leave no gap: each begins where another, that begins no later, has not yet ended."""
        xp = jnp if is_traced(self.laws) else np
        lower, upper = (xp.stack([xp.asarray(getattr(law, end)) for law in self.laws]) for end in ("lower", "upper"))
        others = ~np.eye(len(self.laws), dtype=bool).reshape(len(self.laws), -1, *(1,) * (lower.ndim - 1))
        reached = xp.max(xp.where(others & (lower <= lower[:, None]), upper, -np.inf), axis=1)
        good = (lower == xp.min(lower, axis=0)) | (lower <= reached)
        return [("weights", good, "belongs to a law with a gap before its support; let the supports touch")]
