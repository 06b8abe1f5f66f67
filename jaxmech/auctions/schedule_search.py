"""The best simple schedules: three numbers a group, or fewer, by gradient ascent.

What is maximised is wR + (1 − w)A at the smallest effective weight w ≥ α at which R ≥ 0, in units of the first-best
surplus. Access fees move no allocation, so they are the largest that the kind of schedule admits, and two numbers
are left to search: x and y of any sign, free of constraints, with

    "by group", "no access fee"    δ = width·x²,             σ = 1 − e^(−y),                     one pair a group,
    "no rebate"                    δ = width·x²,             σ = 1 − (1 + s/(1 − s)²) e^(y²),    one pair a group,
    "common"                       C δ = min(C width)·x²,    C σ = min C·(1 − e^(−y)),           one pair for all.

Kinds are data, so that all share one compiled search.
"""

from dataclasses import replace
from itertools import product
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxmech.arrays import is_traced, on_device, total
from jaxmech.auctions.simple_schedule import FEES, SimpleSchedule, schedule_at
from jaxmech.inputs import one_number
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.numerics.roots import narrowed, secant
from jaxmech.optimum.first_best import first_best_surplus
from jaxmech.optimum.multipliers import solve_multipliers
from jaxmech.optimum.outcomes import revenue_by_group, trade_gain_by_group
from jaxmech.programs import compiled


class _Kind(NamedTuple):
    tied: bool = False  # one spread, slope and fee in money for all
    bounded: bool = False  # no size rebate
    charged: bool = True  # access fees


KINDS = {
    "by group": _Kind(),
    "common": _Kind(tied=True),
    "no access fee": _Kind(charged=False),
    "no rebate": _Kind(bounded=True),
}
MAX_STEPS = 200
MAX_WEIGHTS = 40
_SMALLEST = 1e-2
_GRID = tuple(product((0.25, 0.6, 1.2), (-1.0, 0.0, 0.6, 1.8)))  # (x, y): far from each other, alike for all groups


def simple_schedule(
    market: Market, alpha: ArrayLike, kind: Literal["by group", "common", "no access fee", "no rebate"] = "by group"
) -> SimpleSchedule:
    """The simple schedules that maximise αR + (1 − α)A subject to R ≥ 0, or the market's R_min, among double auctions
    whose side payments have a spread, a slope and an access fee (theory §8).

    Kinds:
      "by group": a spread, a slope and a fee for each group. Of uniform endowments no other rule does better, unless
        there are outside options.
      "common": the same jump of the marginal tax in money per unit, the same slope in money per unit squared and the
        same fee for all. The kink stays at each group's η and the slope starts at its mean endowment.
      "no access fee": as by group, with fees 0: no outside options then, which fees are there to match.
      "no rebate": as by group, and nobody pays less per unit for buying or selling more: fees and spreads are ≥ 0, as
        always without outside options, and at each fixed price S is convex in q, `size_charge` ≥ 0, that is
        σ ≤ −s/(1 − s)². The price is the marginal value of the asset; the plain double auction of symmetric traders is
        of this kind.

    Args:
      market: a Market, no batch; use `vmap`.
      alpha: weight on revenue, in [0, 1].
      kind: one of the above.

    Returns:
      SimpleSchedule, with `.weight` ≥ α, above it where the budget binds, and `.gradient`, the length of the
      objective's gradient, in two unconstrained numbers a group, at which the search stopped: about 1e-8 or below
      at a smooth optimum, and not small where "common" ends on a tie of two groups' largest fees. Searches start
      from the optimal mechanism, the rule of uniform endowments, the last weight's optimum and a coarse grid, and
      the best is kept; the objective is not concave, so a better one cannot be ruled out. `.error` is ∞ where no
      w ≤ 1 was found at which R ≥ R_min. Not differentiable in the market: for the slope of the objective hold the
      numbers and use `SimpleSchedule.of` (envelope).

    Raises:
      MarketError: not a Market, alpha outside [0, 1], or an unknown kind (outside jit only); welfare weights; outside
        options with the kind "no access fee".
    """
    checked_market(market)
    if not isinstance(kind, str) or kind not in KINDS:
        raise MarketError(f"kind is {kind!r}; choose {', '.join(map(repr, KINDS))}")
    if market.welfare_weight is not None:
        raise MarketError(
            "welfare_weight: the search is for αR + (1 − α)A alone; leave it out, or see SimpleSchedule.of"
        )
    if market.outside is not None and kind == "no access fee":
        raise MarketError("kind is 'no access fee', but outside options need fees to match them; choose another kind")
    dtype = market.risk_capacity.dtype
    if not is_traced(alpha):
        alpha = one_number("alpha", alpha, "one number in [0, 1], 1 for revenue alone, and use vmap for more", 0, 1)
        alpha = np.asarray(alpha, dtype)
    if jnp.ndim(market.risk_capacity) > 1:
        raise MarketError("market is a batch with trailing axes; put them in front and use vmap")
    found = _search(market, on_device(alpha).astype(dtype), on_device(KINDS[kind]))
    return replace(found, market=market)


