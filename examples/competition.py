"""How much competition replaces the optimal design?

A regulator asks. Five traders pay 2/3 to an exchange that weighs revenue alone; held to α = ¼ it earns less, and a
double auction less still. Asserted: at α = ¼ it takes eight traders, the least N with (N − 1)α/(1 + α)² ≥ (5 − 1)/4.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def market(count):
    return jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=0.5, count=count, name="trader"))


def revenue(design):
    return float(jm.outcomes(design).revenue)


counts, designs = np.arange(3, 16), {f"optimal, α = {a:g}": lambda m, a=a: jm.solve(m, a) for a in (1.0, 0.25)}
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for label, design in (designs | {"double auction with fees": jm.double_auction}).items():
    axes.plot(counts, [revenue(design(market(n))) for n in counts], "o-", ms=3, label=label)
target = revenue(jm.solve(market(5), 1.0))
axes.axhline(target, color="grey", lw=0.6)
axes.set(xlabel="number of traders", ylabel="expected revenue, money", title="Traders replace a high α, not the design")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "competition.svg")

needed = jm.least_competition(market(5), 0.25, "trader", "revenue", target)
print(f"At α = ¼ {needed.count} traders pay the {target:.3f} of five at α = 1.")
print(f"In a double auction even a million pay {revenue(jm.double_auction(market(1_000_000))):.3f}.")
assert needed.count == 8
