"""Laws of several families side by side are their parts, column by column."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmech.endowments import Beta, SideBySide, TruncatedNormal, Uniform

from . import accuracy

PARTS = (
    accuracy.rows(Uniform, [(-1, 2), (0, 1)]),
    accuracy.rows(TruncatedNormal, [(0.2, 0.5, -1, 1)]),
    accuracy.rows(Beta, [(2, 3, -1, 1.5), (1, 1.5, -1, 1.5)]),
)
BATCH = tuple(
    jax.tree.map(lambda field: field[:, None] * jnp.asarray([1.0, 1.1]) + 0.0, part)  # fields (G, 2)
    for part in PARTS
)
TAIL = ("cdf", "ratio", "ratio_slope", "integral", "second_integral")


left_tail = jax.jit(lambda law, z: law.left_tail(z))


def joined(parts, z, axis):
    """Each part's left tail at its own columns of z."""
    sizes = [part.lower.shape[axis] for part in parts]
    columns = jnp.split(z, np.cumsum(sizes)[:-1], axis=axis)
    tails = [left_tail(part, column) for part, column in zip(parts, columns, strict=True)]
    return [jnp.concatenate(one, axis=axis) for one in zip(*tails, strict=True)]


def middling(law):
    return law.lower + 0.4 * law.width


@pytest.mark.slow
def test_every_function_is_that_of_the_parts():
    law = SideBySide(PARTS)
    z = accuracy.at_fractions(law, (0.2, 0.7))
    columns = jnp.split(z, [2, 3], axis=-1)
    found = accuracy.all_values(law, z)
    apart = [accuracy.all_values(part, column) for part, column in zip(PARTS, columns, strict=True)]
    expected = {name: jnp.concatenate([one[name] for one in apart], axis=-1) for name in found}
    jax.tree.map(lambda f, e: np.testing.assert_allclose(f, e, rtol=1e-13, atol=1e-15), found, expected)


def test_squared_ratio_integral_is_that_of_the_parts():
    law = SideBySide(PARTS)
    apart = [accuracy.all_squared_ratio_integrals(part, middling(part)) for part in PARTS]
    np.testing.assert_allclose(
        accuracy.all_squared_ratio_integrals(law, middling(law)), jnp.concatenate(apart), rtol=1e-14
    )


@pytest.mark.parametrize("which", range(len(TAIL)), ids=TAIL)
def test_a_trailing_batch_axis_leaves_the_columns_in_place(which):
    law = SideBySide(BATCH)
    np.testing.assert_allclose(
        left_tail(law, middling(law))[which], joined(BATCH, middling(law), axis=-2)[which], rtol=1e-14
    )


@pytest.mark.slow
@pytest.mark.parametrize("parts", [PARTS, BATCH], ids=["groups", "groups and batch"])
def test_both_sides_stack_the_law_on_its_mirror_image(parts):
    law = SideBySide(parts)
    z = jnp.stack([middling(law), -middling(law)])
    left, right = left_tail(law, z[0]), left_tail(law.reflected(), z[1])
    stacked = law.sides().tail(z)
    for found, *expected in zip(stacked, left, right, strict=True):
        np.testing.assert_allclose(found, jnp.stack(expected), rtol=1e-14)


def test_quantile_undoes_the_cdf():
    law = SideBySide(PARTS)
    probability = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    z = jax.jit(SideBySide.quantile)(law, probability)
    np.testing.assert_allclose(left_tail(law, z).cdf, probability, atol=1e-13)


def test_placed_laws_are_stretched_and_shifted_each_by_its_own_number():
    law = SideBySide(PARTS)
    factor, distance = np.linspace(1, 2, len(law.mean)), np.linspace(-1, 1, len(law.mean))
    there = law.stretched(factor).shifted(distance)
    np.testing.assert_allclose(there.mean, factor * law.mean + distance, atol=1e-13)
    np.testing.assert_allclose(there.variance, factor**2 * law.variance, rtol=1e-12)
