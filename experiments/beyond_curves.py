"""What beyond_the_paper.py computes: every function one compiled program over all its points, run once.

Outcomes have the axes that a function names; `shares` puts groups last.
"""

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm

HERE = Path(__file__).parent
FAVOURED = 1  # asset managers, of the Treasury market
NEUTRAL = 0.5  # α at which their gains weigh more
NO_DEPTH = 1e-9  # 1/ρ of a market outside that is not there
SHOWN = NO_DEPTH, 1.0, 10.0  # depths that are shown one by one

GAMMAS = np.append(np.linspace(0.0, 0.79, 80), 0.4)
WEIGHTS = np.linspace(0.05, 1.0, 96)
EXAMPLE_TARGETS = np.append(np.linspace(0.01, 0.49, 49), [0.375, 0.51])  # of the first-best gains
TARGETS = 0.2, 0.4, 0.43
FRACTIONS = 1 - (1 - np.linspace(0.0, 0.9999, 101)) ** 2  # of the largest revenue, close to it at the end
WELFARE = np.append(np.linspace(0.0, 1.0, 81), NEUTRAL + 1e-9)
FROM_3_ON = np.arange(3, 31)  # traders of Example 1 whose auction is reformed
OF_EACH = np.array([1, 2, 3, 5, 8, 13, 22, 36, 60])  # traders in each category of the Treasury market, likewise


class Shares(NamedTuple):
    """Who gets the gains from trade, in percent of those of the first best."""

    revenue: Any
    traders: Any  # by group, the group axis last
    lost: Any


def shares(outcomes):
    percent = np.asarray(outcomes.first_best_surplus) / 100
    lost = np.asarray(outcomes.first_best_efficiency - outcomes.efficiency) / percent
    gained = np.asarray(outcomes.utility_gain_by_group) / percent[..., None]
    return Shares(np.asarray(outcomes.revenue) / percent, gained, lost)


def example_1(traders=5, **more):
    return jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), 0.5, traders, **more))


def treasury():
    return jm.Market.from_toml(HERE / "markets" / "us_treasury_10y.toml")


def surplus(market):
    return float(jm.outcomes(jm.first_best(market)).first_best_surplus)


def with_more(market, **more):
    """The market's traders, with outside options or welfare weights."""
    return jm.Market.of(jm.Traders(market.endowment, market.risk_capacity, market.count, **more))


def with_counts(market, counts):
    """Markets of other counts, one a row (B, G), for `vmap`."""
    counts = jnp.asarray(counts, float)
    law = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(counts), *leaf.shape)), market.endowment)
    return jm.Market(law, jnp.broadcast_to(market.risk_capacity, counts.shape), counts, market.names)


def types_of(market):
    """Types over each support, a column a group."""
    return market.endowment.lower + jnp.linspace(0.0, 1.0, 401)[:, None] * market.endowment.width


def over_both(function, first, second):
    """A function at every pair, the first argument's axis in front, in one program."""
    return jax.jit(jax.vmap(jax.vmap(function, (None, 0)), (0, None)))(first, second)


@cache
def example_1_outside():
    """Outcomes beside an outside option of each quality γ, centre 0, at each weight on revenue: (γ, weight)."""

    def outcomes(gamma, weight):
        return jm.outcomes(jm.solve(example_1(outside=jm.OutsideOption(gamma)), weight))

    return over_both(outcomes, GAMMAS, WEIGHTS)


@cache
def depths():
    """From next to nothing to the depth of all others inside, K − κ; then those that are shown one by one."""
    market = treasury()
    deepest = float(jnp.min(market.total_risk_capacity - market.risk_capacity))
    return np.append(np.geomspace(0.01, 0.9999 * deepest, 121), SHOWN)


def beside(market, depth):
    """The market's traders beside one of this depth, at the price that the asset is expected to have at first best."""
    price = -jnp.sum(market.count * market.endowment.mean) / market.total_risk_capacity
    return with_more(market, outside=jm.OutsideMarket(price, 1 / depth))


