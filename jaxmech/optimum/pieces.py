"""Batches of markets no more at a time than a CPU's cache holds."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.arrays import T

_HELD = 65_536  # numbers that an array of a piece may hold, half a megabyte
_FEWEST = 16  # markets of a piece: below them what a loop costs by itself weighs more


def in_pieces(function: Callable[..., T]) -> Callable[..., T]:
    """The function of a market, prepared or not, or of what has one, and of what has its batch, a piece of the batch
    after the other.

    Laws by panels hold thousands of numbers a market: of a few hundred markets no array of them stays in a CPU's cache.
    A leaf is of the batch where its last axis is as long; of others that axis is 1, or there is none.
    """

    @wraps(function)
    def call(first, *rest):
        market = getattr(first, "market", first)
        _, *batch = market.risk_capacity.shape
        size, lanes = (batch or [1])[-1], _lanes_of(market, batch)
        if lanes >= size or jax.default_backend() != "cpu":
            return function(first, *rest)
        arguments = _with_lists_in_front(first), *rest
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


def _lanes_of(market, batch):
    """How many markets to a piece."""
    if not batch:
        return 1
    prepared = market.sides if hasattr(market, "sides") else jax.eval_shape(market.endowment.sides)
    numbers = max(leaf.size for leaf in jax.tree.leaves(prepared)) // batch[-1]
    return max(_FEWEST, _HELD // max(numbers, 1) // 8 * 8)


def _with_lists_in_front(first):
    """Lists of a law that all markets share, a number each, with an axis behind: they may be as long as the batch."""
    if not hasattr(first, "market"):
        return first

    def with_axes(_, value, listed):
        return value[:, None] if listed and len(value) and value.ndim == 1 else value

    return replace(first, market=replace(first.market, endowment=first.market.endowment.mapped(with_axes)))
