"""Which fee should dealers pay, and does it pay to tell the truth?

A designer asks. Theorem 2 turns the optimal mechanism into a double auction with a fee to take part, a spread and a
rebate of price impact. Asserted: no other demand gains anybody anything, by a search over types, prices and quantities
that knows none of the formulas.
"""

import sys

import jax
import matplotlib.pyplot as plt

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

dealers = jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=1.0, count=4, name="dealer")
clients = jm.Traders(jm.Uniform(-0.8, 1.2), risk_capacity=0.5, count=8, name="client")
market = jm.Market.of(dealers, clients)
rule = jm.side_payments(jm.solve(market, alpha=0.5))

by_group = rule.by_group()
for name, fee, spread in zip(market.names, by_group.participation_fee, by_group.spread, strict=True):
    print(f"A {name} pays {fee:.4f} to take part and a spread of {spread:.3f} per unit.")

figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
rule.plot(axes)
axes.set_ylabel("paid beyond price × quantity, money")
axes.set_title("The kink is the spread; large trades get a rebate")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "which_fees.svg")

audit = jm.audit(rule, types=9, prices=5, quantities=33)
print("Nobody gains by another demand than the truthful one, at any price.")
assert audit.deviation_gain < 1e-12 * audit.surplus
