"""Other ways to the same answer, side by side: each peer is a call that returns η, a and b of every market, (markets,
3 traders), and is refused where it differs from jaxmech's certified answer."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import paper_system
import scalar_reduction
from harness import require
from main_case import ALLOWED


class Case(NamedTuple):
    """Markets with their certified answers."""

    arrays: list  # loc, scale, lower, upper, κ, each (traders, markets)
    weight: jax.Array
    eta: jax.Array  # (traders, markets)
    ends: jax.Array  # (a, −b), (2, traders, markets)

    @property
    def problems(self):
        return paper_system.Problem(*(array.T for array in self.arrays), self.weight)

    @property
    def answer(self):
        return jnp.concatenate([self.eta, self.ends[0], -self.ends[1]]).T

    def first(self, markets):
        return Case(*jax.tree.map(lambda leaf: leaf[..., :markets], tuple(self)))


@cache
def dense_newton(size):
    """Optimistix on a batch whose axis is in front, `size` markets at a time."""
    return jax.jit(lambda problem: jax.lax.map(paper_system.newton, problem, batch_size=size))


def optimistix(case, size):
    """Vmapped dense Newton on the paper's 4N unknowns."""
    return partial(dense_newton(size), case.problems)


def scipy_root(case, with_jacobian):
    """`scipy.optimize.root` on the paper's 4N unknowns, a market at a time."""
    problems = case.problems
    points = [jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), problems) for k in range(len(case.weight))]
    return partial(paper_system.scipy_roots, np.asarray(_starts(problems)), points, with_jacobian)


_starts = jax.jit(jax.vmap(paper_system.start))


def find_root(case):
    """`scipy.optimize.elementwise.find_root` on nested scalar roots, all markets at once."""
    arrays = [np.asarray(array) for array in (*case.arrays, case.weight)]
    return lambda: np.concatenate(scalar_reduction.solution(*arrays)).T


def require_same(found, case, who):
    """Where η lies inside the support. Elsewhere the paper's system is not the problem: a trader always sells or always
    buys, and its root has an end of the binding interval outside the support. The scalar roots know such traders."""
    found = jnp.asarray(found)[:, : 3 * len(case.eta)]
    apart = jnp.max(jnp.abs(found - case.answer), axis=1)
    if who != "find_root":
        inside = jnp.all((case.arrays[2] < case.eta) & (case.eta < case.arrays[3]), axis=0)
        least = 0.9 if len(case.eta) == 2 else 0.999  # of two traders one often always sells or always buys
        require(float(jnp.mean(inside)) > least, "the paper's system is the problem of too few markets")
        apart = apart[inside]
    require(bool(jnp.all(apart <= ALLOWED)), f"{who}: solutions differ by {float(jnp.max(apart)):.1e}")


def require_solved(unknowns, problems, who):
    """The paper's equations hold at the unknowns, (markets, 4 traders)."""
    worst = float(jnp.max(paper_system.largest_residual(jnp.asarray(unknowns), problems)))
    require(worst <= ALLOWED, f"{who}: residual {worst:.1e}")
