"""∫F/f and ∫F²/f of laws given by panels (theory §15).

F/f may grow by many decades on one panel: up to a place inside it the integral is taken from nodes of its own, which
see nothing of what comes after.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.numerics.search import pick

if TYPE_CHECKING:
    from jaxmech.endowments.panels import Cuts, Panels

LEAST = 1e-18  # part of its largest below which nothing is to be known about a density


def least_density(values: jax.Array, axis: int = 1) -> jax.Array:
    """Where rounding takes over, 1e-14 (float32: 5e-6) of the largest density at the nodes of a panel."""
    return 45 * jnp.finfo(values.dtype).eps * jnp.max(values, axis=axis)


def summed(pieces: jax.Array) -> jax.Array:
    """What comes before each cut, (panels + 1, ...), of what the panels hold."""
    return jnp.concatenate([jnp.zeros_like(pieces[:1]), jnp.cumsum(pieces, axis=0)])


def seen(
    density: jax.Array, mass: jax.Array, half: jax.Array, cdf: jax.Array, least: jax.Array, floor: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """F and f inside a panel from its polynomials there: F at its lower end is `cdf`, and the density, which is kept
    above rounding, is a part of its largest, `least`, at the least."""
    return cdf + jnp.where(mass > 0, half * mass, 0.0), jnp.maximum(density, least) + floor


class Inside:
    """F and f at places of panels, (nodes, m, ...), one-sided at their ends.

    Args:
      law: Panels.
      table: what `tabulated` knows of them.
    """

    def __init__(self, law: "Panels", table: "Cuts") -> None:
        rule, values = law.rule, law.values
        self.half, self._cdf, self._floor = table.half, table.cdf, table.floor
        self._least = least_density(values)
        # Neither polynomial has a higher degree than there are nodes.
        self._rows = np.stack([rule.value, rule.once], axis=1)[..., : len(rule.nodes) + 1]
        self._values = values

    def __call__(self, panel: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """At places t, (nodes, m, ...), of the panels, (m, ...)."""
        if len(panel) < len(self._values):
            series = self._series(_rows_of(self._values, panel[:, None]))
        else:
            series = _rows_of(self._series(self._values), panel[:, None, None])
        density, mass = jnp.moveaxis(_clenshaw(jnp.moveaxis(series, 2, 0), t[:, :, None]), 2, 0)
        half, cdf, least = (pick(part, panel) for part in (self.half, self._cdf, self._least))
        return seen(density, mass, half, cdf, least, self._floor)

    def _series(self, values):
        """Coefficients of f and of its integral over a panel from the values at its nodes, (panels, 2, n, ...)."""
        return jnp.einsum("nrk,pn...->prk...", jnp.asarray(self._rows, values.dtype), values, precision="highest")


class RatioIntegral:
    """∫ F^power/f over parts of the support.

    Args:
      law: Panels.
      table: what `tabulated` knows of them.
      power: 1 or 2.
      without: panels that never lie between the ends of what is asked for, (panels, ...): they count for nothing.
    """

    def __init__(self, law: "Panels", table: "Cuts", power: int, without: jax.Array | None = None) -> None:
        rule, self._law, self._power = law.rule, law, power
        of = table.ratio if power == 1 else table.square
        of = of if without is None else jnp.where(without[:, None], 0.0, of)
        self._passed = summed(table.half * jnp.sum(law.column(rule.weights) * of, axis=1))
        self._seen = Inside(law, table)

    def to(self, z: jax.Array) -> jax.Array:
        """From the lower end to z, (m, ...)."""
        panel, t = self._law.place(z)
        return pick(self._passed, panel) + self._inside(panel, jnp.full_like(t, -1.0), t)

    def between(self, start: jax.Array, stop: jax.Array) -> jax.Array:
        """From start to stop ≥ start, (m, ...)."""
        (first, low), (last, high) = self._law.place(start), self._law.place(stop)
        one, same = jnp.ones_like(low), first == last
        inside, end = jnp.split(
            self._inside(
                jnp.concatenate([first, last]),
                jnp.concatenate([low, -one]),
                jnp.concatenate([jnp.where(same, high, one), high]),
            ),
            2,
        )
        return inside + jnp.where(same, 0.0, pick(self._passed, last) - pick(self._passed, first + 1) + end)

    def _inside(self, panel, low, high):
        """From place low to place high of a panel."""
        nodes, weights = (jnp.asarray(part, low.dtype).reshape((-1,) + (1,) * low.ndim) for part in self._law.rule[:2])
        cdf, density = self._seen(panel, low + 0.5 * (high - low) * (1 + nodes))
        reach = pick(self._seen.half, panel) * 0.5 * (high - low)
        return reach * jnp.sum(weights * cdf**self._power / density, axis=0)


def _rows_of(array, panel):
    return jnp.take_along_axis(array, panel, axis=0, mode="promise_in_bounds")


def _clenshaw(coefficients, t):
    """The Chebyshev series with these coefficients, (n, m, ...), at t, (nodes, m, ...), by Clenshaw's recurrence.

    A table of the polynomials would be shorter to compile, and sixteen times as large as what is asked for.
    """
    first, *between, one, later = jnp.split(coefficients, len(coefficients))
    twice = 2 * t
    latest = twice * later + one
    for one in between[::-1]:
        later, latest = latest, twice * latest - later + one
    return t * latest - later + first
