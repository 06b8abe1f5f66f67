"""Random markets with laws that are not regular, for jaxmech and, each alone, for the reference on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import jaxmech as jm
from jaxmech.endowments import SideBySide
from jaxmech.testing import irregular_laws


def _normal(loc, scale, lower, upper):
    return stats.truncnorm((lower - loc) / scale, (upper - loc) / scale, loc, scale)


def histograms(draws, groups, batch, bins=7):
    """Histograms with deep valleys."""
    widths = draws.uniform(0.2, 1, (bins, groups, batch))
    masses = np.exp(draws.uniform(-4, 0, (bins, groups, batch)))
    lower = draws.uniform(-2, 0, (groups, batch))
    edges = lower + np.concatenate([np.zeros((1, groups, batch)), np.cumsum(widths, axis=0)])
    law = jm.Histogram(jnp.asarray(edges), jnp.asarray(masses))
    return law, lambda g, b: irregular_laws.Histogram(edges[:, g, b], masses[:, g, b] / masses[:, g, b].sum())


def normal_mixtures(draws, groups, batch):
    """Two peaks on one support."""
    loc = np.sort(draws.uniform(-1, 1, (2, groups, batch)), axis=0)
    scale = np.exp(draws.uniform(-3, -0.5, (2, groups, batch)))
    share = draws.uniform(0.1, 0.9, (groups, batch))
    lower, upper = draws.uniform(-1.6, -1.1, (groups, batch)), draws.uniform(1.1, 1.6, (groups, batch))
    parts = tuple(jm.TruncatedNormal(*map(jnp.asarray, (loc[k], scale[k], lower, upper))) for k in range(2))
    law = jm.Mixture(parts, jnp.asarray(np.stack([share, 1 - share])))

    def alone(g, b):
        ends = lower[g, b], upper[g, b]
        normals = [_normal(loc[k, g, b], scale[k, g, b], *ends) for k in range(2)]
        return irregular_laws.Mixture([share[g, b], 1 - share[g, b]], normals)

    return law, alone


def uniform_mixtures(draws, groups, batch):
    """Overlapping uniform laws: the density jumps."""
    lower = draws.uniform(-1.5, 0, (2, groups, batch))
    upper = draws.uniform(0.2, 1.5, (2, groups, batch))
    share = draws.uniform(0.1, 0.9, (groups, batch))
    parts = tuple(jm.Uniform(jnp.asarray(lower[k]), jnp.asarray(upper[k])) for k in range(2))
    law = jm.Mixture(parts, jnp.asarray(np.stack([share, 1 - share])))

    def alone(g, b):
        laws = [stats.uniform(lower[k, g, b], upper[k, g, b] - lower[k, g, b]) for k in range(2)]
        return irregular_laws.Mixture([share[g, b], 1 - share[g, b]], laws)

    return law, alone


def linear_densities(draws, groups, batch, knots=5):
    """Piecewise linear densities with valleys and kinks."""
    widths = draws.uniform(0.2, 1, (knots - 1, groups, batch))
    heights = np.exp(draws.uniform(-3, 0, (knots, groups, batch)))
    lower = draws.uniform(-2, 0, (groups, batch))
    places = lower + np.concatenate([np.zeros((1, groups, batch)), np.cumsum(widths, axis=0)])
    law = jm.PiecewiseLinear(jnp.asarray(places), jnp.asarray(heights))
    return law, lambda g, b: irregular_laws.PiecewiseLinear(places[:, g, b], heights[:, g, b])


def uniforms(draws, groups, batch):
    """Regular company."""
    lower, upper = draws.uniform(-1.5, 0, (groups, batch)), draws.uniform(0.2, 1.5, (groups, batch))
    law = jm.Uniform(jnp.asarray(lower), jnp.asarray(upper))
    return law, lambda g, b: stats.uniform(lower[g, b], upper[g, b] - lower[g, b])


KINDS = {
    "two histograms": ((histograms, 2),),
    "six histograms": ((histograms, 6),),
    "normal mixtures": ((normal_mixtures, 2),),
    "uniform mixtures": ((uniform_mixtures, 3),),
    "linear densities": ((linear_densities, 4),),
    "side by side": ((histograms, 2), (uniforms, 1), (linear_densities, 2)),
}


def irregular_markets(kind, batch, seed):
    """A batch of markets, and a function of the lane that gives the reference's (laws, risk capacity, count)."""
    draws = np.random.default_rng([*np.atleast_1d(seed), len(kind)])
    made = [(*family(draws, groups, batch), groups) for family, groups in KINDS[kind]]
    laws = tuple(law for law, _, _ in made)
    total = sum(groups for *_, groups in made)
    capacity = np.exp(draws.uniform(-1.5, 1.5, (total, batch)))
    count = draws.integers(1, 4, (total, batch)).astype(float)
    market = jm.Market(
        laws[0] if len(laws) == 1 else SideBySide(laws),
        jnp.asarray(capacity),
        jnp.asarray(count),
        tuple(f"group_{k}" for k in range(1, total + 1)),
    )

    def alone(lane):
        laws = [law(group, lane) for _, law, groups in made for group in range(groups)]
        return laws, capacity[:, lane], count[:, lane].astype(int)

    return market, alone


def lane_of(market, lane):
    """One market of the batch."""
    return jax.tree.map(lambda leaf: leaf[..., lane], market)
