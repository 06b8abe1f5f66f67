"""∫F/f and ∫F²/f of laws given by panels (theory §15).

F/f may grow by many decades on one panel: up to a place inside it the integral is taken from nodes of its own, which
see nothing of what comes after.
"""

import jax.numpy as jnp
import numpy as np

from jaxmech.numerics.search import pick

LEAST = 1e-18  # part of its largest below which nothing is to be known about a density


def least_density(values, axis=1):
    """Where rounding takes over, 1e-14 (float32: 5e-6) of the largest density at the nodes of a panel."""
    return 45 * jnp.finfo(values.dtype).eps * jnp.max(values, axis=axis)


def summed(pieces):
    """What comes before each cut, (panels + 1, ...), of what the panels hold."""
    return jnp.concatenate([jnp.zeros_like(pieces[:1]), jnp.cumsum(pieces, axis=0)])


def seen(density, mass, half, cdf, least, floor):
    """F and f inside a panel from its polynomials there: F at its lower end is `cdf`, and the density, which is kept
    above rounding, is a part of its largest, `least`, at the least."""
    return cdf + jnp.where(mass > 0, half * mass, 0.0), jnp.maximum(density, least) + floor


class Inside:
    """F and f at places of panels, (nodes, m, ...), one-sided at their ends.

    Args:
      law: Panels.
      table: what `tabulated` knows of them.
    """

    def __init__(self, law, table):
        rule, values = law.rule, law.values
        self.half, self._cdf, self._floor = table.half, table.cdf, table.floor
        self._least = least_density(values)
        # Neither polynomial has a higher degree than there are nodes.
        self._rows = np.stack([rule.value, rule.once], axis=1)[..., : len(rule.nodes) + 1]
        self._values = values

    def __call__(self, panel, t):
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

    def __init__(self, law, table, power, without=None):
        rule, self._law, self._power = law.rule, law, power
        of = table.ratio if power == 1 else table.square
        of = of if without is None else jnp.where(without[:, None], 0.0, of)
        self._passed = summed(table.half * jnp.sum(law.column(rule.weights) * of, axis=1))
        self._seen = Inside(law, table)

    def to(self, z):
        """From the lower end to z, (m, ...)."""
        panel, t = self._law.place(z)
        return pick(self._passed, panel) + self._inside(panel, jnp.full_like(t, -1.0), t)

    def between(self, start, stop):
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
