"""Where traders can go instead, and so the least that every type must be offered (beyond §1, §11).

    o(z) = r + γ (z − c)²/(2κ)

is what type z of risk capacity κ gains by going. A market in which a quantity q costs P₀q + ½ρq² is γ = 1/(1 + ρκ),
c = −κP₀: the best trade there is −(z − c)γ.
"""

from collections.abc import Sequence
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmech.arrays import Numbers, picked, pytree
from jaxmech.plain import result

# Numbers of a market that are not there are 0; their names, and in which order `Outside` holds them.
_MARKET = ("outside_cost", "outside_price", "outside_reserve")
_OPTION = ("outside_gamma", "outside_centre", "outside_reserve")
OUTSIDE_FIELDS = ("cost", "price", "gamma", "centre", "reserve")


@result()
@pytree
class OutsideMarket:
    """A market outside in which q units cost price·q + ½ cost·q²: a dealer, a request for quotes, a rival venue.

    It is open to each trader, who trades inside or outside, not both. It must be worse than the others inside: cost
    above 1/(K − κ), K the risk capacity of all traders, κ his own.

    Args:
      price: P₀, money per unit, at which the first unit trades there; its mean where it is known before trading.
      cost: ρ > 0, money per unit squared: the inverse of that market's depth.
      reserve: r ≥ 0, money that a trader gets for staying away besides, such as a loyalty rebate; of a random price
        that is seen in time, the extra κ Var(P₀)/(2(1 + ρκ)). All are scalars or (groups,) arrays.
    """

    price: Numbers
    cost: Numbers
    reserve: Numbers = 0.0  # pyright: ignore[reportAssignmentType]


@result()
@pytree
class OutsideOption:
    """What type z gains outside, r + γ (z − c)²/(2κ), κ his risk capacity.

    Args:
      gamma: γ, a pure number in [0, 1 − κ/K), K the risk capacity of all traders: 0 for nothing to trade outside.
      centre: c, asset units: the type that would not trade there.
      reserve: r ≥ 0, money that every type gets there. All are scalars or (groups,) arrays.
    """

    gamma: Numbers
    centre: Numbers = 0.0  # pyright: ignore[reportAssignmentType]
    reserve: Numbers = 0.0  # pyright: ignore[reportAssignmentType]


@pytree
class Outside:
    """The outside options of all groups as they were given, (G, ...). Made by `Market.of`."""

    steepness: jax.Array  # ρ of markets, γ of other options
    place: jax.Array  # P₀ of markets, c of other options
    reserve: jax.Array  # r
    priced: tuple[bool, ...] = field(default=(), metadata={"static": True})  # which are markets

    @classmethod
    def of(cls, numbers: dict[str, Any], priced: tuple[bool, ...]) -> "Outside":
        """The options with these numbers, all of one kind, by name."""
        return cls(*(numbers[name] for name in (_MARKET if priced[0] else _OPTION)), priced=priced)

    def option(self, risk_capacity: jax.Array) -> OutsideOption:
        """All of them in the raw form."""
        priced = np.asarray(self.priced)
        if not priced.any():
            return OutsideOption(self.steepness, self.place, self.reserve)
        gamma, centre = 1 / (1 + self.steepness * risk_capacity), -risk_capacity * self.place
        if not priced.all():
            column = priced.reshape(-1, *(1,) * (jnp.ndim(gamma) - 1))
            gamma, centre = jnp.where(column, gamma, self.steepness), jnp.where(column, centre, self.place)
        return OutsideOption(gamma, centre, self.reserve)

    def has_costs(self) -> jax.Array:
        """Whether each ρ of a market can be one, of the batch's shape."""
        cost = self.steepness[np.flatnonzero(self.priced)]
        return jnp.all((cost > 0) & (cost < jnp.inf), axis=0)

    def of_groups(self, groups: np.ndarray) -> "Outside":
        """Those of some of the groups, each as often as it is named."""
        numbers = picked((self.steepness, self.place, self.reserve), groups)
        return Outside(*numbers, priced=tuple(self.priced[group] for group in groups))

    def names(self, group: int) -> tuple[str, str, str]:
        """What the numbers of a group are called."""
        return _MARKET if self.priced[group] else _OPTION

    def entries(self, group: Any) -> dict[str, Any]:
        """The numbers of a group by name; of all, for a slice, where all are of one kind."""
        numbers = self.steepness[group], self.place[group], self.reserve[group]
        return dict(zip(self.names(0 if isinstance(group, slice) else group), numbers, strict=True))

    def with_entries(self, rows: Sequence[dict[str, Any]]) -> "Outside":
        """The options with the numbers of these rows, one a group."""
        each = zip(*([row[name] for name in self.names(k)] for k, row in enumerate(rows)), strict=True)
        return Outside(*map(jnp.stack, each), priced=self.priced)


def no_outside(groups: int, like: Any) -> Outside:
    """Outside options that are worth nothing, of the type of an array."""
    library: Any = np if isinstance(like, np.ndarray) else jnp
    nothing = library.zeros((groups, *like.shape[1:]), like.dtype)
    return Outside(nothing, nothing, nothing, (False,) * groups)