@cache
def treasury_outside():
    """An exchange that wants revenue alone (α = 1) beside a market of each depth.

    Returns:
      Outcomes; V(z) and T′(V(z)) of `types_of`, (depth, types, G); and by group whether it would pay to let some
      binding type go (beyond §16), (depth, G).
    """

    def found(depth):
        market = beside(treasury(), depth)
        mechanism, types = jm.solve(market, 1.0), types_of(market)
        virtual = mechanism.virtual_type(types)
        tax = (virtual - types) * (1 - mechanism.share) / market.risk_capacity
        return jm.outcomes(mechanism), virtual, tax, ~jm.keeping_everybody(mechanism).wise

    return jax.jit(jax.vmap(found))(depths())


@cache
def favouring():
    """Outcomes, and what each group gets in rebates, as asset managers' gains weigh more: (weight, G)."""

    def found(weight):
        market = treasury()
        favoured = with_more(market, welfare_weight=weight * jnp.eye(market.groups)[FAVOURED])
        mechanism = jm.solve(favoured, NEUTRAL)
        return jm.outcomes(mechanism), market.count * mechanism.rebate

    return jax.jit(jax.vmap(found))(WELFARE)


def with_target(market, target):
    """Outcomes, λ and the largest revenue where that is too little, of who wants efficiency alone but this revenue."""
    mechanism = jm.solve(market, 0.0, target)
    return jm.outcomes(mechanism), mechanism.budget_multiplier, mechanism.largest_revenue


@cache
def example_1_targets():
    return jax.jit(jax.vmap(lambda target: with_target(example_1(), target)))(EXAMPLE_TARGETS * 4 / 3)


@cache
def targets():
    """In percent of the first-best gains, for each of SHOWN depths: FRACTIONS of the largest revenue, then TARGETS."""
    most = shares(treasury_outside()[0]).revenue[-len(SHOWN) :]
    return np.stack([np.append(FRACTIONS * revenue, np.multiply(TARGETS, 100)) for revenue in most])


@cache
def treasury_targets():
    """At each of `targets`, (depth, target)."""
    market = treasury()
    at_depth = jax.vmap(lambda depth, target: with_target(beside(market, depth), target), (None, 0))
    return jax.jit(jax.vmap(at_depth))(np.array(SHOWN), targets() / 100 * surplus(market))


class Reforms(NamedTuple):
    """Designs without a reform and with one that harms nobody, (α, market)."""

    before: Any  # Outcomes of the plain double auction
    after: Any
    gain_before: Any  # money, of each of `types_of`, (α, market, types, G)
    gain_after: Any


def reforms(markets, alphas):
    def both(alpha, market):
        types, found = types_of(market), jm.reform(market, alpha)
        gains = jm.double_auction(market, "none").utility_gain(types), found.mechanism.utility_gain(types)
        return Reforms(found.today, found.reformed, *gains)

    return over_both(both, np.asarray(alphas), markets)


@cache
def example_1_reforms():
    return reforms(with_counts(example_1(), FROM_3_ON[:, None]), [1.0])


@cache
def treasury_reforms():
    """At α = 0 and 1: with equally many traders of each category, and, last, with the market's own counts."""
    return reforms(with_counts(treasury(), counts_reformed()), [0.0, 1.0])


def counts_reformed():
    """One row a market, a column a group."""
    own = np.asarray(treasury().count)
    return np.append(np.outer(OF_EACH, np.ones(own.size)), own[None], axis=0)


@cache
def without_promise():
    """What `types_of` gain with one trader of each category, α = 1 and nothing promised: (types, G)."""
    market = treasury()
    alone = jm.Market.of(jm.Traders(market.endowment, market.risk_capacity))
    return jm.solve(alone, 1.0).utility_gain(types_of(market))
