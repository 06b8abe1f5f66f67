"""The outcomes of a market by name: "revenue", "efficiency_share", "dealer.trade_size"."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxmech.arrays import on_host
from jaxmech.inputs import MarketError
from jaxmech.optimum.first_best import first_best_money
from jaxmech.programs import compiled

# Units: an outcome in "money" is compared to the first-best surplus, one in "asset" units to a support's width.
_OF_MARKET = {
    "objective": "money",
    "revenue": "money",
    "efficiency": "money",
    "weight": "number",
    "budget_weight": "number",
    "budget_multiplier": "number",
    "no_trade_probability": "number",
}
_SHARES = {"revenue_share": "number", "efficiency_share": "number"}
_OF_GROUP = {
    "revenue_by_group": "money",
    "utility_gain_by_group": "money",
    "no_expected_trade_probability": "number",
    "trade_size": "asset",
    "eta": "asset",
    "binding_lower": "asset",
    "binding_upper": "asset",
}


class Outcome(NamedTuple):
    """One outcome of a market. Made by `named_outcome`."""

    name: str
    row: int  # in `outcome_rows`
    unit: str  # "money", "asset" or "number"


def outcome_names(market) -> tuple:
    """Names of all outcomes: those of the market, then field by field those of its groups."""
    by_group = (f"{group}.{field}" for field in _OF_GROUP for group in market.names)
    return (*_OF_MARKET, *_SHARES, *by_group)


def outcome_rows(answers, market):
    """All outcomes in the order of `outcome_names`, shape (outcomes, ...).

    Shares are of the first-best surplus: revenue_share = R/S, efficiency_share = (A − A of no trade)/S.

    Args:
      answers: the market's Answers.
      market: a Market, or a batch with trailing axes.
    """
    surplus = answers.first_best_surplus
    lost = (answers.first_best_efficiency - answers.efficiency) / surplus
    whole = [*(getattr(answers, name) for name in _OF_MARKET), answers.revenue / surplus, 1 - lost]
    return jnp.concatenate([jnp.stack(whole), *(getattr(answers, field) for field in _OF_GROUP)])


def outcome_values(answers, market) -> dict:
    """All outcomes by name; scalars, or of the batch's shape."""
    return dict(zip(outcome_names(market), outcome_rows(answers, market), strict=True))


def market_sizes(market):
    """(first-best surplus, lengths of the supports (G,)): what money and asset units are compared to. Of NumPy."""
    return on_host(_market_sizes(market))


@compiled
def _market_sizes(market):
    return first_best_money(market)[1], market.endowment.width


def named_outcome(name, market) -> Outcome:
    """The outcome of that name; MarketError, listing those there are, when the market has none such."""
    names = outcome_names(market)
    if name not in names:
        raise MarketError(
            f"{name!r} is not an outcome of this market; choose {', '.join((*_OF_MARKET, *_SHARES))}, or GROUP.FIELD "
            f"with GROUP one of {', '.join(market.names)} and FIELD one of {', '.join(_OF_GROUP)}"
        )
    units = _OF_MARKET | _SHARES | _OF_GROUP
    return Outcome(name, names.index(name), units[name if name in units else name.rsplit(".", 1)[-1]])
