"""What the optimum owes to each number of the market: exact derivatives, one-sided where there is a kink.

Forward mode in lanes: one column a direction, so the whole table is one batched tangent solve. Kinks, where the budget
starts to bind (α = w*) or a binding interval reaches the end of a support, are found by solving a tiny step to either
side of every parameter: where the two sides are different cases, each side's own derivative is reported.
"""

from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxmech.derivatives.answers import answers, answers_and_mechanism
from jaxmech.derivatives.fixed_rule import fixed_rule_money
from jaxmech.derivatives.named_outcomes import market_sizes, named_outcome, outcome_names, outcome_rows
from jaxmech.extras import extra
from jaxmech.inputs import yes_or_no
from jaxmech.market.market import Market, MarketError, checked_market
from jaxmech.market.parameters import LEAST, UNITS, every_parameter, is_location, market_with, present_values
from jaxmech.optimum.solve import weight_of
from jaxmech.plain import plain, result
from jaxmech.programs import compiled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATUS = ("smooth", "kink", "end of range", "jump", "failed")
MAIN = ("objective", "revenue", "efficiency")
_SAME = 1e-4  # sides that agree to this, relative, are no kink


@result()
@dataclass(frozen=True)
class Sensitivity:
    """Derivatives of Y outcomes to P parameters, α first. Made by `sensitivity`; numpy arrays on the host.

    `derivative` is NaN at a kink, where only `left` and `right` exist (taken a step of 1e-7 of the unit away, so good
    to about 1e-6), and wherever `status` says jump or failed.
    """

    alpha: float
    outcomes: tuple  # Y names, see `outcome_names`
    parameters: tuple  # P names
    value: np.ndarray  # (Y,), the outcomes
    at: np.ndarray  # (P,), the parameters
    scale: np.ndarray  # (Y,), what is large for each outcome: the first-best surplus, the widest support, or 1
    unit: np.ndarray  # (P,), what one percent is of: the parameter, or the support's width for loc, lower and upper; of
    # what may be 0 besides, the surplus for money, 1 for welfare weights and γ
    derivative: np.ndarray  # (Y, P)
    left: np.ndarray  # (Y, P), derivative on the side of smaller parameters
    right: np.ndarray  # (Y, P), and of larger ones
    status: np.ndarray  # (Y, P), one of STATUS
    direct: np.ndarray  # (3, P) of MAIN: with V and Ω held fixed; J's includes λ times revenue's
    second: np.ndarray | None  # (3, P, P) of MAIN, if asked for; NaN where a first derivative has a kink

    @property
    def elasticity(self) -> np.ndarray:
        """(Y, P): percent by which an outcome changes when the parameter rises by one percent of its unit.

        NaN for outcomes that are 0 to rounding.
        """
        some = np.abs(self.value) > 1e-12 * self.scale
        return self.derivative * self.unit / np.where(some, self.value, np.nan)[:, None]

    @property
    def through_mechanism(self) -> np.ndarray:
        """(3, P) of MAIN: what the change of the mechanism adds to `direct`; nothing on J (envelope theorem)."""
        return self.derivative[[self.outcomes.index(name) for name in MAIN]] - self.direct

    def of(self, outcome: str, parameter: str = "alpha") -> float:
        """The derivative of one outcome to one parameter; KeyError when there is none such."""
        if outcome not in self.outcomes or parameter not in self.parameters:
            raise KeyError(f"{outcome!r} to {parameter!r}: choose of {self.outcomes} and {self.parameters}")
        return float(self.derivative[self.outcomes.index(outcome), self.parameters.index(parameter)])

    def to_dict(self) -> dict:
        """All of it as plain values that JSON holds; rows by the names of the outcomes. NaN and ±∞ become None."""
        tables = {name: getattr(self, name) for name in ("derivative", "left", "right", "elasticity")}
        tables = {name: dict(zip(self.outcomes, rows, strict=True)) for name, rows in tables.items()}
        status = {name: [STATUS[k] for k in row] for name, row in zip(self.outcomes, self.status, strict=True)}
        main = ("direct", "through_mechanism", *(() if self.second is None else ("second",)))
        return plain(
            {"alpha": self.alpha, "parameters": self.parameters, "at": self.at, "unit": self.unit}
            | {"outcomes": dict(zip(self.outcomes, self.value, strict=True)), **tables, "status": status}
            | {"scale": dict(zip(self.outcomes, self.scale, strict=True))}
            | {name: dict(zip(MAIN, getattr(self, name), strict=True)) for name in main}
        )

    def to_dataframe(self) -> "pd.DataFrame":
        """One row per outcome and parameter. Needs pandas (extra `data`)."""
        with extra("data"):
            import pandas as pd

        shape = self.derivative.shape
        columns = {
            "outcome": np.repeat(self.outcomes, shape[1]),
            "parameter": np.tile(self.parameters, shape[0]),
            "value": np.repeat(self.value, shape[1]),
            "at": np.tile(self.at, shape[0]),
        }
        columns |= {name: getattr(self, name).ravel() for name in ("derivative", "left", "right", "elasticity")}
        return pd.DataFrame(columns | {"status": np.asarray(STATUS)[self.status.ravel()]})

    def __str__(self):
        rows = [self.outcomes.index(name) for name in MAIN[1:]]
        lines = [
            f"derivatives at α = {self.alpha:g}; elasticity: % per 1% (loc, lower, upper: of the support's width)",
            f"{'':<34}{'':>12}{'revenue':>26}{'efficiency':>26}",
            f"{'parameter':<34}{'at':>12}" + f"{'derivative':>14}{'elasticity':>12}" * 2,
        ]
        for k, name in enumerate(self.parameters):
            cells = "".join(self._cell(row, k) for row in rows)
            lines.append(f"{name:<34}{self.at[k]:>12.6g}{cells}")
        return "\n".join(lines)

    def _cell(self, row, k):
        status = STATUS[self.status[row, k]]
        if status == "kink":
            return f"{f'{self.left[row, k]:.4g} | {self.right[row, k]:.4g}':>26}"
        if status in ("jump", "failed"):
            return f"{status:>26}"
        return f"{self.derivative[row, k]:>14.6g}{self.elasticity[row, k]:>12.4f}"

    def _repr_html_(self):
        try:
            return self.to_dataframe().to_html(index=False)
        except ModuleNotFoundError:
            return f"<pre>{escape(str(self))}</pre>"

    def plot(self, ax: "Axes | None" = None, outcome: str = "revenue", largest: int = 12) -> "Axes":
        """What moves an outcome most, a percent of each parameter's unit. Needs the extra `plot`.

        Args:
          ax: Matplotlib axes; new ones if not given. They are returned.
          outcome: of `outcomes`.
          largest: how many parameters are shown.
        """
        from jaxmech.reports.plots import tornado_plot

        if outcome not in self.outcomes:
            raise MarketError(f"outcome {outcome!r} is unknown; choose of {', '.join(self.outcomes)}")
        return tornado_plot(self, ax, outcome, largest)

    def tornado(self, outcome: str = "revenue", largest: int = 12) -> "Figure":
        """`plot` on a figure of its own."""
        return self.plot(None, outcome, largest).figure


