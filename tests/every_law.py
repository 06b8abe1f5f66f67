"""A small market of every family of laws: one group, two groups, and beside another family."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxmech as jm


def bell(z, parameters):
    """A density up to a constant, as a user would write it; at the top of a module, so that it pickles."""
    return -((z / parameters["s"]) ** 2)


def _two_camps(s):
    return jm.Mixture(
        [jm.TruncatedNormal(-0.5, 0.2, -1.0, 1.0), jm.TruncatedNormal(0.5 + 0.1 * s, 0.2, -1.0, 1.0)], [0.5, 0.5]
    )


LAWS = {
    "uniform": lambda s: jm.Uniform(-1.0 - s, 1.0),
    "normal": lambda s: jm.TruncatedNormal(0.1 * s, 0.5, -1.0, 1.0),
    "beta": lambda s: jm.Beta(2.0 + s, 3.0, -1.0, 1.0),
    "mixture": _two_camps,
    "mixture_of_families": lambda s: jm.Mixture([jm.Uniform(-1.0, 1.0), jm.Beta(5.0 + s, 2.0, -1.0, 1.0)], [0.3, 0.7]),
    "histogram": lambda s: jm.Histogram(list(np.linspace(-1, 1, 6)), [0.1, 0.3, 0.2 - 0.1 * s, 0.3 + 0.1 * s, 0.1]),
    "triangular": lambda s: jm.Triangular(0.2 * s, -1.0, 1.0),
    "exponential": lambda s: jm.TruncatedExponential(1.0 + s, -1.0, 1.0),
    "laplace": lambda s: jm.TruncatedLaplace(0.1 * s, 0.5, -1.0, 1.0),
    "logistic": lambda s: jm.TruncatedLogistic(0.1 * s, 0.5, -1.0, 1.0),
    "student": lambda s: jm.TruncatedStudent(0.1 * s, 0.5, 4.0, -1.0, 1.0),
    "kumaraswamy": lambda s: jm.Kumaraswamy(2.0 + s, 3.0, -1.0, 1.0),
    "piecewise": lambda s: jm.PiecewiseLinear([-1.0, -0.5 * s, 1.0], [0.5, 1.0, 0.5]),
    "density": lambda s: jm.Density(bell, {"s": 0.5 + 0.1 * s}, -1.0, 1.0),
}

SHAPES = {
    "one group": lambda law: [jm.Traders(law(0.0), 1.0, 5, "a")],
    "two groups": lambda law: [jm.Traders(law(0.0), 1.0, 5, "a"), jm.Traders(law(1.0), 2.0, 4, "b")],
    "two families": lambda law: [jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 3, "u"), jm.Traders(law(1.0), 2.0, 4, "b")],
}


def market_of(law, shape="two groups"):
    return jm.Market.of(*SHAPES[shape](LAWS[law]))


def batch_of(market, lanes=2):
    """The market several times over, along a trailing axis."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * lanes, -1), market)
