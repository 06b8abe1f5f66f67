"""Time of `solve_irregular`: the first call, and a point after it, each market alone, one process."""

import time

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
import jaxmech as jm  # noqa: E402

ROUNDS = 5


def market_of(laws, gamma=0.4):
    """One trader of each law, all with as good an option, at the price that is expected inside."""
    centre = sum(float(law.mean) for law in laws) / len(laws)
    return jm.Market.of(*(jm.Traders(law, 1.0, outside=jm.OutsideOption(gamma, centre)) for law in laws))


def histogram(seed, bins=10):
    draws = np.random.default_rng(seed)
    edges = np.cumsum(draws.uniform(0.2, 1.0, bins + 1)) * 2 / bins - 1
    return jm.Histogram(edges, np.exp(draws.uniform(-2, 0, bins)))


def normals(peak, scale):
    return jm.Mixture((jm.TruncatedNormal(-0.5, 0.3, -1, 1), jm.TruncatedNormal(peak, scale, -1, 1)), [0.6, 0.4])


def markets():
    peak = jm.Mixture((jm.Uniform(-1, 1), jm.TruncatedNormal(0.37, 0.06, -1, 1)), [0.63, 0.37])
    one = jm.Traders(peak, 1.0, outside=jm.OutsideOption(0.425, -0.18))
    yield "counterexample of §16", jm.Market.of(one, jm.Traders(jm.Uniform(-1, 1), 1.0))
    for groups in (2, 4):
        yield f"histograms of 10, {groups} groups", market_of([histogram(k) for k in range(groups)])
        laws = [normals(0.3 + 0.1 * k, 0.08 + 0.02 * k) for k in range(groups)]
        yield f"normal mixtures, {groups} groups", market_of(laws)


for name, market in markets():
    refused = bool(jm.solve(market, 0.5).refused)
    times = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        mechanism = jax.block_until_ready(jm.solve_irregular(market, 0.5))
        times.append(time.perf_counter() - start)
    said = f"{name}: first {times[0]:.1f} s, then {1e3 * np.median(times[1:]):.0f} ms, {int(mechanism.steps)} steps"
    print(f"{said}, error {float(mechanism.error):.0e}, {mechanism.status}, solve refuses: {refused}", flush=True)
