"""What the errors of fitted laws mean for the answers: bands of outcomes, of the frontier and of fees."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from statistics import NormalDist
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import NumbersLike, on_device, on_host, total
from jaxmech.auctions.side_payments import side_payments
from jaxmech.derivatives.answers import answers_and_mechanism
from jaxmech.derivatives.named_outcomes import outcome_names, outcome_rows
from jaxmech.estimation.fit import Fit
from jaxmech.inputs import MarketError, one_of, real_numbers, whole_number
from jaxmech.market.market import Market, Traders, checked_market
from jaxmech.optimum.solve import weight_of
from jaxmech.plain import result
from jaxmech.programs import compiled

METHODS = ("delta", "bootstrap")
WEIGHTS = (0.25, 0.5, 0.75, 1.0)
_LANES = 64  # markets solved at one time
_FEWEST = 10  # draws without which there is no band


@result()
@dataclass(frozen=True)
class Bands:
    """Answers and their bands, one row a name. Made by `answer_bands`; arrays are (rows,) on the host.

    Names are those of `outcome_names` ("revenue", "dealer.trade_size"), "frontier.revenue@W" and
    "frontier.efficiency@W" at effective weight W, or w* where that is larger, "GROUP.participation_fee" (money),
    "GROUP.spread" (money per unit) and "GROUP.side_payment@Q" (money) for a purchase of Q at the expected price.
    """

    alpha: float
    method: str
    level: float  # probability that a band is meant to hold the truth with
    names: tuple
    value: np.ndarray  # at the fitted laws
    standard_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    draws: int  # resamples asked for; 0 for the delta method
    failed: int  # of them, those whose laws or mechanism could not be found; left out of the bands
    notes: tuple

    def of(self, name: str) -> tuple[float, float, float]:
        """(lower, value, upper) of one row; KeyError when there is none such."""
        if name not in self.names:
            raise KeyError(f"{name!r}: choose one of {', '.join(self.names)}")
        row = self.names.index(name)
        return float(self.lower[row]), float(self.value[row]), float(self.upper[row])

    def __str__(self):
        head = f"{self.level:.0%} bands at α = {self.alpha:g}, {self.method}"
        lines = [f"{head:<36}{'value':>13}{'lower':>13}{'upper':>13}{'std. error':>13}"]
        columns = zip(self.names, self.value, self.lower, self.upper, self.standard_error, strict=True)
        lines += [f"{name:<36}" + "".join(f"{number:>13.5g}" for number in numbers) for name, *numbers in columns]
        if self.draws:
            lines.append(f"{self.failed} of {self.draws} draws failed")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def answer_bands(
    fits: Mapping[str, Fit],
    market: Market,
    alpha: ArrayLike,
    *,
    method: Literal["delta", "bootstrap"] = "delta",
    level: float = 0.9,
    draws: int = 200,
    seed: int = 0,
    weights: NumbersLike = WEIGHTS,
    sizes: NumbersLike = (),
) -> Bands:
    """How far the optimum may be from what the fitted laws say, the laws being estimates.

    "delta": derivatives of every answer to the laws' parameters, times their covariance; bands are symmetric, and
    blind to kinks. "bootstrap": each group's data are resampled, its law is fitted
    again from where it was, and all markets are solved as batches; bands are percentiles. Groups are taken to be
    independent samples. Supports that a fit holds fixed are fixed here, and so are bandwidths and bins.

    Args:
      fits: Fit of each uncertain group, by the group's name; other groups keep their laws.
      market: one Market; its groups of those names get the fitted laws.
      alpha: weight on revenue, in [0, 1].
      level: of the bands, between 0 and 1.
      draws: resamples of the bootstrap, at least 10.
      seed: of the resamples.
      weights: effective weights w in (0, 1] at which the frontier is wanted.
      sizes: purchases, asset units, negative for sales, at which side payments are wanted, at the expected price.

    Returns:
      Bands.

    Raises:
      MarketError: fits that are not of groups of the market, or settings that cannot be.
    """
    alpha = _checked(fits, market, alpha, method, level, draws, seed)
    weights, sizes = _numbers("weights", weights), _numbers("sizes", sizes)
    if any(not 0 < weight <= 1 for weight in weights):
        raise MarketError(f"weights is {weights!r}; effective weights lie above 0, and at most at 1")
    carried = (*_places(fits, market), market)
    counts = tuple(np.asarray(market.count).tolist())
    asked = on_device((np.array([alpha, *weights]), np.array(sizes)))
    fitted = np.concatenate([fit.estimate.vector for fit in fits.values()])
    if method == "delta":
        value, error, notes, failed = *_delta(fits, carried, fitted, counts, asked), 0
        reach = NormalDist().inv_cdf(0.5 + 0.5 * level)
        lower, upper = value - reach * error, value + reach * error
    else:
        value, rows, failed = _bootstrap(_drawn(fits, draws, seed), carried, fitted, counts, asked)
        error, notes = np.std(rows, axis=1, ddof=1), ()
        lower, upper = np.quantile(rows, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=1)
    names, drawn = _names(market, weights, sizes), int(draws) if method == "bootstrap" else 0
    return Bands(
        alpha=alpha,
        method=method,
        level=float(level),
        names=names,
        value=value,
        standard_error=error,
        lower=lower,
        upper=upper,
        draws=drawn,
        failed=failed,
        notes=notes,
    )


def _delta(fits, carried, fitted, counts, asked):
    """Values and standard errors of all rows, and notes."""
    size, notes, start = fitted.size, [], 0
    covariance = np.zeros((size, size))
    for name, fit in fits.items():
        block = slice(start, start + len(fit.covariance))
        start = block.stop
        unknown, covariance[block, block] = np.isnan(np.diag(fit.covariance)), np.nan_to_num(fit.covariance)
        held = [parameter for parameter, without in zip(fit.parameters, unknown, strict=True) if without]
        if held:
            notes.append(f"{', '.join(held)} of {name}: no standard error, taken as known; the bootstrap moves them")
    lanes = max(size, 1)
    points, ways = np.broadcast_to(fitted[:, None], (size, lanes)), np.eye(size, lanes)
    moved = _moved(*carried, *on_device((points, ways)))
    value, slopes, solved = on_host(_rows_and_slopes(counts, *moved, *asked))
    _refuse_unsolved(solved[0])
    slopes = slopes[:, :size]
    if not np.all(np.isfinite(slopes)):
        notes.append("some derivatives are not finite, and those bands NaN; try the bootstrap")
    variance = np.einsum("yp,pq,yq->y", slopes, covariance, slopes)
    return value[:, 0], np.sqrt(np.maximum(variance, 0.0)), tuple(notes)


def _drawn(fits, draws, seed):
    """Parameters from resampled data, (draws, P), and which of them settled, (draws,)."""
    generators = np.random.default_rng(seed).spawn(len(fits))
    drawn = [fit.estimate.redrawn(draws, random) for fit, random in zip(fits.values(), generators, strict=True)]
    vectors = np.concatenate([vectors for vectors, _ in drawn], axis=1)
    return vectors, np.all([settled for _, settled in drawn], axis=0) & np.all(np.isfinite(vectors), axis=1)


def _bootstrap(drawn, carried, fitted, counts, asked):
    """Values of all rows, rows of the draws that went well, (rows, good draws), and how many did not."""
    (vectors, good), draws = drawn, len(drawn[0])
    vectors = np.concatenate([fitted[None], np.where(good[:, None], vectors, fitted)])
    lanes = min(_LANES, draws + 1)
    padded = np.concatenate([vectors, np.broadcast_to(fitted, (-len(vectors) % lanes, fitted.size))])
    batches = (on_device(padded[k : k + lanes].T) for k in range(0, len(padded), lanes))
    parts = [_rows(counts, _markets(*carried, batch), *asked) for batch in batches]
    rows, solved = (np.concatenate(part, axis=-1) for part in zip(*on_host(parts), strict=True))
    _refuse_unsolved(solved[0])
    good &= solved[1 : draws + 1]
    failed = int(draws - np.sum(good))
    if draws - failed < _FEWEST:
        raise MarketError(f"{failed} of {draws} draws failed; the fits are too uncertain for a bootstrap")
    return rows[:, 0], rows[:, 1 : draws + 1][:, good], failed


def _refuse_unsolved(solved):
    if not solved:
        raise MarketError("the market with the fitted laws is not solved to rounding; certify(solve(...)) says more")


def _places(fits, market):
    """(the first and the last of its parameters among those of all fits, its law of them) of each group of the market:
    two tuples, with None for groups whose laws are known."""
    ends = np.cumsum([0, *(fit.estimate.vector.size for fit in fits.values())]).tolist()
    fitted = {name: (fit.estimate.law, ends[k : k + 2]) for k, (name, fit) in enumerate(fits.items())}
    laws, places = zip(*(fitted.get(name, (None, ())) for name in market.names), strict=True)
    return tuple(map(tuple, places)), laws


@partial(compiled, static_argnums=0)
def _markets(places, laws, market, vectors):
    """The markets whose fitted laws have these parameters, (P, L), one a lane; see `_places`."""
    known = [jax.tree.map(lambda leaf, k=k: leaf[..., k], law) for law, _, n in market.laws() for k in range(n)]

    def market_of(vector):
        rows = zip(laws, places, known, strict=True)
        endowments = [law(vector[slice(*place)]) if law else as_known for law, place, as_known in rows]
        found = Market.of(*map(Traders, endowments, market.risk_capacity, market.count))
        besides = {name: getattr(market, name) for name in ("welfare_weight", "outside", "minimum_revenue")}
        return replace(found, **besides)

    return jax.vmap(market_of, in_axes=1, out_axes=-1)(vectors)


@partial(compiled, static_argnums=0)
def _moved(places, laws, market, points, ways):
    """The same, and how they move where the parameters do."""
    return jax.jvp(lambda vectors: _markets(places, laws, market, vectors), (points,), (ways,))


@partial(compiled, static_argnums=0)
def _rows(counts, market, alphas, sizes):
    """All rows, (rows, L), of a batch of markets, in the order of `_names`, and whether each is solved, (L,).

    Args:
      counts: of the groups, numbers: schedules need them while JAX traces.
      alphas: α, then the weights at which the frontier is wanted: it is the optimum at α = w.
    """
    lanes, asked = market.risk_capacity.shape[-1], alphas.size
    tiled = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * asked, axis=-1), market)
    answers, mechanism = answers_and_mechanism(tiled, jnp.repeat(alphas, lanes))
    first, mechanism = jax.tree.map(lambda part: part[..., :lanes], (answers, mechanism))
    frontier = [part.reshape(asked, lanes)[1:] for part in (answers.revenue, answers.efficiency)]
    fees = jax.vmap(partial(_fees, counts, sizes), in_axes=-1, out_axes=-1)(mechanism)
    rows = jnp.concatenate([outcome_rows(first, market), *frontier, fees])
    settled = jnp.all(answers.solved.reshape(asked, lanes), axis=0)
    return rows, settled & jnp.all(jnp.isfinite(rows), axis=0)


def _fees(counts, sizes, mechanism):
    """Participation fees, spreads, and side payments at the expected price, size by size: ((2 + sizes) · G,)."""
    market = mechanism.market
    design = replace(mechanism, market=replace(market, count=np.asarray(counts)))
    rule = side_payments(design).by_group()
    price = -total(market.count * mechanism.interim().mean) / market.total_risk_capacity
    quantities = jnp.broadcast_to(sizes[:, None], (sizes.size, len(counts)))
    payments = [rule.side_payment(jnp.broadcast_to(price, sizes.shape), quantities).ravel()] if sizes.size else []
    return jnp.concatenate([rule.participation_fee, rule.spread, *payments])


@partial(compiled, static_argnums=0)
def _rows_and_slopes(counts, market, moves, alphas, sizes):
    """(rows, their derivatives along the moves of the markets, whether each is solved)."""
    return jax.jvp(lambda market: _rows(counts, market, alphas, sizes), (market,), (moves,), has_aux=True)


def _names(market, weights, sizes):
    frontier = [f"frontier.{outcome}@{weight:g}" for outcome in ("revenue", "efficiency") for weight in weights]
    fees = [f"{group}.{field}" for field in ("participation_fee", "spread") for group in market.names]
    payments = [f"{group}.side_payment@{size:g}" for size in sizes for group in market.names]
    return (*outcome_names(market), *frontier, *fees, *payments)


def _checked(fits, market, alpha, method, level, draws, seed):
    """α as a number; MarketError for what cannot be."""
    if checked_market(market).risk_capacity.ndim > 1:
        raise MarketError("market is a batch; ask for the bands of one market")
    if not isinstance(fits, dict) or not fits or not all(isinstance(found, Fit) for found in fits.values()):
        raise MarketError("fits must be a dictionary of Fits by group name, {'dealer': fit(samples), ...}")
    unknown = [name for name in fits if name not in market.names]
    if unknown:
        raise MarketError(f"fits: no group {unknown[0]!r} in the market; it has {', '.join(market.names)}")
    one_of("method", method, METHODS)
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < level < 1:
        raise MarketError(f"level is {level!r}; give a probability between 0 and 1")
    whole_number("draws", draws, _FEWEST)
    whole_number("seed", seed)
    return float(np.asarray(weight_of(market, alpha, "alpha")))


def _numbers(name, values):
    array = real_numbers(name, values, "a list of finite numbers")
    if array.ndim != 1 or not np.all(np.isfinite(array)):
        raise MarketError(f"{name} is {values!r}; give a list of finite numbers")
    return tuple(array.tolist())
