"""Is this venue near the frontier?

A regulator asks of a double auction that charges its five traders the largest fee that all accept. Asserted: the
optimal mechanism that is as efficient earns 1/4 more, exactly twice as much, by the closed form of Example 1.
"""

import sys

import jax
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

market = jm.Market.of(jm.Traders(jm.Uniform(-1.0, 1.0), risk_capacity=0.5, count=5, name="trader"))
venue = jm.outcomes(jm.double_auction(market, fee="common"))
frontier = jm.frontier(market)
gap = frontier.gap(venue)

print(f"No: it earns {venue.revenue:.3f} where {venue.revenue + gap.revenue:.3f} could be had at its efficiency,")
print(f"or {gap.efficiency / venue.first_best_surplus:.1%} more of the gains from trade at its revenue.")

axes = frontier.plot(designs={"this venue": venue})
axes.set_title("The venue earns half of what its efficiency allows")
axes.figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "near_the_frontier.svg")
assert np.isclose(gap.revenue, 0.25, rtol=1e-9)
