"""The main case of the benchmarks: random markets of distinct truncated-normal traders, and what is asked of them.

Traders stand in front, the batch behind: (traders, markets).
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from harness import interleaved, require
from jax.scipy.special import erf

import jaxmech as jm
from jaxmech.optimum.certificate import tolerance_of

TRADERS = 5
CHUNKS = (500, 1000, 2000, 5000, 20000)  # markets a piece of a batch: small pieces stay in cache and end early
CHUNK = 2000  # what the performance page uses, and why is measured there
POINT_CHUNK = 500  # of outcomes and certificates, whose integrals have twenty nodes a market and leave the cache sooner
ALLOWED = 1e-9  # residual, and distance between solvers


def random_arrays(markets, traders=TRADERS, seed=0, dtype=float):
    """loc, scale, lower, upper, κ, each (traders, markets), and w, (markets,)."""
    rng = np.random.default_rng(seed)
    ranges = ((-0.5, 0.5), (0.3, 1.0), (-1.5, -0.8), (0.8, 1.5), (0.3, 3.0))
    arrays = [jnp.asarray(rng.uniform(*ends, (traders, markets)), dtype) for ends in ranges]
    return arrays, jnp.asarray(rng.uniform(0, 1, markets), dtype)


def market_of(loc, scale, lower, upper, risk_capacity):
    """The market itself, past the checked door, which refuses batches."""
    names = tuple(f"group_{place}" for place in range(1, len(loc) + 1)) if len(loc) < 100 else ()
    return jm.Market(jm.TruncatedNormal(loc, scale, lower, upper), risk_capacity, jnp.ones_like(loc), names)


def random_markets(markets, traders=TRADERS, seed=0, dtype=float):
    """The market and w, ready for the functions below."""
    arrays, weight = random_arrays(markets, traders, seed, dtype)
    return market_of(*arrays), weight


def multipliers(market, weight):
    mechanism = jm.solve_at_weight(market, weight)
    return mechanism.eta, mechanism.ends, mechanism.error, mechanism.steps


def multipliers_and_outcomes(market, weight):
    mechanism = jm.solve_at_weight(market, weight)
    return mechanism.eta, mechanism.ends, mechanism.error, jm.outcomes(mechanism)


def full_point(market, weight):
    """Multipliers, outcomes and certificate."""
    mechanism = jm.solve_at_weight(market, weight)
    return mechanism.eta, mechanism.ends, mechanism.error, jm.outcomes(mechanism), jm.certify(mechanism)


def first_derivatives(market, weight):
    """Revenue, efficiency, and the derivatives of both in w, κ, counts and the law. Markets of a batch are independent,
    so a cotangent of ones gives every market its own gradient."""

    def value(market, weight):
        achieved = jm.outcomes(jm.solve_at_weight(market, weight))
        return achieved.revenue, achieved.efficiency

    values, pull = jax.vjp(value, market, weight)
    one, none = jnp.ones_like(values[0]), jnp.zeros_like(values[0])
    return values, pull((one, none)), pull((none, one))


def proved(proof):
    """Which certificates hold. The budget aside: w is given here, and may lie below w*."""
    allowed = max(ALLOWED, tolerance_of(proof.residual.dtype))
    wrong = jnp.stack(
        [proof.residual, jnp.abs(proof.duality_gap), -proof.participation_slack, proof.monotonicity_breach]
    )
    return jnp.all(wrong <= allowed, axis=0)


def is_proved(market, weight):
    return proved(jm.certify(jm.solve_at_weight(market, weight)))


def require_proved(market, weight, chunk=500):
    """A market that is not certified ends the run."""
    size = min(chunk, weight.shape[-1])
    unproved = int(jnp.sum(~in_chunks(is_proved, size)(market, weight)))
    require(unproved == 0, f"{unproved} mechanisms are not certified")


@cache
def in_chunks(function, size):
    """The function on a batch, `size` markets at a time, as one compiled call."""

    def split(leaf):
        return jnp.moveaxis(leaf.reshape((*leaf.shape[:-1], -1, size)), -2, 0)

    def joined(leaf):
        leaf = jnp.moveaxis(leaf, 0, -2)
        return leaf.reshape((*leaf.shape[:-2], -1))

    @jax.jit
    def whole(*arguments):
        if jax.tree.leaves(arguments)[0].shape[-1] == size:
            return function(*arguments)
        pieces = jax.lax.map(lambda piece: function(*piece), jax.tree.map(split, arguments))
        return jax.tree.map(joined, pieces)

    return whole


def chunked(function, market, weight, chunk=CHUNK):
    """The call: the function on this batch in chunks, or at once if it is smaller than one."""
    return partial(in_chunks(function, min(chunk, weight.shape[-1])), market, weight)


def fastest(calls, rounds):
    """Key and median seconds of the fastest of {key: call}."""
    medians = np.median(interleaved(calls.values(), rounds), axis=0)
    best = int(np.argmin(medians))
    return list(calls)[best], medians[best]


def special_functions(points):
    """All that one pass needs of special functions at one end of one trader's interval: F by erf and f by exp."""
    return erf(points) + jnp.exp(-(points**2))


def passes(steps):
    """Evaluations at the ends of the intervals: the steps, the pass which finds that all is done, and one at the top of
    the support. Steps are averaged over markets: nobody waits for his neighbours at the floor."""
    return float(jnp.mean(steps)) + 2


def special_points(traders, markets, dtype=float):
    """Arguments of the special functions for one pass over a batch: two ends a trader."""
    return jnp.linspace(-2, 2, 2 * traders * markets, dtype=dtype).reshape(2 * traders, markets)