@compiled
def _search(market, alpha, kind):
    """The smallest w ≥ α with R ≥ R_min. R never falls in w: tried are α, then 1, then a bracketed secant iteration."""
    prepared, rounding = market.prepared(), jnp.finfo(alpha.dtype).eps
    surplus = first_best_surplus(prepared)
    aim = rounding**0.625 * surplus  # 2e-10 in double precision: R ≥ R_min though R of an optimum found is not exact

    def step(state):
        weight, bracket, kept, last, _, steps = state
        last, gradient = _best_at(market, prepared, weight, kind, last, surplus)
        found = _schedule(market, prepared, last, kind)
        earned = total(revenue_by_group(found.interim(), market.risk_capacity, market.count))
        earned = earned if market.minimum_revenue is None else earned - market.minimum_revenue
        found = replace(found, weight=weight, gradient=gradient)
        good = earned >= jnp.where(steps == 0, -10 * rounding * surplus, 0.0)
        kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), (found, earned), kept)
        bracket = narrowed(bracket, weight, earned - aim)
        closed = (kept[1] <= 2 * aim) | (bracket[2] - bracket[0] <= 10 * rounding)
        done = jnp.where(steps == 0, good, jnp.where(steps == 1, ~good, closed))
        return jnp.where(steps == 0, 1.0, secant(bracket)), bracket, kept, last, ~done, steps + 1

    def unfinished(state):
        *_, running, steps = state
        return running & (steps < MAX_WEIGHTS)

    infinity, somewhere = jnp.full_like(alpha, jnp.inf), jnp.full((2, market.groups), 0.4, alpha.dtype)
    bracket = alpha, -infinity, jnp.ones_like(alpha), infinity, jnp.zeros_like(alpha)
    nothing = replace(_schedule(market, prepared, somewhere, kind), error=infinity, weight=alpha, gradient=infinity)
    start = alpha, bracket, (nothing, infinity), somewhere, jnp.asarray(True), 0
    return lax.while_loop(unfinished, step, start)[2][0]


def _best_at(market, prepared, weight, kind, last, surplus):
    """The best (x, y) at one weight, and the length of the gradient there."""
    kappa, count = market.risk_capacity, market.count

    def loss(point):
        interim = _schedule(market, prepared, point, kind).interim()
        earned = total(revenue_by_group(interim, kappa, count))
        gained = total(trade_gain_by_group(interim, kappa, count))
        return -(weight * earned + (1 - weight) * gained) / surplus

    points = [_point(market, *numbers, kind) for numbers in _guesses(prepared, weight)]
    points.append(jnp.where(jnp.abs(last) < _SMALLEST, _SMALLEST, last))
    grid = jnp.broadcast_to(jnp.asarray(_GRID, weight.dtype)[..., None], (len(_GRID), *last.shape))
    starts = jnp.concatenate([jnp.stack(points), grid])
    found, values, gradients = lax.map(lambda start: _descent(loss, start), starts)
    # The first of those that are best to rounding: at w = 0 it starts where the objective is flat in x, at δ = 0, and
    # the others only approach that.
    best = jnp.argmax(values <= jnp.nanmin(values) + 100 * jnp.finfo(values.dtype).eps)
    return found[best], gradients[best]


