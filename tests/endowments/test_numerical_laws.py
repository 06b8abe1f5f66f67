"""What holds for every law that computes by panels; laws.py lists them.

To compile once, the panels of all laws are padded with panels of no width and placed side by side as one law of many
groups; each test looks at the groups of its law.
"""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.arrays import pytree
from jaxmech.endowments import (
    Kumaraswamy,
    Panels,
    Triangular,
    TruncatedExponential,
    TruncatedLaplace,
    TruncatedLogistic,
    TruncatedStudent,
)

from . import accuracy
from .laws import GIVEN, LOG_CONCAVE, column, market_law, witness

FRACTIONS = np.array([1e-6, 1e-3, 0.031, 0.137, 0.313, 0.5017, 0.77, 0.951, 0.999, 1 - 1e-6])
MIDDLING = slice(2, 8)
PROBABILITIES = np.array([1e-9, 1e-3, 0.0713, 0.2913, 0.4871, 0.6613, 0.8837, 0.9991])[:, None]
NODES = 16
NEAR = 1e-5  # of the width: finite differences in z
every_law = pytest.mark.parametrize("name", GIVEN)


@jax.jit
def resolved(law, z):
    panels = law.panels()
    return panels, law.log_pdf(z), panels.resolution_error


quantile = jax.jit(lambda law, probability: law.quantile(probability))
moments = jax.jit(lambda law: (law.mean, law.variance))


@jax.jit
def functions(law, z):
    tail = law.left_tail(z)._asdict()
    return tail | {
        "log_pdf": law.log_pdf(z),
        "score": law.score(z),
        "square": law.squared_ratio_integral(z),
        "ratio_integral": law.ratio_integral(z),
    }


def at_fractions(name):
    return np.asarray(accuracy.at_fractions(market_law(name), FRACTIONS))


@cache
def resolved_law(name):
    panels, density, error = resolved(market_law(name), at_fractions(name))
    return panels, np.asarray(density), np.asarray(error)


def padded(panels, count):
    """The same law, or tangent of a law, with so many panels: those added have no width."""
    missing, groups = count - panels.values.shape[0], panels.cuts.shape[1:]
    # A law of fewer nodes is constant on each panel.
    values = panels.values if panels.values.shape[1] == NODES else jnp.repeat(panels.values[:, :1], NODES, axis=1)
    cuts = jnp.concatenate([panels.cuts, jnp.broadcast_to(panels.cuts[-1], (missing, *groups))])
    return Panels(cuts, jnp.concatenate([values, jnp.broadcast_to(values[-1:, -1:], (missing, NODES, *groups))]))


def joined(parts):
    """One law of the groups of all."""
    count = max(resolved_law(name)[0].values.shape[0] for name in GIVEN)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=-1), *(padded(part, count) for part in parts))


class Together(NamedTuple):
    """All laws side by side: their functions from the left and from the right, at the places of `rows`."""

    law: Panels
    columns: dict
    rows: dict
    z: np.ndarray
    left: dict
    right: dict
    mean: np.ndarray
    variance: np.ndarray
    integrals: dict  # by quadrature, at the points of `rows["points"]`


@cache
def together():
    law = joined([resolved_law(name)[0] for name in GIVEN])
    ends = np.cumsum([market_law(name).lower.shape[0] for name in GIVEN])
    columns = {name: slice(a, b) for name, a, b in zip(GIVEN, [0, *ends], ends, strict=False)}
    points = np.asarray(accuracy.at_fractions(law, FRACTIONS))
    nodes, weights, places = quadrature(np.asarray(law.cuts), points)
    step = NEAR * np.asarray(law.width)
    parts = {
        "points": points,
        "above": points[MIDDLING] + step,
        "below": points[MIDDLING] - step,
        "quantile": np.asarray(quantile(law, PROBABILITIES)),
        "nodes": nodes.reshape(-1, nodes.shape[-1]),
    }
    stops = np.cumsum([len(part) for part in parts.values()])
    rows = {key: slice(a, b) for key, a, b in zip(parts, [0, *stops], stops, strict=False)}
    z = np.concatenate(list(parts.values()))
    left, right = functions(law, z), functions(law.reflected(), -z)
    left, right = ({key: np.asarray(one) for key, one in side.items()} for side in (left, right))

    def integral(of):
        pieces = np.sum(weights * of.reshape(nodes.shape), axis=1)
        return np.take_along_axis(np.concatenate([0 * pieces[:1], np.cumsum(pieces, axis=0)]), places, axis=0)

    inside = {key: one[rows["nodes"]] for key, one in left.items()}
    density, at = np.exp(inside["log_pdf"]), z[rows["nodes"]]
    integrals = {
        "cdf": integral(density),
        "integral": integral(inside["cdf"]),
        "second_integral": integral(inside["integral"]),
        "ratio_integral": integral(inside["ratio"]),
        "square": integral(inside["cdf"] * inside["ratio"]),
        "partial_mean": integral(at * density),
        "partial_second_moment": integral(at**2 * density),
    }
    mean, variance = (np.asarray(one) for one in moments(law))
    return Together(law, columns, rows, z, left, right, mean, variance, integrals)


