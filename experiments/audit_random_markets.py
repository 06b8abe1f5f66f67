"""Theorem 2 on random markets: does anybody gain by deviating, or lose by participating?

    python experiments/audit_random_markets.py [MARKETS]

Markets of 2 to 8 groups of one to three traders, laws mixed, any α, both price units; Condition 1 fails in many. Prints
one line; exit code 1 if a gain exceeds 1e-9 of the surplus or a participation slack is below −1e-10 of it.
"""

import sys

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np  # noqa: E402

import jaxmech as jm  # noqa: E402

# Groups of uniform, truncated normal and beta laws, and the traders of each group: few, since each compiles anew.
STRUCTURES = [((2, 0, 0), 2), ((4, 0, 0), 1), ((8, 0, 0), 1), ((0, 3, 0), 1), ((1, 1, 1), 1), ((0, 0, 2), 2)]


def random_market(structure, traders, generator):
    groups = []
    for family, count in zip((jm.Uniform, jm.TruncatedNormal, jm.Beta), structure, strict=True):
        if not count:
            continue
        middle, half = generator.uniform(-1, 1, count), np.exp(generator.uniform(-1.5, 1, count))
        ends = {"lower": middle - half, "upper": middle + half}
        if family is jm.TruncatedNormal:
            ends |= {"loc": middle + half * generator.uniform(-1, 1, count)}
            ends |= {"scale": half * np.exp(generator.uniform(-1, 1.5, count))}
        if family is jm.Beta:
            ends |= {name: np.exp(generator.uniform(0.1, 2, count)) for name in ("a", "b")}
        groups.append(jm.Traders(family(**ends), np.exp(generator.uniform(-2, 2, count)), traders))
    return jm.Market.of(*groups)


def main(markets=200, seed=0):
    generator = np.random.default_rng(seed)
    gain = slack = without = failed = 0
    for place in range(markets):
        structure, traders = STRUCTURES[place % len(STRUCTURES)]
        market = random_market(structure, traders, generator)
        unit = ("natural", "paper")[(place // len(STRUCTURES)) % 2]
        rule = jm.side_payments(jm.solve(market, generator.uniform(0, 1)), unit)
        found = jm.audit(rule, types=9, prices=7, quantities=33)
        surplus = float(found.surplus)
        gain = max(gain, float(found.deviation_gain) / surplus)
        slack = min(slack, float(found.participation_slack) / surplus)
        without += not np.all(jm.condition_1(market))
        failed += not (found.deviation_gain <= 1e-9 * surplus and found.participation_slack >= -1e-10 * surplus)
    print(
        f"{markets} random markets ({without} without Condition 1): largest deviation gain {gain:.1e}, least "
        f"participation slack {slack:.1e} of the surplus; {failed} failed"
    )
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:2])) else 0)
