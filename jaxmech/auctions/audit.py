"""Does anybody gain by deviating? A search over types, prices and quantities that trusts no formula of the schedule.

If a trader's rivals ask for quantities linear in the price, he can reach, at each of their endowments, any point (p, q)
of one residual demand line, and a demand schedule picks one point of each line. So the best point of every line is
worth at least as much as any demand schedule, and if truth is the best point of all of them no schedule beats it.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, on_device, picked
from jaxmech.auctions.columns import traders_of, unfolded_market
from jaxmech.auctions.side_payments import SidePayments
from jaxmech.inputs import positive_number, real_numbers, whole_number
from jaxmech.market.market import MarketError
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.target_lines import outside_gain
from jaxmech.plain import result
from jaxmech.programs import compiled, derived

_HALVINGS = 45
_PROTOCOL = ("market", "demand", "clearing_price", "side_payment", "utility_gain")


@result("ok")
class Audit(NamedTuple):
    """The most that anybody gains by deviating. Money in the unit of holding costs."""

    deviation_gain: jax.Array  # largest gain of a deviation at a price, over all audited traders; 0 in equilibrium
    participation_slack: (
        jax.Array
    )  # least expected gain of any type over what he can do instead; below 0 some stay away
    surplus: jax.Array  # first-best surplus of the market, the unit to judge both by
    trader: jax.Array  # who gains most by deviating, counted from 0
    endowment: jax.Array  # his type,
    price: jax.Array  # the price that truth would have made,
    quantity: jax.Array  # what he should ask for instead

    @derived
    def ok(self) -> jax.Array:
        """Nobody gains more than 1e-9 of the surplus by deviating, or loses more than that by participating."""
        return (self.deviation_gain <= 1e-9 * self.surplus) & (self.participation_slack >= -1e-9 * self.surplus)


def audit(
    rule: Any, types: int = 33, prices: int = 17, quantities: int = 65, traders: Sequence[int] | None = None
) -> Audit:
    """Search for gainful deviations from the demands of a rule, at every price and type.

    Args:
      rule: SidePayments, BalancedPayments, DoubleAuction, SimpleSchedule, or anything with their `market`, `demand`,
        `clearing_price`, `side_payment` and `utility_gain`. Demands must be linear in the price, types may enter in any
        way.
      types, prices, quantities: points of the grids; the best quantity is refined to rounding.
      traders: which traders to audit; by default one of each distinct kind.

    Returns:
      Audit.

    Raises:
      MarketError: the rule lacks part of the protocol, a grid is too small, or there is no such trader.
    """
    _check(rule)
    types, prices = whole_number("types", types, 2), whole_number("prices", prices, 2)
    quantities = whole_number("quantities", quantities, 3)
    market = unfolded_market(rule.market)
    if traders is not None and not (np.iterable(traders) and not isinstance(traders, str | bytes) and len(traders)):
        raise MarketError(f"traders is {traders!r}; give a list of columns, such as [0, 1]")
    chosen = distinct_traders(market) if traders is None else list(traders)
    for trader in chosen:
        check_trader(trader, market)
    search = _search if _is_opaque(rule) else _compiled_search
    chosen = on_device(np.asarray(chosen))
    return search(rule, payment_of(rule, market, chosen), market, chosen, types, prices, quantities)


class Payment(NamedTuple):
    """What a trader pays, as told by a rule of as few columns as can be: one a group, or one a trader."""

    rule: object
    columns: jax.Array | None  # zeros, one a group; None of a rule that may look at what the others trade
    place: jax.Array  # the trader's column; one for each of several

    def side_payment(self, price, quantity, others):
        """Money that he pays beyond p q.

        Args:
          others: what all traders ask for at that price, (N,); his own entry counts for nothing.
        """
        columns = others if self.columns is None else self.columns
        return self.rule.side_payment(price, columns.at[self.place].set(quantity))[self.place]


def payment_of(rule, market, trader) -> Payment:
    """What the trader pays, or each of several, in a market of one group a trader."""
    if type(rule) is not SidePayments:
        return Payment(rule, None, on_device(np.asarray(trader)))
    column = traders_of(rule.design.market)
    columns = np.zeros(column[-1] + 1, market.risk_capacity.dtype)
    return Payment(rule.by_group(), *on_device((columns, column[np.asarray(trader)])))


def check_trader(trader, market):
    """MarketError unless the market, one group a trader, has such a column."""
    whole = isinstance(trader, Integral) and not isinstance(trader, bool)
    if not whole or not 0 <= trader < market.groups:
        raise MarketError(f"trader is {trader!r}; the rule has columns 0 to {market.groups - 1}")


def _is_opaque(rule):
    """Whether the rule is no pytree, so that a search has to be compiled for it alone."""
    return jax.tree_util.all_leaves([rule])


def _search(rule, payment, market, chosen, types, prices, quantities):
    def gain_of(places):
        trader, place = places
        return _largest_gain(rule, payment._replace(place=place), market, trader, types, prices, quantities)

    worst = jax.lax.map(gain_of, (chosen, payment.place))
    place = jnp.argmax(worst[0])
    gain, endowment, price, quantity = (part[place] for part in worst)
    law = rule.market.endowment
    grid = law.lower + jnp.linspace(0, 1, 16 * types + 1)[:, None] * law.width
    slack = jnp.min(rule.utility_gain(grid) - outside_gain(rule.market.option, grid, rule.market.risk_capacity))
    surplus = first_best_surplus(market.prepared())
    return Audit(gain, slack, surplus, chosen[place], endowment, price, quantity)


_compiled_search = compiled(_search, static_argnames=("types", "prices", "quantities"))


def best_reply(
    rule: Any,
    trader: int,
    endowment: NumbersLike,
    price: NumbersLike,
    risk_capacity: float | None = None,
    quantities: int = 65,
) -> tuple[jax.Array, jax.Array]:
    """The best point of a trader's residual demand line, when all others ask for what the rule says.

    Args:
      rule: as for `audit`.
      trader: his column.
      endowment: his type, shape (...).
      price: where his line meets the demand of that type under the rule, shape (...).
      risk_capacity: his own, if it is not what the rule thinks; then this is how he would really trade.
      quantities: points of the first search.

    Returns:
      (quantity, gain over what the rule has him ask for), each of shape (...).

    Raises:
      MarketError: the rule lacks part of the protocol, or there is no such trader.
    """
    _check(rule)
    market = unfolded_market(rule.market)
    check_trader(trader, market)
    quantities = whole_number("quantities", quantities, 3)
    kappa = picked(market.risk_capacity, trader) if risk_capacity is None else _checked_capacity(risk_capacity)
    endowment, price = (_finite(*pair) for pair in (("endowment", endowment), ("price", price)))
    reply = _replies if _is_opaque(rule) else _compiled_replies
    payment = payment_of(rule, market, trader)
    return reply(rule, payment, market, trader, endowment, price, kappa, quantities)


def _checked_capacity(value):
    if is_traced(value):
        return jnp.asarray(value, float)
    return on_device(np.asarray(positive_number("risk_capacity", value)))


def _finite(name, value):
    if is_traced(value):
        return jnp.asarray(value, float)
    array = real_numbers(name, value)
    if not array.size or not np.isfinite(array).all():
        raise MarketError(f"{name} is {value!r}; give finite numbers")
    return on_device(array)


def _replies(rule, payment, market, trader, endowment, price, kappa, quantities):
    reply = jnp.vectorize(lambda z, p: best_point(rule, payment, market, trader, z, p, kappa, quantities))
    return reply(endowment, price)


_compiled_replies = compiled(_replies, static_argnames="quantities")


def distinct_traders(market):
    """The first trader of each kind: same law, same risk capacity, same outside option and welfare weight."""
    _, first = np.unique(np.asarray(_marks(market)).round(12), axis=1, return_index=True)
    return sorted(int(k) for k in first)


@compiled
def _marks(market):
    """What tells traders apart, one column each."""
    law = market.endowment
    probes = law.lower + jnp.asarray([0.25, 0.5, 0.75])[:, None] * law.width
    others = jax.tree.leaves((market.option, market.welfare_weight))
    return jnp.concatenate([jnp.stack([law.lower, law.upper, market.risk_capacity, *others]), law.cdf(probes)])


def _largest_gain(rule, payment, market, trader, types, prices, quantities):
    law = market.endowment
    ends = jnp.sort(jnp.stack([rule.clearing_price(law.lower), rule.clearing_price(law.upper)]))
    price = ends[0] + jnp.linspace(0, 1, prices) * (ends[1] - ends[0])
    z = law.lower[trader] + jnp.linspace(0, 1, types) * law.width[trader]
    kappa = market.risk_capacity[trader]
    lines = jax.vmap(lambda z, p: best_point(rule, payment, market, trader, z, p, kappa, quantities), in_axes=(None, 0))
    # One type after the other: all lines at once of an ironed law would fill the memory.
    quantity, gain = (part.ravel() for part in jax.lax.map(lambda z: lines(z, price), z))
    z, price = (grid.ravel() for grid in jnp.meshgrid(z, price, indexing="ij"))
    place = jnp.argmax(gain)
    return gain[place], z[place], price[place], quantity[place]


def best_point(rule, payment, market, trader, z, price, kappa, quantities):
    """Best quantity on one line, by a grid and then ternary search around its best point; and the gain over truth."""
    middle = market.endowment.mean
    types = middle.at[trader].set(z)
    demanded, slopes = jax.jvp(lambda p: rule.demand(types, p), (price,), (jnp.ones_like(price),))
    truth, impact = demanded[trader], -1 / (jnp.sum(slopes) - slopes[trader])

    def utility(quantity):
        change = impact * (quantity - truth)
        new_price = price + change
        charged = payment.side_payment(new_price, quantity, demanded + slopes * change)
        return -quantity * (z + 0.5 * quantity) / kappa - new_price * quantity - charged

    reach = 1.5 * jnp.max(market.endowment.width)
    grid = truth + jnp.linspace(-reach, reach, quantities)
    place = jnp.argmax(jax.vmap(utility)(grid))
    step = 2 * reach / (quantities - 1)

    def shrink(bounds, _):
        low, high = bounds
        left, right = low + (high - low) / 3, high - (high - low) / 3
        better = utility(left) < utility(right)
        return (jnp.where(better, left, low), jnp.where(better, high, right)), None

    (low, high), _ = jax.lax.scan(shrink, (grid[place] - step, grid[place] + step), None, length=_HALVINGS)
    best = 0.5 * (low + high)
    gain = utility(best) - utility(truth)
    # Less than rounding is no reason to move: what he pays would change by its root.
    rounding = 4 * jnp.finfo(gain.dtype).eps * reach**2 / kappa
    return jnp.where(gain > rounding, best, truth), jnp.maximum(gain, 0.0)


def _check(rule):
    for name in _PROTOCOL:
        if not hasattr(rule, name):
            raise MarketError(
                f"rule is {type(rule).__name__} without .{name}; give side_payments(mechanism) or the like"
            )
