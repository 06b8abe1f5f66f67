"""Derivatives along some of a function's arguments, for rules of `custom_jvp`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from jaxmech.arrays import T


def is_zero(dot: Any) -> bool:
    """Whether a tangent is none at all."""
    return dot is None or type(dot) is SymbolicZero or dot.dtype == jax.dtypes.float0


def unmoved(tree: T) -> T:
    """The tangent of a tree that does not move."""
    return jax.tree.map(_no_tangent, tree)


def _no_tangent(value):
    if jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.zeros_like(value)
    return np.zeros(value.shape, jax.dtypes.float0)


def directional(function: Callable[..., T], primals: Sequence[Any], dots: Sequence[Any]) -> tuple[T, Any]:
    """(function(*primals), its derivative along the dots); nothing is traced for what does not move.

    Args:
      dots: a tangent for each of the primals, or None; leaves may be SymbolicZero.
    """
    leaves, tree = jax.tree.flatten(primals)
    along = []
    for primal, dot in zip(primals, dots, strict=True):
        along += [None] * len(jax.tree.leaves(primal)) if dot is None else jax.tree.leaves(dot)
    moving = [k for k, dot in enumerate(along) if not is_zero(dot)]

    def of_moving(*values):
        replaced = dict(zip(moving, values, strict=True))
        return function(*jax.tree.unflatten(tree, [replaced.get(k, leaf) for k, leaf in enumerate(leaves)]))

    if not moving:
        value = function(*primals)
        return value, unmoved(value)
    return jax.jvp(of_moving, [leaves[k] for k in moving], [along[k] for k in moving])


def scaled(tangent: Any, factor: jax.Array, more: Any = None) -> Any:
    """A tangent times a factor, plus another one."""

    def one(dot, *more):
        if dot.dtype == jax.dtypes.float0:
            return dot
        return factor * dot + more[0] if more else factor * dot

    return jax.tree.map(one, tangent, *() if more is None else (more,))
