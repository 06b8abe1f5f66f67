"""Results as plain Python values, such as JSON holds."""

import datetime
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
_SHORT = 6  # numbers that are told one by one


def plain(value: Any) -> Any:
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
    return np.where(np.isfinite(array), array, np.array(None)).tolist()


def json_text(value: Any) -> str:
    """The value as JSON, in the sense of `plain`."""
    return json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False)


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] | None = None) -> list[str]:
    """Rows of texts as lines. Columns of the places in `right`, all but the first if None, are moved to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = [">" if (place > 0 if right is None else place in right) else "<" for place in range(len(widths))]
    forms = [f"{sign}{width}" for sign, width in zip(signs, widths, strict=True)]
    return ["  ".join(map(format, row, forms)).rstrip() for row in rows]


def brief(value: Any) -> str:
    """A value in a few words: short arrays in full, of long ones the shape, of functions the name."""
    if value is None or isinstance(value, bool | str):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {brief(part)}" for name, part in value.items()) + "}"
    if is_dataclass(value) or hasattr(value, "_fields"):
        said = (f"{name}={_inside(getattr(value, name))}" for name in told(value, _names(type(value))))
        return f"{type(value).__name__}({', '.join(said)})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(brief, value))}]" if len(value) <= _SHORT else f"{len(value)} of them"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if not hasattr(value, "shape") and not isinstance(value, int | float):
        return getattr(value, "__qualname__", type(value).__name__)
    try:
        array = np.asarray(value)
    except Exception:  # what JAX raises of traced arrays, and of deleted ones
        return f"{type(value).__name__}{np.shape(value)}"
    if array.size > _SHORT:
        return f"array{array.shape}"
    return repr(array.tolist()) if array.dtype.kind in "bOUM" else _digits(array)


def _inside(value):
    """A part of a result: of results themselves the name."""
    return f"{type(value).__name__}(…)" if hasattr(value, "_repr_html_") else brief(value)


def _digits(array):
    return f"{array:.6g}" if array.ndim == 0 else "[" + ", ".join(map(_digits, array)) + "]"


def result(*more: str, without: Sequence[str] = ()) -> Callable[[type[T]], type[T]]:
    """Gives a class of results, a dataclass or a named tuple, its `to_dict`, and what it looks like: one line as a
    part of others, a table in a terminal and in a notebook, and the table's rows as a DataFrame.

    Args:
      more: names of properties that it tells besides its fields.
      without: fields that it does not tell.
    """

    def marked(cls: Any) -> Any:
        names = (*(name for name in _names(cls) if name not in without), *more)

        def to_dict(self) -> dict[str, Any]:
            """All of it as plain numbers, texts, booleans, None, lists and dictionaries, which JSON holds.

            Arrays are nested lists, groups in the market's order. NaN and ±∞ become None. Not under jit.
            """
            return _parts(self, names)

        def __str__(self):
            from jaxmech.reports import shown

            return shown.text(self)

        def _repr_html_(self):
            from jaxmech.reports import shown

            return shown.html(self) if cls.__str__ is __str__ else f"<pre>{escape(str(self))}</pre>"

        def _repr_pretty_(self, printer, cycle):
            printer.text(str(self))

        def to_dataframe(self) -> "pd.DataFrame":
            """The table that is shown, a row for each group, trader or point. Needs pandas (extra `data`)."""
            from jaxmech.reports import shown

            return shown.dataframe(self)

        cls.told_names = names
        cls.__repr__ = brief
        for method in (to_dict, __str__, _repr_html_, _repr_pretty_, to_dataframe):
            if method.__name__ not in vars(cls):
                setattr(cls, method.__name__, method)
        return cls

    return marked


def _names(cls):
    return [entry.name for entry in fields(cls)] if is_dataclass(cls) else cls._fields


def told(value: Any, names: Iterable[str]) -> list[str]:
    """Those of the names that are something: not None where None is what a field is if nothing is said."""
    silent = {entry.name for entry in fields(value) if entry.default is None} if is_dataclass(value) else ()
    return [name for name in names if name not in silent or getattr(value, name) is not None]


def _parts(value, names):
    return {name: plain(getattr(value, name)) for name in told(value, names)}
