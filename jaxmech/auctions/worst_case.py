"""Laws that are worst for a schedule within a ball of moments.

The distance of a market from another with laws of the same families is √Σ_g [((μ_g − μ⁰_g)/σ⁰_g)² + log²(σ_g/σ⁰_g)].

What a schedule is worth elsewhere is αR + (1 − α)A with revenue *secured*: where some type would lose by participating,
its group's fee is cut by the largest loss of any type, for all of its traders, so that everybody still participates
and the allocation is as designed. Gains beyond what was promised are not taken back. Secured revenue may be negative.
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
from jaxmech.auctions.side_payments import SidePayments
from jaxmech.endowments import Beta, SideBySide, TruncatedNormal, Uniform
from jaxmech.inputs import MarketError, whole_number
from jaxmech.market.market import Market, checked_market
from jaxmech.optimum.solve import weight_of
from jaxmech.plain import result
from jaxmech.programs import compiled

FARTHEST = 3.0  # how far a move of a law's parameters may go, see `moved`
_TRIED = 64  # directions in which nature looks first
_FOLLOWED = 4  # of them, the worst, from which it goes on


@result()
class WorstCase(NamedTuple):
    """The worst law found for a schedule. Money in the unit of holding costs."""

    market: Market  # with the worst laws
    objective: float  # αR + (1 − α)A there, revenue secured
    revenue: float  # secured
    efficiency: float
    least_gain: np.ndarray  # (G,), of one type before fees are cut
    distance: float  # of the market from the centre of the ball, at most its radius
    moves: np.ndarray  # (2, G), as in `moved`


def moved(law, moves):
    """A law with its parameters moved; zero moves leave it.

        Uniform: middle + sd·x₀, width·exp x₁.   TruncatedNormal: loc + sd·x₀, scale·exp x₁.   Beta: a·exp x₀, b·exp x₁.

    Supports are fixed but for uniform laws, sd is the law's own standard deviation.

    Args:
      law: endowment law of the G groups.
      moves: x, shape (2, G).

    Raises:
      MarketError: a law of another family.
    """
    if isinstance(law, SideBySide):
        ends = np.cumsum([part.lower.shape[0] for part in law.laws])[:-1]
        pieces = jnp.split(jnp.asarray(moves), ends, axis=1)
        return SideBySide(tuple(moved(part, piece) for part, piece in zip(law.laws, pieces, strict=True)))
    first, second = moves
    if isinstance(law, Beta):
        return replace(law, a=law.a * jnp.exp(first), b=law.b * jnp.exp(second))
    shift, stretch = jnp.sqrt(law.variance) * first, jnp.exp(second)
    if isinstance(law, TruncatedNormal):
        return replace(law, loc=law.loc + shift, scale=law.scale * stretch)
    if isinstance(law, Uniform):
        middle, half = 0.5 * (law.lower + law.upper) + shift, 0.5 * law.width * stretch
        return Uniform(middle - half, middle + half)
    raise MarketError(f"endowment is {type(law).__name__}; worst cases need Uniform, TruncatedNormal or Beta laws")


def squared_distance(law, other):
    """Squared distance of one law of all groups from another, in the other's standard deviations: see the module."""
    shift = (law.mean - other.mean) ** 2 / other.variance
    return total(shift + 0.25 * jnp.log(law.variance / other.variance) ** 2)


def worst_case_law(
    side_payments: SidePayments,
    radius: float,
    *,
    market: Market | None = None,
    alpha: ArrayLike | None = None,
    seed: int = 0,
) -> WorstCase:
    """The laws within a ball of moments under which a schedule does worst (see the module for what that means).

    Nature looks in many directions and goes on from the worst by sequential quadratic programming with exact gradients.
    A law that is worse still cannot be ruled out: the objective has kinks, and is not convex.

    Args:
      side_payments: SidePayments.
      radius: of the ball, > 0; 0.1 moves one group's mean by a tenth of its standard deviation.
      market: the centre of the ball; the market the schedule is designed for, unless given.
      alpha: weight on revenue; that of the design, unless given.
      seed: of the directions tried.

    Raises:
      MarketError: not a schedule, a radius not above 0, or a law without moves (`moved`).
    """
    if not isinstance(side_payments, SidePayments):
        raise MarketError(f"side_payments is {type(side_payments).__name__}; make one with side_payments(mechanism)")
    check_radius(radius)
    seed = whole_number("seed", seed)
    centre = checked_market(side_payments.design.market if market is None else market)
    if jnp.shape(centre.count) != jnp.shape(side_payments.design.market.count):
        raise MarketError(f"market has {centre.groups} groups, the schedule {side_payments.design.market.groups}")
    alpha = side_payments.design.alpha if alpha is None else weight_of(centre, alpha, "alpha")
    moved(centre.endowment, np.zeros((2, centre.groups)))
    return worst_reply(side_payments, centre, alpha, radius, np.random.default_rng(seed), [])


