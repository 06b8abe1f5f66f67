"""Solve the reference markets again with mpmath at 25 digits, sharing no formula's code with jaxmech.

    python tests/reference/make_cases.py [name ...]

reads names, traders and α from cases.json beside this file and writes every solved number back with 17 significant
digits. With the distribution function F, density f and partial moments P_k(z) = E[Z^k; Z < z] in closed form,

    E[V; Z < a] = P_1 + w G,  E[ZV; Z < a] = P_2 + w Y,  E[V²; Z < a] = P_2 + 2w Y + w² Q,
    G = aF − P_1,  Y = ∫ zF = (a²F − P_2)/2,  Q = ∫ F²/f (the only quadrature: tanh-sinh, which stands power-law ends),

and the mirror image −Z supplies the types above b.
"""

import json
import sys
import time
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 25
CASES = Path(__file__).with_name("cases.json")


class Uniform:
    def __init__(self, lower, upper):
        self.lower, self.upper, self.width = lower, upper, upper - lower

    def mirror(self):
        return Uniform(-self.upper, -self.lower)

    def cdf(self, z):
        return (z - self.lower) / self.width

    def ratio(self, z):
        return z - self.lower

    def partial_moment(self, k, z):
        return (z ** (k + 1) - self.lower ** (k + 1)) / ((k + 1) * self.width)


class TruncatedNormal:
    def __init__(self, lower, upper, loc, scale):
        self.lower, self.upper, self.loc, self.scale = lower, upper, loc, scale
        self.mass = mp.ncdf((upper - loc) / scale) - mp.ncdf((lower - loc) / scale)

    def mirror(self):
        return TruncatedNormal(-self.upper, -self.lower, -self.loc, self.scale)

    def pdf(self, z):
        return mp.npdf(z, self.loc, self.scale) / self.mass

    def cdf(self, z):
        return (mp.ncdf((z - self.loc) / self.scale) - mp.ncdf((self.lower - self.loc) / self.scale)) / self.mass

    def ratio(self, z):
        return self.cdf(z) / self.pdf(z)

    def partial_moment(self, k, z):
        first = self.loc * self.cdf(z) - self.scale**2 * (self.pdf(z) - self.pdf(self.lower))
        if k == 1:
            return first
        boundary = z * self.pdf(z) - self.lower * self.pdf(self.lower)
        return self.scale**2 * self.cdf(z) + self.loc * first - self.scale**2 * boundary


class Beta:
    def __init__(self, lower, upper, a, b):
        self.lower, self.upper, self.width, self.a, self.b = lower, upper, upper - lower, a, b

    def mirror(self):
        return Beta(-self.upper, -self.lower, self.b, self.a)

    def _incomplete(self, z, k=0):
        return mp.betainc(self.a + k, self.b, 0, (z - self.lower) / self.width, regularized=True)

    def cdf(self, z):
        return self._incomplete(z)

    def ratio(self, z):
        x = (z - self.lower) / self.width
        return self.width * x * (1 - x) / self.a * mp.hyp2f1(self.a + self.b, 1, self.a + 1, x)

    def partial_moment(self, k, z):
        mean = self.a / (self.a + self.b)
        parts = [self._incomplete(z), mean * self._incomplete(z, 1)]
        if k == 2:
            parts.append(mean * (self.a + 1) / (self.a + self.b + 1) * self._incomplete(z, 2))
        scales = [self.lower**k, k * self.lower ** (k - 1) * self.width, self.width**2]
        return mp.fsum(scale * part for scale, part in zip(scales, parts, strict=False))


FAMILIES = {"uniform": Uniform, "truncated_normal": TruncatedNormal, "beta": Beta}


def lower_end(law, eta, w):
    """a with a + w F/f = η, or the end of the support beyond which it would lie."""
    if eta <= law.lower:
        return law.lower
    if w == 0:
        return min(eta, law.upper)
    open_end = isinstance(law, Beta) and law.b > 1  # F/f → ∞ at the upper end
    if not open_end and eta >= law.upper + w * law.ratio(law.upper):
        return law.upper

    def excess(a):
        return mp.log(w * law.ratio(a)) - mp.log(eta - a)

    margin = mpf(10) ** -22 * (law.upper - law.lower)
    top = min(eta, law.upper)
    return mp.findroot(excess, (law.lower + margin, top - margin), solver="anderson", tol=mpf(10) ** -40, maxsteps=200)


def moments(law, a, w):
    """F(a) and E[V; Z<a]."""
    cdf, first = law.cdf(a), law.partial_moment(1, a)
    return cdf, first + w * (a * cdf - first)


def expected_virtual_type(law, eta, w):
    """m(η), p, a, b."""
    a, b = lower_end(law, eta, w), -lower_end(law.mirror(), -eta, w)
    below, low = moments(law, a, w)
    above, high = moments(law.mirror(), -b, w)
    return low + eta * (1 - below - above) - high, 1 - below - above, a, b


