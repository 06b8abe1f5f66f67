"""Public names say what they take and give: those of the face, and all of the rooms that the type checker reads."""

import importlib
import inspect
import pkgutil
import tomllib
from functools import cached_property
from pathlib import Path

import pytest

import jaxmech as jm

ROOT = Path(jm.__file__).parent.parent
CHECKED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pyright"]["include"]
FORMULAS = {"lower", "upper", "mean", "variance", "bunches"}  # lambdas, whose types a checker infers


def checked_modules():
    """Those that the type checker looks into, by name."""
    prefixes = tuple(path.removesuffix(".py").replace("/", ".") for path in CHECKED)
    names = [found.name for found in pkgutil.walk_packages(jm.__path__, "jaxmech.")]
    return [name for name in names if name.startswith(prefixes)]


def methods(cls):
    """(name, function) of the public methods and properties of a class, inherited ones too, and how to make it."""
    if not getattr(cls, "_is_protocol", False) and not issubclass(cls, Exception):
        yield cls.__name__, cls
    for owner in cls.__mro__:
        if owner.__module__.startswith("jaxmech"):
            for name, value in vars(owner).items():
                function = getattr(value, "fget", None) or getattr(value, "__func__", value)
                function = value.func if isinstance(value, cached_property) else function
                if not name.startswith("_") and inspect.isfunction(function):
                    yield f"{owner.__name__}.{name}", function


def functions(names, module):
    """(name, function) of what these public names of a module are."""
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value):
            yield from methods(value)
        elif callable(value):
            yield name, value


def missing(name, function):
    """What is not annotated, in words."""
    if getattr(function, "__name__", "") == "<lambda>" and name.split(".")[-1] in FORMULAS:
        return []
    signature = inspect.signature(function)
    own = list(signature.parameters.values())
    own = own[1:] if own and own[0].name in ("self", "cls") else own
    found = [f"{name}({one.name})" for one in own if one.annotation is one.empty]
    returns = inspect.isclass(function) or signature.return_annotation is not signature.empty
    return found if returns else [*found, f"{name} -> ?"]


def test_the_face_is_annotated():
    found = {said for name, function in functions(jm.__all__, jm) for said in missing(name, function)}
    assert not found, sorted(found)


@pytest.mark.parametrize("name", checked_modules())
def test_rooms_that_are_checked_are_annotated(name):
    module = importlib.import_module(name)
    public = [k for k, v in vars(module).items() if k[0] != "_" and getattr(v, "__module__", "") == name]
    found = {said for name, function in functions(public, module) for said in missing(name, function)}
    assert not found, sorted(found)
