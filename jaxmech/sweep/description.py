"""A sweep as plain data, from which the same sweep is made again on another machine; and the hash of it."""

import hashlib
import json
from dataclasses import fields

import numpy as np

from jaxmech.endowments import FAMILIES, Law, SideBySide
from jaxmech.market import Market
from jaxmech.parameters import named_parameter
from jaxmech.sweep.design import Design, Draws, Range
from jaxmech.tables import MarketError

_LAWS = {family.__name__: family for family in (*FAMILIES.values(), SideBySide)}


def description(design, derivatives) -> dict:
    """All that the numbers of a sweep depend on, but for the software: JSON with every digit."""
    columns = {"alpha": design.alpha} | dict(zip([p.name for p in design.parameters], design.values, strict=True))
    market = {name: _plain(getattr(design.market, name)) for name in ("endowment", "risk_capacity", "count")}
    return {
        "market": market | {"names": list(design.market.names)},
        "design": design.kind,
        "columns": {name: _column(values) for name, values in columns.items()},
        "chunk_shape": list(design.chunk_shape),
        "derivatives": bool(derivatives),
    }


def spec_hash(described) -> str:
    """sha256 of a description."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def design_of(described, dtype):
    """(Design, derivatives) of a description, on the host, in the floating type given.

    Raises:
      MarketError: the market has a law that holds a Python function, which another process could not call.
    """
    market = described["market"]
    arrays = {name: _law_or_numbers(market[name], dtype) for name in ("endowment", "risk_capacity", "count")}
    market = Market(**arrays, names=tuple(market["names"]))
    alpha, *values = (_column_of(one) for one in described["columns"].values())
    parameters = tuple(named_parameter(name, market) for name in list(described["columns"])[1:])
    shape = tuple(described["chunk_shape"])
    return Design(market, described["design"], alpha, parameters, tuple(values), shape), described["derivatives"]


def _plain(value):
    """A law, a tuple of laws or an array of numbers as dictionaries and lists."""
    if isinstance(value, Law):
        return {"law": type(value).__name__} | {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple) and any(isinstance(one, Law) for one in value):
        return [_plain(one) for one in value]
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    return np.asarray(value).tolist()


def _law_or_numbers(value, dtype):
    if isinstance(value, dict):
        if value["law"] not in _LAWS:
            raise MarketError(
                f"endowment law {value['law']} holds a Python function, which a store cannot keep; sweep it in memory, "
                "or give PiecewiseLinear its values"
            )
        return _LAWS[value["law"]](
            **{name: _law_or_numbers(one, dtype) for name, one in value.items() if name != "law"}
        )
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return tuple(_law_or_numbers(one, dtype) for one in value)
    return value if isinstance(value, bool) else np.asarray(value, dtype)


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
