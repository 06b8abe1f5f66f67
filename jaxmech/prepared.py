"""A market in the form to compute with: each law prepared once, everything by group in front."""

import jax

from jaxmech.endowments import Sides
from jaxmech.groups import total
from jaxmech.pytrees import pytree


@pytree
class Prepared:
    """What the solver takes of a market. Made by `Market.prepared`; all but `sides` of shape (G, ...)."""

    sides: Sides
    risk_capacity: jax.Array
    count: jax.Array

    mean = property(lambda self: self.sides.mean)
    variance = property(lambda self: self.sides.variance)
    lower = property(lambda self: self.sides.lower[0])
    upper = property(lambda self: self.sides.upper[0])
    width = property(lambda self: self.upper - self.lower)

    @property
    def total_risk_capacity(self):
        """K = Σ κ over traders."""
        return total(self.count * self.risk_capacity)

    @property
    def share(self):
        """s = κ/K."""
        return self.risk_capacity / self.total_risk_capacity
