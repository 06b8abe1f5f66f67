"""Side payments designed for one market and used in another (theory §8).

The best reply to a schedule does not depend on how the others' endowments are distributed. So when the laws of a market
are not those the schedule was designed for, everybody still offers V(Z) as designed; revenue, efficiency and who gains
change. A wrong risk capacity does change behaviour: `misjudged_capacity` has one trader reply to it.
"""

from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import is_traced, on_device, on_host, total
from jaxmech.auctions.audit import best_point, check_trader, payment_of
from jaxmech.auctions.side_payments import SidePayments
from jaxmech.auctions.simulation import checked_key
from jaxmech.inputs import positive_number, whole_number
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.optimum.first_best import first_best_efficiency, first_best_surplus
from jaxmech.optimum.target_lines import outside_gain
from jaxmech.plain import result
from jaxmech.programs import compiled

_NODES, _WEIGHTS = unit_rule(48)
_TYPES = 513


@result()
class Robustness(NamedTuple):
    """What a schedule achieves in a market it was not designed for. Money in the unit of holding costs."""

    revenue: jax.Array  # R
    efficiency: jax.Array  # A
    first_best_efficiency: jax.Array  # A of the first best in the true market
    first_best_surplus: jax.Array  # its gain over no trade
    revenue_by_group: jax.Array  # (G,), all traders of the group together
    efficiency_by_group: jax.Array  # (G,), likewise
    utility_gain_by_group: jax.Array  # (G,), likewise, everybody participating
    least_gain: jax.Array  # (G,), of one type over what he can do instead; below 0 he loses by participating
    losing_share: jax.Array  # (G,), probability that a trader's type loses by participating


def robustness(side_payments: SidePayments, true_market: Market) -> Robustness:
    """Outcomes of a schedule in a market with other endowments, everybody participating and replying optimally.

    By integration over each trader's type; differentiable in the laws of the true market.

    Args:
      side_payments: SidePayments, designed for a market of the same groups.
      true_market: a Market with the same groups, counts and risk capacities; endowments may differ, supports too. Who
        loses by participating is judged by its outside options, which may differ as well.

    Returns:
      Robustness. With the market of the design itself these are the outcomes of its mechanism.

    Raises:
      MarketError: not a schedule, or groups, counts or risk capacities differ (outside jit).
    """
    if not isinstance(side_payments, SidePayments):
        raise MarketError(f"side_payments is {type(side_payments).__name__}; make one with side_payments(mechanism)")
    designed = side_payments.design.market
    for name in ("count", "risk_capacity"):
        theirs, ours = getattr(checked_market(true_market), name), getattr(designed, name)
        if jnp.shape(theirs) != jnp.shape(ours):
            raise MarketError(f"true_market has {jnp.shape(theirs)[0]} groups, the schedule {jnp.shape(ours)[0]}")
        if not is_traced(theirs) and not np.allclose(*on_host((theirs, ours)), rtol=1e-12):
            raise MarketError(f"{name} of true_market is {theirs}, the schedule's {ours}; they may not differ")
    return _robustness(side_payments.by_group(), true_market.endowment, true_market.option)


@compiled
def _robustness(rule, law, option):
    market = rule.market
    best = Prepared.of(law, market.risk_capacity, market.count)
    z, chance = _types(rule, law)
    offered = rule.offer(z)
    mean = jnp.sum(chance * offered, axis=0)
    variance = jnp.sum(chance * (offered - mean) ** 2, axis=0)
    bought, square, paid = rule.expected(z, mean, variance)
    gain = rule.gain_of(z, bought, square, paid)
    count, kappa = market.count, market.risk_capacity
    held = -jnp.sum(chance * (z**2 + 2 * z * bought + square), axis=0) / (2 * kappa)
    revenue = count * jnp.sum(chance * paid, axis=0)
    grid = law.lower + jnp.linspace(0, 1, _TYPES)[:, None] * law.width
    gains = rule.gain_of(grid, *rule.expected(grid, mean, variance)) - outside_gain(option, grid, kappa)
    loses = gains < -1e-10 * first_best_surplus(best)
    between = jnp.diff(law.cdf(grid), axis=0)
    return Robustness(
        revenue=total(revenue),
        efficiency=total(count * held),
        first_best_efficiency=first_best_efficiency(best),
        first_best_surplus=first_best_surplus(best),
        revenue_by_group=revenue,
        efficiency_by_group=count * held,
        utility_gain_by_group=count * jnp.sum(chance * gain, axis=0),
        least_gain=jnp.min(gains, axis=0),
        losing_share=jnp.sum(between * 0.5 * (loses[1:] * 1.0 + loses[:-1]), axis=0),
    )


