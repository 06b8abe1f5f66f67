"""Auctions played one by one: endowments drawn, schedules submitted, the market cleared, everybody charged.

`outcomes` needs no simulation where traders follow the rule. This is for what has no closed form, distributions and
other demands, and to check what has.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, on_device
from jaxmech.auctions.auction_blocks import BINS, Play, block_length, centre_and_top, no_centre, played_auctions
from jaxmech.auctions.clearing import as_schedule
from jaxmech.auctions.columns import unfolded_market
from jaxmech.auctions.tabulated import quick_sampler, tabulated
from jaxmech.inputs import whole_number
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.plain import result
from jaxmech.programs import compiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PROTOCOL = ("market", "demand", "clearing_price", "side_payment")


@result()
class Simulation(NamedTuple):
    """Means over simulated auctions, with their standard errors. Money in the unit of holding costs.

    An auction without a price is not run: nobody trades or pays in it, participation fees included, and it counts.
    """

    auctions: int
    revenue: np.ndarray  # payments of all traders together
    revenue_error: np.ndarray
    efficiency: np.ndarray  # −holding costs after trade
    efficiency_error: np.ndarray
    volume: np.ndarray  # ½ Σ|X|, asset units
    volume_error: np.ndarray
    volume_by_trader: np.ndarray  # (N,), |X|
    volume_by_trader_error: np.ndarray  # (N,)
    utility_gain: np.ndarray  # (N,), over keeping what one has
    utility_gain_error: np.ndarray  # (N,)
    payment: np.ndarray  # (N,), for the asset and by the side payment
    payment_error: np.ndarray  # (N,)
    price: np.ndarray  # mean over auctions with a price; NaN if there is none
    price_error: np.ndarray
    price_deviation: np.ndarray  # standard deviation of the price
    price_deviation_error: np.ndarray
    no_trade_share: np.ndarray  # of auctions in which nobody trades, to rounding; with a price or without
    no_price_share: np.ndarray  # of auctions where no price clears, or more than one
    volume_edges: np.ndarray  # (bins + 1,), asset units; the last one is the largest volume seen, if that lies beyond
    volume_counts: np.ndarray  # (bins,), auctions

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """How the volume of an auction is distributed. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
        """
        from jaxmech.reports.plots import simulation_plot

        return simulation_plot(self, ax)

    def volume_quantile(self, probability: NumbersLike) -> np.ndarray | float:
        """Volume that is not exceeded with the given probability, linear within the bins of the histogram."""
        below = np.concatenate([[0], np.cumsum(self.volume_counts)]) / self.auctions
        return np.interp(probability, below, self.volume_edges)


def simulate(
    rule: Any,
    key: jax.Array,
    auctions: int = 100_000,
    market: Market | None = None,
    demand: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
    batch: int | None = None,
    prices: Sequence[float] | None = None,
) -> Simulation:
    """Play many auctions. The same key gives the same numbers, to the last bit, for any `batch`.

    The same key and laws also give the same endowments whatever the demands are: compare runs with the same key.

    Args:
      rule: SidePayments, BalancedPayments, DoubleAuction, SimpleSchedule, or any pytree with their `market`, `demand`,
        `clearing_price` and `side_payment`, one column a trader.
      key: `jax.random.key(seed)`.
      auctions: how many, ≥ 1.
      market: where endowments and risk capacities come from, with as many traders; by default that of the rule.
      demand: function(z, price) -> quantities, all of shape (..., N) but for price (...), applied to arrays that
        broadcast; see `with_deviation`. By default what the rule says, with its own clearing price. Otherwise the
        price is searched for, and there is no trade unless just one price clears; see `clearing.unique_price`.
      batch: blocks computed at once; memory is proportional to it and not to `auctions`.
      prices: (low, high), where to look for that price. By default the range of the rule's own prices, from everybody
        holding his most to everybody holding his least, and as much again on either side.

    Returns:
      Simulation. Standard errors vanish as 1/√auctions.

    Raises:
      MarketError: naming the argument and the remedy.
    """
    auctions, batch = whole_number("auctions", auctions, 1), None if batch is None else whole_number("batch", batch, 1)
    if auctions > jnp.iinfo(jnp.result_type(int)).max // 2:
        raise MarketError(f"auctions is {auctions}, more than can be counted; turn on x64 or run several keys")
    market = _checked_players(rule, market)
    play = Play(
        tabulated(rule), quick_sampler(market.endowment), market, *_checked_demand(rule, market, demand, prices)
    )
    block = block_length(market.groups)
    run = partial(played_auctions, play, checked_key(key), block=block, batch=batch or _default_batch())
    # The first auctions tell where to centre the sums, and how wide the histogram must be.
    pilot = min(auctions, block)
    first, largest = run(pilot, no_centre(market.groups), on_device(np.ones(())))
    centre, top = centre_and_top(first, largest, pilot)
    return _summary(auctions, *jax.device_get((*run(auctions, centre, top), centre, top)))


def _default_batch():
    return 2 if jax.default_backend() == "cpu" else 64


def _mean_and_error(first, second, centre, number):
    """Mean and its standard error, from sums of distances to `centre` and of their squares."""
    if number == 0:
        return np.full(np.shape(first), np.nan), np.full(np.shape(first), np.nan)
    spread = np.maximum(second - first**2 / number, 0.0)
    error = np.sqrt(spread / max(number - 1, 1) / number)
    return centre + first / number, error if number > 1 else np.full(np.shape(first), np.nan)


def _deviation_and_error(powers, number):
    """Standard deviation and its standard error, from sums of the first four powers of distances to a centre."""
    if number < 2:
        return np.asarray(np.nan), np.asarray(np.nan)
    m1, m2, m3, m4 = (np.asarray(power, float) / number for power in powers)
    variance = max(m2 - m1**2, 0.0)
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    deviation = np.sqrt(variance * number / (number - 1))
    return deviation, np.sqrt(max(fourth - variance**2, 0.0) / number) / (2 * deviation) if deviation > 0 else 0.0


def _summary(auctions, sums, largest, centre, top):
    """The results on the host, in float64."""
    wide = partial(jax.tree.map, lambda leaf: np.asarray(leaf, float))
    of_auction, of_trader = (
        [_mean_and_error(*wide(moments), wide(middle), auctions) for moments, middle in zip(*both, strict=True)]
        for both in ((sums.auction, centre.auction), (sums.trader, centre.trader))
    )
    revenue, efficiency, volume = of_auction
    traded, gained, paid = of_trader
    priced, edges = int(sums.priced), np.linspace(0, float(top), BINS + 1)
    edges[-1] = max(edges[-1], float(largest))
    return Simulation(
        auctions,
        *revenue,
        *efficiency,
        *volume,
        *traded,
        *gained,
        *paid,
        *_mean_and_error(*wide(sums.price[:2]), wide(centre.price), priced),
        *_deviation_and_error(sums.price, priced),
        no_trade_share=int(sums.idle) / auctions,
        no_price_share=1 - priced / auctions,
        volume_edges=edges,
        volume_counts=np.asarray(sums.counts),
    )


def checked_key(key):
    """One key, typed or of the old kind."""
    old = getattr(key, "dtype", None) == jnp.uint32 and jnp.shape(key) == (2,)
    if is_traced(key) or not (old or (_is_typed(key) and key.shape == ())):
        raise MarketError(f"key is {key!r}; give jax.random.key(seed), outside jit")
    return jax.random.wrap_key_data(key, impl="threefry2x32") if old else key


def _is_typed(key):
    return isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)


def _checked_players(rule, market):
    """The market to play in, one group a trader."""
    missing = [name for name in _PROTOCOL if not hasattr(rule, name)]
    if missing or jax.tree_util.all_leaves([rule]):
        what = f"lacks {', '.join(missing)}" if missing else "is not a pytree"
        raise MarketError(
            f"rule is {type(rule).__name__} and {what}; give SidePayments, a DoubleAuction, or their like"
        )
    own = unfolded_market(checked_market(rule.market))
    market = own if market is None else unfolded_market(checked_market(market))
    if market.risk_capacity.ndim > 1:
        raise MarketError("market is a batch; simulate one market at a time")
    if market.groups != own.groups:
        raise MarketError(f"market has {market.groups} traders, the rule {own.groups}; give it as many")
    return market


def _checked_demand(rule, market, demand, prices):
    """The schedules and the range of prices to search, or None three times where the rule clears by itself."""
    if demand is None:
        if prices is not None:
            raise MarketError("prices is for a demand of your own; the rule clears by itself")
        return None, None, None
    schedule, z = as_schedule(demand), _ends(market.endowment)
    price = jax.ShapeDtypeStruct(z.shape[:1], z.dtype)
    shape = getattr(jax.eval_shape(schedule, z, price), "shape", None)
    if shape != z.shape:
        raise MarketError(
            f"demand returns shape {shape} for z of shape {z.shape} and price ({len(z)},); give that of z"
        )
    if prices is None:
        high, low = np.asarray(rule.clearing_price(z))
        prices = 2 * low - high, 2 * high - low
    low, high = (float(end) for end in prices)
    if not low < high or not np.isfinite([low, high]).all():
        raise MarketError(f"prices is ({low:g}, {high:g}); give (low, high), finite, with low < high")
    return schedule, *on_device((np.asarray(low, z.dtype), np.asarray(high, z.dtype)))


@compiled
def _ends(law):
    """Everybody's least endowment and his largest, (2, N)."""
    return jnp.stack([law.lower, law.upper])
