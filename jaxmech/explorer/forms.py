"""What a group can have that is of another form: a law of another family, a market outside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np

from jaxmech.arrays import on_host
from jaxmech.endowments import Law
from jaxmech.estimation.fit import fit
from jaxmech.inputs import MarketError, one_of
from jaxmech.market.market import Market, Traders
from jaxmech.market.outside import OutsideMarket

FAMILIES = (
    "uniform",
    "truncated_normal",
    "beta",
    "kumaraswamy",
    "triangular",
    "truncated_exponential",
    "truncated_laplace",
    "truncated_logistic",
    "truncated_student",
)
FORMS = {"law": FAMILIES, "outside": ("market",)}
_QUANTILES = 400
_SHARE = 0.2  # of the limit of γ


def group_laws(market: Market) -> list[Law]:
    """The law of each group by itself, of a market on the host."""
    return [
        jax.tree.map(lambda leaf, k=k: leaf[..., k], law) for law, _, length in market.laws() for k in range(length)
    ]


def market_in_forms(market: Market, forms: Mapping[str, str]) -> Market:
    """The market where some groups have laws of other families, or markets outside.

    A law keeps its support, and is of its family the most likely one of the quantiles of the law that was there. A
    market outside starts at the price that is to be expected inside, and at a cost at which γ is a fifth of its limit.

    Args:
      forms: by name: {"dealer.law": "beta", "fund.outside": "market"}.

    Raises:
      MarketError: no such group or form, or a law that none of the family comes close to.
    """
    for name, form in forms.items():
        checked_form(name, form, market.names)
    host = on_host(market)
    laws = group_laws(host)
    for place, name in enumerate(host.names):
        if f"{name}.law" in forms:
            laws[place] = _closest(laws[place], forms[f"{name}.law"])
    if any(name.endswith(".law") for name in forms):
        parts = zip(laws, host.risk_capacity, host.count, host.names, strict=True)
        market = replace(market, endowment=Market.of(*(Traders(*part) for part in parts)).endowment)
    for place, name in enumerate(host.names):
        if f"{name}.outside" in forms:
            market = market.with_outside(name, _market_outside(laws, host, place))
    return market


def checked_form(name: str, form: str, groups: Sequence[str]) -> None:
    """MarketError unless the name is a group's law or outside, and the form one that it can have."""
    group, _, kind = name.rpartition(".")
    if group not in groups or kind not in FORMS:
        raise MarketError(f"{name[:80]!r} is no law or outside of this market; it has {', '.join(groups)}")
    one_of(name, form, FORMS[kind])


def _market_outside(laws, market, place):
    """At P₀ = −Σ n E Z/K, which is what the price inside is to be expected to be."""
    capacity = float(market.risk_capacity[place])
    total = float(np.sum(market.count * market.risk_capacity))
    expected = -sum(float(count * law.mean) for count, law in zip(market.count, laws, strict=True)) / total
    gamma = _SHARE * (1 - capacity / total)
    return OutsideMarket(expected, (1 / gamma - 1) / capacity)


def _closest(law, family):
    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    known = {"lower": float(law.lower), "upper": float(law.upper)}
    return fit(np.asarray(law.quantile(shares)), family, **known).law
