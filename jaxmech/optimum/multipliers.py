"""The multiplier system (*) of theory §3–4: one unknown η and one interval [a, b] a group, O(groups) work.

    η_i (K − κ_i) = κ_i (M − m_i(η_i)),    M = Σ_j m_j(η_j),    ψ⁻(a_i) = η_i = ψ⁺(b_i)                    (*)

It replaces Eq. (14), (16), (17) and (18), whose printed forms are wrong (errata E1–E3). One loop moves η by Newton's
step from an arrowhead Jacobian and a, b by one safeguarded Newton step each; where Newton does not reduce the residual,
the sup-norm contraction x_i ← Σ_{j≠i} m_j/(K − κ_i) in x = η/κ is taken instead, which converges from anywhere.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import mirrored, norm, standard, total
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import batch_behind
from jaxmech.numerics.tangents import directional, unmoved
from jaxmech.optimum.binding_ends import EndRange, end_range, move_ends
from jaxmech.optimum.ironing.bunching import overflows, refuses, virtual_curves
from jaxmech.optimum.ironing.hull import Bunching
from jaxmech.optimum.ironing.ironed import Sums, bunches_of, end_finder, standing, still_bunching, sums
from jaxmech.optimum.pieces import in_pieces
from jaxmech.optimum.target_lines import TargetLine, kernel_level, kernel_weight, lifted, target_line
from jaxmech.optimum.virtual_types import expected_virtual_type

MAX_STEPS = 100
_TRUSTED = 6
_TOLERANCE = 200  # of rounding, at most
_FINEST = 1e-6  # which is less in float32: points of a frontier must fit each other
_STALL = 1e-11


class AtEnds(NamedTuple):
    """The law at the ends of the binding interval, where the loop ended; rows (left, right) of shape (2, G, ...)."""

    cdf: jax.Array  # probability of the types on this side
    integral: jax.Array  # ∫F up to the end
    second_integral: jax.Array  # ∫∫F


class Multipliers(NamedTuple):
    """Solution of (*), with what the loop has evaluated there."""

    eta: jax.Array  # η, virtual type of those who expect no trade, (G, ...)
    ends: jax.Array  # (a, −b), (2, G, ...)
    at_ends: AtEnds
    sums: Sums
    error: jax.Array  # length of the last Newton step not taken: the distance to the solution to first order, η in
    # units of width + |η|, a and b in units of the width of the support; ∞ or large where the solve failed
    steps: jax.Array  # steps taken, integer
    bunching: Bunching = None  # where laws that are not regular are ironed: see `ironing`
    refused: jax.Array | None = None  # whether a law is not regular where an outside option needs it to be (beyond §16)


def arrowhead_solve(
    residual: jax.Array, probability: jax.Array, risk_capacity: jax.Array, count: jax.Array
) -> jax.Array:
    """dη with (K − κ_i) dη_i + κ_i p_i dη_i − κ_i Σ_j n_j p_j dη_j = r_i, in two passes over the groups."""
    diagonal = total(count * risk_capacity) - risk_capacity + risk_capacity * probability
    pull = count * probability / diagonal
    mean_shift = total(pull * residual) / (1 - total(pull * risk_capacity))
    return (residual + risk_capacity * mean_shift) / diagonal


def system_residual(eta: jax.Array, mean: jax.Array, risk_capacity: jax.Array, count: jax.Array) -> jax.Array:
    """κ_i (M − m_i) − η_i (K − κ_i), shape (G,): 0 where Eq. (13) holds."""
    others = total(count * mean) - mean
    return risk_capacity * others - eta * (total(count * risk_capacity) - risk_capacity)


def uniform_eta(
    mean: jax.Array,
    risk_capacity: jax.Array,
    count: jax.Array,
    weight: jax.Array,
    line: TargetLine | None = None,
) -> jax.Array:
    """η of uniform endowments with these means and intervals inside the supports: Corollary 1.1, Eq. (27)–(30),
    corrected (errata E2, E3) and solved (theory §4, beyond §6).

        m_i = B_i + p_iη_i,    η_i = κ_i (M − B_i)/(K − κ_i + κ_ip_i),    M from Σ m_i = M

    with p = w/(1 + w) and B = μ/(1 + w); w and the line are the kernel's.
    """
    weight = weight if weight.ndim < mean.ndim + 1 else weight[0]
    probability = weight / (1 + weight)
    intercept = lifted(mean / (1 + weight), mean, line)
    if line is not None:
        intercept = intercept - probability * line.slope * line.centre
    share = risk_capacity / (total(count * risk_capacity) - (1 - probability) * risk_capacity)
    kept = 1 - share * probability
    scaled_sum = total(count * intercept * kept) / (1 - total(count * share * probability))
    return share * (scaled_sum - intercept)


def _residual_at(market, line, eta, ends, at_ends, weight):
    """(the residual of (*), the probability of the binding interval) at η and the ends, by the kernel's weight."""
    level, (lower, upper) = kernel_level(eta, line), (market.lower, market.upper)
    mean, probability, _ = expected_virtual_type(level, ends, at_ends, lower, upper, weight)
    return system_residual(eta, lifted(mean, market.mean, line), market.risk_capacity, market.count), probability


