"""The optimum for any endowment laws, regular or not: virtual types by isotonic regression on a grid, in numpy alone.

The allocation is constant on the cells of a type grid, V = clip(η, ironed ψ⁺, ironed ψ⁻) with ψ⁻ = z + wF/f and
ψ⁺ = z − w(1 − F)/f replaced by their means over each cell, which need F and its integrals and no density. Ironing is
the isotonic regression of these means weighted by the cells' probability: the slope of the lower convex hull of the
points (F, ∫ψf).

What holds: X̄ falls, trades balance, and everybody is paid exactly the rent that cell-constant X̄ demands, so R and A
are those of a feasible mechanism. wR + (1 − w)A is therefore a lower bound on its maximum over all mechanisms, and the
maximum over mechanisms constant on these cells. R and A by themselves are approximate and may lie on either side. With
edges at the breaks of the laws all of them miss O(1/cells²), and Richardson's extrapolation removes that; it leaves
O(1/cells³) in wR + (1 − w)A, and an uneven O(1/cells²) in R, A and w* by themselves, as a, b and the ends of bunches
fall inside cells. Where a support has a gap and w is almost 0, R misses O(1/cells). Extrapolated values bound nothing.
"""

from typing import NamedTuple

import numpy as np
import scipy.optimize as so

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
_NO_MASS = 1e-15  # a cell of less probability has no mean virtual type of its own in double precision


class GridLaw(NamedTuple):
    """A law on a grid of cells, by exact integrals over each."""

    edges: np.ndarray  # (cells + 1,)
    cdf: np.ndarray  # F at the edges
    integral: np.ndarray  # G = ∫_l^z F at the edges
    second_moment: float  # E Z²

    @property
    def mass(self):
        return np.diff(self.cdf)

    @property
    def moment(self):
        """E[Z; cell]."""
        return np.diff(self.edges * self.cdf - self.integral)

    @property
    def below(self):
        """∫ F over the cell."""
        return np.diff(self.integral)

    @property
    def above(self):
        """∫ (1 − F) over the cell."""
        return np.diff(self.edges - self.integral)


class Reference(NamedTuple):
    """The optimum on a grid; tuples run over the types of trader."""

    weight: float  # w, the effective weight of revenue
    eta: np.ndarray  # η of each type
    mean: np.ndarray  # m = E V of each type
    virtual: tuple  # V on every cell
    allocation: tuple  # X̄ on every cell
    revenue: float
    efficiency: float
    bunching: tuple  # for each type rows (from, to, V): intervals of types ironed into one, away from η
    binding: np.ndarray  # (types, 2): [a, b], the types of V = η; where nobody has it, the type at which X̄ turns twice

    @property
    def objective(self):
        return self.weight * self.revenue + (1 - self.weight) * self.efficiency


class Extrapolated(NamedTuple):
    """Richardson's extrapolation of two references, and by how much it moved the finer one at most."""

    weight: float
    eta: np.ndarray
    mean: np.ndarray
    revenue: float
    efficiency: float
    objective: float  # wR + (1 − w)A at this w
    moved: float


# Grids.


def edges_between(breaks, cells):
    """Edges of `cells` cells: all breaks, and between any two of them cells of one width."""
    lengths = np.diff(breaks)
    if cells < len(lengths):
        raise ValueError(f"{cells} cells cannot keep {len(breaks)} breaks at their edges")
    wanted = 1 + (cells - len(lengths)) * lengths / lengths.sum()
    sizes = np.floor(wanted).astype(int)
    sizes[np.argsort(sizes - wanted, kind="stable")[: cells - sizes.sum()]] += 1
    pieces = [np.linspace(*ends, size + 1)[:-1] for *ends, size in zip(breaks[:-1], breaks[1:], sizes, strict=True)]
    return np.append(np.concatenate(pieces), breaks[-1])


def halved(edges):
    """The edges with a new one in the middle of every cell, so that two answers can be extrapolated."""
    return np.insert(edges, np.arange(1, len(edges)), 0.5 * (edges[1:] + edges[:-1]))


def grid_law(cdf, edges):
    """Cell integrals of a vectorised distribution function, smooth inside every cell and in (0, 1) inside the grid."""
    edges = np.asarray(edges, float)
    width = np.diff(edges)[:, None]
    nodes = edges[:-1, None] + 0.5 * width * (_NODES + 1)
    at_nodes, at_edges = 0.5 * width * cdf(nodes), cdf(edges)
    integral = np.append(0.0, np.cumsum(at_nodes @ _WEIGHTS))
    second_moment = edges[-1] ** 2 - 2 * np.sum((nodes * at_nodes) @ _WEIGHTS)
    return GridLaw(edges, at_edges, integral, second_moment)


