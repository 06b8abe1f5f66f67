"""Is it wise to keep everybody inside? The problem obliges the exchange to serve every type (beyond §16)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.arrays import total
from jaxmech.optimum.mechanism import Mechanism, checked_mechanism
from jaxmech.optimum.outcomes import absorbed_variance
from jaxmech.plain import result
from jaxmech.programs import compiled


@result()
class Keeping(NamedTuple):
    """What the binding type is worth that the exchange would lose least by letting go, of each group, (G, ...)."""

    worth: (
        jax.Array
    )  # money per trader of that type, to first order; below 0 full participation costs more than it brings
    endowment: jax.Array  # that type, asset units; the point of the binding interval nearest to η̃
    wise: jax.Array  # whether no binding type should be let go


def keeping_everybody(mechanism: Mechanism) -> Keeping:
    """Whether some binding type would better be let go, to take what he has outside.

    Letting type z = c + ζ go, so that he neither trades inside nor pays, takes from the Lagrangian, over 1 + λ and by
    unit of probability,

        [γ(1 − σ)ζ² + 2γζ(c − η) + s²v₋/(1 − s)]/(2κ) − r,    v₋ = Σ_{j≠i} v_j:

    what he absorbs of the others' risk, less what his outside option makes dear. It is never negative at a fair price,
    c = η, without a reserve. To first order in the probability; gains outside count like those inside.

    Args:
      mechanism: a Mechanism, or a batch of them.

    Returns:
      Keeping; NaN where the mechanism is none.

    Raises:
      MarketError: something else than a mechanism.
    """
    return _keeping_everybody(checked_mechanism(mechanism))


@compiled
def _keeping_everybody(mechanism):
    market, share, line = mechanism.market, mechanism.share, mechanism.line()
    (_, level), low, high = mechanism.kernel(), mechanism.ends[0], -mechanism.ends[1]
    endowment = jnp.clip(level, low, high)
    worth = absorbed_variance(mechanism.interim().variance, share, market.count) / (1 - share)
    worth = worth / (2 * market.risk_capacity)
    if line is not None:
        option, away = market.option, endowment - line.centre
        dear = option.gamma * away * (line.power * away + 2 * (line.centre - mechanism.eta))
        worth = worth + dear / (2 * market.risk_capacity) - option.reserve
    scale = jnp.max(total(market.count * mechanism.interim().variance) / market.risk_capacity, axis=0)
    return Keeping(worth, endowment, worth >= -8 * jnp.finfo(worth.dtype).eps * scale)
