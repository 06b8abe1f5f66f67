"""Target lines: a market with outside options is the paper's, seen in other units (beyond §4).

What must be left to the types is o(z) = r + γ(z − c)²/(2κ). Then V is clipped not to η but to the line

    t(z) = η + σ(z − c),    σ = γ/(1 − s),        V = clip(t, ψ⁺, ψ⁻) = σz + (1 − σ)Ṽ,

with Ṽ the paper's clip(η̃, ψ̃⁺, ψ̃⁻) at the larger weight w̃ = w/(1 − σ) and the level η̃ = (η − σc)/(1 − σ). So the kernel
sees w̃ and η̃, of which this is the home, and what it finds of Ṽ is brought back to V. Without outside options all here
is the identity, and costs nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.market.outside import OutsideOption
from jaxmech.market.prepared import Prepared


class TargetLine(NamedTuple):
    """The lines of all groups, (G, ...)."""

    slope: jax.Array  # σ = γ/(1 − s)
    power: jax.Array  # 1 − σ, the market power that is left
    centre: jax.Array  # c

    def at(self, eta: jax.Array, z: jax.Array) -> jax.Array:
        """t(z)."""
        return eta + self.slope * (z - self.centre)


def target_line(market: Prepared) -> TargetLine | None:
    """The lines where traders have outside options; else None."""
    if market.outside is None:
        return None
    return line_of(market.outside, market.share)


def line_of(option: OutsideOption, share: jax.Array) -> TargetLine:
    """The lines of these options, shares κ/K given."""
    slope = option.gamma / (1 - share)
    return TargetLine(slope, 1 - slope, option.centre)


def kernel_weight(weights: jax.Array, line: TargetLine | None, like: jax.Array) -> jax.Array:
    """w̃: of groups in a row, (1, G, ...), so that it goes with both sides of a law; or w itself where all share it.

    Args:
      weights: w, one number or (G, ...).
      line: the groups' target lines.
      like: something of shape (G, ...).
    """
    if line is not None:
        weights = weights / line.power
    elif jnp.ndim(weights) < like.ndim:
        return weights
    return jnp.broadcast_to(weights, like.shape)[None]


def kernel_level(eta: jax.Array, line: TargetLine | None) -> jax.Array:
    """η̃."""
    return eta if line is None else (eta - line.slope * line.centre) / line.power


def lifted(virtual: jax.Array, z: jax.Array, line: TargetLine | None) -> jax.Array:
    """σz + (1 − σ)Ṽ: V from Ṽ at z, and E V from E Ṽ at E Z."""
    return virtual if line is None else line.slope * z + line.power * virtual


def outside_gain(option: OutsideOption | None, z: jax.Array, risk_capacity: jax.Array) -> jax.Array | float:
    """o(z), money: what type z gains outside."""
    if option is None:
        return 0.0
    return option.reserve + option.gamma * (z - option.centre) ** 2 / (2 * risk_capacity)
