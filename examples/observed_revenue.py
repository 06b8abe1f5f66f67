"""Which risk capacities explain an observed revenue?

A researcher asks: risk capacity is in no data, but what each group pays may be. Asserted: the dealers' capacity found
is the 1.3 that the payments were made with.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def market(dealer, client):
    dealers = jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=dealer, count=4, name="dealer")
    return jm.Market.of(dealers, jm.Traders(jm.Uniform(-0.8, 1.2), risk_capacity=client, count=8, name="client"))


observed = np.asarray(jm.outcomes(jm.solve(market(1.3, 0.4), 0.5)).revenue_by_group)
targets = {"dealer.revenue_by_group": observed[0], "client.revenue_by_group": observed[1]}
bounds = {"dealer.risk_capacity": (0.5, 2.5), "client.risk_capacity": (0.1, 1.0)}
fit = jm.calibrate(market(1.0, 0.5), bounds, targets, starts=4, steps=50, progress=False)
dealer, client = fit.parameters.values()
print(f"A dealer's is {dealer:.3f}, a client's {client:.3f}: {fit.verdict}.")

grid = np.meshgrid(np.linspace(0.5, 2.5, 41), np.linspace(0.1, 1.0, 41))
paid = jax.vmap(lambda *point: jm.outcomes(jm.solve(market(*point), 0.5)).revenue_by_group)(*map(np.ravel, grid))
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for k, (group, color) in enumerate({"dealers": "tab:blue", "clients": "tab:orange"}.items()):
    axes.contour(*grid, paid[:, k].reshape(41, 41), levels=[observed[k]], colors=color)
    axes.plot([], [], color=color, label=f"{group} pay what is observed")
axes.plot(dealer, client, "ko")
axes.set(xlabel="risk capacity of a dealer", ylabel="risk capacity of a client", title="Two payments, two capacities")
axes.legend(loc="lower right")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "observed_revenue.svg")
assert np.isclose(dealer, 1.3, rtol=1e-6)
