"""Every public result leaves the process: it pickles, copies, and tells all it has as plain values that JSON holds."""

import copy
import inspect
import json
import pickle

import jax
import numpy as np
import pytest

import jaxmech as jm
from every_law import bell
from jaxmech.estimation.families import _FAMILIES, parametric
from jaxmech.plain import json_text, plain
from public_results import COSTLY, RESULTS, result


def public_results():
    """Classes that can be had from the face: its own, and those that its functions say they return."""
    public = [getattr(jm, name) for name in jm.__all__]
    returned = [inspect.signature(one).return_annotation for one in public if inspect.isfunction(one)]
    classes = {one for one in [*public, *returned] if inspect.isclass(one) and one.__module__.startswith("jaxmech")}
    return {one for one in classes if not issubclass(one, Exception)}


def test_every_public_result_is_among_those_that_leave_the_process():
    for cls in public_results():
        assert callable(getattr(cls, "to_dict", None)), f"{cls.__name__} has no to_dict"
        assert {name for name in RESULTS if name.split(" ")[0] == cls.__name__} or cls is jm.FromDensity, cls.__name__


def same(copied, original):
    """Whether a copy is the original to JAX, to the last bit: then the same programs answer the same of both."""
    assert type(copied) is type(original)
    assert jax.tree.structure(copied) == jax.tree.structure(original)
    for one, other in zip(jax.tree.leaves(copied), jax.tree.leaves(original), strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray | jax.Array):
            np.testing.assert_array_equal(one, other)
    assert copied.to_dict() == original.to_dict()


@pytest.mark.parametrize("name", [pytest.param(k, marks=[pytest.mark.slow] * (k in COSTLY)) for k in RESULTS])
def test_a_result_pickles_copies_and_is_json(name):
    found = result(name)
    told = found.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    for copied in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        same(copied, found)
        if isinstance(found, jm.Fit):
            drawn, again = (one.estimate.redrawn(3, np.random.default_rng(0))[0] for one in (found, copied))
            np.testing.assert_array_equal(drawn, again)
            same(copied.estimate.law(copied.estimate.vector), found.estimate.law(found.estimate.vector))


def test_families_of_fits_pickle_by_their_name():
    for family in (*_FAMILIES.values(), parametric("mixture", 3)):
        assert pickle.loads(pickle.dumps(family)) is family


def test_what_a_mechanism_tells_is_its_own_by_group_with_names_beside():
    told = result("Mechanism").to_dict()
    assert told["market"]["names"] == ["dealer", "fund"]
    assert told["market"]["endowment"] == {"law": "uniform", "lower": [-1.0, -0.4], "upper": [1.3, 0.9]}
    assert told["binding_interval"] == result("Mechanism").binding_interval.tolist()


def test_nan_and_infinities_are_none_dates_texts_and_functions_names():
    held = {"numbers": np.array([1.0, np.nan, -np.inf]), "one": float("inf"), 3: (True, np.int64(2)), "f": bell}
    held["dates"] = np.array(["2024-01-02"], "datetime64[D]")
    expected = {
        "numbers": [1.0, None, None],
        "one": None,
        "3": [True, 2],
        "f": "every_law:bell",
        "dates": ["2024-01-02"],
    }
    assert plain(held) == expected and json.loads(json_text(held)) == expected
