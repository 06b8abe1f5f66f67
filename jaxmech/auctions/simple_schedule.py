"""Simple schedules: Theorem 2's double auction with three numbers a group, a spread, a slope and an access fee.

Any tax T by virtual type makes an equilibrium of the form of Theorem 2 (theory §8): at a price P, the marginal value of
the asset, traders ask for q = −V(z) − κP and pay P q + S, with

    S = −q²/(2(K − κ)) − T(l) + τ,    l = −q − κP,    V⁻¹(l) = l − T'(l)/C,    C = (1 − s)/κ.

Here T is a kink and a parabola around the group's mean endowment μ, which is public:

    T(l) = C [½σ(l − μ)² − ½δ|l − η| − ½σ(η − μ)²],    V⁻¹(l) = l − σ(l − μ) + ½δ sign(l − η),
    V(z) = clip(η, ψ⁺, ψ⁻),    ψ∓(z) = (z − σμ ± ½δ)/(1 − σ),    flat on [a, b] = (1 − σ)η + σμ ∓ ½δ.

Of uniform endowments the optimal rule is of this kind, with δ = w/(1 + w)·(h − l) and σ = w/(1 + w).
"""

from dataclasses import replace
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, pytree, takes_arrays
from jaxmech.auctions.schedule_moments import ScheduleMoments, positive, schedule_moments, solve_neutral_offer
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.optimum.outcomes import Interim, absorbed_variance
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

# Fees as functions of the largest that each group accepts, (G, ...).
FEES = {
    "by trader": lambda largest: largest,
    "common": lambda largest: jnp.broadcast_to(jnp.min(largest, axis=0), largest.shape),
    "none": jnp.zeros_like,
}


