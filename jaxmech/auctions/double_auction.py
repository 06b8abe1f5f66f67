"""The double auction without side payments, for any risk capacities and independent endowments (theory §7).

Trader i submits q_i(P) = −b_i (P + Z_i/κ_i) at a price P, money per unit of the asset. With B = Σ b_j, buying a unit
more raises his price by 1/(B − b_i); his best reply to linear demands is linear with 1/b_i = 1/κ_i + 1/(B − b_i), so

    b_i = ½ [B + 2κ_i − √(B² + 4κ_i²)] = B / (1 + e^{u_i}),    sinh u_i = B/(2κ_i),    Σ 1/(1 + e^{u_i}) = 1.

Each share b_i/B falls from ½ to 0 as B grows: one B solves the last equation if N ≥ 3, none if N = 2. Purchases are
X_i = −g_i Z_i + (b_i/B) Σ g_j Z_j with g = b/κ, so a double auction is a design like the others, with V = gZ.
"""

from dataclasses import replace
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.arrays import NumbersLike, is_traced, on_device, pytree, standard, takes_arrays, total
from jaxmech.auctions.participation import least_over_outside
from jaxmech.inputs import real_numbers
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.optimum.outcomes import Interim, absorbed_variance
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

MAX_STEPS = 100


@result("price_impact", "unloading", "share", "neutral_type")
@pytree
class DoubleAuction:
    """The linear equilibrium of the double auction, with participation fees. Made by `double_auction`.

    Functions of type take z of shape (..., G), one column a group; those of a whole auction one column a trader.
    """

    market: Market
    slope: jax.Array  # b, (G,): units bought less for each unit of price
    participation_fee: jax.Array  # (G,), money per trader, the same whatever he trades; below 0 he is paid to take part
    error: jax.Array  # distance of Σ b to its equation, relative; ∞ where no equilibrium exists
    endowment_mean: jax.Array  # E Z, (G,)
    endowment_variance: jax.Array  # Var Z, (G,)

    @derived
    def price_impact(self) -> jax.Array:
        """1/(B − b), (G,): how much buying one unit more raises the trader's price."""
        return 1 / (total(self.market.count * self.slope) - self.slope)

    @derived
    def unloading(self) -> jax.Array:
        """g = b/κ, (G,): part of his endowment that a trader offers; 1 under the first best."""
        return self.slope / self.market.risk_capacity

    @derived
    def share(self) -> jax.Array:
        """b/B, (G,): part of everybody's offers that a trader takes over."""
        return self.slope / total(self.market.count * self.slope)

    @derived
    def neutral_type(self) -> jax.Array:
        """The type that expects no trade, (G,); asset units, possibly outside the support."""
        market, unloading, share = self.market, self.unloading, self.share
        mean = unloading * self.endowment_mean
        return share * (total(market.count * mean) - mean) / ((1 - share) * unloading)

    @takes_arrays
    @compiled
    def interim_allocation(self, z: NumbersLike) -> jax.Array:
        """E[X | Z = z], the expected purchase of type z; asset units."""
        return (1 - self.share) * self.unloading * (self.neutral_type - z)

    @takes_arrays
    @compiled
    def utility_gain(self, z: NumbersLike) -> jax.Array:
        """Expected gain of type z over staying away, fee paid; money. He gains (1/b − 1/(2κ)) q² at each price."""
        return self._gross_gain(self.interim_allocation(z) ** 2 + self._absorbed) - self.participation_fee

    @takes_arrays
    @compiled
    def interim_transfer(self, z: NumbersLike) -> jax.Array:
        """Expected payment of type z, for the asset and the fee; money."""
        expected = self.interim_allocation(z)
        held = (0.5 * (expected**2 + self._absorbed) + z * expected) / self.market.risk_capacity
        return -held - self.utility_gain(z)

    @takes_arrays
    def allocation(self, z: NumbersLike) -> jax.Array:
        """Purchases X, given everybody's endowment: z and result of shape (..., N), groups in order; they sum to 0."""
        return self._allocation(z, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _allocation(self, z, group):
        offered = self.unloading[group] * z
        return -offered + self.share[group] * jnp.sum(offered, axis=-1, keepdims=True)

    @takes_arrays
    def clearing_price(self, z: NumbersLike) -> jax.Array:
        """P = −Σ g_j Z_j / B, given everybody's endowment (..., N); money per unit, shape (...)."""
        return self._clearing_price(z, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _clearing_price(self, z, group):
        return -jnp.sum(self.unloading[group] * z, axis=-1) / total(self.market.count * self.slope)

    @takes_arrays
    def demand(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """q(P) = −b (P + z/κ), one column a trader: z of shape (..., N), price of shape (...); asset units."""
        return self._demand(z, price, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _demand(self, z, price, group):
        return -self.slope[group] * (price[..., None] + z / self.market.risk_capacity[group])

    @takes_arrays
    def side_payment(self, price: NumbersLike, quantity: NumbersLike) -> jax.Array:
        """What each trader pays beyond p q: his participation fee, whatever he buys; shape of quantity (..., N)."""
        return self._side_payment(quantity, self.market.trader_groups(quantity.shape[-1]))

    @compiled
    def _side_payment(self, quantity, group):
        return jnp.broadcast_to(self.participation_fee[group], quantity.shape)

    @compiled(inline=True)
    def interim(self) -> Interim:
        """What one trader of each group expects."""
        market, variance = self.market, self.unloading**2 * self.endowment_variance
        mean = self.unloading * self.endowment_mean
        expected = self.share * total(market.count * mean) - mean
        square = (1 - self.share) ** 2 * variance + self._absorbed + expected**2
        return Interim(
            neutral=self.unloading * self.neutral_type,
            mean=mean,
            variance=variance,
            allocation_mean=expected,
            allocation_square=square,
            cross=self.endowment_mean * expected - (1 - self.share) * self.unloading * self.endowment_variance,
            rent=market.risk_capacity * (self._gross_gain(square) - self.participation_fee),
            no_trade=jnp.zeros_like(mean),
            endowment_mean=self.endowment_mean,
            endowment_variance=self.endowment_variance,
        )

    @derived
    def largest_fee(self) -> jax.Array:
        """The largest fee that every type of each group accepts, (G,): the least gain of his types without fee.

        With outside options, the least over what they can do instead; below 0 it is what they must be paid to come.
        """
        market, law, neutral = self.market, self.market.endowment, self.neutral_type

        def gain(z):
            return self._gross_gain(self.interim_allocation(z) ** 2 + self._absorbed)

        if market.option is not None:
            steepness = self._gross_gain(((1 - self.share) * self.unloading) ** 2)
            at = market.option, law.lower, law.upper, market.risk_capacity
            return least_over_outside(gain, neutral[None], steepness, *at)
        return gain(jnp.where(neutral < law.lower, law.lower, jnp.where(neutral > law.upper, law.upper, neutral)))

    @property
    def _absorbed(self):
        variance = self.unloading**2 * self.endowment_variance
        return absorbed_variance(variance, self.share, self.market.count)

    def _gross_gain(self, square):
        return (1 / self.slope - 0.5 / self.market.risk_capacity) * square


def double_auction(
    market: Market, fee: Literal["by trader", "common", "none"] | NumbersLike = "by trader"
) -> DoubleAuction:
    """The double auction without side payments, in its linear equilibrium, with participation fees.

    With it the paper compares the optimum in Example 1 (footnote 7).

    Args:
      market: a Market of at least three traders; batches carry trailing axes, or use `vmap`.
      fee: "by trader", for each the largest that all his types accept; "common", the largest that everybody accepts;
        "none"; or an amount of money, a scalar or (groups,). Accepting is having no better outside option, which may
        take a fee below 0; with "none" or an amount some types may prefer theirs (see `audit`).

    Returns:
      DoubleAuction, differentiable in the market. Revenue is the fees: payments for the asset cancel. Inside jit
      nothing raises: with two traders slopes are NaN and `.error` is ∞.

    Raises:
      MarketError: not a Market, fewer than three traders, or an unknown fee (outside jit only).
    """
    count = checked_market(market).count
    if not is_traced(count) and np.any(np.sum(np.asarray(count), axis=0) <= 2):
        raise MarketError(
            "count: with two traders the double auction has no linear equilibrium; it takes three or more"
        )
    if isinstance(fee, str) and fee not in ("by trader", "common", "none"):
        raise MarketError(f"fee is {fee!r}; choose 'by trader', 'common', 'none' or an amount")
    if isinstance(fee, str):
        auction = _double_auction(market, on_device(fee != "none"), on_device(fee == "common"))
    else:
        auction = _with_amount(market, _amount(market, fee))
    return replace(auction, market=market)


def _amount(market, fee):
    """The fee as an array; MarketError unless it is a finite number or one for each group."""
    traced = is_traced(fee)
    amount = fee if traced else real_numbers("fee", fee, "'by trader', 'common', 'none' or an amount")
    amount = on_device(amount.astype(market.risk_capacity.dtype))
    if amount.shape not in ((), (market.groups,), market.risk_capacity.shape):
        raise MarketError(f"fee has shape {amount.shape}; give one amount or one for each of {market.groups} groups")
    if not is_traced(amount) and not np.all(np.isfinite(np.asarray(amount))):
        raise MarketError(f"fee is {fee}; give a finite amount of money")
    return amount


@compiled
def _with_amount(market, fee):
    fee = jnp.reshape(fee, fee.shape + (1,) * (market.risk_capacity.ndim - fee.ndim)) if fee.ndim else fee
    return replace(_without_fee(market), participation_fee=jnp.broadcast_to(fee, market.risk_capacity.shape))


@compiled
def _double_auction(market, charged, common):
    """With the largest fees or none; kinds of fees are data, so that all share one program."""
    auction = _without_fee(market)
    largest = auction.largest_fee
    fee = jnp.where(common, jnp.min(largest, axis=0), largest)
    return replace(auction, participation_fee=jnp.where(charged, fee, 0.0))


def _without_fee(market):
    aggregate = aggregate_slope(market.risk_capacity, market.count)
    shares, _ = _slope_shares(aggregate, market.risk_capacity)
    error = jnp.abs(total(market.count * shares) - 1)
    nothing, moments = jnp.zeros_like(shares), market.endowment.sides().moments()
    error = jnp.where(jnp.isnan(error), jnp.inf, error)
    return DoubleAuction(market, aggregate * shares, nothing, error, *moments)


def _slope_shares(aggregate, risk_capacity):
    """b_i/B = 1/(1 + e^u) and its derivative in B, at sinh u = B/(2κ)."""
    ratio = aggregate / (2 * risk_capacity)
    root = jnp.sqrt(1 + ratio**2)
    return 1 / (1 + ratio + root), -1 / (4 * risk_capacity * root * (1 + root))


@jax.custom_jvp
def aggregate_slope(risk_capacity, count):
    """B = Σ b_i, the root of Σ b_i/B = 1. The left side is convex and falls in B: Newton from the left stays there.

    The reciprocal of that sum is nearly linear in B: its longer step is taken unless it leaves the bracket.

    Args:
      risk_capacity, count: shape (G, ...).

    Returns:
      B, shape (...); NaN where there are two traders or fewer.
    """
    traders = total(count)
    close = jnp.finfo(risk_capacity.dtype).eps ** 0.5 / 10  # one more step squares it
    scale = (traders - 1) - 1 / (traders - 1)  # B/κ of symmetric traders
    low = 0.99 * scale * jnp.min(risk_capacity, axis=0)
    high = 1.01 * scale * jnp.max(risk_capacity, axis=0)

    def step(state):
        low, high, here, _, steps = state
        shares, slopes = _slope_shares(here, risk_capacity)
        sum_of_shares, slope = total(count * shares), total(count * slopes)
        low, high = jnp.where(sum_of_shares >= 1, here, low), jnp.where(sum_of_shares <= 1, here, high)
        convex = here + (1 - sum_of_shares) / slope
        longer = here + sum_of_shares * (1 - sum_of_shares) / slope
        new = jnp.clip(jnp.where((longer >= low) & (longer <= high), longer, convex), low, high)
        return low, high, new, jnp.abs(sum_of_shares - 1) > close, steps + 1

    def unfinished(state):
        *_, moving, steps = state
        return jnp.any(moving) & (steps < MAX_STEPS)

    start = low, high, jnp.sqrt(low) * jnp.sqrt(high), traders > 2, 0
    aggregate = lax.while_loop(unfinished, step, start)[2]
    return jnp.where(traders > 2, aggregate, jnp.nan)


@aggregate_slope.defjvp
@standard
def _aggregate_slope_jvp(primals, tangents):
    risk_capacity, count = primals
    aggregate = aggregate_slope(risk_capacity, count)
    _, excess_dot = jax.jvp(lambda k, n: total(n * _slope_shares(aggregate, k)[0]), primals, tangents)
    return aggregate, -excess_dot / total(count * _slope_shares(aggregate, risk_capacity)[1])
