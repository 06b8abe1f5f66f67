"""Groups unfolded to one column a trader, for what depends on everybody's endowment."""

from dataclasses import replace

import numpy as np

from jaxmech.arrays import is_traced, on_device, picked
from jaxmech.endowments import SideBySide
from jaxmech.market.market import Market, MarketError
from jaxmech.optimum.mechanism import Mechanism


def traders_of(market) -> np.ndarray:
    """Group of each of the N traders, in order. MarketError under jit, where counts are not known."""
    if is_traced(market.count):
        raise MarketError("count is traced: unfold a market into its traders outside jit, or close over its counts")
    return np.repeat(np.arange(market.groups), np.asarray(market.count).astype(int))


def unfolded_market(market) -> Market:
    """The same market with one group a trader."""
    group = traders_of(market)
    laws = [picked(law, own) for (law, *_), own in zip(market.laws(), _places(market, group), strict=True)]
    names = tuple(f"{market.names[g]}_{k}" for k, g in enumerate(group, 1)) if market.names else ()
    law = laws[0] if len(laws) == 1 else SideBySide(tuple(laws))
    ones = on_device(np.ones(group.shape, market.risk_capacity.dtype))
    capacity, welfare = picked((market.risk_capacity, market.welfare_weight), group)
    outside = market.outside and market.outside.of_groups(group)
    return Market(law, capacity, ones, names, welfare, outside, market.minimum_revenue)


def unfolded(mechanism) -> Mechanism:
    """The same mechanism with one group a trader."""
    group, market = traders_of(mechanism.market), unfolded_market(mechanism.market)
    bunching = mechanism.bunching and tuple(
        picked(part, own) for part, own in zip(mechanism.bunching, _places(mechanism.market, group), strict=True)
    )
    by_group = {name: getattr(mechanism, name) for name in ("eta", "ends", "at_ends", "moments", "rebate")}
    return replace(mechanism, market=market, bunching=bunching, **picked(by_group, group))


def _places(market, group):
    """For each family of laws which of its groups each of its traders belongs to."""
    for _, start, groups in market.laws():
        yield group[(group >= start) & (group < start + groups)] - start
