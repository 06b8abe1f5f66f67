"""Tables and single values that users write, and the error that tells them what is wrong with one."""

import json
import tomllib
from collections.abc import Collection, Iterable, Set
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

AnyPath = str | PathLike[str]


class MarketError(ValueError):
    """A market that cannot be: says which argument, which traders, the value, and what to do."""


def read_toml(path: AnyPath) -> dict[str, Any]:
    """A TOML file as a dictionary; MarketError says what is missing or where it does not parse."""
    path = path_of("path", path)
    data = bytes_of(path, "the path of a market's TOML file")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))  # some editors write a mark first
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MarketError(f"{path}: not valid TOML: {error}") from None


def toml_text(value: Any) -> str:
    """A value as TOML. JSON's strings, numbers and lists are TOML's; floats keep every digit."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_text(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml_text(part) for part in value) + "]"
    # DEL is the one character that JSON leaves bare and TOML does not allow.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def bytes_of(path: Path, wanted: str) -> bytes:
    """What a file or a pipe holds; MarketError where there is none, or it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise MarketError(f"{path}: no such file; give {wanted}") from None
    except OSError as error:
        raise MarketError(f"{path}: cannot be read: {error.strerror}; give {wanted}") from None


def path_of(name: str, value: Any) -> Path:
    """A path; MarketError for what cannot be one."""
    if not isinstance(value, str | PathLike) or not str(value) or "\0" in str(value):
        raise MarketError(f"{name} is {value!r}; give a path")
    if "://" in str(value):
        raise MarketError(f"{name} is {value!r}, an address; download it first, and give a path on this machine")
    return Path(value)


def file_to_write(name: str, value: Any) -> Path | None:
    """A path where a file can be written, or None; MarketError for another."""
    path = None if value is None else path_of(name, value)
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise MarketError(f"{name} is {str(path)!r}; give a file in a folder that exists")
    return path


def refuse_other_keys(
    table: Iterable[str], allowed: Collection[str], where: str, required: Set[str] = frozenset()
) -> None:
    """MarketError for a misspelt or missing key of a TOML table."""
    for key in table:
        if key not in allowed:
            raise MarketError(f"{where}: unknown key {key!r}; allowed: {', '.join(sorted(allowed))}")
    for key in sorted(required - set(table)):
        raise MarketError(f"{where}: {key!r} is missing")


def real_numbers(name: str, value: Any, wanted: str = "a number or an array of numbers") -> np.ndarray:
    """The value as a NumPy array of floats; MarketError for text, booleans, complex numbers and other objects."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
        raise MarketError(f"{name} is {shown(value)}; give {wanted}")
    return array.astype(float)


def one_number(
    name: str, value: Any, wanted: str = "a finite number", low: float = -np.inf, high: float = np.inf
) -> float:
    """The value as a float; MarketError unless it is one finite number from low to high."""
    array = real_numbers(name, value, wanted)
    if array.ndim or not np.isfinite(array) or not low <= array <= high:
        raise MarketError(f"{name} is {shown(value)}; give {wanted}")
    return float(array)


def positive_number(name: str, value: Any) -> float:
    """The value as a float; MarketError unless it is one finite number above 0."""
    return one_number(name, value, "a number above 0", low=np.finfo(float).tiny)


def whole_number(name: str, value: Any, least: int = 0) -> int:
    """The value as an integer; MarketError unless it is a whole number of at least `least` that machines count to."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) < 2**53:
        raise MarketError(f"{name} is {shown(value)}; give a whole number ≥ {least}")
    return int(value)


def yes_or_no(name: str, value: Any) -> bool:
    """The value itself; MarketError unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise MarketError(f"{name} is {shown(value)}; give True or False")
    return bool(value)


def one_of(name: str, value: Any, choices: Collection[str]) -> str:
    """The value itself; MarketError unless it is one of the names."""
    if not isinstance(value, str) or value not in choices:
        raise MarketError(f"{name} is {shown(value)}; choose one of {', '.join(choices)}")
    return value


def shown(value: Any) -> str:
    """The value as messages show it."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return "an integer of more than 64 bits"
    text = repr(value).replace("\n", " ")  # of arrays and tables
    return text if len(text) <= 200 else text[:200] + " …"
