"""Groups whose laws belong to different families, side by side along the last axis."""

from dataclasses import field

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.endowments.contract import Law, LeftTail
from jaxmech.pytrees import pytree


@pytree
class SideBySide(Law):
    """Laws of several families as one law of all their groups, in order.

    Args:
      laws: tuple or list of laws, each with fields of shape (its groups, batch...).
      stacked: whether the fields carry a leading axis for the two sides, as `both_sides` makes them.
    """

    laws: tuple
    stacked: bool = field(default=False, metadata={"static": True})

    @property
    def _axis(self):
        """The group axis, counted from the back: batch axes may follow it, the axis of the two sides precedes it."""
        return self.stacked - jnp.ndim(self.laws[0].lower)

    def columns(self, z):
        """z (..., G, batch...) cut into the groups of each law."""
        sizes = [law.lower.shape[self._axis] for law in self.laws]
        shape = list(self.laws[0].lower.shape)
        shape[self._axis] = sum(sizes)
        z = jnp.broadcast_to(z, jnp.broadcast_shapes(jnp.shape(z), tuple(shape)))
        return jnp.split(z, np.cumsum(sizes)[:-1], axis=self._axis)

    def _each(self, method, z):
        return self.joined([getattr(law, method)(part) for law, part in zip(self.laws, self.columns(z), strict=True)])

    def joined(self, parts):
        """What was computed of each law put together again."""
        return jnp.concatenate(parts, axis=self._axis)

    def _field(self, name):
        return self.joined([getattr(law, name) for law in self.laws])

    lower = property(lambda self: self._field("lower"))
    upper = property(lambda self: self._field("upper"))
    mean = property(lambda self: self._field("mean"))
    variance = property(lambda self: self._field("variance"))

    def log_pdf(self, z):
        return self._each("log_pdf", z)

    def score(self, z):
        return self._each("score", z)

    def squared_ratio_integral(self, z):
        return self._each("squared_ratio_integral", z)

    def sample(self, key, shape=()):
        keys = jax.random.split(key, len(self.laws))
        return self.joined([law.sample(key, shape) for law, key in zip(self.laws, keys, strict=True)])

    def prepare(self):
        return self._tails([law.prepare() for law in self.laws])

    def prepare_both_sides(self):
        return self.both_sides()._tails([law.prepare_both_sides() for law in self.laws])

    def _tails(self, functions):
        """One function from those of each law."""

        def left_tail(z):
            tails = [function(part) for function, part in zip(functions, self.columns(z), strict=True)]
            return LeftTail(*(self.joined(parts) for parts in zip(*tails, strict=True)))

        return left_tail

    def reflected(self):
        return SideBySide(tuple(law.reflected() for law in self.laws), self.stacked)

    def both_sides(self):
        return SideBySide(tuple(law.both_sides() for law in self.laws), stacked=True)

    def landmarks(self):
        """Those of each law; where a law has fewer than another the upper end fills the list."""
        each = [law.landmarks() for law in self.laws]
        most = max(len(own) for own in each)
        return self.joined([jnp.concatenate([own, jnp.repeat(own[-1:], most - len(own), axis=0)]) for own in each])

    def nodes_to(self, z, kinks):
        """Those of each law; where a law has fewer than another, the lower end without weight in front of them."""
        columns = zip(self.laws, self.columns(z), self.columns(kinks), strict=True)
        each = [law.nodes_to(part, own) for law, part, own in columns]
        most = max(len(nodes) for nodes, _ in each)
        ends = zip(each, self.columns(self.lower), strict=True)
        nodes = [jnp.concatenate([jnp.broadcast_to(end, (most - len(own), *end.shape)), own]) for (own, _), end in ends]
        weights = [jnp.concatenate([jnp.zeros((most - len(own), *own.shape[1:]), own.dtype), own]) for _, own in each]
        return self.joined(nodes), self.joined(weights)

    def jump_at(self, z):
        each = [law.jump_at(part) for law, part in zip(self.laws, self.columns(z), strict=True)]
        return tuple(self.joined(parts) for parts in zip(*each, strict=True))

    def resolved(self):
        return SideBySide(tuple(law.resolved() for law in self.laws), self.stacked)

    def stretched(self, factor):
        raise TypeError("stretch each law before placing it in a market")
