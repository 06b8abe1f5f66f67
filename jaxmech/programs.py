"""Compiled functions, and a session that stays alive: compiled code is given back before its memory maps run out.

Every compiled loop holds memory maps, of which Linux allows a process 65,530; at the next one LLVM aborts the whole
process. So when more than a third of them are used everything that is compiled is dropped; what is asked for again is
compiled again.
"""

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, overload

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from jaxmech.arrays import BLANK, P, T, standard

if TYPE_CHECKING:

    class Derived(property, Generic[T]):
        """A property whose value has this type."""

        def __get__(self, instance: Any, owner: type | None = None, /) -> T: ...


MOST = 22_000
_BETWEEN = 10  # programs compiled between two looks: one holds a few hundred maps at most
_MAPS = Path("/proc/self/maps")
_count = {"compiled": 0, "seen": 0}


def _note(event, *_, **__):
    _count["compiled"] += event.endswith("backend_compile_duration")


jax.monitoring.register_event_duration_secs_listener(_note)


def used() -> int:
    """Memory maps of this process; 0 where the system does not tell."""
    try:
        return _MAPS.read_bytes().count(b"\n")
    except OSError:
        return 0


def give_back() -> None:
    """Drop all compiled code if its maps are many. Called before a compiled function is, outside of any trace."""
    if _count["compiled"] - _count["seen"] < _BETWEEN:
        return
    _count["seen"] = _count["compiled"]
    if used() > MOST:
        jax.clear_caches()
        gc.collect()


def _without_labels(tree):
    """The tree with the labels of all its parts taken off."""

    def blank(node):
        return replace(node, **BLANK[type(node)]) if type(node) in BLANK else node

    return jax.tree.map(blank, tree, is_leaf=lambda node: type(node) in BLANK)


@overload
def compiled(function: Callable[P, T], **options: Any) -> Callable[P, T]: ...
@overload
def compiled(function: None = None, **options: Any) -> Callable[[Callable[P, T]], Callable[P, T]]: ...
def compiled(function: Any = None, **options: Any) -> Any:
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


def derived(method: Callable[[Any], T]) -> "Derived[T]":
    """A property that is one program where it is asked for by itself, and no more than its formula inside another."""
    return property(compiled(method, inline=True))
