"""A witness for the certificate: what the virtual types do, integrated as they are.

The closed forms of theory §5 take ∫F²/f from the laws. Bound and value are made of the same one, so that they agree
whatever it is: an error in it is seen only by integrating V itself, type by type, on nodes of its own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxmech.arrays import mirrored, total
from jaxmech.endowments import Sides
from jaxmech.optimum.ironing.ironed import ironed_by
from jaxmech.optimum.mechanism import Mechanism

_AT_ONCE = 1_000_000  # numbers: more would fill the memory with what is needed only for sums


class Witness(NamedTuple):
    """What types outside the binding interval do, seen on nodes; rows are left and right sides, (2, G, ...).

    V, η and w are the kernel's: see `target_lines`.
    """

    short: jax.Array  # E[c − V], c the point of the support nearest to η
    square: jax.Array  # E[(c − V)²]
    cross: jax.Array  # E[(Z − c) (η − V)]
    rent: jax.Array  # ∫ F (η − V)
    fall: jax.Array  # the largest of V from node to node
    missed: jax.Array  # what ψ⁻ next to the end, within the binding interval, still lacks of η


def witness(mechanism: Mechanism, sides: Sides, reach: float) -> Witness:
    """V on nodes between the lower end of each support and the binding interval, and its integrals.

    They do not show an interval that is too wide, at whose end ψ⁻ has not come up to η yet, so that Ω is negative. That
    is looked for at one type more, beyond the end by the part `reach` of the support's width.
    """
    (weight, level), ends, at_ends = mechanism.kernel(), mechanism.ends, mechanism.at_ends
    target = mirrored(level, level)
    centre = jnp.clip(target, sides.lower, sides.upper)
    families = sides.families()
    bunching = mechanism.bunching or (None,) * len(families)
    beyond = ends + reach * sides.width
    short = beyond < sides.upper  # of the upper end, where η may be anything
    columns = map(sides.columns, (ends, jnp.where(short, beyond, ends), target, centre))
    columns = zip(families, bunching, sides.weights(weight), *columns, strict=True)
    found = [_of_family(law, known, bunches, *own) for (law, known), bunches, *own in columns]
    found = jax.tree.map(lambda *parts: sides.joined(parts), *found)
    # Of a support's end where next to nobody is, ∫F (η − z) is much: that has a closed form.
    rent = (target - ends) * at_ends.integral + at_ends.second_integral - found.rent
    return found._replace(rent=rent, missed=jnp.where(short, jnp.maximum(found.missed, 0.0), 0.0))


def _of_family(law, known, bunches, weight, ends, beyond, target, centre) -> Witness:
    """The witness of one family of laws; in place of the rent what it falls short of ∫ F (η − z)."""
    # V has kinks at the ends of the bunches.
    kinks = ends[None][:0] if bunches is None else jnp.concatenate([bunches.start, bunches.stop])
    types, weights, ratios, ordered = law.witnesses(ends, jnp.minimum(kinks, ends), beyond, known)

    def seen(before, block, ratios=None, ordered=None):
        (last, found), (types, weights) = before, block
        at = law.ratios(types, known) if ratios is None else ratios
        reached = ironed_by(law, bunches, types, types + weight * at.ratio)
        virtual = jnp.minimum(reached, target)
        mass, short = weights * at.density, centre - virtual
        path = jnp.concatenate([last[None], virtual[:ordered]])
        found = Witness(
            short=found.short + total(mass * short),
            square=found.square + total(mass * short**2),
            cross=found.cross + total(mass * (types - centre) * (short + (target - centre))),
            rent=found.rent + total(weights * at.cdf * (virtual - types)),
            fall=jnp.maximum(found.fall, jnp.max(path[:-1] - path[1:], axis=0)),
            missed=target - reached[-1],
        )
        return (virtual[-1], found), None

    start = jnp.full_like(ends, -jnp.inf), Witness(*(jnp.zeros_like(ends),) * 6)
    block = max(1, _AT_ONCE // ends.size)
    if ratios is not None or len(types) <= block:
        return seen(start, (types, weights), ratios, ordered)[0][1]
    missing = -len(types) % block
    types = jnp.concatenate([types, *[types[-1:]] * missing])
    weights = jnp.concatenate([weights, *[jnp.zeros_like(weights[:1])] * missing])
    blocks = jax.tree.map(lambda part: part.reshape(-1, block, *part.shape[1:]), (types, weights))
    return lax.scan(seen, start, blocks)[0][1]