def grids_of(law, cells):
    """The law on `cells` cells with its breaks at edges, and on twice as many."""
    coarse = edges_between(getattr(law, "breaks", law.support()), cells)
    return grid_law(law.cdf, coarse), grid_law(law.cdf, halved(coarse))


# The optimum at a weight.


def solve_reference(laws, risk_capacity, count, weight):
    """The maximum of wR + (1 − w)A on the grids of `laws`, one a type of trader, with `count` traders of each type.

    No budget is kept: R may be negative.
    """
    kappa, count = np.asarray(risk_capacity, float), np.asarray(count, float)
    branches = [_ironed_branches(law, weight) for law in laws]
    eta = _interior_types(laws, branches, kappa, count)
    virtual = tuple(np.clip(e, low, high) for e, (low, high) in zip(eta, branches, strict=True))
    mean = np.array([law.mass @ v for law, v in zip(laws, virtual, strict=True)])
    share = kappa / (count @ kappa)
    # Not (1 − s)(η − V): in this form trades balance whatever the error of η.
    bought = share * (count @ mean - mean)
    allocation = tuple(b - (1 - s) * v for b, s, v in zip(bought, share, virtual, strict=True))
    revenue, efficiency = _outcomes(laws, kappa, count, virtual, allocation)
    bunching = tuple(_bunches(law.edges, v, e) for law, v, e in zip(laws, virtual, eta, strict=True))
    binding = np.array([_binding(law.edges, v, e) for law, v, e in zip(laws, virtual, eta, strict=True)])
    return Reference(weight, eta, mean, virtual, allocation, revenue, efficiency, bunching, binding)


def _ironed_branches(law, weight):
    """ψ⁺ and ψ⁻ ironed, on every cell."""
    high = law.moment + weight * law.below
    low = law.moment - weight * law.above
    return _ironed(low, law.mass, joins_next=False), _ironed(high, law.mass, joins_next=True)


def _ironed(total, mass, joins_next):
    """Isotonic regression of total/mass weighted by mass.

    In a cell without mass ψ⁻ is +∞ and pools with what follows, ψ⁺ is −∞ and pools with what precedes. At the thin end
    of a support it goes with the nearest cell that has mass, so little that it does not matter which way.
    """
    has_mass = mass > _NO_MASS
    cell = np.clip(np.cumsum(has_mass) - np.where(joins_next, has_mass, 1), 0, np.sum(has_mass) - 1)
    total, mass = np.bincount(cell, total), np.bincount(cell, mass)
    return so.isotonic_regression(total / mass, weights=mass).x[cell]


class _MeanVirtualType(NamedTuple):
    """m(η) = E clip(η, ψ⁺, ψ⁻) of one type, linear between knots and constant outside."""

    knots: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, law, branches):
        places, turns = np.concatenate(branches), np.concatenate([law.mass, -law.mass])
        order = np.argsort(places, kind="stable")
        knots, slope = places[order], np.cumsum(turns[order])[:-1]
        return cls(knots, law.mass @ branches[0] + np.append(0.0, np.cumsum(slope * np.diff(knots))))

    def interior_type(self, total, kappa, everybody):
        """η with η(K − κ) + κ m(η) = κM."""
        target, others = kappa * total, everybody - kappa
        left = self.knots * others + kappa * self.values
        inside = np.interp(target, left, self.knots)
        # Beyond its ends the left side has slope K − κ.
        return inside + (min(target - left[0], 0.0) + max(target - left[-1], 0.0)) / others


def _interior_types(laws, branches, kappa, count):
    """η of every type: M − Σ m_i(η_i(M)) rises in M, and its zero is sought by bisection with interpolation."""
    means = [_MeanVirtualType.of(law, pair) for law, pair in zip(laws, branches, strict=True)]
    everybody = count @ kappa

    def eta_at(total):
        return np.array([m.interior_type(total, k, everybody) for m, k in zip(means, kappa, strict=True)])

    def residual(total):
        each = zip(count, means, eta_at(total), strict=True)
        return total - sum(n * np.interp(eta, m.knots, m.values) for n, m, eta in each)

    ends = [sum(n * m.values[end] for n, m in zip(count, means, strict=True)) for end in (0, -1)]
    margin = 1e-9 * (1 + np.ptp(ends))  # rounding must not take the sign at an end
    return eta_at(so.brentq(residual, ends[0] - margin, ends[1] + margin, xtol=1e-15, rtol=1e-15))


# Outcomes of an allocation, and what no other can exceed.


