"""A witness for the certificate: what the virtual types do, integrated as they are.

The closed forms of theory §5 take ∫F²/f from the laws. Bound and value are made of the same one, so that they agree
whatever it is: an error in it is seen only by integrating V itself, type by type, on nodes of its own.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxmech.groups import mirrored
from jaxmech.ironing import bunch_ends, ironed


class Witness(NamedTuple):
    """What types outside the binding interval do, seen on nodes; rows are left and right sides, (2, G, ...)."""

    short: object  # E[c − V], c the point of the support nearest to η
    square: object  # E[(c − V)²]
    cross: object  # E[(Z − c) (η − V)]
    rent: object  # ∫ F (η − V)
    types: object  # nodes from the lower end to the binding interval, both included, (n, 2, G, ...)
    virtual: object  # V there


def witness(mechanism, sides) -> Witness:
    """V on nodes between the lower end of each support and the binding interval, and its integrals."""
    weight, ends, at_ends = mechanism.weight, mechanism.ends, mechanism.at_ends
    target = mirrored(mechanism.eta, mechanism.eta)
    nodes, weights = sides.law.nodes_to(ends, _kinks(sides, mechanism))
    types = jnp.concatenate([sides.lower[None], nodes, ends[None]])
    tail = sides.ratios(types)
    virtual = jnp.minimum(ironed(sides, types, types + weight * tail.ratio, mechanism.bunching), target)
    inside = slice(1, -1)
    centre = jnp.clip(target, sides.lower, sides.upper)
    mass, short = weights * tail.density[inside], centre - virtual[inside]
    return Witness(
        short=jnp.sum(mass * short, axis=0),
        square=jnp.sum(mass * short**2, axis=0),
        cross=jnp.sum(mass * (nodes - centre) * (short + (target - centre)), axis=0),
        # Of a support's end where next to nobody is, ∫F (η − z) is much: that has a closed form.
        rent=(target - ends) * at_ends.integral
        + at_ends.second_integral
        - jnp.sum(weights * tail.cdf[inside] * (virtual[inside] - nodes), axis=0),
        types=types,
        virtual=virtual,
    )


def _kinks(sides, mechanism):
    """Ends of the bunches, where V has kinks, in (l, a); a itself where there is none."""
    if mechanism.bunching is None:
        return mechanism.ends[None][:0]
    return jnp.minimum(jnp.concatenate(bunch_ends(sides, mechanism.bunching)), mechanism.ends)
