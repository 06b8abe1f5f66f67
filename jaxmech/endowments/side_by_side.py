"""Groups whose laws belong to different families, side by side along the last axis."""

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import pytree
from jaxmech.endowments.law import Law, Laws
from jaxmech.endowments.sides import LeftTail, Ratios, Sides


@pytree
class SideBySide(Law):
    """Laws of several families as one law of all their groups, in order.

    Args:
      laws: tuple or list of laws, each with fields of shape (its groups, batch...).
      stacked: whether the fields carry an axis for the two sides before that of the groups, as `sides` makes them.
    """

    laws: Laws
    stacked: bool = field(default=False, metadata={"static": True})

    @property
    def _axis(self):
        """The group axis, counted from the back: batch axes may follow it, the axis of the two sides precedes it."""
        return self.stacked - jnp.ndim(self.laws[0].lower)

    def columns(self, z: jax.Array) -> list[jax.Array]:
        sizes = [law.lower.shape[self._axis] for law in self.laws]
        shape = list(self.laws[0].lower.shape)
        shape[self._axis] = sum(sizes)
        z = jnp.broadcast_to(z, jnp.broadcast_shapes(jnp.shape(z), tuple(shape)))
        return jnp.split(z, np.cumsum(sizes)[:-1], axis=self._axis)

    def _each(self, method, z):
        return self.joined([getattr(law, method)(part) for law, part in zip(self.laws, self.columns(z), strict=True)])

    def joined(self, parts: Sequence[jax.Array]) -> jax.Array:
        return jnp.concatenate(parts, axis=self._axis)

    def _field(self, name):
        return self.joined([getattr(law, name) for law in self.laws])

    lower = property(lambda self: self._field("lower"))
    upper = property(lambda self: self._field("upper"))
    mean = property(lambda self: self._field("mean"))
    variance = property(lambda self: self._field("variance"))

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return self._each("log_pdf", z)

    def score(self, z: ArrayLike) -> jax.Array:
        return self._each("score", z)

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        keys = jax.random.split(key, len(self.laws))
        return self.joined([law.sample(key, shape) for law, key in zip(self.laws, keys, strict=True)])

    def sides(self) -> Sides:
        parts = [law.sides() for law in self.laws]
        law = SideBySide(tuple(part.law for part in parts), stacked=True)
        return Sides(law, tuple(part.known for part in parts), law.lower, law.upper)

    def moments(self, known: Any) -> tuple[jax.Array, jax.Array]:
        each = [law.moments(own) for law, own in self.families(known)]
        mean, variance = map(self.joined, zip(*each, strict=True))
        return mean, variance

    def unstacked(self) -> Self:
        return replace(self, stacked=False)

    def families(self, known: Any) -> list[tuple[Law, Any]]:
        return list(zip(self.laws, known, strict=True))

    def _each_known(self, method, z, known):
        columns = zip(self.laws, self.columns(z), known, strict=True)
        return [getattr(law, method)(part, own) for law, part, own in columns]

    def tail(self, z: jax.Array, known: Any) -> LeftTail:
        return LeftTail(*map(self.joined, zip(*self._each_known("tail", z, known), strict=True)))

    def ratios(self, z: jax.Array, known: Any) -> Ratios:
        return Ratios(*map(self.joined, zip(*self._each_known("ratios", z, known), strict=True)))

    def density(self, z: jax.Array, known: Any) -> jax.Array:
        return self.joined(self._each_known("density", z, known))

    def last_density(self, inside: jax.Array, known: Any) -> jax.Array:
        return self.joined(self._each_known("last_density", inside, known))

    def squared_ratio_integral_from(self, z: jax.Array, known: Any) -> jax.Array:
        return self.joined(self._each_known("squared_ratio_integral_from", z, known))

    def jump_at(self, z: jax.Array, known: Any) -> tuple[jax.Array, jax.Array]:
        place, jumps = map(self.joined, zip(*self._each_known("jump_at", z, known), strict=True))
        return place, jumps

    def reflected(self) -> "SideBySide":
        return SideBySide(tuple(law.reflected() for law in self.laws), self.stacked)

    def landmarks(self) -> jax.Array:
        """Those of each law; where a law has fewer than another the upper end fills the list."""
        each = [law.landmarks() for law in self.laws]
        most = max(len(own) for own in each)
        return self.joined([jnp.concatenate([own, jnp.repeat(own[-1:], most - len(own), axis=0)]) for own in each])

    def resolved(self) -> Law:
        return SideBySide(tuple(law.resolved() for law in self.laws), self.stacked)

    def stretched(self, factor: jax.Array | float) -> Self:
        return self._each_with("stretched", factor)

    def shifted(self, distance: jax.Array | float) -> Self:
        return self._each_with("shifted", distance)

    def _each_with(self, method, number):
        pairs = zip(self.laws, self.columns(number), strict=True)
        return replace(self, laws=tuple(getattr(law, method)(own) for law, own in pairs))
