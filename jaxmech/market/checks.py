"""What the numbers of a market must be, before anything is compiled; and the same rules as data, for sweeps."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from unicodedata import category

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import is_traced, total
from jaxmech.endowments import Law, Mixture, Numerical
from jaxmech.endowments.numerical import resolved_to
from jaxmech.inputs import MarketError, real_numbers
from jaxmech.programs import compiled

_KEPT = ("endowment", "factor")  # what names of parameters use themselves


def one_entry_a_group(block: Any, called: str) -> tuple[Law, Any, Any, int]:
    """(law, risk capacity, count, groups) of Traders, their numbers broadcast to the groups; lists keep their axis.

    Arrays are NumPy's where nothing is traced: a market of a thousand Traders makes thousands of them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dtype = jnp.result_type(float)

    def number(name, value, listed=False):
        if "." in name or _not_in_a_line(name) or name in (*shapes, *_KEPT):
            raise MarketError(
                f"{called}: a number of the law is called {name!r}; parameters need names of one line, no dots, all "
                f"different and none of {', '.join(_KEPT)}: rename it"
            )
        traced = is_traced(value)
        array = jnp.asarray(value, dtype) if traced else _rounded(real_numbers(f"{name} of {called}", value), dtype)
        if listed and array.ndim < 1:
            raise MarketError(f"{name} of {called} is {value!r}; give a list of numbers")
        array = array[:, None] if listed and array.ndim == 1 else array
        shapes[name] = array.shape[listed:]
        return array

    _check_parts(block.endowment, called)
    law = block.endowment.mapped(number)
    capacity, count = number("risk_capacity", block.risk_capacity), number("count", block.count)
    try:
        shape = jnp.broadcast_shapes((1,), *shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise MarketError(f"shapes of {called} do not fit together: {listed}; use scalars or (groups,)") from None
    if 0 in shape:
        raise MarketError(f"{called}: some number is an empty list; give one number a group")
    if len(shape) != 1:
        raise MarketError(f"{called}: fields have shape {shape}; use scalars or (groups,) and batch with vmap or sweep")

    def filled(name, array, listed=False):
        library = np if isinstance(array, np.ndarray) else jnp
        return library.broadcast_to(array, array.shape[:listed] + shape)

    return law.mapped(filled), filled("", capacity), filled("", count), shape[0]


def check_group_name(name: str, groups: int, place: int) -> None:
    """MarketError for a name that parameters, tables or files could not carry."""
    if wrong := _not_in_a_line(name):
        proposed = "".join(" " if mark in wrong else mark for mark in name).strip() or "traders"
        raise MarketError(f"name of traders {place} is {name!r}; it must be one line of text: call it {proposed!r}")
    if name == "all" and groups == 1:
        raise MarketError(
            f"name of traders {place} is 'all', which means every group in names of parameters, as in "
            "'all.risk_capacity'; call it 'all traders'"
        )


def _not_in_a_line(name):
    """Control characters, halves of characters, ends of lines and of paragraphs."""
    return {mark for mark in name if category(mark) in ("Cc", "Cs", "Zl", "Zp")}


def _rounded(array, dtype):
    """The array in the floating type of the market; what is too large for it becomes ∞, which is refused."""
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _check_parts(law, called):
    """MarketError for laws where numbers should be, and for a mixture of something else than laws."""
    for entry in fields(law):
        value = getattr(law, entry.name)
        if isinstance(value, Law):
            raise MarketError(f"{entry.name} of {called} is {value!r}; a law cannot stand there")
        if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
            raise MarketError(f"{entry.name} of {called} is {value!r}; give texts as names")
    if not isinstance(law, Mixture):
        return
    if not isinstance(law.laws, tuple) or not all(isinstance(part, Law) for part in law.laws) or not law.laws:
        raise MarketError(f"laws of {called} is {law.laws!r}; give laws, as [Uniform(-1, 0), Uniform(0, 1)]")
    for part in law.laws:
        _check_parts(part, called)


def check_numbers(law: Law, capacity: ArrayLike, count: ArrayLike, called: str) -> None:
    """MarketError for numbers that traders cannot have; nothing is said of traced ones."""
    if is_traced((law, capacity, count)):
        return
    law, numbers = jax.tree.map(np.asarray, law), {}
    law.mapped(lambda name, value, listed: numbers.setdefault(name, value))
    numbers |= {"risk_capacity": np.asarray(capacity), "count": np.asarray(count)}
    for name, value in numbers.items():
        _refuse(name, value, np.isfinite(value), "must be a finite number", called)
    try:
        rules = law.rules()
    except ValueError:
        shapes = ", ".join(f"{entry.name} {np.shape(getattr(law, entry.name))}" for entry in fields(law))
        raise MarketError(f"endowment of {called}: lengths do not fit together: {shapes}") from None
    for name, good, remedy in [*rules, *_trader_rules(numbers["risk_capacity"], numbers["count"])]:
        upper = f" (upper is {law.upper[np.argmin(good)]:g})" if name == "lower" else ""
        _refuse(name, numbers[name], good, remedy, called, upper)


def _trader_rules(capacity, count):
    return [
        ("risk_capacity", capacity > 0, "must be > 0"),
        ("count", (count >= 1) & (count == np.round(count)), "must be a whole number ≥ 1"),
    ]


def _refuse(name, values, good, remedy, called, extra=""):
    if np.all(good):
        return
    place = np.unravel_index(np.argmin(good), np.shape(good))
    which = f"{called}, group {place[-1] + 1}" if np.shape(good)[-1] > 1 else called
    entry = f" (number {place[0] + 1} of them)" if len(place) > 1 else ""
    raise MarketError(f"{name} of {which} is {values[place]:g}{entry}{extra}; it {remedy}")


def check_resolution(law: Law, called: str) -> None:
    """MarketError for a density that the polynomials of a numerical law miss."""
    if not isinstance(law, Numerical) or is_traced(law):
        return
    missed = np.nan_to_num(np.asarray(_resolution_error(law)), nan=np.inf)
    if np.any(missed > resolved_to(missed.dtype)):
        raise MarketError(
            f"endowment of {called}: its density is not resolved, polynomials miss {np.max(missed):.0e} of the "
            "probability; name its kinks and jumps, cut the support where the density is next to nothing, or use a "
            "Histogram"
        )


@compiled
def _resolution_error(law):
    return law.panels().resolution_error


def complying(law: Law, capacity: ArrayLike, count: ArrayLike) -> np.ndarray:
    """Which lanes of a batch, NumPy arrays with groups first, obey the rules."""
    leaves = (*jax.tree.leaves(law), capacity, count)
    rules = [np.isfinite(leaf) for leaf in leaves]
    rules += [good for _, good, _ in [*law.rules(), *_trader_rules(capacity, count)]]
    batch = np.ndim(capacity) - 1
    return np.all([np.all(good, axis=tuple(range(np.ndim(good) - batch))) for good in rules], axis=0)


_LEAST_TRACED = 0.99  # differences and one-sided derivatives at one trader look a step below it


def possible(laws: Sequence[Law], capacity: jax.Array, count: jax.Array) -> jax.Array:
    """The same of traced numbers, of the batch's shape; counts need not be whole, so that they may move.

    Args:
      laws: those of all families.
      capacity, count: shape (G, ...).
    """
    others = total(count * capacity) - capacity
    traders = jnp.isfinite(others) & (capacity > 0) & (count >= _LEAST_TRACED) & (others > 0)
    return jnp.all(jnp.concatenate([_by_group(law, capacity.ndim) for law in laws]) & traders, axis=0)


def _by_group(law, axes):
    """Whether the numbers of each group obey their law's rules; all lists of one group together."""
    found = True
    for good in (*(jnp.isfinite(leaf) for leaf in jax.tree.leaves(law)), *(good for _, good, _ in law.rules())):
        found = found & (jnp.all(good, axis=tuple(range(good.ndim - axes))) if good.ndim > axes else good)
    return found
