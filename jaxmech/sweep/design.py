"""What is swept: names of parameters, grids, zipped lists and random designs over them, and their cut into chunks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

import jax
import numpy as np

from jaxmech.inputs import one_number, real_numbers, whole_number
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.market.parameters import market_with, named_parameter, refuse_overlaps, valid_market
from jaxmech.plain import result
from jaxmech.programs import compiled

KINDS = ("grid", "zip", "random")
_DIGITS = 30  # to round to 17 once they are computed
_LEAST, _MOST, _CHUNKS = 4096, 65536, 32  # points a chunk, between the ends: a 32nd of the sweep


@result()
@dataclass(frozen=True)
class Range:
    """An interval that a random design draws from, evenly, or evenly in logarithms; or that a grid takes `values` of.

    Args:
      low, high: ends, low < high.
      log: evenly in log; needs low > 0.
    """

    low: float
    high: float
    log: bool = False

    def at(self, unit: np.ndarray) -> np.ndarray:
        """Values at places in [0, 1)."""
        if self.log:
            return self.low * (self.high / self.low) ** unit
        return self.low + (self.high - self.low) * unit

    def values(self, count: int) -> np.ndarray:
        """Evenly spaced numbers from low to high, shape (count,): Range(0, 1).values(11) has 0.3, where sums of 0.1 and
        `np.linspace` have 0.30000000000000004. Each is the float nearest to the exact number, the ends being decimals.

        Raises:
          MarketError: a count that is no whole number ≥ 1, an end that is no finite number, or log and an end ≤ 0.
        """
        last = max(whole_number("count", count, 1) - 1, 1)
        low, high = (one_number(f"{name} of {self!r}", getattr(self, name)) for name in ("low", "high"))
        if self.log and min(low, high) <= 0:
            raise MarketError(f"{self!r}: a logarithmic scale needs numbers above 0")
        with localcontext(prec=_DIGITS):
            low, high = Decimal(repr(low)), Decimal(repr(high))
            if self.log:
                return np.array([float(low * (high / low) ** (Decimal(k) / last)) for k in range(count)])
            return np.array([float(low + (high - low) * k / last) for k in range(count)])


@dataclass(frozen=True)
class Draws:
    """A column of a random design. Number k depends on seed, place and k alone: a block of it costs only itself."""

    source: Range | np.ndarray  # a Range, or the values to choose from
    points: int  # length of the column
    seed: int  # of the design
    place: int  # of the column in the design; columns are independent

    def __len__(self):
        return self.points

    def __getitem__(self, points):
        """The numbers at an array of points."""
        first = int(np.min(points))
        bits = np.random.PCG64([self.seed, self.place])
        bits.advance(first)
        unit = np.random.Generator(bits).random(int(np.max(points)) - first + 1)[points - first]
        if isinstance(self.source, Range):
            return self.source.at(unit)
        return self.source[(unit * len(self.source)).astype(int)]


@dataclass(frozen=True)
class Design:
    """Points of a sweep over one market, addressed by number; nothing is stored per point.

    Points lie in a rectangle, α along its rows and markets along its columns, and are numbered along its rows; lists
    read together and draws are one row. Chunks are blocks of the rectangle, numbered alike: a piece of work that needs
    no other, because w* of a market is found within it.
    """

    market: Market
    kind: str
    alpha: np.ndarray | Draws
    parameters: tuple  # of Parameter
    values: tuple  # one column a parameter
    chunk_shape: tuple  # rows and columns of a chunk

    @property
    def columns(self) -> dict:
        """Values of α and of the parameters, by name."""
        return {"alpha": self.alpha} | dict(zip([p.name for p in self.parameters], self.values, strict=True))

    @property
    def dims(self) -> dict:
        """Swept dimensions and their lengths: α first, then the parameters; or "point" alone."""
        if self.kind != "grid":
            return {"point": len(self.alpha)}
        return {name: len(column) for name, column in self.columns.items()}

    @property
    def points(self) -> int:
        return math.prod(self.dims.values())

    @property
    def shape(self) -> tuple:
        """Rows and columns of the rectangle of points."""
        rows = len(self.alpha) if self.kind == "grid" else 1
        return rows, self.points // rows

    @property
    def markets(self) -> int:
        """Different markets: in a grid, α does not make a new one, and w* is found once for each in a chunk."""
        return self.shape[1]

    @property
    def chunks(self) -> int:
        return -(-self.shape[0] // self.chunk_shape[0]) * self.chunks_across

    @property
    def chunks_across(self) -> int:
        """Chunks along the columns."""
        return -(-self.shape[1] // self.chunk_shape[1])

    def chunk_place(self, chunk):
        """Place of a chunk among the chunks: row and column."""
        return divmod(chunk, self.chunks_across)

    def block(self, chunk):
        """The chunk's rows and columns, two slices."""
        places = zip(self.chunk_place(chunk), self.chunk_shape, self.shape, strict=True)
        return tuple(slice(place * size, min((place + 1) * size, end)) for place, size, end in places)

    def chunk_points(self, chunk):
        """Numbers of the chunk's points, shape (rows, columns)."""
        rows, columns = self.block(chunk)
        return np.arange(rows.start, rows.stop)[:, None] * self.markets + np.arange(columns.start, columns.stop)

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

    def coordinates_of(self, point) -> dict:
        """α and the parameters of one point, by name."""
        points = np.array([point])
        values = np.vstack([self.alpha_of(points), self.parameter_values(self.market_of(points))])[:, 0]
        return dict(zip(self.columns, values.tolist(), strict=True))

    def market_at(self, values):
        """The batch of markets, groups first, at parameter values (parameters, B)."""
        return _market_with(self.market, self.parameters, values)

    def valid(self, alpha, values):
        """Which points are markets at all: the rules of `Market.of` and α in [0, 1], as data. Host only."""
        return (alpha >= 0) & (alpha <= 1) & valid_market(self.market_at(values))


