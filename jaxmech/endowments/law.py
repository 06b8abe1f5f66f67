"""What an endowment law owes the rest of the library.

A law is a frozen pytree whose numeric fields are scalars or (groups,) arrays. It writes down its *left* half only:
everything measured from the lower end of the support. The right half of a law is the left half of its mirror image,
the law of −Z, so each formula exists once:

    1 − F(z) = F̃(−z),    (1 − F(z))/f(z) = F̃(−z)/f̃(−z),    ∫_z^h (1 − F) = ∫_{−h}^{−z} F̃.

Endowments z have shape (..., G) and broadcast against the fields. Everything is differentiable, to any order, in z
and in every field, ends of the support included.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import NumbersLike, as_array, takes_arrays
from jaxmech.endowments.landmarks import EVEN, beside, told_apart
from jaxmech.endowments.quantiles import quantile
from jaxmech.endowments.sides import LeftTail, Ratios, Sides, Witnesses
from jaxmech.plain import plain
from jaxmech.programs import compiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from jaxmech import arrays

    Laws = arrays.Field[tuple["Law", ...], Sequence["Law"]]
else:
    Laws = tuple

Entries = dict[str, jax.Array]
Rules = list[tuple[str, Any, str]]  # names of numbers, which of them comply, and what they must be

# What a field of these names is: a place on the axis of endowments, a length there, or a number per unit.
LOCATIONS = ("loc", "lower", "upper", "mode", "edges", "knots", "kinks", "origin")
LENGTHS = ("scale", "unit")
RATES = ("rate",)


class Law:
    """Base of every endowment law: what follows from what a law writes itself.

    A law supplies fields `lower` and `upper`, `log_pdf`, `score` and `reflected`; `mean` and `variance`; and, for
    `Sides`, `constants`, `tail`, `density` and `squared_ratio_integral_from`, which see fields of shape (2, G, ...) or
    (G, ...) alike. Laws without closed forms inherit from `FromDensity` and write down their density alone.
    """

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

        @property
        def lower(self) -> jax.Array: ...
        @property
        def upper(self) -> jax.Array: ...

    bunches = 4  # how many intervals may need ironing, at most
    # Fields that are lists of numbers: an axis of their own in front of the groups.
    stacked_fields: ClassVar[tuple[str, ...]] = ()
    # Fields that are what they are in any unit of the asset, beside dictionaries of parameters.
    unitless_fields: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        """Sequences as users write them become what the fields hold; what cannot is left for `Market.of` to refuse."""
        for entry in fields(self):
            if not entry.metadata.get("static"):
                held = _tuple if entry.type in (tuple, "tuple") else as_array
                object.__setattr__(self, entry.name, held(getattr(self, entry.name)))

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        """log f(z); z inside the support."""
        raise NotImplementedError

    def score(self, z: ArrayLike) -> jax.Array:
        """f'(z)/f(z), per unit of the asset."""
        raise NotImplementedError

    def constants(self) -> Any:
        """What the functions of z need beside the fields; of a law stacked on its mirror image."""
        return ()

    def tail(self, z: jax.Array, known: Any) -> LeftTail:
        """The law at z."""
        raise NotImplementedError

    def ratios(self, z: jax.Array, known: Any) -> Ratios:
        """F, F/f and f at z, where nothing else is asked for."""
        tail = self.tail(z, known)
        return Ratios(tail.cdf, tail.ratio, tail.density)

    def density(self, z: jax.Array, known: Any) -> jax.Array:
        """f(z), where nothing else is asked for."""
        raise NotImplementedError

    def last_density(self, inside: jax.Array, known: Any) -> jax.Array:
        """f just short of the upper end, at `inside`."""
        return self.density(inside, known)

    def squared_ratio_integral_from(self, z: jax.Array, known: Any) -> jax.Array:
        """∫_l^z F²/f."""
        raise NotImplementedError

    def reflected(self) -> "Law":
        """The law of −Z."""
        raise NotImplementedError

    def stretched(self, factor: jax.Array | float) -> Self:
        """The law of factor·Z, factor > 0, a scalar or one a group."""
        powers = dict.fromkeys(LOCATIONS + LENGTHS, 1) | dict.fromkeys(RATES, -1)
        return self._moved("stretched", factor, lambda field, value: value * factor ** powers[field])

    def shifted(self, distance: jax.Array | float) -> Self:
        """The law of Z + distance, a scalar or one a group."""
        return self._moved("shifted", distance, lambda field, value: value + distance if field in LOCATIONS else value)

    def _moved(self, method, by, function):
        """The law with function(field, value) of its places, lengths and rates, laws inside by the method named."""
        new = {}
        for name in (entry.name for entry in fields(self) if not entry.metadata.get("static")):
            value = getattr(self, name)
            if isinstance(value, tuple):  # of laws, or of no kinks
                new[name] = tuple(getattr(law, method)(by) for law in value)
            elif name in LOCATIONS + LENGTHS + RATES:
                shared = name in self.stacked_fields and jnp.ndim(value) == 1 and jnp.ndim(by) > 0
                new[name] = function(name, value[:, None] if shared else value)
            elif name not in self.unitless_fields and not isinstance(value, dict):
                remedy = f"add it to its unitless_fields, or write down the method {method}"
                raise NotImplementedError(f"{type(self).__name__} has a field {name}; {remedy}")
        return replace(self, **new)

    def resolved(self) -> "Law":
        """The law in the form to compute with: itself, or its panels where nothing is known in closed form."""
        return self

    def landmarks(self) -> jax.Array:
        """Points of the support, both ends included, between which the density is smooth and changes little."""
        share = beside(told_apart(EVEN, self.width), self.width)
        return self.lower * (1 - share) + self.upper * share

    def nodes_to(self, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Nodes and weights of ∫_l^z, (n, ...), in order: witnesses, others than `squared_ratio_integral_from` has."""
        raise NotImplementedError

    def witnesses(self, z: jax.Array, kinks: jax.Array, beyond: jax.Array, known: Any) -> Witnesses:
        """The nodes of `nodes_to`, both ends of what is integrated, and a place beyond. V may have kinks at `kinks`,
        (k, ...)."""
        nodes, weights = self.nodes_to(z)
        nothing = jnp.zeros_like(z)[None]
        types = jnp.concatenate([self.lower[None], nodes, z[None], beyond[None]])
        return Witnesses(types, jnp.concatenate([nothing, weights, nothing, nothing]), None, len(types))

    def unstacked(self) -> Self:
        """What one row of a stacked law is called: laws know nothing of it, but for those of several families."""
        return self

    def families(self, known: Any) -> list[tuple["Law", Any]]:
        """(law, known) of each family: see `SideBySide`."""
        return [(self, known)]

    def columns(self, z: jax.Array) -> list[jax.Array]:
        """z cut into the groups of each family."""
        return [z]

    def joined(self, parts: Sequence[jax.Array]) -> jax.Array:
        """What was computed of each family put together again."""
        return parts[0]

    def jump_at(self, z: jax.Array, known: Any) -> tuple[jax.Array, jax.Array]:
        """Where z is a point at which the density jumps, that point as the law moves it, and True; else z and False."""
        return z, jnp.zeros(jnp.shape(z), bool)

    def to_dict(self) -> dict:
        """The law as the `endowment` table of a market file: its family's name as "law", then its fields, as plain
        values; see `jaxmech.plain`."""
        family = re.sub("(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()
        return {"law": family} | {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}

    def mapped(self, function: Callable[[str, Any, bool], Any]) -> Self:
        """The law with function(name, number, listed) in place of each of its numbers; see `stacked_fields`.

        Names are those of the fields, joined by underscores where laws hold laws, tuples or dictionaries.
        """
        return _mapped(self, "", False, function)

    def entries(self) -> Entries:
        """The law's numbers by name, one for each group: what sweeps, derivatives and market files refer to.

        Lists count from 0: masses_0, masses_1, …
        """
        found = {}

        def note(name, value, listed):
            found.update({f"{name}_{k}": row for k, row in enumerate(value)} if listed else {name: value})
            return value

        self.mapped(note)
        return found

    def with_entries(self, entries: Mapping[str, jax.Array]) -> Self:
        """The law with these numbers instead of its own, in the shape of `entries`."""

        def new(name, value, listed):
            if not listed:
                return entries[name]
            if len(value) == 0:
                return jnp.zeros((0, *jnp.shape(next(iter(entries.values())))), value.dtype)
            return jnp.stack([entries[f"{name}_{k}"] for k in range(len(value))])

        return self.mapped(new)

    def rules(self) -> Rules:
        """What its numbers, NumPy arrays, must be, beside finite: tuples (name, which comply, what it must be)."""
        return [("lower", self.lower < self.upper, "must lie below upper")]

    def sides(self) -> Sides:
        """The law prepared, both sides of it."""
        law = self.broadcast().both_sides()
        return Sides(law, law.constants(), law.lower, law.upper)

    def broadcast(self) -> Self:
        """The law with all its fields of one shape."""
        shape = jnp.broadcast_shapes(*(jnp.shape(leaf) for leaf in jax.tree.leaves(self)))
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape), self)

    def both_sides(self) -> Self:
        """The law and its mirror image stacked: fields of shape (2, G, ...), row 0 the left side, row 1 the right."""
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), self, self.reflected())

    def moments(self, known: Any) -> tuple[jax.Array, jax.Array]:
        """E Z and Var Z of a law stacked on its mirror image."""
        raise NotImplementedError

    @compiled
    def left_tail(self, z: ArrayLike) -> LeftTail:
        """F, F/f, its slope, the first two integrals of F, and f at z."""
        return self.sides().one(0).tail(jnp.asarray(z))

    @compiled
    def squared_ratio_integral(self, z: ArrayLike) -> jax.Array:
        """∫_l^z F²/f; units of the asset squared."""
        return self.sides().one(0).squared_ratio_integral(jnp.asarray(z))

    @property
    def width(self) -> jax.Array:
        """Length of the support."""
        return self.upper - self.lower

    @property
    @compiled
    def mean(self) -> jax.Array:
        """E Z."""
        return self.sides().moments()[0]

    @property
    @compiled
    def variance(self) -> jax.Array:
        """Var Z."""
        return self.sides().moments()[1]

    @property
    @compiled
    def second_moment(self) -> jax.Array:
        """E Z²."""
        return self.variance + self.mean**2

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The density of each group over its support. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
        """
        from jaxmech.reports.plots import law_plot

        return law_plot(self, ax)

    @takes_arrays
    @compiled
    def pdf(self, z: NumbersLike) -> jax.Array:
        """Density f(z)."""
        left = self.sides().one(0)
        return left.law.density(jnp.asarray(z), left.known)

    @takes_arrays
    @compiled
    def cdf(self, z: NumbersLike) -> jax.Array:
        """F(z), accurate relative to itself in the left tail; use `survival` in the right one."""
        return self.left_tail(jnp.asarray(z)).cdf

    @takes_arrays
    @compiled
    def survival(self, z: NumbersLike) -> jax.Array:
        """1 − F(z), accurate relative to itself in the right tail."""
        return self._right_tail(z).cdf

    def _right_tail(self, z):
        return self.sides().one(1).tail(-jnp.asarray(z))

    @takes_arrays
    @compiled
    def cdf_ratio(self, z: NumbersLike) -> jax.Array:
        """F(z)/f(z)."""
        return self.left_tail(jnp.asarray(z)).ratio

    @takes_arrays
    @compiled
    def survival_ratio(self, z: NumbersLike) -> jax.Array:
        """(1 − F(z))/f(z)."""
        return self._right_tail(z).ratio

    @takes_arrays
    @compiled
    def cdf_integral(self, z: NumbersLike) -> jax.Array:
        """G(z) = ∫_l^z F."""
        return self.left_tail(jnp.asarray(z)).integral

    @takes_arrays
    @compiled
    def survival_integral(self, z: NumbersLike) -> jax.Array:
        """∫_z^h (1 − F)."""
        return self._right_tail(z).integral

    @takes_arrays
    @compiled
    def partial_mean(self, z: NumbersLike) -> jax.Array:
        """∫_l^z t f(t) dt."""
        z = jnp.asarray(z)
        tail = self.left_tail(z)
        return z * tail.cdf - tail.integral

    @takes_arrays
    @compiled
    def partial_second_moment(self, z: NumbersLike) -> jax.Array:
        """∫_l^z t² f(t) dt."""
        z = jnp.asarray(z)
        tail = self.left_tail(z)
        return z**2 * tail.cdf - 2 * z * tail.integral + 2 * tail.second_integral

    @takes_arrays
    @compiled
    def quantile(self, probability: NumbersLike) -> jax.Array:
        """F⁻¹(p) for p in [0, 1]; shape of p broadcast against the fields."""
        return quantile(self, probability)

    def sample(self, key: jax.Array, shape: Sequence[int] = ()) -> jax.Array:
        """Independent draws, shape + the shape of the fields, by inversion."""
        fields = jnp.broadcast_shapes(*(jnp.shape(leaf) for leaf in jax.tree.leaves(self)))
        uniform = jax.random.uniform(key, tuple(shape) + fields, dtype=jnp.result_type(float))
        return self.quantile(uniform)


def _tuple(given):
    """A list, or an array of one axis, as a tuple; anything else as it is."""
    return tuple(given) if isinstance(given, list) or (isinstance(given, np.ndarray) and given.ndim == 1) else given


def _mapped(value, name, listed, function) -> Any:
    def inner(part, key, listed=False):
        return _mapped(part, f"{name}_{key}" if name else str(key), listed, function)

    if isinstance(value, Law):
        numeric = [entry.name for entry in fields(value) if not entry.metadata.get("static")]
        return replace(value, **{key: inner(getattr(value, key), key, key in value.stacked_fields) for key in numeric})
    if isinstance(value, tuple) and any(isinstance(part, Law) for part in value):
        return tuple(inner(part, place) for place, part in enumerate(value))
    if isinstance(value, dict) and name.endswith("parameters"):
        return {key: inner(part, key) for key, part in value.items()}
    return function(name, value, listed)
