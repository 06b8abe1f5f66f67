"""V and Ω of every type, from what they are on the nodes of pieces on which both are smooth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxmech.endowments import Sides
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.polynomials import chebyshev, rule_of, unit_rule, weighed
from jaxmech.numerics.search import count_below, pick
from jaxmech.optimum.irregular.mesh import ALIKE, NODES, Kinds, Seen, law_at, mesh_of, rent
from jaxmech.optimum.outcomes import Interim, absorbed_variance
from jaxmech.optimum.target_lines import TargetLine, target_line

_JUST = 1e-10  # part of a support that a type lies below a cut, to be seen from inside the piece


def lines_of(market: Prepared) -> TargetLine:
    """The target lines, flat where there is nothing outside."""
    flat = jnp.zeros_like(market.mean)
    return target_line(market) or TargetLine(flat, flat + 1, flat)


class Rule(NamedTuple):
    """V and Ω by pieces of the supports, (pieces, G, ...).

    Polynomials where V is ψ at Ω or the target line; else straight from node to node.
    """

    ends: jax.Array  # (pieces + 1, G, ...)
    virtual: jax.Array  # V at the nodes, (pieces, nodes, G, ...)
    omega: jax.Array  # Ω/(1 + λ) at the nodes
    free: jax.Array  # whether V = ψ at Ω
    binds: jax.Array  # whether V is the target line
    least: jax.Array  # what V has reached before: ψ may still fall by little where the law jumps


def rule_from(
    sides: Sides,
    ends: jax.Array,
    nodes: Seen,
    target: jax.Array,
    weight: jax.Array,
    kind: Kinds,
) -> Rule:
    """The rule from the nodes of the programme, with the target line there.

    Where V is ψ at Ω that says more than a polynomial; where it binds, or there is next to nobody, less.
    """
    (mesh, virtual, omega), width = nodes, ends[-1] - ends[0]
    at_omega = mesh.types + rent(weight, omega, mesh.below, mesh.above) / mesh.density
    free = (jnp.abs(at_omega - virtual) <= ALIKE * width) & ~kind.binds
    free, binds, virtual, omega, target = (
        part.reshape(-1, NODES, *part.shape[1:]) for part in (free, kind.binds, virtual, omega, target)
    )
    free, binds = jnp.all(free, axis=1), jnp.all(binds, axis=1)
    nothing = jnp.full_like(width, -jnp.inf)
    rule = Rule(ends, jnp.where(binds[:, None], target, virtual), omega, free, binds, nothing + 0 * ends[1:])
    piece = lax.broadcasted_iota(int, free.shape, 0)
    stops, _ = _in_pieces(rule, sides, weight, piece, ends[1:] - _JUST * width)
    return rule._replace(least=jnp.concatenate([nothing[None], lax.cummax(stops, axis=0)[:-1]]))


def seen(rule: Rule, sides: Sides, weight: jax.Array, count: int) -> Seen:
    """V and Ω on nodes of one's own."""
    mesh, places = mesh_of(sides, rule.ends, count), 2 * unit_rule(count)[0] - 1
    bases = _bases(jnp.asarray(places, mesh.types.dtype))

    def read(part):
        both = (jnp.einsum("jk,pj...->pk...", basis, part, precision="highest") for basis in bases)
        found = jnp.where((rule.free | rule.binds)[:, None], *both)
        return found.reshape(-1, *part.shape[2:])

    omega, free = read(rule.omega), jnp.repeat(rule.free, count, axis=0)
    at_omega = mesh.types + rent(weight, omega, mesh.below, mesh.above) / mesh.density
    virtual = jnp.where(free, at_omega, read(rule.virtual))
    return Seen(mesh, jnp.maximum(virtual, jnp.repeat(rule.least, count, axis=0)), omega)


def _bases(place):
    """Weights of the nodes in the polynomial through them, and in the straight lines between them, (nodes, ...)."""
    smooth = weighed(rule_of(NODES).value, chebyshev(place, NODES + 3))
    nodes = rule_of(NODES).nodes
    straight = jnp.stack([jnp.interp(place, nodes, row) for row in np.eye(NODES)])
    return smooth, straight


