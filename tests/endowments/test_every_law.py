"""What holds for every law: inversion and draws, mirror images, stretching, single precision, regularity."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxmech.endowments import Beta, TruncatedNormal, Uniform

from . import accuracy

LAWS = {
    "uniform": accuracy.rows(Uniform, [(-1, 2), (0, 1), (5, 5.5)]),
    "truncated normal": accuracy.rows(TruncatedNormal, [(0.2, 0.5, -1, 1), (0, 1, 8, 10), (0, 1000, -1, 1)]),
    "beta": accuracy.rows(Beta, [(2, 3, -1, 1.5), (1, 1.5, -1, 1.5), (5, 1.2, 0, 2)]),
}
PROBABILITIES = np.array([1e-12, 1e-6, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-9])[:, None]
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())


@jax.jit
def round_trip(law, probability):
    z = law.quantile(probability)
    return law.cdf(z), law.survival(z)


@pytest.mark.slow
@every_law
def test_quantile_undoes_the_cdf(law):
    cdf, _ = round_trip(law, PROBABILITIES)
    np.testing.assert_allclose(cdf, np.broadcast_to(PROBABILITIES, cdf.shape), rtol=0, atol=1e-13)


@every_law
def test_quantile_finds_a_tail_of_1e_12_to_two_digits(law):
    """On [8, 10] one rounding of z is already 1% of such a tail."""
    cdf, _ = round_trip(law, PROBABILITIES)
    np.testing.assert_allclose(cdf[0], 1e-12, rtol=0.02)


@every_law
def test_quantile_of_zero_and_one_are_the_ends(law):
    ends = law.quantile(np.array([[0.0], [1.0]]))
    np.testing.assert_array_equal(ends, jnp.stack([law.lower, law.upper]))


@pytest.mark.slow
@every_law
def test_quantile_moves_with_the_probability_and_every_field_as_the_cdf_says(law):
    """∂q/∂p = 1/f and ∂q/∂θ = −(∂F/∂θ)/f, with F in many digits."""
    one, family = accuracy.group(law, 0), type(law)
    fields = jnp.stack(jax.tree.leaves(one))
    found = jax.jit(jax.jacfwd(lambda point: family(*point[:-1]).quantile(point[-1])))(jnp.append(fields, 0.3))
    _, gradient, _ = accuracy.exact_derivatives(one, float(one.quantile(0.3)), ["cdf"])
    *field_slopes, density = gradient[0]
    np.testing.assert_allclose(found, np.append(-np.array(field_slopes), 1) / density, rtol=1e-9)


@pytest.mark.slow
@every_law
def test_draws_lie_in_the_support_in_the_shape_asked_for(law):
    draws = law.sample(jax.random.key(0), (1000,))
    assert draws.shape == (1000, 3) and bool(jnp.all((draws >= law.lower) & (draws <= law.upper)))


@pytest.mark.slow
@every_law
def test_draws_have_the_mean_and_variance_of_the_law(law):
    """Within five standard errors; a bounded variable's squared deviation varies by at most width² · variance."""
    draws = law.sample(jax.random.key(1), (4000,))
    assert bool(jnp.all(abs(draws.mean(0) - law.mean) <= 5 * jnp.sqrt(law.variance / 4000)))
    assert bool(jnp.all(abs(draws.var(0) - law.variance) <= 5 * law.width * jnp.sqrt(law.variance / 4000)))


@every_law
def test_draws_repeat_with_the_key(law):
    key = jax.random.key(2)
    np.testing.assert_array_equal(law.sample(key, (5,)), law.sample(key, (5,)))


@every_law
def test_the_mirror_image_of_the_mirror_image_is_the_law(law):
    assert jax.tree.all(jax.tree.map(np.array_equal, law.reflected().reflected(), law))


@every_law
def test_survival_is_the_cdf_of_the_mirror_image(law):
    z = accuracy.at_fractions(law, (0.1, 0.6, 0.95))
    np.testing.assert_allclose(jax.jit(type(law).survival)(law, z), jax.jit(type(law).cdf)(law.reflected(), -z))


@every_law
def test_the_law_stretched_by_three_has_the_same_cdf_three_times_as_far_out(law):
    z = accuracy.at_fractions(law, (0.1, 0.6, 0.95))
    cdf = jax.jit(type(law).cdf)
    np.testing.assert_allclose(cdf(law.stretched(3.0), 3 * z), cdf(law, z), rtol=1e-12)


@every_law
def test_single_precision_keeps_five_digits(law):
    z = np.asarray(accuracy.at_fractions(law, (0, 0.01, 0.3, 0.5, 0.8)))
    double = law.left_tail(z)
    with jax.enable_x64(False):
        single_law = jax.tree.map(lambda field: jnp.asarray(np.asarray(field), jnp.float32), law)
        single = [np.asarray(one) for one in jax.jit(type(law).left_tail)(single_law, jnp.asarray(z, jnp.float32))]
    width = np.asarray(law.width)
    ratio, slope, density = (np.asarray(part) for part in (double.ratio, double.ratio_slope, double.density))
    scales = (1, width + ratio, 1 + abs(slope), width, width**2, 1 / width + density)
    errors = [np.max(abs(s - np.asarray(d)) / scale) for s, d, scale in zip(single, double, scales, strict=True)]
    assert max(errors) <= 2e-5 and {one.dtype for one in single} == {np.dtype(np.float32)}


# Parameters of a law on [0, 1], by name of its family; all are log-concave.
SHAPES = {
    Uniform: st.just(()),
    TruncatedNormal: st.tuples(st.floats(-3, 4), st.floats(0.1, 1e3)),
    Beta: st.tuples(st.floats(1, 50), st.floats(1, 50)),
}
GRID = np.linspace(0.0, 1.0, 65)


@jax.jit
def on_grid(law):
    return {name: getattr(law, name)(GRID) for name in ("cdf", "survival", "cdf_ratio", "survival_ratio")}


def law_on_grid(family, shapes):
    return on_grid(family(*map(jnp.asarray, (*shapes, 0.0, 1.0))))


def for_random_shapes(claim):
    """The claim for sixteen random members of each family."""

    @pytest.mark.parametrize("family", SHAPES, ids=lambda family: family.__name__)
    def test(family):
        @hypothesis.settings(max_examples=16, derandomize=True, deadline=None, database=None)
        @hypothesis.given(SHAPES[family])
        def holds(shapes):
            claim({name: np.asarray(one) for name, one in law_on_grid(family, shapes).items()})

        holds()

    test.__name__ = test.__qualname__ = claim.__name__
    return test


@for_random_shapes
def test_cdf_never_falls(law):
    assert np.all(np.diff(law["cdf"]) >= -1e-15)


@for_random_shapes
def test_cdf_and_survival_add_to_one(law):
    np.testing.assert_allclose(law["cdf"] + law["survival"], 1, rtol=1e-12)


@for_random_shapes
def test_ratios_are_monotone_as_condition_2_asks_of_log_concave_laws(law):
    inside = slice(1, -1)
    rising, falling = law["cdf_ratio"][inside], law["survival_ratio"][inside]
    assert np.all(np.diff(rising) >= -1e-12 * rising[1:]) and np.all(np.diff(falling) <= 1e-12 * falling[:-1])
