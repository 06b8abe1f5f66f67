"""The numbers of a market by name, and markets in which some of them are others.

Names: "<group>.<field>" sets one group's entry, "all.<field>" that of every group that has the field; with ".factor"
behind it the market's own value is multiplied. "all.endowment.factor" stretches endowments whole, support included.
They are read from the right: a group may be called anything but "all", dots included, while fields have no dots and
none is called "factor" (`Market.of` sees to it). "minimum_revenue" belongs to no group.

Welfare weights, outside options in their raw form and the minimum revenue can be set where a market has none: they are
0 there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.arrays import is_traced, on_device, on_host
from jaxmech.endowments.law import LENGTHS, LOCATIONS, RATES, Entries, Law
from jaxmech.inputs import MarketError
from jaxmech.market.checks import complying, complying_besides
from jaxmech.market.market import Market
from jaxmech.market.outside import no_outside

LEAST = "minimum_revenue"
# Of what each number besides laws is: what a change of it is measured by.
UNITS = {
    LEAST: "money",
    "outside_reserve": "money",
    "outside_price": "price",
    "outside_centre": "asset",
    "outside_gamma": "number",
    "welfare_weight": "number",
}


MAY_BE_NOTHING = ("outside_gamma", "outside_reserve")  # 0 at the least, and 0 too


def is_location(field: str) -> bool:
    """Whether a field is a place, which may be negative or 0: what counts is a change over the support's width."""
    return _plain(field) in LOCATIONS or UNITS.get(field) == "asset"


def is_signed(field: str) -> bool:
    """Whether a number may be negative."""
    return is_location(field) or field in (LEAST, "outside_price", "welfare_weight")


def unit_of(field: str) -> str:
    """Of what a number of a group, or of its law, is: "asset", "1/asset", "money", "price", "number"."""
    plain = _plain(field)
    own = "asset" if plain in LOCATIONS + LENGTHS else "1/asset" if plain in RATES else "number"
    return UNITS.get(field, own)


def _plain(field):
    """The field's name in its own law: loc of laws_1_loc, edges of edges_3."""
    return re.sub(r"_\d+$", "", re.sub(r"^(laws_\d+_)+", "", field))


@dataclass(frozen=True)
class Parameter:
    """One parameter of a market: which entries of which field are set, or multiplied. Made by `named_parameter`."""

    name: str = field(compare=False)  # renaming a group compiles nothing anew
    group: int | None  # None: all groups
    field: str
    factor: bool = False

    def applied(self, entries: Entries, values: jax.Array, law: Law) -> Entries:
        """`entries` (one group's, arrays of the batch's shape) with this parameter at `values`; `law`: any group's."""
        if self.field == "endowment":
            return entries | law.with_entries(entries).stretched(values).entries()
        base = entries[self.field]
        return entries | {self.field: base * values if self.factor else jnp.broadcast_to(values, base.shape)}


class NameParts(NamedTuple):
    """What the name of a parameter says."""

    group: str  # "all" or the name of a group; "" where the text is no name of a parameter
    field: str
    factor: bool


def name_parts(name: str) -> NameParts:
    """The parts of a parameter's name, a text."""
    unscaled = name.removesuffix(".factor")
    group, _, field = unscaled.rpartition(".")
    return NameParts(group, field, unscaled != name)


def named_parameter(name: str, market: Market) -> Parameter:
    """The parameter of that name; MarketError, naming those there are, when the market has none such."""
    called, field, factor = name_parts(str(name))
    if (called, field) == ("", LEAST):
        return Parameter(str(name), None, field, factor)
    known = ["all", *market.names]
    if called not in known:
        raise MarketError(
            f"{name!r} is not a parameter of this market; write GROUP.FIELD or GROUP.FIELD.factor "
            f"with GROUP one of {', '.join(known)}"
        )
    group = None if called == "all" else market.names.index(called)
    entries = group_entries(market_besides(on_host(market), field))
    owners = entries if group is None else [entries[group]]
    if not any(_has(one, field) for one in owners) or (field == "endowment" and not factor):
        available = [*sorted({key for one in owners for key in one}), "endowment.factor"]
        raise MarketError(f"{name!r}: no such field; {called} has {', '.join(available)}")
    return Parameter(str(name), group, field, factor)


def every_parameter(market: Market) -> tuple[Parameter, ...]:
    """One Parameter for each number of the market, group by group."""
    named = zip(market.names, group_entries(on_host(market)), strict=True)
    found = [Parameter(f"{name}.{field}", place, field) for place, (name, row) in enumerate(named) for field in row]
    return (*found, *(() if market.minimum_revenue is None else (Parameter(LEAST, None, LEAST),)))


def refuse_overlaps(parameters: Sequence[Parameter]) -> None:
    """MarketError when two parameters set the same number, or one sets what another multiplies.

    Two factors of one number are kept: they multiply, in any order, and each is what it says.
    """
    for place, later in enumerate(parameters):
        for earlier in parameters[:place]:
            shared = earlier.group == later.group or None in (earlier.group, later.group)
            if shared and not (earlier.factor and later.factor) and _same_number(earlier.field, later.field):
                raise MarketError(
                    f"{earlier.name} and {later.name} set the same number; vary one of them, or give both as .factor"
                )


