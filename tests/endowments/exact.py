"""Closed forms of the endowment laws in many digits, and their derivatives by differences of those.

Every formula starts from the textbook moments of the law, none from the code under test.
"""

import mpmath as mp
import numpy as np

DIGITS = 60
_STEP = mp.mpf(10) ** -15
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(40)


def exact(law, z):
    """Every function of the law at z, by name, as mpmath numbers; z and the fields of the law are scalars."""
    with mp.workdps(DIGITS):
        return _FORMULAS[type(law).__name__](*_fields(law), mp.mpf(float(z)))


def exact_derivatives(law, z, names):
    """Value, gradient and Hessian of each named function in (fields..., z): (names,), (names, n), (names, n, n)."""
    formula = _FORMULAS[type(law).__name__]

    def function(point):
        values = formula(*point)
        return np.array([values[name] for name in names])

    with mp.workdps(DIGITS):
        return _differences(function, [*_fields(law), mp.mpf(float(z))])


def exact_squared_ratio_integral(law, z):
    """∫_l^z F²/f."""
    with mp.workdps(30):
        return float(_squared_ratio_integral(type(law).__name__, _fields(law), mp.mpf(float(z))))


def exact_squared_ratio_derivatives(law, z):
    """Value, gradient and Hessian of ∫_l^z F²/f in (fields..., z): differences of one fixed rule of quadrature."""
    name = type(law).__name__
    with mp.workdps(45):
        return _differences(
            lambda point: np.array([_squared_ratio_integral(name, point[:-1], point[-1])]), [*_fields(law), mp.mpf(z)]
        )


def _fields(law):
    return [mp.mpf(float(getattr(law, name))) for name in law.__dataclass_fields__]


def _uniform(lower, upper, z):
    width, x = upper - lower, (z - lower) / (upper - lower)
    moments = x, (z**2 - lower**2) / (2 * width), (z**3 - lower**3) / (3 * width)
    whole = (lower + upper) / 2, (lower**2 + lower * upper + upper**2) / 3
    return _named(z, 1 / width, 1 - x, moments, whole, mp.mpf(0))


def _truncated_normal(loc, scale, lower, upper, z):
    first, last, at = ((point - loc) / scale for point in (lower, upper, z))
    mass = _bell_area(first, last)

    def moments(top):
        zeroth = _bell_area(first, top) / mass
        first_moment = (_bell(first) - _bell(top)) / mass
        second = zeroth + (first * _bell(first) - top * _bell(top)) / mass
        mean = loc * zeroth + scale * first_moment
        return zeroth, mean, loc**2 * zeroth + 2 * loc * scale * first_moment + scale**2 * second

    density = _bell(at) / (mass * scale)
    return _named(z, density, _bell_area(at, last) / mass, moments(at), moments(last)[1:], -at / scale)


def _bell(t):
    return mp.exp(-t * t / 2)


def _bell_area(start, end):
    """∫ exp(−t²/2), from the tail that the interval lies in."""
    root = mp.sqrt(2)
    if start > 0:
        return mp.sqrt(mp.pi / 2) * (mp.erfc(start / root) - mp.erfc(end / root))
    return mp.sqrt(mp.pi / 2) * (mp.erfc(-end / root) - mp.erfc(-start / root))


def _beta(a, b, lower, upper, z):
    width, total = upper - lower, a + b
    x, y = (z - lower) / width, (upper - z) / width
    mean, square = a / total, a * (a + 1) / (total * (total + 1))
    zeroth, first, second = (
        part * mp.betainc(a + k, b, 0, x, regularized=True) for k, part in enumerate((1, mean, square))
    )
    moments = zeroth, lower * zeroth + width * first, _stretched_square(lower, width, zeroth, first, second)
    whole = lower + width * mean, _stretched_square(lower, width, 1, mean, square)
    density = x ** (a - 1) * y ** (b - 1) / (mp.beta(a, b) * width)
    score = (a - 1) / (z - lower) - (b - 1) / (upper - z)
    return _named(z, density, mp.betainc(b, a, 0, y, regularized=True), moments, whole, score)


def _stretched_square(lower, width, zeroth, first, second):
    return lower**2 * zeroth + 2 * lower * width * first + width**2 * second


