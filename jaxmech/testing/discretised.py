"""The paper's problem (6)–(10) for allocations constant on the cells of a type grid, solved as a conic program.

Nothing here knows virtual types: the variables are the allocation X_i on the grid and the utility gain g_i of every
edge type; R and A are Eq. (5) and the formula after it, integrated exactly over each cell. An allocation constant on
cells is feasible for the continuous problem, so the value found is a lower bound on the optimum. It misses O(1/K²), and
Richardson's extrapolation over K removes that.

Traders may have outside options and welfare weights, and revenue a target (beyond §1): g is linear on each cell and o
convex, so that g ≥ o at the edges is g ≥ o.
"""

from typing import NamedTuple

import clarabel
import numpy as np
import scipy.sparse as sp

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


class Trader(NamedTuple):
    law: object  # a frozen scipy.stats distribution of bounded support
    risk_capacity: float
    welfare_weight: float = 0.0  # β
    outside: tuple[float, float, float] = (0.0, 0.0, 0.0)  # γ, c, r of o(z) = r + γ(z − c)²/(2κ)


class Cells(NamedTuple):
    probability: np.ndarray  # of each cell
    moment: np.ndarray  # E[Z; cell]
    survival: np.ndarray  # ∫ (1 − F) over the cell
    edges: np.ndarray
    second_moment: float

    @property
    def width(self):
        return np.diff(self.edges)


class Answer(NamedTuple):
    objective: float  # αR + (1 − α)A + Σ β E g
    revenue: float
    efficiency: float


def cells_of(law, count, edges=None):
    """Exact integrals over `count` cells of equal width, or between the given edges, from the distribution function."""
    lower, upper = law.support()
    width = np.full(count, (upper - lower) / count) if edges is None else np.diff(edges)
    edges = np.linspace(lower, upper, count + 1) if edges is None else edges
    cdf = law.cdf(edges)
    nodes = edges[:-1, None] + 0.5 * width[:, None] * (_NODES + 1)
    integral = 0.5 * width * (law.cdf(nodes) @ _WEIGHTS)
    moment = np.diff(edges * cdf) - integral
    return Cells(np.diff(cdf), moment, width - integral, edges, law.moment(2))


class Allocations(NamedTuple):
    """How one trader's allocation is written as a vector, the same for all traders."""

    weight: np.ndarray  # E[X²] = Σ weight·x²
    interim: list  # for each trader the matrix taking x to E[X | cell of his endowment]
    centred: sp.csr_matrix  # centred·x = 0


def every_allocation(cells):
    """One number for each point of the joint grid."""
    weight = np.ones(1)
    for c in cells:
        weight = np.outer(weight, c.probability).ravel()

    def interim(trader):
        matrix = sp.identity(1)
        for i, c in enumerate(cells):
            part = sp.identity(len(c.probability)) if i == trader else sp.csr_matrix(c.probability)
            matrix = sp.kron(matrix, part, format="csr")
        return matrix

    return Allocations(weight, [interim(i) for i in range(len(cells))], sp.csr_matrix((0, len(weight))))


def additive_allocations(cells):
    """X = c + Σ_j φ_j(Z_j) with E φ_j = 0, written (c, φ_1, …, φ_N).

    Nothing is lost: R and A see X through its interim expectations and −E[X²]. Projecting any X on such sums keeps the
    former and clearing, and does not increase the latter.
    """
    weight = np.concatenate([[1.0], *(c.probability for c in cells)])
    starts = np.cumsum([1] + [len(c.probability) for c in cells])

    def interim(i):
        matrix = sp.lil_matrix((len(cells[i].probability), len(weight)))
        matrix[:, 0] = 1.0
        matrix[:, starts[i] : starts[i + 1]] = sp.identity(len(cells[i].probability))
        return matrix.tocsr()

    means = sp.block_diag([c.probability[None] for c in cells])
    centred = sp.hstack([sp.csr_matrix((len(cells), 1)), means], format="csr")
    return Allocations(weight, [interim(i) for i in range(len(cells))], centred)


def optimum(traders, alpha, count, allocations=additive_allocations, edges=None, target=0.0):
    """max αR + (1 − α)A + Σ β E g subject to (7)–(10) on a grid of `count` cells a trader; R ≥ target is (7).

    The cells of a trader are equal in width unless `edges` gives him others: laws that jump need edges where they do.
    Where the target is −∞ (7) is left out.

    Columns of the program: X_1 … X_N, then for each trader E[X_i | cell] and the utility gain at the cell edges.
    """
    grids = [None] * len(traders) if edges is None else edges
    cells = [cells_of(t.law, count, grid) for t, grid in zip(traders, grids, strict=True)]
    kappa = [t.risk_capacity for t in traders]
    written = allocations(cells)
    size = len(traders) * len(written.weight)
    square = np.concatenate([written.weight / k for k in kappa] + [np.zeros(len(kappa) * (2 * count + 1))])
    efficiency, rents = _linear_parts(cells, kappa, size)
    revenue, welfare = efficiency - sum(rents), sum(t.welfare_weight * g for t, g in zip(traders, rents, strict=True))
    equal, below, least = _constraints(cells, traders, written)
    cone, offset = _budget_cone(revenue, square, target)
    rows = sp.vstack([equal, below, cone], format="csc")
    right = np.concatenate([np.zeros(equal.shape[0]), least, offset])
    kinds = [
        clarabel.ZeroConeT(equal.shape[0]),
        clarabel.NonnegativeConeT(below.shape[0]),
        *([clarabel.SecondOrderConeT(len(offset))] if len(offset) else []),
    ]
    linear = alpha * revenue + (1 - alpha) * efficiency + welfare
    x = _solve(sp.diags(square, format="csc"), -linear, rows, right, kinds)
    cost = 0.5 * x @ (square * x)
    stay = -sum(c.second_moment / (2 * k) for c, k in zip(cells, kappa, strict=True))
    r, a = revenue @ x - cost, stay + efficiency @ x - cost
    return Answer(alpha * r + (1 - alpha) * a + welfare @ x, r, a)


