"""Maximum likelihood: a damped Newton method that fits many starts or many resamples at once, and two exact searches.

The Newton method is written here because a bootstrap refits hundreds of laws: `vmap` makes that one compiled loop. Laws
whose density has a kink at a location need no derivative in it: between observations their likelihood is convex in the
location, so that its maximum is at an observation, and all of them are tried.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.programs import compiled

_STEPS = 200
_LONGEST = 3.0  # step in unconstrained units; the sigmoid is all but flat two such steps out
_SCALES = np.geomspace(1e-3, 10.0, 60)  # of the support's width, on which a Laplace law is first looked for
_GOLDEN = 0.5 * (np.sqrt(5) - 1)


class Found(NamedTuple):
    """Ends of `newton`, one a lane."""

    point: jax.Array  # (B, U), unconstrained
    loss: jax.Array  # (B,), mean negative log likelihood on the unit interval
    bend: jax.Array  # (B, U, U), its Hessian there
    converged: jax.Array  # (B,), booleans


@partial(compiled, static_argnums=0)
def newton(loss, starts, x, weights) -> Found:
    """The least mean loss from each start, by damped saddle-free Newton steps.

    Eigenvalues of the Hessian are taken by size, so that a step descends wherever it starts; the damping falls tenfold
    with each step that helps and rises tenfold with one that does not.

    Args:
      loss: a function of (U,) unconstrained parameters and (n,) observations, giving (n,) losses; hashable.
      starts: (B, U).
      x: observations, (n,).
      weights: (n,), or (B, n) where lanes have their own; not all 0.
    """
    share = weights / jnp.sum(weights, axis=-1, keepdims=True)
    axes = 0, (0 if share.ndim > 1 else None)
    return jax.vmap(lambda start, share: _newton(lambda u: jnp.sum(share * loss(u, x)), start), axes)(starts, share)


def _newton(mean_loss, start):
    tiny = jnp.finfo(start.dtype).eps

    def rates(point):
        value, slope = jax.value_and_grad(mean_loss)(point)
        return slope, (value, slope)

    def look(point):
        bend, (value, slope) = jax.jacfwd(rates, has_aux=True)(point)
        usable = jnp.isfinite(value) & jnp.all(jnp.isfinite(slope)) & jnp.all(jnp.isfinite(bend))
        return jnp.where(usable, value, jnp.inf), slope, bend

    def towards(slope, bend, damping):
        sizes, axes = jnp.linalg.eigh(bend)
        along, sizes = axes.T @ slope, jnp.abs(sizes) + tiny
        move = -axes @ (along / (sizes + damping))
        length = jnp.sqrt(jnp.sum(move**2))
        return move * jnp.minimum(1.0, _LONGEST / jnp.where(length > 0, length, 1.0)), jnp.sum(along**2 / sizes)

    def step(state):
        point, value, slope, bend, damping, _, count = state
        move, promised = towards(slope, bend, damping)
        new = point + move
        seen = look(new)
        better = seen[0] <= value + jnp.where(jnp.isfinite(value), tiny * jnp.abs(value), 0.0)
        kept = [jnp.where(better, a, b) for a, b in zip((new, *seen), (point, value, slope, bend), strict=True)]
        damping = jnp.where(better, 0.1 * damping, jnp.maximum(10 * damping, 1e-6))
        return *kept, damping, promised, count + 1

    def unfinished(state):
        *_, damping, promised, count = state
        return ((count < 2) | (promised > 10 * tiny)) & (damping < 1e9) & (count < _STEPS)

    # The first step goes nowhere: it looks at the start, in the one place where the loss is compiled.
    unseen = jnp.asarray(jnp.inf, start.dtype), jnp.zeros_like(start), jnp.eye(start.size, dtype=start.dtype)
    begin = start, *unseen, jnp.asarray(1e-2, start.dtype), jnp.asarray(jnp.inf, start.dtype), 0
    point, value, slope, bend, *_ = lax.while_loop(unfinished, step, begin)
    _, promised = towards(slope, bend, 0.0)
    return Found(point, value, bend, jnp.isfinite(value) & (promised <= tiny**0.5))


def triangular_mode(x, weights):
    """Mode of a triangular law on [0, 1], (B, 1): the observation at which the likelihood is largest.

    Observations rise, (n,), strictly inside; weights are (B, n).
    """
    total = np.sum(weights, axis=-1, keepdims=True)
    up, below = np.cumsum(weights * np.log(x), axis=-1), np.cumsum(weights, axis=-1)
    down = np.cumsum(weights * np.log1p(-x), axis=-1)
    fit = up - below * np.log(x) + (down[:, -1:] - down) - (total - below) * np.log1p(-x)
    return x[np.argmax(fit, axis=-1)][:, None]


def laplace_location_and_scale(x, weights):
    """Location and scale of a Laplace law cut to [0, 1], (B, 2): every observation is tried as the location.

    The best of all on a coarse grid of scales, then in turn the scale for the location and the reverse, to the end.
    Observations rise, (n,); weights are (B, n).
    """
    share = weights / np.sum(weights, axis=-1, keepdims=True)
    below, moment = np.cumsum(share, axis=-1), np.cumsum(share * x, axis=-1)
    distance = x * (2 * below - 1) + moment[:, -1:] - 2 * moment  # Σ share·|x − x_k|
    rows = np.arange(len(share))
    grid = np.stack([np.max(_laplace_fit(x, distance, scale), axis=-1) for scale in _SCALES])
    best = np.argmax(grid, axis=0)
    scale, place = _SCALES[best], None
    for _ in range(50):
        new = np.argmax(_laplace_fit(x, distance, scale[:, None]), axis=-1)
        if place is not None and np.array_equal(new, place):
            break
        place = new
        scale = _best_scale(x[place], distance[rows, place], scale)
    return np.stack([x[place], scale], axis=1)


def _laplace_fit(location, distance, scale):
    """Mean log likelihood: −log 2s − E|x − m|/s − log P([0, 1])."""
    mass = -0.5 * np.expm1(-location / scale) - 0.5 * np.expm1(-(1 - location) / scale)
    return -np.log(2 * scale) - distance / scale - np.log(mass)


def _best_scale(location, distance, scale):
    """Golden section in log s, around the present scale."""
    ratio = np.log(_SCALES[1] / _SCALES[0])
    low = np.maximum(np.log(scale) - 4 * ratio, np.log(_SCALES[0]))
    high = np.minimum(np.log(scale) + 4 * ratio, np.log(_SCALES[-1]))
    for _ in range(80):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        better = _laplace_fit(location, distance, np.exp(left)) > _laplace_fit(location, distance, np.exp(right))
        low, high = np.where(better, low, left), np.where(better, right, high)
    return np.exp(0.5 * (low + high))
