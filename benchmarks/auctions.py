"""How many auctions are simulated in a second? On the CPU, in float64.

    python benchmarks/auctions.py [--quick] [--json PATH]

Side payments of the optimum at α = ½ with 2 to 500 traders in up to five groups, one law at a time, and other rules and
demands with five traders. Compile time is kept apart; figures are medians over runs with different keys. A revenue off
by more than five standard errors ends the run with exit status 1.
"""

import os
import sys
import time
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Row, main, require

import jaxmech as jm
from jaxmech.auctions.tabulated import tabulated

LAWS = {
    "uniform": jm.Uniform(-1.0, 1.0),
    "truncated normal": jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0),
    "beta": jm.Beta(2.0, 3.0, -1.0, 1.0),
}
ALLOWED = 5  # standard errors


class Size(NamedTuple):
    """How much is measured."""

    traders: tuple
    endowments: int  # drawn in one run: auctions times traders
    rounds: int


FULL = Size((2, 5, 20, 100, 500), 2_000_000, 5)
QUICK = Size((5,), 50_000, 2)


def market_of(law, traders):
    """Up to five groups of different risk capacities, traders spread evenly over them."""
    groups = min(traders, 5)
    return jm.Market.of(jm.Traders(law, jnp.linspace(0.5, 1.0, groups), traders // groups))


def measured(name, rule, exact, auctions, rounds, **options):
    """One row: auctions per second, once compiled; the first run also makes the tables of the laws."""
    started = time.perf_counter()
    jm.simulate(rule, jax.random.key(0), auctions, **options)
    first, seconds = time.perf_counter() - started, []
    for seed in range(1, rounds + 1):
        started = time.perf_counter()
        got = jm.simulate(rule, jax.random.key(seed), auctions, **options)  # its results are on the host: nothing waits
        seconds.append(time.perf_counter() - started)
        off = abs(got.revenue - exact) / (got.revenue_error + 1e-12 * abs(exact))
        require(off <= ALLOWED, f"{name}: revenue {got.revenue:.6g} is {off:.1f} standard errors from {exact:.6g}")
    again = float(np.median(seconds))
    return Row(name, auctions / again, "auctions/s", note=f"{auctions:,} a run, first call {first - again:.1f} s more")


def rows(size):
    """All rows, one by one."""
    for law_name, law in LAWS.items():
        for traders in size.traders:
            mechanism = jm.solve(market_of(law, traders), 0.5)
            rule, exact = tabulated(jm.side_payments(mechanism)), float(jm.outcomes(mechanism).revenue)
            name = f"side payments, {law_name}, N = {traders}"
            yield measured(name, rule, exact, size.endowments // traders, size.rounds)
    auctions, market = size.endowments // 5, market_of(LAWS["uniform"], 5)
    mechanism = jm.solve(market, 0.5)
    rule, exact = tabulated(jm.side_payments(mechanism)), float(jm.outcomes(mechanism).revenue)
    name = "side payments, uniform, N = 5, price searched"
    yield measured(name, rule, exact, auctions // 10, size.rounds, demand=rule.demand)
    auction = jm.double_auction(market)
    exact = float(jm.outcomes(auction).revenue)
    yield measured("double auction, uniform, N = 5", auction, exact, auctions, size.rounds)


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, full=(FULL,), quick=(QUICK,)))