def _descent(loss, start):
    """L-BFGS from one start, until the gradient vanishes or nothing is gained any more."""
    import optax  # only now: it would double the time that `import jaxmech` takes

    search = optax.lbfgs()
    tolerance = 10 * jnp.finfo(start.dtype).eps

    def step(state):
        point, inner, idle, steps = state
        value, slope = optax.tree.get(inner, "value"), optax.tree.get(inner, "grad")
        move, inner = search.update(slope, inner, point, value=value, grad=slope, value_fn=loss)
        gained = value - optax.tree.get(inner, "value") > 0.1 * tolerance
        return optax.apply_updates(point, move), inner, jnp.where(gained, 0, idle + 1), steps + 1

    def unfinished(state):
        _, inner, idle, steps = state
        return (optax.tree.norm(optax.tree.get(inner, "grad")) > tolerance) & (idle < 3) & (steps < MAX_STEPS)

    value, slope = jax.value_and_grad(loss)(start)
    inner = optax.tree.set(search.init(start), value=value, grad=slope)
    point, inner, *_ = lax.while_loop(unfinished, step, (start, inner, 0, 0))
    return point, optax.tree.get(inner, "value"), optax.tree.norm(optax.tree.get(inner, "grad"))


def _guesses(market, weight):
    """(δ, σ) from the optimal mechanism, as far from its own binding interval and its own E|η − V| as it goes, and from
    the rule of uniform endowments."""
    width, rule = market.width, weight / (1 + weight)
    solution = solve_multipliers(market, weight)
    at_ends = market.sides.tail(solution.ends)
    traded = jnp.sum((1 - weight) * at_ends.integral + weight * at_ends.ratio * at_ends.cdf, axis=0)
    steepness = jnp.clip(traded / jnp.sum(at_ends.integral, axis=0), 0.5, 4.0)
    interval = -solution.ends[1] - solution.ends[0]
    spread = jnp.where(interval > 0, interval, rule * width)
    return (spread, 1 - 1 / steepness), (rule * width, jnp.full_like(width, rule))


def _schedule(market, prepared, point, kind):
    """The schedules of (x, y), with the kind's fees."""

    def fee(largest):
        return jnp.where(kind.charged, jnp.where(kind.tied, FEES["common"](largest), largest), 0.0)

    return schedule_at(market, prepared, *_numbers(market, point, kind), fee)


def _numbers(market, point, kind):
    """(δ, σ) of (x, y)."""
    x, y = jnp.where(kind.tied, jnp.mean(point, axis=1, keepdims=True), point)
    unit, steepest, share = *_units(market, kind), market.risk_capacity / market.total_risk_capacity
    rebate_free = 1 - (1 + share / (1 - share) ** 2) * jnp.exp(jnp.where(kind.bounded, y, 0.0) ** 2)
    return unit * x**2, jnp.where(kind.bounded, rebate_free, -steepest * jnp.expm1(-y))


def _point(market, spread, slope, kind):
    """(x, y) at or near (δ, σ)."""
    unit, steepest = _units(market, kind)
    part, rest = spread / unit, jnp.maximum(1 - slope / steepest, 0.1)
    share = market.risk_capacity / market.total_risk_capacity
    above = jnp.log(rest) - jnp.log1p(share / (1 - share) ** 2)
    y = jnp.where(kind.bounded, jnp.sqrt(jnp.maximum(above, _SMALLEST**2)), -jnp.log(rest))
    return jnp.stack([jnp.sqrt(part), y])


def _units(market, kind):
    """What δ is measured in, and the supremum of σ."""
    share, width = market.risk_capacity / market.total_risk_capacity, market.endowment.width
    factor = (1 - share) / market.risk_capacity
    in_money = jnp.min(factor * width) / factor, jnp.min(factor) / factor
    return jnp.where(kind.tied, in_money[0], width), jnp.where(kind.tied, in_money[1], 1.0)
