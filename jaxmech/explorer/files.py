"""What can be taken away from a page: the market as a file, and its fees."""

from typing import Any

import numpy as np

from jaxmech.arrays import on_host
from jaxmech.auctions.fee_notice import fee_csv, fee_sheet
from jaxmech.auctions.side_payments import side_payments
from jaxmech.endowments import FAMILIES
from jaxmech.explorer.forms import group_laws
from jaxmech.explorer.model import Model
from jaxmech.explorer.state import State
from jaxmech.inputs import MarketError, toml_text
from jaxmech.market.market import Market
from jaxmech.plain import json_text


def market_toml(market: Market) -> str:
    """A market as `Market.from_toml` reads it, to the last digit.

    Raises:
      MarketError: a law that files have no name for, such as a density of one's own.
    """
    host, rows = on_host(market), []
    if host.minimum_revenue is not None and host.minimum_revenue != 0:
        rows.append(f"minimum_revenue = {_number(host.minimum_revenue)}")
    for group, law in enumerate(group_laws(host)):
        rows += ["", "[[traders]]", f"name = {toml_text(host.names[group])}", f"count = {int(host.count[group])}"]
        rows.append(f"risk_capacity = {_number(host.risk_capacity[group])}")
        rows.append(f"endowment = {toml_text(_law(law))}")
        if host.welfare_weight is not None and host.welfare_weight[group] != 0:
            rows.append(f"welfare_weight = {_number(host.welfare_weight[group])}")
        if host.outside is not None:
            rows += _outside(host.outside.entries(group))
    return "\n".join(rows).strip() + "\n"


def _number(value):
    number = float(value)
    return repr(number) if np.isfinite(number) else ("-inf" if number < 0 else "inf")


def _outside(entries):
    """The line of an outside option, if it is worth anything."""
    told = {name.removeprefix("outside_"): float(value) for name, value in entries.items()}
    worth = told["reserve"] or told.get("gamma", 1.0)
    return [f"outside = {toml_text(told)}"] if worth else []


def _law(law) -> dict[str, Any]:
    table = law.to_dict()
    for part in (table, *table.get("laws", ())):
        if part["law"] not in FAMILIES:
            raise MarketError(f"a law is {part['law']!r}, which market files have no name for; give a Histogram of it")
    return table


def fee_file(model: Model, state: State, kind: str) -> str:
    """The fees of a state's optimum as an exchange would print them, "csv" or "json"."""
    mechanism = model.mechanism(state)
    if mechanism.status != "optimal":
        raise MarketError(mechanism.status)
    sheet = fee_sheet(side_payments(mechanism))
    return fee_csv(sheet) if kind == "csv" else json_text(sheet) + "\n"
