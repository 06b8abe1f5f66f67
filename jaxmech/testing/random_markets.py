"""Random markets for tests: all laws mixed, dominant traders, many kinds of shape; batches along the last axis."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm
from jaxmech.endowments import SideBySide
from jaxmech.market.outside import Outside
from jaxmech.optimum.first_best import first_best_surplus

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


class Extended(NamedTuple):
    """A batch of markets with outside options and welfare weights, and what is asked of them; see `extended`."""

    market: jm.Market
    alpha: jax.Array
    minimum_revenue: jax.Array


def extended(market, alpha, seed):
    """The same batch of markets with outside options, welfare weights and targets for revenue.

    One lane in four has no outside options, one no welfare weights, one no target. Outside options are worth up to 0.95
    of what is possible, at the price that is expected inside or as far as ten deviations off it, some with money
    besides. Welfare weights lie below α, or for some groups above it. Targets are parts of the first best's surplus:
    subsidies, something to earn, more than can be earned; or there is no budget at all.
    """
    generator = np.random.default_rng([*np.atleast_1d(seed), market.groups])
    shape = market.risk_capacity.shape
    mean, variance, surplus = map(np.asarray, _scales(market))
    capacity, count = np.asarray(market.risk_capacity), np.asarray(market.count)
    total, traders = np.sum(count * capacity, axis=0), np.sum(count, axis=0)

    def draw(low, high):
        return generator.uniform(low, high, shape)

    def lanes(part):
        return generator.uniform(size=shape[1:]) < part

    def groups(part):
        return generator.uniform(size=shape) < part

    gamma = np.where(lanes(0.75) & groups(0.75), draw(0, 0.95) * (1 - capacity / total), 0.0)
    off = np.where(lanes(0.5), draw(-1, 1) * 10 ** draw(-3, 1), 0.0)
    centre = capacity * np.sum(count * mean, axis=0) / total + off * np.sqrt(variance)
    reserve = np.where(lanes(0.3), draw(0, 0.3) * surplus / traders, 0.0)
    welfare = np.where(lanes(0.7), draw(-0.5, 1) * np.asarray(alpha), draw(0, 1.5))
    welfare = np.where(lanes(0.75) & groups(0.7), welfare, 0.0)
    target = np.where(lanes(0.75), generator.uniform(-0.3, 0.6, shape[1:]), 0.0) * surplus
    target = np.where(lanes(0.1) & np.all(welfare <= alpha, axis=0), -np.inf, target)
    outside = Outside(*map(jnp.asarray, (gamma, centre, reserve)), (False,) * market.groups)
    market = replace(market, welfare_weight=jnp.asarray(welfare), outside=outside)
    return Extended(market, alpha, jnp.asarray(target))


@jax.jit
def _scales(market):
    prepared = market.prepared()
    return prepared.mean, prepared.variance, first_best_surplus(prepared)


OK, INFEASIBLE, REFUSED, FAILED = range(4)


def verdicts(given):
    """What becomes of each market of an `Extended`: (OK, INFEASIBLE, REFUSED or FAILED, Mechanism, Certificate).

    OK is certified. INFEASIBLE is proved by another mechanism, that of a designer who wants nothing but revenue: it
    earns what is said to be the most, and its dual bound lies below the target.
    """
    mechanism = jm.solve(*given)
    certificate = jm.certify(mechanism)
    greedy = replace(given.market, welfare_weight=None)
    greedy = jm.solve(greedy, jnp.ones_like(given.alpha), jnp.full_like(given.alpha, -jnp.inf))
    proof, earned = jm.certify(greedy), jm.outcomes(greedy)
    unit, most, target = earned.first_best_surplus, mechanism.largest_revenue, given.minimum_revenue
    proved = (proof.residual < 1e-9) & (proof.monotonicity_breach < 1e-9) & (proof.participation_slack > -1e-9)
    proved &= earned.revenue + jnp.abs(proof.duality_gap) * unit < target
    proved &= jnp.abs(most - earned.revenue) <= 1e-9 * (unit + jnp.abs(most))
    finite = jnp.isfinite(jm.outcomes(mechanism).revenue)
    verdict = jnp.where(certificate.ok & finite, OK, jnp.where(proved, INFEASIBLE, FAILED))
    return np.asarray(jnp.where(mechanism.refused & ~finite, REFUSED, verdict)), mechanism, certificate
