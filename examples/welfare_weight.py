"""What if the gains of pension funds count more?

A regulator asks, of an exchange that weighs revenue and efficiency alike (α = ½). β is what a unit of the funds' gains
adds to that. Asserted: at β = α the four funds gain 7/6, what the first best gives them.
"""

import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def outcomes(weight):
    law = jm.Uniform(-1.0, 1.0)
    funds = jm.Traders(law, risk_capacity=0.5, count=4, name="fund", welfare_weight=weight)
    return jm.outcomes(jm.solve(jm.Market.of(funds, jm.Traders(law, 0.5, 4, name="bank")), 0.5))


weights = np.linspace(0.0, 1.0, 101)
found = jax.vmap(outcomes)(jnp.asarray(weights))
revenue, (funds, banks) = np.asarray(found.revenue), np.asarray(found.utility_gain_by_group).T
surplus, lost = found.first_best_surplus[0], np.asarray(found.first_best_efficiency - found.efficiency)

print(f"At β = ½ the funds gain {funds[50]:.3f} instead of {funds[0]:.3f}; revenue falls to {revenue[50]:.3f}.")
print(f"Above it all revenue is paid out to them: at β = 1 they gain {funds[-1]:.3f}.")

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
parts = 100 * np.stack([funds, banks, revenue, lost]) / surplus
axes.stackplot(weights, parts, labels=("funds", "banks", "exchange", "lost"), alpha=0.8)
axes.set(xlabel="welfare weight β of the funds", ylabel="% of first-best gains from trade", xlim=(0, 1), ylim=(0, 100))
axes.set_title("Once funds weigh more than revenue, revenue is theirs")
axes.legend(loc="lower right")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "welfare_weight.svg")
assert np.isclose(funds[50], 7 / 6, rtol=1e-12)
