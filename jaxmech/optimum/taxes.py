"""What a tax on the exchange's revenue does to its choice (beyond §15)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import NumbersLike, is_traced
from jaxmech.inputs import MarketError, real_numbers
from jaxmech.plain import result


@result()
class AfterTax(NamedTuple):
    """The problem without a tax that an exchange under one solves."""

    alpha: jax.Array  # α' = α(1 − t)/(1 − αt)
    welfare_factor: jax.Array  # 1/(1 − αt): by what welfare weights are multiplied
    revenue_factor: jax.Array  # 1/(1 − t): by what a minimum revenue is, where it is meant after tax


def after_tax(alpha: NumbersLike, rate: NumbersLike) -> AfterTax:
    """What an exchange that pays part of its revenue as a tax maximises.

        α(1 − t)R + (1 − α)A = (1 − αt) [α'R + (1 − α')A],    α' = α(1 − t)/(1 − αt)

    At α = 1 the tax is neutral, and so it is at α ≤ w*, where nothing is earned; between them it acts.

    Args:
      alpha: weight on revenue, in [0, 1].
      rate: t, part of the revenue that is taken, in [0, 1). Both broadcast against each other.

    Returns:
      AfterTax: `solve(market, after_tax(alpha, rate).alpha)` is the mechanism under the tax.

    Raises:
      MarketError: numbers that cannot be (outside jit only).
    """
    for name, value, most in (("alpha", alpha, 1.0), ("rate", rate, np.nextafter(1.0, 0.0))):
        if is_traced(value):
            continue
        array = real_numbers(name, value)
        if not array.size or not np.all((array >= 0) & (array <= most)):
            raise MarketError(f"{name} is {value!r}; give numbers from 0 to 1" + ("" if most == 1 else ", below 1"))
    alpha, rate = jnp.asarray(alpha, float), jnp.asarray(rate, float)
    # 1 − αt is the sum of two parts that are not negative: no digits are lost where both are near 1.
    kept = (1 - alpha) + alpha * (1 - rate)
    alpha = alpha * (1 - rate) / jnp.where(kept > 0, kept, 1.0)
    return AfterTax(alpha, 1 / kept, 1 / (1 - rate) + 0 * kept)
