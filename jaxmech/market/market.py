"""Who trades: groups of identical traders with private endowments and public risk capacities.

`Market.of` is the checked door: what passes it is broadcast to one entry a group and free of bad values. The class
itself checks nothing, because JAX rebuilds it with tracers; solvers report trouble as status.
"""

import warnings
from collections import Counter
from dataclasses import field, fields, replace
from itertools import chain, groupby
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, on_device, pytree, total
from jaxmech.endowments import FAMILIES, Law, SideBySide
from jaxmech.inputs import AnyPath, MarketError, read_toml, real_numbers, refuse_other_keys, shown
from jaxmech.market.checks import (
    Block,
    check_group_name,
    check_kept_inside,
    check_numbers,
    check_resolution,
    one_entry_a_group,
    one_outside,
    possible,
)
from jaxmech.market.outside import Outside, OutsideMarket, OutsideOption, no_outside
from jaxmech.market.prepared import Prepared
from jaxmech.numerics.batching import differentiable_behind
from jaxmech.plain import result
from jaxmech.programs import derived


@result()
@pytree
class Traders:
    """One or several groups of identical traders (arrays = several groups).

    Arrays may be given as lists or tuples, here and in the law.

    Args:
      endowment: endowment law; fields are scalars or (groups,) arrays.
      risk_capacity: κ > 0, units of the asset per unit of marginal holding cost; scalar or (groups,).
      count: traders in each group, whole numbers ≥ 1; scalar or (groups,).
      name: what to call the group in tables and in names of parameters, one line of any text but "all", which stands
        for every group there; for several groups a number is appended.
      welfare_weight: β, what the designer adds to his objective for each unit of money that a trader of the group gains
        by trading (beyond §1); any number, scalar or (groups,).
      outside: what each trader could do instead, OutsideMarket or OutsideOption; None: hold what he has.
    """

    endowment: Law
    risk_capacity: NumbersLike
    count: NumbersLike = 1
    name: str = field(default="", metadata={"static": True})
    welfare_weight: NumbersLike = 0.0
    outside: OutsideMarket | OutsideOption | None = None


