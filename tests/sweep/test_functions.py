"""Densities in stores: their functions are kept by name, found again, and known by what they give."""

import importlib
import sys
from functools import partial, wraps

import jax
import numpy as np
import pytest

import jaxmech as jm
from cheap_sweeps import cheap_kernel
from jaxmech.arrays import pytree
from jaxmech.sweep import open_sweep, repair, stored_sweep, verify
from jaxmech.sweep.description import function_name, named_function
from jaxmech.sweep.design import make_design

MODULE = """
SHARPNESS = 1.0


def bell(z, parameters):
    '''A bell.'''
    return -SHARPNESS * (z / parameters["width"]) ** 2
"""


class Bells:
    @staticmethod
    def static(z, parameters):
        return -(z**2)

    def bound(self, z, parameters):
        return -(z**2)

    def __call__(self, z, parameters):
        return -(z**2)


def bell(z, parameters):
    return -(z**2)


@wraps(bell)
def other_bell(z, parameters):
    return -(z**4)


@jax.jit
def jitted(z, parameters):
    return -(z**2)


def market_of(function):
    law = jm.Density(function, {"width": 0.7}, -1.0, 1.0)
    return jm.Market.of(jm.Traders(law, 1.0, 3, "a"), jm.Traders(jm.Uniform(-1.0, 1.0), 1.0, 2, "b"))


def plan(function, alphas=(0.2, 0.4)):
    return make_design(market_of(function), alphas, {"a.parameters_width.factor": [0.5, 1.0]})


@pytest.fixture
def bells(tmp_path, monkeypatch):
    """A module with a density, and how to write it anew and import it again."""

    def written(text):
        (tmp_path / "my_bells.py").write_text(text)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "my_bells", raising=False)
        return importlib.import_module("my_bells").bell

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within a second are edits
    monkeypatch.syspath_prepend(tmp_path)
    yield written
    sys.modules.pop("my_bells", None)


@pytest.mark.parametrize("function", [bell, Bells.static, jitted])
def test_functions_are_found_by_the_name_they_are_imported_by(function):
    assert function_name(function).startswith("test_functions:")
    assert named_function(function_name(function)) is function


def main_function(z, parameters):
    return -(z**2)


main_function.__module__ = "__main__"


def local_function():
    def inner(z, parameters):
        return -(z**2)

    return inner


UNNAMED = {
    "lambda": lambda z, parameters: -(z**2),
    "local": local_function(),
    "script": main_function,
    "partial": partial(bell),
    "method": Bells().bound,
    "object": Bells(),
    "wrapped": other_bell,
}


@pytest.mark.parametrize("function", UNNAMED.values(), ids=UNNAMED)
def test_functions_without_a_name_are_swept_in_memory_and_refused_by_stores(monkeypatch, tmp_path, function):
    monkeypatch.setattr(sys.modules["__main__"], "main_function", main_function, raising=False)
    calls = cheap_kernel(monkeypatch)
    market, path = market_of(function), tmp_path / "s.zarr"
    assert (jm.sweep(market, [0.2, 0.4], progress=False).status == 0).all()
    calls.clear()
    with pytest.raises(jm.MarketError, match=r"endowment function .* cannot be imported by that name.*or sweep in mem"):
        jm.sweep(market, [0.2, 0.4], path=path, progress=False)
    assert not path.exists()
    stored_sweep(path, plan(bell), progress=False)
    with pytest.raises(jm.MarketError, match="cannot be imported by that name"):
        stored_sweep(path, plan(function), overwrite=True, progress=False)
    assert verify(path) == [] and len(calls) == 1


def test_laws_of_other_classes_are_refused_by_stores(tmp_path):
    @pytree
    class Odd(jm.Uniform):
        pass

    market = jm.Market.of(jm.Traders(Odd(-1.0, 1.0), 1.0, 3))
    with pytest.raises(jm.MarketError, match="endowment law Odd is not one of jaxmech's"):
        jm.sweep(market, [0.5], path=tmp_path / "s.zarr", progress=False)


@pytest.mark.slow
def test_a_sweep_over_a_density_is_the_same_in_a_store(bells, tmp_path):
    market = market_of(bells(MODULE))
    over = {"a.parameters_width": [0.5, 1.0], "all.endowment.factor": [1.0, 2.0]}
    stored = jm.sweep(market, [0.3, 0.8], over, derivatives=True, path=tmp_path / "s.zarr", progress=False).load()
    memory = jm.sweep(market, [0.3, 0.8], over, derivatives=True, progress=False)
    assert (stored.status == 0).all() and stored.attrs["spec"] == memory.attrs["spec"]
    assert stored.equals(memory)


COMMENTED = MODULE.replace("A bell.", "Still that bell.") + "# more\n"
CHANGED = {
    "function": MODULE.replace("** 2", "** 2 * (1 + 1e-6 * z)"),
    "number beside it": MODULE.replace("SHARPNESS = 1.0", "SHARPNESS = 1.0001"),
    "gone": "",
    "broken": "raise OSError('no licence')",
    "raises": MODULE.replace("return", "raise KeyError('width') or"),
}


@pytest.mark.parametrize("text", [COMMENTED, *CHANGED.values()], ids=["comment", *CHANGED])
def test_a_store_goes_on_with_the_function_it_was_begun_with_and_no_other(monkeypatch, bells, tmp_path, text):
    calls, path = cheap_kernel(monkeypatch), tmp_path / "s.zarr"
    stored_sweep(path, plan(bells(MODULE)), progress=False)
    (path / "manifest/000000.json").unlink()
    calls.clear()
    if text == COMMENTED:
        function = bells(text)
        assert stored_sweep(path, plan(function), resume=True, progress=False).computed == len(calls) == 1
        return
    try:
        function = bells(text)
    except (AttributeError, OSError):
        pass
    else:
        with pytest.raises(
            (jm.MarketError, KeyError), match=r"endowment function my_bells:bell has other values|width"
        ):
            stored_sweep(path, plan(function), resume=True, progress=False)
    with pytest.raises((jm.MarketError, KeyError), match=r"endowment function my_bells:bell|width"):
        repair(path, progress=False)
    data = open_sweep(path)  # which needs no function
    assert calls == [] and data.attrs["interrupted"] == 1 and np.isnan(data.revenue.values).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
def test_workers_find_the_function_and_say_when_they_do_not(monkeypatch, bells, tmp_path):
    pytest.importorskip("distributed")
    path, engine = tmp_path / "s.zarr", {"engine": "local-cluster", "workers": 1, "progress": False}
    assert stored_sweep(path, plan(bells(MODULE)), **engine).computed == 1
    assert (open_sweep(path).status == 0).all()
    (path / "manifest/000000.json").unlink()
    function = plan(bells(MODULE))
    (tmp_path / "my_bells.py").write_text(CHANGED["number beside it"])  # what workers will import
    with pytest.raises(jm.MarketError, match=r"worker tcp.*: endowment function my_bells:bell has other values here"):
        stored_sweep(path, function, resume=True, **engine)
    assert [tuple(damage) for damage in verify(path)] == [(0, "not computed")]
