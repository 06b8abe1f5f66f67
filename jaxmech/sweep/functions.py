"""Functions of densities by the name they are imported by: how a store keeps them, and other processes find them."""

from dataclasses import dataclass
from importlib import import_module

from jaxmech.inputs import MarketError


@dataclass(frozen=True)
class Absent:
    """In place of a function that this process cannot import: to read a store needs none, to compute is refused."""

    name: str
    reason: str

    def __call__(self, *arguments):
        raise MarketError(self.reason)


def function_name(function) -> str:
    """Where a function is imported from, as "module:name"; of what has no name, that of its class."""
    if isinstance(function, Absent):
        return function.name
    module = getattr(function, "__module__", None)
    return f"{module}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def named_function(name):
    """The function of that name, or Absent."""
    try:
        return _imported(name)
    except Exception as error:  # whatever the module does when it is imported
        reason = f"endowment function {name} cannot be imported: {error}; install its module or set PYTHONPATH"
        return Absent(name, reason)


def refuse_unnamed(function):
    """MarketError for a function that another process would not find under its name."""
    name = function_name(function)
    if name.startswith("__main__:") or named_function(name) is not function:
        raise MarketError(
            f"endowment function {name} cannot be imported by that name, so no other process would find it (a lambda, "
            "a function inside another, one of the script itself); define it at the top of a module and import it, or "
            "sweep in memory, without a store"
        )


def _imported(name):
    module, _, path = name.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