@result()
@pytree
class Market:
    """Groups of traders, in order. Build one with `Market.of` or `Market.from_toml`.

    Args:
      endowment: law of all G groups, fields of shape (G,).
      risk_capacity: κ, shape (G,).
      count: n, shape (G,), as floats, so that derivatives to it exist.
      names: one name a group.
      welfare_weight: β, shape (G,); None where all are 0.
      outside: what traders can do instead; None where nobody has anything.
      minimum_revenue: R_min, what the exchange must earn, money, a scalar; None for 0, a balanced budget.

    A batch of markets carries further axes behind the group axis of every field: (G, B). That is the fast form; `vmap`
    over markets with the batch axis in front works too.
    """

    endowment: Law
    risk_capacity: jax.Array
    count: jax.Array
    names: tuple[str, ...] = field(default=(), metadata={"static": True, "label": True})
    welfare_weight: jax.Array | None = None
    outside: Outside | None = None
    minimum_revenue: jax.Array | None = None

    @classmethod
    def of(cls, *traders: Traders, minimum_revenue: NumbersLike = 0.0) -> Self:
        """A market of the given traders, groups in the order given.

        Args:
          minimum_revenue: R_min, money: what the exchange must earn instead of nothing; negative for a subsidy, −∞ for
            no budget at all. `solve` takes another one where it is asked to.

        Raises:
          MarketError: naming the traders, the argument, the value and the remedy; before anything is compiled.
        """
        _warn_without_x64()
        if not traders:
            raise MarketError("a market needs traders: Market.of(Traders(Uniform(-1, 1), risk_capacity=0.5, count=5))")
        blocks = [_checked(block, place) for place, block in enumerate(traders, 1)]
        names = _distinct_names(chain.from_iterable(names for _, names in blocks))
        numbers = [block for block, _ in blocks]
        capacity, count = _joined(*(one.risk_capacity for one in numbers)), _joined(*(one.count for one in numbers))
        if not is_traced(count) and np.sum(np.asarray(count)) < 2:
            raise MarketError("count: a market needs at least two traders, got one; add traders or raise count")
        welfare, outside = _joined_welfare(numbers), _joined_outside(numbers)
        check_kept_inside(outside, capacity, count, names)
        law = _side_by_side([one.law for one in numbers])
        return cls(law, capacity, count, names, welfare, outside).earning(minimum_revenue)

    @classmethod
    def from_toml(cls, path: AnyPath) -> Self:
        """The market described in a TOML file: one [[traders]] table a group, each with an `endowment` table.

            [[traders]]
            name = "dealer"
            count = 40
            risk_capacity = 0.5
            endowment = { law = "truncated_normal", loc = 0.0, scale = 0.5, lower = -1.0, upper = 1.0 }
            welfare_weight = 0.2                        # these two only where they are wanted
            outside = { price = 0.0, cost = 0.5 }       # or { gamma = 0.3, centre = 0.0, reserve = 0.0 }

        and, before the first table, `minimum_revenue = 0.01` where revenue has a target.

        Raises:
          MarketError: missing file, bad TOML, unknown law or key, or whatever `Market.of` refuses.
        """
        table = read_toml(path)
        return cls.of(*_traders_from(table, path), minimum_revenue=table.get("minimum_revenue", 0.0))

    @property
    def groups(self) -> int:
        """Number of groups G."""
        return self.risk_capacity.shape[0]

    @derived
    def total_risk_capacity(self) -> jax.Array:
        """K = Σ κ over traders."""
        return total(self.count * self.risk_capacity)

    def earning(self, minimum_revenue: NumbersLike) -> Self:
        """The market where the exchange must earn R_min, money, one number for each market of a batch.

        Raises:
          MarketError: NaN or +∞, or another shape (outside jit only).
        """
        shape, dtype = self.risk_capacity.shape[1:], self.risk_capacity.dtype
        if is_traced(minimum_revenue):
            return replace(self, minimum_revenue=jnp.broadcast_to(jnp.asarray(minimum_revenue, dtype), shape))
        least = real_numbers("minimum_revenue", minimum_revenue, "money, one number for each market")
        if np.any(np.isnan(least) | (least == np.inf)):
            said = f"minimum_revenue is {shown(minimum_revenue)}"
            raise MarketError(f"{said}; give numbers, 0 for a balanced budget and −∞ for none")
        try:
            least = np.broadcast_to(least, shape).astype(dtype)
        except ValueError:
            raise MarketError(f"minimum_revenue has shape {least.shape}; give one number for each market") from None
        return replace(self, minimum_revenue=on_device(least) if np.any(least) else None)

    def with_outside(self, group: str, outside: OutsideMarket | OutsideOption) -> Self:
        """The market where each trader of a group, or of "all", has this outside option instead of his own.

        Raises:
          MarketError: no such group, numbers that an option cannot have, or one that is as good as all others inside.
        """
        if group != "all" and group not in self.names:
            raise MarketError(f"group {group!r} is not in this market; choose all, {', '.join(self.names)}")
        places = range(self.groups) if group == "all" else (self.names.index(group),)
        held, numbers = self.outside or no_outside(self.groups, self.risk_capacity), one_outside(outside, group)
        rows, priced = [held.entries(k) for k in range(self.groups)], list(held.priced)
        for place in places:
            rows[place] = {name: jnp.full_like(self.risk_capacity[0], value) for name, value in numbers.items()}
            priced[place] = isinstance(outside, OutsideMarket)
        new = replace(held, priced=tuple(priced)).with_entries(rows)
        check_kept_inside(new, self.risk_capacity, self.count, self.names)
        return replace(self, outside=new)

    @property
    def option(self) -> OutsideOption | None:
        """What traders gain outside, in the raw form (γ, c, r), (G, ...) each; None where nobody has anything."""
        return None if self.outside is None else self.outside.option(self.risk_capacity)

    def trader_groups(self, traders: int) -> jax.Array | np.ndarray:
        """Group of each of the N traders, in order; ValueError when the market has another number of traders."""
        if is_traced(self.count):
            return jnp.repeat(jnp.arange(self.groups), self.count.astype(int), total_repeat_length=traders)
        count = np.asarray(self.count).astype(int)
        if traders != np.sum(count):
            raise ValueError(f"z has {traders} columns, but the market has {np.sum(count)} traders, one column each")
        return np.repeat(np.arange(self.groups), count)

    def prepared(self) -> Prepared:
        """The market in the form to compute with: all that does not depend on types evaluated once."""
        return _prepared(replace(self, names=()))

    def laws(self) -> list[tuple[Law, int, int]]:
        """(law, first group, groups) for each family in order."""
        parts = self.endowment.laws if isinstance(self.endowment, SideBySide) else (self.endowment,)
        starts = np.cumsum([0] + [part.lower.shape[0] for part in parts])
        return [(part, int(a), int(b - a)) for part, a, b in zip(parts, starts, starts[1:], strict=False)]


@differentiable_behind
def _prepared(market):
    option = market.option
    good = possible([law for law, *_ in market.laws()], market.risk_capacity, market.count, option)
    if market.outside is not None:
        good = good & market.outside.has_costs()
    if market.minimum_revenue is not None:
        good = good & (market.minimum_revenue < jnp.inf)
    found = Prepared.of(market.endowment, market.risk_capacity, market.count, good)
    return replace(found, outside=option, target=market.minimum_revenue)


def checked_market(market: Any) -> Market:
    """The market itself; MarketError when it is something else."""
    if not isinstance(market, Market):
        raise MarketError(f"market is {type(market).__name__}; build one with Market.of(Traders(...), ...)")
    return market


