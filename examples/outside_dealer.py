"""Does competition from outside make an exchange efficient?

A researcher asks. Five traders can go to a dealer instead, who sells q units for ½ρq², and the exchange wants revenue
alone. Asserted: beside a dealer of ρ = 3, so that γ = 2/5 and θ = ½, it earns 4/9, θ/(1 + θ) of the gains from trade.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def outcomes(depth):
    dealer = jm.OutsideMarket(price=0.0, cost=1 / depth)
    traders = jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=0.5, count=5, outside=dealer)
    return jm.outcomes(jm.solve(jm.Market.of(traders), 1.0))


depths = np.append(np.linspace(0.001, 1.999, 100), 1 / 3)  # 1/ρ; at 2 he is as deep as the four others
found = jax.vmap(outcomes)(depths)
revenue, gained = np.asarray(found.revenue), np.asarray(found.utility_gain_by_group[:, 0])
surplus, lost = found.first_best_surplus[0], np.asarray(found.first_best_efficiency - found.efficiency)

print(f"Beside a dealer of ρ = 3 revenue falls from {revenue[0]:.3f} to {revenue[-1]:.3f},")
print(f"and the gains from trade that are lost from {lost[0] / surplus:.0%} to {lost[-1] / surplus:.0%}.")

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
parts = 100 * np.stack([revenue, gained, lost])[:, :-1] / surplus
axes.stackplot(depths[:-1], parts, labels=("exchange", "traders", "lost"), alpha=0.8)
axes.set(xlabel="depth 1/ρ of the dealer; 2: all others", ylabel="% of first-best gains from trade", ylim=(0, 100))
axes.margins(x=0)
axes.set_title("A deeper dealer takes the revenue and brings back the gains")
axes.legend(loc="center right")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "outside_dealer.svg")
assert np.isclose(revenue[-1], 4 / 9, rtol=1e-12)
