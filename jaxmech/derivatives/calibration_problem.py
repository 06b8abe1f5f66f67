"""What `calibrate` is asked: which parameters are free within which bounds, and which outcomes count.

One compiled function serves every calibration of markets of one structure, whatever is free and whatever is asked: it
takes markets and a direction in which they change, and returns all outcomes and how fast they change. Lanes are
independent, so a lane that fails says NaN and its neighbours know nothing of it.
"""

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import on_device, picked
from jaxmech.derivatives.answers import answers
from jaxmech.derivatives.named_outcomes import market_sizes, named_outcome, outcome_rows
from jaxmech.inputs import MarketError, one_number
from jaxmech.market.market import checked_market
from jaxmech.market.parameters import (
    MAY_BE_NOTHING,
    is_signed,
    market_with,
    named_parameter,
    present_values,
    refuse_overlaps,
    valid_market,
)
from jaxmech.optimum.solve import weight_of
from jaxmech.programs import compiled

ALPHA = "alpha"
_SMALL = 1e-3  # share of the surplus, or of a support's width, below which a miss of a target near 0 does not matter


class Bounds(NamedTuple):
    """Where the free parameters may be. Places t in [0, 1] stand for values between the bounds, or their logarithms."""

    low: np.ndarray  # (parameters,)
    high: np.ndarray
    log: np.ndarray  # whether the logarithm is spread evenly

    def values(self, t):
        """Values at places t, both of shape (parameters, B)."""
        low, high, log = (entry[:, None] for entry in self)
        ratio = np.where(log, high, 1.0) / np.where(log, low, 1.0)
        return np.where(log, low * ratio**t, low + t * (high - low))

    def places(self, values):
        """The t of values, (parameters,); outside [0, 1] for values outside the bounds, NaN where there is none."""
        positive = np.where(values > 0, values, np.nan)
        by_log = np.log(np.where(self.log, positive, 1) / np.where(self.log, self.low, 1))
        return np.where(self.log, by_log / self._log_range, (values - self.low) / (self.high - self.low))

    def slopes(self, t):
        """dvalue/dt at places t, (parameters, B)."""
        return np.where(self.log[:, None], self._log_range[:, None] * self.values(t), (self.high - self.low)[:, None])

    @property
    def _log_range(self):
        return np.log(np.where(self.log, self.high, np.e) / np.where(self.log, self.low, 1.0))


