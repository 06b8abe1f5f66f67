"""Tables of what a simulation asks millions of times: V and T of Theorem 2, and quantiles of beta laws.

Cubic Hermite interpolation on uniform grids, with exact values and slopes at the nodes. V and T are smooth but for the
flat part of V and the kink of T at η: each has one grid below and one above. With outside options there is a target
line between them, on which V is known and T is a parabola, and V itself is brought back from the kernel's, Ṽ. A table
knows its largest error halfway between its nodes; where that is not far below what a simulation can see, the exact
function is kept.
"""

from dataclasses import fields, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from jaxmech.arrays import on_device, on_host, pytree
from jaxmech.auctions.balanced import BalancedPayments
from jaxmech.auctions.columns import traders_of
from jaxmech.auctions.side_payments import SidePayments
from jaxmech.endowments import Beta, SideBySide
from jaxmech.endowments.draws import uniform_draws
from jaxmech.optimum.target_lines import lifted
from jaxmech.optimum.virtual_types import outer_branch
from jaxmech.programs import compiled, derived

CELLS = 512  # of each of the two grids
QUANTILE_CELLS = 1024
LARGEST_LOGIT = 37.0  # draws are multiples of 2⁻⁵², so no nearer to 0 or 1 than e⁻³⁷
TOLERANCE = 1e-7  # error allowed, as part of the scale; the mean over 10⁹ auctions is off by 3·10⁻⁵


@pytree
class Table:
    """One function a column on two grids of equally many cells, both ends included. Made by `hermite_table`.

    Arguments between the grids count as the start of the second one, those outside as the nearest end.
    """

    start: jax.Array  # (2, columns), where each grid starts
    density: jax.Array  # (2, columns), cells per unit; 0 where a grid is a point
    turn: jax.Array  # (columns,), up to there the first grid is used
    coefficients: jax.Array  # (columns · 2 · cells, 4), of the powers of the place in a cell, from 0 to 1
    error: jax.Array  # (columns,), largest halfway between two nodes

    def __call__(self, x, column):
        """Values at x, (..., N), where each of the N has the given column."""
        cells = self.coefficients.shape[0] // self.density.size
        upper = x > self.turn[column]
        start, density = (jnp.where(upper, ends[1, column], ends[0, column]) for ends in (self.start, self.density))
        place = (x - start) * density
        place = jnp.where(place < 0, 0.0, jnp.where(place > cells, float(cells), place))
        cell = jnp.minimum(place.astype(jnp.int32), cells - 1)
        row = 2 * cells * column + jnp.where(upper, cells, 0) + cell
        at = self.coefficients.at[row].get(mode="promise_in_bounds")
        step = place - cell
        return at[..., 0] + step * (at[..., 1] + step * (at[..., 2] + step * at[..., 3]))


def hermite_table(start, end, cells, value_and_slope) -> Table:
    """The table of a function on [start, end], shape (2, columns); it takes points of shape (..., 2, columns)."""
    width = end - start
    points = start + (jnp.arange(2 * cells + 1) / (2 * cells))[:, None, None] * width  # nodes and between them
    value, slope = value_and_slope(points)
    node, slope = value[::2], slope[::2] * width / cells
    rise, left, right = node[1:] - node[:-1], slope[:-1], slope[1:]
    powers = jnp.stack([node[:-1], left, 3 * rise - 2 * left - right, left + right - 2 * rise], axis=-1)
    halfway = powers @ jnp.asarray([1.0, 0.5, 0.25, 0.125], powers.dtype)
    error = jnp.max(jnp.abs(halfway - value[1::2]), axis=0)
    return Table(
        start=start,
        density=jnp.where(width > 0, cells / jnp.where(width > 0, width, 1.0), 0.0),
        turn=jnp.where(width[0] > 0, end[0], -jnp.inf),
        coefficients=jnp.transpose(powers, (2, 1, 0, 3)).reshape(-1, 4),
        error=jnp.max(jnp.where(width > 0, error, 0.0), axis=0),
    )