def quadrature(cuts, points):
    """Nodes and weights between all cuts and points, (cells, nodes, groups), and which break each point is."""
    breaks = np.concatenate([cuts, points])
    order = np.argsort(breaks, axis=0, kind="stable")
    places = np.argsort(order, axis=0, kind="stable")[-len(points) :]
    breaks = np.take_along_axis(breaks, order, axis=0)
    nodes, weights = (one[:, None] for one in np.polynomial.legendre.leggauss(13))
    half = 0.5 * np.diff(breaks, axis=0)[:, None]
    return breaks[:-1, None] + half * (1 + nodes), half * weights, places


def seen(name, rows="points", side="left"):
    """The functions of a law, by name, at some of the places: shapes (places, groups)."""
    every = together()
    return {key: one[every.rows[rows], every.columns[name]] for key, one in getattr(every, side).items()}


def places(name, rows="points"):
    every = together()
    return every.z[every.rows[rows], every.columns[name]]


def close(found, expected, rtol, atol=0.0):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@pytest.mark.slow
@every_law
def test_density_and_cdf_are_those_of_scipy(name):
    law, found, z = market_law(name), seen(name), places(name)
    for group in range(law.lower.shape[0]):
        exact = witness(column(law, group))
        density = exact.pdf(z[:, group])
        largest = np.max(resolved_law(name)[0].values[..., group])
        close(np.exp(found["log_pdf"][:, group]), density, 1e-7, 1e-10 * largest)
        close(found["cdf"][:, group], exact.cdf(z[:, group]), 1e-8, 1e-10)


@every_law
def test_log_pdf_is_that_of_the_panels(name):
    panels, exact, _ = resolved_law(name)
    close(np.exp(seen(name)["log_pdf"]), np.exp(exact), 1e-7, 1e-10 * np.max(panels.values))


@every_law
def test_polynomials_miss_less_than_one_in_a_billion(name):
    assert np.max(resolved_law(name)[2]) < 1e-9


@every_law
def test_quantile_undoes_the_cdf(name):
    found = seen(name, "quantile")["cdf"]
    close(found, PROBABILITIES + 0 * found, 1e-9, 1e-13)


@every_law
def test_quantile_undoes_the_survival(name):
    found = seen(name, "quantile", "right")["cdf"]
    close(found, 1 - PROBABILITIES + 0 * found, 1e-9, 1e-13)


def test_quantile_of_zero_and_one_are_the_ends():
    law = together().law
    probability = np.resize([0.0, 1.0], PROBABILITIES.shape)
    np.testing.assert_array_equal(quantile(law, probability)[:2], [law.lower, law.upper])


@every_law
def test_ratios_are_the_cdf_and_the_survival_over_the_density(name):
    for side in ("left", "right"):
        found = seen(name, side=side)
        close(found["ratio"], found["cdf"] / np.exp(found["log_pdf"]), 1e-12)


@every_law
def test_cdf_and_survival_add_to_one(name):
    close(seen(name)["cdf"] + seen(name, side="right")["cdf"], 1, 1e-13)


