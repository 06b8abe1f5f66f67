"""How many traders it takes."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.derivatives.answers import answers
from jaxmech.derivatives.named_outcomes import named_outcome, outcome_rows
from jaxmech.inputs import MarketError, one_number, whole_number
from jaxmech.market.market import Market, checked_market
from jaxmech.market.parameters import market_with, named_parameter
from jaxmech.optimum.solve import weight_of
from jaxmech.plain import result

_BATCH = 64  # counts a call


@result()
class LeastCompetition(NamedTuple):
    """The least number of traders of a group at which an outcome reaches a target."""

    group: str
    outcome: str
    target: float
    most: int  # the largest number tried
    count: int | None  # None where no number up to the largest allowed reaches the target
    value: float  # of the outcome at that number; the largest on the grid where none reaches it
    value_below: float  # with one trader less; NaN where there cannot be fewer
    monotone: bool  # whether the outcome never turns on the grid; if it does, every whole number was tried

    def __str__(self):
        if self.count is None:
            return (
                f"{self.outcome} does not reach {self.target:g} with up to {self.most} of {self.group}: "
                f"{self.value:.9g} at most"
            )
        fewer = "there cannot be fewer" if np.isnan(self.value_below) else f"{self.value_below:.9g} with one less"
        return f"{self.outcome} = {self.value:.9g} with {self.count} of {self.group}; {fewer}"


def least_competition(
    market: Market, alpha: ArrayLike, group: str, outcome: str, target: float, most: int = 10_000
) -> LeastCompetition:
    """The least whole number of traders in a group at which an outcome is at least the target.

    Tried on a geometric grid first; where the outcome rises or falls all along it, the place is closed in on, and
    elsewhere every whole number is tried from the fewest up.

    Args:
      market: a Market; the other groups keep their counts.
      alpha: weight on revenue, in [0, 1].
      group: name of the group.
      outcome: name of an outcome, such as "efficiency_share" (`outcome_names`).
      target: what it is to be at least, in the outcome's unit.
      most: largest number of traders allowed.

    Returns:
      LeastCompetition, its values found by solving the markets with these whole numbers.

    Raises:
      MarketError: no such group or outcome, a target that is no number, `most` below the fewest there can be.
    """
    if jnp.ndim(checked_market(market).risk_capacity) > 1:
        raise MarketError("market is a batch; ask for one market at a time")
    if not isinstance(group, str) or group not in market.names:
        raise MarketError(f"group {group!r} is not in this market; choose one of {', '.join(market.names)}")
    row, alpha = named_outcome(outcome, market).row, float(weight_of(market, alpha, "alpha"))
    target = one_number("target", target)
    others = float(np.sum(np.asarray(market.count))) - float(market.count[market.names.index(group)])
    fewest = 1 if others >= 1 else 2
    most = whole_number("most", most, fewest)
    parameter = named_parameter(f"{group}.count", market)

    def values(counts):
        """The outcome at up to 64 counts; NaN where the solver fails."""
        filled = np.pad(np.asarray(counts, float), (0, _BATCH - len(counts)), mode="edge")
        markets = market_with(market, (parameter,), jnp.asarray(filled)[None])
        found = answers(markets, alpha)
        return np.where(found.solved, outcome_rows(found, markets)[row], np.nan)[: len(counts)]

    grid = _spread(np.geomspace(fewest, most, _BATCH))
    at_grid = values(grid)
    monotone = _never_turns(at_grid)
    count = _closed_in_on(values, grid, at_grid, target) if monotone else _first(values, fewest, most, target)
    if count is None:
        return LeastCompetition(group, outcome, float(target), most, None, float(np.nanmax(at_grid)), np.nan, monotone)
    below, value = values([max(count - 1, fewest), count])
    below = below if count > fewest else np.nan
    return LeastCompetition(group, outcome, float(target), most, count, float(value), float(below), monotone)


def _spread(numbers):
    return np.unique(np.round(numbers).astype(int))


def _never_turns(values):
    """Whether a row rises all along or falls all along, rounding aside."""
    steps, rounding = np.diff(values), 1e-10 * np.max(np.abs(values))
    return bool(np.all(steps >= -rounding) or np.all(steps <= rounding))


def _closed_in_on(values, grid, at_grid, target):
    """The first whole number that reaches the target, where the outcome is monotone; None if none does."""
    while True:
        reaching = at_grid >= target
        if not np.any(reaching):
            return None
        first = int(np.argmax(reaching))
        if first == 0 or grid[first] == grid[first - 1] + 1:
            return int(grid[first])
        grid = _spread(np.linspace(grid[first - 1], grid[first], _BATCH))
        at_grid = values(grid)


def _first(values, fewest, most, target):
    """The first whole number that reaches the target, trying all; None if none does."""
    for start in range(fewest, most + 1, _BATCH):
        counts = np.arange(start, min(start + _BATCH, most + 1))
        reaching = values(counts) >= target
        if np.any(reaching):
            return int(counts[np.argmax(reaching)])
    return None
