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
from jaxmech.inputs import AnyPath, MarketError, read_toml, refuse_other_keys
from jaxmech.market.checks import check_group_name, check_numbers, check_resolution, one_entry_a_group, possible
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
    """

    endowment: Law
    risk_capacity: NumbersLike
    count: NumbersLike = 1
    name: str = field(default="", metadata={"static": True})


@result()
@pytree
class Market:
    """Groups of traders, in order. Build one with `Market.of` or `Market.from_toml`.

    Args:
      endowment: law of all G groups, fields of shape (G,).
      risk_capacity: κ, shape (G,).
      count: n, shape (G,), as floats, so that derivatives to it exist.
      names: one name a group.

    A batch of markets carries further axes behind the group axis of every field: (G, B). That is the fast form; `vmap`
    over markets with the batch axis in front works too.
    """

    endowment: Law
    risk_capacity: jax.Array
    count: jax.Array
    names: tuple[str, ...] = field(default=(), metadata={"static": True, "label": True})

    @classmethod
    def of(cls, *traders: Traders) -> Self:
        """A market of the given traders, groups in the order given.

        Raises:
          MarketError: naming the traders, the argument, the value and the remedy; before anything is compiled.
        """
        _warn_without_x64()
        if not traders:
            raise MarketError("a market needs traders: Market.of(Traders(Uniform(-1, 1), risk_capacity=0.5, count=5))")
        blocks = [_checked(block, place) for place, block in enumerate(traders, 1)]
        laws, capacities, counts, names = zip(*blocks, strict=True)
        names, count = _distinct_names(chain.from_iterable(names)), _joined(*counts)
        if not is_traced(count) and np.sum(np.asarray(count)) < 2:
            raise MarketError("count: a market needs at least two traders, got one; add traders or raise count")
        return cls(_side_by_side(laws), _joined(*capacities), count, names)

    @classmethod
    def from_toml(cls, path: AnyPath) -> Self:
        """The market described in a TOML file: one [[traders]] table a group, each with an `endowment` table.

            [[traders]]
            name = "dealer"
            count = 40
            risk_capacity = 0.5
            endowment = { law = "truncated_normal", loc = 0.0, scale = 0.5, lower = -1.0, upper = 1.0 }

        Raises:
          MarketError: missing file, bad TOML, unknown law or key, or whatever `Market.of` refuses.
        """
        return cls.of(*_traders_from(read_toml(path), path))

    @property
    def groups(self) -> int:
        """Number of groups G."""
        return self.risk_capacity.shape[0]

    @derived
    def total_risk_capacity(self) -> jax.Array:
        """K = Σ κ over traders."""
        return total(self.count * self.risk_capacity)

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
    good = possible([law for law, *_ in market.laws()], market.risk_capacity, market.count)
    return Prepared.of(market.endowment, market.risk_capacity, market.count, good)


def checked_market(market: Any) -> Market:
    """The market itself; MarketError when it is something else."""
    if not isinstance(market, Market):
        raise MarketError(f"market is {type(market).__name__}; build one with Market.of(Traders(...), ...)")
    return market


def _traders_from(table, path):
    refuse_other_keys(table, {"name", "traders", "provenance", "units"}, path)
    groups = table.get("traders")
    if not isinstance(groups, list) or not groups:
        raise MarketError(f"{path}: no [[traders]] table; write one for each group of traders")
    traders = []
    for place, group in enumerate(groups, 1):
        if not isinstance(group, dict):
            raise MarketError(f"{path}: traders {place} is {group!r}; write a [[traders]] table")
        where = f"{path}: traders {place} ({group.get('name', 'unnamed')})"
        refuse_other_keys(group, {"name", "count", "risk_capacity", "endowment"}, where, {"risk_capacity", "endowment"})
        law = _law_from(group["endowment"], where)
        traders.append(Traders(law, group["risk_capacity"], group.get("count", 1), group.get("name", "")))
    return traders


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


def _checked(block, place):
    """(law, risk capacity, count, names) of one Traders argument, broadcast to its groups and checked."""
    if not isinstance(block, Traders):
        raise MarketError(f"argument {place} is {block!r}; Market.of takes Traders(endowment, risk_capacity, count)")
    if not isinstance(block.name, str):
        raise MarketError(f"name of traders {place} is {block.name!r}; give a text")
    called = f"traders {place}" + (f" ({block.name})" if block.name else "")
    if not isinstance(block.endowment, Law):
        raise MarketError(f"endowment of {called} is {block.endowment!r}; give a law such as Uniform(-1, 1)")
    law, capacity, count, groups = one_entry_a_group(block, called)
    check_group_name(block.name, groups, place)
    check_numbers(law, capacity, count, called)
    check_resolution(law, called)
    names = tuple(f"{block.name}_{k + 1}" if groups > 1 and block.name else block.name for k in range(groups))
    return law, capacity, count, names


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
