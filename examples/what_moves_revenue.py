"""What moves our revenue most?

A designer asks, for the 10-year Treasury futures market. One percent of a location is of its support's width. Asserted:
the elasticities to the four risk capacities add up to −1, since costs are endowments squared over risk capacity, and
twice the capacity everywhere halves all money.
"""

import sys
from pathlib import Path

import jax
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

market = jm.Market.from_toml(Path(__file__).parents[1] / "experiments/markets/us_treasury_10y.toml")
found = jm.sensitivity(market, alpha=0.5)
elasticity = dict(zip(found.parameters, found.elasticity[found.outcomes.index("revenue")], strict=True))

first, second = sorted((name for name in elasticity if name != "alpha"), key=lambda name: -abs(elasticity[name]))[:2]
print(f"One percent of {first} moves it by {elasticity[first]:+.2f}%, one of {second} by {elasticity[second]:+.2f}%.")

axes = found.plot(outcome="revenue")
axes.set_title("What one percent does to revenue")
axes.figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "what_moves_revenue.svg")
assert np.isclose(sum(elasticity[f"{name}.risk_capacity"] for name in market.names), -1.0, rtol=1e-9)