def sensitivity(market: Market, alpha: ArrayLike, second: bool = False) -> Sensitivity:
    """Derivatives of everything in `answers` to α and to every number of the market.

    Args:
      market: one Market.
      alpha: weight on revenue, in [0, 1].
      second: also second derivatives of objective, revenue and efficiency.

    Returns:
      Sensitivity. To compose derivatives yourself, under jit and vmap, differentiate `answers`.

    Raises:
      MarketError: not one market, or alpha outside [0, 1]; before anything is compiled.
    """
    alpha = float(np.asarray(weight_of(_one_market(market), alpha, "alpha")))
    second = yes_or_no("second", second)
    parameters = every_parameter(market)
    surplus, width = market_sizes(market)
    at, unit = _place_and_unit(market, surplus, width, alpha, parameters)
    step = np.diag(np.finfo(at.dtype).eps ** 0.45 * unit)
    size = len(at)
    points = np.concatenate([at[:, None] + sign * step for sign in (0.0, -1.0, 1.0)], axis=1)
    points[0] = np.clip(points[0], 0.0, 1.0)
    ways = np.tile(np.eye(size, dtype=at.dtype), (1, 3))
    *found, rule = _tangents(market, parameters, points, ways)
    values, slopes, solved, case = map(np.asarray, found)
    scale = _scales(market, surplus, width)
    split = [np.split(part, 3, axis=-1) for part in (values, slopes, solved, case)]
    status = _status(*split, scale, unit, step)
    status[:, 0] = np.where((status[:, 0] == 0) & (alpha in (0.0, 1.0)), 2, status[:, 0])
    center, left, right = _reported(split[1], status, alpha)
    direct = _direct(market, parameters, rule, alpha, at, values[:, 0])
    direct = np.where(np.isnan(center[[outcome_names(market).index(name) for name in MAIN]]), np.nan, direct)
    return Sensitivity(
        alpha=alpha,
        outcomes=outcome_names(market),
        parameters=("alpha", *(parameter.name for parameter in parameters)),
        value=np.where(split[2][0][0], values[:, 0], np.nan),
        at=at,
        scale=scale,
        unit=unit,
        derivative=center,
        left=left,
        right=right,
        status=status,
        direct=direct,
        second=_second(market, parameters, at, np.isnan(direct)) if second else None,
    )


