"""The frontier of revenue and efficiency, traced by its gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import is_traced, on_device, on_host
from jaxmech.derivatives.frontier_curve import Frontier
from jaxmech.derivatives.frontier_trace import trace
from jaxmech.inputs import one_number, whole_number
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.programs import compiled


def frontier(market: Market, tolerance: float | None = None, points: int = 129) -> Frontier:
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
    if is_traced(checked_market(market).risk_capacity):
        raise MarketError("frontier runs outside jit and vmap; trace many markets as a batch, fields (G, B)")
    least = 50 * float(jnp.finfo(market.risk_capacity.dtype).eps)
    tolerance = max(1e-8, least) if tolerance is None else tolerance
    tolerance = one_number("tolerance", tolerance, f"a number from {least:.0e} to 1", least, np.nextafter(1.0, 0.0))
    points = whole_number("points", points, 3)
    if market.risk_capacity.ndim > 2:
        raise MarketError(f"market has fields of shape {market.risk_capacity.shape}; give (G,), or (G, B) for a batch")
    nodes, number, *rest = _traced(market, on_device(np.asarray(tolerance, market.risk_capacity.dtype)), points)
    # By NumPy: JAX would compile a program for every number of points.
    longest = np.max(np.asarray(number))
    return Frontier(market, *on_device([part[:longest] for part in on_host(nodes)]), number, *rest)


@partial(compiled, static_argnames="points")
def _traced(market, tolerance, points):
    """`trace` of one market too, fields (G,)."""
    if market.risk_capacity.ndim == 2:
        return trace(market, tolerance, points)
    found = trace(jax.tree.map(lambda leaf: leaf[..., None], market), tolerance, points)
    return jax.tree.map(lambda leaf: leaf[..., 0], found)
