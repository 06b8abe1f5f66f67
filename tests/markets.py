"""Random markets for tests: all laws mixed, dominant traders, many kinds of shape; batches along the last axis."""

import jax.numpy as jnp
import numpy as np

import jaxmech as jm
from jaxmech.endowments import SideBySide

# Groups of each family: (uniform, truncated normal, beta).
STRUCTURES = ((2, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0, 5, 0), (3, 3, 2), (12, 10, 8), (40, 40, 20))

# Two groups of three traders, as a market's file.
DEALERS_AND_FUND = """
[[traders]]
name = "dealer"
count = 2
risk_capacity = 0.7
endowment = { law = "uniform", lower = -1.0, upper = 1.3 }
[[traders]]
name = "fund"
risk_capacity = 1.1
endowment = { law = "uniform", lower = -0.4, upper = 0.9 }
"""


def random_markets(structure, batch, seed):
    """A batch of markets with the given groups of each family."""
    generator = np.random.default_rng([seed, *structure])

    def draw(groups, low, high):
        return jnp.asarray(generator.uniform(low, high, (groups, batch)))

    laws = []
    uniform, normal, beta = structure
    for family, groups in ((jm.Uniform, uniform), (jm.TruncatedNormal, normal), (jm.Beta, beta)):
        if not groups:
            continue
        middle, half = draw(groups, -1, 1), jnp.exp(draw(groups, -1.5, 1))
        ends = {"lower": middle - half, "upper": middle + half}
        if family is jm.TruncatedNormal:
            ends |= {"loc": middle + half * draw(groups, -1.5, 1.5), "scale": half * jnp.exp(draw(groups, -2, 2))}
        if family is jm.Beta:
            ends |= {"a": jnp.exp(draw(groups, 0, 2.5)), "b": jnp.exp(draw(groups, 0, 2.5))}
        laws.append(family(**ends))
    total = sum(structure)
    capacity = jnp.exp(draw(total, -3, 3))
    count = jnp.asarray(generator.integers(1, 8, (total, batch)), float)
    return jm.Market(laws[0] if len(laws) == 1 else SideBySide(tuple(laws)), capacity, count)


def random_alphas(batch, seed):
    """α with a fair share of exactly 0 and exactly 1."""
    generator = np.random.default_rng(seed)
    return jnp.asarray(np.clip(generator.uniform(-0.3, 1.2, batch), 0, 1))
