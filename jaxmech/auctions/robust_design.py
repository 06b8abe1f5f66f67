"""A schedule designed for the worst laws of a ball instead of the market's own."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.auctions.side_payments import side_payments
from jaxmech.auctions.worst_case import (
    FARTHEST,
    WorstCase,
    check_radius,
    known_counts,
    secured_value,
    with_counts,
    with_moves,
    worst_reply,
)
from jaxmech.inputs import MarketError, whole_number
from jaxmech.market.market import Market
from jaxmech.optimum.first_best import first_best_money
from jaxmech.optimum.mechanism import Mechanism
from jaxmech.optimum.solve import solve, weight_of
from jaxmech.plain import result
from jaxmech.programs import compiled

_CLOSED = 1e-5  # of the first-best surplus: when the guarantee and what could be guaranteed differ by less, it is over


@result("guaranteed", "nominal_guaranteed", "is_nominal")
class RobustDesign(NamedTuple):
    """A schedule designed for the worst law. Money in the unit of holding costs."""

    design: Mechanism  # optimal in the market that the exchange designs for; `side_payments(design)` is the schedule
    moves: np.ndarray  # of that market's laws, (2, G), as in `worst_case.moved`; 0: nothing beats the nominal design
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

    def __str__(self):
        kept = "the nominal design is kept" if self.is_nominal else "the robust design is kept"
        ended = "converged" if self.converged else f"not converged: {self.attainable:.6g} may be attainable"
        return (
            f"{kept}: it guarantees {self.guaranteed:.6g}, the nominal one {self.nominal_guaranteed:.6g}; "
            f"{len(self.iterates['guaranteed'])} rounds, {ended}"
        )


def robust_design(market: Market, alpha: ArrayLike, radius: float, *, rounds: int = 20, seed: int = 0) -> RobustDesign:
    """The schedule that guarantees most when nature picks the worst laws in a ball around the market's.

    The exchange picks the laws it designs for, hence V and fees; nature answers with the worst law for that design.
    Descent–ascent with memory: in each round the exchange raises the least it gets over all laws that nature has used,
    and nature adds its best reply. It ends when that least is what the reply leaves it. The best design seen is kept,
    the nominal one among them.

    Args:
      market: a Market, the centre of the ball.
      alpha: weight on revenue, in [0, 1].
      radius: of the ball, > 0.
      rounds: at most.
      seed: of the directions nature tries.

    Raises:
      MarketError: alpha outside [0, 1], a radius not above 0, or a law without moves (`moved`).
    """
    alpha = weight_of(market, alpha, "alpha")
    if jnp.ndim(alpha) > 0:
        raise MarketError("market is a batch; design for one market at a time")
    check_radius(radius)
    rounds, seed = whole_number("rounds", rounds, 1), whole_number("seed", seed)
    draws, still = np.random.default_rng(seed), np.zeros((2, market.groups))
    tolerance, used = _CLOSED * float(first_best_money(market)[1]), [still]

    def reply(design):
        schedule = side_payments(solve(with_moves(market, design), alpha))
        return worst_reply(schedule, market, alpha, radius, draws, used)

    designs, replies, attainable, best = _contest(market, alpha, reply, used, rounds, tolerance)
    # Laws used later may be worse for an early design than the reply to it: both that count are judged once more.
    by_value = {"key": lambda found: found.objective}
    nominal_worst, worst = (min(replies[k], reply(designs[k]), **by_value) for k in (0, best))
    best, worst = (0, nominal_worst) if worst.objective <= nominal_worst.objective else (best, worst)
    return RobustDesign(
        design=solve(with_moves(market, designs[best]), alpha),
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

    counts, shape = known_counts(market), start.shape

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
    box = [(-FARTHEST, FARTHEST)] * start.size + [(None, None)]
    at = np.append(start, least)
    settings = {"method": "SLSQP", "bounds": box, "constraints": constraint, "options": {"ftol": 1e-10, "maxiter": 60}}
    end = minimize(lambda x: -x[-1], at, jac=lambda _: -lift, **settings).x
    reached = float(np.min(above(end)[0]))
    return (reached, end[:-1].reshape(shape)) if reached > least else (float(least), start)


@partial(compiled, static_argnums=0)
def _designed_slope(counts, market, alpha, design, law):
    """Objective of a design under a law, both given by moves, and its gradient in the design's."""

    def value(design):
        designed = with_moves(with_counts(market, counts), design)
        schedule = side_payments(replace(solve(designed, alpha), market=designed))
        return secured_value(schedule, with_moves(with_counts(market, counts), law), alpha)[0]

    return jax.value_and_grad(value)(design)
