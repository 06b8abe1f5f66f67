"""From a market to its optimal mechanism, whatever the laws."""

from dataclasses import replace

import jax.numpy as jnp

from jaxmech.arrays import NumbersLike
from jaxmech.endowments.panels import known_to
from jaxmech.market.market import Market
from jaxmech.optimum.irregular.certificate import certificate_of
from jaxmech.optimum.irregular.mechanism import IrregularMechanism
from jaxmech.optimum.irregular.mesh import fixed_cuts
from jaxmech.optimum.irregular.search import solve_on_nodes
from jaxmech.optimum.mechanism import if_solved, with_budget
from jaxmech.optimum.solve import aimed, is_weight, target_of, weight_of
from jaxmech.programs import compiled

_MISSING = 1e-6  # of the first-best surplus: what is further from its bound is no answer


def solve_irregular(market: Market, alpha: NumbersLike, minimum_revenue: NumbersLike = 0.0) -> IrregularMechanism:
    """What `solve` finds, also where it refuses to: outside options with laws that are not regular (beyond §16).

    V need not be ψ ironed and clipped to the target line then: the binding types may be several intervals, Ω constant
    between them, and V bunched there. It is found by convex programming on nodes that are moved to where V changes its
    kind, and is as exact as `solve`, but takes some tenths of a second.

    Args:
      market: a Market; batches carry trailing axes, or use `vmap`.
      alpha: weight on revenue, in [0, 1]; a number, or an array of the batch's shape.
      minimum_revenue: R_min, money.

    Returns:
      IrregularMechanism, for `outcomes` and `certify`; differentiable once in the market, in α and in R_min. `.error` is
      the worst that its certificate finds, in parts of the first-best surplus. Where that is above 1e-6 (float32: 1e-4),
      or no mechanism that keeps every type earns R_min, numbers are NaN and it is ∞.

    Raises:
      MarketError: as `solve`.
    """
    weight = weight_of(market, alpha, "alpha")
    target = target_of(market, weight, minimum_revenue)
    return replace(_solve_irregular(market, weight, target), market=market)


@compiled
def _solve_irregular(market, alpha, target):
    prepared, floor = aimed(market, market.prepared().provided(is_weight(alpha)), alpha, target)
    weight, found, moved, steps = solve_on_nodes(prepared, fixed_cuts(market.endowment), floor)
    error, moments, more = with_budget(market, alpha, weight, moved, found.moments, target)
    if market.welfare_weight is not None:
        more["budget_share"], weight = weight, weight + (1 - weight) * alpha
    mechanism = IrregularMechanism(
        market, alpha, weight, found.eta, found.rule, found.gains, moments, error, steps, minimum_revenue=target, **more
    )
    seen = certificate_of(mechanism, prepared)
    worst = (seen.residual, jnp.abs(seen.duality_gap), -seen.participation_slack, seen.monotonicity_breach)
    worst = jnp.max(jnp.stack([*worst, seen.budget_shortfall]), axis=0)
    error = jnp.where((error < jnp.inf) & (worst <= known_to(_MISSING, worst.dtype)), worst, jnp.inf)
    kept = mechanism.weight, mechanism.eta, mechanism.rule.virtual, mechanism.rule.omega, moments, mechanism.rebate
    weight, eta, virtual, omega, moments, rebate = if_solved(error, kept)
    rule = mechanism.rule._replace(virtual=virtual, omega=omega)
    return replace(mechanism, weight=weight, eta=eta, rule=rule, moments=moments, rebate=rebate, error=error)
