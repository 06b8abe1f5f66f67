"""A calibration described in a TOML file.

market = "markets/us_treasury_10y.toml"     # relative to this file
alpha = 0.5                                 # unless it is free
starts = 16
steps = 200
seed = 0

[free]
alpha = { from = 0.0, to = 1.0 }
"all.risk_capacity.factor" = { from = 0.25, to = 4.0, scale = "log" }

[targets]                                   # or, before the tables: maximise = "revenue"
revenue = 0.3
"dealer.trade_size" = { value = 0.2, error = 0.01 }
"""

from pathlib import Path

from jaxmech.inputs import MarketError, read_toml, refuse_other_keys
from jaxmech.market.market import Market
from jaxmech.sweep.spec import spec_values

_KINDS = {
    "market": (str, "the path of a market's file"),
    "free": (dict, "a table of parameters"),
    "targets": (dict, "a table of outcomes"),
    "maximise": (str, "the name of an outcome"),
    "starts": (int, "a whole number ≥ 1"),
    "steps": (int, "a whole number ≥ 1"),
    "seed": (int, "a whole number ≥ 0"),
}


def read_calibration(path) -> tuple[Market, dict, dict]:
    """(market, free, settings) of a spec, for `calibrate(market, free, **settings)`.

    Raises:
      MarketError: missing file, misspelt key, missing market, bad values; before anything is compiled. What depends on
        the market, such as names of parameters and outcomes, `calibrate` checks.
    """
    path = Path(path)
    table = read_toml(path)
    refuse_other_keys(table, {*_KINDS, "alpha"}, path, required={"market", "free"})
    for name, (kind, wanted) in _KINDS.items():
        if name in table and type(table[name]) is not kind:
            raise MarketError(f"{path}: {name} is {table[name]!r}; give {wanted}")
    if ("targets" in table) == ("maximise" in table):
        raise MarketError(f"{path}: give either a table of targets or maximise, and not both")
    if type(table.get("alpha", 0.5)) not in (int, float):
        raise MarketError(f"{path}: alpha is {table['alpha']!r}; give a number in [0, 1]")
    free = {name: _bounds(name, value, path) for name, value in table["free"].items()}
    settings = {name: table[name] for name in ("alpha", "maximise", "starts", "steps", "seed") if name in table}
    if "targets" in table:
        settings["targets"] = {name: _target(name, value, path) for name, value in table["targets"].items()}
    return Market.from_toml(path.parent / table["market"]), free, settings


def _bounds(name, value, path):
    if not isinstance(value, dict):
        raise MarketError(f"{path}: free: {name} is {value!r}; give {{ from = LOW, to = HIGH }}")
    refuse_other_keys(value, {"from", "to", "scale"}, f"{path}: free: {name}", {"from", "to"})
    bounds = spec_values(f"free: {name}", value, True, path)
    return (value["from"], value["to"], "log") if bounds.log else (value["from"], value["to"])


def _target(name, value, path):
    if not isinstance(value, dict):
        return value
    refuse_other_keys(value, {"value", "error"}, f"{path}: targets: {name}", {"value"})
    return (value["value"], value["error"]) if "error" in value else value["value"]
