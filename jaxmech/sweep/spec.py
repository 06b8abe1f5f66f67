"""A sweep described in a TOML file.

    market = "markets/us_treasury_10y.toml"     # relative to this file
    design = "grid"                             # or "zip", or "random" with points = 10000 and seed = 0
    derivatives = true
    alpha = { from = 0.0, to = 1.0, count = 41 }

    [over]
    "all.risk_capacity.factor" = { from = 0.25, to = 4.0, count = 71, scale = "log" }
    "dealer.loc" = [-0.1, 0.0, 0.1]

In a random design { from, to, scale } is a Range to draw from.
"""

from pathlib import Path

from jaxmech.inputs import MarketError, one_number, read_toml, refuse_other_keys, whole_number
from jaxmech.market.market import Market
from jaxmech.sweep.design import Design, Range, make_design

_KEYS = {"market", "design", "derivatives", "alpha", "over", "points", "seed", "batch"}
_KINDS_OF_VALUE = {
    "market": (str, "the path of a market's file"),
    "over": (dict, "a table of parameters"),
    "derivatives": (bool, "true or false"),
    "points": (int, "a whole number ≥ 1"),
    "seed": (int, "a whole number ≥ 0"),
    "batch": (int, "a whole number ≥ 1"),
}


def read_spec(path) -> tuple[Design, dict]:
    """The design a spec describes, and its options `derivatives` and `batch`.

    Raises:
      MarketError: missing file, misspelt key, missing market, bad values; before anything is compiled.
    """
    path = Path(path)
    table = read_toml(path)
    refuse_other_keys(table, _KEYS, path, required={"market", "alpha"})
    _check_kinds(table, path)
    kind = table.get("design", "grid")
    random = kind == "random"
    over = {name: spec_values(name, value, random, path) for name, value in table.get("over", {}).items()}
    market = Market.from_toml(path.parent / table["market"])
    alpha = spec_values("alpha", table["alpha"], random, path)
    plan = make_design(market, alpha, over, kind, table.get("points"), table.get("seed", 0))
    return plan, {"derivatives": bool(table.get("derivatives", False)), "size": table.get("batch")}


def _check_kinds(table, path):
    least = {"seed": 0, "points": 1, "batch": 1}
    for name, (kind, wanted) in _KINDS_OF_VALUE.items():
        if name in table and (type(table[name]) is not kind or (name in least and table[name] < least[name])):
            raise MarketError(f"{path}: {name} is {table[name]!r}; give {wanted}")


def spec_values(name, value, random, path):
    if not isinstance(value, dict):
        return value
    required = {"from", "to"} if random else {"from", "to", "count"}
    where = f"{path}: {name}"
    refuse_other_keys(value, {"from", "to", "count", "scale"}, where, required)
    ends = [one_number(f"{where}: {end}", value[end], "a number that is finite") for end in ("from", "to")]
    scale = value.get("scale", "linear")
    if scale not in ("linear", "log"):
        raise MarketError(f"{where}: scale {scale!r} is unknown; choose linear or log")
    if random:
        return Range(*ends, scale == "log")
    count = whole_number(f"{where}: count", value["count"], 1)
    if scale == "log" and min(ends) <= 0:
        raise MarketError(f"{where}: a logarithmic scale needs numbers above 0, got {value['from']} to {value['to']}")
    return Range(*ends, scale == "log").values(count)