@every_law
def test_the_density_is_the_slope_of_the_cdf_and_the_score_that_of_its_logarithm(name):
    width, at = np.asarray(market_law(name).width), {key: one[MIDDLING] for key, one in seen(name).items()}
    above, below = seen(name, "above"), seen(name, "below")
    slopes = {key: (above[key] - below[key]) / (2 * NEAR * width) for key in above}
    density = np.exp(at["log_pdf"])
    close(slopes["cdf"], density, 1e-5, 1e-9 / np.min(width))
    close(slopes["log_pdf"], at["score"], 1e-4, 1e-4 / np.min(width))
    close(at["ratio_slope"], 1 - at["ratio"] * at["score"], 1e-10, 1e-10)


@every_law
@pytest.mark.parametrize("key", ["cdf", "integral", "second_integral"])
def test_integrals_are_those_of_quadrature(name, key):
    found, exact = seen(name)[key], together().integrals[key][:, together().columns[name]]
    close(found, exact, 1e-9, 1e-12 * np.max(exact))


@every_law
@pytest.mark.parametrize("key", ["square", "ratio_integral"])
def test_integrals_of_ratios_are_those_of_quadrature(name, key):
    """Where F/f is no more than 100 widths: beyond, the density is nothing."""
    tail, exact = seen(name), together().integrals[key][:, together().columns[name]]
    kept = tail["ratio"] < 100 * np.asarray(market_law(name).width)
    close(np.where(kept, tail[key], 0), np.where(kept, exact, 0), 1e-8, 1e-11)


@every_law
def test_density_integrates_to_one(name):
    _, weights, _ = quadrature(np.asarray(together().law.cuts)[:, together().columns[name]], places(name))
    close(np.sum(weights * np.exp(seen(name, "nodes")["log_pdf"]).reshape(weights.shape), axis=(0, 1)), 1, 1e-12)


@every_law
def test_moments_are_those_of_quadrature(name):
    every, group = together(), together().columns[name]
    law, tail = market_law(name), seen(name)
    reach = np.maximum(abs(np.asarray(law.lower)), abs(np.asarray(law.upper)))
    z, exact = places(name), {key: one[:, group] for key, one in every.integrals.items()}
    close((z * tail["cdf"] - tail["integral"]) / reach, exact["partial_mean"] / reach, 1e-9, 1e-12)
    second = z**2 * tail["cdf"] - 2 * z * tail["integral"] + 2 * tail["second_integral"]
    close(second / reach**2, exact["partial_second_moment"] / reach**2, 1e-9, 1e-12)
    nodes, weights, _ = quadrature(np.asarray(every.law.cuts)[:, group], z)
    density = np.exp(seen(name, "nodes")["log_pdf"]).reshape(nodes.shape)
    mean = np.sum(weights * nodes * density, axis=(0, 1))
    close(every.mean[group] / reach, mean / reach, 1e-12, 1e-13)
    close(every.variance[group], np.sum(weights * (nodes - mean) ** 2 * density, axis=(0, 1)), 1e-9)


@every_law
def test_the_mirror_image_has_the_same_density_and_the_opposite_score(name):
    left, right = seen(name), seen(name, side="right")
    close(right["log_pdf"][MIDDLING], left["log_pdf"][MIDDLING], 1e-9, 1e-9)
    scale = 1e-7 * (1 + np.max(abs(left["score"])))
    close(right["score"][MIDDLING], -left["score"][MIDDLING], 1e-6, scale)


@every_law
def test_integrals_from_both_ends_differ_by_the_distance_to_the_mean(name):
    """∫_l^z F − ∫_z^h (1 − F) = z − E Z."""
    reach = np.max(abs(np.asarray([market_law(name).lower, market_law(name).upper])))
    difference = seen(name)["integral"] - seen(name, side="right")["integral"]
    close(difference, places(name) - together().mean[together().columns[name]], 0, 1e-12 * reach)


@pytest.mark.slow
@every_law
def test_a_batch_of_the_law_and_the_law_stretched_by_three_are_each_alone(name):
    """Fields (groups, 2): batch axes follow the groups."""
    law, (panels, density, _), z = market_law(name), resolved_law(name), at_fractions(name)
    both = jax.tree.map(lambda *pair: jnp.stack(pair, axis=-1), law, law.stretched(3.0))
    found, log_density, _ = resolved(both, np.stack([z, 3 * z], axis=-1))
    size = np.max(panels.values, axis=(0, 1))
    close(found.cuts, np.stack([panels.cuts, 3 * panels.cuts], axis=-1), 1e-12, 1e-13)
    close(found.values / size[:, None], np.stack([panels.values, panels.values / 3], -1) / size[:, None], 1e-9, 1e-10)
    close(log_density, np.stack([density, density - np.log(3)], axis=-1), 1e-9, 1e-9)


