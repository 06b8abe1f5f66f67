"""Frozen dataclasses that JAX sees as pytrees, and tells apart."""

from dataclasses import dataclass, fields, replace
from functools import cache, partial, wraps
from typing import dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import get_opaque_trace_state
from jax.tree_util import GetAttrKey, register_pytree_with_keys

from jaxmech.memory_maps import give_back


@dataclass_transform(frozen_default=True)
def pytree(cls):
    """A frozen dataclass, registered as a pytree; fields with metadata `static` are part of its structure.

    A static field with metadata `label` says how to call things: `compiled` functions do not see it.

    JAX rebuilds it past `__init__` and `__post_init__`, with whatever it carries: those see only what users give.

    Not by `jax.tree_util.register_dataclass`: up to JAX 0.10.2 the structures it makes compare equal whatever the class
    (only their hashes differ), so that once in some thirty runs `jit` finds the code compiled for one law of four
    fields when it is asked about another, and answers with a wrong number.
    """
    cls = dataclass(frozen=True)(cls)
    static = tuple(entry.name for entry in fields(cls) if entry.metadata.get("static"))
    data = tuple(entry.name for entry in fields(cls) if entry.name not in static)
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
    labels = [entry for entry in fields(cls) if entry.metadata.get("label")]
    if labels:
        _BLANK[cls] = {entry.name: entry.default for entry in labels}
    return cls


_BLANK = {}


def _without_labels(tree):
    """The tree with the labels of all its parts taken off."""

    def blank(node):
        return replace(node, **_BLANK[type(node)]) if type(node) in _BLANK else node

    return jax.tree.map(blank, tree, is_leaf=lambda node: type(node) in _BLANK)


def standard(function):
    """The function under NumPy's rules of promotion, however strict the user wants his own code to be."""

    @wraps(function)
    def call(*arguments, **named):
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return function(*arguments, **named)

    return call


def compiled(function=None, **options):
    """`jax.jit`, but that nothing is compiled anew when labels change, and small arrays are not waited for so long.

    What is returned has no labels. `hurry` says whether to compile in a hurry; where it does not, small arrays do.
    """
    if function is None:
        return partial(compiled, **options)
    plain = standard(function)  # one for both: traced once
    jitted, hurried = jax.jit(plain, **options), jax.jit(plain, compiler_options=_HURRY, **options)

    @wraps(function)
    def call(*arguments, hurry=None, **named):
        arguments, named = _without_labels((arguments, named))
        if get_opaque_trace_state(convention="nnx") != _OUTSIDE:
            return jitted(*arguments, **named)
        give_back()
        if hurry is None:
            hurry = max(map(np.size, jax.tree.leaves((arguments, named))), default=0) <= _SMALL
        return (hurried if hurry and _can_hurry() else jitted)(*arguments, **named)

    call.programs = lambda: jitted._cache_size() + hurried._cache_size()
    return call


# XLA's older way to make code for CPUs, and less of LLVM's care, halve the time and memory that compiling takes; on one
# market the code is as quick, in large batches a fifth slower.
_HURRY = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
_SMALL = 4000
_OUTSIDE = get_opaque_trace_state(convention="nnx")  # of any jit, vmap or derivative


@cache
def _can_hurry():
    """Whether this version of XLA knows the older way; elsewhere than on CPUs there is no need."""
    if jax.default_backend() != "cpu":
        return False
    try:
        jax.jit(lambda: 0, compiler_options=_HURRY).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def derived(method):
    """A property that is one program where it is asked for by itself, and no more than its formula inside another."""
    return property(compiled(method, inline=True))


def on_host(tree):
    """The tree with arrays of NumPy, about which to ask compiles nothing; as it is where something of it is traced."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))
    return tree if traced else jax.tree.map(np.asarray, tree)


def on_device(tree):
    """The tree with arrays of JAX for those of NumPy and for numbers. They are moved as they are: `jnp.asarray`
    compiles a program for every shape."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf), tree)


def picked(tree, places):
    """The tree with these entries of the last axis of every leaf; by NumPy where nothing is traced, because JAX would
    compile a program for every shape."""
    return on_device(jax.tree.map(lambda leaf: leaf[..., places], on_host(tree)))


def as_array(given):
    """A list or tuple of numbers, traced or not, as an array of floats, also in a dictionary; anything else as it is.

    Of NumPy where it can be: laws are also made before the user has chosen float64.
    """
    if isinstance(given, dict):
        return {name: as_array(value) for name, value in given.items()}
    if type(given) not in (list, tuple) or len(given) == 0:
        return given
    try:
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
            return jnp.asarray(given, jnp.result_type(float))
        array = np.asarray(given)
    except (TypeError, ValueError, OverflowError):
        return given
    return array.astype(float) if array.dtype.kind in "iuf" else given


def takes_arrays(method):
    """The method with lists, tuples and plain numbers among its arguments as arrays, before `jit` sees them: a list of
    a thousand numbers would be a thousand arguments."""

    def of(given):
        return on_device(given) if isinstance(given, int | float) else as_array(given)

    @wraps(method)
    def call(self, *arguments, **named):
        return method(self, *map(of, arguments), **{name: of(value) for name, value in named.items()})

    return call
