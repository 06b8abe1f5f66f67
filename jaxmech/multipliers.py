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


def _uniform_guess(law, risk_capacity, count, weight):
    """η of uniform endowments with the same means, and a, b near it."""
    eta = uniform_eta(law.mean, risk_capacity, count, weight)
    middle = jnp.clip(eta, law.lower, law.upper)
    sides, middle = law.both_sides(), mirrored(middle, middle)
    return eta, jnp.maximum((middle + weight * sides.lower) / (1 + weight), sides.lower)


def _move_ends(ends, last, late, target, at_ends, lower, upper, inside, top, weight):
    """One safeguarded Newton step of a (row 0) and −b (row 1) towards ψ(end) = target.

    With rent = w F/f and gap = η − a, equal at the root, Newton on ψ itself divides by 1 + rent'. Near the root the
    slope 1 + rent' √(gap/rent) lies between Newton's for ψ and Newton's for gap/rent, whose errors have opposite signs.
    Far above the root the rent grows like an exponential at rate k = rent'/rent, and y = η − a solves
    ky + log ky = log rent' + k·gap =: L; a rational guess at ky takes it down in one step. The upper end of the support
    is a root only if ψ there, `top`, does not exceed the target; short of an end where F/f is infinite,
    rent ∝ (h − a)^−β. A `late` step that takes back most of the one before, `last`, or more, takes back half of it.
    """
    gap, rent, rent_slope = target - ends, weight * at_ends.ratio, weight * at_ends.ratio_slope
    below, above = rent < 0.2 * gap, (rent > 8 * gap) & (rent_slope > 1)
    balance = jnp.where((gap > 0) & (rent > 0.1 * gap), gap, 0.0) / jnp.where(rent > 0, rent, 1.0)
    newton = ends + (gap - rent) / (1 + rent_slope * jnp.where(below, 1.0, jnp.sqrt(balance)))
    beyond = (newton >= upper) & (target < top) & (rent > 0)
    rate = jnp.where(above | beyond, rent_slope, 1.0) / jnp.where(above | beyond, rent, 1.0)
    size = _rough_log(jnp.where(beyond, rent / jnp.where(beyond, gap, 1.0), jnp.where(above, rent_slope, 1.0)))
    level = size + rate * gap
    guess = jnp.where(level > 1, level - 2 * (level - 1) / (level + 1), 1 / (2 - jnp.minimum(level, 1.0)))
    room = upper - ends
    fall = jnp.maximum(-size / jnp.where(beyond, rate * room, 1.0), 0.7)
    closer = room / (1 + fall * (1 + fall * (0.5 + fall * (1 / 6 + fall / 24))))
    new = jnp.where(above, target - guess / rate, jnp.where(beyond, upper - closer, newton))
    new = jnp.where((new <= lower) & (rent > gap) & (target > lower), 0.5 * (ends + lower), new)
    new = jnp.clip(new, lower, jnp.maximum(jnp.minimum(target, upper), lower))
    # Where F/f is infinite no step leads back from that end.
    new = jnp.where((new >= upper) & (target < top), jnp.minimum(ends + 0.99 * room, inside), new)
    swings = late & (last * (new - ends) < 0) & (jnp.abs(new - ends) > 0.6 * jnp.abs(last))
    return jnp.where(swings, ends - 0.5 * last, new)


def _short_of(lower, upper):
    """A place so close to the upper end that what lies between is rounding."""
    return upper - 4 * jnp.finfo(upper.dtype).eps * (upper - lower + jnp.abs(upper))


def _rough_log(x):
    """log x to the digits of float32, at most 85: enough for a guess, at half the cost."""
    return jnp.log(jnp.clip(x, 1e-37, 1e37).astype(jnp.float32)).astype(x.dtype)


def _iterate(law, risk_capacity, count, weight):
    """The loop. Each pass measures the error where it stands and moves only the markets that are not there yet."""
    sides = law.both_sides()
    left_tail, lower, upper, width = law.prepare_both_sides(), sides.lower, sides.upper, law.width
    others = total(count * risk_capacity) - risk_capacity
    inside = _short_of(lower, upper)
    density = law.pdf(jnp.stack([inside[0], -inside[1]]))
    top = inside + weight * jnp.minimum(1 / density, jnp.finfo(upper.dtype).max)
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
        new_ends = _move_ends(ends, last, late, mirrored(new_eta, new_eta), at_ends, lower, upper, inside, top, weight)
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

    eta, ends = _uniform_guess(law, risk_capacity, count, weight)
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
    law, risk_capacity, count, weight = primals
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
