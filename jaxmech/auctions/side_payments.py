"""Theorem 2: the double auction with side payments that implements a mechanism (theory §8).

At a price p, in money per unit, trader i asks for q_i(p) = −V_i(Z_i) − κ_i p/ρ and pays p q + S_i(p, q) with

    S_i = (k_i/2) q² − T_i(l) + τ_i,    l = −q − κ_i p/ρ,    T_i'(l) = (1 − s_i)/κ_i · (ρ l − V_i⁻¹(l)),  T_i(η_i) = 0,
    k_i = (ρ − 1)/κ_i − ρ/(K − κ_i),    τ_i = ρ s_i² Σ_{j≠i} v_j / (2κ_i(1 − s_i)).

ρ is the price's scale: the market clears at p = −ρ ΣV/K. ρ = 1 makes p the marginal value of the asset ("natural");
there S is a rebate of the trader's own price impact, q²/(2(K − κ)), a tax by virtual type that vanishes under the first
best, and an access fee. ρ = K is the paper's unit, p = −ΣV (erratum E5), and k_i its c_i. Both implement the same
allocation at the same expected payments; what is paid in one auction differs.

Along the residual demand of the others l falls by K/(K − κ) for each unit bought, and the trader's marginal utility is
(V⁻¹(l) − z)/κ whatever the price: asking for l = V(z) is optimal price by price, whatever the others' endowments are.

With outside options o(z) = r + γ(z − c)²/(2κ) only V⁻¹ and the fee differ (beyond §9). On the target line t, between
t(a) and t(b), V⁻¹ has slope 1/σ: T' falls there by the spread (1 − σ)(b − a)(1 − s)/κ, at once only where σ = 0. With
z_b the type of [a, b] nearest to c, and z̄ halfway from c to it, T(t(z_b)) = 0 and what goes to the trader besides is

    τ_i = ρ s_i² Σ_{j≠i} v_j / (2κ_i(1 − s_i)) + γ_i (z_b − c_i)/κ_i · (z̄ − ρ t_i(z̄)) − r_i − his rebate.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, on_device, picked, pytree, takes_arrays, total
from jaxmech.auctions.columns import traders_of, unfolded
from jaxmech.market.market import Market, MarketError
from jaxmech.optimum.mechanism import Mechanism, checked_mechanism
from jaxmech.optimum.outcomes import absorbed_variance
from jaxmech.optimum.target_lines import TargetLine
from jaxmech.optimum.virtual_types import inverse_virtual_type
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@result("curvature", "price_impact", "spread", without=("columns",))
@pytree
class SidePayments:
    """Demands, clearing price and side payments of Theorem 2, one column a trader. Made by `side_payments`.

    Prices have shape (...), endowments and quantities (..., N). Money is in the unit of holding costs.
    """

    design: Mechanism  # the mechanism implemented, one column a group
    columns: Mechanism  # the same, one column a trader
    price_scale: jax.Array  # ρ
    participation_fee: jax.Array  # τ, (N,): money per trader, part of the side payment; below 0 he is paid to take part

    @property
    def market(self) -> Market:
        """The market the payments are designed for, one group a trader."""
        return self.columns.market

    @derived
    def curvature(self) -> jax.Array:
        """k, the paper's c, (N,): money per unit bought squared."""
        kappa, others = self._kappa, self._capacity - self._kappa
        return (self.price_scale - 1) / kappa - self.price_scale / others

    @derived
    def price_impact(self) -> jax.Array:
        """ρ/(K − κ), (N,): how much buying one unit more raises the trader's price in equilibrium."""
        return self.price_scale / (self._capacity - self._kappa)

    @derived
    def spread(self) -> jax.Array:
        """(1 − σ)(b − a)(1 − s)/κ, (N,): money per unit, the bid–ask spread: T' falls by it from a's offer to b's.

        It is a jump, at η, only where σ = 0: with an outside option that trades, T is curved between these offers.
        """
        interval, line = self.columns.binding_interval, self.columns.line()
        spread = self._factor * (interval[:, 1] - interval[:, 0])
        return spread if line is None else line.power * spread

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Side payments by quantity at the expected price, group by group. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
        """
        from jaxmech.reports.plots import payments_plot

        return payments_plot(self, ax)

    @takes_arrays
    @compiled
    def offer(self, z: NumbersLike) -> jax.Array:
        """V(z), what type z offers at price 0; types outside the support offer one for one beyond its ends."""
        law = self.market.endowment
        inside = jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))
        return self.columns.virtual_type(inside) + (z - inside)

    @takes_arrays
    @compiled
    def demand(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """q(p) = −V(z) − κp/ρ, Eq. (20); asset units, shape of z."""
        return -self.offer(z) - self._kappa / self.price_scale * price[..., None]

    @takes_arrays
    @compiled
    def clearing_price(self, z: NumbersLike) -> jax.Array:
        """p = −ρ ΣV/K; in the paper's unit −ΣV (erratum E5). Shape (...)."""
        return -self.price_scale / self._capacity * jnp.sum(self.offer(z), axis=-1)

    @takes_arrays
    @compiled
    def side_payment(self, price: NumbersLike, quantity: NumbersLike) -> jax.Array:
        """S(p, q), Theorem 2: money paid beyond p q, whether or not anybody would ask for q at p; shape of quantity."""
        tax = self.tax(self.offered(price, quantity))
        return 0.5 * self.curvature * quantity**2 - tax + self.participation_fee

    def offered(self, price: jax.Array, quantity: jax.Array) -> jax.Array:
        """l = −q − κp/ρ, the offer by which a trader asks for q at p; asset units, shape of quantity."""
        return -quantity - self._kappa / self.price_scale * price[..., None]

    @takes_arrays
    @compiled
    def tax(self, offered: NumbersLike) -> jax.Array:
        """T(l) of Theorem 2, in money, with T(η) = 0 and a kink there; asset units in, shape (..., N).

        On the range of V, T(V(z)) = (1 − s)/κ · [(V − η)((V + η)/2 − z) + (ρ − 1)(V² − η²)/2] + g(z), g the gain (3).
        Beyond it V⁻¹ goes on with slope 1, so that demands there do not pay. With outside options T(t(z_b)) = 0, and
        where σ > 0 there is no kink:

        T(V(z)) = (1 − s)/κ · [(V − t)((V + t)/2 − z) + σ(z − z_b)(η − c − (1 − σ)(z + z_b − 2c)/2)
                               + (ρ − 1)(V² − t(z_b)²)/2] + (g − o)(z)
        """
        inside, z = self._inverse(offered)
        return self._tax(inside, z, offered - inside)

    def _tax(self, inside, z, beyond):
        """T at inside + beyond: `inside` = V(z) in the range of V, `beyond` the rest of the offer."""
        at, scale, line = self.columns, self.price_scale, self.columns.line()
        target = start = at.eta
        if line is not None:
            kept = binding_type(at, line)
            target, start = line.at(at.eta, z), line.at(at.eta, kept)
        on_range = (inside - target) * (0.5 * (inside + target) - z) + 0.5 * (scale - 1) * (inside**2 - start**2)
        if line is not None:
            middle = at.eta - line.centre - 0.5 * line.power * (z + kept - 2 * line.centre)
            on_range = on_range + line.slope * (z - kept) * middle
        off_range = beyond * (scale * (inside + 0.5 * beyond) - 0.5 * beyond - z)
        tax = self._factor * (on_range + off_range) + at.participation_gain(z)
        return tax if at.rebate is None else tax - at.rebate

    @takes_arrays
    @compiled
    def marginal_tax(self, offered: NumbersLike) -> jax.Array:
        """T'(l) = (1 − s)/κ · (ρ l − V⁻¹(l)); at a kink the slope on the left."""
        inside, z = self._inverse(offered)
        return self._factor * (self.price_scale * offered - (z + offered - inside))

    @takes_arrays
    @compiled
    def payment_of_type(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """S where type z of the support asks for what he does; money, shape of z. `side_payment` without a search."""
        tax = self._tax(self.offer(z), z, jnp.zeros_like(z))
        return 0.5 * self.curvature * self.demand(z, price) ** 2 - tax + self.participation_fee

    @takes_arrays
    @compiled
    def marginal_payment_of_type(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """∂S/∂q where type z of the support asks for what he does: c q + T'(V(z)), money per unit, shape of z.

        By type it is single-valued at the kink too: the types at its two ends have its two slopes.
        """
        tax = self._factor * (self.price_scale * self.offer(z) - z)
        return self.curvature * self.demand(z, price) + tax

    @takes_arrays
    @compiled
    def ex_post_gain(self, z: NumbersLike, price: NumbersLike, quantity: NumbersLike) -> jax.Array:
        """Gain over staying away when type z buys `quantity` at `price` and pays for it; money, shape of z."""
        held = quantity * (z + 0.5 * quantity) / self._kappa
        return -held - price[..., None] * quantity - self.side_payment(price, quantity)

    @takes_arrays
    @compiled
    def expected(
        self, z: NumbersLike, mean: NumbersLike, variance: NumbersLike
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What type z expects when the others' offers have these moments: purchase, its square, and payment.

        From the schedule itself: the purchase is linear in the others' offers and S is quadratic in the purchase.

        Args:
          z: endowments, shape (..., N).
          mean, variance: of one trader's offer, shape (N,).

        Returns:
          E X, E X² and E[pX + S], each of the shape of z.
        """
        law = self.market.endowment
        inside = jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))
        virtual, beyond = self.columns.virtual_type(inside), z - inside
        return self._expected(virtual + beyond, self._tax(virtual, inside, beyond), mean, variance)

    def _expected(self, offered, tax, mean, variance):
        """The same of an offer with this tax."""
        share, count = self.columns.share, self.market.count
        bought = -(1 - share) * offered + share * (total(count * mean) - mean)
        square = bought**2 + absorbed_variance(variance, share, count)
        for_asset = -self.price_scale / self._kappa * (square + offered * bought)
        return bought, square, for_asset + 0.5 * self.curvature * square - tax + self.participation_fee

    @takes_arrays
    @compiled
    def expected_payment(self, offered: NumbersLike) -> jax.Array:
        """What a trader expects to pay who offers l, for the asset and by the side payment; money, shape (..., N)."""
        moments = self.columns.interim()
        return self._expected(offered, self.tax(offered), moments.mean, moments.variance)[2]

    @takes_arrays
    @compiled
    def interim_transfer(self, z: NumbersLike) -> jax.Array:
        """Expected payment of type z, for the asset and by the side payment; money, shape of z.

        It is that of Eq. (4).
        """
        moments = self.columns.interim()
        return self.expected(z, moments.mean, moments.variance)[2]

    @takes_arrays
    @compiled
    def utility_gain(self, z: NumbersLike) -> jax.Array:
        """Expected gain of type z over staying away, all payments made; money, shape of z."""
        moments = self.columns.interim()
        return self.gain_of(z, *self.expected(z, moments.mean, moments.variance))

    @takes_arrays
    @compiled
    def gain_of(self, z: NumbersLike, bought: NumbersLike, square: NumbersLike, paid: NumbersLike) -> jax.Array:
        """Expected gain of type z from a purchase with these moments at this expected payment."""
        return -(z * bought + 0.5 * square) / self._kappa - paid

    def by_group(self) -> "SidePayments":
        """The same schedules with one column a group instead of a trader."""
        first = np.searchsorted(traders_of(self.design.market), np.arange(self.design.market.groups))
        return replace(self, columns=self.design, participation_fee=picked(self.participation_fee, first))

    def _inverse(self, offered):
        """The offer moved into the range of V, and the type that makes it."""
        law, at = self.market.endowment, self.columns
        low, high = at.virtual_type(law.lower), at.virtual_type(law.upper)
        inside = jnp.where(offered < low, low, jnp.where(offered > high, high, offered))
        (weight, _), line = at.kernel(), at.line()
        own = weight if line is None else weight * line.power  # w, the kernel's times 1 − σ
        z = inverse_virtual_type(inside, law.sides(), at.eta, at.ends, own, at.bunching, line)
        # V may be flat up to an end of the support, where its inverse is not unique: go on from that end.
        return inside, jnp.where(offered < low, law.lower, jnp.where(offered > high, law.upper, z))

    @property
    def _kappa(self):
        return self.market.risk_capacity

    @property
    def _capacity(self):
        return self.market.total_risk_capacity

    @property
    def _factor(self):
        return (1 - self.columns.share) / self._kappa


def side_payments(mechanism: Mechanism, price_unit: Literal["natural", "paper"] = "natural") -> SidePayments:
    """The double auction with side payments that implements a mechanism, Theorem 2.

    Args:
      mechanism: a Mechanism (no batch); its counts must be known, so close over them inside jit.
      price_unit: "natural", where the price is the marginal value of the asset, or "paper", where it is K times that.

    Returns:
      SidePayments, one column a trader, groups in order.

    Raises:
      MarketError: an unknown unit, something else than a mechanism, one that there is not (see its status; outside jit
        only), or traced counts.
    """
    by_group = payments_by_group(mechanism, price_unit)
    fee = picked(by_group.participation_fee, traders_of(mechanism.market))
    return replace(by_group, columns=unfolded(mechanism), participation_fee=fee)


def payments_by_group(mechanism: Mechanism, price_unit: Literal["natural", "paper"] = "natural") -> SidePayments:
    """`side_payments(mechanism).by_group()`, but that no shape depends on counts: nothing compiles anew when one moves.

    Args, Raises: as for `side_payments`; counts may be traced.
    """
    if not is_traced(checked_mechanism(mechanism)) and np.isnan(np.asarray(mechanism.eta)).any():
        raise MarketError(f"mechanism is none: {mechanism.status}")
    if not isinstance(price_unit, str) or price_unit not in ("natural", "paper"):
        raise MarketError(f"price_unit is {price_unit!r}; choose 'natural' or 'paper'")
    return SidePayments(mechanism, mechanism, *_scale_and_fee(mechanism, on_device(price_unit == "paper")))


@compiled
def _scale_and_fee(mechanism, in_paper_unit):
    """ρ, and τ by group."""
    market, share = mechanism.market, mechanism.share
    scale = jnp.where(in_paper_unit, market.total_risk_capacity, 1.0)
    absorbed = absorbed_variance(mechanism.interim().variance, share, market.count)
    fee, option, line = scale * absorbed / (2 * market.risk_capacity * (1 - share)), market.option, mechanism.line()
    if option is not None and line is not None:
        away = binding_type(mechanism, line) - line.centre
        halfway = line.centre + 0.5 * away
        dearer = halfway - scale * line.at(mechanism.eta, halfway)
        fee = fee + option.gamma * away / market.risk_capacity * dearer - option.reserve
    return scale, fee if mechanism.rebate is None else fee - mechanism.rebate


def binding_type(mechanism: Mechanism, line: TargetLine) -> jax.Array:
    """z_b, (G,): the type of [a, b] that trades least outside, where T is 0."""
    return jnp.clip(line.centre, mechanism.ends[0], -mechanism.ends[1])