def _outcomes(laws, kappa, count, virtual, allocation):
    """R and A of X = −V + s ΣV when everybody pays the most that all types of his accept."""
    spread = np.array([law.mass @ (v - law.mass @ v) ** 2 for law, v in zip(laws, virtual, strict=True)])
    bought = np.array([law.mass @ x for law, x in zip(laws, allocation, strict=True)])
    share = kappa / (count @ kappa)
    square = (1 - share) ** 2 * spread + share**2 * (count @ spread - spread) + bought**2
    cross = np.array([law.moment @ x for law, x in zip(laws, allocation, strict=True)])
    rent = np.array([_rent(law, x) for law, x in zip(laws, allocation, strict=True)])
    second_moment = np.array([law.second_moment for law in laws])
    revenue = count @ ((-cross - rent - 0.5 * square) / kappa)
    efficiency = -count @ ((second_moment + 2 * cross + square) / (2 * kappa))
    return revenue, efficiency


def dual_bound(laws, risk_capacity, count, reference):
    """Σ E V²/2κ − E(ΣV)²/2K − (1 − w)Σ E Z²/2κ: no allocation on the grids has a larger wR + (1 − w)A."""
    kappa, count = np.asarray(risk_capacity, float), np.asarray(count, float)
    square = np.array([law.mass @ v**2 for law, v in zip(laws, reference.virtual, strict=True)])
    square_of_sum = count @ (square - reference.mean**2) + (count @ reference.mean) ** 2
    held = np.array([law.second_moment for law in laws])
    return count @ ((square - (1 - reference.weight) * held) / (2 * kappa)) - square_of_sum / (2 * (count @ kappa))


def _rent(law, allocation):
    """κ times the expected utility gain, ∫ F X̄⁺ + (1 − F) X̄⁻."""
    return law.below @ np.maximum(allocation, 0.0) + law.above @ np.maximum(-allocation, 0.0)


def _bunches(edges, virtual, eta):
    """Rows (from, to, V) of the maximal runs of two or more cells of one V ≠ η."""
    starts = np.flatnonzero(np.append(True, np.diff(virtual) > 0))
    ends = np.append(starts[1:], len(virtual))
    ironed = (ends - starts > 1) & (virtual[starts] != eta)
    return np.stack([edges[starts], edges[ends], virtual[starts]], axis=1)[ironed]


def _binding(edges, virtual, eta):
    """[a, b] to the width of a cell."""
    return edges[[np.searchsorted(virtual, eta, "left"), np.searchsorted(virtual, eta, "right")]]


# The budget.


def least_weight(laws, risk_capacity, count):
    """w*, the least w at which R ≥ 0 on these grids."""

    def revenue(weight):
        return solve_reference(laws, risk_capacity, count, weight).revenue

    return 0.0 if revenue(0.0) >= 0 else so.brentq(revenue, 0.0, 1.0, xtol=1e-14, rtol=1e-14)


def budget_reference(laws, risk_capacity, count, alpha):
    """The maximum of αR + (1 − α)A subject to R ≥ 0: the optimum at w = max(α, w*)."""
    at_alpha = solve_reference(laws, risk_capacity, count, alpha)
    if at_alpha.revenue >= 0:  # R rises in w
        return at_alpha
    return solve_reference(laws, risk_capacity, count, least_weight(laws, risk_capacity, count))


# Extrapolation.


def extrapolated(coarse, fine):
    """From the reference on some cells and the one on their halves."""

    def beyond(name):
        return (4 * getattr(fine, name) - getattr(coarse, name)) / 3

    names = ("weight", "eta", "mean", "revenue", "efficiency")
    best = {name: beyond(name) for name in names}
    objective = best["weight"] * best["revenue"] + (1 - best["weight"]) * best["efficiency"]
    moved = max(np.max(np.abs(best[name] - getattr(fine, name))) for name in names)
    return Extrapolated(**best, objective=objective, moved=moved)


def precise_reference(laws, risk_capacity, count, weight, cells=1000):
    """The optimum at a weight for laws with cdf, support() and perhaps breaks, extrapolated from two grids."""
    both = zip(*(grids_of(law, cells) for law in laws), strict=True)
    return extrapolated(*(solve_reference(grids, risk_capacity, count, weight) for grids in both))


def precise_budget_reference(laws, risk_capacity, count, alpha, cells=1000):
    """The optimum at α that pays its way, extrapolated from two grids."""
    both = zip(*(grids_of(law, cells) for law in laws), strict=True)
    return extrapolated(*(budget_reference(grids, risk_capacity, count, alpha) for grids in both))