_market_with = compiled(market_with, static_argnames="parameters")


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
    if "alpha" in over:
        raise MarketError("over has 'alpha', which is no number of the market; give its values as alpha")
    parameters = tuple(named_parameter(name, market) for name in over)
    refuse_overlaps(parameters)
    given = {"alpha": alpha} | over
    if kind == "random":
        columns = _drawn(given, points, seed)
    else:
        columns = {name: _column(name, values) for name, values in given.items()}
        if kind == "zip":
            columns = _of_one_length(columns)
    _check_alpha(columns["alpha"])
    alpha, *values = columns.values()
    whole = Design(market, kind, alpha, parameters, tuple(values), ())
    return replace(whole, chunk_shape=_chunk_shape(*whole.shape, market))


def numbers_a_group(market):
    """How many numbers the kernel holds of each group: a few for laws in closed form, tables for others."""
    law = jax.eval_shape(lambda: market.endowment.resolved())
    return sum(leaf.size for leaf in jax.tree.leaves(law)) // market.groups


def _chunk_shape(rows, columns, market):
    """Rows and columns of a chunk: whole columns, so that w* is found once, unless there are very many α.

    The same on every machine, so that one can go on with what another began. Less where a point costs more.
    """
    points = min(_MOST, max(_LEAST, 1 << (rows * columns // _CHUNKS).bit_length()))
    points = min(points // (1 + numbers_a_group(market) // 32), 2**20 // market.groups)
    rows = min(rows, max(points, 1))
    return rows, min(columns, max(points // rows, 1))


def _column(name, values):
    if isinstance(values, Range):
        raise MarketError(f"{name} is a Range; ranges belong to design='random', a grid needs its .values(COUNT)")
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
    columns = {}
    for place, (name, values) in enumerate(given.items()):
        if isinstance(values, Range):
            _check_range(name, values)
        else:
            values = _column(name, values)
        columns[name] = Draws(values, points, seed, place)
    return columns


def _check_range(name, values):
    low, high = (one_number(f"an end of the Range of {name}", end) for end in (values.low, values.high))
    if not low < high:
        raise MarketError(f"Range of {name} is [{values.low}, {values.high}]; low must lie below high")
    if values.log and values.low <= 0:
        raise MarketError(f"Range of {name} starts at {values.low}; a logarithmic range needs low > 0")


def _check_alpha(alpha):
    if isinstance(alpha, Draws):
        alpha = alpha.source
    if isinstance(alpha, Range):
        alpha = np.array([alpha.low, alpha.high])
    bad = ~((alpha >= 0) & (alpha <= 1))
    if np.any(bad):
        raise MarketError(f"alpha is {alpha[bad][0]:g} in the sweep; it must lie in [0, 1]")
