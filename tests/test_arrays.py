"""Structures tell classes apart: jit's caches look compiled code up by them."""

from itertools import combinations
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxmech as jm
from jaxmech.arrays import pytree

LAWS = {
    "uniform": jm.Uniform(-1.0, 1.0),
    "truncated normal": jm.TruncatedNormal(0.1, 0.5, -1.0, 1.0),
    "beta": jm.Beta(2.0, 3.0, -1.0, 1.0),
}


@pytest.mark.parametrize("names", list(combinations(LAWS, 2)), ids=" and ".join)
def test_markets_of_different_laws_have_different_structures(names):
    one, other = (jm.Market.of(jm.Traders(LAWS[name], 0.5, count=2)) for name in names)
    assert jax.tree.structure(one) != jax.tree.structure(other)


def test_classes_with_the_same_fields_have_different_structures():
    @pytree
    class One:
        x: float

    @pytree
    class Other:
        x: float

    assert jax.tree.structure(One(1.0)) == jax.tree.structure(One(2.0))
    assert jax.tree.structure(One(1.0)) != jax.tree.structure(Other(1.0))


def test_jax_rebuilds_a_pytree_past_its_constructor():
    """What users write as lists is converted once; what JAX puts into the fields is left alone."""
    law = jm.Histogram([-1.0, 0.0, 1.0], (0.4, 0.6))
    assert law.edges.tolist() == [-1.0, 0.0, 1.0]
    lists = jax.tree.map(lambda leaf: leaf.tolist(), law)
    assert lists.edges == [-1.0, 0.0, 1.0]
    assert jax.tree.map(lambda _: None, law).masses is None
    assert jax.tree.structure(jax.tree.unflatten(jax.tree.structure(law), [0, 1])) == jax.tree.structure(law)


def test_a_pytree_comes_back_whole_and_names_its_leaves():
    market = jm.Market.of(jm.Traders(LAWS["beta"], jnp.array([0.5, 1.0]), name="dealer"))
    again = jax.tree.map(lambda leaf: leaf, market)
    assert again.names == market.names == ("dealer_1", "dealer_2")
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(market)]
    assert paths == [".endowment.a", ".endowment.b", ".endowment.lower", ".endowment.upper", ".risk_capacity", ".count"]


def test_no_module_registers_a_pytree_in_another_way():
    for path in (Path(jm.__file__).parent).rglob("*.py"):
        if path.name != "arrays.py":
            text = path.read_text().replace("jax.monitoring.register_event_duration_secs_listener", "")
            assert "register_" not in text, path
