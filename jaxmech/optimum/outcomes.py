"""Revenue, efficiency and probabilities as closed forms and one-dimensional integrals (theory §5). No simulation.

Every design here, optimal or not, has X_i = −V_i + share_i Σ_j V_j. In the optimal mechanism V is the virtual type and
share = κ/K; in the double auction V = bZ/κ and share = b/B.

For the optimal mechanism, with d = c − a measured from a point c of the support (c = η when η is inside), and G, H the
first two integrals of F at a, the types below the binding interval contribute

    B = E[c − V]       = d F + (1 − w) G
    S = E[(c − V)²]    = d² F + 2(1 − w)(d G + H) + w² Q,      Q = ∫ F²/f
    C = E[(a − Z)(c − V)] = d G + (2 − w) H
    ∫ F (c − V)        = d G + H − w Q

and those above it the same for the mirror image. Outside options make all that one of Ṽ, brought back to V at the end
(`target_lines`). Where ψ is ironed, S, C and the last line change (`ironing`).
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxmech.arrays import mirrored, total
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.optimum.first_best import first_best_efficiency, first_best_surplus
from jaxmech.optimum.multipliers import Multipliers
from jaxmech.optimum.target_lines import kernel_level, kernel_weight, lifted, target_line
from jaxmech.optimum.virtual_types import expected_virtual_type
from jaxmech.plain import result
from jaxmech.programs import compiled


class Interim(NamedTuple):
    """What one trader of each group expects, shape (G, ...)."""

    neutral: jax.Array  # V of the type that expects no trade: η
    mean: jax.Array  # m = E V
    variance: jax.Array  # v = Var V
    allocation_mean: jax.Array  # E X, asset units
    allocation_square: jax.Array  # E X²
    cross: jax.Array  # E[Z X]
    rent: jax.Array  # I = ∫ F X̄⁺ + (1 − F) X̄⁻, κ times the expected gain from participating
    no_trade: jax.Array  # p, probability of expecting no trade, or no more than there is outside
    endowment_mean: jax.Array  # E Z
    endowment_variance: jax.Array  # Var Z


class Endowments(NamedTuple):
    """What the first best takes of a market, (G, ...)."""

    mean: jax.Array
    variance: jax.Array
    risk_capacity: jax.Array
    count: jax.Array
    total_risk_capacity: jax.Array


def endowments_of(market: Market, interim: Interim) -> Endowments:
    """The market's endowments as the interim moments know them."""
    at = market.risk_capacity, market.count, market.total_risk_capacity
    return Endowments(interim.endowment_mean, interim.endowment_variance, *at)


@result()
class Outcomes(NamedTuple):
    """What a design achieves in expectation. Money and holding cost share one unit (asset²/risk capacity)."""

    revenue: jax.Array  # R, Eq. (5)
    efficiency: jax.Array  # A = −expected holding costs after trade
    first_best_efficiency: jax.Array  # A under Lemma 2
    first_best_surplus: jax.Array  # first-best A less that of no trade
    no_trade_probability: jax.Array  # probability that nobody trades at all
    revenue_by_group: jax.Array  # (G, ...), all traders of the group together
    efficiency_by_group: jax.Array  # (G, ...), likewise
    utility_gain_by_group: jax.Array  # (G, ...), likewise: expected gain over staying away
    no_expected_trade_probability: jax.Array  # (G, ...), one trader: F(b) − F(a)


class Design(Protocol):
    """What has outcomes: a Mechanism, a DoubleAuction, a SimpleSchedule."""

    @property
    def market(self) -> Market: ...
    def interim(self) -> Interim: ...


def interim_moments(market: Prepared, weight: jax.Array, solution: Multipliers) -> Interim:
    """The moments of §5 of a Prepared market at given multipliers; see the module's docstring for the letters."""
    line = target_line(market)
    weight = kernel_weight(market.weights(weight), line, solution.eta)
    eta, ends, at_ends, sums = kernel_level(solution.eta, line), solution.ends, solution.at_ends, solution.sums
    mean, middle, centre = expected_virtual_type(eta, ends, at_ends, market.lower, market.upper, weight)
    cdf, first, second = at_ends
    gap = mirrored(centre, centre) - ends
    off = eta - centre  # 0 unless η lies outside the support
    shortfall = gap * cdf + (1 - weight) * first
    square = gap**2 * cdf + 2 * (1 - weight) * (gap * first + second)
    lever = gap * first + (2 - weight) * second
    earned = (gap + mirrored(off, off)) * first + second
    if sums.square is None:
        square, earned = square + weight**2 * sums.square_integral, earned - weight * sums.square_integral
    else:
        square, lever, earned = square + sums.square, lever + sums.lever, earned + sums.earned
    variance = square[0] + square[1] + off**2 * middle - (mean - centre) ** 2

    low, high, rent = ends[0], -ends[1], earned[0] + earned[1]
    middle_mean = market.mean - (low * cdf[0] - first[0]) - (high * cdf[1] + first[1])
    # E[Z(η − V)] = E[Z(c − V)] + (η − c) E Z, and c − V = −(η − c) on the binding interval.
    pull = low * shortfall[0] - lever[0] - high * shortfall[1] - lever[1] + off * (market.mean - middle_mean)
    if line is not None:
        centred = (low - market.mean) * shortfall[0] - lever[0] - (high - market.mean) * shortfall[1] - lever[1]
        apart = centred - off * (middle_mean - market.mean * middle)  # −Cov(Z, Ṽ)
        together = line.slope * market.variance - line.power * apart  # Cov(Z, V)
        variance = line.slope**2 * market.variance + line.power * (line.power * variance - 2 * line.slope * apart)
        mean, rent = lifted(mean, market.mean, line), line.power * rent
        pull = market.mean * (solution.eta - mean) - together

    share = market.share
    expected, rent = (1 - share) * (solution.eta - mean), (1 - share) * rent
    if market.outside is not None:
        gamma, centre, reserve = market.outside.gamma, market.outside.centre, market.outside.reserve
        spread = market.variance + (market.mean - centre) ** 2
        rent = rent + market.risk_capacity * reserve + 0.5 * gamma * spread
    return Interim(
        neutral=solution.eta,
        mean=mean,
        variance=variance,
        allocation_mean=expected,
        allocation_square=(1 - share) ** 2 * variance + absorbed_variance(variance, share, market.count) + expected**2,
        cross=(1 - share) * pull,
        rent=rent,
        no_trade=middle,
        endowment_mean=market.mean,
        endowment_variance=market.variance,
    )