def worst_reply(schedule, centre, alpha, radius, draws, also):
    """Nature's reply: the worst of `also` and of random directions, followed to a local worst in the ball."""
    from scipy.optimize import minimize

    shape, counts = (2, centre.groups), known_counts(centre)

    def value(x):
        (found, _), slope = _secured_slope(counts, schedule, centre, alpha, x.reshape(shape))
        return float(found), np.asarray(slope).ravel()

    def room(x):
        square, slope = _distance_slope(centre.endowment, x.reshape(shape))
        return radius**2 - float(square), -np.asarray(slope).ravel()

    def inside(x):
        """x drawn back towards the centre until it is in the ball."""
        while room(x)[0] < 0:
            x = x * min(radius / np.sqrt(radius**2 - room(x)[0]), 1 - 1e-12)
        return x

    axes = np.concatenate([np.eye(2 * centre.groups), -np.eye(2 * centre.groups)])
    tried = [*axes, *draws.standard_normal((_TRIED, 2 * centre.groups))]
    tried = [x / np.linalg.norm(x) * min(2 * radius, FARTHEST) for x in tried]
    tried = [inside(x) for x in [*tried, *(np.ravel(x) for x in also)]]
    ball = {"type": "ineq", "fun": lambda x: room(x)[0], "jac": lambda x: room(x)[1]}
    box = [(-FARTHEST, FARTHEST)] * (2 * centre.groups)
    settings = {"method": "SLSQP", "jac": True, "bounds": box, "constraints": ball, "options": {"ftol": 1e-12}}
    followed = sorted(tried, key=lambda x: value(x)[0])[:_FOLLOWED]
    ends = [inside(minimize(value, x, **settings).x) for x in followed]
    x = min([*followed, *ends], key=lambda x: value(x)[0]).reshape(shape)
    (found, (revenue, efficiency, gain)), _ = _secured_slope(counts, schedule, centre, alpha, x)
    there, far = with_moves(centre, x), np.sqrt(_distance_slope(centre.endowment, x)[0])
    return WorstCase(there, float(found), float(revenue), float(efficiency), np.asarray(gain), float(far), x)


@partial(compiled, static_argnums=0)
def _secured_slope(counts, schedule, centre, alpha, moves):
    def value(moves):
        known = replace(schedule.design, market=with_counts(schedule.design.market, counts))
        return secured_value(replace(schedule, design=known), with_moves(with_counts(centre, counts), moves), alpha)

    return jax.value_and_grad(value, has_aux=True)(moves)


def secured_value(schedule, market, alpha):
    """αR + (1 − α)A with revenue secured, and R, A and the least gains."""
    there = robustness(schedule, market)
    revenue = there.revenue + total(market.count * jnp.minimum(there.least_gain, 0.0))
    return alpha * revenue + (1 - alpha) * there.efficiency, (revenue, there.efficiency, there.least_gain)


@compiled
def _distance_slope(law, moves):
    return jax.value_and_grad(lambda moves: squared_distance(moved(law, moves), law))(moves)


def with_moves(market, moves):
    return replace(market, endowment=moved(market.endowment, moves))


def known_counts(market):
    return tuple(np.asarray(market.count).tolist())


def with_counts(market, counts):
    """The market with counts that are numbers while JAX traces: schedules need them."""
    return replace(market, count=np.asarray(counts))


def check_radius(radius):
    if isinstance(radius, bool) or not isinstance(radius, Real) or not 0 < radius <= 2:
        raise MarketError(f"radius is {radius!r}; give a number above 0, at most 2")