@partial(compiled, static_argnames="parameters")
def _tangents(market, parameters, points, ways):
    """Outcomes (Y, L), their derivatives (Y, L) along `ways`, solved (L,), case (C, L), the first point's mechanism.

    Points and ways: (P, L).
    """

    def rows(points):
        there = market_with(market, parameters, points[1:])
        (found, mechanism), law = answers_and_mechanism(there, points[0]), there.endowment
        case = [found.binding_lower <= law.lower, found.binding_lower >= law.upper]
        case += [found.binding_upper <= law.lower, found.binding_upper >= law.upper]
        # Where a welfare weight exceeds α the budget binds, and the kink is where a rebate begins.
        binds = found.budget_weight > points[0] if mechanism.rebate is None else found.budget_multiplier > 0
        case = jnp.concatenate([*case, binds[None]])
        if mechanism.rebate is not None:
            case = jnp.concatenate([case, jnp.any(mechanism.rebate > 0, axis=0)[None]])
        return outcome_rows(found, there), (found.solved, case, jax.tree.map(lambda leaf: leaf[..., 0], mechanism))

    values, slopes, seen = jax.jvp(rows, (points,), (ways,), has_aux=True)
    return values, slopes, *seen


@partial(compiled, static_argnames="parameters")
def _second_tangents(market, parameters, points, ways, others):
    """Second derivatives of MAIN, (3, L)."""

    def main(points):
        found = answers(market_with(market, parameters, points[1:]), points[0])
        return jnp.stack([getattr(found, name) for name in MAIN])

    return jax.jvp(lambda points: jax.jvp(main, (points,), (ways,))[1], (points,), (others,))[1]


def _second(market, parameters, at, unknown):
    size = len(at)
    ways, others = (np.eye(size)[:, k.ravel()] for k in np.indices((size, size)))
    points = np.broadcast_to(at[:, None], ways.shape)
    found = np.asarray(_second_tangents(market, parameters, points, ways, others)).reshape(len(MAIN), size, size)
    return np.where(unknown[:, :, None] | unknown[:, None, :], np.nan, found)


@partial(compiled, static_argnames="parameters")
def _direct_tangents(market, parameters, rule, values):
    return jax.jacfwd(lambda values: fixed_rule_money(rule, market_with(market, parameters, values)))(values)


def _direct(market, parameters, rule, alpha, at, value):
    """Derivatives of MAIN with the rule held fixed, (3, P): those of the Lagrangian (11)."""
    revenue, efficiency, welfare = map(np.asarray, _direct_tangents(market, parameters, rule, at[1:]))
    multiplier = float(rule.budget_multiplier)
    objective = (alpha + multiplier) * revenue + (1 - alpha) * efficiency + welfare
    objective = objective - multiplier * np.array([parameter.field == LEAST for parameter in parameters])
    by_alpha = [value[1] - value[2], 0.0, 0.0]  # J = αR + (1 − α)A
    return np.concatenate([np.array(by_alpha)[:, None], np.stack([objective, revenue, efficiency])], axis=1)


def _status(values, sides, solved, case, scale, unit, step):
    """(Y, P), numbers of STATUS. The first four arguments in three parts: at the point, below it, above it."""
    _, left, right = sides
    steepness, large = np.abs(left) + np.abs(right), scale[:, None]
    other = np.any((case[1] != case[2]) | (case[0] != case[1]), axis=0)
    kink = other & (np.abs(right - left) > _SAME * steepness + 1e-7 * large / unit)
    rounding = 0.1 * np.finfo(step.dtype).eps ** 0.5 * large
    leap = np.ptp(values, axis=0) > 10 * np.diag(step) * steepness + 1e-3 * np.abs(values[0]) + rounding
    failed = ~(solved[0] & solved[1] & solved[2]) | ~np.isfinite(sides[0])
    return np.where(failed, 4, np.where(leap, 3, np.where(kink, 1, 0)))


def _reported(sides, status, alpha):
    """Derivative, left and right, with NaN for what does not exist."""
    center, left, right = sides
    smooth, known = (status == 0) | (status == 2), status < 3
    left, right = np.where(smooth, center, left), np.where(smooth, center, right)
    left, right = (np.where(known, side, np.nan) for side in (left, right))
    left[:, 0] = np.nan if alpha == 0 else left[:, 0]
    right[:, 0] = np.nan if alpha == 1 else right[:, 0]
    return np.where(smooth, center, np.nan), left, right


def _place_and_unit(market, surplus, width, alpha, parameters):
    values = np.asarray(present_values(market, parameters))
    kinds = [UNITS.get(p.field, "asset" if is_location(p.field) else "itself") for p in parameters]
    capacity = np.asarray(market.risk_capacity)
    large = {
        "itself": lambda place, value: value,
        "asset": lambda place, value: width[place],
        "price": lambda place, value: width[place] / capacity[place],
        "money": lambda place, value: surplus,
        "number": lambda place, value: 1.0,
    }
    units = [large[kind](p.group, value) for kind, p, value in zip(kinds, parameters, values, strict=True)]
    return np.concatenate([[alpha], values]).astype(values.dtype), np.asarray([1.0, *units], values.dtype)


def _scales(market, surplus, width):
    """What is large for each outcome, (Y,): the first-best surplus, the widest support, or 1."""
    large = {"money": float(surplus), "asset": float(np.max(width)), "number": 1.0}
    return np.array([large[named_outcome(name, market).unit] for name in outcome_names(market)])


def _one_market(market):
    if checked_market(market).risk_capacity.ndim > 1:
        raise MarketError("market is a batch; ask about one market, or differentiate `answers`, which takes batches")
    return market
