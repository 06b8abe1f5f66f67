"""A market at many weights and settings of one or two numbers, solved as one batch, and what lies between them.

In the weight w the frontier is the quintic with values, slopes and curvatures of H(w) = max wR + (1 − w)A at the nodes
(theory §12); along the parameters it, and everything else along w too, is the polynomial through Chebyshev's nodes
(Lobatto's, so that the ends are among them), by the barycentric formula. What that misses is measured at places between
the nodes and told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.arrays import on_device
from jaxmech.auctions.double_auction import double_auction
from jaxmech.derivatives.frontier_trace import prepared_for, quintic, solved
from jaxmech.explorer.knobs import Knob
from jaxmech.explorer.series import curves, densities, summary
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market
from jaxmech.market.parameters import is_signed, market_with
from jaxmech.optimum.outcomes import outcomes
from jaxmech.optimum.solve import solve
from jaxmech.plain import result
from jaxmech.programs import compiled

WEIGHTS = 10  # nodes in w
SETTINGS = {0: 1, 1: 9, 2: 7}  # nodes along each number, by how many numbers there are
SIDE = 10  # points of a curve on either side of the binding interval
MOST_NUMBERS = 700_000  # of a table: in base 64 and single precision 3.7 MB
HELD_OUT = 384
SAFETY = 3.0  # how far the bound lies above the largest error that is seen
_LANES = 96  # solved at once
HALVINGS = 50
_MONEY = ("revenue", "efficiency", "curvature")


@result(without=("table", "flat", "money"))
@dataclass(frozen=True)
class Grid:
    """Tables of a market over weights and settings. Made by `grid_of`; arrays of NumPy.

    W weights, P and Q settings of the first and the second number: 1 where there is none.
    """

    market: Market
    knobs: tuple[Knob, ...]  # none, one or two
    weights: np.ndarray  # (W,), nodes in [0, 1]
    settings: tuple[np.ndarray, np.ndarray]  # nodes along the numbers, (P,) and (Q,), in `scaled` coordinates
    money: np.ndarray  # (3, W, P, Q): R, A and H''
    spec: dict[str, tuple[int, ...]]  # shapes of what a row of the table holds, by name, in order
    table: np.ndarray  # (W, P, Q, numbers), single precision
    flat_spec: dict[str, tuple[int, ...]]  # the same of what does not depend on the weight
    flat: np.ndarray  # (P, Q, numbers)
    bounds: dict[str, float]  # largest error of each, in its own unit, between nodes
    held_out: int  # places that the bounds were measured at

    @property
    def minimum_revenue(self) -> float:
        """R_min, money."""
        least = self.market.minimum_revenue
        return 0.0 if least is None else float(np.asarray(least))

    def at(self, alpha: float, *numbers: float) -> dict[str, Any] | None:
        """What a page shows at an α and these numbers; None where no weight earns the minimum revenue.

        The same arithmetic as that of the page.
        """
        numbers = [float(scaled(knob, x)) for knob, x in zip(self.knobs, numbers, strict=True)]
        numbers += [0.0] * (2 - len(numbers))
        shares = [barycentric(nodes, x) for nodes, x in zip(self.settings, numbers, strict=True)]
        share = np.outer(*shares)
        told = _reached(self.money, self.weights, share, np.float64(alpha), self.minimum_revenue)
        weight, least, revenue, efficiency = map(float, told)
        if np.isnan(weight):
            return None
        row = np.tensordot(barycentric(self.weights, weight), self.table.astype(float), axes=1)
        found = unpacked(np.tensordot(share, row, axes=2), self.spec)
        found |= unpacked(np.tensordot(share, self.flat.astype(float), axes=2), self.flat_spec)
        return found | {"revenue": revenue, "efficiency": efficiency, "weight": weight, "budget_weight": least}


@compiled
def _reached(money, nodes, share, alpha, least):
    """(w, w*, R, A) at α; NaN where revenue is below the least at every weight. See `Grid`."""

    def money_at(weight):
        """R and A: of each setting by its quintic, and of those the mean by shares."""
        cell = jnp.clip(jnp.searchsorted(nodes, weight, side="right") - 1, 0, len(nodes) - 2)
        value, slope = quintic(*((nodes[k], *money[:, k]) for k in (cell, cell + 1)), weight)
        return jnp.sum(share * (value + (1 - weight) * slope)), jnp.sum(share * (value - weight * slope))

    def halved(_, bracket):
        middle = 0.5 * (bracket[0] + bracket[1])
        enough = money_at(middle)[0] >= least
        return jnp.where(enough, bracket[0], middle), jnp.where(enough, middle, bracket[1])

    _, found = lax.fori_loop(0, HALVINGS, halved, (jnp.zeros_like(alpha), jnp.ones_like(alpha)))
    found = jnp.where(money_at(0.0)[0] >= least, 0.0, jnp.where(money_at(1.0)[0] >= least, found, jnp.nan))
    weight = jnp.maximum(alpha, found)
    return weight, found, *money_at(weight)


def grid_of(market: Market, knobs: Sequence[Knob] = ()) -> Grid:
    """Solve a market at all nodes and measure what interpolation misses.

    Raises:
      MarketError: more than two knobs, welfare weights (they bring a second weight), or a node whose optimum is not
        certified, such as a market that cannot be.
    """
    if len(knobs) > 2 or len({knob.name for knob in knobs}) < len(knobs):
        raise MarketError(f"{len(knobs)} parameters: give at most two, each once")
    if market.welfare_weight is not None and np.any(np.asarray(market.welfare_weight)):
        raise MarketError("the market has welfare weights, for which one weight is not enough; report it without them")
    parameters, names = tuple(knob.parameter for knob in knobs), [knob.name for knob in knobs]
    weights = lobatto(WEIGHTS, 0.0, 1.0)
    settings, nodes = _settings(market, parameters, knobs)
    found = _in_lanes(_node, market, parameters, nodes[0], nodes[1:])
    if not np.all(found["certified"]):
        place = nodes[1:, int(np.argmin(found["certified"]))]
        at = ", ".join(f"{name} = {value:.4g}" for name, value in zip(names, place, strict=True)) or "this market"
        raise MarketError(f"{at}: no certified optimum; choose a range of markets that can be, and be solved")
    shape = (len(weights), *map(len, settings))
    money = np.stack([found.pop(name).reshape(shape) for name in _MONEY])
    del found["certified"]
    flat = _in_lanes(_setting, market, parameters, None, nodes[1:, : shape[1] * shape[2]])
    spec, flat_spec = _spec(found), _spec(flat)
    table, flat = packed(found, shape), packed(flat, shape[1:])
    grid = Grid(market, tuple(knobs), weights, settings, money, spec, table, flat_spec, flat, {}, HELD_OUT)
    return Grid(**vars(grid) | {"bounds": {name: SAFETY * miss for name, miss in missed(grid, HELD_OUT).items()}})


def _settings(market, parameters, knobs):
    """Nodes along the numbers, as many as the table has room for, and all nodes, (1 + parameters, W P Q)."""
    size = 1 if not knobs else SETTINGS[len(knobs)]
    row = market.groups * (24 * SIDE + 8) + 5
    while knobs and size > 4 and WEIGHTS * size ** len(knobs) * row > MOST_NUMBERS:
        size -= 1
    along = [lobatto(size, float(scaled(knob, knob.low)), float(scaled(knob, knob.high))) for knob in knobs]
    values = [np.exp(nodes) if logarithmic(knob) else nodes for knob, nodes in zip(knobs, along, strict=True)]
    axes = np.meshgrid(lobatto(WEIGHTS, 0.0, 1.0), *values, indexing="ij")
    return (*along, *[np.zeros(1)] * (2 - len(along))), np.stack([axis.ravel() for axis in axes])


def logarithmic(knob: Knob) -> bool:
    """Whether it is interpolated in the number's logarithm: money goes like its powers, which have no
    pole there."""
    return knob.low > 0 and not is_signed(knob.parameter.field)


def scaled(knob: Knob, value: float) -> float:
    """The value, or its logarithm."""
    return np.log(value) if logarithmic(knob) else value


def missed(grid: Grid, places: int, seed: int = 0) -> dict[str, float]:
    """The largest error of everything interpolated, by name, at random places where there is an optimum."""
    random = np.random.default_rng(seed)
    low, high = ([getattr(knob, end) for knob in grid.knobs] for end in ("low", "high"))
    points = random.uniform([0.0, *low], [1.0, *high], (places, 1 + len(low))).T
    true = truth(grid, points)
    worst = dict.fromkeys([*true], 0.0)
    for k in np.flatnonzero(true.pop("certified")):
        found = grid.at(*map(float, points[:, k]))
        for name, values in true.items():
            off = np.inf if found is None else float(np.max(np.abs(found[name] - values[k])))
            worst[name] = max(worst[name], off)
    worst.pop("certified")
    return worst


def truth(grid: Grid, points: np.ndarray) -> dict[str, np.ndarray]:
    """What the solver says at places (1 + parameters, places): α, and the numbers; places in front."""
    parameters = tuple(knob.parameter for knob in grid.knobs)
    return _in_lanes(_place, grid.market, parameters, points[0], points[1:])


def lobatto(size: int, low: float, high: float) -> np.ndarray:
    """Chebyshev's nodes with the ends, rising; the middle for one."""
    if size == 1:
        return np.array([0.5 * (low + high)])
    nodes = low + (high - low) * 0.5 * (1 - np.cos(np.pi * np.arange(size) / (size - 1)))
    nodes[-1] = high
    return nodes


