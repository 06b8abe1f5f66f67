"""Direct mechanisms written out in numpy: what each type expects from each report, and Eq. (3)–(5) by quadrature.

A design is anything with `.market`, `.share` and functions of type. Types have shape (types, groups, ...) and increase
along the first axis; expectations over the others need V only, since X_i = −V_i + share_i Σ_j V_j.
"""

import jax.numpy as jnp
import numpy as np

_NODES, _WEIGHTS = (lambda x, w: ((x + 1) / 2, w / 2))(*np.polynomial.legendre.leggauss(8))


def types_along(design, points=41):
    """Types from end to end of every support, with those that gain least among them: V and X̄ are smooth between two."""
    law = design.market.endowment
    lower, upper = np.asarray(law.lower), np.asarray(law.upper)
    steps = np.linspace(0, 1, points).reshape((-1,) + (1,) * lower.ndim)
    return np.sort(np.concatenate([lower + steps * (upper - lower), least_gaining_types(design)]), axis=0)


def least_gaining_types(design):
    """The ends of the binding interval, or of the double auction the type that expects no trade: (2, groups, ...)."""
    law = design.market.endowment
    if hasattr(design, "neutral_type"):
        return np.stack([np.clip(design.neutral_type, law.lower, law.upper)] * 2)
    return np.stack([design.ends[0], -design.ends[1]])


def virtual_type(design, z):
    """V of an optimal mechanism, bZ/κ of the double auction."""
    return np.asarray(design.unloading * z if hasattr(design, "unloading") else design.virtual_type(jnp.asarray(z)))


def integral_between(function, types):
    """∫ of a function of type from each type to the next: one fewer along the first axis."""
    steps = np.diff(types, axis=0)
    nodes = _NODES.reshape((-1,) + (1,) * types.ndim)
    return np.tensordot(_WEIGHTS, np.asarray(function(jnp.asarray(types[:-1] + nodes * steps))), 1) * steps


def integral_up_to(function, types):
    """∫ of a function of type from the lowest type to each."""
    return np.concatenate([np.zeros_like(types[:1]), np.cumsum(integral_between(function, types), axis=0)])


def expectation(function, design, types):
    """E of a function of type, by group."""
    law = design.market.endowment
    return integral_between(lambda z: function(z) * law.pdf(z), types).sum(axis=0)


def absorbed_variance(design, types):
    """Variance of what each trader takes over from the others, share² Σ_{j≠i} Var V_j."""
    mean = expectation(lambda z: virtual_type(design, z), design, types)
    variance = expectation(lambda z: (virtual_type(design, z) - mean) ** 2, design, types)
    count = np.asarray(design.market.count)
    return np.asarray(design.share) ** 2 * ((count * variance).sum(axis=0) - variance)


def expected_utility(types, allocation, spread, transfer, risk_capacity):
    """U(z, report) = −E[(z + X(report))²]/(2κ) − T(report), E X² = X̄² + spread; shape (types, reports, groups, ...)."""
    held = (types[:, None] + allocation) ** 2 + spread
    return -held / (2 * risk_capacity) - transfer


def misreport_gain(utility):
    """The most that each type gains by another report than the truth, as part of the largest utility at stake."""
    truth = truthful(utility)
    return (utility.max(axis=1) - truth) / np.abs(utility).max(axis=(0, 1))


def truthful(utility):
    """U(z, z), shape (types, groups, ...)."""
    return np.moveaxis(np.diagonal(utility), -1, 0)


def transfer_of_4(types, allocation, spread, bought_below, risk_capacity):
    """Eq. (4), ∫_l^z X̄ given, with the largest payments that everybody accepts: the least gain (3) is 0."""
    gain_of_lowest = bought_below.max(axis=0) / risk_capacity
    return -(0.5 * (allocation**2 + spread) + types * allocation - bought_below) / risk_capacity - gain_of_lowest


def revenue_and_efficiency(market, types, virtual):
    """R, Eq. (5), and A of X = −V + (κ/K) ΣV with V linear between the given types, uniform laws; exact.

    Everybody pays the most that all types of his group accept. V must rise.
    """
    law, count, risk_capacity = market.endowment, np.asarray(market.count), np.asarray(market.risk_capacity)
    steps, upper = np.diff(types, axis=0), np.asarray(law.upper)

    def mean_product(one, other):
        """E of a product of two functions that are linear between the types, by Simpson."""
        ends = one[1:] * other[1:] + one[:-1] * other[:-1]
        middles = (one[1:] + one[:-1]) * (other[1:] + other[:-1])
        return np.sum(steps * (ends + middles), axis=0) / (6 * np.asarray(law.width))

    mean = mean_product(virtual, np.ones_like(virtual))
    variance = mean_product(virtual, virtual) - mean**2
    share = risk_capacity / (count * risk_capacity).sum(axis=0)
    bought = share * ((count * mean).sum(axis=0) - mean) - (1 - share) * virtual
    square = mean_product(bought, bought) + share**2 * ((count * variance).sum(axis=0) - variance)
    below = np.cumsum(0.5 * steps * (bought[1:] + bought[:-1]), axis=0)
    turns = (bought[:-1] > 0) & (bought[1:] < 0)
    peak = bought[1:] ** 2 * steps / (2 * np.where(turns, bought[:-1] - bought[1:], 1.0))  # ∫ X̄⁻ beyond the zero of X̄
    most = np.maximum(0.0, np.max(below + np.where(turns, peak, 0.0), axis=0))
    gain = (most - mean_product(bought, upper - types)) / risk_capacity
    cross = mean_product(types, bought)
    paid = -(cross + 0.5 * square) / risk_capacity - gain
    held = (mean_product(types, types) + 2 * cross + square) / (2 * risk_capacity)
    return (count * paid).sum(axis=0), -(count * held).sum(axis=0)
