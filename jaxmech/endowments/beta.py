"""Beta endowments, stretched to any support.

In units x = (z − l)/(h − l) ∈ [0, 1] the incomplete beta function is a continued fraction (Didonato and Morris, ACM
TOMS 18, 1992), which gives F/f directly: F/f = x(1−x)·c(x), with c smooth where f vanishes. Thirty-two terms are at
rounding level for shapes up to 300. JAX's own `betainc` has no derivatives in the shapes.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln
from jax.typing import ArrayLike

from jaxmech.arrays import Numbers, pytree, standard
from jaxmech.endowments.landmarks import FALLS, around, beside, gathered_rule, nodes_from
from jaxmech.endowments.law import Law, Rules
from jaxmech.endowments.sides import LeftTail, Ratios
from jaxmech.numerics.polynomials import unit_rule

_TERMS = 32
LARGEST_SHAPE = 300.0
_NODES, _WEIGHTS = unit_rule(24)
# Below the mean nodes gather at the upper end, where F²/f lives: fractions sinh(1.5 x)/sinh(1.5) of the way down.
_DEPTH, _DEPTH_WEIGHTS = gathered_rule(24, 1.5)
# Far above it, where F²/f fades, they gather at the lower end.
_FADE = 1 - np.sinh(4 * _NODES) / np.sinh(4)
_FADE_WEIGHTS = _WEIGHTS * 4 * np.cosh(4 * _NODES) / np.sinh(4)
_WITNESSES = gathered_rule(36, 2.0)
_LONG = 12.0  # panel in u from which on that takes more than evenly spread nodes can do


@pytree
class Beta(Law):
    """Beta law with shapes a and b on [lower, upper]; its density is ∝ (z − lower)^(a−1) (upper − z)^(b−1).

    Args:
      a, b: shapes, > 0 and at most 300. Below 1 the density is infinite at an end and Condition 2 fails.
      lower, upper: ends of the support, lower < upper. All four are scalars or (groups,) arrays.
    """

    a: Numbers
    b: Numbers
    lower: Numbers
    upper: Numbers

    unitless_fields = ("a", "b")

    def _unit(self, z: Any) -> tuple[jax.Array, jax.Array]:
        """x = (z − l)/(h − l), and 1 − x without cancellation; types a rounding outside count as the end."""
        x, y = (jnp.where(v < 0, 0.0, v) / self.width for v in (z - self.lower, self.upper - z))
        return x, y

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        log_density = _log_density(*self._unit(z), self.a, self.b, _log_beta(self.a, self.b))
        return log_density - jnp.log(self.width)

    def score(self, z: ArrayLike) -> jax.Array:
        return _score(*self._unit(z), self.a, self.b) / self.width

    def constants(self) -> Any:
        return (_log_beta(self.a, self.b),)

    def moments(self, known: Any) -> tuple[jax.Array, jax.Array]:
        return self.mean, self.variance

    @property
    def mean(self) -> jax.Array:
        return self.lower + self.width * self.a / (self.a + self.b)

    @property
    def variance(self) -> jax.Array:
        total = self.a + self.b
        return self.width**2 * self.a * self.b / (total**2 * (total + 1))

    def tail(self, z: jax.Array, known: Any) -> LeftTail:
        a, b, total = self.a, self.b, self.a + self.b
        mean, (x, y) = a / total, self._unit(z)
        cdf, ratio, slope, density = _incomplete(x, y, a, b, *known)
        edge = x * y * density
        # Raising the first shape lowers the cdf: I_x(a + 1, b) = I_x(a, b) − edge/a. Twice for the second moment.
        first = (x - mean) * cdf + edge / total
        once, twice = edge / a, edge / a * (1 + x * total / (a + 1))
        square = mean * (a + 1) / (total + 1) * (cdf - twice)
        second = 0.5 * (x**2 * cdf - 2 * x * mean * (cdf - once) + square)
        width = self.width
        return LeftTail(cdf, width * ratio, slope, width * first, width**2 * second, density / width)

    def ratios(self, z: jax.Array, known: Any) -> Ratios:
        cdf, ratio, _, density = _incomplete(*self._unit(z), self.a, self.b, *known)
        return Ratios(cdf, self.width * ratio, density / self.width)

    def density(self, z: jax.Array, known: Any) -> jax.Array:
        return jnp.exp(_log_density(*self._unit(z), self.a, self.b, *known)) / self.width

    def squared_ratio_integral_from(self, z: jax.Array, known: Any) -> jax.Array:
        return self.width**2 * _squared_ratio_integral(*self._unit(z), self.a, self.b)

    def nodes_to(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        # In logits, where power laws are exponentials: from the mean, or from half the way where z lies below it, down
        # and, at most up to z, up to where the density has fallen by exp(-32). Nodes gather where they start.
        x, y = self._unit(z)
        mean = jnp.log(self.a) - jnp.log(self.b)
        top = jnp.minimum(jnp.log(_off_zero(x)) - jnp.log(_off_zero(y)), mean + _fall(-mean, self.b, self.a, 32.0))
        bottom = jnp.minimum(top, mean) - _fall(jnp.minimum(top, mean), self.a, self.b, 32.0)
        middle = jnp.where(top > mean, mean, 0.5 * (bottom + top))
        logits, weights = nodes_from(middle, bottom, top, _WITNESSES)
        at, rest = jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)
        return self.lower + self.width * at, self.width * weights * at * rest

    def landmarks(self) -> jax.Array:
        spread = jnp.sqrt(2 * self.variance * beside(FALLS, self.width))
        near = around(self.mean, spread, self.lower, self.upper)
        return jnp.sort(jnp.concatenate([super().landmarks(), near]), axis=0)

    def rules(self) -> Rules:
        bounds = f"must be > 0 and at most {LARGEST_SHAPE:g}"
        good = ((name, (shape > 0) & (shape <= LARGEST_SHAPE)) for name, shape in (("a", self.a), ("b", self.b)))
        return [*((name, complies, bounds) for name, complies in good), *super().rules()]

    def reflected(self) -> "Beta":
        return Beta(self.b, self.a, -self.upper, -self.lower)


def _off_zero(x):
    """x kept off 0, where logarithms and inverse powers of x meet factors that vanish faster."""
    return x + jnp.where(x > 0, 0.0, jnp.finfo(jnp.result_type(x)).tiny ** (1 / 3))


def _log_beta(a, b):
    """log B(a, b); jax.scipy.special.betaln is wrong by 1e-8 at B(30, 3) in JAX 0.10.2."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def _log_density(x, y, a, b, log_beta):
    return (a - 1) * jnp.log(_off_zero(x)) + (b - 1) * jnp.log(_off_zero(y)) - log_beta


