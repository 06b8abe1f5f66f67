"""A witness for the certificate: what the virtual types do, integrated as they are.

The closed forms of theory §5 take ∫F²/f from the laws. Bound and value are made of the same one, so that they agree
whatever it is: an error in it is seen only by integrating V itself, type by type, on nodes of its own.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxmech.groups import mirrored
from jaxmech.ironing import ironing
from jaxmech.virtual_types import ironed_branch


class Witness(NamedTuple):
    """What types outside the binding interval do, seen on nodes; rows are left and right sides, (2, G, ...)."""

    square: object  # E[(c − V)²], c the point of the support nearest to η
    rent: object  # ∫ F (η − V)
    types: object  # nodes from the lower end to the binding interval, both included, (n, 2, G, ...)
    virtual: object  # V there


def witness(mechanism) -> Witness:
    """V on nodes between the lower end of each support and the binding interval, and its integrals."""
    market, weight, ends = mechanism.market, mechanism.weight, mechanism.ends
    sides, target = market.law.both_sides(), mirrored(mechanism.eta, mechanism.eta)
    nodes, weights = sides.nodes_to(ends, _kinks(sides, mechanism))
    types = jnp.concatenate([sides.lower[None], nodes, ends[None]])
    left_tail = market.law.prepare_both_sides()
    tail, at_ends = left_tail(types), left_tail(ends)
    reached = ironed_branch(sides, types, types + weight * tail.ratio, weight, mechanism.bunching)
    virtual = jnp.minimum(reached, target)
    inside = slice(1, -1)
    centre = jnp.clip(target, sides.lower, sides.upper)
    mass = weights * sides.pdf(nodes)
    return Witness(
        square=jnp.sum(mass * (centre - virtual[inside]) ** 2, axis=0),
        # Of a support's end where next to nobody is, ∫F (η − z) is much: that has a closed form.
        rent=(target - ends) * at_ends.integral
        + at_ends.second_integral
        - jnp.sum(weights * tail.cdf[inside] * (virtual[inside] - nodes), axis=0),
        types=types,
        virtual=virtual,
    )


def _kinks(sides, mechanism):
    """Ends of the bunches, where V has kinks, in (l, a); a itself where there is none."""
    pooled = ironing(sides, mechanism.weight, mechanism.bunching)
    if pooled is None:
        return mechanism.ends[None][:0]
    return jnp.minimum(jnp.concatenate(pooled.bunches), mechanism.ends)
