"""TOML files of sweeps and of calibrations, as docs/command_line.md shows them."""

from pathlib import Path

from jaxmech.inputs import MarketError, one_number, read_toml, refuse_other_keys, whole_number
from jaxmech.market.market import Market
from jaxmech.sweep.design import Design, Range, make_design

# What the value of a key must be, the least of whole numbers, and how to say so; other keys are looked at elsewhere.
_FILE, _SEED = (str, None, "the path of a market's file"), (int, 0, "a whole number ≥ 0")
_AT_LEAST_ONE = (int, 1, "a whole number ≥ 1")
_OF_SWEEPS = {
    "market": _FILE,
    "over": (dict, None, "a table of parameters"),
    "derivatives": (bool, None, "true or false"),
    "points": _AT_LEAST_ONE,
    "seed": _SEED,
    "batch": _AT_LEAST_ONE,
}
_OF_CALIBRATIONS = {
    "market": _FILE,
    "free": (dict, None, "a table of parameters"),
    "targets": (dict, None, "a table of outcomes"),
    "maximise": (str, None, "the name of an outcome"),
    "starts": _AT_LEAST_ONE,
    "steps": _AT_LEAST_ONE,
    "seed": _SEED,
}


def read_spec(path) -> tuple[Design, dict]:
    """The design that the spec of a sweep describes, and its options `derivatives` and `size`.

    Raises:
      MarketError: missing file, misspelt key, missing market, bad values; before anything is compiled.
    """
    path = Path(path)
    table = _table(path, _OF_SWEEPS, {"alpha", "design"}, {"market", "alpha"})
    kind = table.get("design", "grid")
    random = kind == "random"
    over = {name: _values(name, value, random, path) for name, value in table.get("over", {}).items()}
    market = Market.from_toml(path.parent / table["market"])
    alpha = _values("alpha", table["alpha"], random, path)
    plan = make_design(market, alpha, over, kind, table.get("points"), table.get("seed", 0))
    return plan, {"derivatives": bool(table.get("derivatives", False)), "size": table.get("batch")}


def read_calibration(path) -> tuple[Market, dict, dict]:
    """(market, free, settings) of a calibration's spec, for `calibrate(market, free, **settings)`.

    Raises:
      MarketError: as `read_spec`. What depends on the market, such as names of parameters and outcomes, `calibrate`
        checks.
    """
    path = Path(path)
    table = _table(path, _OF_CALIBRATIONS, {"alpha"}, {"market", "free"})
    if ("targets" in table) == ("maximise" in table):
        raise MarketError(f"{path}: give either a table of targets or maximise, and not both")
    if type(table.get("alpha", 0.5)) not in (int, float):
        raise MarketError(f"{path}: alpha is {table['alpha']!r}; give a number in [0, 1]")
    free = {name: _bounds(name, value, path) for name, value in table["free"].items()}
    settings = {name: table[name] for name in ("alpha", "maximise", "starts", "steps", "seed") if name in table}
    if "targets" in table:
        settings["targets"] = {name: _target(name, value, path) for name, value in table["targets"].items()}
    return Market.from_toml(path.parent / table["market"]), free, settings


def _table(path, kinds, others, required):
    """The table of a file, the values of `kinds` checked."""
    table = read_toml(path)
    refuse_other_keys(table, {*kinds, *others}, path, required)
    for name, (kind, least, wanted) in kinds.items():
        if name in table and (type(table[name]) is not kind or (least is not None and table[name] < least)):
            raise MarketError(f"{path}: {name} is {table[name]!r}; give {wanted}")
    return table


def _values(name, value, random, path):
    """What is swept: a list as it is, a table as a Range, or where the design is not random as the Range's values."""
    if not isinstance(value, dict):
        return value
    where = f"{path}: {name}"
    required = {"from", "to"} if random else {"from", "to", "count"}
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


def _bounds(name, value, path):
    if not isinstance(value, dict):
        raise MarketError(f"{path}: free: {name} is {value!r}; give {{ from = LOW, to = HIGH }}")
    refuse_other_keys(value, {"from", "to", "scale"}, f"{path}: free: {name}", {"from", "to"})
    bounds = _values(f"free: {name}", value, True, path)
    return (value["from"], value["to"], "log") if bounds.log else (value["from"], value["to"])


def _target(name, value, path):
    if not isinstance(value, dict):
        return value
    refuse_other_keys(value, {"value", "error"}, f"{path}: targets: {name}", {"value"})
    return (value["value"], value["error"]) if "error" in value else value["value"]
