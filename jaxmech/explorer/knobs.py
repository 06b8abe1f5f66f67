"""What can be turned in a market: its numbers by name, with the range that a slider gives each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxmech.arrays import on_host
from jaxmech.derivatives.named_outcomes import market_sizes
from jaxmech.inputs import MarketError
from jaxmech.market.market import Market, checked_market
from jaxmech.market.parameters import (
    LEAST,
    UNITS,
    Parameter,
    group_entries,
    is_location,
    market_besides,
    named_parameter,
    present_values,
)
from jaxmech.plain import result

MOST_GROUPS, MOST_FIELDS = 8, 8  # a page with more of them is no page
WHOLE = ("all.risk_capacity.factor", "all.endowment.factor")
BESIDES = ("welfare_weight", "outside_gamma", LEAST)  # what a market gets room for
_FOLD = 4.0  # how far up and down a number that is above 0 goes


@result()
@dataclass(frozen=True)
class Knob:
    """One number of a market that can be turned. Made by `knobs_of`."""

    parameter: Parameter
    group: str  # "" for the whole market
    unit: str
    low: float
    high: float
    value: float  # what the market has
    whole: bool = False  # only whole numbers

    @property
    def name(self) -> str:
        """As in `sweep`: "dealer.loc"."""
        return self.parameter.name

    def checked(self, value: float) -> float:
        """The value; MarketError where it is not one that the knob can have."""
        number = float(value)
        if not self.low <= number <= self.high or (self.whole and number != round(number)):
            kind = "a whole number" if self.whole else "a number"
            raise MarketError(f"{self.name} is {number!r}; give {kind} from {self.low:g} to {self.high:g}")
        return number


def roomy(market: Market, besides: Sequence[str] = BESIDES) -> Market:
    """The market with room for welfare weights, outside options and a revenue target, 0 where it has none.

    Raises:
      MarketError: not one market, or too many groups to show.
    """
    if checked_market(market).risk_capacity.ndim > 1:
        raise MarketError("market is a batch; explore one market")
    if market.groups > MOST_GROUPS:
        raise MarketError(f"market has {market.groups} groups; at most {MOST_GROUPS} can be shown on one page")
    return market_besides(market, *besides)


def knobs_of(market: Market) -> tuple[Knob, ...]:
    """The knobs of one market, group by group, then those of the whole market.

    Numbers above 0 go from a quarter to four times what they are, places by half a support's width to either side.
    Laws of more than `MOST_FIELDS` numbers, such as histograms, have none of their own: they are stretched whole.
    """
    surplus, widths = market_sizes(market)
    host = on_host(market)
    share = host.risk_capacity / np.sum(host.count * host.risk_capacity)
    knobs = []
    for place, (name, row) in enumerate(zip(market.names, group_entries(host), strict=True)):
        own = {"risk_capacity", "count", *(field for field in row if field in UNITS)}
        fields = [field for field in row if field in own or len(row) - len(own) <= MOST_FIELDS]
        sizes = _Sizes(float(surplus), float(widths[place]), float(host.risk_capacity[place]), float(share[place]))
        for field in fields:
            parameter, value = Parameter(f"{name}.{field}", place, field), float(row[field])
            knobs.append(Knob(parameter, name, _unit(field), *_range(field, value, sizes), value, field == "count"))
    if market.minimum_revenue is not None:
        reach = max(float(surplus), abs(float(host.minimum_revenue)))
        reach = reach if np.isfinite(reach) else float(surplus)
        least = float(np.clip(host.minimum_revenue, -reach, reach))
        knobs.append(Knob(Parameter(LEAST, None, LEAST), "", "money", -reach, reach, least))
    whole = (named_parameter(name, market) for name in WHOLE)
    return (*knobs, *(Knob(parameter, "", "factor", 1 / _FOLD, _FOLD, 1.0) for parameter in whole))


def knob_at(market: Market, name: str, low: float, high: float) -> Knob:
    """The knob of that name with a range of one's own.

    Raises:
      MarketError: no such parameter, or a range that is none.
    """
    parameter = named_parameter(name, market)
    value = float(np.asarray(present_values(market, (parameter,)))[0])
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise MarketError(f"{name}: the range is {low!r} to {high!r}; give two finite numbers, the smaller one first")
    group = "" if parameter.group is None else market.names[parameter.group]
    return Knob(parameter, group, "factor" if parameter.factor else _unit(parameter.field), low, high, value)


@dataclass(frozen=True)
class _Sizes:
    surplus: float
    width: float
    capacity: float
    share: float


def _unit(field):
    """Words for a slider's unit."""
    known = {"count": "traders", "risk_capacity": "asset²/money", "outside_price": "money/asset"}
    known |= {"outside_cost": "money/asset²"}
    return known.get(field) or UNITS.get(field) or ("asset" if is_location(field) else "number")


def _range(field, value, sizes):
    """The ends of a slider."""
    if field == "count":
        return 1.0, float(max(10, round(_FOLD * value)))
    if field == "welfare_weight":
        return min(-1.0, value), max(1.0, value)
    if field == "outside_gamma":
        return 0.0, max(value, 0.9 * (1 - sizes.share))
    if field == "outside_reserve":
        return 0.0, max(2 * value, 0.1 * sizes.width**2 / sizes.capacity)
    if field == "outside_price":
        reach = 0.5 * sizes.width / sizes.capacity
        return value - reach, value + reach
    if is_location(field):
        return value - 0.5 * sizes.width, value + 0.5 * sizes.width
    return (value / _FOLD, _FOLD * value) if value > 0 else (_FOLD * value, -value + (value == 0))