class Problem(NamedTuple):
    """What is free, what is asked, and of which market."""

    market: object
    alpha: float
    names: tuple  # of what is free
    parameters: tuple  # the same, Parameters and "alpha"
    bounds: Bounds
    asked: tuple  # Outcomes, or one function (market, alpha) -> scalar
    targets: np.ndarray  # (asked,); empty when the one thing asked is to be maximised
    errors: np.ndarray  # their standard errors, (asked,), or empty
    scales: np.ndarray  # what residuals, or the objective, are divided by, (asked,)

    @property
    def asked_names(self):
        """Names of what is asked."""
        return tuple(getattr(one, "name", getattr(one, "__name__", "maximised")) for one in self.asked)

    def given_place(self):
        """Where the market's own parameters lie, (parameters,); None where that is out of bounds or nowhere."""
        try:
            now = [self._present(parameter) for parameter in self.parameters]
        except MarketError:  # "all" of entries that differ
            return None
        t = self.bounds.places(np.array(now))
        return t if np.all((t >= 0) & (t <= 1)) else None

    def _present(self, parameter):
        return self.alpha if parameter == ALPHA else float(np.asarray(present_values(self.market, (parameter,)))[0])

    def outcomes(self, t):
        """Outcomes (asked, B) and their Jacobian in t (asked, parameters, B); NaN where a lane is no solved market."""
        values = on_device(self.bounds.values(t))
        if callable(self.asked[0]):
            found, slopes = _function_along(self.asked[0], self.parameters, self.market, self.alpha, values)
            found, slopes = np.asarray(found)[None], np.asarray(slopes)[None]
            markets, _ = _placed(self.parameters, self.market, self.alpha, values)
            solved = np.isfinite(found[0])
        else:
            moved = [_moved(self.parameters, self.market, self.alpha, values, e) for e in np.eye(len(values))]
            along, (markets, _) = [_along(*lanes) for lanes in moved], moved[0][0]
            rows = [outcome.row for outcome in self.asked]
            found, slopes = np.asarray(along[0][0])[rows], np.stack([np.asarray(dot)[rows] for _, dot, _ in along], 1)
            solved = np.asarray(along[0][2].solved)
        # Counts are real numbers here: 2.7 traders are judged as 2.
        counted = replace(markets, count=np.floor(np.asarray(markets.count) + 1e-9))
        good = solved & valid_market(counted)
        return np.where(good, found, np.nan), np.where(good, slopes * self.bounds.slopes(t), np.nan)

    def loss(self, t):
        """What is minimised, (B,), and its gradient in t, (parameters, B): NaN where a lane fails."""
        found, slopes = self.outcomes(t)
        if not self.targets.size:
            return -found[0] / self.scales[0], -slopes[0] / self.scales[0]
        residuals = (found - self.targets[:, None]) / self.scales[:, None]
        return np.sum(residuals**2, 0), 2 * np.einsum("tb,tpb->pb", residuals / self.scales[:, None], slopes)

    def answers(self, t, lane):
        """Market, α and Answers of one of the places t, by the function that is compiled for them all."""
        still = np.zeros(len(t))
        at, direction = _moved(self.parameters, self.market, self.alpha, on_device(self.bounds.values(t)), still)
        market, alpha, answers = picked((*at, _along(at, direction)[2]), lane)
        return replace(market, names=self.market.names), float(alpha), answers


def placed(parameters, market, alpha, values):
    """The market and α with the free parameters at other values; values of shape (parameters, ...)."""
    own = [k for k, parameter in enumerate(parameters) if parameter != ALPHA]
    held = jnp.broadcast_to(jnp.asarray(alpha, values.dtype), values.shape[1:])
    at_alpha = values[parameters.index(ALPHA)] if ALPHA in parameters else held
    rows = jnp.stack([values[k] for k in own]) if own else jnp.zeros((0, *values.shape[1:]), values.dtype)
    return market_with(market, tuple(parameters[k] for k in own), rows), at_alpha


_placed = compiled(placed, static_argnums=0)


@partial(compiled, static_argnums=0)
def _moved(parameters, market, alpha, values, direction):
    """Markets and α at the values, and how fast they change along a direction of the parameters."""
    along = jnp.broadcast_to(direction[:, None], values.shape).astype(values.dtype)
    return jax.jvp(lambda values: placed(parameters, market, alpha, values), (values,), (along,))


@compiled
def _along(at, direction):
    """All outcomes of a batch of (market, α), how fast they change along a direction, and the Answers."""

    def rows(market, alpha):
        found = answers(market, alpha)
        return outcome_rows(found, market), found

    return jax.jvp(rows, at, direction, has_aux=True)


@partial(compiled, static_argnums=(0, 1))
def _function_along(function, parameters, market, alpha, values):
    """A user's function and its gradient in the free parameters, at every lane."""
    each = jax.value_and_grad(lambda lane: function(*placed(parameters, market, alpha, lane)))
    found, slopes = jax.vmap(each, in_axes=1, out_axes=-1)(values)
    return found, slopes


