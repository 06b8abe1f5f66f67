"""The multiplier system (*) of theory §3–4: one unknown η and one interval [a, b] a group, O(groups) work.

    η_i (K − κ_i) = κ_i (M − m_i(η_i)),    M = Σ_j m_j(η_j),    ψ⁻(a_i) = η_i = ψ⁺(b_i)                    (*)

It replaces Eq. (14), (16), (17) and (18), whose printed forms are wrong (errata E1–E3). One loop moves η by Newton's
step from an arrowhead Jacobian and a, b by one safeguarded Newton step each; where Newton does not reduce the residual,
the sup-norm contraction x_i ← Σ_{j≠i} m_j/(K − κ_i) in x = η/κ is taken instead, which converges from anywhere.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.binding_ends import end_range, move_ends
from jaxmech.bunching import bunching, overflows
from jaxmech.groups import mirrored, norm, total
from jaxmech.ironing import ironing
from jaxmech.virtual_types import branch, expected_virtual_type

MAX_STEPS = 100
_TRUSTED = 6
_TOLERANCE = 200
_STALL = 1e-11


class Multipliers(NamedTuple):
    """Solution of (*)."""

    eta: jax.Array  # η, virtual type of those who expect no trade, (G, ...)
    ends: jax.Array  # (a, −b), (2, G, ...)
    error: jax.Array  # length of the last Newton step not taken: the distance to the solution to first order, η in
    # units of width + |η|, a and b in units of the width of the support; ∞ or large where the solve failed
    steps: jax.Array  # steps taken, integer
    bunching: object = None  # where laws that are not regular are ironed: see `ironing`


def arrowhead_solve(residual, probability, risk_capacity, count):
    """dη with (K − κ_i) dη_i + κ_i p_i dη_i − κ_i Σ_j n_j p_j dη_j = r_i, in two passes over the groups."""
    diagonal = total(count * risk_capacity) - risk_capacity + risk_capacity * probability
    pull = count * probability / diagonal
    mean_shift = total(pull * residual) / (1 - total(pull * risk_capacity))
    return (residual + risk_capacity * mean_shift) / diagonal


def system_residual(eta, mean, risk_capacity, count):
    """κ_i (M − m_i) − η_i (K − κ_i), shape (G,): 0 where Eq. (13) holds."""
    others = total(count * mean) - mean
    return risk_capacity * others - eta * (total(count * risk_capacity) - risk_capacity)


def uniform_eta(mean, risk_capacity, count, weight):
    """η of uniform endowments with these means and intervals inside the supports: Corollary 1.1, Eq. (27)–(30),
    corrected (errata E2, E3) and solved (theory §4).

        η_i = κ_i (M(1 + w) − μ_i)/((1 + w)K − κ_i),    M from Σ m_i = M,  m_i = (μ_i + wη_i)/(1 + w)
    """
    diagonal = (1 + weight) * total(count * risk_capacity) - risk_capacity
    share = risk_capacity / diagonal
    scaled_sum = total(count * mean * (1 - weight * share)) / (1 - weight * total(count * share))
    return share * (scaled_sum - mean)


def _uniform_guess(within, risk_capacity, count, weight):
    """η of uniform endowments with the same means, and a, b near it."""
    eta = uniform_eta(within.mean[0], risk_capacity, count, weight)
    middle = jnp.clip(mirrored(eta, eta), within.lower, within.upper)
    return eta, jnp.maximum((middle + weight * within.lower) / (1 + weight), within.lower)


def _iterate(law, risk_capacity, count, weight):
    """The loop. Each pass measures the error where it stands and moves only the markets that are not there yet."""
    sides = law.both_sides()
    left_tail, within, width = law.prepare_both_sides(), end_range(law, weight), law.width
    others = total(count * risk_capacity) - risk_capacity
    # 0 ≤ F ≤ 1 bounds every m by the support, and so η; where nobody trades Newton's step has no such bound.
    least, most = (risk_capacity * (total(count * end) - end) / others for end in (law.lower, law.upper))
    tolerance = _TOLERANCE * jnp.finfo(jnp.result_type(width)).eps
    where = bunching(sides, weight)
    pooled_ends = None if where is None else ironing(sides, weight, where).still_ends()

    def step(state):
        eta, ends, last, best, error, _, steps = state
        at_ends = branch(left_tail, ends, weight)
        mean, probability, _ = expected_virtual_type(eta, ends, at_ends, law, weight)
        residual = system_residual(eta, mean, risk_capacity, count)
        contraction = residual / others
        missed = norm(contraction / risk_capacity)
        trusted = (missed < best) | (steps < _TRUSTED)
        move = jnp.where(trusted, arrowhead_solve(residual, probability, risk_capacity, count), contraction)
        new_eta, late = eta + move, steps >= _TRUSTED
        new_eta = jnp.where(new_eta > least, jnp.where(new_eta < most, new_eta, most), least)
        new_ends = move_ends(ends, last, late, mirrored(new_eta, new_eta), at_ends, within, weight)
        new_ends = _ironed_ends(pooled_ends, new_eta, new_ends)
        left, right = (new_ends - ends) / width
        off = move / (width + jnp.abs(eta))
        now = jnp.sqrt(total(off**2 + left**2 + right**2))
        stalled = (now > 0.25 * error) & (now < _STALL)
        running = ~((now <= tolerance) | stalled)
        return (
            jnp.where(running, new_eta, eta),
            jnp.where(running, new_ends, ends),
            new_ends - ends,
            jnp.where(steps < _TRUSTED, jnp.inf, jnp.minimum(missed, best)),
            now,
            running,
            steps + running,
        )

    def unfinished(state):
        *_, running, steps = state
        return jnp.any(running & (steps < MAX_STEPS))

    eta, ends = _uniform_guess(within, risk_capacity, count, weight)
    ends, shape = _ironed_ends(pooled_ends, eta, ends), eta.shape[1:]
    infinity = jnp.full(shape, jnp.inf, eta.dtype)
    start = eta, ends, jnp.zeros_like(ends), infinity, infinity, jnp.full(shape, True), jnp.zeros(shape, int)
    eta, ends, _, _, error, _, steps = lax.while_loop(unfinished, step, start)
    return eta, ends, jnp.where(jnp.isnan(error) | overflows(where), jnp.inf, error), steps, where


def _ironed_ends(pooled_ends, eta, ends):
    """a and −b from η itself where laws need ironing, which makes them jump; elsewhere as they are."""
    return ends if pooled_ends is None else pooled_ends(mirrored(eta, eta), ends)


@jax.custom_jvp
def solve_multipliers(law, risk_capacity, count, weight):
    """Solve (*) for η and the binding intervals.

    (*) stands for Eq. (14) and (16)–(18), corrected (errata E1–E3).

    Args:
      law: endowment law with fields of shape (G,).
      risk_capacity: κ, shape (G,), > 0.
      count: traders in each group, shape (G,), ≥ 1, two traders in all at least.
      weight: effective revenue weight w in [0, 1], scalar.

    Returns:
      Multipliers. Differentiable to any order in every argument by the implicit function theorem (theory §12).
    """
    return Multipliers(*_iterate(law, risk_capacity, count, weight))


@solve_multipliers.defjvp
def _solve_multipliers_jvp(primals, tangents):
    solution = solve_multipliers(*primals)
    return solution, implicit_tangent(solution, primals, tangents)


def implicit_tangent(solution, primals, tangents):
    """Tangent of a solution of (*) by the implicit function theorem: one arrowhead solve (theory §12).

    Inside the support a and b need no derivative of their own in m, where V = η. At an end of the support, or where the
    density jumps, they move with that point, and there m does depend on them.
    """
    law, risk_capacity, count, _ = primals
    eta, ends = solution.eta, solution.ends
    target, sides = mirrored(eta, eta), law.both_sides()
    at_lower = target <= sides.lower
    at_upper = ends >= sides.upper
    at_jump = sides.jump_at(ends)[1]

    def equations(law, risk_capacity, count, weight):
        sides = law.both_sides()
        moving = jnp.where(at_lower, sides.lower, jnp.where(at_upper, sides.upper, sides.jump_at(ends)[0]))
        at_ends = branch(law.prepare_both_sides(), moving, weight)
        mean, probability, _ = expected_virtual_type(eta, moving, at_ends, law, weight)
        residual = system_residual(eta, mean, risk_capacity, count)
        return residual, moving, at_ends.value, probability, at_ends.slope

    (*_, probability, slope), (residual_dot, moving_dot, value_dot, *_) = jax.jvp(equations, primals, tangents)
    eta_dot = arrowhead_solve(residual_dot, probability, risk_capacity, count)
    interior = (mirrored(eta_dot, eta_dot) - value_dot) / slope
    ends_dot = jnp.where(at_lower | at_upper | at_jump, moving_dot, interior)
    return jax.tree.map(_no_tangent, solution)._replace(eta=eta_dot, ends=ends_dot)


def _no_tangent(value):
    if jnp.issubdtype(value.dtype, jnp.floating):
        return jnp.zeros_like(value)
    return np.zeros(value.shape, jax.dtypes.float0)
