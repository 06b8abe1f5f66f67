"""Simulated against exact revenue and efficiency in random markets, both price units.

    python experiments/simulate_random_markets.py [--markets 200] [--auctions 100000] [--seed 0]

Two to eight groups, laws mixed, Condition 1 violated in some. Exit status 1 where a z-score exceeds 4.5.
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm

# Groups by law: (uniform, truncated normal, beta). Few kinds, since each is compiled once.
STRUCTURES = ((2, 0, 0), (1, 1, 1), (2, 2, 0), (3, 3, 2))
LARGEST = 4.5


def random_market(rng, structure):
    """A market with so many groups of each law and one to three traders in each."""
    blocks, first = [], 0
    wild = rng.choice([0.1, 1.0])  # in tame markets everybody may buy or sell, in wild ones some surely do
    for family, groups in zip((jm.Uniform, jm.TruncatedNormal, jm.Beta), structure, strict=True):
        if not groups:
            continue
        middle, half = wild * rng.uniform(-1, 1, groups), np.exp(wild * rng.uniform(-1.5, 1, groups))
        parameters = {"lower": middle - half, "upper": middle + half}
        if family is jm.TruncatedNormal:
            parameters |= {
                "loc": middle + half * rng.uniform(-1.5, 1.5, groups),
                "scale": half * np.exp(rng.uniform(-2, 2, groups)),
            }
        if family is jm.Beta:
            parameters |= {"a": np.exp(rng.uniform(0, 2.5, groups)), "b": np.exp(rng.uniform(0, 2.5, groups))}
        count = 1 + (first + np.arange(groups)) % 3
        blocks.append(jm.Traders(family(**parameters), np.exp(wild * rng.uniform(-2, 2, groups)), count))
        first += groups
    return jm.Market.of(*blocks)


def z_scores(market, alpha, unit, key, auctions):
    """|z| of revenue and of efficiency."""
    mechanism = jm.solve(market, alpha)
    simulated, exact = jm.simulate(jm.side_payments(mechanism, unit), key, auctions), jm.outcomes(mechanism)
    return (
        abs(simulated.revenue - float(exact.revenue)) / simulated.revenue_error,
        abs(simulated.efficiency - float(exact.efficiency)) / simulated.efficiency_error,
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--auctions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_x64", True)
    rng, key, scores, violated = np.random.default_rng(options.seed), jax.random.key(options.seed), [], 0
    for place in range(options.markets):
        market = random_market(rng, STRUCTURES[place % len(STRUCTURES)])
        alpha = float(np.clip(rng.uniform(-0.2, 1.2), 0, 1))
        violated += not bool(jnp.all(jm.condition_1(market)))
        for unit in ("natural", "paper"):
            scores.append(z_scores(market, alpha, unit, jax.random.fold_in(key, place), options.auctions))
    worst = np.max(scores, axis=0)
    spread = np.sqrt(np.mean(np.square(scores), axis=0))
    print(
        f"{options.markets} markets, both price units, {options.auctions:,} auctions each, Condition 1 violated in "
        f"{violated}: largest |z| {worst[0]:.2f} in revenue, {worst[1]:.2f} in efficiency "
        f"(root mean square {spread[0]:.2f}, {spread[1]:.2f})"
    )
    return int(np.max(worst) > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
