"""The same revenue in every state: payments of a mechanism without risk to the exchange (beyond §10).

With side payments S_i what the exchange gets in one auction differs. It is made of functions of one offer each and of
products of two: with V_j what trader j offers, W_j = V_j − m_j, e_j = k_j s_j, d = Σ s_j² k_j and k_j the curvature,

    Σ S_i = R + Σ_j ρ_j(V_j) + Σ_{j<k} c_jk W_j W_k,    c_jk = d − e_j − e_k,
    ρ_j(V) = ½[k_j(1 − 2s_j) + d] V² − T_j(V) + V Σ_{k≠j} c_jk m_k − (its mean).

With three traders or more each of these can be charged to those who have no hand in it, as Groves and Loeb (1975) do:

    b_i = −Σ_{j≠i} ρ_j/(N − 1) − Σ_{j<k; j,k≠i} c_jk W_j W_k/(N − 2),    E b_i = 0,    Σ(S_i + b_i) = R.

Two traders leave nobody to charge W_1 W_2 to, and direct mechanisms have no price. There each pays what he expects to
pay with these side payments, T̄_i, and what the others pay more than they were expected to is given back to him:

    t_i = T̄_i(V_i) − Σ_{j≠i} (T̄_j(V_j) − E T̄_j)/(N − 1),    Σ t_i = R.
"""

from dataclasses import field
from typing import Literal

import jax
import jax.numpy as jnp

from jaxmech.arrays import NumbersLike, pytree, takes_arrays
from jaxmech.auctions.side_payments import SidePayments, side_payments
from jaxmech.inputs import one_of
from jaxmech.market.market import Market, MarketError
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import revenue_by_group
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

FORMS = ("price by price", "expected externality")


@result("revenue", "expected_payment", without=("mean",))
@pytree
class BalancedPayments:
    """Payments of all traders that add up to R whatever they own and offer. Made by `balanced`.

    One column a trader. Demands, prices, purchases and what everybody expects are those of `schedule`.
    """

    schedule: SidePayments
    mean: jax.Array  # (N,), of what a trader's offer adds to revenue by itself, before it is taken off
    form: str = field(metadata={"static": True})

    @property
    def market(self) -> Market:
        """The market the payments are designed for, one group a trader."""
        return self.schedule.market

    @derived
    def expected_payment(self) -> jax.Array:
        """E payment, (N,), money: R_i, as before."""
        market = self.market
        return revenue_by_group(self.schedule.columns.interim(), market.risk_capacity, market.count)

    @derived
    def revenue(self) -> jax.Array:
        """R, money: what the exchange gets in every auction."""
        return jnp.sum(self.expected_payment)

    def offer(self, z: NumbersLike) -> jax.Array:
        """V(z), what type z offers at price 0; shape (..., N)."""
        return self.schedule.offer(z)

    def demand(self, z: NumbersLike, price: NumbersLike) -> jax.Array:
        """q(p) = −V(z) − κp/ρ; asset units, shape of z."""
        return self.schedule.demand(z, price)

    def clearing_price(self, z: NumbersLike) -> jax.Array:
        """p = −ρ ΣV/K; shape (...)."""
        return self.schedule.clearing_price(z)

    def interim_transfer(self, z: NumbersLike) -> jax.Array:
        """Expected payment of type z, for the asset and by the side payment; money, shape of z."""
        return self.schedule.interim_transfer(z)

    def utility_gain(self, z: NumbersLike) -> jax.Array:
        """Expected gain of type z over staying away, all payments made; money, shape of z."""
        return self.schedule.utility_gain(z)

    @takes_arrays
    @compiled
    def side_payment(self, price: NumbersLike, quantity: NumbersLike) -> jax.Array:
        """What each trader pays beyond p q where these quantities are traded at p; money, shape of quantity (..., N).

        Unlike that of `schedule` it depends on the quantities of the others: they tell what the others have offered.
        """
        rule = self.schedule
        offered = rule.offered(price, quantity)
        if self.form == FORMS[0]:
            return rule.side_payment(price, quantity) + self.compensation(offered)
        return rule.expected_payment(offered) - price[..., None] * quantity + self.compensation(offered)

    @takes_arrays
    @compiled
    def payment(self, z: NumbersLike) -> jax.Array:
        """Everything that each trader pays, for the asset and besides, when these types do as they should; money,
        shape of z (..., N). The transfers of a direct mechanism."""
        price = self.clearing_price(z)
        bought = self.demand(z, price)
        return price[..., None] * bought + self.side_payment(price, bought)

    @takes_arrays
    @compiled
    def compensation(self, offered: NumbersLike) -> jax.Array:
        """b, what each trader pays more because of what the others offer, 0 on average; money, (..., N)."""
        traders, own = self.mean.size, self._own(offered) - self.mean
        rest = -_of_others(own) / (traders - 1)
        if self.form != FORMS[0]:
            return rest
        away, (pull, base) = offered - self.schedule.columns.interim().mean, _products(self.schedule)
        once, twice = _of_others(away), _of_others(away**2)
        pulled = _of_others(pull * away) * once - _of_others(pull * away**2)
        return rest - (0.5 * base * (once**2 - twice) - pulled) / (traders - 2)

    def _own(self, offered):
        """What each offer adds to revenue by itself, but for a constant."""
        rule = self.schedule
        return (
            _alone(rule, offered, offered**2, rule.tax(offered))
            if self.form == FORMS[0]
            else rule.expected_payment(offered)
        )


