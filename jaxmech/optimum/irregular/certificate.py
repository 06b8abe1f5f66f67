"""What a mechanism on nodes is worth, and what no mechanism can exceed, seen on other nodes (beyond §7, §16)."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from jaxmech.arrays import total
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.isotonic import isotonic
from jaxmech.optimum.budget import left_over
from jaxmech.optimum.certificate import Certificate, tolerance_of
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.irregular.mesh import rent
from jaxmech.optimum.irregular.rule import gained, lines_of, moments_of, seen
from jaxmech.optimum.outcomes import trade_gain_by_group

if TYPE_CHECKING:
    from jaxmech.optimum.irregular.mechanism import IrregularMechanism

_NODES = 6  # of each piece: others than those of the mechanism's integrals


def certificate_of(mechanism: "IrregularMechanism", market: Prepared) -> Certificate:
    """The certificate of a mechanism from its V and Ω alone.

    V of every type says what he trades, and so what all are worth; participation is enforced, by g(l). Any Ω that rises
    from 0 to w gives a bound: V' = z + (wF − Ω)/f ironed over F is the best reply to it (beyond §3), and

        D = Σ n {[(1 − s) Var V' + (E V' − s ΣE V')²]/(2κ) − w r − γ/(2κ) ∫(z − c)² dΩ}.
    """
    line, count, weight = lines_of(market), market.count, mechanism.group_weight
    nodes = seen(mechanism.rule, market.sides, weight, _NODES)
    mass, share = nodes.mesh.widths * nodes.mesh.density, market.share
    mean = jnp.sum(mass * nodes.virtual, axis=0)
    eta = share / (1 - share) * (total(count * mean) - mean)
    moments, _ = moments_of(market, mechanism.rule, nodes, eta, line)
    spread = 0.0 if mechanism.rebate is None else market.risk_capacity * mechanism.rebate
    moments = moments._replace(rent=moments.rent + spread)
    traded, left = total(trade_gain_by_group(moments, market.risk_capacity, count)), left_over(market, moments)
    value, surplus = traded - total(weight * count * moments.rent / market.risk_capacity), first_best_surplus(market)
    multiplier = mechanism.budget_share
    if multiplier is None:
        multiplier = (mechanism.weight - mechanism.alpha) / jnp.where(mechanism.alpha < 1, 1 - mechanism.alpha, 1.0)
    spare = multiplier * jnp.clip(left, 0.0, jnp.finfo(left.dtype).max)
    stored = mechanism.moments
    doubt = jnp.abs(traded - total(trade_gain_by_group(stored, market.risk_capacity, count)))
    doubt = doubt + jnp.where(left < jnp.inf, jnp.abs(left - left_over(market, stored)), 0.0)
    ends, inside = gained(mechanism.rule, nodes, eta, line)
    least = jnp.min(mechanism.gains[:-1, None] + inside - ends[:-1, None], axis=(0, 1))
    falls = jnp.where(nodes.mesh.widths[1:] > 0, -jnp.diff(nodes.virtual, axis=0), 0.0)
    found = Certificate(
        residual=jnp.max(jnp.abs(eta - mechanism.eta) / (market.width + jnp.abs(eta)), axis=0),
        duality_gap=(_bound(market, nodes, weight, line) - value + spare + doubt) / surplus,
        participation_slack=jnp.min((1 - share) / market.risk_capacity * least, axis=0) / surplus,
        monotonicity_breach=jnp.max(jnp.maximum(falls, 0.0) / market.width, axis=(0, 1)),
        budget_shortfall=jnp.maximum(0.0, -left / surplus),
        ok=multiplier >= 0,
    )
    return found._replace(ok=found.ok & (worst_of(found) <= tolerance_of(surplus.dtype)) & (mechanism.error < jnp.inf))


def worst_of(found: Certificate) -> jax.Array:
    """The worst of a certificate's numbers."""
    numbers = found.residual, jnp.abs(found.duality_gap), -found.participation_slack, found.monotonicity_breach
    return jnp.max(jnp.stack([*numbers, found.budget_shortfall]), axis=0)


def _bound(market, nodes, weight, line):
    """D of the Ω that a mechanism has, made to rise."""
    (types, widths, density, below, above), share, count = nodes.mesh, market.share, market.count
    omega = jnp.clip(jax.lax.cummax(nodes.omega, axis=0), 0.0, weight)
    rents = rent(weight, omega, below, above)
    mass = widths * density
    virtual = isotonic(types + rents / density, mass).level
    mean = jnp.sum(mass * virtual, axis=0)
    variance = jnp.sum(mass * (virtual - mean) ** 2, axis=0)
    bound = ((1 - share) * variance + (mean - share * total(count * mean)) ** 2) / (2 * market.risk_capacity)
    if market.outside is not None:
        square = weight * (market.variance + (market.mean - line.centre) ** 2)
        square = square + 2 * jnp.sum(widths * (types - line.centre) * rents, axis=0)
        bound = bound - weight * market.outside.reserve - market.outside.gamma / (2 * market.risk_capacity) * square
    return total(count * bound)