def _same_number(one, other):
    """Whether two fields of a group are the same number, or one of them is stretched with the endowment."""
    stretched = (
        first == "endowment" and _plain(second) in LOCATIONS + LENGTHS + RATES
        for first, second in ((one, other), (other, one))
    )
    return one == other or any(stretched)


def group_entries(market: Market) -> list[Entries]:
    """One dictionary a group: its risk capacity, its count, the fields of its law, and what it has besides."""
    rows = []
    for law, start, length in market.laws():
        entries = law.entries()
        for k in range(length):
            group = start + k
            own = {"risk_capacity": market.risk_capacity[group], "count": market.count[group]}
            own |= {name: value[k] for name, value in entries.items()}
            if market.welfare_weight is not None:
                own["welfare_weight"] = market.welfare_weight[group]
            if market.outside is not None:
                own |= market.outside.entries(group)
            rows.append(own)
    return rows


def market_besides(market: Market, *fields: str) -> Market:
    """The market with room for the numbers of these names that it has none of: they are 0."""
    nothing = np.zeros(market.count.shape, market.count.dtype)
    if "welfare_weight" in fields and market.welfare_weight is None:
        market = replace(market, welfare_weight=nothing)
    if market.outside is None and any(field.startswith("outside_") for field in fields):
        market = replace(market, outside=no_outside(market.groups, nothing))
    if LEAST in fields and market.minimum_revenue is None:
        market = replace(market, minimum_revenue=nothing[0])
    return market


def present_values(market: Market, parameters: Sequence[Parameter]) -> jax.Array:
    """What the parameters are now, shape (parameters,): 1 for factors. MarketError for "all" of unequal entries."""
    market = on_host(market_besides(market, *(parameter.field for parameter in parameters)))
    entries, values = group_entries(market), []
    for parameter in parameters:
        if parameter.field == LEAST:
            values.append(1.0 if parameter.factor else market.minimum_revenue)
            continue
        own: list[Any] = [row[parameter.field] for row in entries if parameter.field in row]
        own = own if parameter.group is None else [entries[parameter.group].get(parameter.field)]
        if parameter.group is None and not parameter.factor and any(float(value) != float(own[0]) for value in own):
            raise MarketError(f"{parameter.name}: the groups differ in it; write {parameter.name}.factor")
        values.append(1.0 if parameter.factor else own[0])
    dtype = market.risk_capacity.dtype
    return jnp.asarray(values, dtype) if is_traced(values) else on_device(np.asarray(values, dtype))


def market_with(market: Market, parameters: Sequence[Parameter], values: jax.Array) -> Market:
    """The market with its parameters at other values; a batch of markets for a batch of values. Works on tracers.

    Args:
      market: one market.
      parameters: Parameters; later ones see what earlier ones did.
      values: shape (parameters, ...).
    """
    shape, market = values.shape[1:], market_besides(market, *(parameter.field for parameter in parameters))
    least = market.minimum_revenue
    if least is not None:
        least = jnp.broadcast_to(least, shape).astype(values.dtype)
    groups = [
        {name: jnp.broadcast_to(entry, shape).astype(values.dtype) for name, entry in one.items()}
        for one in group_entries(market)
    ]
    own = [law for law, _, length in market.laws() for _ in range(length)]
    for parameter, value in zip(parameters, values, strict=True):
        if parameter.field == LEAST:
            least = least * value if parameter.factor else jnp.broadcast_to(value, shape)
            continue
        for place in range(len(groups)) if parameter.group is None else (parameter.group,):
            if parameter.group is not None or _has(groups[place], parameter.field):
                groups[place] = parameter.applied(groups[place], value, own[place])
    laws = []
    for law, start, length in market.laws():
        rows = groups[start : start + length]
        laws.append(law.with_entries({name: jnp.stack([row[name] for row in rows]) for name in law.entries()}))
    endowment = laws[0] if len(laws) == 1 else replace(market.endowment, laws=tuple(laws))
    capacity, count = (jnp.stack([row[name] for row in groups]) for name in ("risk_capacity", "count"))
    welfare = None if market.welfare_weight is None else jnp.stack([row["welfare_weight"] for row in groups])
    outside = None if market.outside is None else market.outside.with_entries(groups)
    return Market(endowment, capacity, count, market.names, welfare, outside, least)


def market_at(market: Market, values: Mapping[str, ArrayLike]) -> Market:
    """The market with numbers of these names, such as {"dealer.outside_cost": 2.0, "all.welfare_weight": 0.1}.

    Raises:
      MarketError: a name that the market does not have, two that set the same number, or a market that cannot be.
    """
    parameters = tuple(named_parameter(name, market) for name in values)
    refuse_overlaps(parameters)
    changed = on_device(np.asarray(list(values.values()), market.risk_capacity.dtype))
    found = market_with(market, parameters, changed)
    if not np.all(valid_market(on_host(found))):
        said = ", ".join(f"{name} = {value}" for name, value in values.items())
        raise MarketError(f"{said}: there is no such market; see the rules of Market.of")
    return found


def valid_market(market: Market) -> np.ndarray:
    """Which lanes of a batch are markets at all: the rules of `Market.of` as data. Host only."""
    market = jax.tree.map(np.asarray, market)
    good = (np.sum(market.count, axis=0) >= 2) & complying_besides(market)
    for law, start, length in market.laws():
        rows = slice(start, start + length)
        good = good & complying(law, market.risk_capacity[rows], market.count[rows])
    return good


def _has(entries, name):
    return name in entries or name == "endowment"
