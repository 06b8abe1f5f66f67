"""What has a closed form: Corollary 1.1 for any uniform laws, and Example 1 for any N, κ, half-width and weight."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced, mirrored
from jaxmech.endowments import Uniform
from jaxmech.inputs import real_numbers
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.optimum.mechanism import Mechanism, mechanism_at
from jaxmech.optimum.multipliers import uniform_eta
from jaxmech.optimum.solve import weight_of
from jaxmech.optimum.target_lines import kernel_level, kernel_weight, target_line
from jaxmech.plain import result
from jaxmech.programs import compiled


def explicit_mechanism(market: Market, weight: NumbersLike) -> Mechanism:
    """The mechanism of uniform endowments without iteration, Corollary 1.1 corrected (errata E2, E3) and solved.

        ψ⁻(a) = a + w (a − l) = η    →    a = (η + w l)/(1 + w),    b = (η + w h)/(1 + w)

    Args:
      market: a Market of Uniform laws, each with its own support; batches carry trailing axes.
      weight: effective weight w in [0, 1]; it need not respect the budget.

    Returns:
      Mechanism with α = w. Its `.error` is ∞ where an interval would leave its support: there the system is not
      linear, and `solve_at_weight` is right.

    Raises:
      MarketError: a law is not Uniform, or the weight is outside [0, 1].
    """
    if not isinstance(checked_market(market).endowment, Uniform):
        raise MarketError("endowment: Corollary 1.1 needs Uniform laws in every group; use solve or solve_at_weight")
    return replace(_explicit_mechanism(market, weight_of(market, weight, "weight")), market=market)


@compiled
def _explicit_mechanism(market, weight):
    prepared, sides = market.prepared(), market.endowment.sides()
    line = target_line(prepared)
    of_kernel = kernel_weight(weight, line, market.risk_capacity)
    eta = uniform_eta(prepared.mean, market.risk_capacity, market.count, of_kernel, line)
    level = kernel_level(eta, line)
    ends = (mirrored(level, level) + of_kernel * sides.lower) / (1 + of_kernel)
    inside = jnp.all((ends >= sides.lower) & (ends <= sides.upper), axis=(0, 1))
    return mechanism_at(market, prepared, weight, eta, ends, jnp.where(inside, 0.0, jnp.inf))


@result()
class Example1(NamedTuple):
    """Example 1 in closed form: N traders of risk capacity κ, endowments uniform on [μ − h, μ + h], who could also go
    to a market outside, at the price that is expected inside."""

    binding_interval: jax.Array  # (a, b) in a last axis of length 2
    revenue: jax.Array  # R, all traders
    efficiency: jax.Array  # A, all traders
    no_trade_probability: jax.Array
    first_best_efficiency: jax.Array
    double_auction_revenue: jax.Array  # with the largest participation fees
    double_auction_efficiency: jax.Array
    double_auction_weight: jax.Array  # w of the frontier's mechanism that is as efficient as the double auction
    revenue_at_double_auction_efficiency: jax.Array  # what that mechanism earns: exactly twice as much, if γ = r = 0
    utility_gain: jax.Array  # E g, one trader's


def example_1(
    traders: NumbersLike,
    weight: NumbersLike,
    half_width: NumbersLike = 1.0,
    risk_capacity: NumbersLike = 0.5,
    mean: NumbersLike = 0.0,
    gamma: NumbersLike = 0.0,
    reserve: NumbersLike = 0.0,
) -> Example1:
    """Example 1, its interval's labels put right (erratum E4), for any N, κ, h, μ and effective weight w (theory §10),
    and any outside option r + γ (z − μ)²/(2κ) (beyond §13).

        θ = 1 − γN/(N − 1)        [a, b] = μ ∓ h w/(θ + w)        no trade: (w/(1 + w))^N, 0 where γ > 0
        R = (N − 1) h²/(6κ) · θw (2θ + (1 − θ) w)/(θ + w)² − Nr
        A = −Nμ²/(2κ) − N h²/(6κ) [x² + (1 − x²)/N],    x = θw/(θ + w)
        E g = r + (1 − 1/N) h²/(6κ) [1 − θ + θ (θ/(θ + w))²]

    The double auction unloads (N − 2)/(N − 1) of what the first best does, x = 1/(N − 1) instead, so the frontier has
    the same A at w = 1/(N − 2), if γ = 0.

    Args:
      traders: N ≥ 2; what concerns the double auction is NaN below 3.
      weight: w in [0, 1].
      half_width, risk_capacity, mean: h > 0, κ > 0, μ.
      gamma: γ in [0, 1 − 1/N); where even w = 1 is more efficient than the double auction, what compares them is NaN.
      reserve: r ≥ 0, money.

    Returns:
      Example1; all arguments broadcast against each other.

    Raises:
      MarketError: arguments that are not so (outside jit only).
    """
    n, w, h, kappa, mu, gamma, r = _checked_example(
        traders=traders,
        weight=weight,
        half_width=half_width,
        risk_capacity=risk_capacity,
        mean=mean,
        gamma=gamma,
        reserve=reserve,
    )
    n = n * jnp.ones((), jnp.result_type(float))
    kept = 1 / (n - 1)
    sigma = gamma * n * kept
    theta = 1 - sigma
    edge, unit = h * w / (theta + w), h**2 / (3 * kappa)

    def efficiency(left):
        """A when a trader keeps √left of what the first best takes off him: no difference of nearly equal numbers."""
        return -n * (mu**2 / (2 * kappa) + unit / 2 * (left + (1 - left) / n))

    unloaded = jnp.where(n > 2, n - 2, jnp.nan) * kept
    as_efficient = theta * kept / (unloaded - sigma)
    as_efficient = jnp.where((as_efficient >= 0) & (as_efficient <= 1), as_efficient, jnp.nan)
    earned_there = unit * (unloaded - 0.5 * (1 / theta - 1) * kept) - n * r
    return Example1(
        binding_interval=jnp.stack([mu - edge, mu + edge], axis=-1),
        revenue=(n - 1) * unit * theta * w * (theta + 0.5 * sigma * w) / (theta + w) ** 2 - n * r,
        efficiency=efficiency((theta * w / (theta + w)) ** 2),
        no_trade_probability=jnp.where(gamma > 0, 0.0, (w / (1 + w)) ** n),
        first_best_efficiency=efficiency(0.0),
        double_auction_revenue=0.5 * unit * unloaded,
        double_auction_efficiency=efficiency(jnp.where(n > 2, kept**2, jnp.nan)),
        double_auction_weight=as_efficient,
        revenue_at_double_auction_efficiency=jnp.where(as_efficient >= 0, earned_there, jnp.nan),
        utility_gain=r + 0.5 * (1 - 1 / n) * unit * (sigma + theta * (theta / (theta + w)) ** 2),
    )


_RULES = {
    "traders": (lambda n: (n >= 2) & (n == np.round(n)), "whole numbers ≥ 2"),
    "weight": (lambda w: (w >= 0) & (w <= 1), "numbers in [0, 1]"),
    "half_width": (lambda h: h > 0, "numbers above 0"),
    "risk_capacity": (lambda kappa: kappa > 0, "numbers above 0"),
    "mean": (np.isfinite, "finite numbers"),
    "gamma": (lambda gamma: (gamma >= 0) & (gamma < 1), "numbers in [0, 1 − 1/N)"),
    "reserve": (lambda reserve: reserve >= 0, "numbers ≥ 0"),
}


def _checked_example(**arguments):
    for name, value in arguments.items():
        if is_traced(value):
            continue
        good, wanted = _RULES[name]
        array = real_numbers(name, value, wanted)
        if not array.size or not np.all(good(array) & np.isfinite(array)):
            raise MarketError(f"{name} is {value!r}; give {wanted}")
    n, gamma = arguments["traders"], arguments["gamma"]
    if not is_traced((n, gamma)) and np.any(np.asarray(gamma) * n >= np.asarray(n) - 1):
        raise MarketError(
            f"gamma is {gamma!r}; it must be below 1 − 1/N, or going outside is as good as everybody here"
        )
    return jnp.broadcast_arrays(*map(jnp.asarray, arguments.values()))
