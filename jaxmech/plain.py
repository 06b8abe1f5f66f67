"""Results as plain Python values, such as JSON holds."""

import json
from dataclasses import fields, is_dataclass

import numpy as np


def plain(value):
    """What a result, an array, a dictionary or a sequence holds, as numbers, texts, booleans, None, lists and
    dictionaries.

    NaN and ±∞ become None; dates become texts, YYYY-MM-DD; functions become "module:name".
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(type(value), "to_dict"):
        return value.to_dict()
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if is_dataclass(value) or hasattr(value, "_fields"):
        return _parts(value, _names(type(value)))
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if callable(value):
        return f"{value.__module__}:{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
    array = np.asarray(value)
    if array.dtype.kind in "biu":
        return array.tolist()
    if array.dtype.kind in "MU":
        return array.astype(str).tolist()
    array = array.astype(float)
    return np.where(np.isfinite(array), array, None).tolist()


def json_text(value) -> str:
    """The value as JSON, in the sense of `plain`."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def result(*more, without=()):
    """Gives a class of results, a dataclass or a named tuple, its `to_dict`.

    Args:
      more: names of properties that it tells besides its fields.
      without: fields that it does not tell.
    """

    def marked(cls):
        names = (*(name for name in _names(cls) if name not in without), *more)

        def to_dict(self) -> dict:
            """All of it as plain numbers, texts, booleans, None, lists and dictionaries, which JSON holds.

            Arrays are nested lists, groups in the market's order. NaN and ±∞ become None. Not under jit.
            """
            return _parts(self, names)

        cls.to_dict = to_dict
        return cls

    return marked


def _names(cls):
    return [entry.name for entry in fields(cls)] if is_dataclass(cls) else cls._fields


def _parts(value, names):
    return {name: plain(getattr(value, name)) for name in names}
