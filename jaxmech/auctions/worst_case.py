"""Laws that are worst for a schedule within a ball of moments, and a schedule designed for them.

Laws keep their shape: each group's is shifted and stretched, its support with it. The distance of such a market from
the one it is made of is √Σ_g [((μ_g − μ⁰_g)/σ⁰_g)² + log²(σ_g/σ⁰_g)].

What a schedule is worth elsewhere is αR + (1 − α)A with revenue *secured*: where some type would lose by participating,
its group's fee is cut by the largest loss of any type, for all of its traders, so that everybody still participates
and the allocation is as designed. Gains beyond what was promised are not taken back. Secured revenue may be negative,
and below a target that the design has. Welfare weights count what traders gain, fees cut, Σ nβ E g.
"""

from dataclasses import replace
from functools import partial
from numbers import Real
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import total
from jaxmech.auctions.robustness import robustness
from jaxmech.auctions.side_payments import SidePayments, side_payments
from jaxmech.endowments.law import Law
from jaxmech.inputs import MarketError, whole_number
from jaxmech.market.market import Market, checked_market
from jaxmech.optimum.first_best import first_best_money
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.solve import solve, weight_of
from jaxmech.plain import result
from jaxmech.programs import compiled

_FARTHEST = 3.0  # how far a design's moves may go
_TRIED = 64  # directions in which nature looks first
_FOLLOWED = 4  # of them, the worst, from which it goes on
_CLOSED = 1e-5  # of the first-best surplus: when the guarantee and what could be guaranteed differ by less, it is over


@result()
class WorstCase(NamedTuple):
    """The worst law found for a schedule. Money in the unit of holding costs."""

    market: Market  # with the worst laws
    objective: float  # αR + (1 − α)A there, revenue secured, and what welfare weights add
    revenue: float  # secured
    efficiency: float
    least_gain: np.ndarray  # (G,), of one type, before fees are cut, over what he can do instead
    distance: float  # of the market from the centre of the ball, at most its radius
    moves: np.ndarray  # (2, G), as in `moved`


def moved(law: Law, moves: jax.Array) -> Law:
    """A law with its mean moved by x₀ of its standard deviations, stretched about its mean by exp x₁; 0 leaves it.

    Args:
      law: endowment law of the G groups.
      moves: x, shape (2, G).
    """
    shift, stretch = moves[0], jnp.exp(moves[1])
    return law.stretched(stretch).shifted(law.mean * (1 - stretch) + jnp.sqrt(law.variance) * shift)


def worst_case_law(
    side_payments: SidePayments,
    radius: float,
    *,
    market: Market | None = None,
    alpha: ArrayLike | None = None,
    seed: int = 0,
) -> WorstCase:
    """The laws within a ball of moments under which a schedule does worst.

    Each group's law is shifted and stretched, so far that √Σ_g [(change of mean/σ_g)² + log²(change of σ_g)] is at most
    the radius. There the schedule is worth αR + (1 − α)A with revenue *secured*: where some type would lose by taking
    part, its group's fee is cut by the largest loss of any type, for all its traders.

    Nature looks in many directions and goes on from the worst by sequential quadratic programming with exact gradients.
    A law that is worse still cannot be ruled out: the objective has kinks, and is not convex.

    Args:
      side_payments: SidePayments.
      radius: of the ball, > 0; 0.1 moves one group's mean by a tenth of its standard deviation.
      market: the centre of the ball; the market the schedule is designed for, unless given.
      alpha: weight on revenue; that of the design, unless given.
      seed: of the directions tried.

    Returns:
      WorstCase.

    Raises:
      MarketError: not a schedule, a radius not above 0, or a market of other groups.
    """
    if not isinstance(side_payments, SidePayments):
        raise MarketError(f"side_payments is {type(side_payments).__name__}; make one with side_payments(mechanism)")
    _check_radius(radius)
    seed = whole_number("seed", seed)
    centre = checked_market(side_payments.design.market if market is None else market)
    if jnp.shape(centre.count) != jnp.shape(side_payments.design.market.count):
        raise MarketError(f"market has {centre.groups} groups, the schedule {side_payments.design.market.groups}")
    alpha = side_payments.design.alpha if alpha is None else weight_of(centre, alpha, "alpha")
    return _worst_reply(side_payments, centre, alpha, radius, np.random.default_rng(seed), [])


