"""Can we reform a double auction without harming anybody?

A designer asks. What every type gains in today's auction becomes his outside option, and the best mechanism that leaves
it to him is the reform. Asserted: among the five traders of Example 1 it earns 1/60, a fifth of the gains from trade
that the auction leaves unrealised.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=0.5, count=5, name="trader"))
found = jm.reform(market, alpha=1.0)
today, reformed, surplus = found.today, found.reformed, found.today.first_best_surplus
unrealised = [float((o.first_best_efficiency - o.efficiency) / surplus) for o in (today, reformed)]
print(f"Yes: it earns {reformed.revenue:.4f}, and {unrealised[1]:.2%} of the gains are lost, not {unrealised[0]:.2%}.")

types = np.linspace(-1.0, 1.0, 401)[:, None]
designs = {"reform": found.mechanism, "today's double auction": jm.double_auction(market, "none")}
designs["optimum without a promise"] = jm.solve(market, 1.0)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, design), line in zip(designs.items(), ("-", "k:", "--"), strict=True):
    axes.plot(types[:, 0], design.utility_gain(types)[:, 0], line, label=name)
axes.set(xlabel="endowment, asset units", ylabel="expected gain, money", title="No type loses by the reform")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "harmless_reform.svg")
assert np.isclose(reformed.revenue, 1 / 60, rtol=1e-10)
