"""A witness for the certificate: what the virtual types do, integrated as they are.

The closed forms of theory §5 take ∫F²/f from the laws. Bound and value are made of the same one, so that they agree
whatever it is: an error in it is seen only by integrating V itself, type by type, on nodes of its own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.groups import mirrored, total
from jaxmech.ironing import bunch_ends, ironed

_AT_ONCE = 16_384  # numbers: more do not stay near the processor


class Witness(NamedTuple):
    """What types outside the binding interval do, seen on nodes; rows are left and right sides, (2, G, ...)."""

    short: object  # E[c − V], c the point of the support nearest to η
    square: object  # E[(c − V)²]
    cross: object  # E[(Z − c) (η − V)]
    rent: object  # ∫ F (η − V)
    fall: object  # the largest of V from node to node


def witness(mechanism, sides) -> Witness:
    """V on nodes between the lower end of each support and the binding interval, and its integrals."""
    weight, ends, at_ends = mechanism.weight, mechanism.ends, mechanism.at_ends
    target = mirrored(mechanism.eta, mechanism.eta)
    centre = jnp.clip(target, sides.lower, sides.upper)
    nodes, weights = sides.law.nodes_to(ends, _kinks(sides, mechanism))

    def seen(before, block):
        last, found = before
        types, weights = block
        tail = sides.ratios(types)
        virtual = jnp.minimum(ironed(sides, types, types + weight * tail.ratio, mechanism.bunching), target)
        mass, short = weights * tail.density, centre - virtual
        path = jnp.concatenate([last[None], virtual])
        found = Witness(
            short=found.short + total(mass * short),
            square=found.square + total(mass * short**2),
            cross=found.cross + total(mass * (types - centre) * (short + (target - centre))),
            rent=found.rent - total(weights * tail.cdf * (virtual - types)),
            fall=jnp.maximum(found.fall, jnp.max(path[:-1] - path[1:], axis=0)),
        )
        return (virtual[-1], found), None

    nothing = jnp.zeros_like(ends)
    # Of a support's end where next to nobody is, ∫F (η − z) is much: that has a closed form.
    found = Witness(*(nothing,) * 5)._replace(rent=(target - ends) * at_ends.integral + at_ends.second_integral)
    types = jnp.concatenate([sides.lower[None], nodes, ends[None]])
    weights = jnp.concatenate([nothing[None], weights, nothing[None]])
    return _in_blocks(seen, (jnp.full_like(ends, -jnp.inf), found), types, weights)[1]


def _in_blocks(step, start, types, weights):
    """step over all nodes, so few at a time that what it computes stays near the processor."""
    block = min(len(types), max(1, _AT_ONCE // types[0].size))
    missing = -len(types) % block
    types = jnp.concatenate([types, *[types[-1:]] * missing])
    weights = jnp.concatenate([weights, *[jnp.zeros_like(weights[:1])] * missing])
    if len(types) == block:
        return step(start, (types, weights))[0]
    blocks = jax.tree.map(lambda part: part.reshape(-1, block, *part.shape[1:]), (types, weights))
    return lax.scan(step, start, blocks)[0]


def _kinks(sides, mechanism):
    """Ends of the bunches, where V has kinks, in (l, a); a itself where there is none."""
    if mechanism.bunching is None:
        return mechanism.ends[None][:0]
    return jnp.minimum(jnp.concatenate(bunch_ends(sides, mechanism.bunching)), mechanism.ends)
