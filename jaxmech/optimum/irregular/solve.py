"""From a market to its optimal mechanism, whatever the laws."""

from dataclasses import replace

import jax.numpy as jnp

from jaxmech.arrays import NumbersLike
from jaxmech.market.market import Market
from jaxmech.optimum.certificate import tolerance_of
from jaxmech.optimum.irregular.certificate import certificate_of, worst_of
from jaxmech.optimum.irregular.mechanism import IrregularMechanism
from jaxmech.optimum.irregular.mesh import fixed_cuts
from jaxmech.optimum.irregular.search import solve_on_nodes
from jaxmech.optimum.mechanism import if_solved, with_budget
from jaxmech.optimum.solve import aimed, is_weight, refuse_unlimited_gain, weight_of
from jaxmech.programs import compiled

_ROUNDING = 4e3  # float32's, beyond what certificates allow


def solve_irregular(
    market: Market, alpha: NumbersLike, minimum_revenue: NumbersLike | None = None
) -> IrregularMechanism:
    """What `solve` finds, also where it refuses to: outside options with laws that are not regular (beyond §16).

    V need not be ψ ironed and clipped to the target line then: the binding types may be several intervals, Ω constant
    between them, and V bunched there. It is found by convex programming on nodes that are moved to where V changes its
    kind, and is as exact as `solve`, but takes some tenths of a second.

    Args:
      market: a Market; batches carry trailing axes, or use `vmap`.
      alpha: weight on revenue, in [0, 1]; a number, or an array of the batch's shape.
      minimum_revenue: as in `solve`.

    Returns:
      IrregularMechanism, for `outcomes` and `certify`; differentiable once in the market, in α and in R_min. `.error`
      is the worst that its certificate finds, in parts of the first-best surplus: some 1e-12 as a rule. Where it is not
      certified, or no mechanism that keeps every type earns R_min, numbers are NaN and it is ∞. Float32 is good for
      three to four digits, which `certify` says are too few.

    Raises:
      MarketError: as `solve`.
    """
    weight = weight_of(market, alpha, "alpha")
    if minimum_revenue is not None:
        market = market.earning(minimum_revenue)
    refuse_unlimited_gain(market, weight)
    return replace(_solve_irregular(market, weight), market=market)


@compiled
def _solve_irregular(market, alpha):
    prepared, floor = aimed(market, market.prepared().provided(is_weight(alpha)), alpha)
    weight, found, moved, steps = solve_on_nodes(prepared, fixed_cuts(market.endowment), floor)
    error, moments, more = with_budget(market, alpha, weight, moved, found.moments)
    if market.welfare_weight is not None:
        more["budget_share"], weight = weight, weight + (1 - weight) * alpha
    made = IrregularMechanism(market, alpha, weight, found.eta, found.rule, found.gains, moments, error, steps, **more)
    certificate = certificate_of(made, prepared)
    worst, proof = worst_of(certificate), worst_of(certificate._replace(budget_shortfall=jnp.zeros_like(error)))
    missing = max(tolerance_of(worst.dtype), _ROUNDING * float(jnp.finfo(worst.dtype).eps))
    error = jnp.where((error < jnp.inf) & (worst <= missing), worst, jnp.inf)
    # The most that is earned is told where it is certified to lie below the target.
    proved = (proof <= missing) & (certificate.budget_shortfall > proof)
    largest = jnp.where(proved, more["largest_revenue"], jnp.inf)
    kept = weight, found.eta, found.rule.virtual, found.rule.omega, moments, made.budget_share, made.rebate
    weight, eta, virtual, omega, moments, share, rebate = if_solved(error, kept)
    rule = found.rule._replace(virtual=virtual, omega=omega)
    made = replace(made, weight=weight, eta=eta, rule=rule, moments=moments, error=error)
    return replace(made, budget_share=share, rebate=rebate, largest_revenue=largest)
