"""Every answer proves itself (theory §11): weak duality, participation, monotonicity and the budget, all checked.

The dual bound holds for the Ω built from *any* η, and the allocation is priced as it is, with the residual of (*)
charged to it. So the duality gap bounds what any other mechanism could add, however the numbers were found. What the
closed forms and a quadrature of V itself (`witness`) differ by is added to it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.first_best import first_best_surplus
from jaxmech.groups import mirrored, total
from jaxmech.ironing import ironing
from jaxmech.mechanism import checked_mechanism
from jaxmech.outcomes import revenue_by_group, trade_gain_by_group
from jaxmech.witness import witness


class Certificate(NamedTuple):
    """Evidence for one mechanism, or a batch. All but the residual are in units of the first-best surplus."""

    residual: jax.Array  # largest |E X̄| that a binding type should not have, relative to width + |η|
    duality_gap: jax.Array  # upper bound on what any feasible mechanism could add to wR + (1 − w)A
    participation_slack: jax.Array  # lower bound on the least utility gain; 0, or below by rounding, if nobody loses
    monotonicity_breach: jax.Array  # largest fall of the virtual type, relative to the width of the support
    budget_shortfall: jax.Array  # −R where R < 0
    ok: jax.Array  # all of them within tolerance

    def raise_if_failed(self, what="the mechanism"):
        """Host only. ValueError naming the worst lane and what went wrong."""
        ok = np.atleast_1d(np.asarray(self.ok))
        if ok.all():
            return
        lane = int(np.argmin(ok))
        values = {name: float(np.atleast_1d(np.asarray(getattr(self, name)))[lane]) for name in self._fields[:-1]}
        report = ", ".join(f"{name} {value:.1e}" for name, value in values.items())
        falls = values["monotonicity_breach"] > tolerance_of(float)
        remedy = "a Beta law with a shape below 1 is not ironed; use a Histogram of it" if falls else "report it"
        raise ValueError(f"{what}: {np.sum(~ok)} of {ok.size} failed, first lane {lane}: {report}; {remedy}")


def tolerance_of(dtype):
    """What `.ok` allows: 1e-9 in float64, 2.3e-5 in float32."""
    return float(np.finfo(dtype).eps) ** 0.5 / 15


def certify(mechanism) -> Certificate:
    """Check a mechanism without trusting the solver.

    The budget, participation and monotonicity, Eq. (7), (9) and (10), make it feasible (Lemma 1); the dual bound of the
    Lagrangian, Eq. (11), makes it optimal.

    Args:
      mechanism: a Mechanism, or a batch of them.

    Returns:
      Certificate of the batch's shape; `.ok` is False on any lane with a NaN.

    Raises:
      MarketError: something else than a mechanism.
    """
    return _certify(checked_mechanism(mechanism))


@jax.jit
def _certify(mechanism):
    market, weight = mechanism.market, mechanism.weight
    law, risk_capacity, count = market.law, market.risk_capacity, market.count
    interim = mechanism.interim()
    capacity = market.total_risk_capacity
    share, mean = risk_capacity / capacity, interim.mean
    total_mean = total(count * mean)
    # X̄ = (1 − s)(η − V) + ε exactly; ε = 0 solves (*).
    offset = share * (total_mean - mean) - (1 - share) * mechanism.eta
    charged = interim._replace(
        cross=interim.cross + offset * law.mean,
        allocation_square=interim.allocation_square + 2 * offset * interim.allocation_mean + offset**2,
        rent=interim.rent + jnp.abs(offset) * law.width,
    )
    earned = total(revenue_by_group(charged, risk_capacity, count))
    gained = total(trade_gain_by_group(charged, risk_capacity, count))
    bound = 0.5 * total(
        count * (interim.variance * (1 / risk_capacity - 1 / capacity))
        + count * risk_capacity * (mean / risk_capacity - total_mean / capacity) ** 2
    )
    surplus = first_best_surplus(law, risk_capacity, count)
    falls, short = _ironing_faults(mechanism)
    seen = witness(mechanism)
    gap = bound - weight * earned - (1 - weight) * gained + total(count / risk_capacity * short)
    gap = (gap + _disagreement(mechanism, interim, seen)) / surplus
    residual = jnp.max(jnp.abs(offset) / (law.width + jnp.abs(mechanism.eta)), axis=0)
    breach, gain = _along_the_support(mechanism, seen)
    breach = jnp.maximum(breach, falls)
    charge = jnp.max(jnp.abs(offset) * law.width / risk_capacity, axis=0)
    slack = (gain - charge) / surplus
    shortfall = jnp.maximum(0.0, -earned / surplus)
    allowed = tolerance_of(surplus.dtype)
    balanced = (shortfall <= allowed) | (weight == 0)
    ok = (
        (residual <= allowed)
        & (jnp.abs(gap) <= allowed)
        & (slack >= -allowed)
        & (breach <= allowed)
        & balanced
        & (mechanism.error <= allowed)
    )
    return Certificate(residual, gap, slack, breach, shortfall, ok)


def _disagreement(mechanism, interim, seen):
    """What the integrals of V itself and the closed forms make of E V² and of the rent differ by, in money."""
    market, law, eta = mechanism.market, mechanism.market.law, mechanism.eta
    risk_capacity, capacity = market.risk_capacity, market.total_risk_capacity
    centre = jnp.clip(eta, law.lower, law.upper)
    square = seen.square[0] + seen.square[1] + (eta - centre) ** 2 * interim.no_trade
    off = jnp.abs(interim.variance + (interim.mean - centre) ** 2 - square)
    rent = jnp.abs(interim.rent - (1 - risk_capacity / capacity) * (seen.rent[0] + seen.rent[1]))
    counted = 0.5 * off * (1 / risk_capacity - 1 / capacity) + mechanism.weight * rent / risk_capacity
    return total(market.count * counted)


def _along_the_support(mechanism, seen):
    """Largest fall of V between neighbouring types, over the width, and a lower bound on everybody's utility gain: its
    integrand η − V between two types is at least the smaller of its values there, and what is negative is summed."""
    market, width = mechanism.market, mechanism.market.law.width
    falls = -jnp.diff(seen.virtual, axis=0) / width
    expected = mirrored(mechanism.eta, mechanism.eta) - seen.virtual
    pieces = jnp.minimum(expected[1:], expected[:-1]) * jnp.diff(seen.types, axis=0)
    losses = jnp.sum(jnp.minimum(pieces, 0.0), axis=0)
    others = 1 - market.risk_capacity / market.total_risk_capacity
    least = jnp.min(losses * others / market.risk_capacity, axis=(0, 1))
    return jnp.maximum(0.0, jnp.max(falls, axis=(0, 1, 2))), least


def _ironing_faults(mechanism):
    """What ironing may have left: the largest fall of V over the width of a support, and by group how far the hull lies
    above what it should lie below, times the width: a bound on what other rules could make of it, asset units squared.
    """
    sides = mechanism.market.law.both_sides()
    pooled = ironing(sides, mechanism.weight, mechanism.bunching)
    if pooled is None:
        return jnp.zeros(()), jnp.zeros_like(mechanism.eta)
    falls, short = pooled.faults(mirrored(mechanism.eta, mechanism.eta))
    return jnp.max(falls / sides.width, axis=(0, 1)), jnp.sum(short * sides.width, axis=0)
