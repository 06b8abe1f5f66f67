"""What does a published positions file say about this market?

A regulator asks, with 24 weeks of the US Commission's Commitments of Traders in 10-year Treasury futures. Asserted: no
other mechanism could add a billionth of the gains from trade, by weak duality and a quadrature of its own.
"""

import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

file = Path(__file__).parents[1] / "docs/data/tff_2024_three_contracts.txt"
market = jm.cot_market(file, "ust 10y note", window=8).market
mechanism = jm.solve(market, alpha=0.5)
optimum, auction = jm.outcomes(mechanism), jm.outcomes(jm.double_auction(market))

traders, surplus = market.count.sum(), optimum.first_best_surplus
print(f"Its {traders:.0f} traders in {market.groups} categories would pay {optimum.revenue / surplus:.1%} of the gains")
print(f"from trade in the optimum at α = ½, and {auction.revenue / surplus:.2%} as fees to a double auction.")

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
mechanism.plot(axes)
axes.set(xlabel="endowment, thousand contracts", ylabel="expected purchase, thousand contracts")
axes.set_title("Types near the middle expect no trade (α = ½)")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "published_positions.svg")
assert jm.certify(mechanism).duality_gap < 1e-9
