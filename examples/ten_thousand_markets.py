"""In which of ten thousand markets does the first best pay for itself?

A researcher asks Proposition 1, over the mean and the risk capacity of three clients beside two dealers. Asserted: as
many have w* = 0, which the library decides by a formula, as have no loss when first-best revenue is integrated.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def market(mean, capacity):
    dealers = jm.Traders(jm.Uniform(-0.5, 1.5), risk_capacity=0.5, count=2, name="dealer")
    return jm.Market.of(dealers, jm.Traders(jm.Uniform(mean - 1, mean + 1), capacity, count=3, name="client"))


grid = np.meshgrid(np.arange(1, 101) / 50, np.arange(1, 101) / 50)
mean, capacity = map(np.ravel, grid)
over = {"client.lower": mean - 1, "client.upper": mean + 1, "client.risk_capacity": capacity}
swept = jm.sweep(market(0.5, 1.0), 0.0, over, kind="zip", progress=False)
weight, on_ray = swept.budget_weight.values, mean == capacity
pays = np.sum(weight == 0)
print(
    f"{pays} do: in {np.sum(on_ray)} means are in proportion to capacities, in the rest every client expects to sell."
)

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.set_facecolor("tab:red")
cells = axes.pcolormesh(*grid, np.where(weight > 0, weight, np.nan).reshape(100, 100), rasterized=True)
figure.colorbar(cells, label="w*, the least weight on revenue")
axes.set(xlabel="mean endowment of a client", ylabel="risk capacity of a client", title="Red: the first best pays")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "ten_thousand_markets.svg")
revenue = jax.vmap(lambda *point: jm.outcomes(jm.first_best(market(*point))).revenue)(mean, capacity)
assert pays == np.sum(revenue > -1e-12)
