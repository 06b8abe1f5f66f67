"""What if our beliefs about traders are wrong?

A designer asks. Fees are set for clients who hold 0.2 on average, and they hold something else. Prices of two units
implement the same mechanism. Asserted: where the belief is right, revenue integrated type by type is that of the
closed forms.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def market(mean):
    dealers = jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=1.0, count=4, name="dealer")
    clients = jm.Traders(jm.Uniform(mean - 1.0, mean + 1.0), risk_capacity=0.5, count=8, name="client")
    return jm.Market.of(dealers, clients)


mechanism, means = jm.solve(market(0.2), alpha=0.5), np.linspace(0.0, 0.4, 9)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.plot(means, [jm.outcomes(jm.solve(market(mean), 0.5)).revenue for mean in means], "k:", label="fees set anew")
for unit, price in (("natural", "the asset's marginal value"), ("paper", "that times all risk capacity")):
    rule = jm.side_payments(mechanism, price_unit=unit)
    revenue = [jm.robustness(rule, market(mean)).revenue for mean in means]
    axes.plot(means, revenue, label=f"price: {price}")
    print(f"If clients hold 0.3 and the price is {price}, revenue goes from {revenue[4]:.2f} to {revenue[6]:.2f}.")
axes.axvline(0.2, color="grey", lw=0.6)
axes.set(xlabel="true mean endowment of clients, asset units", ylabel="expected revenue, money")
axes.set_title("Fees designed for a mean of 0.2, used elsewhere")
axes.legend(loc="lower left")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "wrong_beliefs.svg")
assert np.isclose(revenue[4], jm.outcomes(mechanism).revenue, rtol=1e-10)
