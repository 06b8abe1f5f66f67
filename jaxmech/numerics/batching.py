"""`vmap` as fast as trailing axes: what is computed of a batch is computed with the batch behind the groups."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from jaxmech.arrays import T, standard
from jaxmech.numerics.tangents import directional

# Numbers shared by a batch that are copied for each of its lanes; more of them, the tables of one law for many weights,
# are better left where they are.
_COPIED = 10_000


def batch_behind(function: Callable[..., T]) -> Callable[..., T]:
    """The function of pytrees of arrays, which takes batches with trailing axes, taking those of `vmap` that way too.

    XLA's CPU loops run along the last axis: with the batch in front, where `vmap` puts it, all takes two to three
    times as long. For functions that are not differentiated, or have a rule of their own.
    """
    plain = standard(function)
    behind: Any = wraps(function)(custom_vmap(lambda *arguments: plain(*arguments)))

    @behind.def_vmap
    def rule(size, batched, *arguments):
        leaves, tree = jax.tree.flatten(arguments)
        flags = jax.tree.leaves(batched)
        if sum(leaf.size for leaf, flag in zip(leaves, flags, strict=True) if not flag) > _COPIED:
            axes = jax.tree.unflatten(tree, [0 if flag else None for flag in flags])
            found = jax.vmap(plain, in_axes=axes, axis_size=size)(*arguments)
        else:
            moved = [
                jnp.moveaxis(leaf, 0, -1) if flag else jnp.broadcast_to(leaf[..., None], (*leaf.shape, size))
                for leaf, flag in zip(leaves, flags, strict=True)
            ]
            found = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), behind(*jax.tree.unflatten(tree, moved)))
        return found, jax.tree.map(lambda _: True, found)

    return behind


def differentiable_behind(function: Callable[..., T]) -> Callable[..., T]:
    """The same for functions that are differentiated; `vmap` treats their derivatives as it treats others."""
    plain, call = standard(function), jax.custom_jvp(batch_behind(function))

    @partial(call.defjvp, symbolic_zeros=True)
    @standard
    def jvp(primals, tangents):
        value, moved = directional(plain, primals, tangents)
        there = _there(*jax.lax.stop_gradient(primals))
        # What depends on nothing that is batched is batched by the rule above, so it must be here.
        return jax.tree.map(lambda leaf: jax.lax.select_n(there, leaf, leaf), value), moved

    return call


@custom_vmap
def _there(*arguments):
    """True, and batched wherever any of the arguments is."""
    return jnp.ones((), bool)


@_there.def_vmap
def _there_rule(size, batched, *arguments):
    return jnp.broadcast_to(_there(*arguments), (size,)), True
