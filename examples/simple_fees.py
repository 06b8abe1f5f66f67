"""What do fees that everybody can read lose?

A designer asks. Simple fees are a spread, a slope and an access fee for each group; stricter kinds have one of each for
all, no access fee, or no rebate for size. Asserted: of uniform endowments three numbers a group lose nothing, as
Corollary 1.1 makes optimal virtual types straight lines.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def market(shape):
    dealers = jm.Traders(jm.Beta(shape, shape, -1.0, 1.0), risk_capacity=1.0, count=4)
    return jm.Market.of(dealers, jm.Traders(jm.Beta(1.0, shape, -0.5, 1.5), risk_capacity=0.5, count=8))


def value(design):
    outcomes = jm.outcomes(design)
    return float((outcomes.revenue + outcomes.efficiency) / outcomes.first_best_surplus)


figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
shapes, lost = np.linspace(1.0, 5.0, 5), {}
for kind in ("by group", "common", "no access fee", "no rebate"):
    lost[kind] = [value(jm.solve(m, 0.5)) - value(jm.simple_schedule(m, 0.5, kind)) for m in map(market, shapes)]
    axes.plot(shapes, 100 * np.array(lost[kind]), "o-", ms=3, label=kind)
axes.set(xlabel="shape of the Beta laws (1: uniform)", ylabel="lost, % of gains from trade", ylim=(-0.5, 13))
axes.set_title("Revenue and efficiency that simpler fees lose")
axes.legend(ncols=2)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "simple_fees.svg")
print(f"Three numbers a group lose up to {max(lost['by group']):.1%} of the gains from trade, none if all is uniform.")
assert abs(lost["by group"][0]) < 1e-8