@result("binding_interval", "spread_in_money", "slope_in_money", "size_charge", "largest_fee", without=("ends",))
@pytree
class SimpleSchedule:
    """A double auction with simple side payments. Made by `simple_schedule`, or by `SimpleSchedule.of` from numbers.

    Functions of type take z of shape (..., G), one column a group; those of a whole auction one column a trader. Types
    beyond the support offer by the same straight lines.
    """

    market: Market
    mean: jax.Array  # μ, (G,): mean endowment of the group, where the slope starts
    spread: jax.Array  # δ ≥ 0, (G,), asset units: the length of [a, b]; C δ is the jump of T' at η
    slope: jax.Array  # σ < 1, (G,): C σ is the slope of T'
    participation_fee: jax.Array  # τ, (G,): money per trader, part of the side payment; below 0 he is paid to take part
    eta: jax.Array  # η, (G,): the offer of those who expect no trade
    ends: jax.Array  # (a, −b), (2, G): the flat part of V within the support, its upper end mirrored
    moments: ScheduleMoments  # of V
    error: jax.Array  # distance of η to the solution of (*), relative; ∞ where it failed
    weight: jax.Array | None = None  # w, the effective revenue weight it is best for; None if made from numbers
    gradient: jax.Array | None = None  # length of the objective's gradient where the search stopped, see the search

    @classmethod
    def of(
        cls,
        market: Market,
        spread: NumbersLike,
        slope: NumbersLike,
        fee: Literal["by trader", "common", "none"] | NumbersLike = "by trader",
    ) -> "SimpleSchedule":
        """The auction with the given numbers.

        Args:
          market: a Market; batches carry trailing axes, or use `vmap`.
          spread: δ ≥ 0, asset units; a scalar, or the shape of the market's risk capacities.
          slope: σ < 1; likewise.
          fee: "by trader", for each the largest that all his types accept; "common", the largest that everybody
            accepts; "none"; or an amount of money, shaped likewise. Accepting is having no better outside option,
            which may take a fee below 0; with "none" or an amount some types may prefer theirs (see `audit`).

        Returns:
          SimpleSchedule, differentiable to any order in the market and the numbers. Nothing raises inside jit.

        Raises:
          MarketError: not a Market, a negative spread, a slope of 1 or more, or an unknown fee (outside jit only).
        """
        checked_market(market)
        _refuse_unless("spread", spread, lambda value: value >= 0, "a finite number ≥ 0, in asset units")
        _refuse_unless("slope", slope, lambda value: value < 1, "a finite number < 1")
        if isinstance(fee, str) and fee not in FEES:
            raise MarketError(f"fee is {fee!r}; choose {', '.join(map(repr, FEES))} or an amount")
        named = isinstance(fee, str)
        found = _with_numbers(market, spread, slope, 0.0 if named else fee, fee if named else "amount")
        return replace(found, market=market)

    @derived
    def binding_interval(self) -> jax.Array:
        """[a, b] of each group, shape (G, 2): the types that offer η."""
        return jnp.stack([self.ends[0], -self.ends[1]], axis=1)

    @derived
    def share(self) -> jax.Array:
        """s = κ/K, (G,)."""
        return self.market.risk_capacity / self.market.total_risk_capacity

    @derived
    def spread_in_money(self) -> jax.Array:
        """C δ, (G,): jump of the marginal tax at η, money per unit; what a bid–ask spread is to a trader."""
        return self._factor * self.spread

    @derived
    def slope_in_money(self) -> jax.Array:
        """C σ, (G,): slope of the marginal tax, money per unit squared."""
        return self._factor * self.slope

    @derived
    def size_charge(self) -> jax.Array:
        """−1/(K − κ) − C σ, (G,): ∂²S/∂q² at a fixed price, money per unit squared; a size rebate where negative."""
        return -1 / (self.market.total_risk_capacity - self.market.risk_capacity) - self.slope_in_money

    @property
    def largest_fee(self) -> jax.Array:
        """The largest fee that every type of each group accepts, (G,), money: s² v₋/(2κ(1 − s)), v₋ = Σ_{j≠i} v_j, and
        more where all his types surely buy or surely sell.

        With outside options, the least of what his types gain over what they can do instead; below 0 it is what they
        must be paid to come.
        """
        return self.moments.largest_fee

    @takes_arrays
    @compiled
    def virtual_type(self, z: NumbersLike) -> jax.Array:
        """V(z), what type z offers at price 0; asset units."""
        return self._offer(z, slice(None))

    @takes_arrays
    @compiled
    def interim_allocation(self, z: NumbersLike) -> jax.Array:
        """X̄(z) = E[X | Z = z] = (1 − s)(η − V(z)), what type z expects to buy; never rises; asset units."""
        return (1 - self.share) * (self.eta - self.virtual_type(z))

    @takes_arrays
    @compiled
    def utility_gain(self, z: NumbersLike) -> jax.Array:
        """Expected gain of type z over staying away, fee paid; money. With D the distance of z to [a, b],

        s² v₋/(2κ(1 − s)) − τ + C D²/(2(1 − σ))
        """
        middle, half = (1 - self.slope) * self.eta + self.slope * self.mean, 0.5 * self.spread
        away = positive(jnp.abs(z - middle) - half)
        gained = 0.5 * self._factor * away**2 / (1 - self.slope)
        return self.moments.shared_risk_gain - self.participation_fee + gained

    @takes_arrays
    @compiled
    def interim_transfer(self, z: NumbersLike) -> jax.Array:
        """Expected payment of type z, for the asset, by the side payment and the fee; money."""
        expected = self.interim_allocation(z)
        square = expected**2 + absorbed_variance(self.moments.variance, self.share, self.market.count)
        return -(0.5 * square + z * expected) / self.market.risk_capacity - self.utility_gain(z)

    @takes_arrays
    def allocation(self, z: NumbersLike) -> jax.Array:
        """Purchases X = −V + s ΣV, given everybody's endowment: z and result (..., N), groups in order; sum 0."""
        return self._allocation(z, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _allocation(self, z, group):
        offered = self._offer(z, group)
        return -offered + self.share[group] * jnp.sum(offered, axis=-1, keepdims=True)

    @takes_arrays
    def clearing_price(self, z: NumbersLike) -> jax.Array:
        """P = −ΣV/K, given everybody's endowment (..., N); money per unit, shape (...)."""
        return self._clearing_price(z, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _clearing_price(self, z, group):
        return -jnp.sum(self._offer(z, group), axis=-1) / self.market.total_risk_capacity

    @takes_arrays
    def demand(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """q(P) = −V(z) − κP, one column a trader: z of shape (..., N), price of shape (...); asset units."""
        return self._demand(z, price, self.market.trader_groups(z.shape[-1]))

    @compiled
    def _demand(self, z, price, group):
        return -self._offer(z, group) - self.market.risk_capacity[group] * price[..., None]

    @takes_arrays
    def side_payment(self, price: NumbersLike, quantity: NumbersLike) -> jax.Array:
        """S(P, q): money paid beyond P q, fee included, whether or not anybody would ask for q at P.

        Args:
          price: natural units, shape (...).
          quantity: bought, one column a trader, shape (..., N).

        Returns:
          Shape of quantity.
        """
        return self._side_payment(price, quantity, self.market.trader_groups(quantity.shape[-1]))

    @compiled
    def _side_payment(self, price, quantity, group):
        market = self.market
        others = (market.total_risk_capacity - market.risk_capacity)[group]
        offered = -quantity - market.risk_capacity[group] * price[..., None]
        return -(quantity**2) / (2 * others) - self._tax(offered, group) + self.participation_fee[group]

    @compiled(inline=True)
    def interim(self) -> Interim:
        """What one trader of each group expects."""
        market, at, share = self.market, self.moments, self.share
        expected = (1 - share) * (self.eta - at.mean)
        absorbed = absorbed_variance(at.variance, share, market.count)
        return Interim(
            neutral=self.eta,
            mean=at.mean,
            variance=at.variance,
            allocation_mean=expected,
            allocation_square=(1 - share) ** 2 * at.variance + absorbed + expected**2,
            cross=(1 - share) * at.pull,
            rent=(1 - share) * at.rent + market.risk_capacity * (at.least_gain - self.participation_fee),
            no_trade=at.flat,
            endowment_mean=at.endowment_mean,
            endowment_variance=at.endowment_variance,
        )

    def _offer(self, z, group):
        mean = self.mean[group]
        slope, half = self.slope[group], 0.5 * self.spread[group]
        middle = (z - slope * mean) / (1 - slope)
        above, below = middle - half / (1 - slope), middle + half / (1 - slope)
        capped = jnp.where(below < self.eta[group], below, self.eta[group])
        return jnp.where(above > capped, above, capped)

    def _tax(self, offered, group):
        """T(l), money, with T(η) = 0."""
        mean, eta, slope = self.mean[group], self.eta[group], self.slope[group]
        parabola = slope * ((offered - mean) ** 2 - (eta - mean) ** 2)
        return 0.5 * self._factor[group] * (parabola - self.spread[group] * jnp.abs(offered - eta))

    @property
    def _factor(self):
        return (1 - self.share) / self.market.risk_capacity


def _refuse_unless(name, value, good, wanted):
    if is_traced(value):
        return
    try:
        array = np.asarray(value, float)
    except (TypeError, ValueError):
        raise MarketError(f"{name} is {value!r}; give {wanted}") from None
    bad = ~(good(array) & np.isfinite(array))
    if np.any(bad):
        raise MarketError(f"{name} is {array[bad].flat[0]:g}; give {wanted}")


@partial(compiled, static_argnames="fee")
def _with_numbers(market, spread, slope, amount, fee):
    kappa = market.risk_capacity
    spread, slope, amount = (
        jnp.broadcast_to(jnp.asarray(value, kappa.dtype), kappa.shape) for value in (spread, slope, amount)
    )
    return schedule_at(market, market.prepared(), spread, slope, FEES.get(fee, lambda largest: amount))


def schedule_at(market, prepared, spread, slope, fee) -> SimpleSchedule:
    """`SimpleSchedule.of` without its checks: numbers of shape (G, ...), and the fee as a function of the largest."""
    eta, error = solve_neutral_offer(prepared, spread, slope)
    at = schedule_moments(prepared, spread, slope, eta)
    return SimpleSchedule(market, prepared.mean, spread, slope, fee(at.largest_fee), eta, at.ends, at, error)
