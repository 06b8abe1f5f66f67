"""Frozen dataclasses that JAX sees as pytrees, and tells apart."""

from dataclasses import dataclass, fields
from typing import dataclass_transform

from jax.tree_util import GetAttrKey, register_pytree_with_keys


@dataclass_transform(frozen_default=True)
def pytree(cls):
    """A frozen dataclass, registered as a pytree; fields with metadata `static` are part of its structure.

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
        return cls(**dict(zip(data, values, strict=True)), **dict(zip(static, rest, strict=True)))

    register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls
