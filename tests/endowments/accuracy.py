"""How far a law is from the exact formulas: one compiled call a family, errors by name of function."""

import jax
import jax.numpy as jnp
import numpy as np

from .exact import exact, exact_derivatives, exact_squared_ratio_derivatives, exact_squared_ratio_integral

RELATIVE = ("pdf", "cdf", "survival", "cdf_ratio", "survival_ratio")
FIRST_POWER = ("cdf_integral", "survival_integral", "partial_mean", "mean")
SECOND_POWER = ("partial_second_moment", "variance")
NAMES = ("log_pdf", "score", *RELATIVE, *FIRST_POWER, *SECOND_POWER)
DIFFERENTIATED = ("pdf", "cdf", "cdf_ratio", "cdf_integral", "partial_second_moment", "mean", "variance")


def value(law, name, z):
    """A function of the law at z, or its mean or variance in the shape of z."""
    found = getattr(law, name)
    return found(z) if callable(found) else found + 0 * z


@jax.jit
def all_values(law, z):
    return {name: value(law, name, z) for name in NAMES}


@jax.jit
def all_squared_ratio_integrals(law, z):
    return law.squared_ratio_integral(z)


def rows(family, parameters):
    """Groups of one family from rows of parameters."""
    return family(*jnp.asarray(parameters, float).T)


def group(law, index):
    return jax.tree.map(lambda field: field[index], law)


def at_fractions(law, fractions):
    """Points of the support, shape (fractions, groups)."""
    return law.lower + law.width * np.asarray(fractions)[:, None]


def value_errors(law, fractions):
    """Largest error of every function over groups and points: relative to the value for densities, distribution
    functions and ratios; to the reach of the support, or its square, for integrals and moments."""
    z = np.asarray(at_fractions(law, fractions))
    found = {name: np.asarray(one) for name, one in all_values(law, z).items()}
    expected = [[exact(group(law, g), point) for g, point in enumerate(row)] for row in z]
    return {name: _error(law, name, found[name], _floats(expected, name)) for name in NAMES}


def _floats(table, name):
    return np.array([[float(one[name]) for one in row] for row in table])


def _error(law, name, found, expected):
    reach = np.maximum(law.width, np.maximum(abs(law.lower), abs(law.upper)))
    size = abs(expected)
    kept = np.ones_like(size, bool)
    if name in RELATIVE:
        kept = (size > 1e-250) & (size < 1e80)
    scale = {"log_pdf": np.maximum(size, 1.0), "score": np.maximum(size, 1 / law.width)}
    scale |= dict.fromkeys(RELATIVE, size) | dict.fromkeys(FIRST_POWER, reach) | dict.fromkeys(SECOND_POWER, reach**2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return float(np.max(np.where(kept, abs(found - expected) / scale[name], 0)))


def squared_ratio_error(law, fractions, largest_ratio=100.0):
    """Largest error of ∫F²/f relative to itself or to the width squared, where F/f is below `largest_ratio` widths."""
    z = np.asarray(at_fractions(law, fractions))
    found, ratio = np.asarray(all_squared_ratio_integrals(law, z)), np.asarray(all_values(law, z)["cdf_ratio"])
    kept = ratio <= largest_ratio * law.width
    expected = [
        [exact_squared_ratio_integral(group(law, g), z[k, g]) if kept[k, g] else 1.0 for g in range(z.shape[1])]
        for k in range(len(z))
    ]
    return float(np.max(np.where(kept, abs(found - expected), 0) / np.maximum(expected, law.width**2)))


def differentiated(family):
    """(fields..., z) ↦ the functions named in DIFFERENTIATED."""

    def functions(point):
        law, z = family(*point[:-1]), point[-1]
        tail = law.left_tail(z)
        partial_second = z**2 * tail.cdf - 2 * z * tail.integral + 2 * tail.second_integral
        return jnp.stack([law.pdf(z), tail.cdf, tail.ratio, tail.integral, partial_second, law.mean, law.variance])

    return functions


def squared_ratio(family):
    return lambda point: family(*point[:-1]).squared_ratio_integral(point[-1])[None]


def derivatives(functions, points):
    """Values' gradients by both modes, and Hessians, at each row of (fields..., z)."""

    def both(point):
        return jax.jacfwd(functions)(point), jax.jacrev(functions)(point), jax.hessian(functions)(point)

    return [np.asarray(one) for one in jax.jit(jax.vmap(both))(jnp.asarray(points, float))]


def exact_gradients(family, points):
    """Gradients and Hessians of DIFFERENTIATED, shapes (points, functions, n) and (points, functions, n, n)."""
    found = [exact_derivatives(family(*point[:-1]), point[-1], DIFFERENTIATED)[1:] for point in points]
    return [np.stack(parts) for parts in zip(*found, strict=True)]


def exact_squared_ratio_gradients(family, points):
    found = [exact_squared_ratio_derivatives(family(*point[:-1]), point[-1])[1:] for point in points]
    return [np.stack(parts) for parts in zip(*found, strict=True)]


def derivative_error(found, expected):
    """Largest error in a gradient or Hessian relative to its largest entry, over points and functions."""
    entries = tuple(range(2, found.ndim))
    scale = np.max(abs(expected), axis=entries)
    return np.max(np.max(abs(found - expected), axis=entries) / np.where(scale > 1e-20, scale, 1.0))