def _score(x, y, a, b):
    return (a - 1) / _off_zero(x) - (b - 1) / _off_zero(y)


def _fraction(x, y, a, b):
    """c in I_x(a, b) = x^a y^b c/B(a, b), for x up to about the mean (Didonato and Morris, Eq. 9), from the tail up."""

    def numerator(m):
        return (a + m - 1) * (a + b + m - 1) * m * (b - m) * x**2 / (a + 2 * m - 1) ** 2

    def denominator(m):
        return m + m * (b - m) * x / (a + 2 * m - 1) + last(m)

    def last(m):
        return (a + m) * (a * y - b * x + 1 + m * (1 + y)) / (a + 2 * m + 1)

    def step(k, below):
        m = (_TERMS - k).astype(below.dtype)
        return denominator(m) + numerator(m + 1) / below

    below = lax.fori_loop(1, _TERMS, step, denominator(jnp.asarray(float(_TERMS), jnp.result_type(x, a))))
    return 1 / (last(0.0) + numerator(1.0) / below)


def _incomplete(x, y, a, b, log_beta):
    """F, F/f, (F/f)' and f on the unit interval, from the end that x is nearer to in mean."""
    left = x <= (a + 1) / (a + b + 2)
    near, far = jnp.where(left, x, y), jnp.where(left, y, x)
    fraction = _fraction(near, far, jnp.where(left, a, b), jnp.where(left, b, a))
    density = jnp.exp(_log_density(x, y, a, b, log_beta))
    small = x * y * fraction  # F/f on the left, (1 − F)/f on the right
    floor = jnp.finfo(density.dtype).tiny ** 0.3
    large = 1 / jnp.where(left, 1.0, jnp.maximum(density, floor)) - small
    ratio = jnp.where(left, small, large)
    slope = 1 - jnp.where(left, fraction * ((a - 1) * y - (b - 1) * x), large * _score(x, y, a, b))
    return jnp.where(left, small * density, 1 - small * density), ratio, slope, density


