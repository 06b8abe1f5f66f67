"""The parametric families that data are fitted by, on the support moved to [0, 1].

Parameters move in boxes wide enough for any law that data can tell apart, so that a likelihood that rises for ever, as
a truncated normal law's does on data like an exponential one's, ends at a bound and says so. Inside a box a sigmoid
makes the parameter free; a mixture's weights are a softmax.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxmech import endowments as laws
from jaxmech.endowments.beta import LARGEST_SHAPE
from jaxmech.endowments.kumaraswamy import LARGEST_SHAPE as LARGEST_EXPONENT
from jaxmech.estimation.likelihood_search import laplace_location_and_scale, triangular_mode

_AT_BOUND = 1e-5  # of a box: nearer to its end a parameter is at it
_STARTS = 12  # of mixtures


class Box(NamedTuple):
    """Where a parameter of a law on [0, 1] may lie."""

    low: float
    high: float
    logarithmic: bool = False
    kind: str = "number"  # how it goes along with the support: "location", "scale", "rate" or not at all

    def place(self, values):
        """Where in the box values lie, from 0 to 1."""
        low, high = np.log(self[:2]) if self.logarithmic else self[:2]
        return ((np.log(np.maximum(values, self.low)) if self.logarithmic else values) - low) / (high - low)

    def at_bound(self, values):
        place = self.place(values)
        return np.minimum(place, 1 - place) < _AT_BOUND

    def inside(self, free):
        """The value of an unconstrained number."""
        low, high = np.log(self[:2]) if self.logarithmic else self[:2]
        value = low + (high - low) * jax.nn.sigmoid(free)
        return jnp.exp(value) if self.logarithmic else value

    def free(self, values):
        place = np.clip(self.place(values), 1e-6, 1 - 1e-6)
        return np.log(place) - np.log1p(-place)


@dataclass(frozen=True)
class Family:
    """A parametric family. `names` are those of all its P parameters, in order: the boxed ones, then any weights.

    `law(values, lower, upper)` makes a law of parameters (P,), and `starts(mean, deviation)` gives (S, P) places where
    to begin; `exact(x, weights)`, (B, P), is a direct search in place of the Newton method.
    """

    names: tuple
    boxes: tuple
    law: Callable
    starts: Callable | None = None
    shares: int = 0  # how many of the parameters are weights, which sum to one
    fades: bool = False  # whether the density may vanish at the ends of the support
    exact: Callable | None = None

    def __reduce__(self):
        """By its name: what it holds are functions without one."""
        name = "mixture" if self.shares else next(name for name, family in _FAMILIES.items() if family is self)
        return parametric, (name, self.shares or 2)

    @property
    def degrees(self):
        """How many parameters are free, U."""
        return len(self.boxes) + max(self.shares - 1, 0)

    def values(self, free):
        """Parameters on [0, 1], (P,), of unconstrained ones, (U,)."""
        boxed = jnp.stack([box.inside(u) for box, u in zip(self.boxes, free, strict=False)])
        if not self.shares:
            return boxed
        logits = jnp.concatenate([free[len(self.boxes) :], jnp.zeros(1, free.dtype)])
        return jnp.concatenate([boxed, jax.nn.softmax(logits)])

    def free(self, values):
        """Unconstrained parameters, (..., U), of those on [0, 1], (..., P)."""
        boxed = np.stack([box.free(values[..., k]) for k, box in enumerate(self.boxes)], axis=-1)
        logs = np.log(np.maximum(values[..., len(self.boxes) :], 1e-9))
        return np.concatenate([boxed, logs[..., :-1] - logs[..., -1:]], axis=-1)

    def at_bound(self, values):
        """(P,) booleans; weights have no bounds."""
        boxed = [bool(box.at_bound(value)) for box, value in zip(self.boxes, values, strict=False)]
        return np.array(boxed + [False] * self.shares)

    def nearest_bound(self, values):
        """(P,): the end of its box that each parameter is nearer to; weights as they are."""
        ends = [box.high if box.place(value) > 0.5 else box.low for box, value in zip(self.boxes, values, strict=False)]
        return np.concatenate([ends, values[len(self.boxes) :]])

    def order(self, values):
        """Places of the parameters, (..., P), with a mixture's components put in order of their locations."""
        if not self.shares:
            return np.broadcast_to(np.arange(len(self.names)), values.shape)
        first = np.argsort(values[..., 0 : 2 * self.shares : 2], axis=-1)
        pairs = np.stack([2 * first, 2 * first + 1], axis=-1).reshape(*values.shape[:-1], -1)
        return np.concatenate([pairs, 2 * self.shares + first], axis=-1)

    def stretch(self, lower, width):
        """What parameters on [0, 1] are multiplied by, and what is added then, on another support: (P,), (P,)."""
        by_kind = {"location": width, "scale": width, "rate": 1 / width, "number": 1.0}
        kinds = [box.kind for box in self.boxes] + ["number"] * self.shares
        return np.array([by_kind[kind] for kind in kinds]), np.array([lower * (kind == "location") for kind in kinds])

    def law_on(self, lower, upper, values):
        """The law of parameters (P,) on a support."""
        return self.law(values, lower, upper)

    def log_pdf(self, values, x):
        """log f on [0, 1]; of mixtures by logarithms, lest far components underflow."""
        law = self.law(values, jnp.zeros_like(values[0]), jnp.ones_like(values[0]))
        if not self.shares:
            return law.log_pdf(x)
        parts = jnp.stack([part.log_pdf(x) for part in law.laws])
        return logsumexp(parts + jnp.log(law.weights)[:, None], axis=0)

    def loss(self, free, x):
        """−log f at each observation, of unconstrained parameters."""
        return -self.log_pdf(self.values(free), x)


