"""What is chosen on a page: a goal and the knobs that were turned, and the link that restores it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode

import numpy as np

from jaxmech.explorer.knobs import Knob
from jaxmech.inputs import MarketError, one_number, one_of
from jaxmech.plain import result

GOALS = ("alpha", "revenue", "efficiency")
_LONGEST_LINK = 8192


@result()
@dataclass(frozen=True)
class State:
    """One scenario: the weight α, or what it is to reach, and the numbers that differ from the market's own."""

    goal: Literal["alpha", "revenue", "efficiency"] = "alpha"
    aim: float = 0.5  # α; or revenue, money; or efficiency, money
    values: Mapping[str, float] = field(default_factory=dict)  # by name, as in `sweep`

    def aiming(self, goal: str, aim: float) -> Self:
        """The same market with another goal.

        Raises:
          MarketError: an unknown goal, or an aim that is no number, or no weight.
        """
        ends = (0.0, 1.0) if one_of("goal", goal, GOALS) == "alpha" else (-np.inf, np.inf)
        wanted = "a number in [0, 1]" if goal == "alpha" else "a finite number, money"
        return replace(self, goal=goal, aim=one_number(goal, aim, wanted, *ends))

    def turned(self, knob: Knob, value: float) -> Self:
        """The same goal with one number of the market turned; MarketError where the knob does not go there."""
        value, rest = knob.checked(value), {k: v for k, v in self.values.items() if k != knob.name}
        return replace(self, values=rest if value == knob.value else rest | {knob.name: value})

    def link(self) -> str:
        """The query string that restores it: goal, aim, and what was turned, to the last digit."""
        numbers = {"aim": self.aim, **self.values}
        return urlencode({"goal": self.goal} | {name: repr(float(value)) for name, value in numbers.items()})


def state_of(link: str, knobs: Mapping[str, Knob]) -> State:
    """The state of a link. Text is never evaluated: names must be those of knobs, numbers in their ranges.

    Raises:
      MarketError: a link that is too long, or anything in it that is not known, twice there or out of range.
    """
    if len(link) > _LONGEST_LINK:
        raise MarketError(f"the link has {len(link)} characters; at most {_LONGEST_LINK}")
    try:
        pairs = parse_qsl(link.removeprefix("?"), strict_parsing=bool(link), max_num_fields=len(knobs) + 2)
        told = dict(pairs)
    except ValueError as error:
        raise MarketError(f"the link is not one of this page: {error}") from None
    if len(told) < len(pairs):
        raise MarketError("the link says something twice")
    goal, aim, state = told.pop("goal", "alpha"), told.pop("aim", "0.5"), State()
    state = state.aiming(goal, _number("aim", aim))
    for name, text in told.items():
        if name not in knobs:
            raise MarketError(f"the link turns {name[:80]!r}, which this market does not have")
        state = state.turned(knobs[name], _number(name, text))
    return state


def _number(name, text):
    try:
        return float(text)
    except ValueError:
        raise MarketError(f"{name} is {text[:80]!r}; give a number") from None
