"""Blocks of auctions: endowments drawn, schedules submitted, the market cleared, everybody charged, all added up.

A block has a key of its own, and blocks are added in order.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.arrays import on_device
from jaxmech.auctions.clearing import unique_price
from jaxmech.market.market import Market
from jaxmech.programs import compiled

BINS = 128  # of the histogram
BLOCK_ENTRIES = 2**15  # endowments in a block: its arrays fit into the cache


class Play(NamedTuple):
    """What is played. No schedule where traders demand what the rule says, which then clears by itself."""

    rule: object  # one column a trader
    sampler: object  # draws endowments of the market
    market: Market  # one group a trader
    schedule: object  # function(z, price) of all traders, or None
    low: jax.Array  # where prices are searched
    high: jax.Array


class Sums(NamedTuple):
    """Sums over auctions: of powers of distances to a centre, lest digits be lost, and of counts."""

    priced: jax.Array  # auctions with a price
    idle: jax.Array  # auctions without trade
    auction: list  # of revenue, efficiency and volume, two powers each
    trader: list  # of |X|, gain and payment, two powers each, (N,)
    price: list  # four powers
    counts: jax.Array  # (bins,)


class Centre(NamedTuple):
    """What the distances are measured from."""

    auction: list
    trader: list
    price: jax.Array


class _Auctions(NamedTuple):
    """One block, auction by auction."""

    price: jax.Array  # (block,)
    priced: jax.Array  # (block,)
    by_auction: tuple  # revenue, efficiency and volume, (block,)
    by_trader: tuple  # |X|, gain and payment, (block, N)


@partial(compiled, static_argnames=("block", "batch"))
def played_auctions(play, key, auctions, centre, top, block, batch):
    """Sums over the auctions and the largest volume.

    Blocks are played `batch` at a time and added one after the other: XLA orders and rounds a sum differently where it
    has several to do at once, but not the play.
    """

    def add(total, one):
        place, played = one
        sums, largest = _sums(play.market, played, auctions - place * block, centre, top)
        return (jax.tree.map(jnp.add, total[0], sums), jnp.maximum(total[1], largest)), None

    def step(turn, total):
        places = turn * batch + jnp.arange(batch)
        played = jax.vmap(lambda place: _played(play, jax.random.fold_in(key, place), block))(places)
        return lax.scan(add, total, (places, lax.optimization_barrier(played)))[0]

    one = jax.eval_shape(lambda: _sums(play.market, _played(play, key, block), auctions, centre, top))
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), one)
    return lax.fori_loop(0, (auctions + block * batch - 1) // (block * batch), step, nothing)


def _played(play, key, block) -> _Auctions:
    # XLA's CPU backend would compute all that leads to a result anew for each use.
    once = lax.optimization_barrier
    z = once(play.sampler.sample(key, (block,)))
    price, priced, bought = once(_cleared(play, z))
    paid = once(jnp.where(priced[:, None], price[:, None] * bought + play.rule.side_payment(price, bought), 0.0))
    kappa, traded = play.market.risk_capacity, jnp.abs(bought)
    held = jnp.sum((z + bought) ** 2 / (2 * kappa), axis=-1)
    gained = -bought * (z + 0.5 * bought) / kappa - paid
    by_auction = jnp.sum(paid, axis=-1), -held, 0.5 * jnp.sum(traded, axis=-1)
    return _Auctions(price, priced, by_auction, (traded, gained, paid))


def _sums(market, played, left, centre, top):
    """Sums over one block, of which `left` auctions count, and the largest volume."""
    volume, counts = played.by_auction[2], jnp.arange(len(played.price)) < left

    def moments(values, centre, counted, powers=2):
        away = jnp.where(counted, values - centre, 0.0)
        return [_block_sum(away**power) for power in range(1, powers + 1)]

    ends = jnp.maximum(jnp.abs(market.endowment.lower), jnp.abs(market.endowment.upper))
    idle = volume <= 16 * jnp.finfo(volume.dtype).eps * jnp.sum(ends)
    bins, whole = jnp.clip(volume / top * BINS, 0, BINS - 1).astype(jnp.int32), jnp.result_type(int)
    sums = Sums(
        priced=jnp.sum(played.priced & counts, dtype=whole),
        idle=jnp.sum(idle & counts, dtype=whole),
        auction=[moments(v, c, counts) for v, c in zip(played.by_auction, centre.auction, strict=True)],
        trader=[moments(v, c, counts[:, None]) for v, c in zip(played.by_trader, centre.trader, strict=True)],
        price=moments(played.price, centre.price, played.priced & counts, 4),
        counts=jnp.zeros(BINS, whole).at[bins].add(counts.astype(whole)),
    )
    return sums, jnp.max(jnp.where(counts, volume, 0.0))


def _cleared(play, z):
    """Price, whether there is one, and what everybody buys."""
    if play.schedule is None:
        price = lax.optimization_barrier(play.rule.clearing_price(z))
        priced, demanded = jnp.isfinite(price), play.rule.demand(z, price)
    else:
        price, priced = unique_price(play.schedule, z, play.low, play.high)
        demanded = play.schedule(z, price)
    return jnp.where(priced, price, 0.0), priced, jnp.where(priced[:, None], demanded, 0.0)


def _block_sum(values):
    """Sum over the first axis, in columns of 64, which the processor adds side by side."""
    return jnp.sum(jnp.sum(values.reshape(64, -1, *values.shape[1:]), axis=0), axis=0)


def block_length(traders):
    """Auctions in a block, a power of two: it depends on nothing but the number of traders."""
    return min(4096, max(64, BLOCK_ENTRIES >> (traders - 1).bit_length()))


def no_centre(traders):
    """Distances from zero."""
    nothing = on_device(np.zeros(()))
    return Centre([nothing] * 3, [on_device(np.zeros(traders))] * 3, nothing)


@compiled
def centre_and_top(sums, largest, auctions):
    """Means, where the sums of all auctions are centred, and where the histogram of volumes ends."""
    centre = Centre(
        [first / auctions for first, _ in sums.auction],
        [first / auctions for first, _ in sums.trader],
        sums.price[0] / jnp.maximum(sums.priced, 1),
    )
    return centre, jnp.where(largest > 0, 1.25 * largest, 1.0)
