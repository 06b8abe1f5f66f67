"""What the numbers of a market must be, before anything is compiled; and the same rules as data, for sweeps."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple
from unicodedata import category

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import as_array, is_traced, total
from jaxmech.endowments import Law, Mixture, Numerical
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import resolved_to
from jaxmech.inputs import MarketError, one_number, real_numbers
from jaxmech.market.outside import OUTSIDE_FIELDS, Outside, OutsideMarket, OutsideOption
from jaxmech.programs import compiled

# What names of parameters use themselves.
_KEPT = (
    "endowment",
    "factor",
    "risk_capacity",
    "count",
    "welfare_weight",
    *(f"outside_{field}" for field in OUTSIDE_FIELDS),
)


class Block(NamedTuple):
    """The numbers of one Traders argument, broadcast to its groups."""

    law: Law
    risk_capacity: Any
    count: Any
    welfare_weight: Any  # None where all of them are 0
    outside: Outside | None
    groups: int


def one_entry_a_group(block: Any, called: str) -> Block:
    """The numbers of Traders broadcast to their groups; lists keep their axis.

    Arrays are NumPy's where nothing is traced: a market of a thousand Traders makes thousands of them.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dtype = jnp.result_type(float)

    def of_law(name, value, listed=False):
        if "." in name or _not_in_a_line(name) or name in (*shapes, *_KEPT):
            raise MarketError(
                f"{called}: a number of the law is called {name!r}; parameters need names of one line, no dots, all "
                f"different and none of {', '.join(_KEPT)}: rename it"
            )
        return number(name, value, listed)

    def number(name, value, listed=False):
        traced = is_traced(value)
        array = jnp.asarray(value, dtype) if traced else _rounded(real_numbers(f"{name} of {called}", value), dtype)
        if listed and array.ndim < 1:
            raise MarketError(f"{name} of {called} is {value!r}; give a list of numbers")
        array = array[:, None] if listed and array.ndim == 1 else array
        shapes[name] = array.shape[listed:]
        return array

    _check_parts(block.endowment, called)
    law = block.endowment.mapped(of_law)
    capacity, count = number("risk_capacity", block.risk_capacity), number("count", block.count)
    welfare = number("welfare_weight", as_array(block.welfare_weight))
    outside = {
        f"outside_{entry.name}": number(f"outside_{entry.name}", as_array(getattr(block.outside, entry.name)))
        for entry in (() if block.outside is None else fields(_checked_outside(block.outside, called)))
    }
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

    welfare = None if _is_nothing(welfare) else filled("", welfare)
    outside = {name: filled("", value) for name, value in outside.items()}
    priced = isinstance(block.outside, OutsideMarket)
    nothing = not priced and all(map(_is_nothing, outside.values()))
    outside = None if nothing else Outside.of(outside, (priced,) * shape[0])
    return Block(law.mapped(filled), filled("", capacity), filled("", count), welfare, outside, shape[0])


def _is_nothing(value):
    return not is_traced(value) and not np.any(value)


def _checked_outside(outside, called):
    if not isinstance(outside, OutsideMarket | OutsideOption):
        raise MarketError(
            f"outside of {called} is {outside!r}; give OutsideMarket(price, cost) or OutsideOption(gamma)"
        )
    return outside


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


def check_numbers(block: Block, called: str) -> None:
    """MarketError for numbers that traders cannot have; nothing is said of traced ones."""
    if is_traced(block):
        return
    law, numbers = jax.tree.map(np.asarray, block.law), {}
    law.mapped(lambda name, value, listed: numbers.setdefault(name, value))
    numbers |= {"risk_capacity": np.asarray(block.risk_capacity), "count": np.asarray(block.count)}
    if block.welfare_weight is not None:
        numbers["welfare_weight"] = np.asarray(block.welfare_weight)
    if block.outside is not None:
        numbers |= block.outside.entries(slice(None))
    for name, value in numbers.items():
        _refuse(name, value, np.isfinite(value), "must be a finite number", called)
    try:
        rules = law.rules()
    except ValueError:
        shapes = ", ".join(f"{entry.name} {np.shape(getattr(law, entry.name))}" for entry in fields(law))
        raise MarketError(f"endowment of {called}: lengths do not fit together: {shapes}") from None
    of_traders = _trader_rules(numbers["risk_capacity"], numbers["count"])
    for name, good, remedy in [*rules, *of_traders, *outside_rules(numbers)]:
        upper = f" (upper is {law.upper[np.argmin(good)]:g})" if name == "lower" else ""
        _refuse(name, numbers[name], good, remedy, called, upper)