def _named(z, density, survival, moments, whole, score):
    cdf, partial_mean, partial_second_moment = moments
    mean, second_moment = whole
    return {
        "log_pdf": mp.log(density),
        "pdf": density,
        "score": score,
        "cdf": cdf,
        "survival": survival,
        "cdf_ratio": cdf / density,
        "survival_ratio": survival / density,
        "cdf_integral": z * cdf - partial_mean,
        "survival_integral": mean - partial_mean - z * survival,
        "partial_mean": partial_mean,
        "partial_second_moment": partial_second_moment,
        "mean": mean,
        "variance": second_moment - mean**2,
    }


_FORMULAS = {"Uniform": _uniform, "TruncatedNormal": _truncated_normal, "Beta": _beta}


def _squared_ratio_integral(name, fields, z):
    """Forty Gauss nodes a panel; panels and nodes move smoothly with the fields, so differences are derivatives."""
    if name == "Uniform":
        lower, upper = fields
        return (z - lower) ** 3 / (3 * (upper - lower))
    return _beta_squared_ratio(*fields, z) if name == "Beta" else _normal_squared_ratio(*fields, z)


def _panels(start, end, count, integrand):
    width = (end - start) / count
    rule = [((1 + mp.mpf(v)) / 2, mp.mpf(w)) for v, w in zip(_NODES, _WEIGHTS, strict=True)]
    return mp.fsum(width / 2 * w * integrand(start + width * (k + v)) for k in range(count) for v, w in rule)


def _normal_squared_ratio(loc, scale, lower, upper, z):
    first, last, at = ((point - loc) / scale for point in (lower, upper, z))
    count = min(40, 1 + int(at - first + mp.mpf("0.37")))
    integral = _panels(first, at, count, lambda t: _bell_area(first, t) ** 2 / _bell(t))
    return scale**2 * integral / _bell_area(first, last)


def _beta_squared_ratio(a, b, lower, upper, z):
    """In u = log x/(1 − x), from where the integrand is 1e-20 of its largest."""
    width = upper - lower
    x, y = (z - lower) / width, (upper - z) / width
    end = mp.log(x / y)
    negligible = min(x, a / (a + b)) * mp.exp(-46 / (a + 2))
    start = mp.log(negligible / (1 - negligible))
    beta = mp.beta(a, b)

    def integrand(u):
        t, rest = 1 / (1 + mp.exp(-u)), 1 / (1 + mp.exp(u))
        tail = _incomplete_beta(a, b, t, rest, beta)
        return tail**2 * beta * t ** (2 - a) * rest ** (2 - b)

    return width**2 * _panels(start, end, 2, integrand)


def _incomplete_beta(a, b, x, y, beta):
    """I_x(a, b) = x^a y^b/(a B) Σ (a + b)_n/(a + 1)_n x^n, all of one sign; from the nearer end."""
    if x > mp.mpf("0.6"):
        return 1 - _incomplete_beta(b, a, y, x, beta)
    term = total = mp.mpf(1)
    n = 0
    while term > mp.eps * total:
        term = term * (a + b + n) / (a + 1 + n) * x
        total += term
        n += 1
    return x**a * y**b / (a * beta) * total


def _differences(function, point):
    size = len(point)

    def moved(*steps):
        shifted = list(point)
        for index, sign in steps:
            shifted[index] += sign * _STEP
        return function(shifted)

    base = moved()
    up, down = ([moved((k, sign)) for k in range(size)] for sign in (1, -1))
    gradient = np.stack([(u - d) / (2 * _STEP) for u, d in zip(up, down, strict=True)], axis=-1)
    hessian = np.empty((len(base), size, size), object)
    for i in range(size):
        hessian[:, i, i] = (up[i] + down[i] - 2 * base) / _STEP**2
        for j in range(i):
            corners = moved((i, 1), (j, 1)) + moved((i, -1), (j, -1))
            mixed = corners - up[i] - down[i] - up[j] - down[j] + 2 * base
            hessian[:, i, j] = hessian[:, j, i] = mixed / (2 * _STEP**2)
    return base.astype(float), gradient.astype(float), hessian.astype(float)
