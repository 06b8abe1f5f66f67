"""Every answer proves itself (theory §11): weak duality, participation, monotonicity and the budget, all checked.

The dual bound holds for the Ω built from *any* η, and the allocation is priced as it is, with the residual of (*)
charged to it. So the duality gap bounds what any other mechanism could add, however the numbers were found. What the
closed forms and a quadrature of V itself (`witness`) differ by is added to it.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import mirrored, total
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.ironing.bunching import refuses
from jaxmech.optimum.ironing.ironed import faults
from jaxmech.optimum.mechanism import Mechanism, checked_mechanism
from jaxmech.optimum.outcomes import endowments_of, revenue_by_group, trade_gain_by_group
from jaxmech.optimum.pieces import in_pieces
from jaxmech.optimum.target_lines import lifted
from jaxmech.optimum.witness import witness
from jaxmech.plain import result
from jaxmech.programs import compiled


@result()
class Certificate(NamedTuple):
    """Evidence for one mechanism, or a batch. All but the residual are in units of the first-best surplus."""

    residual: jax.Array  # largest |E X̄| that a binding type should not have, and what ψ⁻ and ψ⁺ lack of η next to the
    # ends of the binding interval, relative to width + |η|
    duality_gap: jax.Array  # upper bound on what any feasible mechanism could add to αR + (1 − α)A, over 1 + λ
    participation_slack: jax.Array  # least utility gain: X̄ changes sign once, so 0 but for what the residual may cost
    monotonicity_breach: jax.Array  # largest fall of the virtual type, relative to the width of the support
    budget_shortfall: jax.Array  # R_min − R where R < R_min, which is 0 unless told otherwise
    ok: jax.Array  # all of them within tolerance

    def raise_if_failed(self, what: str = "the mechanism") -> None:
        """Host only. ValueError naming the worst lane and what went wrong."""
        ok = np.atleast_1d(np.asarray(self.ok))
        if ok.all():
            return
        lane = int(np.argmin(ok))
        values = {name: float(np.atleast_1d(np.asarray(getattr(self, name)))[lane]) for name in self._fields[:-1]}
        report = ", ".join(f"{name} {value:.1e}" for name, value in values.items())
        falls = values["monotonicity_breach"] > tolerance_of(float)
        remedy = "a Beta law with a shape below 1 is not ironed; use a Histogram of it" if falls else "report it"
        if np.isnan(values["duality_gap"]):
            remedy = "there is no such mechanism: see the mechanism's status"
        raise ValueError(f"{what}: {np.sum(~ok)} of {ok.size} failed, first lane {lane}: {report}; {remedy}")


def tolerance_of(dtype: Any) -> float:
    """What `.ok` allows: 1e-9 in float64, 2.3e-5 in float32."""
    return float(np.finfo(dtype).eps) ** 0.5 / 15


def certify(mechanism: Mechanism) -> Certificate:
    """Check a mechanism without trusting the solver.

    The budget, participation and monotonicity, Eq. (7), (9) and (10), make it feasible (Lemma 1); the dual bound of the
    Lagrangian, Eq. (11), and the budget's complementary slackness, Eq. (19), make it optimal at its α. The mechanism of
    a smaller weight than w*, the first best among them, is not feasible and fails by its budget shortfall.

    Args:
      mechanism: a Mechanism, or a batch of them; or what `solve_irregular` finds.

    Returns:
      Certificate of the batch's shape; `.ok` is False on any lane with a NaN.

    Raises:
      MarketError: something else than a mechanism.
    """
    own = getattr(mechanism, "certificate", None)
    return _certify(checked_mechanism(mechanism)) if own is None else own()


@compiled
@differentiable_behind
@in_pieces
def _certify(mechanism):
    market, interim = mechanism.market, mechanism.interim()
    sides, risk_capacity, count = market.endowment.sides(), market.risk_capacity, market.count
    capacity, width = market.total_risk_capacity, sides.width[0]
    share, mean = risk_capacity / capacity, interim.mean
    total_mean, allowed = total(count * mean), tolerance_of(width.dtype)
    # X̄ = (1 − s)(η − V) + ε exactly; ε = 0 solves (*).
    offset = share * (total_mean - mean) - (1 - share) * mechanism.eta
    charged = interim._replace(
        cross=interim.cross + offset * interim.endowment_mean,
        allocation_square=interim.allocation_square + 2 * offset * interim.allocation_mean + offset**2,
        rent=interim.rent + jnp.abs(offset) * width,
    )
    earned = total(revenue_by_group(charged, risk_capacity, count))
    bound = _bound(mechanism, interim, sides, total_mean / capacity)
    left_over = earned if mechanism.minimum_revenue is None else earned - mechanism.minimum_revenue
    value, multiplier = _value(mechanism, charged, earned)
    surplus = first_best_surplus(endowments_of(market, interim))
    falls, short = _ironing_faults(mechanism, sides)
    seen = witness(mechanism, sides, allowed)
    gap = bound - value + total(count / risk_capacity * short)
    doubt = _disagreement(mechanism, sides, seen)
    disagreement = doubt.money / surplus
    # Without a budget both are infinite, but for the multiplier, which is 0 then.
    spare = multiplier * jnp.clip(left_over, 0.0, jnp.finfo(left_over.dtype).max)
    gap = (gap + spare) / surplus + disagreement
    missed = jnp.abs(offset) + doubt.expected + jnp.max(seen.missed, axis=0)
    residual = jnp.max(missed / (width + jnp.abs(mechanism.eta)), axis=0)
    breach = jnp.maximum(jnp.max(seen.fall / width, axis=(0, 1)), falls)
    charge = jnp.max(jnp.abs(offset) * width / risk_capacity, axis=0)
    slack = -charge / surplus
    if mechanism.rebate is not None:
        slack = jnp.minimum(slack, jnp.min(mechanism.rebate, axis=0) / surplus)
    shortfall = jnp.maximum(0.0, -left_over / surplus)
    ok = (
        (residual <= allowed)
        & (jnp.abs(gap) <= allowed)
        # A moment that is wrong may move the gap by as much as the witness adds to it, the other way.
        & (disagreement <= allowed)
        & (slack >= -allowed)
        & (breach <= allowed)
        & (shortfall <= allowed)
        & (multiplier >= 0)
        & (mechanism.error <= allowed)
    )
    return Certificate(residual, gap, slack, breach, shortfall, ok)


def _bound(mechanism, interim, sides, price):
    """D, the dual bound over 1 + λ, with ΣM/K for the price (theory §11, beyond §7)."""
    market, capacity = mechanism.market, mechanism.market.risk_capacity
    spread = interim.variance * (1 / capacity - 1 / market.total_risk_capacity)
    bound = 0.5 * total(market.count * spread + market.count * capacity * (interim.mean / capacity - price) ** 2)
    if market.outside is None:
        return bound
    return jnp.where(_bound_is_unknown(mechanism, sides), jnp.nan, bound - _bound_outside(mechanism, interim))


def _bound_outside(mechanism, interim):
    """Σ n (w r + γ/(2κ) ∫(z − c)² dΩ), what outside options take off the dual bound, over 1 + λ (beyond §7)."""
    market, option, weight = mechanism.market, mechanism.market.option, mechanism.group_weight
    mean, variance = interim.endowment_mean, interim.endowment_variance
    # E[ZV] from E[Z X̄] = (1 − s)(η μ − E[ZV]).
    together = mean * (mechanism.eta - interim.mean) - interim.cross / (1 - mechanism.share)  # Cov(Z, V)
    away = variance - together + (mean - option.centre) * (mean - interim.mean)  # E[(Z − c)(Z − V)]
    square = weight * (variance + (mean - option.centre) ** 2) - 2 * away
    return total(market.count * (weight * option.reserve + option.gamma * square / (2 * market.risk_capacity)))


def _value(mechanism, charged, earned):
    """What the mechanism attains of the Lagrangian, over 1 + λ, and the multiplier λ/(1 + λ) of revenue that is left
    over."""
    market, weight, alpha = mechanism.market, mechanism.weight, mechanism.alpha
    gained = total(trade_gain_by_group(charged, market.risk_capacity, market.count))
    if market.welfare_weight is None:
        # α = 1 leaves w no room.
        multiplier = (weight - alpha) / jnp.where(alpha < 1, 1 - alpha, 1.0)
        return weight * earned + (1 - weight) * gained, multiplier
    value = gained - total(mechanism.group_weight * market.count * charged.rent / market.risk_capacity)
    multiplier = weight * 0 if mechanism.budget_share is None else mechanism.budget_share
    # The Lagrangian has no largest value where a group's weight is negative: rebates to it raise it without end.
    least = jnp.min(multiplier + (1 - multiplier) * (alpha - market.welfare_weight), axis=0)
    return jnp.where(least >= -tolerance_of(least.dtype), value, -jnp.inf), multiplier


def _bound_is_unknown(mechanism, sides):
    """Whether Ω falls where an outside option meets a law that is not regular: then it bounds nothing (beyond §16)."""
    weight, level = mechanism.kernel()
    return refuses(sides, level, mechanism.ends, weight, mechanism.line().slope, mechanism.bunching)


class Disagreement(NamedTuple):
    """What the integrals of V itself and the mechanism's moments differ by, in money, as the gap counts them."""

    mean: jax.Array  # of E V: of what a trader expects to buy, which all others would value otherwise
    square: jax.Array  # of E V²
    cross: jax.Array  # of E[(Z − c) X]
    rent: jax.Array
    expected: jax.Array  # in asset units: of what a binding type expects to buy, (G, ...)

    @property
    def money(self) -> jax.Array:
        """All of them together but the last."""
        return self.mean + self.square + self.cross + self.rent