@pytree
class TabulatedSidePayments(SidePayments):
    """Side payments that read V and T from tables of one column a group; all else is theirs. Made by `tabulated`."""

    group: jax.Array  # (N,), group of each trader
    offers: Table  # Ṽ(z), which is V without outside options
    taxes: Table  # T(l) on the range of V but for the target line
    range: jax.Array  # (2, groups), the least and the largest V
    outer_slope: jax.Array  # (2, groups), T' just outside the range

    @derived
    def error(self):
        """Largest error of T, money: the largest of all groups at the midpoints of their tables."""
        return jnp.max(self.taxes.error)

    @derived
    def offer_error(self):
        """Largest error of V, asset units."""
        return jnp.max(self.offers.error)

    @compiled
    def offer(self, z):
        """V(z), what type z offers at price 0; types outside the support offer one for one beyond its ends."""
        law = self.market.endowment
        inside = jnp.where(z < law.lower, law.lower, jnp.where(z > law.upper, law.upper, z))
        return lifted(self.offers(inside, self.group), inside, self.columns.line()) + (z - inside)

    @compiled
    def tax(self, offered):
        """T(l), in money, shape (..., N); see `SidePayments.tax`. Beyond the range of V a parabola."""
        (low, high), slopes = self.range[:, self.group], self.outer_slope[:, self.group]
        beyond = jnp.where(offered < low, offered - low, jnp.where(offered > high, offered - high, 0.0))
        slope = jnp.where(beyond < 0, slopes[0], slopes[1])
        outer = beyond * (slope + 0.5 * self._factor * (self.price_scale - 1) * beyond)
        taxed, line = self.taxes(offered, self.group) + outer, self.columns.line()
        return taxed if line is None else taxed + self._on_line(offered, line)

    def _on_line(self, offered, line):
        """T(l) − T(t(b)) on the target line, in the range of V: what the second grid lacks below its start."""
        at = self.columns
        start, end = jnp.clip(line.at(at.eta, at.binding_interval.T), *self.range[:, self.group])
        offered, below = jnp.clip(offered, start, end), offered <= self.taxes.turn[self.group]
        middle = 0.5 * (offered + end)
        z = line.centre + (middle - at.eta) / jnp.where(line.slope > 0, line.slope, 1.0)
        return jnp.where(below, 0.0, self._factor * (offered - end) * (self.price_scale * middle - z))


def tabulated(rule, cells=CELLS):
    """Side payments that read V and T from tables, for simulations; any other rule is returned as it is.

    Args:
      rule: SidePayments, BalancedPayments, or something else.
      cells: of each table, twice: below and above the binding interval.

    Returns:
      TabulatedSidePayments; or the rule itself where V or T cannot be tabulated to 1e-7 of their scale.
    """
    if isinstance(rule, BalancedPayments):
        return replace(rule, schedule=tabulated(rule.schedule, cells))
    if not isinstance(rule, SidePayments) or isinstance(rule, TabulatedSidePayments):
        return rule
    if rule.design.bunching is not None:  # V has flat pieces and jumps between any two nodes
        return rule
    by_group = rule.by_group()
    good, tables = _tables(by_group, cells)
    if not good:
        return rule
    parts = {entry.name: getattr(rule, entry.name) for entry in fields(SidePayments)}
    return TabulatedSidePayments(**parts, group=on_device(traders_of(rule.design.market)), **tables)


@partial(compiled, static_argnames="cells")
def _tables(rule, cells):
    """Whether the tables are good enough, and what they and their surroundings are, by name."""
    offers, (taxes, ends, slopes) = _offer_table(rule, cells), _tax_table(rule, cells)
    scale = ends[1] - ends[0] + rule.market.endowment.width
    allowed = _allowed(scale.dtype)
    money = rule._factor * scale**2 * jnp.maximum(1.0, rule.price_scale)
    good = jnp.all(offers.error <= allowed * scale) & jnp.all(taxes.error <= allowed * money)
    return good, {"offers": offers, "taxes": taxes, "range": ends, "outer_slope": slopes}


@partial(compiled, static_argnames="cells")
def _offer_table(rule, cells):
    """Ṽ, one column a group, one grid on each side of the binding interval."""
    law, ends, (weight, level) = rule.market.endowment, rule.columns.ends, rule.columns.kernel()
    sign, sides = jnp.asarray([[1.0], [-1.0]], ends.dtype), law.sides()
    eta = sign * level

    def offer(z):
        value, slope = outer_branch(sides, sign * z, weight)
        return sign * jnp.where(value < eta, value, eta), slope

    return hermite_table(jnp.stack([law.lower, -ends[1]]), jnp.stack([ends[0], law.upper]), cells, offer)


