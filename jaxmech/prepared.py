"""A market in the form to compute with: each law prepared once, everything by group in front."""

import jax

from jaxmech.endowments import Sides
from jaxmech.groups import total
from jaxmech.pytrees import pytree


@pytree
class Prepared:
    """What the solver takes of a market. Made by `Market.prepared`; all but `sides` of shape (G, ...)."""

    sides: Sides
    lower: jax.Array
    upper: jax.Array
    mean: jax.Array  # E Z
    variance: jax.Array  # Var Z
    risk_capacity: jax.Array
    count: jax.Array

    @classmethod
    def of(cls, law, risk_capacity, count) -> "Prepared":
        """The market of traders with this law, of all groups."""
        sides = law.sides()
        return cls(sides, sides.lower[0], sides.upper[0], *sides.moments(), risk_capacity, count)

    @property
    def width(self):
        """Lengths of the supports."""
        return self.upper - self.lower

    @property
    def total_risk_capacity(self):
        """K = Σ κ over traders."""
        return total(self.count * self.risk_capacity)

    @property
    def share(self):
        """s = κ/K."""
        return self.risk_capacity / self.total_risk_capacity
