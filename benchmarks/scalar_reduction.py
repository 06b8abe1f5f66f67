"""A peer: the system by scalar roots alone, with scipy's vectorised `elementwise.find_root`, all markets at once.

For a given M = Σ m_j each η_i is a monotone scalar root, and M − Σ m_i(η_i(M)) rises in M. So three levels of roots: M
over the markets, η over their traders, the ends a and b of the binding interval over both sides. What a careful user
would see is used: every bracket is known beforehand, and a and b are found to half the digits only, because they drop
out of dm/dη (the envelope theorem); η and M go to the end, and the ends do when η is known.

NumPy and `scipy.special.ndtr`, apart from jaxmech's own formulas. Arrays are (traders, markets).
"""

from typing import NamedTuple

import numpy as np
from paper_system import TOLERANCE
from scipy.optimize.elementwise import find_root
from scipy.special import ndtr

ROUGH = 1e-7  # of the width: what is left of it in m is its square


class Side(NamedTuple):
    """Truncated normals seen from their lower end."""

    loc: np.ndarray
    scale: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def reflected(self):
        return Side(-self.loc, self.scale, -self.upper, -self.lower)

    def tails(self, z):
        """F, f and ∫F at z."""
        at, lower, upper = ((x - self.loc) / self.scale for x in (z, self.lower, self.upper))
        mass, below = ndtr(upper) - ndtr(lower), ndtr(at) - ndtr(lower)
        integral = at * below + density(at) - density(lower)
        return below / mass, density(at) / (mass * self.scale), self.scale * integral / mass


def density(x):
    return np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


def end(side, eta, weight, tolerance):
    """a with a + w F(a)/f(a) = η: the end of the support where there is none."""

    def excess(z, eta, weight, *law):
        cdf, height, _ = Side(*law).tails(z)
        return z + weight * cdf / height - eta

    top = np.clip(eta, side.lower, side.upper)
    inside = (eta > side.lower) & (excess(top, eta, weight, *side) > 0)
    args = np.broadcast_arrays(eta, weight, *side)
    found = find_root(
        excess,
        (side.lower[inside], top[inside]),
        args=tuple(array[inside] for array in args),
        tolerances={"xatol": tolerance, "xrtol": 0.0},
    )
    result = np.where(eta <= side.lower, side.lower, side.upper)
    result[inside] = found.x
    return result


def expected(side, eta, weight, tolerance):
    """m = E V of V = clip(η, ψ⁺, ψ⁻), and a and b."""
    low, high = end(side, eta, weight, tolerance), -end(side.reflected(), -eta, weight, tolerance)
    cdf_low, _, integral_low = side.tails(low)
    cdf_high, _, integral_high = side.tails(high)
    above = side.tails(side.upper)[2] - integral_high
    left = low * cdf_low - (1 - weight) * integral_low
    right = side.upper - high * cdf_high - above - weight * (side.upper - high - above)
    return left + eta * (cdf_high - cdf_low) + right, low, high


def least_and_most(side, weight):
    """Bounds of m: E ψ⁺ and E ψ⁻."""
    mean, slack = side.upper - side.tails(side.upper)[2], 1e-9 * (side.upper - side.lower)  # for rounding
    return mean - weight * (mean - side.lower) - slack, mean + weight * (side.upper - mean) + slack


def neutral(total, side, capacity, others, weight):
    """η(M) of each trader: (K − κ) η + κ m(η) = κ M."""

    def excess(eta, total, capacity, others, weight, *law):
        return others * eta + capacity * (expected(Side(*law), eta, weight, ROUGH)[0] - total)

    least, most = least_and_most(side, weight)
    args = np.broadcast_arrays(total, capacity, others, weight, *side)
    brackets = capacity * (total - most) / others, capacity * (total - least) / others
    return find_root(excess, brackets, args=tuple(args), tolerances={"xatol": 0.1 * TOLERANCE, "xrtol": 0.0}).x


def solution(loc, scale, lower, upper, capacity, weight):
    """η, a and b of every market, (traders, markets) each."""
    side, weight = Side(loc, scale, lower, upper), np.broadcast_to(weight, loc.shape)
    others = np.sum(capacity, axis=0) - capacity

    def of_markets(where):
        return Side(*(field[:, where] for field in side)), capacity[:, where], others[:, where], weight[:, where]

    def excess(total, where):
        own, *rest = of_markets(where)
        eta = neutral(total, own, *rest)
        return total - np.sum(expected(own, eta, rest[-1], ROUGH)[0], axis=0)

    brackets = [np.sum(bound, axis=0) for bound in least_and_most(side, weight)]
    markets = np.arange(loc.shape[1])
    found = find_root(excess, tuple(brackets), args=(markets,), tolerances={"xatol": TOLERANCE, "xrtol": 0.0})
    eta = neutral(found.x, *of_markets(markets))
    return eta, *expected(side, eta, weight, 0.1 * TOLERANCE)[1:]
