"""What does a tax on an exchange's fees do?

A regulator asks. An exchange that weighs the fees it keeps and efficiency alike (α = ½) acts, at a tax rate t, as if
its weight on revenue were α(1 − t)/(1 − αt). Asserted: at t = ½ that is 1/3, and five traders pay ½ in all by the
closed form of Example 1.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=0.5, count=5, name="trader"))
tax, alpha = np.linspace(0.0, 0.975, 40), 0.5
outcomes = jax.vmap(lambda a: jm.outcomes(jm.solve(market, a)))(jm.after_tax(alpha, tax).alpha)
fees, gained = np.asarray(outcomes.revenue), np.asarray(outcomes.utility_gain_by_group[:, 0])
lost = np.asarray(outcomes.first_best_efficiency - outcomes.efficiency)
surplus, most = outcomes.first_best_surplus[0], int(np.argmax(tax * fees))

print(f"A tax of half cuts fees from {fees[0]:.3f} to {fees[20]:.3f}; traders gain {gained[20] - gained[0]:.3f}.")
print(f"It yields most at a rate of {tax[most]:.0%}: {(tax * fees)[most] / surplus:.1%} of the gains from trade.")

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
parts = np.stack([gained, (1 - tax) * fees, tax * fees, lost]) / surplus
axes.stackplot(100 * tax, 100 * parts, labels=("traders", "exchange", "tax", "lost"), alpha=0.8)
axes.set(xlabel="tax on fees, %", ylabel="% of first-best gains from trade", xlim=(0, 97.5), ylim=(0, 100))
axes.set_title("Who gets the gains from trade")
axes.legend(loc="lower left")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "tax_on_fees.svg")
assert np.isclose(fees[20], 0.5, rtol=1e-12)
