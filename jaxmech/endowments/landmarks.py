"""Points between which a density is smooth and changes little."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.numerics.polynomials import unit_rule

# Where a law that knows nothing better is cut: evenly, and towards the ends ever finer.
_FINER = 3.0 ** -np.arange(1, 13) / 24
EVEN = np.sort(np.concatenate([np.linspace(0, 1, 25), _FINER, 1 - _FINER]))
# Towards an end where the density vanishes like a power: 1/f has a pole there, which each panel sees from as far.
TOWARDS_ZERO = 6.0 ** -np.arange(10.0, 0.0, -1.0)
# How far the log of a density has fallen from its peak at the landmarks around it; at the last little is left.
FALLS = np.array([0.5, 2, 5, 9, 14, 20, 26, 33, 41, 50, 60])


def told_apart(shares: np.ndarray, like: ArrayLike) -> np.ndarray:
    """Parts of a width, sorted, without those next to 0 and 1 that a type of this precision can hardly be told from."""
    least = 1024 * np.finfo(jnp.result_type(like)).eps
    return np.where(shares < least, 0.0, np.where(shares > 1 - least, 1.0, shares))


def gathered_rule(nodes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """The same for nodes that gather at 0: places sinh(strength·x)/sinh(strength)."""
    x, weights = unit_rule(nodes)
    return np.sinh(strength * x) / np.sinh(strength), weights * strength * np.cosh(strength * x) / np.sinh(strength)


def around(peak: jax.Array, distances: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    """Landmarks at these distances, shape (n, ...), on both sides of a peak, and the ends of the support."""
    inside = jnp.clip(jnp.concatenate([peak - distances[::-1], peak[None], peak + distances]), lower, upper)
    ends = (jnp.broadcast_to(end, inside[:1].shape) for end in (lower, upper))
    return jnp.concatenate([next(ends), inside, next(ends)])


def beside(numbers: ArrayLike, like: ArrayLike) -> jax.Array:
    """Numbers along a new first axis, to broadcast against an array."""
    return jnp.asarray(numbers, jnp.result_type(like)).reshape((-1,) + (1,) * jnp.ndim(like))


def nodes_from(
    middle: jax.Array, bottom: jax.Array, top: jax.Array, rule: tuple[np.ndarray, np.ndarray]
) -> tuple[jax.Array, jax.Array]:
    """Nodes and weights of a rule on [0, 1] from the middle to the bottom and to the top, (n, ...), in order."""
    nodes, weights = (beside(part, middle) for part in rule)
    below, above = middle - bottom, top - middle
    places = jnp.concatenate([middle - below * nodes[::-1], middle + above * nodes])
    return places, jnp.concatenate([below * weights[::-1], above * weights])
