"""What was observed of endowments, to be seen beside their laws."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxmech.endowments.binning import sample_numbers
from jaxmech.inputs import MarketError, shown
from jaxmech.market.market import Market

_MOST_BINS = 40


def observed(market: Market, observations: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Histograms of what was observed, by group: "edges", "density", "count", and "latest", the last one.

    Args:
      market: whose groups they are of.
      observations: endowments by group, units of the asset, in any form that `fit` takes, the newest last.

    Raises:
      MarketError: a group that the market does not have, or what are no numbers.
    """
    if not isinstance(observations, Mapping | None):
        raise MarketError(f"observations is {shown(observations)}; give numbers by group")
    found = {}
    for name, given in (observations or {}).items():
        if name not in market.names:
            raise MarketError(f"observations are of {name!r}; the market has {', '.join(market.names)}")
        values = np.ravel(sample_numbers(f"observations of {name}", given))
        values = values[~np.isnan(values)]
        if values.size == 0 or not np.all(np.isfinite(values)):
            raise MarketError(f"observations of {name} are {shown(given)}; give finite numbers, NaN for missing ones")
        bins = min(_MOST_BINS, len(np.histogram_bin_edges(values, "auto")) - 1)
        density, edges = np.histogram(values, bins, density=True)
        found[name] = {"edges": edges, "density": density, "count": values.size, "latest": values[-1]}
    return found