def _around_moments(mean, deviation, *rest):
    """Starts at the mean with half, all and twice the deviation."""
    return [(mean, factor * deviation, *rest) for factor in (0.5, 1.0, 2.0)]


def _beta_shapes(mean, deviation):
    total = max(mean * (1 - mean) / deviation**2 - 1, 2.5)
    return [np.clip((part * mean, part * (1 - mean)), 1.05, 250) for part in (total, 2 * total)] + [(2.0, 2.0)]


def _family(law, boxes, starts=None, **more):
    """The family of a law that is made of its parameters, by name in `boxes`, and the ends of its support."""

    def on_support(values, lower, upper):
        return law(*(values[k] for k in range(len(boxes))), lower, upper)

    return Family(tuple(boxes), tuple(boxes.values()), on_support, starts, **more)


_LOC, _SCALE = Box(-1.0, 2.0, kind="location"), Box(1e-3, 10.0, True, "scale")
_INSIDE = Box(0.0, 1.0, kind="location")
_AROUND = {"loc": _LOC, "scale": _SCALE}
_SHAPE, _EXPONENT = Box(1.0, LARGEST_SHAPE, True), Box(1.0, LARGEST_EXPONENT, True)
_FAMILIES = {
    "truncated_normal": _family(laws.TruncatedNormal, _AROUND, _around_moments),
    "beta": _family(laws.Beta, {"a": _SHAPE, "b": _SHAPE}, _beta_shapes, fades=True),
    "triangular": _family(laws.Triangular, {"mode": _INSIDE}, fades=True, exact=triangular_mode),
    "truncated_exponential": _family(
        laws.TruncatedExponential,
        {"rate": Box(-500.0, 500.0, kind="rate")},
        lambda mean, deviation: [(12 * (0.5 - mean),), (np.clip(1 / mean - 1 / (1 - mean), -400, 400),)],
    ),
    "truncated_laplace": _family(laws.TruncatedLaplace, _AROUND | {"loc": _INSIDE}, exact=laplace_location_and_scale),
    "truncated_logistic": _family(laws.TruncatedLogistic, _AROUND, _around_moments),
    "truncated_student": _family(
        laws.TruncatedStudent,
        _AROUND | {"freedom": Box(0.5, 100.0, True)},
        lambda mean, deviation: _around_moments(mean, deviation, 5.0),
    ),
    "kumaraswamy": _family(
        laws.Kumaraswamy,
        {"a": _EXPONENT, "b": _EXPONENT},
        lambda mean, deviation: [*np.minimum(_beta_shapes(mean, deviation), 80.0), (1.5, 4.0), (4.0, 1.5)],
        fades=True,
    ),
}
NAMES = ("uniform", *_FAMILIES)


def parametric(name, components=2) -> Family:
    """The family of that name, "mixture" included."""
    return mixture(components) if name == "mixture" else _FAMILIES[name]


@cache
def mixture(components) -> Family:
    """Truncated normal laws on one support. No component is narrower than a hundredth of it: a normal law around a
    single observation would have an infinite likelihood."""
    names = [f"laws_{k}_{field}" for k in range(components) for field in ("loc", "scale")]
    boxes = (_INSIDE, Box(0.01, 3.0, True, "scale")) * components

    def law(values, lower, upper):
        parts = [laws.TruncatedNormal(values[2 * k], values[2 * k + 1], lower, upper) for k in range(components)]
        return laws.Mixture(tuple(parts), values[2 * components :])

    def starts(mean, deviation):
        draws, places = np.random.default_rng(components), []
        for _ in range(_STARTS):
            locations = mean + deviation * np.sort(draws.uniform(-2, 2, components))
            scales = deviation * np.exp(draws.uniform(-1.5, 0.3, components))
            shares = draws.dirichlet(np.full(components, 4.0))
            pairs = np.stack([np.clip(locations, 0.02, 0.98), np.clip(scales, 0.02, 2.0)], axis=1)
            places.append(np.concatenate([pairs.ravel(), shares]))
        return places

    weights = [f"weights_{k}" for k in range(components)]
    return Family((*names, *weights), boxes, law, starts, shares=components)