def outside_rules(numbers: dict[str, Any]) -> Rules:
    """What the numbers of outside options must be by themselves, those that there are; see `check_kept_inside`."""
    rules = [
        ("outside_cost", lambda cost: cost > 0, "must be > 0"),
        ("outside_gamma", lambda gamma: (gamma >= 0) & (gamma < 1), "must lie in [0, 1)"),
        ("outside_reserve", lambda reserve: reserve >= 0, "must be ≥ 0"),
    ]
    return [(name, good(numbers[name]), remedy) for name, good, remedy in rules if name in numbers]


def one_outside(outside: Any, called: str) -> dict[str, Any]:
    """The numbers of an outside option by name, one each; MarketError for those that it cannot have."""
    names = {f"outside_{entry.name}": entry.name for entry in fields(_checked_outside(outside, called))}
    numbers = {name: getattr(outside, own) for name, own in names.items()}
    if is_traced(numbers):
        return numbers
    numbers = {name: np.asarray(one_number(f"{name} of {called}", value)) for name, value in numbers.items()}
    for name, good, remedy in outside_rules(numbers):
        _refuse(name, numbers[name][None], np.asarray(good)[None], remedy, called)
    return numbers


def check_kept_inside(outside: Outside | None, capacity: Any, count: Any, names: Sequence[str]) -> None:
    """MarketError where an outside option is as good as all the others inside (beyond §16)."""
    if outside is None or is_traced((outside, capacity, count)):
        return
    held, own, count = jax.tree.map(np.asarray, (outside, capacity, count))
    others = np.sum(count * own) - own
    gamma, most = held.option(own).gamma, others / (others + own)
    for group in map(int, np.flatnonzero(~(gamma < most))):
        if held.priced[group]:
            said = f"outside_cost of {names[group]} is {held.steepness[group]:g}; it must be above 1/(K − κ) = "
            raise MarketError(f"{said}{1 / others[group]:g}, or that market is deeper than all others inside")
        said = f"outside_gamma of {names[group]} is {gamma[group]:g}; it must be below 1 − κ/K = {most[group]:g}"
        raise MarketError(f"{said}, or trading outside is as good as with all others inside")


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


def complying_besides(market: Any) -> np.ndarray | bool:
    """The same of what a market, of NumPy, has besides laws, risk capacities and counts."""
    good, outside = True, market.outside
    if market.welfare_weight is not None:
        good = good & np.all(np.isfinite(market.welfare_weight), axis=0)
    if market.minimum_revenue is not None:
        good = good & (market.minimum_revenue < np.inf)
    if outside is None:
        return good
    total_capacity = np.sum(market.count * market.risk_capacity, axis=0)
    gamma = outside.option(market.risk_capacity).gamma
    rules = [gamma * total_capacity < total_capacity - market.risk_capacity]
    rules += [np.isfinite(part) for part in (outside.steepness, outside.place, outside.reserve)]
    good = good & np.all([np.all(rule, axis=0) for rule in rules], axis=0)
    by_group = (outside_rules(outside.entries(group)) for group in range(len(gamma)))
    return good & np.all([rule for rules in by_group for _, rule, _ in rules], axis=0)


_LEAST_TRACED = 0.99  # differences and one-sided derivatives at one trader look a step below it


_SLIGHTLY_BELOW = 1e-3  # and at nothing outside: the formulas go on


def possible(
    laws: Sequence[Law], capacity: jax.Array, count: jax.Array, option: OutsideOption | None = None
) -> jax.Array:
    """The same of traced numbers, of the batch's shape; counts need not be whole, so that they may move.

    Args:
      laws: those of all families.
      capacity, count: shape (G, ...).
      option: outside options, where there are some.
    """
    others = total(count * capacity) - capacity
    traders = jnp.isfinite(others) & (capacity > 0) & (count >= _LEAST_TRACED) & (others > 0)
    if option is not None:
        traders = traders & (option.gamma > -_SLIGHTLY_BELOW) & (option.gamma * (others + capacity) < others)
        traders = traders & jnp.isfinite(option.centre) & (option.reserve > -jnp.inf) & (option.reserve < jnp.inf)
    return jnp.all(jnp.concatenate([_by_group(law, capacity.ndim) for law in laws]) & traders, axis=0)


def _by_group(law, axes):
    """Whether the numbers of each group obey their law's rules; all lists of one group together."""
    found = True
    for good in (*(jnp.isfinite(leaf) for leaf in jax.tree.leaves(law)), *(good for _, good, _ in law.rules())):
        found = found & (jnp.all(good, axis=tuple(range(good.ndim - axes))) if good.ndim > axes else good)
    return found