def _uniform_guess(market, weight, line):
    """η of uniform endowments with the same means, and a, b near it."""
    eta, lower = uniform_eta(market.mean, market.risk_capacity, market.count, weight, line), market.sides.lower
    level = kernel_level(eta, line)
    middle = jnp.clip(mirrored(level, level), lower, market.sides.upper)
    return eta, jnp.maximum((middle + weight * lower) / (1 + weight), lower)


def _eta_bounds(market, weight, others):
    """Between what η lies: 0 ≤ F ≤ 1 bounds every m by the support. Where nobody trades Newton's step has no bound."""
    bounds = market.lower, market.upper
    if market.extended:  # so it is up to weights of 1
        reach = jnp.maximum(market.weights(weight), 1.0)
        bounds = (market.mean + reach * (end - market.mean) for end in bounds)
    return (market.risk_capacity * (total(market.count * end) - end) / others for end in bounds)


def newton_iteration(market: Prepared, within: EndRange, weight: jax.Array) -> Multipliers:
    """Newton's iteration for (*), from the rule of uniform endowments on.

    It solves Eq. (13). Each pass measures the error where it stands and moves only the markets that are not there yet.
    """
    sides, risk_capacity, count, width = market.sides, market.risk_capacity, market.count, market.width
    others = market.total_risk_capacity - risk_capacity
    line, (least, most) = target_line(market), _eta_bounds(market, weight, others)
    weight = kernel_weight(market.weights(weight), line, width)
    rounding = _TOLERANCE * float(jnp.finfo(width.dtype).eps)
    tolerance, stall, curves = min(rounding, _FINEST), max(rounding, _STALL), virtual_curves(sides, weight)
    bunched = still_bunching(curves)
    bunches = bunches_of(bunched)
    find_ends, top = end_finder(sides, curves, bunches), within.inside + weight * within.steepest

    def step(state):
        eta, ends, _, last, best, error, _, steps = state
        tail = sides.tail(ends)
        residual, probability = _residual_at(market, line, eta, ends, tail, weight)
        contraction = residual / others
        missed = norm(contraction / risk_capacity)
        trusted = (missed < best) | (steps < _TRUSTED)
        move = jnp.where(trusted, arrowhead_solve(residual, probability, risk_capacity, count), contraction)
        new_eta, late = eta + move, steps >= _TRUSTED
        new_eta = jnp.where(new_eta > least, jnp.where(new_eta < most, new_eta, most), least)
        target = mirrored(*(kernel_level(new_eta, line),) * 2)
        new_ends = find_ends(target, move_ends(ends, last, late, target, tail, within, top, weight))
        left, right = (new_ends - ends) / width
        off = move / (width + jnp.abs(eta))
        now = jnp.sqrt(total(off**2 + left**2 + right**2))
        stalled = (now > 0.25 * error) & (now < stall)
        running = ~((now <= tolerance) | stalled) & market.possible
        return (
            jnp.where(running, new_eta, eta),
            jnp.where(running, new_ends, ends),
            AtEnds(tail.cdf, tail.integral, tail.second_integral),
            new_ends - ends,
            jnp.where(steps < _TRUSTED, jnp.inf, jnp.minimum(missed, best)),
            now,
            running,
            steps + running,
        )

    def unfinished(state):
        *_, running, steps = state
        return jnp.any(running & (steps < MAX_STEPS))

    eta, ends, at_ends, _, _, error, _, steps = lax.while_loop(unfinished, step, _start(market, weight, line))
    error = jnp.where(jnp.isnan(error) | overflows(bunches) | ~market.possible, jnp.inf, error)
    integrals, refused = sums(sides, ends, weight, curves, bunched), _refused(market, eta, ends, weight, bunches)
    return Multipliers(eta, ends, at_ends, integrals, error, steps, bunches, refused)