def _disagreement(mechanism, sides, seen) -> Disagreement:
    """Whether the moments that a mechanism carries are those of its virtual types."""
    market, interim, line = mechanism.market, mechanism.interim(), mechanism.line()
    weight, eta = mechanism.kernel()
    risk_capacity, capacity = market.risk_capacity, market.total_risk_capacity
    centre, others = jnp.clip(eta, sides.lower[0], sides.upper[0]), 1 - risk_capacity / capacity
    off = (eta - centre) * interim.no_trade
    seen_mean = centre + off - seen.short[0] + seen.short[1]
    square = seen.square[0] + seen.square[1] + (eta - centre) * off
    cross, rent = seen.cross[0] + seen.cross[1], seen.rent[0] + seen.rent[1]
    if line is None:
        square = jnp.abs(interim.variance + (interim.mean - centre) ** 2 - square)
        cross = interim.cross - others * centre * (eta - interim.mean) - others * cross
    else:
        average, variance = interim.endowment_mean, interim.endowment_variance
        apart = cross + (centre - average) * (eta - seen_mean)  # −Cov(Z, Ṽ)
        square = line.power**2 * (square - (seen_mean - centre) ** 2) - 2 * line.slope * line.power * apart
        square = jnp.abs(interim.variance - square - line.slope**2 * variance)
        seen_mean, rent = lifted(seen_mean, average, line), line.power * rent
        together = line.slope * variance - line.power * apart
        cross = interim.cross - others * (average * (mechanism.eta - seen_mean) - together)
    mean, cross = jnp.abs(interim.mean - seen_mean), jnp.abs(cross)
    rent = jnp.abs(interim.rent - _rent_outside(mechanism, interim) - others * rent)
    weights = weight if market.welfare_weight is None and line is None else mechanism.group_weight
    weights = jnp.where(weights > 0, weights, 1.0)  # the gap does not see rents at w = 0, but the budget does
    price, by_money = total(market.count * interim.mean) / capacity, market.count / risk_capacity
    return Disagreement(
        mean=total(market.count * mean * jnp.abs(interim.mean / risk_capacity - price)),
        square=total(0.5 * others * by_money * square),
        cross=total(by_money * cross),
        rent=total(weights * by_money * rent) if jnp.ndim(weights) == rent.ndim else weights * total(by_money * rent),
        expected=(1 - others) * (total(market.count * mean) - mean),
    )


def _rent_outside(mechanism, interim):
    """κ (E o + the rebate): what the traders' gains have besides what is integrated over V."""
    option, rent = mechanism.market.option, 0.0
    if option is not None:
        spread = interim.endowment_variance + (interim.endowment_mean - option.centre) ** 2
        rent = mechanism.market.risk_capacity * option.reserve + 0.5 * option.gamma * spread
    return rent if mechanism.rebate is None else rent + mechanism.market.risk_capacity * mechanism.rebate


def _ironing_faults(mechanism, sides):
    """What ironing may have left: the largest fall of V over the width of a support, and by group how far the hull lies
    above what it should lie below, times the width: a bound on what other rules could make of it, asset units squared.
    """
    if mechanism.bunching is None:
        return jnp.zeros(()), jnp.zeros_like(mechanism.eta)
    weight, level = mechanism.kernel()
    falls, short = faults(sides, mirrored(level, level), weight, mechanism.bunching)
    return jnp.max(falls / sides.width, axis=(0, 1)), jnp.sum(short * sides.width, axis=0)