@result()
class MisjudgedCapacity(NamedTuple):
    """What one trader's misjudged risk capacity does, from simulated auctions. Money in the unit of holding costs."""

    revenue: jax.Array
    revenue_change: jax.Array  # over the same auctions had he been what the schedule takes him for
    revenue_change_error: jax.Array  # standard error
    efficiency: jax.Array  # with his true holding costs
    reply_gain: jax.Array  # what he gains, on average, by replying to his true capacity
    utility_gain: jax.Array  # his average gain over staying away


def misjudged_capacity(
    side_payments: SidePayments, trader: int, risk_capacity: float, key: jax.Array, auctions: int = 2000
) -> MisjudgedCapacity:
    """One trader has another risk capacity than the schedule supposes, and trades accordingly.

    He picks, at each price, the best point of his residual demand (`best_reply`). The others do not know and ask for
    what the schedule has them ask for: that, and not a new equilibrium, is what is computed. (His reply is not linear
    in the price, so no linear equilibrium exists among traders who know.)

    Args:
      side_payments: SidePayments.
      trader: his column.
      risk_capacity: his true κ > 0.
      key: JAX random key.
      auctions: number of draws of everybody's endowments.

    Raises:
      MarketError: not a schedule, no such trader, or numbers that cannot be.
    """
    if not isinstance(side_payments, SidePayments):
        raise MarketError(f"side_payments is {type(side_payments).__name__}; make one with side_payments(mechanism)")
    check_trader(trader, side_payments.market)
    capacity, auctions = positive_number("risk_capacity", risk_capacity), whole_number("auctions", auctions, 1)
    payment = payment_of(side_payments, side_payments.market, trader)
    return _misjudged(side_payments, payment, trader, on_device(np.asarray(capacity)), checked_key(key), auctions)


@partial(compiled, static_argnames="auctions")
def _misjudged(rule, payment, trader, risk_capacity, key, auctions):
    market = rule.market
    z = market.endowment.sample(key, (auctions,))
    price = rule.clearing_price(z)
    bought = rule.demand(z, price)
    promised = jnp.sum(rule.side_payment(price, bought), axis=-1)
    reply = jax.vmap(lambda z, p: best_point(rule, payment, market, trader, z, p, risk_capacity, 65))
    quantity, reply_gain = reply(z[:, trader], price)
    price = price + rule.price_impact[trader] * (quantity - bought[:, trader])
    bought = rule.demand(z, price).at[:, trader].set(quantity)
    paid = rule.side_payment(price, bought)
    revenue = jnp.sum(paid, axis=-1)
    kappa = market.risk_capacity.at[trader].set(risk_capacity)
    own = -quantity * (z[:, trader] + 0.5 * quantity) / risk_capacity - price * quantity - paid[:, trader]
    return MisjudgedCapacity(
        revenue=jnp.mean(revenue),
        revenue_change=jnp.mean(revenue - promised),
        revenue_change_error=jnp.std(revenue - promised) / auctions**0.5,
        efficiency=jnp.mean(-jnp.sum((z + bought) ** 2 / (2 * kappa), axis=-1)),
        reply_gain=jnp.mean(reply_gain),
        utility_gain=jnp.mean(own),
    )


def _types(rule, law):
    """Types and their probabilities, (pieces × nodes, G): Gauss–Legendre between the kinks of the schedule."""
    designed, (low, high) = rule.market.endowment, (rule.columns.ends[0], -rule.columns.ends[1])
    kinks = [law.lower, designed.lower, low, high, designed.upper, law.upper]
    edges = [jnp.where(k < law.lower, law.lower, jnp.where(k > law.upper, law.upper, k)) for k in kinks]
    nodes, weights = _NODES[:, None], _WEIGHTS[:, None]
    pieces = [(start + nodes * (end - start), weights * (end - start)) for start, end in pairwise(edges)]
    z, widths = (jnp.concatenate(part) for part in zip(*pieces, strict=True))
    return z, widths * law.pdf(z)
