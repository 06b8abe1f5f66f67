"""Traders with constant absolute risk aversion: what Corollary 1.2 means for them.

The asset pays a standard Gaussian ε and trader i has utility −exp(−wealth/κ_i), so that holding z for sure costs
z²/(2κ_i), as in the model. (The paper's coefficient 1/(2κ_i) would make that z²/(4κ_i): erratum E7.) Before trade his
purchase is random too, and he dislikes that more than in proportion to E X²:

    certainty equivalent before payment = −κ_i log E exp((z + X)²/(2κ_i²))

So the transfers (4) are deterministic but no longer make the truth his best report (erratum E8). The allocation can
still be implemented: (3) holds with E*, the expectation weighted by exp((z + X)²/(2κ²)), in place of E,

    gain'(z) = −E*[X | z]/κ,

and payments follow from that gain. All that takes is one integral over ε, since

    exp(y²/(2κ²)) = E exp(ε y/κ)    and    E exp(ε ΣV/K) = Π_j E exp(ε V_j/K).
"""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, total
from jaxmech.inputs import real_numbers, whole_number
from jaxmech.market.market import MarketError
from jaxmech.numerics.polynomials import unit_rule
from jaxmech.optimum.mechanism import Mechanism, checked_mechanism
from jaxmech.plain import result
from jaxmech.programs import compiled

_STATES = 2049
_WIDEST_STEP = 0.8  # of ε; the trapezoid rule errs by exp(−2π²/0.8²) there
_PANELS, _STEEPEST = 4, 40.0  # of each branch of V; Gauss–Legendre with 32 nodes errs by 1e-14 on exp over 40 units
(_NODES, _WEIGHTS), (_PANEL_NODES, _PANEL_WEIGHTS) = unit_rule(32), unit_rule(4)


@result()
class CaraSchedule(NamedTuple):
    """Deterministic transfers that implement a mechanism's allocation among traders with CARA utility."""

    types: jax.Array  # (T, G), asset units
    transfer: jax.Array  # (T, G), what each type pays; money
    utility_gain: jax.Array  # (T, G), certainty equivalent gained over staying away; least type 0


def cara_certainty_equivalent(mechanism: Mechanism, z: NumbersLike, report: NumbersLike) -> jax.Array:
    """What the allocation is worth, before payment, to type z with CARA utility who reports `report`; money.

    Risk aversion is 1/κ, not 1/(2κ) (erratum E7).

    Args:
      mechanism: a Mechanism (no batch) without outside options.
      z, report: endowments, shape (..., G), inside the support.

    Returns:
      Shape (..., G). NaN where what the others' endowments leave a trader to hold varies by too many of his risk
      capacities for the quadrature: these are far below the width of the endowments.
    """
    _checked(mechanism)
    return _certainty_equivalent(mechanism, *(_by_group(mechanism, *pair) for pair in (("z", z), ("report", report))))


def _checked(mechanism):
    """A mechanism of traders who can only hold what they have."""
    if checked_mechanism(mechanism).market.outside is not None:
        said = "mechanism has outside options, whose worth to traders with CARA utility is not that of the model"
        raise MarketError(f"{said}; solve the market without them")
    return mechanism


@compiled
def _certainty_equivalent(mechanism, z, report):
    kept = z - (1 - mechanism.share) * mechanism.virtual_type(report)
    return -mechanism.market.risk_capacity * _over_states(mechanism, kept)[0]


def _by_group(mechanism, name, value):
    """Endowments as an array with one column a group; MarketError for what cannot be."""
    value = value if isinstance(value, jax.Array) else real_numbers(name, value)
    groups = mechanism.market.groups
    if np.ndim(value) == 0 or np.shape(value)[-1] not in (1, groups):
        raise MarketError(f"{name} has shape {np.shape(value)}; give one column for each of {groups} groups")
    return jnp.asarray(value)


def _over_states(mechanism, kept):
    """log E exp((kept + s Σ_{j≠i} V_j)²/(2κ²)) and its slope in `kept` times κ, i.e. E*[ε]."""
    states, log_density, step = _states(mechanism)
    exponent = log_density + states * kept[..., None, :] / mechanism.market.risk_capacity
    largest = jnp.max(exponent, axis=-2, keepdims=True)
    weight = jnp.exp(exponent - largest)
    mass = jnp.sum(weight, axis=-2)
    value = jnp.log(mass * step / np.sqrt(2 * np.pi)) + largest[..., 0, :]
    rate = jnp.max(jnp.abs(states), axis=0) / mechanism.market.total_risk_capacity
    law, (low, high) = mechanism.market.endowment, (mechanism.ends[0], -mechanism.ends[1])
    steepest = rate * jnp.maximum(jnp.max(low - law.lower), jnp.max(law.upper - high)) / _PANELS
    resolved = (step <= _WIDEST_STEP) & (steepest <= _STEEPEST)
    return tuple(jnp.where(resolved, part, jnp.nan) for part in (value, jnp.sum(weight * states, axis=-2) / mass))