def _linear_parts(cells, kappa, size):
    """e and, for each trader, d with A = −Σ E[Z²]/2κ + e·x − ½ x'Qx and E g = d·x; so R = (e − Σ d)·x − ½ x'Qx,
    Eq. (5)."""
    efficiency, rents = [np.zeros(size)], []
    for place, (c, k) in enumerate(zip(cells, kappa, strict=True)):
        efficiency.append(np.concatenate([-c.moment / k, np.zeros(len(c.edges))]))
        own = [np.zeros(len(c.moment) + len(c.edges)) for c in cells]
        own[place] = np.concatenate([-c.survival / k, np.eye(len(c.edges))[0]])
        rents.append(np.concatenate([np.zeros(size), *own]))
    return np.concatenate(efficiency), rents


def _constraints(cells, traders, written):
    """E of Ex = 0: interim expectations, Eq. (3), clearing (8); B and b of Bx ≤ b: participation (9), g ≥ o, and
    monotonicity (10)."""
    n, count, columns = len(cells), len(cells[0].probability), len(written.weight)
    step = sp.diags([-1.0, 1.0], [0, 1], shape=(count, count + 1))
    fall = sp.diags([-1.0, 1.0], [0, 1], shape=(count - 1, count))

    def rows(trader, allocation=None, interim=None, gain=None):
        """Rows that touch one trader's columns alone."""
        height = next(m.shape[0] for m in (allocation, interim, gain) if m is not None)
        empty = lambda width: sp.csr_matrix((height, width))  # noqa: E731
        head = [empty(columns)] * n
        tail = [empty(2 * count + 1)] * n
        head[trader] = empty(columns) if allocation is None else allocation
        own = [empty(count) if interim is None else interim, empty(count + 1) if gain is None else gain]
        tail[trader] = sp.hstack(own)
        return sp.hstack(head + tail, format="csr")

    equal, below, least = [], [], []
    for i, (c, trader) in enumerate(zip(cells, traders, strict=True)):
        k, (gamma, centre, reserve) = trader.risk_capacity, trader.outside
        outside = reserve + gamma * (c.edges - centre) ** 2 / (2 * k)
        equal.append(rows(i, allocation=written.interim[i], interim=-sp.identity(count)))
        equal.append(rows(i, allocation=written.centred))
        equal.append(rows(i, interim=sp.diags(c.width / k), gain=step))
        below.append(rows(i, gain=-sp.identity(count + 1)))
        below.append(rows(i, interim=fall))
        least += [-outside, np.zeros(count - 1)]
    equal.append(sum(rows(i, allocation=sp.identity(columns)) for i in range(n)))
    return sp.vstack(equal), sp.vstack(below), np.concatenate(least)


def _budget_cone(revenue, square, target):
    """Eq. (7) as x'Qx ≤ 2r·x − 2R_min =: t, that is (t + 1, t − 1, 2√Q x) in the second-order cone: G and h of h − Gx;
    nothing where R_min is −∞."""
    if target == -np.inf:
        return sp.csr_matrix((0, len(square))), np.zeros(0)
    used = np.flatnonzero(square)
    roots = sp.csr_matrix((-2 * np.sqrt(square[used]), (np.arange(len(used)), used)), shape=(len(used), len(square)))
    line = sp.csr_matrix(-2 * revenue)
    return sp.vstack([line, line, roots]), np.concatenate([[1 - 2 * target, -1 - 2 * target], np.zeros(len(used))])


def _solve(quadratic, linear, rows, right, kinds):
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-10
    solution = clarabel.DefaultSolver(quadratic, linear, rows, right, kinds, settings).solve()
    if str(solution.status) not in ("Solved", "AlmostSolved"):
        raise ArithmeticError(f"the discretised program ended as {solution.status}")
    return np.array(solution.x)


def extrapolated(coarse, fine):
    """Richardson's extrapolation of the answer on K cells and the answer on 2K cells, errors being O(1/K²)."""
    return Answer(*((4 * f - c) / 3 for c, f in zip(coarse, fine, strict=True)))
