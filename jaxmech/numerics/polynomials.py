"""Polynomials through Gauss–Legendre nodes: their values, slopes and integrals as constant matrices."""

from functools import cache, partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import standard


def unit_rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Legendre nodes and weights on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return 0.5 * (1 + places), 0.5 * weights


class Rule(NamedTuple):
    """Gauss–Legendre nodes on [−1, 1] and what goes with them, for polynomials through n of them."""

    nodes: np.ndarray  # (n,)
    weights: np.ndarray  # (n,)
    integral: np.ndarray  # (n, n): from values at the nodes to integrals from −1 to the nodes
    ends: np.ndarray  # (2, n): from values at the nodes to those at −1 and 1
    between: np.ndarray  # (2, n + 1, n): to integrals over what the nodes cut [−1, 1] to, taken once and twice
    # From Chebyshev polynomials at t, n + 3 of them, to the weights of the nodes in the polynomial at t, in its slope,
    # and in its integral from −1 to t once, twice and three times; each (n, n + 3).
    value: np.ndarray
    slope: np.ndarray
    once: np.ndarray
    twice: np.ndarray
    thrice: np.ndarray


@cache
def rule_of(count: int) -> Rule:
    """The Gauss–Legendre rule with that many nodes."""
    legendre, chebyshev = np.polynomial.legendre, np.polynomial.chebyshev
    nodes, weights = legendre.leggauss(count)
    series = (np.arange(count)[:, None] + 0.5) * (legendre.legvander(nodes, count - 1) * weights[:, None]).T
    lagrange = [legendre.Legendre(column) for column in series.T]  # 1 at one node, 0 at the others
    places = chebyshev.chebpts1(count + 3)
    transform = np.linalg.inv(chebyshev.chebvander(places, count + 2))

    def rows(polynomials):
        return np.stack([transform @ one(places) for one in polynomials])

    integrals = [[one.integ(times, lbnd=-1) for one in lagrange] for times in (1, 2, 3)]
    pieces = []
    for low, high in pairwise([-1.0, *nodes, 1.0]):
        inside = 0.5 * (low + high + (high - low) * nodes)
        once = 0.5 * (high - low) * weights * np.stack([one(inside) for one in lagrange])
        pieces.append((once.sum(axis=1), once @ (high - inside)))
    return Rule(
        nodes,
        weights,
        np.stack([one(nodes) for one in integrals[0]], axis=1),
        np.stack([one(np.array([-1.0, 1.0])) for one in lagrange], axis=1),
        np.array(pieces).swapaxes(0, 1),
        rows(lagrange),
        rows([one.deriv() for one in lagrange]),
        *map(rows, integrals),
    )


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def chebyshev(t: jax.Array, count: int) -> jax.Array:
    """T_0, …, T_{count − 1} at t, along a new first axis, from T_{n+k} = 2 T_n T_k − T_{n−k}."""
    known = jnp.stack([jnp.ones_like(t), t])
    while len(known) < count:
        n = len(known) - 1
        known = jnp.concatenate([known, 2 * known[n] * known[1:] - known[:n][::-1]])
    return known[:count]


@chebyshev.defjvp
@standard
def _chebyshev_jvp(count, primals, tangents):
    basis = chebyshev(*primals, count)
    derivative = np.zeros((count, count))
    derivative[:, :-1] = np.stack([np.pad(row, (0, count - 1 - len(row))) for row in map(_derivative, np.eye(count))])
    return basis, weighed(derivative, basis) * tangents[0]


def _derivative(row):
    return np.polynomial.chebyshev.chebder(row)


def weighed(rows: np.ndarray, basis: jax.Array) -> jax.Array:
    """Weights of the nodes, (n, ...), from rows of a `Rule` and Chebyshev polynomials at each place."""
    return jnp.tensordot(jnp.asarray(rows, basis.dtype), basis, axes=1, precision="highest")
