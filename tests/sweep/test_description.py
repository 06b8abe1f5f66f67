"""A sweep written down is the same sweep when it is read."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmech as jm
from jaxmech.sweep import make_design
from jaxmech.sweep.description import description, design_of, spec_hash

NESTED = jm.Mixture(
    (
        jm.Mixture((jm.Uniform(-1.0, 0.3), jm.Triangular(mode=0.1, lower=-0.5, upper=1.0)), jnp.array([0.3, 0.7])),
        jm.TruncatedNormal(0.1, 0.4, -1.0, 1.0),
    ),
    jnp.array([1.0, 3.0]),
)


def log_density(z, parameters):
    return -parameters["law"] * z**2


DENSITY = jm.Density(log_density, {"law": 1 / 3, "laws/lower": 2.0}, -1.0, 1.0)
LAWS = {
    "density": DENSITY,
    "density in a mixture": jm.Mixture((replace(DENSITY, kinks=(0.1, 0.3)), jm.Uniform(-1.0, 0.5)), [0.3, 0.7]),
    "uniform": jm.Uniform(-1.0, 0.1 + 0.2),
    "two groups": jm.Beta(np.array([2.0, 3.0]), 3.0, -1.0, 1.0),
    "histogram": jm.Histogram(jnp.array([-1.0, 0.0, 0.5, 1.0]), jnp.array([0.2, 0.5, 0.3])),
    "lines": jm.PiecewiseLinear(jnp.array([-1.0, 0.0, 1.0]), jnp.array([0.2, 0.5, 0.3])),
    "nested mixture": NESTED,
}
RANGES = {"over": {"other.risk_capacity": jm.Range(0.1, 3, log=True), "other.count": [1, 2]}, "kind": "random"}


def market_of(law):
    return jm.Market.of(
        jm.Traders(law, 0.7, 2, "own"), jm.Traders(jm.Kumaraswamy(2.0, 3.0, -1.0, 1.0), 1 / 3, 1, "other")
    )


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("options", [{"over": {"other.count": [1, 2, np.nan]}}, RANGES | {"points": 5}])
def test_a_design_comes_back_bit_for_bit(law, options):
    design = make_design(market_of(law), [0.1, 1 / 3], **options)
    described = json.loads(json.dumps(description(design, True)))
    back, derivatives = design_of(described, "float64")
    assert derivatives is True
    assert jax.tree.structure(back.market) == jax.tree.structure(design.market)
    for one, other in zip(jax.tree.leaves(back.market), jax.tree.leaves(design.market), strict=True):
        assert one.shape == other.shape and one.tobytes() == np.asarray(other).tobytes()
    points = np.arange(design.points)
    assert back.alpha_of(points).tobytes() == design.alpha_of(points).tobytes()
    values = [one.parameter_values(one.market_of(points)).tobytes() for one in (back, design)]
    assert values[0] == values[1]
    assert (back.kind, back.parameters, back.chunk_shape) == (design.kind, design.parameters, design.chunk_shape)
    assert spec_hash(description(back, True)) == spec_hash(described)


def test_the_hash_sees_everything_that_numbers_depend_on():
    def changed(law, path, value):
        """The law with one number, deep inside, another."""
        if len(path) > 1:
            value = changed(getattr(law, path[0])[path[1]], path[2:], value)
            laws = getattr(law, path[0])
            return replace(law, **{path[0]: (*laws[: path[1]], value, *laws[path[1] + 1 :])})
        return replace(law, **{path[0]: value})

    deep = changed(NESTED, ("laws", 0, "laws", 1, "mode"), 0.1 + 1e-15)
    weights = changed(NESTED, ("laws", 0, "weights"), jnp.array([0.3, 0.7000001]))
    masses = replace(LAWS["histogram"], masses=jnp.array([0.2, 0.5, 0.300000001]))
    designs = [make_design(market_of(law), [0.5], {}) for law in (*LAWS.values(), deep, weights, masses)]
    base = make_design(market_of(NESTED), [0.5], RANGES["over"], "random", points=5, seed=1)
    designs += [base, replace(base, chunk_shape=(1, 7))]
    designs += [make_design(market_of(NESTED), [0.5], RANGES["over"], "random", points=5, seed=2)]
    designs += [make_design(market_of(NESTED), [0.5], RANGES["over"], "random", points=6, seed=1)]
    hashes = [spec_hash(description(design, derivatives)) for design in designs for derivatives in (False, True)]
    assert len(set(hashes)) == len(hashes)
