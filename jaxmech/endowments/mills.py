"""Bounded moments of the normal density and integrals of its Mills ratio, in standard units.

    R_k(ζ, λ; p) = ∫_λ^ζ (ζ − t)^k exp((p² − t²)/2) dt,     k = 0, 1, 2,

where p is the point of [λ, ζ] nearest to the mode. Nothing is subtracted from one, nothing over- or underflows.
"""

import math

import jax
import jax.numpy as jnp

from jaxmech.arrays import standard, total
from jaxmech.endowments.landmarks import beside, gathered_rule

AT_MODE = math.sqrt(math.pi / 2)  # M(0)
# Up to which |ζ|h the recurrence is taken, and the steps it needs there to be right to rounding. Beyond, differences
# lose digits: R_0 some ζ²/(|ζ|h) units in the last place, R_2 some ζ⁴/(|ζ|h)³.
_CLOSE, _STEPS = 1.0, 18
_CLOSE_FOR_RATIO, _STEPS_FOR_RATIO = 0.1, 9
# Nodes gather at ζ, where the integrands live: fractions sinh(1.5 x)/sinh(1.5) of the way down.
_DEPTH, _DEPTH_WEIGHTS = gathered_rule(20, 1.5)
# (1 + 2x) erfcx(x) as a polynomial in (x − 3.75)/(x + 3.75), interpolated at 23 Chebyshev points with 40 digits: 4e-16
# from it for all x ≥ 0, in less than half the time of erfcx.
_ERFCX_POLE = 3.75
# fmt: off
_ERFCX = (
    1.2375126308378275, -0.14024059858554522, 0.003585415485466307, 0.08227673848999159, -0.10880393014193915,
    0.09230432116435618, -0.05869339858449183, 0.02836227737136989, -0.009746579620815248, 0.0017556261692286336,
    0.00029371408777325886, -0.0002901553656430397, 5.16473712350737e-05, 2.238759273358122e-05,
    -1.1439615251666529e-05, -9.792975410068633e-07, 1.7438577289745109e-06, -5.0816901325490194e-08,
    -2.4996536966383035e-07, 1.8778496020110783e-08, 3.256498559190047e-08, -1.9527890909783285e-09,
    -2.7293930383561015e-09,
)
# fmt: on


def erfcx(x: jax.Array) -> jax.Array:
    """exp(x²) erfc(x) for finite x ≥ 0."""
    shifted, doubled = x + _ERFCX_POLE, 1 + 2 * x
    inverse = 1 / (shifted * doubled)  # divisions are dear
    place = (x - _ERFCX_POLE) * doubled * inverse
    value = jnp.full_like(place, _ERFCX[-1])
    for coefficient in _ERFCX[-2::-1]:
        value = value * place + coefficient
    return value * shifted * inverse


def _mills(x):
    """exp(x²/2) ∫_x^∞ exp(−t²/2) dt for x ≥ 0."""
    return AT_MODE * erfcx(x * math.sqrt(0.5))


def signed_mills(at: jax.Array) -> jax.Array:
    """±M(|ζ|), + where ζ > 0: what an end contributes to R_0; its derivative is accounted for in `bounded_moments`."""
    return jax.lax.stop_gradient(jnp.where(at > 0, 1.0, -1.0) * _mills(jnp.abs(at)))


def log_decay(near: jax.Array, at: jax.Array) -> jax.Array:
    """(p² − ζ²)/2 without cancellation."""
    return 0.5 * (near - at) * (near + at)


def positive(height: jax.Array) -> jax.Array:
    """A density kept off 0: where it underflows, F/f is beyond any virtual type."""
    return jnp.maximum(height, jnp.finfo(jnp.result_type(height)).tiny ** 0.9)