def absorbed_variance(variance: jax.Array, share: jax.Array, count: jax.Array) -> jax.Array:
    """Variance of what a trader takes over from the others, share_i² Σ_{j≠i} v_j: the same for each of his types."""
    return share**2 * (total(count * variance) - variance)


def revenue_by_group(interim: Interim, risk_capacity: jax.Array, count: jax.Array) -> jax.Array:
    """Expected payments of each group, Eq. (5) with the participation constraint binding: R_i n_i."""
    return -count * (interim.cross + interim.rent + 0.5 * interim.allocation_square) / risk_capacity


def revenue(market: Market | Prepared, interim: Interim) -> jax.Array:
    """R alone."""
    return total(revenue_by_group(interim, market.risk_capacity, market.count))


def efficiency_by_group(interim: Interim, risk_capacity: jax.Array, count: jax.Array) -> jax.Array:
    """A by group: holding costs saved by trading, less those of no trade."""
    held = interim.endowment_variance + interim.endowment_mean**2
    return trade_gain_by_group(interim, risk_capacity, count) - count * held / (2 * risk_capacity)


def trade_gain_by_group(interim: Interim, risk_capacity: jax.Array, count: jax.Array) -> jax.Array:
    """Holding costs saved by trading: A less that of no trade, by group."""
    return -count * (2 * interim.cross + interim.allocation_square) / (2 * risk_capacity)


def outcomes(design: Design) -> Outcomes:
    """Expected outcomes of a design: a Mechanism, a DoubleAuction, or a batch of either.

    Args:
      design: anything with a `.market` and `.interim()`.

    Returns:
      Outcomes; scalars have the batch's shape, arrays by group have the group axis in front.

    Raises:
      MarketError: something else than a design.
    """
    if not (hasattr(design, "market") and hasattr(design, "interim")):
        raise MarketError(f"design is {type(design).__name__}; make one with solve(market, alpha) or double_auction")
    return _outcomes(design)


@compiled
def _outcomes(design):
    return _of_moments(design.market, design.interim())


@differentiable_behind
def _of_moments(market, interim):
    risk_capacity, count, endowments = market.risk_capacity, market.count, endowments_of(market, interim)
    by_group = revenue_by_group(interim, risk_capacity, count)
    held = efficiency_by_group(interim, risk_capacity, count)
    return Outcomes(
        revenue=total(by_group),
        efficiency=total(held),
        first_best_efficiency=first_best_efficiency(endowments),
        first_best_surplus=first_best_surplus(endowments),
        no_trade_probability=_no_trade_probability(market, interim),
        revenue_by_group=by_group,
        efficiency_by_group=held,
        utility_gain_by_group=count * interim.rent / risk_capacity,
        no_expected_trade_probability=interim.no_trade,
    )


def _no_trade_probability(market, interim):
    """Π p_i when all traders share one marginal value η_i/κ_i on their intervals, as symmetric traders do; else 0.

    Nobody trades iff V_i/κ_i is the same for all, and V has atoms only at η.
    """
    price, no_trade = interim.neutral / market.risk_capacity, interim.no_trade
    spread = jnp.max(price, axis=0) - jnp.min(price, axis=0)
    scale = jnp.max(market.endowment.width / market.risk_capacity, axis=0)
    shared = spread <= 1e3 * jnp.finfo(price.dtype).eps * scale
    probability = jnp.where(no_trade > 0, no_trade, 1.0)
    if market.outside is not None:
        shared = shared & jnp.all(market.option.gamma <= 0, axis=0)
    product = jnp.exp(total(market.count * jnp.log(probability)))
    surely_trade = jnp.where(jnp.isnan(spread), jnp.nan, 0.0)
    return jnp.where(shared & jnp.all(no_trade > 0, axis=0), product, surely_trade)