def _worst_reply(schedule, centre, alpha, radius, draws, also):
    """Nature's reply: the worst of `also` and of random directions, followed to a local worst in the ball."""
    from scipy.optimize import minimize

    shape, counts = (2, centre.groups), _known_counts(centre)

    def value(x):
        (found, _), slope = _secured_slope(counts, schedule, centre, alpha, x.reshape(shape))
        return float(found), np.asarray(slope).ravel()

    def inside(x):
        """x drawn back towards the centre where it is not in the ball."""
        return x * (radius / max(radius, np.linalg.norm(x)))

    axes = np.concatenate([np.eye(2 * centre.groups), -np.eye(2 * centre.groups)])
    tried = [*axes, *draws.standard_normal((_TRIED, 2 * centre.groups))]
    tried = [x * (radius / np.linalg.norm(x)) for x in tried] + [np.ravel(x) for x in also]
    ball = {"type": "ineq", "fun": lambda x: radius**2 - x @ x, "jac": lambda x: -2 * x}
    settings = {"method": "SLSQP", "jac": True, "constraints": ball, "options": {"ftol": 1e-12}}
    followed = sorted(tried, key=lambda x: value(x)[0])[:_FOLLOWED]
    ends = [inside(minimize(value, x, **settings).x) for x in followed]
    x = min([*followed, *ends], key=lambda x: value(x)[0]).reshape(shape)
    (found, (revenue, efficiency, gain)), _ = _secured_slope(counts, schedule, centre, alpha, x)
    there, distance = _with_moves(centre, x), float(np.linalg.norm(x))
    return WorstCase(there, float(found), float(revenue), float(efficiency), np.asarray(gain), distance, x)


@partial(compiled, static_argnums=0)
def _secured_slope(counts, schedule, centre, alpha, moves):
    def value(moves):
        known = replace(schedule.design, market=_with_counts(schedule.design.market, counts))
        return _secured_value(replace(schedule, design=known), _with_moves(_with_counts(centre, counts), moves), alpha)

    return jax.value_and_grad(value, has_aux=True)(moves)


def _secured_value(schedule, market, alpha):
    """αR + (1 − α)A with revenue secured, and R, A and the least gains."""
    there = robustness(schedule, market)
    cut = market.count * jnp.minimum(there.least_gain, 0.0)
    revenue = there.revenue + total(cut)
    value = alpha * revenue + (1 - alpha) * there.efficiency
    if market.welfare_weight is not None:
        value = value + total(market.welfare_weight * (there.utility_gain_by_group - cut))
    return value, (revenue, there.efficiency, there.least_gain)


def _with_moves(market, moves):
    return replace(market, endowment=moved(market.endowment, moves))


def _known_counts(market):
    return tuple(np.asarray(market.count).tolist())


def _with_counts(market, counts):
    """The market with counts that are numbers while JAX traces: schedules need them."""
    return replace(market, count=np.asarray(counts))


def _check_radius(radius):
    if isinstance(radius, bool) or not isinstance(radius, Real) or not 0 < radius <= 2:
        raise MarketError(f"radius is {radius!r}; give a number above 0, at most 2")


@result("guaranteed", "nominal_guaranteed", "is_nominal")
class RobustDesign(NamedTuple):
    """A schedule designed for the worst law. Money in the unit of holding costs."""

    design: Mechanism  # optimal in the market that the exchange designs for; `side_payments(design)` is the schedule
    moves: np.ndarray  # of that market's laws, (2, G), as in `moved`; 0: nothing beats the nominal design
    worst: WorstCase  # the worst law for it
    nominal: Mechanism  # the optimum of the market given
    nominal_worst: WorstCase  # the worst law for that
    attainable: float  # what could be guaranteed against the laws that nature has used, as far as the search sees
    converged: bool  # whether attainable and guaranteed agree to 1e-5 of the first-best surplus
    iterates: dict  # "guaranteed" and "attainable" of each round, and "moves" of the design, (rounds, 2, G)

    @property
    def guaranteed(self) -> float:
        """αR + (1 − α)A of the design under its worst law: at least the nominal design's under its own."""
        return self.worst.objective

    @property
    def nominal_guaranteed(self) -> float:
        """αR + (1 − α)A of the nominal design under its worst law."""
        return self.nominal_worst.objective

    @property
    def is_nominal(self) -> bool:
        """Whether nothing better than the nominal design was found."""
        return not np.any(self.moves)

    def __str__(self) -> str:
        kept = "the nominal design is kept" if self.is_nominal else "the robust design is kept"
        ended = "converged" if self.converged else f"not converged: {self.attainable:.6g} may be attainable"
        return (
            f"{kept}: it guarantees {self.guaranteed:.6g}, the nominal one {self.nominal_guaranteed:.6g}; "
            f"{len(self.iterates['guaranteed'])} rounds, {ended}"
        )