@cache
def draws():
    law = together().law
    return np.asarray(jax.jit(lambda law: law.sample(jax.random.key(0), (500,)))(law))


@pytest.mark.slow
@every_law
def test_draws_lie_in_the_support_and_have_its_mean_and_variance(name):
    """Within five standard errors; a bounded variable's squared deviation varies by at most width² · variance."""
    group, law = together().columns[name], market_law(name)
    found, mean, variance = draws()[:, group], together().mean[group], together().variance[group]
    assert np.all((found >= law.lower) & (found <= law.upper))
    assert np.all(abs(found.mean(0) - mean) <= 5 * np.sqrt(variance / 500))
    assert np.all(abs(found.var(0) - variance) <= 5 * law.width * np.sqrt(variance / 500))


@pytest.mark.parametrize("name", LOG_CONCAVE)
def test_ratios_of_log_concave_laws_are_monotone(name):
    """Condition 2, where there is a density worth the name, but for the millionth of the support at each end."""
    law, z = market_law(name), places(name, "nodes")
    inside = (z > law.lower + 1e-6 * law.width) & (z < law.upper - 1e-6 * law.width)
    for side, sign in (("left", 1), ("right", -1)):
        ratio, density = (seen(name, "nodes", side)[key] for key in ("ratio", "log_pdf"))
        kept = inside & (density > np.max(density, axis=0) - 15)
        assert np.all((sign * np.diff(ratio, axis=0) >= -1e-6 * ratio[1:])[kept[1:] & kept[:-1]])


@every_law
def test_the_entries_of_a_law_give_it_back(name):
    law = market_law(name)
    assert jax.tree.all(jax.tree.map(np.array_equal, law.with_entries(law.entries()), law))


@pytest.mark.slow
def test_jumps_are_found_at_the_edges_of_a_histogram_and_nowhere_else():
    law = market_law("histogram")
    found, jumps = law.sides().one(0).jump_at(jnp.concatenate([law.edges, law.edges + 0.01]))
    assert jumps[:, 0].tolist() == [False, True, True, True, True] + [False] * 7
    np.testing.assert_array_equal(found[:6], law.edges)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["histogram", "line that starts and ends at zero"])
def test_the_face_of_a_law_is_that_of_its_panels(name):
    found = {key: np.asarray(one) for key, one in accuracy.all_values(market_law(name), at_fractions(name)).items()}
    left, right = seen(name), seen(name, side="right")
    for key, one in (("cdf", "cdf"), ("cdf_ratio", "ratio"), ("cdf_integral", "integral")):
        close(found[key], left[one], 1e-10, 1e-14)
        close(found[key.replace("cdf", "survival")], right[one], 1e-10, 1e-14)
    close(found["log_pdf"], np.log(found["pdf"]), 1e-12, 1e-14)
    close(found["score"], left["score"], 1e-9, 1e-9)


@pytest.mark.slow
@every_law
def test_single_precision_keeps_four_digits(name):
    law, z, double = market_law(name), at_fractions(name), resolved_law(name)[0]
    with jax.enable_x64(False):
        single = jax.tree.map(lambda field: jnp.asarray(np.asarray(field), jnp.float32), law)
        panels, _, _ = resolved(single, jnp.asarray(z, jnp.float32))
    assert panels.values.dtype == jnp.float32
    half, weights = 0.5 * np.diff(double.cuts, axis=0)[:, None], double.column(double.rule.weights)
    assert np.max(np.sum(half * weights * abs(panels.values - np.asarray(double.values)), axis=(0, 1))) < 1e-4


