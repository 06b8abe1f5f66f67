"""What the pictures of one mechanism are drawn from, as one program of fixed shapes: works under jit and vmap."""

import jax
import jax.numpy as jnp

from jaxmech.auctions.fee_notice import likely_prices
from jaxmech.auctions.side_payments import payments_by_group
from jaxmech.market.market import Market
from jaxmech.optimum.certificate import certify
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.outcomes import outcomes

SIDE = 12  # points of a curve on either side of the binding interval
DENSITY_POINTS = 65


def shown_types(mechanism: Mechanism, side: int = SIDE) -> jax.Array:
    """Types evenly from the support's lower end to a and from b to its upper end, (2 side, G): where curves bend, at
    the ends of the binding interval, there are points whatever the mechanism, so curves move smoothly with it."""
    law, interval = mechanism.market.endowment, mechanism.binding_interval
    part = jnp.linspace(0.0, 1.0, side, dtype=mechanism.eta.dtype)[:, None]
    low, high = law.lower + part * (interval[:, 0] - law.lower), law.upper + (part - 1) * (law.upper - interval[:, 1])
    return jnp.concatenate([low, high])


def curves(mechanism: Mechanism, side: int = SIDE) -> dict[str, jax.Array]:
    """By type, (K, G): what is bought and gained; by price and type, (3, K, G): sizes, payments and their slopes.

    Prices, (3,), are natural: about the 5%, 50% and 95% quantiles of the clearing price. All of one mechanism.
    """
    rule, types = payments_by_group(mechanism), shown_types(mechanism, side)
    prices = likely_prices(rule)
    at = prices[:, None]
    return {
        "type": types,
        "bought": mechanism.interim_allocation(types),
        "gain": mechanism.utility_gain(types),
        "price": prices,
        "size": rule.demand(types[None], at),
        "paid": rule.payment_of_type(types[None], at),
        "marginal": rule.marginal_payment_of_type(types[None], at),
        "fee": rule.participation_fee,
        "spread": rule.spread,
    }


def summary(mechanism: Mechanism) -> dict[str, jax.Array]:
    """Outcomes and certificate of one mechanism: scalars, and arrays (G,)."""
    achieved, certificate = outcomes(mechanism), certify(mechanism)
    return {
        "revenue": achieved.revenue,
        "efficiency": achieved.efficiency,
        "first_best_efficiency": achieved.first_best_efficiency,
        "first_best_surplus": achieved.first_best_surplus,
        "no_trade_probability": achieved.no_trade_probability,
        "revenue_by_group": achieved.revenue_by_group,
        "gain_by_group": achieved.utility_gain_by_group,
        "idle": achieved.no_expected_trade_probability,
        "eta": mechanism.eta,
        "lower": mechanism.binding_interval[:, 0],
        "upper": mechanism.binding_interval[:, 1],
        "certified": certificate.ok,
    }


def densities(market: Market) -> dict[str, jax.Array]:
    """Endowments over each support and their densities, (DENSITY_POINTS, G)."""
    law = market.endowment
    part = jnp.linspace(0.0, 1.0, DENSITY_POINTS, dtype=market.risk_capacity.dtype)[:, None]
    places = law.lower + part * law.width
    return {"endowment": places, "density": law.pdf(places)}