def rule_at(rule: Rule, sides: Sides, weight: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(V, Ω) at types of shape (n, G, ...)."""
    return _in_pieces(rule, sides, weight, piece_of(rule.ends, z), z)


def _in_pieces(rule, sides, weight, piece, z):
    """The same, seen from inside the given pieces."""
    start, stop = pick(rule.ends, piece), pick(rule.ends, piece + 1)
    wide = stop > start
    place = jnp.where(wide, (2 * z - start - stop) / jnp.where(wide, stop - start, 1.0), 0.0)
    basis = jnp.where(pick(rule.free | rule.binds, piece), *_bases(jnp.clip(place, -1.0, 1.0)))  # (nodes, n, G, ...)

    def read(part):
        values = jnp.take_along_axis(part, piece[:, None], axis=0, mode="promise_in_bounds")
        return jnp.sum(jnp.moveaxis(values, 1, 0) * basis, axis=0)

    density, below, above = law_at(sides, z)
    omega = read(rule.omega)
    at_omega = z + rent(weight, omega, below, above) / density
    virtual = jnp.where(pick(rule.free, piece), at_omega, read(rule.virtual))
    return jnp.maximum(virtual, pick(rule.least, piece)), omega


def piece_of(ends: jax.Array, z: jax.Array) -> jax.Array:
    """The piece of each type, the right one at a cut; pieces without length, at the upper end, have none."""
    wide = jnp.sum(ends[1:-1] < ends[-1], axis=0)
    return jnp.minimum(count_below(ends[1:-1], z, strictly=False), wide)


def bunches(rule: Rule) -> jax.Array:
    """The pieces on which V is constant, (pieces, G, ...)."""
    rise = rule.virtual[:, -1] - rule.virtual[:, 0]
    return ~rule.free & ~rule.binds & (rise <= ALIKE * (rule.ends[-1] - rule.ends[0]))


def runs(ends: jax.Array, inside: jax.Array, virtual: jax.Array | None = None) -> jax.Array:
    """Intervals of such pieces, (G, pieces, 2, ...), in order, NaN behind them; where V steps they end."""
    inside, no = inside & (jnp.diff(ends, axis=0) > 0), jnp.zeros_like(inside[:1])
    on = inside[1:] & inside[:-1]
    if virtual is not None:
        on = on & (virtual[1:, 0] - virtual[:-1, -1] <= ALIKE * (ends[-1] - ends[0]))
    starts = jnp.where(inside & ~jnp.concatenate([no, on]), ends[:-1], jnp.nan)
    stops = jnp.where(inside & ~jnp.concatenate([on, no]), ends[1:], jnp.nan)
    return jnp.moveaxis(jnp.stack([jnp.sort(starts, axis=0), jnp.sort(stops, axis=0)], axis=1), 2, 0)


def gains_from(rule: Rule, nodes: Seen, eta: jax.Array, line: TargetLine) -> jax.Array:
    """∫_l (V − t) at the ends of pieces, (pieces + 1, G, ...), less its least: what participating adds to what there is
    outside, times κ/(1 − s), where it is nothing for some type."""
    ends, inside = gained(rule, nodes, eta, line)
    return ends - jnp.minimum(jnp.min(ends, axis=0), jnp.min(inside, axis=(0, 1)))


def gained(rule: Rule, nodes: Seen, eta: jax.Array, line: TargetLine) -> tuple[jax.Array, jax.Array]:
    """∫_l (V − t) at the ends of pieces, and at their nodes, (pieces, nodes, G, ...)."""
    pieces = len(rule.free)
    short = (nodes.mesh.widths * (nodes.virtual - line.at(eta, nodes.mesh.types))).reshape(pieces, -1, *eta.shape)
    ends = jnp.sum(short, axis=1)
    ends = jnp.concatenate([jnp.zeros_like(ends[:1]), jnp.cumsum(ends, axis=0)])
    of_nodes = rule_of(short.shape[1])
    matrix = jnp.asarray(of_nodes.integral / of_nodes.weights, short.dtype)
    return ends, ends[:-1, None] + jnp.einsum("kj,pj...->pk...", matrix, short, precision="highest")


def _by_piece(rule, values):
    """Sums over the nodes of each piece."""
    return jnp.sum(values.reshape(len(rule.free), -1, *values.shape[1:]), axis=1)


def moments_of(
    market: Prepared, rule: Rule, nodes: Seen, eta: jax.Array, line: TargetLine
) -> tuple[Interim, jax.Array]:
    """What one trader of each group expects, theory §5 and beyond §6 as sums over the nodes; and `gains_from`."""
    (types, widths, density, _, above), virtual, share = nodes.mesh, nodes.virtual, market.share
    mass, apart = widths * density, types - market.mean
    mean = market.mean + jnp.sum(mass * (virtual - market.mean), axis=0)
    variance = jnp.sum(mass * (virtual - mean) ** 2, axis=0)
    together = jnp.sum(mass * apart * (virtual - mean), axis=0)  # Cov(Z, V)
    gains = gains_from(rule, nodes, eta, line)
    rents = gains[0] + jnp.sum(widths * above * (virtual - line.at(eta, types)), axis=0)
    expected = (1 - share) * (eta - mean)
    rents = (1 - share) * rents
    if market.outside is not None:
        option, spread = market.outside, market.variance + (market.mean - line.centre) ** 2
        rents = rents + market.risk_capacity * option.reserve + 0.5 * option.gamma * spread
    moments = Interim(
        neutral=eta,
        mean=mean,
        variance=variance,
        allocation_mean=expected,
        allocation_square=(1 - share) ** 2 * variance + absorbed_variance(variance, share, market.count) + expected**2,
        cross=(1 - share) * (market.mean * (eta - mean) - together),
        rent=rents,
        no_trade=jnp.sum(jnp.where(rule.binds, _by_piece(rule, mass), 0.0), axis=0),
        endowment_mean=market.mean,
        endowment_variance=market.variance,
    )
    return moments, gains
