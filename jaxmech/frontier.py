"""The frontier of revenue and efficiency, traced by its gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.frontier_curve import Frontier
from jaxmech.frontier_trace import trace
from jaxmech.market import MarketError, checked_market
from jaxmech.tables import one_number, whole_number


def frontier(market, tolerance=None, points=129) -> Frontier:
    """Trace the frontier of a market, or of a batch of markets at once, from w* to 1.

    Predictor and corrector: the tangent at a point, in arc length, says where to solve next; the curve through both is
    checked against a third solve halfway; steps follow the measured error, so points gather where the frontier bends.

    Args:
      market: a Market; batches carry one trailing axis, (G, B).
      tolerance: error allowed, as part of the first-best surplus, in revenue at a given efficiency and the reverse;
        measured halfway between points, where it is about largest, and before they are added. By default 1e-8, or
        what float32 allows.
      points: most points kept for one market.

    Returns:
      Frontier; `.error` is ∞ where more points were needed or a solve failed.

    Raises:
      MarketError: not a Market, a tolerance or number of points that cannot be, or inside jit or vmap: how many points
        there are depends on the numbers.
    """
    if isinstance(checked_market(market).risk_capacity, jax.core.Tracer):
        raise MarketError("frontier runs outside jit and vmap; trace many markets as a batch, fields (G, B)")
    least = 50 * float(jnp.finfo(market.risk_capacity.dtype).eps)
    tolerance = max(1e-8, least) if tolerance is None else tolerance
    tolerance = one_number("tolerance", tolerance, f"a number from {least:.0e} to 1", least, np.nextafter(1.0, 0.0))
    points = whole_number("points", points, 3)
    if market.risk_capacity.ndim > 2:
        raise MarketError(f"market has fields of shape {market.risk_capacity.shape}; give (G,), or (G, B) for a batch")
    batch = market if market.risk_capacity.ndim == 2 else jax.tree.map(lambda leaf: leaf[..., None], market)
    nodes, *rest = trace(batch, jnp.asarray(tolerance, market.risk_capacity.dtype), points)
    longest = int(jnp.max(rest[0]))
    nodes = [part[:longest] for part in nodes]
    if batch is not market:
        nodes, rest = [part[:, 0] for part in nodes], [part[0] for part in rest]
    return Frontier(market, *nodes, *rest)
