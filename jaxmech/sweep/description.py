"""A sweep as plain data, from which the same sweep is made again on another machine; and the hash of it.

Functions of densities are kept by the name they are imported by.
"""

import hashlib
import json
from dataclasses import fields, replace
from importlib import import_module
from operator import attrgetter

import jax.numpy as jnp
import numpy as np

from jaxmech.endowments import FAMILIES, Density, Law, SideBySide
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market
from jaxmech.market.outside import Outside
from jaxmech.market.parameters import LEAST, named_parameter
from jaxmech.programs import compiled
from jaxmech.sweep.design import Design, Draws, Range

_TYPES = 33  # of each group
_OUTSIDE = ("steepness", "place", "reserve")
_LAWS = {family.__name__: family for family in (*FAMILIES.values(), Density, SideBySide)}


def description(design, derivatives) -> dict:
    """All that the numbers of a sweep depend on, but for the software: JSON with every digit."""
    market = {name: _plain(getattr(design.market, name)) for name in ("endowment", "risk_capacity", "count")}
    market |= _besides(design.market)
    return {
        "market": market | {"names": list(design.market.names)},
        "design": design.kind,
        "columns": {name: _column(values) for name, values in design.columns.items()},
        "chunk_shape": list(design.chunk_shape),
        "derivatives": bool(derivatives),
    }


def spec_hash(described) -> str:
    """sha256 of a description."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def design_of(described, dtype):
    """(Design, derivatives) of a description, on the host, in the floating type given."""
    market = described["market"]
    capacity, count = (np.asarray(market[name], dtype) for name in ("risk_capacity", "count"))
    whole = Market(_law_of(market["endowment"], dtype), capacity, count, names=tuple(market["names"]))
    market = _with_besides(whole, market, dtype)
    alpha, *values = map(_column_of, described["columns"].values())
    parameters = tuple(named_parameter(name, market) for name in list(described["columns"])[1:])
    shape = tuple(described["chunk_shape"])
    return Design(market, described["design"], alpha, parameters, tuple(values), shape), described["derivatives"]


def _besides(market):
    """What a market has besides, where it has it."""
    found = {}
    if market.welfare_weight is not None:
        found["welfare_weight"] = _plain(market.welfare_weight)
    if market.outside is not None:
        outside = market.outside
        numbers = {name: _plain(getattr(outside, name)) for name in _OUTSIDE}
        found["outside"] = numbers | {"priced": list(outside.priced)}
    if market.minimum_revenue is not None:
        found["minimum_revenue"] = float(market.minimum_revenue)
    return found


def _with_besides(market, described, dtype):
    """The market with what was described of it besides."""
    more = {name: np.asarray(described[name], dtype) for name in ("welfare_weight", LEAST) if name in described}
    if "outside" in described:
        numbers = (np.asarray(described["outside"][name], dtype) for name in _OUTSIDE)
        more["outside"] = Outside(*numbers, tuple(described["outside"]["priced"]))
    return replace(market, **more)


def refuse_unstorable(market):
    """MarketError for a market with a law that another process could not make again."""
    for part in _parts(market.endowment):
        if not isinstance(part, Law):
            _refuse_unnamed(part)
        elif type(part) not in _LAWS.values():
            remedy = "sweep in memory, without a store, or give its density to Density"
            law = f"endowment law {type(part).__name__}"
            raise MarketError(f"{law} is not one of jaxmech's, which are all that a store keeps; {remedy}")


def density_values(market) -> list:
    """Log densities at some types of each Density of a market, (types, groups): the same numbers, the same function."""
    share = np.linspace(0.0, 1.0, _TYPES + 2)[1:-1, None]
    laws = [part for part in _parts(market.endowment) if isinstance(part, Density)]
    return [np.asarray(_log_densities(law, law.lower * (1 - share) + law.upper * share)).tolist() for law in laws]


@compiled
def _log_densities(law, types):
    return law.log_density(types / law.unit, law.parameters) + jnp.zeros_like(types)


def refuse_other_functions(market, values):
    """MarketError where a function that the market's laws need is absent or has not these `density_values`."""
    for was, here in zip(values, density_values(market), strict=True):
        size = np.max(np.abs(was), where=np.isfinite(was), initial=1.0)
        rounding = size * np.finfo(market.risk_capacity.dtype).eps ** 0.5
        if not np.allclose(was, here, rtol=0, atol=rounding, equal_nan=True):
            names = sorted({function_name(part) for part in _parts(market.endowment) if not isinstance(part, Law)})
            remedy = "restore it, start workers that import it anew, or begin again with --overwrite"
            said = f"endowment function {' or '.join(names)} has other values here than when the sweep was begun"
            raise MarketError(f"{said}; {remedy}")


def _parts(value):
    """A law, and all laws and functions in it."""
    if isinstance(value, Law):
        yield value
        value = tuple(getattr(value, entry.name) for entry in fields(value))
    if isinstance(value, tuple):
        for part in value:
            yield from _parts(part)
    elif callable(value):
        yield value


def _plain(value):
    """A law, a tuple of laws or an array of numbers as dictionaries and lists."""
    if isinstance(value, Law):
        return {"law": type(value).__name__} | {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple) and any(isinstance(part, Law) for part in value):
        return [_plain(part) for part in value]
    if callable(value):
        return function_name(value)
    return np.asarray(value).tolist()


def _law_of(described, dtype):
    family = _LAWS[described["law"]]

    def value(held, name):
        if name == "log_density":
            return named_function(held)
        if name == "parameters":
            return {key: np.asarray(number, dtype) for key, number in held.items()}
        if name == "laws":
            return tuple(_law_of(part, dtype) for part in held)
        return held if isinstance(held, bool) else np.asarray(held, dtype)

    values = {name: value(held, name) for name, held in described.items() if name != "law"}
    for name in family.stacked_fields:
        if not values[name].size:  # a list of nothing, whose groups JSON has no place for
            values[name] = np.zeros((0, *values["lower"].shape), dtype)
    return family(**values)


def _column(values):
    if not isinstance(values, Draws):
        return values.tolist()
    source = values.source
    source = {"range": [source.low, source.high, source.log]} if isinstance(source, Range) else {"of": source.tolist()}
    return source | {"points": values.points, "seed": values.seed, "place": values.place}


def _column_of(described):
    if isinstance(described, list):
        return np.array(described, float)
    drawn = {name: described[name] for name in ("points", "seed", "place")}
    source = Range(*described["range"]) if "range" in described else np.array(described["of"], float)
    return Draws(source, **drawn)


def function_name(function) -> str:
    """Where a function is imported from, as "module:name"; of what has no name, that of its class."""
    module = getattr(function, "__module__", None)
    return f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def named_function(name):
    """The function of that name; where it cannot be imported, one that says so: to read a store needs none."""
    module, _, path = name.partition(":")
    try:
        return attrgetter(path)(import_module(module))
    except Exception as error:  # whatever the module does when it is imported
        reason = f"endowment function {name} cannot be imported: {error}; install its module or set PYTHONPATH"

    def absent(*arguments):
        raise MarketError(reason)

    absent.__module__, absent.__qualname__ = module, path
    return absent


def _refuse_unnamed(function):
    """MarketError for a function that another process would not find under its name."""
    name = function_name(function)
    if name.startswith("__main__:") or named_function(name) is not function:
        kinds = "a lambda, a function inside another, one of the script itself"
        remedy = "define it at the top of a module and import it, or sweep in memory, without a store"
        said = f"endowment function {name} cannot be imported by that name, so no other process would find it"
        raise MarketError(f"{said} ({kinds}); {remedy}")
