"""What does an outside option cost, or a minimum revenue that binds? Certified points, beside the same markets without.

    python benchmarks/outside_options.py [--quick] [--json PATH]

Random markets of two or three groups, in batches with the batch axis last; γ up to 0.6 of its limit, at the fair price,
where as few markets are out of reach of their budget as without. Medians of interleaved runs. Answers that are not
certified end the run with exit status 1.
"""

import os
import sys
from dataclasses import replace

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Row, interleaved, main, require

import jaxmech as jm
from jaxmech.market.outside import Outside
from jaxmech.testing.random_markets import random_markets

STRUCTURES = {"uniform": (2, 0, 0), "truncated normal": (0, 3, 0), "beta": (0, 0, 2)}
ALPHA = 0.6


@jax.jit
def certified(market, alpha):
    """Revenue and the certificate's verdict of every market."""
    mechanism = jm.solve(market, alpha)
    return jm.outcomes(mechanism).revenue, jm.certify(mechanism).ok


def with_options(market, seed=0):
    """The markets with an outside option for every group, at the price that is expected inside at first best."""
    capacity, count = market.risk_capacity, market.count
    everybody = jnp.sum(count * capacity, axis=0)
    share = jnp.asarray(np.random.default_rng(seed).uniform(0.0, 0.6, capacity.shape))
    fair = capacity * jnp.sum(count * market.endowment.mean, axis=0) / everybody
    nothing, groups = jnp.zeros_like(capacity), capacity.shape[0]
    return replace(market, outside=Outside(share * (1 - capacity / everybody), fair, nothing, (False,) * groups))


def rows(markets, rounds):
    alpha = jnp.full(markets, ALPHA)
    for name, structure in STRUCTURES.items():
        plain = random_markets(structure, markets, seed=1)
        outside = with_options(plain)
        revenue, _ = certified(plain, alpha)
        aimed = plain.earning(1.02 * np.asarray(revenue))
        for kind, market in (("plain", plain), ("outside options", outside), ("minimum revenue", aimed)):
            found = certified(market, alpha)[1]
            beyond = jnp.isfinite(jm.solve(market, alpha).largest_revenue) if kind == "minimum revenue" else False
            require(bool(jnp.all(found | beyond)), f"{name}: a market with {kind} is not certified")
        calls = [lambda m=market: certified(m, alpha) for market in (plain, outside, aimed)]
        times = interleaved(calls, rounds)
        yield Row(f"a certified point, {name}", 1e6 * float(np.median(times[:, 0])) / markets, "µs")
        yield Row(f"with outside options, {name}", float(np.median(times[:, 1] / times[:, 0])), "×", 1.3)
        binds = float(np.median(times[:, 2] / times[:, 0]))
        yield Row(f"with a minimum revenue that binds, {name}", binds, "×", note="the search for w included")


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, full=(4096, 9), quick=(64, 2)))
