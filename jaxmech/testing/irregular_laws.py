"""Endowment laws for which F/f need not rise: what a test needs of a frozen scipy distribution, and the breaks.

Every law offers cdf(z), support(), moment(order) and breaks: the increasing places, ends included, between which its
distribution function is smooth.
"""

from typing import NamedTuple

import numpy as np


class Mixture(NamedTuple):
    """Σ share·law of frozen scipy distributions of bounded support. Supports may differ and leave gaps."""

    shares: tuple
    laws: tuple

    def cdf(self, z):
        return sum(share * law.cdf(z) for share, law in zip(self.shares, self.laws, strict=True))

    def moment(self, order):
        return sum(share * law.moment(order) for share, law in zip(self.shares, self.laws, strict=True))

    def support(self):
        return self.breaks[0], self.breaks[-1]

    @property
    def breaks(self):
        ends = np.unique([end for law in self.laws for end in law.support()])
        # Supports given by location and scale differ by rounding where they should agree.
        return ends[np.append(True, np.diff(ends) > 1e-12 * np.ptp(ends))]


class Histogram(NamedTuple):
    """Mass spread evenly over each bin; masses sum to 1, and bins inside the support may be empty."""

    edges: tuple
    masses: tuple

    def cdf(self, z):
        return np.interp(z, self.edges, np.append(0.0, np.cumsum(self.masses)) / np.sum(self.masses))

    def moment(self, order):
        powers = np.diff(np.power(self.edges, order + 1)) / ((order + 1) * np.diff(self.edges))
        return powers @ np.asarray(self.masses) / np.sum(self.masses)

    def support(self):
        return self.edges[0], self.edges[-1]

    @property
    def breaks(self):
        return np.asarray(self.edges)


class PiecewiseLinear(NamedTuple):
    """Density linear between the points, in proportion to the heights; a height inside the support may be 0."""

    points: tuple
    heights: tuple

    def _masses(self):
        return 0.5 * np.diff(self.points) * (np.asarray(self.heights)[1:] + np.asarray(self.heights)[:-1])

    def cdf(self, z):
        points, heights, masses = np.asarray(self.points), np.asarray(self.heights), self._masses()
        z = np.clip(z, points[0], points[-1])
        piece = np.clip(np.searchsorted(points, z, side="right") - 1, 0, len(masses) - 1)
        step = z - points[piece]
        slope = (np.diff(heights) / np.diff(points))[piece]
        below = np.append(0.0, np.cumsum(masses))[piece] + step * (heights[piece] + 0.5 * slope * step)
        return below / masses.sum()

    def moment(self, order):
        """Exact: Gauss–Legendre of enough nodes on every piece."""
        nodes, weights = np.polynomial.legendre.leggauss(order // 2 + 2)
        points, width = np.asarray(self.points)[:-1, None], np.diff(self.points)[:, None]
        z = points + 0.5 * width * (nodes + 1)
        return np.sum(0.5 * width * weights * z**order * np.interp(z, self.points, self.heights)) / self._masses().sum()

    def support(self):
        return self.points[0], self.points[-1]

    @property
    def breaks(self):
        return np.asarray(self.points)
