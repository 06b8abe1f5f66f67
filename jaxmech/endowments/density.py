"""A law by its density: any positive function that JAX can differentiate."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxmech.arrays import Numbers, pytree
from jaxmech.endowments.law import Rules
from jaxmech.endowments.numerical import Numerical, log_pdf_of, panels_of
from jaxmech.endowments.panels import Panels


@pytree
class Density(Numerical):
    """Law on [lower, upper] whose density is proportional to exp(log_density(z, parameters)).

    Args:
      log_density: function of z, shape (..., groups), and of the parameters, that JAX can trace; finite on the support,
        smooth but at the kinks. Define it once: another function object compiles anew.
      parameters: dictionary of scalars or (groups,) arrays, handed to log_density; their names appear in sweeps and
        derivatives as parameters_NAME.
      lower, upper: ends of the support, lower < upper.
      kinks: points where the density jumps or has a corner, shape (kinks,) or (kinks, groups).
      unit, origin: log_density sees (z − origin)/unit: what stretching and shifting the law change.

    Derivatives see a jump move only with the kink that names it. `Market.of` refuses a density that its polynomials
    miss by more than 1e-9 in probability.
    """

    log_density: Callable[[jax.Array, dict[str, Any]], jax.Array] = field(metadata={"static": True})
    parameters: dict[str, Any]
    lower: Numbers
    upper: Numbers
    kinks: Numbers = ()  # pyright: ignore[reportAssignmentType]
    unit: Numbers = 1.0  # pyright: ignore[reportAssignmentType]
    origin: Numbers = 0.0  # pyright: ignore[reportAssignmentType]

    stacked_fields = ("kinks",)
    bunches = property(lambda self: 8 + 2 * len(self.kinks))

    def _of(self, z):
        return self.log_density((z - self.origin) / self.unit, self.parameters)

    def panels(self) -> Panels:
        return panels_of(self._of, self.landmarks(), self.bunches)

    def log_pdf(self, z: ArrayLike) -> jax.Array:
        return log_pdf_of(self._of, self.landmarks(), z)

    def landmarks(self) -> jax.Array:
        cuts = super().landmarks()
        inside = [jnp.clip(kink, self.lower, self.upper)[None] for kink in self.kinks]
        return jnp.sort(jnp.concatenate([*inside, cuts]), axis=0) if inside else cuts

    def rules(self) -> Rules:
        return [*super().rules(), ("unit", self.unit > 0, "must be > 0")]