def calibration_problem(market, free, targets, alpha, maximise) -> Problem:
    """The checked door: MarketError names what cannot be, before anything is compiled."""
    if jnp.ndim(checked_market(market).risk_capacity) > 1:
        raise MarketError("market is a batch; calibrate one market at a time")
    weight_of(market, alpha, "alpha")
    if not isinstance(free, dict) or not free:
        raise MarketError(
            'free names no parameter; give bounds by name, such as {"all.risk_capacity.factor": (0.5, 2)}'
        )
    if (targets is None) == (maximise is None):
        raise MarketError("targets and maximise: give exactly one of them")
    parameters = tuple(ALPHA if name == ALPHA else named_parameter(name, market) for name in free)
    refuse_overlaps([parameter for parameter in parameters if parameter != ALPHA])
    rows = [_bound(name, parameter, free[name]) for name, parameter in zip(free, parameters, strict=True)]
    bounds = Bounds(*(np.array(column) for column in zip(*rows, strict=True)))
    names, none = tuple(free), np.zeros(0)
    if targets is None:
        asked = maximise if callable(maximise) else named_outcome(maximise, market)
        if callable(maximise) and jnp.shape(shape := jax.eval_shape(maximise, market, on_device(float(alpha)))) != ():
            raise MarketError(f"maximise returns {shape}; it must return one number")
        scale = 1.0 if callable(maximise) else _unit(asked, market)
        return Problem(market, float(alpha), names, parameters, bounds, (asked,), none, none, np.array([scale]))
    if not isinstance(targets, dict) or not targets:
        raise MarketError('targets names no outcome; give values by name, such as {"revenue": 0.3}')
    asked = tuple(named_outcome(name, market) for name in targets)
    values, errors = zip(*(_target(name, target) for name, target in targets.items()), strict=True)
    known = [error is not None for error in errors]
    if any(known) and not all(known):
        raise MarketError(f"targets: {asked[known.index(False)].name} has no standard error; give all of them or none")
    values, errors = np.array(values), np.array(errors, float) if all(known) else none
    least = np.array([_SMALL * _unit(outcome, market) for outcome in asked])
    scales = errors if errors.size else np.maximum(np.abs(values), least)
    return Problem(market, float(alpha), names, parameters, bounds, asked, values, errors, scales)


def _unit(outcome, market):
    """What the outcome is compared to: the first-best surplus, the widest support, or 1."""
    surplus, width = market_sizes(market)
    return {"money": float(surplus), "asset": float(np.max(width)), "number": 1.0}[outcome.unit]


def _bound(name, parameter, bound):
    """(low, high, log) of one free parameter."""
    whole = tuple(bound) if _is_sequence(bound) else ()
    if len(whole) not in (2, 3) or whole[2:] not in ((), ("log",)) or not all(map(_is_number, whole[:2])):
        raise MarketError(f'free: bounds of {name} are {bound!r}; give (low, high) or (low, high, "log")')
    low, high, log = float(whole[0]), float(whole[1]), len(whole) == 3
    if not low < high:
        raise MarketError(f"free: bounds of {name} are {low:g} to {high:g}; the first must lie below the second")
    if name == ALPHA:
        least, most = 0.0, 1.0
    else:
        least = -math.inf if is_signed(parameter.field) else 1.0 if parameter.field == "count" else 0.0
        least, most = 0.0 if parameter.factor else least, math.inf
    positive = log or (name != ALPHA and least == 0 and parameter.field not in MAY_BE_NOTHING)
    if low < least or high > most or (positive and low <= 0):
        rule = "lie in [0, 1]" if name == ALPHA else f"be at least {least:g}" if least > 0 else "be above 0"
        raise MarketError(f"free: bounds of {name} are {low:g} to {high:g}; they must {rule}")
    return low, high, log


def _target(name, target):
    """(value, standard error or None) of one target."""
    pair = tuple(target) if _is_sequence(target) else (target, None)
    if len(pair) != 2 or not _is_number(pair[0]) or not (pair[1] is None or (_is_number(pair[1]) and pair[1] > 0)):
        raise MarketError(f"targets: {name} is {target!r}; give a number or (value, standard error > 0)")
    return float(pair[0]), None if pair[1] is None else float(pair[1])


def _is_sequence(value):
    return isinstance(value, tuple | list) or getattr(value, "ndim", 0) == 1


def _is_number(value):
    try:
        one_number("", value)
    except MarketError:
        return False
    return True
