"""What a result looks like in a terminal, in a notebook and as a table of rows: one rule for all results.

Numbers are listed one a line, arrays that belong to groups, traders or points are the columns of a table, of other
arrays the shape is told. Of a batch each number's least, middle and largest value is shown.
"""

from collections import Counter
from dataclasses import is_dataclass
from html import escape
from typing import NamedTuple

import jax
import numpy as np

from jaxmech.arrays import is_traced
from jaxmech.extras import extra
from jaxmech.plain import aligned, brief, told

_ROWS = 30  # of a longer table the first and the last ones are shown
_LONGEST = 100  # letters of what stands in one line
# The field that has the batch's shape, and how many axes it has without.
_BATCH = {
    "Mechanism": ("weight", 0),
    "IrregularMechanism": ("weight", 0),
    "Outcomes": ("revenue", 0),
    "Certificate": ("ok", 0),
    "Market": ("count", 1),
}
_PAIR = "binding_interval"  # (rows, 2)


class Sheet(NamedTuple):
    """What is shown of a result."""

    title: str
    numbers: dict  # by name
    index: str  # what the rows are
    rows: list  # their names
    columns: dict  # by name, lists as long as `rows`
    rest: dict  # what else there is


def sheet(result) -> Sheet:
    """What is shown of a result; nothing of it may be traced."""
    name, held = type(result).__name__, _held(result)
    field, axes = _BATCH.get(name, (None, 0))
    if field and np.ndim(held[field]) > axes:
        return _of_batch(name, held, np.shape(held[field])[axes:])
    index, rows = _rows_of(name, result, held)
    numbers, columns, rest = {}, {}, {}
    for key, value in held.items():
        if rows and isinstance(value, dict) and list(value) == rows:
            value = list(value.values())
        shape = np.shape(value)
        if shape == ():
            numbers[key] = value
        elif rows and shape == (len(rows),):
            columns[key] = list(value)
        elif key == _PAIR and shape == (len(rows), 2):
            columns |= {f"{key} from": value[:, 0].tolist(), f"{key} to": value[:, 1].tolist()}
        elif np.size(value):
            rest[key] = value
    return Sheet(name, numbers, index, rows, columns, rest)


def _held(result):
    """What `to_dict` tells, as it is, numbers as Python's; laws of groups one by one, other results left out."""
    name, held = type(result).__name__, {key: getattr(result, key) for key in told(result, result.told_names)}
    if name in ("Market", "Traders"):
        alone = name == "Traders" or np.ndim(result.count) > 1
        held |= {"endowment": brief(result.endowment) if alone else _laws_of(result)}
        held = {key: value for key, value in held.items() if key not in ("name", "names")}
    held = {key: value for key, value in held.items() if not (is_dataclass(value) or hasattr(value, "_fields"))}
    held = {key: np.asarray(value) if isinstance(value, jax.Array) else value for key, value in held.items()}
    single = [key for key, value in held.items() if isinstance(value, np.ndarray) and value.ndim == 0]
    return held | {key: held[key].item() for key in single}


def _laws_of(market):
    """The law of each group in one line."""
    return [
        brief(jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[..., k], law))
        for law, _, groups in market.laws()
        for k in range(groups)
    ]


def _rows_of(name, result, held):
    """What the rows of a result's table are called, and their names: groups, or what most arrays are as long as."""
    if isinstance(held.get("parameters"), dict):
        return "parameter", list(held["parameters"])
    market = result if name == "Market" else getattr(result, "market", None)
    lengths = Counter(len(value) for value in held.values() if np.ndim(value) == 1 and len(value))
    length, columns = max(lengths.items(), key=lambda item: item[1], default=(0, 0))
    names = list(getattr(market, "names", ()))
    if names and len(names) in lengths:
        return "group", names
    if columns < 2:
        return "", []
    by_group = market is not None or any(key.endswith("_by_group") for key in held)
    kind = "point" if name == "Frontier" else "group" if by_group else "row"
    return kind, list(range(1, length + 1))


def _of_batch(name, held, shape):
    rows = {}
    for key, value in held.items():
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.ndim and array.size:
            array = array.astype(float)
            known = array[np.isfinite(array)]
            rows[key] = [*(np.quantile(known, [0, 0.5, 1]) if len(known) else [np.nan] * 3), array.size - len(known)]
    heads = ("least", "middle", "largest", "not finite")
    columns = dict(zip(heads, map(list, zip(*rows.values(), strict=True)), strict=True))
    return Sheet(f"{name}, a batch of shape {shape}", {}, "", list(rows), columns, {})


def _listed(shown):
    """(label, text) of what stands in lines of its own."""
    for name, value in (shown.numbers | shown.rest).items():
        said = _cell(value)
        yield _label(name), said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"


def _label(name):
    return name.removesuffix("_by_group").replace("_", " ")


def _cell(value):
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return str(value) if isinstance(value, str | int | np.integer) else "" if value is None else brief(value)


def _table(shown):
    """Rows of texts, the head first."""
    head = [shown.index, *map(_label, shown.columns)]
    body = [[str(row), *map(_cell, cells)] for row, *cells in zip(shown.rows, *shown.columns.values(), strict=True)]
    if len(body) > _ROWS:
        body = [*body[: _ROWS // 2], ["…"] * len(head), *body[-_ROWS // 2 :]]
    return [head, *body]


def text(result) -> str:
    """A result on one screen."""
    if is_traced(result):
        return repr(result)
    shown = sheet(result)
    lines = [shown.title, *(f"  {line}" for line in aligned(list(_listed(shown)), right=()))]
    if shown.columns:
        lines += [f"  {line}" for line in aligned(_table(shown))]
    return "\n".join(lines)


def html(result) -> str:
    """A result in a notebook."""
    shown = sheet(result)
    parts = [f"<strong>{escape(shown.title)}</strong>"]
    if listed := list(_listed(shown)):
        rows = "".join(f"<tr><th>{escape(label)}</th><td>{escape(said)}</td></tr>" for label, said in listed)
        parts.append(f"<table>{rows}</table>")
    if shown.columns:
        head, *body = _table(shown)
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
        parts.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>")
    return "<div>" + "".join(parts) + "</div>"


def dataframe(result):
    """The rows of a result's table, or its numbers as one row. Needs pandas (extra `data`)."""
    with extra("data"):
        import pandas as pd

    shown = sheet(result)
    if not shown.columns:
        return pd.DataFrame([shown.numbers])
    return pd.DataFrame({shown.index or "field": shown.rows} | shown.columns)