def barycentric(nodes: np.ndarray, x: float) -> np.ndarray:
    """Shares of the values at Chebyshev's nodes with the ends in the value at x of the polynomial through them."""
    if len(nodes) == 1:
        return np.ones(1)
    off = x - nodes
    if np.any(off == 0):
        return (off == 0).astype(float)
    signs = np.where(np.arange(len(nodes)) % 2, -1.0, 1.0)
    signs[[0, -1]] *= 0.5
    share = signs / off
    return share / np.sum(share)


def _spec(found):
    return {name: values.shape[1:] for name, values in found.items()}


def packed(found: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays with nodes in front as rows of single precision, nodes in `shape`."""
    rows = [values.reshape(len(values), -1) for values in found.values()]
    return np.concatenate(rows, axis=1).astype(np.float32).reshape(*shape, -1)


def unpacked(row: np.ndarray, spec: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """What a row holds, by name."""
    ends = np.cumsum([int(np.prod(shape)) for shape in spec.values()])
    parts = np.split(row, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(spec.items(), parts, strict=True)}


def _in_lanes(program, market, parameters, weights, values):
    """A program at many places, so many at once; NumPy, places in front."""
    places, dtype = values.shape[1] if weights is None else len(weights), market.risk_capacity.dtype
    weights = np.zeros(places) if weights is None else weights
    batches = []
    for start in range(0, places, _LANES):
        chosen = np.minimum(np.arange(start, start + _LANES), places - 1)
        lanes = on_device((weights[chosen].astype(dtype), values[:, chosen].T.astype(dtype)))
        batches.append(jax.tree.map(np.asarray, program(market, parameters, *lanes)))
    return {name: np.concatenate([batch[name] for batch in batches])[:places] for name in batches[0]}


def _of_lanes(one):
    """A function of (market, weight, values) at many weights and values."""

    @partial(compiled, static_argnames="parameters")
    def program(market, parameters, weights, values):
        return jax.vmap(lambda weight, value: one(market_with(market, parameters, value), weight))(weights, values)

    return program


@_of_lanes
def _node(market, weight):
    """A node: the optimum at α = w without any budget, so that it is one at every w, and H''."""
    mechanism = solve(market, weight, -jnp.inf)
    (_, _, bend), _ = solved(prepared_for(market)[0], weight)
    return _shown(mechanism) | {"curvature": bend}


@_of_lanes
def _place(market, alpha):
    """A place between nodes: the optimum at α as it is."""
    return _shown(solve(market, alpha))


@_of_lanes
def _setting(market, _):
    """What depends on the numbers alone: densities, and the double auction where it has an equilibrium."""
    auction = outcomes(double_auction(market))
    return densities(market) | {"auction_revenue": auction.revenue, "auction_efficiency": auction.efficiency}


def _shown(mechanism):
    return summary(mechanism) | curves(mechanism, SIDE)
