"""The first best (Lemma 2) and what it costs (Proposition 1, with its size)."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from jaxmech.arrays import total
from jaxmech.market.market import Market, checked_market
from jaxmech.market.prepared import Prepared
from jaxmech.optimum.target_lines import kernel_level, target_line
from jaxmech.programs import compiled

if TYPE_CHECKING:
    from jaxmech.optimum.outcomes import Endowments


def neutral_type(market: Prepared) -> jax.Array:
    """η at w = 0, κ (Σ_{j≠i} μ_j)/(K − κ): the type that expects no trade under the first best, (G, ...)."""
    others = market.total_risk_capacity - market.risk_capacity
    return market.risk_capacity * (total(market.count * market.mean) - market.mean) / others


def first_best_revenue(market: Prepared) -> jax.Array:
    """Largest expected revenue under the first best allocation, Proposition 1 made exact (theory §6).

        R = −½ Σ δ_i²/(K − κ_i) + Σ (K − κ_i)/(2Kκ_i) dist(η_i, [l_i, h_i])²,   δ_i = μ_i − s_i Σμ

    With outside options (beyond §8) the distance is that of η̃ = (η − σc)/(1 − σ), its square counts 1 − σ times, and

        r_i + γ_i (c_i − η_i)²/(2κ_i(1 − σ_i))

    goes to each trader. The second sum vanishes under Condition 1, which the paper's "only if" needs (erratum E6). A δ
    that is rounding is taken as zero, so that proportional means give exactly 0.
    """
    mean, capacity, share = market.mean, market.total_risk_capacity, market.share
    others = capacity - market.risk_capacity
    imbalance = mean - share * total(market.count * mean)
    reach = jnp.abs(market.lower) + jnp.abs(market.upper)  # what a computed mean is rounded relative to
    rounding = 32 * jnp.finfo(mean.dtype).eps * (reach + share * total(market.count * reach))
    imbalance = jnp.where(jnp.abs(imbalance) > rounding, imbalance, 0.0)
    neutral = neutral_type(market)
    line = target_line(market)
    eta, neutral = neutral, kernel_level(neutral, line)
    outside = jnp.where(
        neutral > market.upper,
        neutral - market.upper,
        jnp.where(neutral < market.lower, market.lower - neutral, 0.0),
    )
    if line is not None:
        outside = outside * jnp.sqrt(line.power)
    cost = imbalance**2 / (2 * others) - others / (2 * capacity * market.risk_capacity) * outside**2
    if line is not None and market.outside is not None:
        off = line.centre - eta
        off = jnp.where(jnp.abs(off) > rounding, off, 0.0)
        taken = market.outside.gamma * off**2 / (2 * market.risk_capacity * line.power)
        cost = cost + market.outside.reserve + taken
    return -total(market.count * cost)


def first_best_efficiency(market: "Prepared | Endowments") -> jax.Array:
    """−E[(ΣZ)²]/(2K): holding costs when everybody holds his share of the total (Lemma 2)."""
    spread = total(market.count * market.variance) + total(market.count * market.mean) ** 2
    return -spread / (2 * market.total_risk_capacity)


def first_best_surplus(market: "Prepared | Endowments") -> jax.Array:
    """Gain of the first best over no trade, the natural unit of every other gain.

    Σ v_i (1/κ_i − 1/K)/2 + ½ Σ κ_i (μ_i/κ_i − Σμ/K)²
    """
    capacity, risk_capacity, mean = market.total_risk_capacity, market.risk_capacity, market.mean
    price = total(market.count * mean) / capacity
    spread = market.variance * (1 / risk_capacity - 1 / capacity)
    return 0.5 * total(market.count * (spread + risk_capacity * (mean / risk_capacity - price) ** 2))


def minimum_subsidy(market: Market) -> jax.Array:
    """Money that the first best needs beyond the largest participation fees: max(0, −R), Proposition 1 with its size.

    Args:
      market: a Market, or a batch with trailing axes.

    Returns:
      Scalar or of the batch's shape, in units of holding cost; 0 where the first best pays for itself.

    Raises:
      MarketError: market is not a Market.
    """
    return _subsidy_and_balance(checked_market(market))[0]


def first_best_is_attainable(market: Market) -> jax.Array:
    """Whether the first best breaks even, Proposition 1: means proportional to risk capacities, or (erratum E6) a
    surplus from traders who surely buy or surely sell. Decided by the closed form, not by the sign of a computed R.

    Args:
      market: a Market, or a batch with trailing axes.

    Returns:
      Boolean, scalar or of the batch's shape.

    Raises:
      MarketError: market is not a Market.
    """
    return _subsidy_and_balance(checked_market(market))[1]


@compiled
def _subsidy_and_balance(market):
    """The money that the first best needs, and whether it needs none."""
    revenue = first_best_revenue(market.prepared())
    return jnp.where(revenue < 0, -revenue, 0.0), revenue >= 0


@compiled
def first_best_money(market: Market) -> tuple[jax.Array, jax.Array]:
    """(efficiency, surplus) of the first best of a Market: for code that runs on the host."""
    prepared = market.prepared()
    return first_best_efficiency(prepared), first_best_surplus(prepared)
