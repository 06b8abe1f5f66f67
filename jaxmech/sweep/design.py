"""What is swept: names of parameters, and grids, zipped lists and random designs over them."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxmech.market import Market, MarketError, checked_market
from jaxmech.parameters import market_with, named_parameter, valid_market
from jaxmech.tables import one_number, real_numbers, whole_number

KINDS = ("grid", "zip", "random")


@dataclass(frozen=True)
class Range:
    """An interval that a random design draws from, evenly, or evenly in logarithms.

    Args:
      low, high: ends, low < high.
      log: draw evenly in log; needs low > 0.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Design:
    """Points of a sweep over one market, addressed by number; nothing is stored per point but random draws."""

    market: Market
    kind: str
    alpha: np.ndarray
    parameters: tuple  # of Parameter
    values: tuple  # one array a parameter

    @property
    def dims(self) -> dict:
        """Swept dimensions and their lengths: α first, then the parameters; or "point" alone."""
        if self.kind != "grid":
            return {"point": len(self.alpha)}
        return {"alpha": len(self.alpha)} | {p.name: len(v) for p, v in zip(self.parameters, self.values, strict=True)}

    @property
    def points(self) -> int:
        return int(np.prod(list(self.dims.values())))

    @property
    def markets(self) -> int:
        """Different markets: in a grid, α does not make a new one, and w* is found once for each."""
        return self.points // len(self.alpha) if self.kind == "grid" else self.points

    def market_of(self, point):
        """Market number of each point."""
        return point % self.markets

    def alpha_of(self, point):
        """α of each point."""
        return self.alpha[point // self.markets] if self.kind == "grid" else self.alpha[point]

    def parameter_values(self, market):
        """Values of the parameters at the given market numbers, shape (parameters, len(market))."""
        if not self.parameters:
            return np.zeros((0, len(market)))
        if self.kind != "grid":
            return np.stack([values[market] for values in self.values])
        places = np.unravel_index(market, [len(values) for values in self.values])
        return np.stack([values[place] for values, place in zip(self.values, places, strict=True)])

    def market_at(self, values):
        """The batch of markets, groups first, at parameter values (parameters, B). Works on tracers."""
        return market_with(self.market, self.parameters, values)

    def valid(self, alpha, values):
        """Which points are markets at all: the rules of `Market.of` and α in [0, 1], as data. Host only."""
        return (alpha >= 0) & (alpha <= 1) & valid_market(self.market_at(jnp.asarray(values)))


def make_design(market, alpha, over=None, kind="grid", points=None, seed=0) -> Design:
    """Check the description of a sweep and make its design. See `sweep` for the arguments.

    Raises:
      MarketError: names what is wrong, before anything is compiled.
    """
    if not isinstance(over or {}, Mapping):
        raise MarketError(f"over is {over!r}; give values by name, such as {{'all.risk_capacity.factor': [0.5, 1, 2]}}")
    over = dict(over or {})
    checked_market(market)
    if not isinstance(kind, str) or kind not in KINDS:
        raise MarketError(f"design {kind!r} is unknown; choose one of {', '.join(KINDS)}")
    parameters = tuple(named_parameter(name, market) for name in over)
    given = {"alpha": alpha} | over
    if kind == "random":
        columns = _drawn(given, points, seed)
    else:
        columns = {name: _column(name, values) for name, values in given.items()}
        if kind == "zip":
            columns = _of_one_length(columns)
    _check_alpha(columns["alpha"])
    return Design(market, kind, columns["alpha"], parameters, tuple(columns[name] for name in over))


def _column(name, values):
    if isinstance(values, Range):
        raise MarketError(f"{name} is a Range; ranges belong to design='random', a grid needs values")
    column = np.atleast_1d(real_numbers(f"values of {name}", values, "numbers"))
    if column.ndim != 1 or column.size == 0:
        raise MarketError(f"values of {name} have shape {column.shape}; the sweep is empty or not a list: give numbers")
    return column


def _of_one_length(columns):
    length = max(len(column) for column in columns.values())
    for name, column in columns.items():
        if len(column) not in (1, length):
            raise MarketError(f"{name} has {len(column)} values in a zipped sweep of {length}; lists must match")
    return {name: np.broadcast_to(column, (length,)) for name, column in columns.items()}


def _drawn(given, points, seed):
    points, seed = whole_number("points", points, 1), whole_number("seed", seed)
    generator = np.random.default_rng(seed)
    columns = {}
    for name, values in given.items():
        if not isinstance(values, Range):
            columns[name] = generator.choice(_column(name, values), points)
            continue
        low, high = (one_number(f"an end of the Range of {name}", end) for end in (values.low, values.high))
        if not low < high:
            raise MarketError(f"Range of {name} is [{values.low}, {values.high}]; low must lie below high")
        if values.log and values.low <= 0:
            raise MarketError(f"Range of {name} starts at {values.low}; a logarithmic range needs low > 0")
        drawn = generator.random(points)
        ratio = values.high / values.low if values.log else None
        columns[name] = values.low * ratio**drawn if values.log else values.low + (values.high - values.low) * drawn
    return columns


def _check_alpha(alpha):
    bad = ~((alpha >= 0) & (alpha <= 1))
    if np.any(bad):
        raise MarketError(f"alpha is {alpha[bad][0]:g} in the sweep; it must lie in [0, 1]")
