"""What do all derivatives of the optimum cost? Reverse mode against finite differences, on the CPU, in float64.

    python benchmarks/derivatives.py [--quick] [--json PATH]

Five distinct truncated-normal traders with 17 parameters: five means, scales and risk capacities, and one support. The
value is the objective of the whole optimum at α, w* included. Compile time is kept apart; figures are medians of
interleaved runs. Derivatives that differ from central differences by 1e-6 end the run with exit status 1.
"""

import os
import sys
from functools import partial

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from harness import Row, interleaved, main, require

import jaxmech as jm

TRADERS, STEP = 5, 1e-5


def parameters(markets, seed=0):
    """loc, scale and κ of five traders and the support they share, (17, markets); α, (markets,)."""
    rng = np.random.default_rng(seed)
    ranges = [(-0.5, 0.5)] * TRADERS + [(0.3, 1.0)] * TRADERS + [(0.3, 3.0)] * TRADERS + [(-1.5, -0.8), (0.8, 1.5)]
    return jnp.asarray([rng.uniform(*ends, markets) for ends in ranges]), jnp.asarray(rng.uniform(0.2, 1, markets))


@partial(jax.jit, static_argnames="solved")
def value(numbers, alpha, solved=jm.solve):
    """J = αR + (1 − α)A of every market."""
    loc, scale, capacity = (numbers[k * TRADERS : (k + 1) * TRADERS] for k in range(3))
    lower, upper = (jnp.broadcast_to(end, loc.shape) for end in numbers[-2:])
    market = jm.Market(jm.TruncatedNormal(loc, scale, lower, upper), capacity, jnp.ones_like(loc))
    result = jm.outcomes(solved(market, alpha))
    return alpha * result.revenue + (1 - alpha) * result.efficiency


@jax.jit
def value_and_derivatives(numbers, alpha):
    """The value and its derivatives to all 17 parameters: lanes are independent, so ones pull all of them back."""
    found, pull = jax.vjp(lambda numbers: value(numbers, alpha), numbers)
    return found, pull(jnp.ones_like(found))[0]


@jax.jit
def central_differences(numbers, alpha):
    """The same derivatives by 34 values, one after the other, as a user without derivatives would."""

    def one(way):
        return (value(numbers + STEP * way, alpha) - value(numbers - STEP * way, alpha)) / (2 * STEP)

    return jax.lax.map(one, jnp.eye(len(numbers))[:, :, None])


@jax.jit
def gradient_at_weight(numbers, weight):
    """The same at a given weight, which is not searched for."""
    at_weight = partial(value, alpha=weight, solved=jm.solve_at_weight)
    return jax.grad(lambda numbers: jnp.sum(at_weight(numbers)))(numbers)


@jax.jit
def hessian(numbers, weight):
    """All second derivatives at a given weight, (17, 17, markets): forward over reverse, one parameter at a time."""
    ways = jnp.broadcast_to(jnp.eye(len(numbers))[:, :, None], (len(numbers), *numbers.shape))
    return jax.lax.map(lambda way: jax.jvp(lambda x: gradient_at_weight(x, weight), (numbers,), (way,))[1], ways)


def require_hessian(numbers, weight, found):
    """Along a random direction against differences of gradients."""
    way = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (len(numbers), 1)))
    ahead, behind = (gradient_at_weight(numbers + step * way, weight) for step in (STEP, -STEP))
    along = jnp.einsum("ijm,im->jm", found, jnp.broadcast_to(way, numbers.shape))
    off = jnp.abs(along - (ahead - behind) / (2 * STEP)) / (1 + jnp.max(jnp.abs(found), axis=(0, 1)))
    lopsided = jnp.abs(found - found.swapaxes(0, 1)) / (1 + jnp.abs(found))
    require(float(jnp.max(off)) <= 1e-6, f"second derivatives differ from differences by {float(jnp.max(off)):.1e}")
    require(float(jnp.max(lopsided)) <= 1e-9, f"the Hessian is not symmetric by {float(jnp.max(lopsided)):.1e}")


def rows(markets, rounds):
    numbers, alpha = parameters(markets)
    _, exact = value_and_derivatives(numbers, alpha)
    rough = central_differences(numbers, alpha)
    off = float(jnp.max(jnp.abs(exact - rough) / (1 + jnp.abs(rough))))
    require(off <= 1e-6, f"derivatives differ from differences by {off:.1e}")
    require_hessian(numbers, alpha, hessian(numbers, alpha))
    functions = (value, value_and_derivatives, central_differences, hessian)
    times = interleaved([lambda f=f: f(numbers, alpha) for f in functions], rounds)
    plain, reverse, differences, second = 1e6 * np.median(times, axis=0) / markets
    yield Row("objective of the optimum, one market", plain, "µs")
    yield Row("with its 17 derivatives, reverse mode", reverse, "µs")
    yield Row("gradient: ratio", float(np.median(times[:, 1] / times[:, 0])), "×", 3)
    yield Row("by 34 central differences", differences, "µs", note=f"{off:.0e} from the derivatives at most")
    yield Row("central differences / reverse mode", float(np.median(times[:, 2] / times[:, 1])), "×")
    yield Row("Hessian at a given weight, 17 × 17", second, "µs")
    yield Row("Hessian: ratio", float(np.median(times[:, 3] / times[:, 0])), "×")


if __name__ == "__main__":
    sys.exit(main(__doc__, rows, full=(2000, 9), quick=(64, 2)))