@jax.custom_jvp
def bounded_moments(
    at: jax.Array, reach: jax.Array, near: jax.Array, mills: jax.Array, own_mills: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """R_0, R_1, R_2 of the module's docstring at ζ = `at`, λ = ζ − `reach`; p = `near` is held fixed in derivatives.

    From Mills ratios on each side of the mode, `signed_mills` of λ and of ζ; where ζ is close to λ those cancel, and
    the moments come from a recurrence instead.
    """
    at_height, lower_height, close = _heights(at, reach, near)
    near_moments = _close_moments(at, jnp.where(close, reach, 0.0), lower_height, _STEPS)
    whole = jnp.where((at - reach <= 0) & (at > 0), math.sqrt(2 * math.pi), 0.0)
    difference = mills * lower_height - own_mills * at_height + whole
    height = positive(at_height)
    # XLA computes what ends in a division once, and anything cheaper anew for every use.
    zeroth = jnp.where(close, reach * near_moments[0], difference) / height * height
    first = at * zeroth - (lower_height - at_height)
    second = at * first + zeroth - reach * lower_height
    first, second = (
        jnp.where(close, reach ** (k + 1) * near_moments[k], moment) for k, moment in ((1, first), (2, second))
    )
    return zeroth, first, second


def _heights(at, reach, near):
    """exp((p² − t²)/2) at ζ and λ, and whether these are close: then in a ratio exact to rounding, whatever ζ."""
    close = (reach < 0.3 * _CLOSE) & (jnp.abs(at) * reach < _CLOSE)
    decay = log_decay(near, at)
    lower_decay = jnp.where(close, decay + reach * (at - 0.5 * reach), log_decay(near, at - reach))
    return jnp.exp(decay), jnp.exp(lower_decay), close


def _close_moments(at, reach, lower_height, steps):
    """R_k/h^(k+1), k = 0, 1, 2, for small h = `reach`: R_(k−1) = (h^k e(λ) − ζ R_k + R_(k+1))/k by parts, downwards.

    Upwards the recurrence divides rounding by h each time; downwards each step forgets the guess it began from, by 1/k.
    """
    drift, spread = at * reach, reach**2
    moments = [lower_height * (1 / (steps + 2)), lower_height * (1 / (steps + 1))]
    for k in range(steps, 0, -1):
        moments.append((lower_height - drift * moments[-1] + spread * moments[-2]) * (1 / k))
    return moments[:-4:-1]


@jax.custom_jvp
def cdf_ratio(at: jax.Array, reach: jax.Array, mills: jax.Array, own_mills: jax.Array, height: jax.Array) -> jax.Array:
    """r = F/f = ∫_λ^ζ exp((ζ² − t²)/2) dt at ζ = `at`, λ = ζ − `reach`, for places where nothing else is asked for.

    Args:
      mills, own_mills: `signed_mills` of λ and of ζ.
      height: exp(−ζ²/2) where the mode lies in between, λ ≤ 0 < ζ, where somebody has it already; else anything > 0.
    """
    lower_height = _lower_height(at, reach)
    close = (reach < 0.3 * _CLOSE_FOR_RATIO) & (jnp.abs(at) * reach < _CLOSE_FOR_RATIO)
    near = reach * _close_moments(at, jnp.where(close, reach, 0.0), lower_height, _STEPS_FOR_RATIO)[0]
    whole = jnp.where((at - reach <= 0) & (at > 0), math.sqrt(2 * math.pi), 0.0)
    return jnp.where(close, near, mills * lower_height - own_mills + whole / positive(height))


@cdf_ratio.defjvp
@standard
def _cdf_ratio_jvp(primals, tangents):
    (at, reach, *_), (at_dot, reach_dot, *_) = primals, tangents
    ratio = cdf_ratio(*primals)
    return ratio, (1 + at * ratio) * at_dot - _lower_height(at, reach) * (at_dot - reach_dot)


def _lower_height(at, reach):
    """exp((ζ² − λ²)/2), kept off ∞."""
    highest = -0.9 * math.log(jnp.finfo(jnp.result_type(at)).tiny)
    return jnp.exp(jnp.minimum(reach * (at - 0.5 * reach), highest))


@bounded_moments.defjvp
@standard
def _bounded_moments_jvp(primals, tangents):
    at, reach, near, *_ = primals
    at_dot, reach_dot, *_ = tangents
    zeroth, first, second = bounded_moments(*primals)
    low = jnp.exp(log_decay(near, at - reach)) * (at_dot - reach_dot)
    return (zeroth, first, second), (
        jnp.exp(log_decay(near, at)) * at_dot - low,
        zeroth * at_dot - reach * low,
        2 * first * at_dot - reach**2 * low,
    )


def _points(at, lower):
    """Nodes and weights for ∫_λ^ζ of a function that falls away from ζ at least as fast as exp(−t²/2) does."""
    negative = jnp.minimum(at, 0.0)
    reach = jnp.minimum(at - lower, jnp.maximum(at, 0.0) + 78 / (jnp.sqrt(negative**2 + 78) - negative))
    return at - reach * beside(_DEPTH, at), reach * beside(_DEPTH_WEIGHTS, at)


def _ratio_and_height(points, lower, near, mills):
    """r and exp((p² − t²)/2) at points t."""
    height = jnp.exp(log_decay(near, points))
    return cdf_ratio(points, points - lower, mills, signed_mills(points), height), positive(height)


@jax.custom_jvp
def squared_mills_integral(at: jax.Array, lower: jax.Array, near: jax.Array, mills: jax.Array) -> jax.Array:
    """∫_λ^ζ r(t)² exp((p² − t²)/2) dt with r = F/f in standard units; p = `near` is held fixed in derivatives.

    `mills` is `signed_mills` of λ.
    """
    at, lower, near, mills = jnp.broadcast_arrays(at, lower, near, mills)
    points, weights = _points(at, lower)
    ratio, height = _ratio_and_height(points, lower, near, mills)
    return total(weights * ratio * (ratio * height))


@squared_mills_integral.defjvp
@standard
def _squared_mills_integral_jvp(primals, tangents):
    at, lower, near, mills = primals
    at_dot, lower_dot, *_ = tangents
    ratio, height = _ratio_and_height(at, lower, near, mills)
    lower_slope = -2 * jnp.exp(log_decay(near, lower)) * _mills_integral(at, lower, near, mills)
    return squared_mills_integral(*primals), ratio * (ratio * height) * at_dot + lower_slope * lower_dot


@jax.custom_jvp
def _mills_integral(at, lower, near, mills):
    """∫_λ^ζ r(t) dt."""
    at, lower, near, mills = jnp.broadcast_arrays(at, lower, near, mills)
    points, weights = _points(at, lower)
    return total(weights * _ratio_and_height(points, lower, near, mills)[0])


@_mills_integral.defjvp
@standard
def _mills_integral_jvp(primals, tangents):
    at, lower, near, mills = primals
    at_dot, lower_dot, *_ = tangents
    ratio, _ = _ratio_and_height(at, lower, near, mills)
    return _mills_integral(*primals), ratio * at_dot - _growth_integral(at, lower) * lower_dot


@jax.custom_jvp
def _growth_integral(at, lower):
    """∫_λ^ζ exp((t² − λ²)/2) dt."""
    at, lower = jnp.broadcast_arrays(at, lower)
    points, weights = _points(at, lower)
    return total(weights * jnp.exp(log_decay(points, lower)))


@_growth_integral.defjvp
@standard
def _growth_integral_jvp(primals, tangents):
    at, lower = primals
    at_dot, lower_dot = tangents
    value = _growth_integral(at, lower)
    return value, jnp.exp(log_decay(at, lower)) * at_dot - (1 + lower * value) * lower_dot
