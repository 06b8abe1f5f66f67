"""The peers' problem: the paper's own system of four unknowns a trader, Eq. (14)–(17) corrected, for dense solvers.

Unknowns of trader i: η_i, the ends a_i and b_i of the binding interval, and W_i = ∫Ω_i/(1 + λ). With w the effective
revenue weight, μ the mean, G = ∫F and m_i = μ_i − W_i + w (h_i − μ_i) = E V_i:

    η_i (K − κ_i) = κ_i Σ_{j≠i} m_j
    a + w F(a)/f(a) = η = b − w (1 − F(b))/f(b)
    W = [b F(b) − a F(a)] − (1 − w)[G(b) − G(a)] − η [F(b) − F(a)] + w (h − b)

Truncated normals are written with `ndtr` as a reader of the paper would, apart from jaxmech's own formulas: agreement
between the two is evidence for both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
import scipy.optimize
from jax.scipy.special import ndtr

TOLERANCE = 1e-12


class Problem(NamedTuple):
    """One market of N truncated-normal traders, all fields (N,) but the weight; batches have their axis in front."""

    loc: jax.Array
    scale: jax.Array
    lower: jax.Array
    upper: jax.Array
    risk_capacity: jax.Array
    weight: jax.Array


def density(x):
    return jnp.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def tails(problem, z):
    """F, f and ∫F at z."""
    at, lower, upper = ((x - problem.loc) / problem.scale for x in (z, problem.lower, problem.upper))
    mass = ndtr(upper) - ndtr(lower)
    below = ndtr(at) - ndtr(lower)
    integral = at * below + density(at) - density(lower)
    return below / mass, density(at) / (mass * problem.scale), problem.scale * integral / mass


def multiplier_integral(problem, eta, low, high):
    """W, the last equation of the module's docstring."""
    cdf_low, _, integral_low = tails(problem, low)
    cdf_high, _, integral_high = tails(problem, high)
    moved = high * cdf_high - low * cdf_low - (1 - problem.weight) * (integral_high - integral_low)
    return moved - eta * (cdf_high - cdf_low) + problem.weight * (problem.upper - high)


def residual(unknowns, problem):
    """The four equations, flat (4N,)."""
    eta, low, high, integral = jnp.split(unknowns, 4)
    cdf_low, density_low, _ = tails(problem, low)
    cdf_high, density_high, _ = tails(problem, high)
    mean = problem.upper - tails(problem, problem.upper)[2]
    expected = mean - integral + problem.weight * (problem.upper - mean)
    others = jnp.sum(problem.risk_capacity) - problem.risk_capacity
    return jnp.concatenate(
        [
            eta * others - problem.risk_capacity * (jnp.sum(expected) - expected),
            low + problem.weight * cdf_low / density_low - eta,
            high - problem.weight * (1 - cdf_high) / density_high - eta,
            integral - multiplier_integral(problem, eta, low, high),
        ]
    )


def start(problem):
    """η, a, b of uniform endowments with the same means (Corollary 1.1), the guess that jaxmech starts from too."""
    weight, capacity = problem.weight, jnp.sum(problem.risk_capacity)
    mean = problem.upper - tails(problem, problem.upper)[2]
    share = problem.risk_capacity / ((1 + weight) * capacity - problem.risk_capacity)
    total = jnp.sum(mean * (1 - weight * share)) / (1 - weight * jnp.sum(share))
    eta = share * (total - mean)
    middle = jnp.clip(eta, problem.lower, problem.upper)
    low = (middle + weight * problem.lower) / (1 + weight)
    high = (middle + weight * problem.upper) / (1 + weight)
    return jnp.concatenate([eta, low, high, multiplier_integral(problem, eta, low, high)])


def newton(problem):
    """Dense Newton of optimistix on one market; vmap for a batch."""
    solver = optimistix.Newton(rtol=TOLERANCE, atol=TOLERANCE)
    return optimistix.root_find(residual, solver, start(problem), problem, throw=False, max_steps=64).value


largest_residual = jax.jit(jax.vmap(lambda unknowns, problem: jnp.max(jnp.abs(residual(unknowns, problem)))))
_value = jax.jit(residual)
_value_and_jacobian = jax.jit(
    lambda unknowns, problem: (residual(unknowns, problem), jax.jacfwd(residual)(unknowns, problem))
)


def scipy_roots(starts, problems, with_jacobian):
    """scipy.optimize.root, one market after the other, on compiled residuals."""

    def with_slope(unknowns, problem):
        value, jacobian = _value_and_jacobian(unknowns, problem)
        return np.asarray(value), np.asarray(jacobian)

    def without(unknowns, problem):
        return np.asarray(_value(unknowns, problem))

    function = with_slope if with_jacobian else without
    found = [
        scipy.optimize.root(function, first, (problem,), jac=with_jacobian, tol=TOLERANCE).x
        for first, problem in zip(starts, problems, strict=True)
    ]
    return np.stack(found)