Z_SHARES, Q_SHARES = np.array([0.137, 0.5017, 0.77])[:, None], np.array([0.1313, 0.4871, 0.8837])[:, None]
POSITIONS = {"loc", "lower", "upper", "mode", "edges", "knots", "kinks"}
STEP = 1e-6
# Entries without a derivative: where a mode lies at an end, and where supports touch or share an end.
ONE_SIDED = {
    "triangular": {("mode", 1), ("mode", 2), ("lower", 1), ("upper", 2)},
    "mixture of touching supports": {
        (f"laws_{law}_{end}", k) for law, end in ((0, "upper"), (1, "lower")) for k in (0, 1)
    },
}


@jax.jit
def differentiated(law, z, probability, width):
    """Functions of a law in units of a width, one row a place."""
    each = jnp.stack([law.cdf(z), law.quantile(probability) / width, law.squared_ratio_integral(z) / width**2])
    return jnp.concatenate([each.reshape(-1, z.shape[-1]), jnp.stack([law.mean / width, law.variance / width**2])])


slopes_of = jax.jit(lambda law, law_dot, *rest: jax.jvp(lambda one: differentiated(one, *rest), (law,), (law_dot,))[1])
panels_slope = jax.jit(lambda law, law_dot: jax.jvp(lambda one: one.panels(), (law,), (law_dot,))[1])


@cache
def entries(name):
    return list(market_law(name).entries())


def unit_step(name, place):
    """The law's tangent: one of its numbers moves by its size, or a position by the width; the others stay."""
    law = market_law(name)
    chosen, width = entries(name)[place], np.asarray(law.width)

    def move(entry, value, listed):
        def row(key, number):
            number = np.asarray(number)
            size = width if key.rsplit("_", 1)[-1 - listed] in POSITIONS else np.where(number == 0, 1, abs(number))
            fixed = np.array([(key, group) in ONE_SIDED.get(name, ()) for group in range(len(number))])
            fixed |= ("heights" in key) & (number == 0)
            return jnp.where((key != chosen) | fixed, 0.0, size)

        rows = [row(f"{entry}_{k}", one) for k, one in enumerate(value)] if listed else [row(entry, value)]
        return (jnp.stack(rows) if listed else rows[0]) if rows else value

    return law.mapped(move)


def shifted(name, by, step):
    return jax.tree.map(lambda value, change: value + by * change, market_law(name), step)


def where_differentiated():
    law = together().law
    return law.lower + law.width * Z_SHARES, Q_SHARES + 0 * law.lower, law.width


@cache
def slopes_by_entry():
    """For the nth number of every law: derivatives, and central differences of fourth order, (rows, all groups)."""
    law, at = together().law, where_differentiated()
    found = []
    for place in range(max(len(entries(name)) for name in GIVEN)):
        steps = {name: unit_step(name, place) if place < len(entries(name)) else None for name in GIVEN}

        def moved(by, steps=steps):
            parts = []
            for name, step in steps.items():
                still = resolved_law(name)[0]
                parts.append(still if step is None else resolved(shifted(name, by * STEP, step), at_fractions(name))[0])
            return np.asarray(differentiated(joined(parts), *at))

        still = {name: jax.tree.map(jnp.zeros_like, resolved_law(name)[0]) for name in GIVEN}
        tangents = [
            still[name] if step is None else panels_slope(market_law(name), step) for name, step in steps.items()
        ]
        exact = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * STEP)
        found.append((np.asarray(slopes_of(law, joined(tangents), *at)), exact))
    return found


@pytest.mark.slow
@every_law
def test_derivatives_to_every_number_are_central_differences(name):
    """Of cdf, quantile, ∫F²/f, mean and variance; each number moves by its size, each position by the width.

    ∫F²/f where F/f is no more than 100 widths: beyond, the density is nothing.
    """
    law, group = together().law, together().columns[name]
    wild = np.asarray(functions(law, where_differentiated()[0])["ratio"] > 100 * law.width)[:, group]
    wild = np.concatenate([np.zeros((6, wild.shape[1]), bool), wild, np.zeros((2, wild.shape[1]), bool)])
    for entry, slopes in zip(entries(name), slopes_by_entry(), strict=False):
        if (name, entry) == ("density with a corner and a jump", "kinks_1"):
            continue  # derivatives take the jump along with the kink that names it, differences leave it behind
        found, exact = (np.where(wild, 0, one[:, group]) for one in slopes)
        np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-7, err_msg=entry)