def _squared_ratio(x, y, a, b):
    """F²/f on the unit interval."""
    cdf, ratio, *_ = _incomplete(x, y, a, b, _log_beta(a, b))
    return cdf * ratio


def _squared_ratio_integral(x, y, a, b):
    """∫_0^x F²/f on the unit interval."""
    x, y, a, b = jnp.broadcast_arrays(x, y, a, b)
    return _integral(_squared_ratio, x, y, lax.stop_gradient(_points(x, y, a, b)), a, b)


def _points(x, y, a, b):
    """Nodes t, 1 − t and weights of ∫_0^x, in u = log t/(1 − t), where every power law is an exponential: one panel
    up to the mean, one beyond it. There F²/f·(1 − t) ∝ (1 − t)^(2 − b): with b < 2 it ends where that is 1e-17, and
    with b ≥ 2, where the whole integral is infinite, at 1 − t = 1e-17: an end so near 1 comes with w² F²/f → 0."""
    mean = a / (a + b)
    below, above = jnp.where(x < mean, x, mean), jnp.where(x < mean, y, 1 - mean)
    middle = jnp.log(_off_zero(below)) - jnp.log(_off_zero(above))
    top = jnp.log(_off_zero(x)) - jnp.log(_off_zero(y))
    bottom = middle - _fall(middle, a + 2, b - 1, 39.0)

    top = jnp.minimum(top, jnp.where(b < 2, middle + 39 / jnp.maximum(2 - b, 0.1), 39.0))
    fades = (top - middle > _LONG) & (b < 2)

    def rows(values):
        return jnp.asarray(values, x.dtype).reshape((-1,) + (1,) * x.ndim)

    def panel(start, end, depth, weights):
        logit = end - (end - start) * depth
        at, rest = jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)
        return at, rest, (end - start) * weights * at * rest

    beyond = (jnp.where(fades, rows(fade), rows(even)) for fade, even in ((_FADE, _NODES), (_FADE_WEIGHTS, _WEIGHTS)))
    panels = panel(bottom, middle, rows(_DEPTH), rows(_DEPTH_WEIGHTS)), panel(middle, top, *beyond)
    return tuple(jnp.concatenate(parts) for parts in zip(*panels, strict=True))


def _fall(logit, a, b, depth):
    """How far below a logit t^a (1 − t)^b has fallen by the factor exp(−depth): Newton's steps, at first from what its
    slope at the end and its curvature here would make of it."""

    def log_power(u):
        return a * jax.nn.log_sigmoid(u) + b * jax.nn.log_sigmoid(-u)

    start, spread = log_power(logit), jax.nn.sigmoid(logit) * jax.nn.sigmoid(-logit)
    reach = depth / a + jnp.sqrt(2 * depth / ((a + b) * spread + 2 * a**2 / depth))
    for _ in range(4):
        slope = a * jax.nn.sigmoid(reach - logit) - b * jax.nn.sigmoid(logit - reach)
        reach = reach - (start - log_power(logit - reach) - depth) / slope
    return reach


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _integral(integrand, x, y, points, a, b):
    """∫_0^x integrand(t, 1 − t, a, b) dt, right in every derivative though the points are held fixed."""
    at, rest, weights = points
    return jnp.sum(weights * integrand(at, rest, a, b), axis=0)


@_integral.defjvp
@standard
def _integral_jvp(integrand, primals, tangents):
    """Each slope is an `_integral` of values alone: reverse mode drops the rules of functions of a tangent."""
    x, y, _, a, b = primals
    x_dot, _, _, a_dot, b_dot = tangents

    def a_slope(at, rest, a, b):
        return jax.jvp(lambda a: integrand(at, rest, a, b), (a,), (jnp.ones_like(a),))[1]

    def b_slope(at, rest, a, b):
        return jax.jvp(lambda b: integrand(at, rest, a, b), (b,), (jnp.ones_like(b),))[1]

    inside = _integral(a_slope, *primals) * a_dot + _integral(b_slope, *primals) * b_dot
    return _integral(integrand, *primals), inside + integrand(x, y, a, b) * x_dot