def robust_design(market: Market, alpha: ArrayLike, radius: float, *, rounds: int = 20, seed: int = 0) -> RobustDesign:
    """The schedule that guarantees most when nature picks the worst laws in a ball around the market's.

    The exchange picks the laws it designs for, hence V and fees; nature answers with the worst law for that design, in
    the ball and by the measure of `worst_case_law`. Descent–ascent with memory: in each round the exchange raises the
    least it gets over all laws that nature has used, and nature adds its best reply. It ends when the reply leaves it
    that least. The best design seen is kept, the nominal one among them.

    Args:
      market: a Market, the centre of the ball.
      alpha: weight on revenue, in [0, 1].
      radius: of the ball, > 0.
      rounds: at most.
      seed: of the directions nature tries.

    Returns:
      RobustDesign.

    Raises:
      MarketError: alpha outside [0, 1], a radius not above 0, a market with outside options or a minimum revenue.
    """
    alpha = weight_of(market, alpha, "alpha")
    if market.outside is not None or market.minimum_revenue is not None:
        raise MarketError(
            "market has outside options or a minimum revenue: some market near it may have no mechanism that keeps "
            "every type or earns that; leave them out, or judge a schedule with worst_case_law"
        )
    if jnp.ndim(alpha) > 0:
        raise MarketError("market is a batch; design for one market at a time")
    _check_radius(radius)
    rounds, seed = whole_number("rounds", rounds, 1), whole_number("seed", seed)
    draws, still = np.random.default_rng(seed), np.zeros((2, market.groups))
    tolerance, used = _CLOSED * float(first_best_money(market)[1]), [still]

    def reply(design):
        schedule = side_payments(solve(_with_moves(market, design), alpha))
        return _worst_reply(schedule, market, alpha, radius, draws, used)

    designs, replies, attainable, best = _contest(market, alpha, reply, used, rounds, tolerance)
    # Laws used later may be worse for an early design than the reply to it: both that count are judged once more.
    by_value = {"key": lambda found: found.objective}
    nominal_worst, worst = (min(replies[k], reply(designs[k]), **by_value) for k in (0, best))
    best, worst = (0, nominal_worst) if worst.objective <= nominal_worst.objective else (best, worst)
    return RobustDesign(
        design=solve(_with_moves(market, designs[best]), alpha),
        moves=designs[best],
        worst=worst,
        nominal=solve(market, alpha),
        nominal_worst=nominal_worst,
        attainable=max(attainable[-1], worst.objective),
        converged=bool(attainable[-1] - worst.objective <= tolerance),
        iterates={
            "guaranteed": np.array([found.objective for found in replies]),
            "attainable": np.array(attainable),
            "moves": np.stack(designs),
        },
    )


def _contest(market, alpha, reply, used, rounds, tolerance):
    """Designs and nature's replies to them in turn, what might be attained by then, and the place of the best design.
    The moves that nature has made are added to `used`."""
    designs, replies, attainable = [used[0]], [], []
    while True:
        replies.append(reply(designs[-1]))
        best = max(range(len(replies)), key=lambda k: replies[k].objective)
        used.append(replies[-1].moves)
        least, design = _best_against(market, alpha, used, designs[best])
        attainable.append(max(least, replies[best].objective))
        if attainable[-1] - replies[best].objective <= tolerance or len(designs) > rounds:
            return designs, replies, attainable, best
        designs.append(design)


def _best_against(market, alpha, laws, start):
    """The design that gets most from the worst of some laws, (that least value, its moves): maximise v with
    value(design, law) ≥ v for each law, from a design that does well."""
    from scipy.optimize import minimize

    counts, shape = _known_counts(market), start.shape

    def above(x):
        rows = [_designed_slope(counts, market, alpha, x[:-1].reshape(shape), law) for law in laws]
        return np.array([float(found) for found, _ in rows]), np.stack([np.asarray(row).ravel() for _, row in rows])

    least = np.min(above(np.append(start, 0.0))[0])
    lift = np.append(np.zeros(start.size), 1.0)
    constraint = {
        "type": "ineq",
        "fun": lambda x: above(x)[0] - x[-1],
        "jac": lambda x: np.column_stack([above(x)[1], -np.ones(len(laws))]),
    }
    box = [(-_FARTHEST, _FARTHEST)] * start.size + [(None, None)]
    at = np.append(start, least)
    settings = {"method": "SLSQP", "bounds": box, "constraints": constraint, "options": {"ftol": 1e-10, "maxiter": 60}}
    end = minimize(lambda x: -x[-1], at, jac=lambda _: -lift, **settings).x
    reached = float(np.min(above(end)[0]))
    return (reached, end[:-1].reshape(shape)) if reached > least else (float(least), start)


@partial(compiled, static_argnums=0)
def _designed_slope(counts, market, alpha, design, law):
    """Objective of a design under a law, both given by moves, and its gradient in the design's."""

    def value(design):
        designed = _with_moves(_with_counts(market, counts), design)
        schedule = side_payments(replace(solve(designed, alpha), market=designed))
        return _secured_value(schedule, _with_moves(_with_counts(market, counts), law), alpha)[0]

    return jax.value_and_grad(value)(design)
