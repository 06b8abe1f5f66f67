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


def random_markets(structure, batch, seed, regime="ordinary"):
    """A batch of markets with the given groups of each family.

    Args:
      structure: groups of each family: (uniform, truncated normal, beta).
      batch: how many.
      seed: a whole number, or several.
      regime: "ordinary"; "extreme", with narrow and far supports, scales over four decades, modes far outside, shapes
        from 1 to 300, risk capacities and counts over four decades; or "edge", where the first best just breaks even:
        groups all alike in every other lane of one family, symmetric about 0 in the others.
    """
    generator = np.random.default_rng([*np.atleast_1d(seed), *structure])

    def draw(groups, low, high):
        return generator.uniform(low, high, (groups, batch))

    extreme, edge = regime == "extreme", regime == "edge"
    alike = edge & (np.count_nonzero(structure) == 1) & (np.arange(batch) % 2 == 0)

    def entries(values):
        return jnp.asarray(np.where(alike, values[:1], values))

    def family_law(family, groups):
        place, half = draw(groups, -1, 1), 10 ** draw(groups, -2, 2) if extreme else np.exp(draw(groups, -1.5, 1))
        middle = place * half * 10 ** draw(groups, -1, 2) if extreme else np.where(alike | (not edge), place, 0.0)
        own = {"lower": middle - half, "upper": middle + half}
        if family is jm.TruncatedNormal:
            away = half * draw(groups, -1.5, 1.5)
            scale = half * (10 ** draw(groups, -2, 2) if extreme else np.exp(draw(groups, -2, 2)))
            if extreme:  # at most ten standard deviations beyond the ends
                away = np.clip(away + scale * draw(groups, -10, 10), -half - 10 * scale, half + 10 * scale)
            own |= {"loc": middle + np.where(alike | (not edge), away, 0.0), "scale": scale}
        if family is jm.Beta:
            a, b = (np.exp(draw(groups, 0, np.log(300) if extreme else 2.5)) for _ in range(2))
            own |= {"a": a, "b": np.where(alike, b, a) if edge else b}
        return family(**{name: entries(values) for name, values in own.items()})

    families = zip((jm.Uniform, jm.TruncatedNormal, jm.Beta), structure, strict=True)
    laws = tuple(family_law(family, groups) for family, groups in families if groups)
    total = sum(structure)
    capacity = entries(10 ** draw(total, -2, 2) if extreme else np.exp(draw(total, -3, 3)))
    count = np.floor(10 ** draw(total, 0, 4)) if extreme else generator.integers(1, 8, (total, batch))
    return jm.Market(laws[0] if len(laws) == 1 else SideBySide(laws), capacity, jnp.asarray(count, float))


def panel_markets(batch, seed):
    """A batch of markets of six groups, one of each named law without closed forms."""
    generator = np.random.default_rng(seed)

    def draw(low, high):
        return jnp.asarray(generator.uniform(low, high, (1, batch)))

    def ends():
        middle, half = draw(-1, 1), jnp.exp(draw(-1.5, 1))
        return middle, half, {"lower": middle - half, "upper": middle + half}

    laws = []
    for family in (jm.TruncatedLaplace, jm.TruncatedLogistic, jm.TruncatedStudent):
        middle, half, support = ends()
        own = {"loc": middle + half * draw(-1.2, 1.2), "scale": half * jnp.exp(draw(-3, 1))}
        freedom = {"freedom": jnp.exp(draw(0, 3))} if family is jm.TruncatedStudent else {}
        laws.append(family(**own, **freedom, **support))
    middle, half, support = ends()
    laws.append(jm.Triangular(mode=middle + half * draw(-0.9, 0.9), **support))
    middle, half, support = ends()
    laws.append(jm.TruncatedExponential(rate=draw(-6, 6) / half, **support))
    laws.append(jm.Kumaraswamy(jnp.exp(draw(0, 3)), jnp.exp(draw(0, 3)), **ends()[2]))
    count = jnp.asarray(generator.integers(1, 4, (6, batch)), float)
    return jm.Market(SideBySide(tuple(laws)), jnp.exp(jnp.concatenate([draw(-2, 2) for _ in laws])), count)


def random_alphas(batch, seed):
    """α with a fair share of exactly 0 and exactly 1."""
    generator = np.random.default_rng(seed)
    return jnp.asarray(np.clip(generator.uniform(-0.3, 1.2, batch), 0, 1))