def _refused(market, eta, ends, weight, bunches):
    """Whether a target line meets a law that is not regular; None where there are no lines."""
    line = target_line(market)
    if line is None:
        return None
    return refuses(market.sides, kernel_level(eta, line), ends, weight, line.slope, bunches)


def _start(market, weight, line):
    """What the loop starts from."""
    (eta, ends), shape = _uniform_guess(market, weight, line), market.risk_capacity.shape[1:]
    infinity, nothing = jnp.full(shape, jnp.inf, eta.dtype), jnp.zeros_like(ends)
    running, steps = jnp.broadcast_to(market.possible, shape), jnp.zeros(shape, int)
    return eta, ends, AtEnds(*(nothing,) * 3), nothing, infinity, infinity, running, steps


@jax.custom_jvp
@batch_behind
@in_pieces
def solve_multipliers(market: Prepared, weight: jax.Array) -> Multipliers:
    """Solve (*) for η and the binding intervals.

    (*) stands for Eq. (14) and (16)–(18), corrected (errata E1–E3).

    Args:
      market: Prepared.
      weight: effective revenue weight w in [0, 1], scalar or of the batch's shape.

    Returns:
      Multipliers. Differentiable to any order in both arguments by the implicit function theorem (theory §12).
    """
    return newton_iteration(market, end_range(market), weight)


@partial(solve_multipliers.defjvp, symbolic_zeros=True)
@standard
def _solve_multipliers_jvp(primals, tangents):
    solution = solve_multipliers(*primals)
    return solution, moved(solution, *primals, *tangents)


def moved(solution: Multipliers, market: Prepared, weight: jax.Array, market_dot: Any, weight_dot: Any) -> Multipliers:
    """The tangent of a solution of (*) along those of the market and of w, None for either that does not move.

    The one derivative rule: by the implicit function theorem, an arrowhead solve (theory §12). Inside the support a and
    b need no derivative of their own in m, where V = η. At an end of the support, or where the density jumps, they move
    with that point, and there m does depend on them.
    """
    eta, ends, sides = solution.eta, solution.ends, market.sides
    line = target_line(market)
    level = kernel_level(eta, line)
    at_lower, at_upper = mirrored(level, level) <= sides.lower, ends >= sides.upper

    def seen(market, weight):
        sides, line = market.sides, target_line(market)
        level, weight = kernel_level(eta, line), kernel_weight(market.weights(weight), line, eta)
        cut, jumps = sides.jump_at(ends)
        place = jnp.where(at_lower, sides.lower, jnp.where(at_upper, sides.upper, cut))
        tail, curves = sides.tail(place), virtual_curves(sides, weight)
        bunched = standing(curves, solution.bunching)
        residual, _ = _residual_at(market, line, eta, place, tail, weight)
        integrals = sums(sides, place, weight, curves, bunched)
        value = place + weight * tail.ratio
        if line is not None:
            value = value - mirrored(level, level)
        return jumps, residual, value, place, tail, integrals, bunches_of(bunched)

    there, there_dot = directional(seen, (market, weight), (market_dot, weight_dot))
    jumps, _, _, _, tail, *_ = there
    _, residual_dot, value_dot, place_dot, tail_dot, sums_dot, bunches_dot = there_dot
    pinned, probability = at_lower | at_upper | jumps, 1 - tail.cdf[0] - tail.cdf[1]
    eta_dot = arrowhead_solve(residual_dot, probability, market.risk_capacity, market.count)
    # Where the end moves with a point of the law `place_dot` has said so already.
    weight = kernel_weight(market.weights(weight), line, eta)
    level_dot = eta_dot if line is None else eta_dot / line.power
    free_dot = (mirrored(level_dot, level_dot) - value_dot) / (1 + weight * tail.ratio_slope)
    free_dot = jnp.where(pinned, 0.0, free_dot)
    density, square = (jnp.where(pinned, 0.0, part) * free_dot for part in (tail.density, tail.cdf * tail.ratio))
    if sums_dot.square is None:
        sums_dot = sums_dot._replace(square_integral=sums_dot.square_integral + square)
    else:
        more, less = sums_dot.square + weight**2 * square, sums_dot.earned - weight * square
        sums_dot = sums_dot._replace(square=more, earned=less)
    return unmoved(solution)._replace(
        eta=eta_dot,
        ends=jnp.where(pinned, place_dot, free_dot),
        at_ends=AtEnds(
            tail_dot.cdf + density,
            tail_dot.integral + tail.cdf * free_dot,
            tail_dot.second_integral + tail.integral * free_dot,
        ),
        sums=sums_dot,
        bunching=bunches_dot,
    )
