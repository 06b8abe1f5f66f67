"""Laws without closed forms: everything follows from a density, by polynomials on panels.

A law of this kind is one small file: fields, `log_density`, and `landmarks` where it has kinks or narrow places.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmech.arrays import NumbersLike, takes_arrays
from jaxmech.endowments.law import Law
from jaxmech.endowments.panels import Panels
from jaxmech.endowments.sides import Sides
from jaxmech.numerics.polynomials import rule_of
from jaxmech.programs import compiled

NODES = 16  # of each panel


def resolved_to(dtype: Any) -> float:
    """Probability that the polynomials of a law may miss: 1e-9 in float64."""
    return max(1e-9, 100 * float(jnp.finfo(dtype).eps))


class Numerical(Law):
    """Base of the laws that compute by `panels`, a piecewise polynomial of their density."""

    def panels(self) -> Panels:
        """The law as polynomials between its landmarks."""
        raise NotImplementedError

    def resolved(self) -> Law:
        return self.panels()

    def sides(self) -> Sides:
        return self.panels().sides()

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return self.panels().log_pdf(z)

    def score(self, z: ArrayLike) -> jax.Array:
        return self.panels().score(z)

    def reflected(self) -> Law:
        return self.panels().reflected()

    def quantile(self, probability: ArrayLike) -> jax.Array:
        return self.panels().quantile(probability)

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        return self.panels().sample(key, shape)

    @takes_arrays
    @compiled
    def pdf(self, z: NumbersLike) -> jax.Array:
        return jnp.exp(self.log_pdf(jnp.asarray(z)))

    mean = property(lambda self: self.panels().mean)
    variance = property(lambda self: self.panels().variance)


class FromDensity(Numerical):
    """Base of the laws that write down `log_density`, and `lower` and `upper` among their fields."""

    def log_density(self, z: jax.Array) -> jax.Array:
        """log f(z) up to a constant; z inside the support, shape (..., G)."""
        raise NotImplementedError

    def panels(self) -> Panels:
        return panels_of(self.log_density, self.landmarks(), self.bunches)

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return log_pdf_of(self.log_density, self.landmarks(), z)


def panels_of(log_density: Callable[[jax.Array], jax.Array], cuts: jax.Array, bunches: int) -> Panels:
    """The law whose density is proportional to exp(log_density), with panels between the cuts, (n, G, ...)."""
    return Panels(cuts, _scaled(log_density, cuts)[0], bunches)


def log_pdf_of(log_density: Callable[[Any], jax.Array], cuts: jax.Array, z: ArrayLike) -> jax.Array:
    """log f(z) of that law."""
    return log_density(z) - _scaled(log_density, cuts)[1]


def _scaled(log_density, cuts):
    """Density at the nodes, and the logarithm of ∫ exp(log_density)."""
    shell = Panels(cuts, jnp.ones((cuts.shape[0] - 1, NODES, *cuts.shape[1:]), cuts.dtype))
    log_values = log_density(shell.nodes) + jnp.zeros_like(shell.values)
    top = jnp.max(log_values, axis=(0, 1))
    values = jnp.exp(log_values - top)
    half = 0.5 * jnp.diff(cuts, axis=0)
    mass = jnp.einsum("p...,j,pj...->...", half, jnp.asarray(rule_of(NODES).weights, cuts.dtype), values)
    return values / mass, top + jnp.log(mass)