def _traders_from(table, path):
    refuse_other_keys(table, {"name", "traders", "provenance", "units", "minimum_revenue"}, path)
    groups = table.get("traders")
    if not isinstance(groups, list) or not groups:
        raise MarketError(f"{path}: no [[traders]] table; write one for each group of traders")
    traders = []
    for place, group in enumerate(groups, 1):
        if not isinstance(group, dict):
            raise MarketError(f"{path}: traders {place} is {group!r}; write a [[traders]] table")
        where = f"{path}: traders {place} ({group.get('name', 'unnamed')})"
        known = {"name", "count", "risk_capacity", "endowment", "welfare_weight", "outside"}
        refuse_other_keys(group, known, where, {"risk_capacity", "endowment"})
        given = group | {"endowment": _law_from(group["endowment"], where)}
        if "outside" in group:
            given["outside"] = _outside_from(group["outside"], where)
        traders.append(Traders(**given))
    return traders


def _outside_from(table, where):
    if not isinstance(table, dict):
        raise MarketError(f"{where}: outside is {table!r}; write {{ price = 0.0, cost = 0.5 }} or {{ gamma = 0.3 }}")
    kind = OutsideMarket if {"price", "cost"} & set(table) else OutsideOption
    required = {"price", "cost"} if kind is OutsideMarket else {"gamma"}
    refuse_other_keys(table, {entry.name for entry in fields(kind)}, f"{where}: outside", required)
    return kind(**table)


def _law_from(table, where):
    got = table.get("law") if isinstance(table, dict) else table
    if not isinstance(table, dict) or not isinstance(got, str) or got not in FAMILIES:
        raise MarketError(f"{where}: endowment law {got!r} is unknown; choose one of {', '.join(FAMILIES)}")
    family = FAMILIES[got]
    names = [entry.name for entry in fields(family)]
    refuse_other_keys(table, {"law", *names}, f"{where}: endowment", set(names))
    values = {name: table[name] for name in names}
    if isinstance(values.get("laws"), list):
        parts = enumerate(values["laws"], 1)
        values["laws"] = tuple(_law_from(part, f"{where}: law {place} of the mixture") for place, part in parts)
    return family(**values)


def _checked(block, place) -> tuple[Block, tuple[str, ...]]:
    """The numbers of one Traders argument, broadcast to its groups and checked, and the groups' names."""
    if not isinstance(block, Traders):
        raise MarketError(f"argument {place} is {block!r}; Market.of takes Traders(endowment, risk_capacity, count)")
    if not isinstance(block.name, str):
        raise MarketError(f"name of traders {place} is {block.name!r}; give a text")
    called = f"traders {place}" + (f" ({block.name})" if block.name else "")
    if not isinstance(block.endowment, Law):
        raise MarketError(f"endowment of {called} is {block.endowment!r}; give a law such as Uniform(-1, 1)")
    numbers = one_entry_a_group(block, called)
    groups = numbers.groups
    check_group_name(block.name, groups, place)
    check_numbers(numbers, called)
    check_resolution(numbers.law, called)
    return numbers, tuple(f"{block.name}_{k + 1}" if groups > 1 and block.name else block.name for k in range(groups))


def _joined_welfare(blocks):
    """β of all groups; None where all are 0."""
    if all(block.welfare_weight is None for block in blocks):
        return None
    nothing = (np.zeros(block.groups, block.risk_capacity.dtype) for block in blocks)
    each = zip((block.welfare_weight for block in blocks), nothing, strict=True)
    return _joined(*(zero if given is None else given for given, zero in each))


def _joined_outside(blocks):
    """The outside options of all groups; None where nobody has any."""
    if all(block.outside is None for block in blocks):
        return None
    each = [block.outside or no_outside(block.groups, block.risk_capacity) for block in blocks]
    numbers = ([getattr(one, name) for one in each] for name in ("steepness", "place", "reserve"))
    priced = tuple(chain.from_iterable(one.priced for one in each))
    return Outside(*(_joined(*parts) for parts in numbers), priced=priced)


def _distinct_names(names):
    """Names as given; unnamed groups are called group_1, group_2, … by their place."""
    filled = tuple(name or f"group_{place}" for place, name in enumerate(names, 1))
    if len(set(filled)) < len(filled):
        name, times = Counter(filled).most_common(1)[0]
        raise MarketError(f"name {name!r} is used by {times} groups; give each group its own")
    return filled


def _side_by_side(laws):
    """One law of all groups; neighbours of one structure are merged, so that they are computed together."""
    merged = [jax.tree.map(_joined, *neighbours) for _, neighbours in groupby(laws, _structure)]
    return merged[0] if len(merged) == 1 else SideBySide(tuple(merged))


def _joined(*parts):
    """Arrays put together along the groups, as one of JAX."""
    library = np if all(isinstance(part, np.ndarray) for part in parts) else jnp
    return on_device(library.concatenate(parts, axis=-1))


def _structure(law):
    return jax.tree.structure(law), [leaf.shape[:-1] for leaf in jax.tree.leaves(law)]


_warned = False


def _warn_without_x64():
    global _warned
    if not _warned and jnp.result_type(float) != jnp.float64:
        _warned = True
        warnings.warn(
            "jaxmech runs in float32: answers carry about five digits. For float64 call "
            "jax.config.update('jax_enable_x64', True) before the first market.",
            stacklevel=3,
        )