def _of_others(values):
    """Σ_{j≠i} over traders."""
    return jnp.sum(values, axis=-1, keepdims=True) - values


def _products(rule):
    """e, (N,), and d, by which c_jk = d − e_j − e_k."""
    share = rule.columns.share
    pull = rule.curvature * share
    return pull, jnp.sum(pull * share)


def _alone(rule, offered, square, tax):
    """ρ_j but for its mean, from V, V² and T, or what is expected of them."""
    (pull, base), mean = _products(rule), rule.columns.interim().mean
    others = (base - pull) * _of_others(mean) - _of_others(pull * mean)
    return 0.5 * (rule.curvature * (1 - 2 * rule.columns.share) + base) * square - tax + others * offered


def balanced(
    rule: SidePayments | Mechanism, form: Literal["price by price", "expected externality"] | None = None
) -> BalancedPayments:
    """Payments with which the exchange gets R in every state, and everybody expects to pay what he did (beyond §10).

    Forms:
      "price by price": each trader pays as before and besides what the others' offers say, 0 on average. Kept are
        demands, prices and purchases; what everybody does is still optimal at every price, whatever the others offer,
        interim gains are the same, and everybody still wants to take part. Lost is that the payment is a function of
        the price and the trader's own quantity: it is known when all offers are. It takes three traders.
      "expected externality": each trader pays what he expects to pay for his offer, and gets back what the others pay
        more than expected. Purchases and interim gains are kept, and everybody does best by doing as he should if all
        others do. Lost is that it is so at every price (`audit` finds what is gained at single ones): it takes right
        beliefs about the others' laws; and what is paid for the asset is no price times quantity any more.

    Nobody's gain in one auction is sure to be positive, in either form or without.

    Args:
      rule: SidePayments; or a Mechanism, for transfers that depend on all reports: see `.payment` of what is returned.
      form: one of the above. By default "price by price" for side payments of three traders or more, else the other.

    Returns:
      BalancedPayments: `simulate`, `audit` and `best_reply` take them.

    Raises:
      MarketError: no such rule or form, or a form that two traders or a direct mechanism cannot have.
    """
    direct = isinstance(rule, Mechanism)
    if not direct and not isinstance(rule, SidePayments):
        raise MarketError(f"rule is {type(rule).__name__}; give side_payments(mechanism), or a mechanism")
    schedule = side_payments(rule) if direct else rule
    few = schedule.market.groups < 3
    form = FORMS[direct or few] if form is None else one_of("form", form, FORMS)
    if form == FORMS[0] and (direct or few):
        why = "a direct mechanism has no prices" if direct else "of two traders there is nobody else to charge"
        raise MarketError(f"form is {form!r}, but {why}; choose {FORMS[1]!r}")
    return BalancedPayments(schedule, _means(schedule)[FORMS.index(form)], form)


@compiled
def _means(rule):
    """Of what an offer adds to revenue by itself, (N,), in either form: of ρ_j, and of the payment."""
    at, market, share = rule.columns.interim(), rule.market, rule.columns.share
    paid = revenue_by_group(at, market.risk_capacity, market.count)
    square = at.variance + at.mean**2
    together = (1 - share) * (at.neutral * at.mean - square)  # E[VX]
    for_asset = -rule.price_scale / market.risk_capacity * (at.allocation_square + together)
    tax = for_asset + 0.5 * rule.curvature * at.allocation_square + rule.participation_fee - paid
    return _alone(rule, at.mean, square, tax), paid
