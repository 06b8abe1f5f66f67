"""Arrays of groups, and frozen dataclasses that JAX sees as pytrees, and tells apart.

Groups are the first axis, batches of markets, if any, the axes behind it: XLA's CPU loops run along the last axis and
need it long and contiguous; with batches in front a solve takes three times as long. `vmap` over markets works as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import GetAttrKey, register_pytree_with_keys
from jax.typing import ArrayLike

from jaxmech.plain import brief

P = ParamSpec("P")
T = TypeVar("T")
NumbersLike = ArrayLike | Sequence[ArrayLike] | Sequence[Sequence[ArrayLike]]  # numbers as users write them

if TYPE_CHECKING:
    Held = TypeVar("Held")
    Given = TypeVar("Given")

    class Field(Generic[Held, Given]):
        """A field that holds something else than users give."""

        def __get__(self, instance: object, owner: Any = None) -> Held: ...
        def __set__(self, instance: object, value: Given) -> None: ...

    Numbers = Field[jax.Array, NumbersLike]
else:
    Numbers = jax.Array


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def pytree(cls: type[T]) -> type[T]:
    """A frozen dataclass, registered as a pytree; fields with metadata `static` are part of its structure.

    A static field with metadata `label` says how to call things: `compiled` functions do not see it.

    JAX rebuilds it past `__init__` and `__post_init__`, with whatever it carries: those see only what users give.

    Not by `jax.tree_util.register_dataclass`: up to JAX 0.10.2 the structures it makes compare equal whatever the class
    (only their hashes differ), so that once in some thirty runs `jit` finds the code compiled for one law of four
    fields when it is asked about another, and answers with a wrong number.
    """
    told = vars(cls).get("__repr__", brief)
    made: Any = dataclass(frozen=True)(cls)
    made.__repr__ = told
    static = tuple(entry.name for entry in fields(made) if entry.metadata.get("static"))
    data = tuple(entry.name for entry in fields(made) if entry.name not in static)
    keys = tuple(GetAttrKey(name) for name in data)

    def flatten(tree):
        return tuple([getattr(tree, name) for name in data]), tuple([getattr(tree, name) for name in static])

    def flatten_with_keys(tree):
        values, rest = flatten(tree)
        return tuple(zip(keys, values, strict=True)), rest

    def unflatten(rest, values):
        tree = object.__new__(cls)
        vars(tree).update(zip(data, values, strict=True), **dict(zip(static, rest, strict=True)))
        return tree

    register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    labels = [entry for entry in fields(made) if entry.metadata.get("label")]
    if labels:
        BLANK[cls] = {entry.name: entry.default for entry in labels}
    return cls


BLANK = {}  # classes with labels, and what stands in their place


def standard(function: Callable[P, T]) -> Callable[P, T]:
    """The function under NumPy's rules of promotion, however strict the user wants his own code to be."""

    @wraps(function)
    def call(*arguments, **named):
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return function(*arguments, **named)

    return call


def is_traced(tree: Any) -> bool:
    """Whether some leaf of the tree is traced, so that nobody can tell its value."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def on_host(tree: T) -> T:
    """The tree with arrays of NumPy, about which to ask compiles nothing; as it is where something of it is traced."""
    return tree if is_traced(tree) else jax.tree.map(np.asarray, tree)


def on_device(tree: Any) -> Any:
    """The tree with arrays of JAX for those of NumPy and for numbers. They are moved as they are: `jnp.asarray`
    compiles a program for every shape."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf), tree)


def picked(tree: T, places: Any) -> T:
    """The tree with these entries of the last axis of every leaf; by NumPy where nothing is traced, because JAX would
    compile a program for every shape."""
    return on_device(jax.tree.map(lambda leaf: leaf[..., places], on_host(tree)))


def as_array(given: Any) -> Any:
    """A list or tuple of numbers, traced or not, as an array of floats, also in a dictionary; anything else as it is.

    Of NumPy where it can be: laws are also made before the user has chosen float64.
    """
    if isinstance(given, dict):
        return {name: as_array(value) for name, value in given.items()}
    if type(given) not in (list, tuple) or len(given) == 0:
        return given
    try:
        if is_traced(given):
            return jnp.asarray(given, jnp.result_type(float))
        array = np.asarray(given)
    except (TypeError, ValueError, OverflowError):
        return given
    return array.astype(float) if array.dtype.kind in "iuf" else given


def takes_arrays(method: Callable[P, T]) -> Callable[P, T]:
    """The method with lists, tuples and plain numbers among its arguments as arrays, before `jit` sees them: a list of
    a thousand numbers would be a thousand arguments."""

    def of(given):
        return on_device(given) if isinstance(given, int | float) else as_array(given)

    @wraps(method)
    def call(self, *arguments, **named):
        return method(self, *map(of, arguments), **{name: of(value) for name, value in named.items()})  # pyright: ignore[reportCallIssue]

    return call


def total(values: jax.Array) -> jax.Array:
    """Sum over groups. As a product with ones: XLA's CPU backend would fuse a plain sum with all that leads to it, and
    compute that anew for every use."""
    ones = jnp.ones(values.shape[:1], values.dtype)
    return jnp.tensordot(ones, values, axes=1, precision="highest")


def norm(values: jax.Array) -> jax.Array:
    """Euclidean norm over groups, at least as large as the largest of them."""
    return jnp.sqrt(total(values**2))


def mirrored(left: jax.Array, right: jax.Array) -> jax.Array:
    """The pair (left, −right) as rows of one array, shape (2, G, ...)."""
    return jnp.stack([left, -right])


def mirrored_types(left: jax.Array, right: jax.Array, axes: int) -> jax.Array:
    """The same for types of shape (..., G, batch...), `axes` the number of the last ones: (..., 2, G, batch...)."""
    return jnp.stack(jnp.broadcast_arrays(left, -right), axis=-axes - 1)


def trimmed(intervals: jax.Array) -> jax.Array:
    """Intervals, (G, most, 2, ...), without rows that are NaN for all; under jit as they are."""
    if is_traced(intervals):
        return intervals
    found = np.asarray(intervals)
    return on_device(found[:, : np.max(np.sum(~np.isnan(found[:, :, 0]), axis=1), initial=0)])
