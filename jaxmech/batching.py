"""Batches as fast as may be: behind the groups, however `vmap` gave them, and no more of them at a time than the cache
holds."""

from functools import partial, wraps

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from jaxmech.pytrees import standard
from jaxmech.tangents import directional

# Numbers shared by a batch that are copied for each of its lanes; more of them, the tables of one law for many weights,
# are better left where they are.
_COPIED = 10_000
_HELD = 65_536  # numbers that an array of a piece may hold, half a megabyte
_FEWEST = 16  # markets of a piece: below them what a loop costs by itself weighs more


def batch_behind(function):
    """The function of pytrees of arrays, which takes batches with trailing axes, taking those of `vmap` that way too.

    XLA's CPU loops run along the last axis: with the batch in front, where `vmap` puts it, all takes two to three
    times as long. For functions that are not differentiated, or have a rule of their own.
    """
    plain = standard(function)
    behind = wraps(function)(custom_vmap(lambda *arguments: plain(*arguments)))

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


def in_pieces(function):
    """The function of a market, prepared or not, or of what has one, and of what has its batch, a piece of the batch
    after the other.

    Laws by panels hold thousands of numbers a market: of a few hundred markets no array of them stays in a CPU's cache.
    A leaf is of the batch where its last axis is as long; the last of others is that of the groups.
    """

    @wraps(function)
    def call(first, *rest):
        arguments, market = (first, *rest), getattr(first, "market", first)
        groups, *batch = market.risk_capacity.shape
        size, lanes = (batch or [1])[-1], _lanes_of(market, groups, batch)
        if lanes >= size or size == groups or jax.default_backend() != "cpu":
            return function(*arguments)
        starts = np.minimum(np.arange(0, size, lanes), size - lanes)
        number = np.arange(size) // lanes

        def piece(start):
            def of(leaf):
                return lax.dynamic_slice_in_dim(leaf, start, lanes, -1) if leaf.shape[-1:] == (size,) else leaf

            return function(*jax.tree.map(of, arguments))

        def whole(leaf):
            if leaf.shape[-1:] != (lanes,):
                return leaf[0]
            side_by_side = jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)
            return jnp.take(side_by_side, number * lanes + np.arange(size) - starts[number], axis=-1)

        return jax.tree.map(whole, lax.map(piece, starts))

    return call


def _lanes_of(market, groups, batch):
    """How many markets to a piece."""
    if not batch:
        return 1
    prepared = market.sides if hasattr(market, "sides") else jax.eval_shape(market.endowment.sides)
    numbers = max(leaf.size for leaf in jax.tree.leaves(prepared)) // batch[-1]
    lanes = max(_FEWEST, _HELD // max(numbers, 1) // 8 * 8)
    return lanes + 8 * (lanes == groups)


def differentiable_behind(function):
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