def _states(mechanism):
    """Values of ε, shape (states, G), the log of their density times Π_{j≠i} E exp(ε V_j/K), and their spacing (G,)."""
    market, law, share = mechanism.market, mechanism.market.endowment, mechanism.share
    low, high = mechanism.virtual_type(law.lower), mechanism.virtual_type(law.upper)
    least = law.lower - high + share * total(market.count * low) - 1e-9
    most = law.upper - low + share * total(market.count * high) + 1e-9
    first, last = least / market.risk_capacity - 9, most / market.risk_capacity + 9
    states = first + jnp.linspace(0, 1, _STATES)[:, None] * (last - first)
    log_moments = _log_moments(mechanism, states[..., None] / market.total_risk_capacity)  # (states, G, G of others)
    own = jnp.diagonal(log_moments, axis1=-2, axis2=-1)
    others = jnp.sum(market.count * log_moments, axis=-1) - own
    return states, others - 0.5 * states**2, (last - first) / (_STATES - 1)


def _log_moments(mechanism, rate):
    """log E exp(rate·V) of each group; rate of shape (..., 1), result (..., G)."""
    law, (low, high) = mechanism.market.endowment, (mechanism.ends[0], -mechanism.ends[1])
    parts = np.arange(_PANELS)
    nodes = ((parts[:, None] + _NODES) / _PANELS).reshape(-1, 1)
    weights = np.tile(_WEIGHTS / _PANELS, _PANELS)[:, None]
    pieces = [(law.lower, low), (high, law.upper)]
    types = jnp.concatenate([start + nodes * (end - start) for start, end in pieces])
    log_mass = jnp.concatenate([jnp.log(weights * (end - start)) for start, end in pieces]) + law.log_pdf(types)
    middle = jnp.log(jnp.maximum(law.cdf(high) - law.cdf(low), 0.0))
    exponents = rate[..., None, :] * mechanism.virtual_type(types) + log_mass
    outside = jax.nn.logsumexp(exponents, axis=-2)
    return jnp.logaddexp(outside, rate * mechanism.eta + middle)


def cara_schedule(mechanism: Mechanism, types: int = 129) -> CaraSchedule:
    """Deterministic transfers under which truth is optimal for CARA traders, who gain nothing at the least type.

    Corollary 1.2 claims this of the transfers (4), for which it fails (erratum E8).

    Args:
      mechanism: a Mechanism (no batch) without outside options.
      types: how many types of each group, evenly spaced over its support.

    Returns:
      CaraSchedule.
    """
    return _schedule(_checked(mechanism), jnp.linspace(0, 1, whole_number("types", types, 2)))


def _least(value, slope, steps):
    """Least value of a function given with its slope on a grid, by the cubic through the ends of each cell."""
    fall, rise = slope[:-1], slope[1:]
    turns = (fall < 0) & (rise > 0)
    t = jnp.where(turns, fall / jnp.where(turns, fall - rise, 1.0), 0.0)
    inside = (1 + 2 * t) * (1 - t) ** 2 * value[:-1] + t**2 * (3 - 2 * t) * value[1:]
    inside += t * (1 - t) * ((1 - t) * fall - t * rise) * steps
    return jnp.minimum(jnp.min(value, axis=0), jnp.min(inside, axis=0))


@compiled
def _schedule(mechanism, depths):
    law, risk_capacity = mechanism.market.endowment, mechanism.market.risk_capacity
    z = law.lower + depths[:, None] * law.width
    nodes, weights = _PANEL_NODES[:, None, None], _PANEL_WEIGHTS[:, None, None]
    steps = jnp.diff(z, axis=0)
    kinks = (jnp.minimum(jnp.maximum(z[:-1], kink), z[1:]) for kink in (mechanism.ends[0], -mechanism.ends[1]))

    def slope(z):
        kept = z - (1 - mechanism.share) * mechanism.virtual_type(z)
        return z / risk_capacity - _over_states(mechanism, kept)[1]

    rises = sum(
        jnp.sum(weights * slope(start + nodes * (end - start)), axis=0) * (end - start)
        for start, end in pairwise((z[:-1], *kinks, z[1:]))
    )
    gain = jnp.concatenate([jnp.zeros_like(z[:1]), jnp.cumsum(rises, axis=0)])
    gain = gain - _least(gain, slope(z), steps)
    worth = cara_certainty_equivalent(mechanism, z, z) + z**2 / (2 * risk_capacity)
    return CaraSchedule(z, worth - gain, gain)
