"""Revenue and efficiency while the market moves and the rule stays: the partial derivatives of the Lagrangian (11).

Held fixed are the virtual types V(z) and the participation multipliers Ω(z), both as functions of a trader's endowment;
what is expected of them, information rents and the shares κ/K move with the market. At the optimum a change of V alone
leaves wR + (1 − w)A as it is, so there the derivatives of this module and of `outcomes` agree on that sum (envelope
theorem, theory §12), while they differ on R and on A: that difference is what the change of the mechanism does.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import total
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.optimum.ironing.bunching import multiplier_kinks
from jaxmech.optimum.mechanism import PreparedMechanism
from jaxmech.optimum.outcomes import absorbed_variance

# Double-exponential nodes on (0, 1): densities may behave like any power at the ends of their support. They keep 1e-13
# away from 0 and 1, so that the distance to an end of the support is more than rounding.
_PLACES = np.linspace(-2.95, 2.95, 119)
_NODES = 0.5 * (1 + np.tanh(0.5 * np.pi * np.sinh(_PLACES)))
_WEIGHTS = 0.25 * np.pi * np.cosh(_PLACES) / np.cosh(0.5 * np.pi * np.sinh(_PLACES)) ** 2 * np.diff(_PLACES)[0]

_SMOOTH = unit_rule(16)


def fixed_rule_outcomes(mechanism, market):
    """(revenue, efficiency) of a mechanism's V and Ω in a market with the same groups; at its own market its outcomes.

    A type's participation binds with the density of Ω, so expected rents are ∫ (F − Ω/w̄) X̄ dz with w̄ the largest Ω:

        R = −Σ n/κ (E[Z X̄] + ∫ (F − Ω/w̄) X̄ dz + ½ E X²),    X̄ = −(1 − s) V + s (M − m)

    and Σ n ∫ o dΩ/w̄ less where types have outside options. Nothing is rebated.

    Args:
      mechanism: held fixed; no derivatives pass through it.
      market: the market that moves.

    Returns:
      Two arrays of the batch's shape, money.
    """
    return fixed_rule_money(mechanism, market)[:2]


def fixed_rule_money(mechanism, market):
    """(revenue, efficiency, Σ nβ E g), the last 0 without welfare weights."""
    fixed = jax.lax.stop_gradient(mechanism)
    law, capacity, count = market.endowment.resolved(), market.risk_capacity, market.count
    share, sides = capacity / market.total_risk_capacity, law.sides()
    rule = PreparedMechanism.of(fixed)
    z, widths = _nodes(law, rule)
    virtual, participation = rule.virtual_type(z), rule.participation_multiplier(z)
    (own_mean, own_variance), inside = sides.moments(), (z > law.lower) & (z < law.upper)
    at = sides.one(0).ratios(jnp.where(inside, z, 0.5 * (law.lower + law.upper)))
    cdf = jnp.where(inside, at.cdf, jnp.where(z <= law.lower, 0.0, 1.0))
    chance, bound = _chance(inside, widths * at.density), _binding_share(fixed, participation, law, z)
    mean = jnp.sum(chance * virtual, axis=0)
    variance = jnp.sum(chance * (virtual - mean) ** 2, axis=0)
    expected = share * (total(count * mean) - mean) - (1 - share) * virtual
    square = (
        (1 - share) ** 2 * variance
        + absorbed_variance(variance, share, count)
        + (share * total(count * mean) - mean) ** 2
    )
    cross = jnp.sum(chance * z * expected, axis=0)
    rent = jnp.sum(widths * (cdf - bound) * expected, axis=0)
    if market.outside is not None:
        option = market.option
        left = (law.upper - option.centre) ** 2 - 2 * jnp.sum(widths * bound * (z - option.centre), axis=0)
        rent = rent + capacity * option.reserve + 0.5 * option.gamma * left
    revenue = -total(count * (cross + rent + 0.5 * square) / capacity)
    efficiency = -total(count * (own_variance + own_mean**2 + 2 * cross + square) / (2 * capacity))
    if market.welfare_weight is None:
        return revenue, efficiency, 0 * revenue
    gained = count * rent / capacity
    if fixed.rebate is not None:  # whatever it is, it is paid out of revenue
        gained = gained + fixed.market.count * fixed.rebate
    return revenue, efficiency, total(market.welfare_weight * gained)


def _binding_share(mechanism, participation, law, z):
    """Ω/w̄ at the nodes: from 0 below the binding interval to 1 above it.

    Where everybody buys or everybody sells in expectation it is a step at an end of the support, and moves with it.
    """
    weight, (low, high) = mechanism.weight, _binding_interval(mechanism, law)
    if mechanism.budget_share is not None:
        weight = mechanism.group_weight
    largest = (1 + mechanism.budget_multiplier) * jnp.where(weight > 0, weight, 1.0)
    old = mechanism.market.endowment
    below = jnp.where(-mechanism.ends[1] <= old.lower, 1.0, 0.0)
    above = jnp.where(mechanism.ends[0] >= old.upper, 0.0, 1.0)
    inside = participation / largest
    return jnp.where(z < low, below, jnp.where(z > high, above, inside))


def _binding_interval(mechanism, law):
    """a and b. At an end of the support they move with it: the density there may have any slope."""
    old = mechanism.market.endowment
    return tuple(
        jnp.where(end <= old.lower, law.lower, jnp.where(end >= old.upper, law.upper, end))
        for end in (mechanism.ends[0], -mechanism.ends[1])
    )


def _nodes(law, rule):
    """Types and widths, (nodes, G, ...): below, on and above the binding interval.

    Where laws are not regular, between all landmarks of the law, which move with it, and all bunches.
    """
    mechanism = rule.mechanism
    edges = jnp.stack([law.lower, *_binding_interval(mechanism, law), law.upper])
    places, weights = _NODES, _WEIGHTS
    if mechanism.bunching is not None:
        bunches = jnp.moveaxis(mechanism.bunching_intervals, 0, 2).reshape(-1, *edges.shape[1:])
        kinks = multiplier_kinks(rule.sides, rule.bunching)
        cuts, found = law.landmarks(), jnp.concatenate([edges[1:3], bunches, kinks])
        # What sits on a landmark moves with it, like that landmark: one edge for both.
        apart = jnp.isfinite(found) & jnp.all(found[:, None] != jax.lax.stop_gradient(cuts), axis=1)
        edges = jnp.sort(jnp.concatenate([cuts, jnp.where(apart, found, law.upper)]), axis=0)
        places, weights = _SMOOTH
    edges = edges[:, None]
    nodes, weights = (jnp.asarray(v, edges.dtype).reshape((-1,) + (1,) * (edges.ndim - 2)) for v in (places, weights))
    start, width = edges[:-1], edges[1:] - edges[:-1]
    return tuple(v.reshape((-1, *edges.shape[2:])) for v in (start + nodes * width, weights * width))


def _chance(inside, mass):
    """Probabilities of the nodes, one in all; none for those that rounding puts on an end of the support."""
    found = jnp.where(inside, mass, 0.0)
    return found / jnp.sum(found, axis=0)