@partial(compiled, static_argnames="cells")
def _tax_table(rule, cells):
    """T, one column a group, one grid on each side of the offers of [a, b]; the range of V, and T' just outside it."""
    law, at, factor, scale = rule.market.endowment, rule.columns, rule._factor, rule.price_scale
    low, high, line = at.virtual_type(law.lower), at.virtual_type(law.upper), at.line()
    start = end = at.eta
    if line is not None:
        start, end = line.at(at.eta, at.binding_interval.T)
    first, second = jnp.clip(start, low, high), jnp.clip(end, low, high)

    def tax(offered):
        # The end of the first grid must not round to beyond the kink. There the second grid has another slope.
        below, above = jnp.minimum(offered[..., 0, :], first), jnp.maximum(offered[..., 1, :], second)
        offered = jnp.stack([below, above], axis=-2)
        inside, z = rule._inverse(offered)
        jump = jnp.stack([jnp.zeros_like(above), jnp.where(above == end, -at.ends[1] - z[..., 1, :], 0.0)], axis=-2)
        return rule._tax(inside, z, offered - inside), factor * (scale * offered - z - jump)

    table = hermite_table(jnp.stack([low, second]), jnp.stack([first, high]), cells, tax)
    away = law.width * jnp.asarray([[-1.0], [1.0]], low.dtype)
    slopes = rule.marginal_tax(jnp.stack([low, high]) + away) - factor * (scale - 1) * away
    return table, jnp.stack([low, high]), slopes


@pytree
class TabulatedBeta:
    """Draws from beta laws, one a trader, by a table of the logit of their quantile against the logit of p."""

    lower: jax.Array  # (N,)
    width: jax.Array  # (N,)
    column: jax.Array  # (N,), which column of the table has the trader's shapes
    quantiles: Table

    def sample(self, key, shape=()):
        """Independent draws, shape + (N,)."""
        draws = uniform_draws(self.lower, key, shape)
        at = self.quantiles(jnp.log(draws) - jnp.log1p(-draws), self.column)
        return self.lower + self.width * jax.nn.sigmoid(at)


def quick_sampler(law):
    """Something with the law's `sample` that searches for no quantile.

    Beta laws get a table, unless it is off by more than 1e-7 in probability; the others are quick as they are.
    """
    if isinstance(law, SideBySide):
        return SideBySide(tuple(quick_sampler(part) for part in law.laws))
    if not isinstance(law, Beta):
        return law
    shapes, column = np.unique(np.stack(on_host((law.a, law.b))), axis=1, return_inverse=True)
    quantiles, error = _quantile_table(*on_device(tuple(shapes)))
    if not float(error) <= _allowed(error.dtype):
        return law
    return TabulatedBeta(law.lower, law.width, on_device(column.reshape(-1)), quantiles)


def _allowed(dtype):
    """Largest error of a table, as part of its scale."""
    return max(TOLERANCE, 1e3 * float(jnp.finfo(dtype).eps))


@compiled
def _quantile_table(a, b):
    """log x/(1 − x) against t = log p/(1 − p), both halves measured from their own end, where x is a power of p."""
    a_and_b = jnp.stack([a, b])
    unit = Beta(a_and_b, a_and_b[::-1], jnp.zeros_like(a_and_b), jnp.ones_like(a_and_b))
    side, log_beta = unit.sides().one(0), gammaln(a) + gammaln(b) - gammaln(a + b)
    sign = jnp.asarray([[1.0], [-1.0]], a.dtype)

    def logit(t):
        p = jax.nn.sigmoid(sign * t)  # at most a half
        x, leading = unit.quantile(p), (jnp.log(p * unit.a) + log_beta) / unit.a
        log_x = jnp.where(x > 1e-6, jnp.log(jnp.where(x > 1e-6, x, 1.0)), leading)  # from F ≈ x^a/(a B)
        for _ in range(2):
            tail = side.tail(jnp.exp(log_x))
            log_x -= tail.ratio * jnp.exp(-log_x) * jnp.log(tail.cdf / p)
        x = jnp.exp(log_x)
        slope = (1 - p) * unit.cdf_ratio(x) / (x * (1 - x))  # dx/x(1 − x) = p(1 − p)/(f x(1 − x)) dt, p/f = F/f
        return sign * (log_x - jnp.log1p(-x)), slope

    ends = LARGEST_LOGIT * jnp.asarray([[-1.0], [0.0], [1.0]], a.dtype) * jnp.ones_like(a)
    table = hermite_table(ends[:2], ends[1:], QUANTILE_CELLS, logit)
    # An error of the logit is f x(1 − x) = p(1 − p)/slope times as large in p, and p(1 − p) ≤ ¼.
    slope = table.coefficients[:, 1] * QUANTILE_CELLS / LARGEST_LOGIT
    return table, 0.25 * jnp.max(table.error) / jnp.min(slope)