@pytest.mark.slow
@every_law
def test_derivatives_to_z_and_probability_are_the_integrands(name):
    found, exact = place_slopes()
    close(found[:, together().columns[name]], exact[:, together().columns[name]], 1e-6, 1e-9)


@cache
def place_slopes():
    law, (z, probability, width) = together().law, where_differentiated()
    tangents = jnp.ones_like(z), jnp.ones_like(probability)
    slope = jax.jit(lambda law, *at: jax.jvp(lambda *at: differentiated(law, *at, width), at, tangents))
    values, found = slope(law, z, probability)
    at_z, at_quantile = functions(law, z), functions(law, values[3:6] * law.width)
    exact = [
        np.exp(at_z["log_pdf"]),
        np.exp(-at_quantile["log_pdf"]) / law.width,
        at_z["cdf"] * at_z["ratio"] / law.width**2,
    ]
    return np.asarray(found[:9]), np.concatenate(exact)


@pytest.mark.slow
def test_variance_of_a_triangular_law_has_the_second_derivatives_of_its_formula():
    def formula(point):
        m, low, high = point
        return (low**2 + m**2 + high**2 - low * m - low * high - m * high) / 18

    point = jnp.array([0.3, -1.0, 1.5])
    found = jax.jit(jax.hessian(lambda point: Triangular(*point).variance))(point)
    close(found, jax.hessian(formula)(point), 0, 1e-9)


@pytest.mark.slow
def test_squared_ratio_integral_sees_nothing_of_the_far_tail_on_the_same_panel():
    a, b, lower, upper = 41.5, 45.9, -1.1, 0.58
    law = Kumaraswamy(*(jnp.asarray([one]) for one in (a, b, lower, upper)))
    width = mp.mpf(upper) - mp.mpf(lower)

    def integrand(z):
        power = ((z - lower) / width) ** a
        cdf = 1 - (1 - power) ** b
        return cdf**2 * width * ((z - lower) / width) / (a * b * power * (1 - power) ** (b - 1))

    for z in (0.45, 0.5, 0.51, 0.52):
        expected = float(mp.quad(integrand, np.linspace(-0.5, z, 12).tolist()))
        np.testing.assert_allclose(law.squared_ratio_integral(jnp.asarray([z])), expected, rtol=1e-8)


def shapes(count=1000):
    """Laws of many shapes on [−1, 1] by name, and how many panels each has."""
    generator = np.random.default_rng(11)

    def between(low, high):
        return jnp.asarray(np.exp(generator.uniform(np.log(low), np.log(high), count)))

    one, loc = jnp.ones(count), jnp.asarray(generator.uniform(-1.5, 1.5, count))
    ends = -one, one
    return {
        "triangular": (22, Triangular(loc / 1.5, *ends)),
        "exponential": (24, TruncatedExponential(loc * between(1e-3, 1e3), *ends)),
        "Laplace": (24, TruncatedLaplace(loc, between(1e-3, 30), *ends)),
        "logistic": (24, TruncatedLogistic(loc, between(1e-3, 30), *ends)),
        "Student": (47, TruncatedStudent(loc, between(1e-3, 30), between(0.3, 100), *ends)),
    }


@pytest.mark.parametrize("name", shapes())
def test_few_panels_resolve_every_shape(name):
    panels, law = shapes()[name]
    cuts, error = law.landmarks(), np.asarray(resolved(law, jnp.zeros((1, 1)))[2])
    assert len(cuts) == panels + 1 and bool(jnp.all(jnp.diff(cuts, axis=0) >= 0))
    assert np.quantile(error, 0.99) <= 1e-9 and np.max(error) <= 1e-8


def test_a_law_of_ones_own_says_what_keeps_its_value_or_cannot_be_moved():
    @pytree
    class Own(jm.FromDensity):
        depth: jax.Array
        lower: jax.Array
        upper: jax.Array

        def log_density(self, z):
            return jnp.log1p(self.depth * z**2)

    with pytest.raises(NotImplementedError, match="Own has a field depth; add it to its unitless_fields"):
        Own(0.5, -1.0, 1.0).stretched(2.0)