def solve_eta(laws, kappas, w):
    """Newton in the one number M: every η_i solves η_i (K − κ_i) + κ_i m_i(η_i) = κ_i M by an inner Newton."""
    capacity = mp.fsum(kappas)
    etas = [mpf(0)] * len(laws)
    target = mpf(0)
    for _ in range(100):
        means, slopes = [], []
        for i, (law, kappa) in enumerate(zip(laws, kappas, strict=True)):
            for _ in range(60):
                mean, p, *_ = expected_virtual_type(law, etas[i], w)
                move = (kappa * (target - mean) - etas[i] * (capacity - kappa)) / (capacity - kappa + kappa * p)
                etas[i] += move
                if abs(move) < mpf(10) ** -21 * (1 + abs(etas[i])):
                    break
            means.append(mean)
            slopes.append(p * kappa / (capacity - kappa + kappa * p))
        step = (mp.fsum(means) - target) / (1 - mp.fsum(slopes))
        target += step
        if abs(step) < mpf(10) ** -19:
            return etas
    raise ArithmeticError("no convergence in M")


def side(law, a, w):
    """E[V²; Z<a], E[ZV; Z<a] and ∫F V up to a."""
    square = law.partial_moment(2, a)
    lever = (a * a * law.cdf(a) - square) / 2
    rents = mp.quad(lambda z: law.cdf(z) * law.ratio(z), [law.lower, a]) if w > 0 and a > law.lower else mpf(0)
    return square + 2 * w * lever + w * w * rents, square + w * lever, lever + w * rents


def _law(family, *numbers):
    return FAMILIES[family](*map(mpf, numbers))


def outcomes(laws, kappas, w):
    """R, A, η, intervals at weight w."""
    etas = solve_eta(laws, kappas, w)
    capacity = mp.fsum(kappas)
    rows, intervals = [], []
    for law, eta in zip(laws, etas, strict=True):
        mirror = law.mirror()
        mean, _, a, b = expected_virtual_type(law, eta, w)
        intervals.append((a, b))
        (low_square, low_cross, low_rent), (high_square, high_cross, high_rent) = side(law, a, w), side(mirror, -b, w)
        below, above = law.cdf(a), mirror.cdf(-b)
        first, high_first = law.partial_moment(1, a), mirror.partial_moment(1, -b)
        whole, whole_square = law.partial_moment(1, law.upper), law.partial_moment(2, law.upper)
        square = low_square + eta**2 * (1 - below - above) + high_square
        cross = low_cross + eta * (whole - first + high_first) + high_cross
        gap = eta * (a * below - first) - low_rent - eta * (-b * above - high_first) - high_rent
        rows.append((eta, mean, square - mean**2, eta * whole - cross, gap, whole_square))
    total_variance = mp.fsum(row[2] for row in rows)
    revenue = efficiency = mpf(0)
    for kappa, (eta, mean, variance, cross, gap, whole_square) in zip(kappas, rows, strict=True):
        s = kappa / capacity
        bought = (1 - s) ** 2 * (variance + (eta - mean) ** 2) + s**2 * (total_variance - variance)
        revenue -= ((1 - s) * (cross + gap) + bought / 2) / kappa
        efficiency -= (whole_square + 2 * (1 - s) * cross + bought) / (2 * kappa)
    return revenue, efficiency, etas, intervals


def budget_weight(laws, kappas):
    """Root of R, by secants in w."""
    at_zero = outcomes(laws, kappas, mpf(0))[0]
    if at_zero > -(mpf(10) ** -18):
        return mpf(0)
    low, value, high = mpf(0), at_zero, mpf("0.02")
    for _ in range(40):
        new_value = outcomes(laws, kappas, high)[0]
        low, value, high = high, new_value, max(high - new_value * (high - low) / (new_value - value), high / 4)
        if abs(high - low) < mpf(10) ** -18:
            return high
    raise ArithmeticError("no convergence in w*")


def solved(case):
    keys = {
        "uniform": ("lower", "upper"),
        "truncated_normal": ("lower", "upper", "loc", "scale"),
        "beta": ("lower", "upper", "a", "b"),
    }
    traders = case["traders"]
    laws = [_law(t["family"], *(str(t[k]) for k in keys[t["family"]])) for t in traders]
    kappas = [mpf(str(t["risk_capacity"])) for t in traders]
    least = budget_weight(laws, kappas)
    weight = max(mpf(str(case["alpha"])), least)
    revenue, efficiency, etas, intervals = outcomes(laws, kappas, weight)
    digits = lambda x: float(mp.nstr(x, 17))  # noqa: E731
    return {
        "name": case["name"],
        "alpha": case["alpha"],
        "traders": traders,
        "budget_weight": digits(least),
        "weight": digits(weight),
        "revenue": digits(mp.chop(revenue, 1e-17)),
        "efficiency": digits(efficiency),
        "eta": [digits(mp.chop(eta, 1e-18)) for eta in etas],
        "intervals": [[digits(mp.chop(a, 1e-18)), digits(mp.chop(b, 1e-18))] for a, b in intervals],
    }


def main(names):
    cases = json.loads(CASES.read_text())
    for place, case in enumerate(cases):
        if names and case["name"] not in names:
            continue
        start = time.perf_counter()
        cases[place] = solved(case)
        CASES.write_text(json.dumps(cases, indent=1) + "\n")
        print(
            f"{case['name']}: w* = {cases[place]['budget_weight']:.12f}, {time.perf_counter() - start:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
